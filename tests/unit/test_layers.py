"""The layout: small modules, small folders, imports that point down."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import tflbuild

PACKAGE = Path(tflbuild.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "assets" not in path.parts)
MOST_LINES = 400
MOST_MODULES = 25
MOST_LOOSE = 8
# Modules of one name in many folders, each with one role there.
ROLES = {"__init__", "__main__", "spec", "proof", "table", "rules", "profile", "toolchain"}
SHARED_NAMES: set[str] = set()


def test_imports_obey_the_contracts_of_pyproject() -> None:
    """`lint-imports` prints the import that breaks a contract."""
    assert lint_imports(config_filename=str(PACKAGE.parent / "pyproject.toml"), cache_dir=None) == 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_folders_are_small() -> None:
    counts = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {folder.name for folder, count in counts.items() if count > MOST_MODULES} == set()
    assert counts[PACKAGE] <= MOST_LOOSE


def test_names_of_modules_are_unique() -> None:
    counts = Counter(path.stem for path in MODULES)
    assert {name for name, count in counts.items() if count > 1} - ROLES == SHARED_NAMES


def test_every_folder_says_what_it_is_for() -> None:
    assert [path for path in MODULES if path.name == "__init__.py" and not path.read_text().startswith('"""')] == []


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports a file of tests by its name alone: of two with one name it would refuse the second."""
    counts = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_folder_of_the_package_is_in_the_wheel() -> None:
    """setuptools packs the folders that pyproject.toml lists, and no others."""
    listed = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(PACKAGE.parent) for path in MODULES}
    assert {".".join(folder.parts) for folder in folders} == set(listed) - {"tflbuild.conf", "tflbuild.recipes"}
