"""The same bytes on every machine: this one and emulated ones make what tests/golden.json holds.

A difference is not mended by new digests unless the change was meant to change bytes; then they are written by
`python tests/other_machines.py --write` and the same with `--recipes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from machines import NATIVE
from other_machines import (
    ENGINES,
    MODELS,
    build_on,
    find_differences,
    read_golden,
    sweep_models,
    sweep_recipes,
)

pytestmark = pytest.mark.heavy
GOLDEN = read_golden()


def compare(machine: str, made: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Fail with every artifact that is not the golden one."""
    assert made
    assert not list(find_differences(machine, made, wanted))


@pytest.fixture(scope="module")
def native_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What this machine makes of the twelve models."""
    return build_on(NATIVE, tmp_path_factory.mktemp("models"), sweep_models(list(MODELS), ENGINES))


@pytest.mark.parametrize("model", MODELS)
def test_this_machine_makes_the_golden_model(native_models: dict[str, Any], model: str):
    compare(NATIVE, {model: native_models[model]}, GOLDEN["models"][NATIVE])


def test_this_machine_makes_the_golden_artifact_of_every_recipe_and_scheme(tmp_path: Path):
    made = build_on(NATIVE, tmp_path, sweep_recipes())
    compare(NATIVE, made, GOLDEN["recipes"])
    assert {recipe: set(artifacts) for recipe, artifacts in made.items()} == {
        recipe: set(artifacts) for recipe, artifacts in GOLDEN["recipes"].items()
    }
