"""What all tests share: a project folder, and one store in which the default model is built once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import ASSETS, ROOT, Project
from needs import pytest_configure, pytest_runtest_setup, pytest_terminal_summary  # noqa: F401, the hooks


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder with an empty store."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, tmp_path / "store")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The default model, built once for the whole session. Read it; do not write into it."""
    base = tmp_path_factory.mktemp("built")
    (base / "project").mkdir()
    project = Project(base / "project", base / "store")
    done = project.run("+recipe=mobilenet_int8")
    assert done.code == 0, done.err
    return project


@pytest.fixture
def warm(built: Project, tmp_path: Path) -> Project:
    """A fresh folder and a private copy of the store in which the default model is built."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(built.store, tmp_path / "store", ignore=shutil.ignore_patterns("tmp", "locks", "plans"))
    return Project(folder, tmp_path / "store")


@pytest.fixture(scope="session")
def ready_project(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes projects with the default model's float .tflite and a recipe `ready` for it; their stores are empty."""

    def make() -> Project:
        base = tmp_path_factory.mktemp("ready")
        (base / "project").mkdir()
        project = Project(base / "project", base / "store")
        digest = built.manifest()["steps"]["convert"]["outputs"]["model.tflite"]
        shutil.copyfile(built.store / "cas" / digest[:2] / digest, project.folder / "float.tflite")
        text = (ROOT / "recipes" / "mobilenet_int8.yaml").read_text()
        text = text.replace("override /source: keras", "override /source: tflite")
        project.write("recipes/ready.yaml", text.replace("tflbuild://fashion_mobilenet/model.keras", "float.tflite"))
        return project

    return make


@pytest.fixture
def local_recipe(tmp_path: Path) -> Callable[[Project], Path]:
    """Copies the default model's files into a project, with a recipe `local` that uses them."""

    def copy(project: Project) -> Path:
        data = project.folder / "data"
        data.mkdir()
        for name in ("model.keras", "calibration.npz", "evaluation.npz"):
            shutil.copy(ASSETS / name, data / name)
        text = (ROOT / "recipes" / "mobilenet_int8.yaml").read_text()
        return project.write("recipes/local.yaml", text.replace("tflbuild://fashion_mobilenet/", "data/"))

    return copy
