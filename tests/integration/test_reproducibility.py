"""This machine and emulated ones make the artifacts whose digests tests/golden.json holds.

A difference is not mended by new digests unless the change was meant to change bytes; then they are written by
`python tests/other_machines.py --write` and the same with `--recipes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from machines import ARM, NATIVE, why_not
from needs import leave_out, require_program
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
# A model costs an emulated machine about ten seconds, its start half a minute: the command above tries all on each.
EMULATED = {
    "Haswell": ["batch_norm", "einsum", "mel", "signatures"],
    "EPYC": ["dense_norm"],
    "Skylake-Server": ["weight_normalization"],
    ARM: ["batch_norm", "mel"],
}


def compare(machine: str, made: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Fail with every artifact that is not the golden one."""
    assert made
    assert not list(find_differences(machine, made, wanted))


@pytest.fixture(scope="module")
def native_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Build the twelve models on this machine."""
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


@pytest.mark.parametrize("machine", EMULATED)
def test_an_emulated_machine_makes_the_golden_models(machine: str, tmp_path: Path):
    require_program(f"qemu-{ARM if machine == ARM else 'x86_64'}")
    if machine == ARM:
        require_program("mmdebstrap")
    if reason := why_not(machine):
        leave_out(f"machine {machine}", reason)
    made = build_on(machine, tmp_path, sweep_models(EMULATED[machine], ["litert"]))
    compare(machine, made, GOLDEN["models"][NATIVE])
