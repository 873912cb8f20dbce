"""A module with a fixture `project` and RECIPES by name: all of them built by one command."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import Row, build_all


@pytest.fixture(scope="module")
def swept(request: pytest.FixtureRequest, project: Project) -> tuple[dict[str, Row], str]:
    """(recipe -> what came of it, the command's progress)."""
    return build_all(project, request.module.RECIPES)


@pytest.fixture(scope="module")
def rows(swept: tuple[dict[str, Row], str]) -> dict[str, Row]:
    """What came of each recipe."""
    return swept[0]


@pytest.fixture(scope="module")
def arrays(project: Project) -> dict[str, np.ndarray]:
    """The samples, and what the models themselves give for them."""
    return {**np.load(project.folder / "samples.npz"), **np.load(project.folder / "expected.npz")}
