"""The same recipe makes the same bytes: wherever it is built, however it is written, however much runs at once."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "+recipe=mobilenet_int8"
OF_THE_RUN = ("host", "git", "seconds", "peak_bytes", "log.txt")  # what manifests of one build may say differently
SCHEMES = ("none", "float16", "dynamic_int8", "int8")


def without(names: tuple[str, ...], value: Any) -> Any:
    """The value, with entries of those names taken out at any depth."""
    if isinstance(value, dict):
        return {name: without(names, entry) for name, entry in value.items() if name not in names}
    return [without(names, entry) for entry in value] if isinstance(value, list) else value


def place(project, name: str):
    """Another folder with an empty store of its own, below the same temporary one."""
    folder = project.folder.parent / name / "project"
    folder.mkdir(parents=True)
    return replace(project, folder=folder, store=folder.parent / "store")


def build(project, *arguments: str, **environment: str):
    done = project.run(*arguments, **environment)
    assert done.code == 0, done.err
    return done


def copy_checkout(folder: Path) -> Path:
    """tflbuild itself, at another path."""
    for name in ("tflbuild", "conf", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def reverse_keys(value: Any) -> Any:
    """The same mapping, every mapping in it written back to front."""
    if isinstance(value, dict):
        return {name: reverse_keys(value[name]) for name in reversed(value)}
    return [reverse_keys(entry) for entry in value] if isinstance(value, list) else value


def test_two_checkouts_at_two_paths_make_the_same_model_and_manifest(project, local_recipe, tmp_path):
    checkouts = copy_checkout(tmp_path / "a"), copy_checkout(tmp_path / "somewhere else" / "entirely")
    projects = place(project, "one"), place(project, "another user's")
    settings = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "home" / ".keras").mkdir(parents=True)
    (tmp_path / "home" / ".keras" / "keras.json").write_text(json.dumps(settings))
    surroundings = (
        {"PYTHONHASHSEED": "1", "LANG": "C", "TZ": "UTC", "TF_ENABLE_ONEDNN_OPTS": "0"},
        {"PYTHONHASHSEED": "2", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "HOME": str(tmp_path / "home")},
    )
    for checkout, at, around in zip(checkouts, projects, surroundings, strict=True):
        local_recipe(at)
        done = build(at, "+recipe=local", PYTHONPATH=str(checkout), **around)
        assert "hit" not in done.steps.values()
    one, other = (at.output("local") for at in projects)
    assert (one / "model.tflite").read_bytes() == (other / "model.tflite").read_bytes()
    assert (one / "card.md").read_bytes() == (other / "card.md").read_bytes()
    manifests = [without(OF_THE_RUN, at.manifest("local")) for at in projects]
    assert manifests[0]["steps"].keys() >= {"import", "convert", "calibrate", "quantize", "verify"}
    assert manifests[0] == manifests[1]


def test_the_order_of_keys_and_comments_in_a_recipe_do_not_matter(warm, built):
    text = (ROOT / "recipes" / "mobilenet_int8.yaml").read_text()
    turned = yaml.safe_dump(reverse_keys(yaml.safe_load(text)), sort_keys=False)
    commented = "# Another comment.\n\n" + "\n".join(f"{line}  # and one here" for line in turned.splitlines()) + "\n"
    assert turned.splitlines()[0] == "verify:"
    warm.write("recipes/mobilenet_int8.yaml", commented)
    done = build(warm, RECIPE)
    assert set(done.steps.values()) == {"hit"}
    assert (warm.output() / "model.tflite").read_bytes() == (built.output() / "model.tflite").read_bytes()


def test_the_converters_own_int8_is_the_same_in_two_stores(warm):
    variant = "quantization.engine=converter"
    fresh = place(warm, "fresh")
    assert build(warm, RECIPE, variant).steps["quantize int8 converter"] == "ran"
    assert build(fresh, RECIPE, variant).steps["quantize int8 converter"] == "ran"
    one, other = (at.output(variant=variant) / "model.tflite" for at in (warm, fresh))
    assert one.read_bytes() == other.read_bytes()


def test_the_order_of_calibration_samples_does_not_matter(warm, built, local_recipe):
    local_recipe(warm)
    samples = warm.folder / "data" / "calibration.npz"
    images = np.load(samples)["image"]
    order = random.Random(0).sample(range(len(images)), len(images))
    np.savez(samples, image=images[order])
    assert build(warm, "+recipe=local").steps["calibrate"] == "ran"
    assert (warm.output("local") / "model.tflite").read_bytes() == (built.output() / "model.tflite").read_bytes()


def test_the_number_of_jobs_does_not_matter(project):
    sweep = ("-m", RECIPE, f"quantization={','.join(SCHEMES)}")
    projects = {jobs: place(project, f"{jobs} jobs") for jobs in ("1", "4")}
    for jobs, at in projects.items():
        assert set(build(at, *sweep, "--jobs", jobs).steps.values()) == {"ran"}
    for scheme in SCHEMES:
        models = [at.output(variant=f"quantization={scheme}") / "model.tflite" for at in projects.values()]
        assert models[0].read_bytes() == models[1].read_bytes(), scheme
