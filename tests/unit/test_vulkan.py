"""Which Vulkan drivers a machine has, by its files alone."""

import json

import pytest

from tflbuild.targets.gpu.vulkan import SWIFTSHADER, find_drivers, variables_for

LOADER = "usr/lib/x86_64-linux-gnu/libvulkan.so.1"


def put(root, path, text="bytes"):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def icd(root, path, library):
    """A driver's ICD file, and the library beside it where `library` is relative."""
    file = put(root, path, json.dumps({"file_format_version": "1.0.0", "ICD": {"library_path": library}}))
    if library.startswith("./"):
        put(root, f"{path.rsplit('/', 1)[0]}/{library[2:]}", f"code of {path}")
    return file


@pytest.fixture
def machine(tmp_path):
    """A root with the loader, Mesa's drivers as Debian has them, and a browser."""
    put(tmp_path, LOADER)
    icd(tmp_path, "usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "./libvulkan_lvp.so")
    icd(tmp_path, "usr/share/vulkan/icd.d/intel_icd.x86_64.json", "./libvulkan_intel.so")
    icd(tmp_path, f"usr/lib/chromium/{SWIFTSHADER}", "./libvk_swiftshader.so")
    return tmp_path


def names(drivers):
    return [driver.name for driver in drivers.candidates]


def test_a_chip_s_driver_is_no_candidate_without_a_chip(machine):
    found = find_drivers({}, machine)
    assert names(found) == ["vk_swiftshader_icd", "lvp_icd.x86_64"]
    assert found.loader == str(machine / LOADER) and not found.lacks
    assert all(driver.software for driver in found.candidates)


def test_with_a_chip_its_driver_comes_first_and_programs_stay_behind_it(machine):
    put(machine, "dev/dri/renderD128")
    found = find_drivers({}, machine)
    assert names(found) == ["intel_icd.x86_64", "vk_swiftshader_icd", "lvp_icd.x86_64"]
    assert [driver.software for driver in found.candidates] == [False, True, True]


@pytest.mark.parametrize("variable", ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"])
def test_a_driver_that_a_person_names_is_the_only_one(machine, variable):
    chosen = icd(machine, "opt/mine/lvp_icd.json", "./mine.so")
    assert names(find_drivers({variable: str(chosen)}, machine)) == ["lvp_icd"]


def test_the_newer_of_the_two_variables_counts(machine):
    old, new = icd(machine, "a/old.json", "./old.so"), icd(machine, "a/new.json", "./new.so")
    assert names(find_drivers({"VK_ICD_FILENAMES": str(old), "VK_DRIVER_FILES": str(new)}, machine)) == ["new"]


def test_a_driver_that_is_named_and_not_there_is_said_to_be_missing(machine):
    found = find_drivers({"VK_DRIVER_FILES": "/nowhere/x.json"}, machine)
    assert not found.candidates
    assert "/nowhere/x.json" in found.lacks and found.install


def test_nothing_at_all(tmp_path):
    found = find_drivers({}, tmp_path)
    assert found.lacks == "no Vulkan driver is here"
    assert "chromium" in found.install and "libvulkan1" in found.install


def test_a_driver_without_the_loader_is_not_enough(machine):
    (machine / LOADER).unlink()
    assert "libvulkan.so.1" in find_drivers({}, machine).lacks


def test_a_browser_s_own_loader_will_do(machine):
    (machine / LOADER).unlink()
    own = put(machine, "usr/lib/chromium/libvulkan.so.1")
    assert find_drivers({}, machine).loader == str(own)


def test_a_browser_in_a_home_folder_is_found(tmp_path):
    put(tmp_path, LOADER)
    icd(tmp_path, f"home/me/.cache/ms-playwright/chromium-1200/chrome-linux/{SWIFTSHADER}", "./libvk_swiftshader.so")
    assert names(find_drivers({"HOME": "/home/me"}, tmp_path)) == ["vk_swiftshader_icd"]


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"ICD": {}}', '{"ICD": {"library_path": "./gone.so"}}'])
def test_a_file_that_is_no_driver_is_passed_over(machine, text):
    put(machine, "etc/vulkan/icd.d/broken_icd.json", text)
    assert names(find_drivers({}, machine)) == ["vk_swiftshader_icd", "lvp_icd.x86_64"]


def test_the_digest_is_of_the_bytes_that_would_run(machine):
    before = find_drivers({}, machine).digest
    assert find_drivers({}, machine).digest == before
    put(machine, "usr/lib/chromium/libvk_swiftshader.so", "another release")
    after = find_drivers({}, machine).digest
    assert after != before
    put(machine, "dev/dri/renderD128")
    assert find_drivers({}, machine).digest != after


def test_a_process_is_told_of_one_driver(machine, tmp_path):
    driver = find_drivers({}, machine).candidates[0]
    told = variables_for(driver, tmp_path)
    assert told["VK_DRIVER_FILES"] == told["VK_ICD_FILENAMES"] == driver.icd
    assert told["XDG_RUNTIME_DIR"] == str(tmp_path)
