"""A release: builds in different surroundings give the same bytes, and every package is pinned by hashes."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("tflbuild", "conf", "recipes")
SURROUNDINGS = [
    {"umask": 0o022, "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"umask": 0o077, "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
]


def copy_sources(folder, *, reverse):
    """A checkout: the same files, written in another order at another time under another umask."""
    folder.mkdir(parents=True)
    named = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    below = [file for name in SOURCES for file in sorted((ROOT / name).rglob("*")) if file.is_file()]
    for file in sorted((*named, *below), reverse=reverse):
        if "__pycache__" not in file.parts:
            place = folder / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            if os.access(file, os.X_OK):
                place.chmod(place.stat().st_mode | 0o100)
            os.utime(place, (1e9, 1e9) if reverse else (1.5e9, 1.5e9))


def build(folder, surroundings, *, reverse):
    before = os.umask(surroundings["umask"])
    try:
        copy_sources(folder / "project", reverse=reverse)
        code = "import sys, tflbuild.build_backend as b; to = sys.argv[1]; b.build_wheel(to), b.build_sdist(to)"
        settings = {name: value for name, value in surroundings.items() if name != "umask"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            cwd=folder / "project",
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": str(folder / "project"), **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    finally:
        os.umask(before)
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_wheel_and_source_archive_have_the_same_bytes_wherever_they_are_built(tmp_path):
    first = build(tmp_path / "a", SURROUNDINGS[0], reverse=False)
    second = build(tmp_path / "other" / "place", SURROUNDINGS[1], reverse=True)
    assert sorted(name.rpartition("-")[0].partition("-")[0] for name in first) == ["tflbuild", "tflbuild"]
    assert first.keys() == second.keys() and all(first[name] == second[name] for name in first)


def packages(text):
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\\n]+)", text, re.MULTILINE))


def plain_name(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_of_the_installation_is_pinned_with_hashes():
    text = (ROOT / "requirements.txt").read_text()
    entries = re.split(r"\n(?=[A-Za-z])", text[text.index("\nabsl") + 1 :])
    assert all(entry.count("--hash=sha256:") >= 1 for entry in entries)
    pinned = {plain_name(name): version for name, version in packages(text).items()}
    constrained = {plain_name(n): v for n, v in packages((ROOT / "constraints.txt").read_text()).items()}
    other = {name for name, version in pinned.items() if constrained.get(name, version) != version}
    assert not other, "versions differ from constraints.txt: run the command at the top of requirements.txt"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*wanted["project"]["dependencies"], *wanted["build-system"]["requires"]]
    assert {plain_name(re.match(r"[\w.-]+", text)[0]) for text in named} <= pinned.keys()


@pytest.mark.parametrize("name", ["tensorflow", "h5py", "numpy", "ai-edge-litert"])
def test_native_packages_have_wheels_for_both_architectures(name):
    """One hash a wheel: three versions of Python on two architectures are at least six."""
    text = (ROOT / "requirements.txt").read_text()
    entry = re.search(rf"^{name}==.*?(?=^[A-Za-z]|\Z)", text, re.MULTILINE | re.DOTALL)[0]
    assert entry.count("--hash=") >= 6
