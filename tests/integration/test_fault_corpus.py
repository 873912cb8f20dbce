"""The corpus of faults that are planted in workers: all are caught, by the step and with the text that it says."""

from __future__ import annotations

from collections.abc import Iterator

import planted_ties
import pytest
from commandline import CODES
from corpus_types import PlantedFault
from fault_corpus import PLANTED
from fault_planting import FAULTS, all_faults, mark_dataset, mark_model, planted_key, planting, signature_section
from sweeps import build_all, make_project, recipe

pytestmark = pytest.mark.heavy

METADATA = (
    "metadata: {{name: {name}, description: a net, inputs: {{image: {{mean: [0.5], std: [2.0], max: [3.0]}}}},"
    " outputs: {{zeta: {{labels: labels.txt}}}}}}"
)
SCALE = "scale: 0.00392156862745098"
CLASSES = "source=tflite dataset=npz verify=classification quantization=int8"
GATES = "gates: {top1: 0.8}"
TWINS = "source: {path: twins.keras}"
SOUND = {
    "sound": recipe(
        "source=tflite signature=dynamic dataset=npz verify=none quantization=int8",
        "source: {path: net.tflite}",
        METADATA.format(name="sound"),
    ),
    "sound_photo": recipe("verify=none", "source: {path: photo.keras}"),
    "sound_twins": recipe("verify=none", TWINS, "signature: {outputs: {d: difference, s: sum}}"),
    "sound_classes": recipe(
        CLASSES,
        "source: {path: classes.tflite}",
        f"dataset: {{path: classes.npz, {SCALE}}}",
        f"verify: {{dataset: {{path: classes.npz, label: label, {SCALE}}}, {GATES}}}",
    ),
}


def warnings_of(printed: str, name: str) -> Iterator[str]:
    """The warnings about a recipe: each names all that it is about."""
    for line in printed.splitlines():
        labels = line.removeprefix("warning: ").split(": ")[0].split(", ")
        if line.startswith("warning: ") and f"recipe={name}" in labels:
            yield line


def write_recipe(project, fault: PlantedFault) -> str:
    """The recipe that chooses a fault by its mark."""
    sections = list(fault.sections)
    source = fault.source
    if fault.mark == "model":
        source = mark_model(project.folder / source, fault.name)
    elif fault.mark == "signature":
        sections.append(signature_section(fault.name, fault.signature))
    elif fault.mark == "metadata":
        sections.append(METADATA.format(name=planted_key(fault.name)))
    else:
        marked = mark_dataset(project.folder / "classes.npz", fault.name)
        used = {"calibrated": "classes.npz", "evaluated": "classes.npz", fault.mark: marked}
        sections.append(f"dataset: {{path: {used['calibrated']}, {SCALE}}}")
        sections.append(f"verify: {{dataset: {{path: {used['evaluated']}, label: label, {SCALE}}}, {GATES}}}")
    return recipe(fault.options, f"source: {{path: {source}}}", *sections)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("faults"), "make_declared.py")


@pytest.fixture(scope="module")
def swept(project):
    """(fault -> what came of its recipe, what the commands printed) of two sweeps; and of recipes without a fault.

    One needs TensorFlow, for `import` and the converter; the other one does not.
    """
    recipes = {fault.name: write_recipe(project, fault) for fault in PLANTED} | SOUND
    recipes["noisy"] = recipe("source=saved_model verify=none", "source: {path: noisy}")
    rows, printed = {}, ""
    for finished in (True, False):
        part = {name: text for name, text in recipes.items() if ("source: tflite" in text) is finished}
        more, err = build_all(project, part, **planting(project))
        rows, printed = rows | more, printed + err
    return rows, printed


@pytest.mark.parametrize("name", SOUND)
def test_without_a_fault_all_is_delivered(swept, name):
    rows, printed = swept
    assert rows[name].row["error"] is None, rows[name].error
    assert not [line for line in warnings_of(printed, name) if "were calibrated with too" not in line]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_caught(swept, fault):
    rows, printed = swept
    row = rows[fault.name].row
    assert fault.text in "\n".join([row["error"] or "", *warnings_of(printed, fault.name)])
    assert row["error"] is None or f"step '{fault.caught_by}" in row["error"] or fault.code == CODES["gate"]
    kind = row["error"].partition("]")[0].removeprefix("error[") if row["error"] else ""
    assert CODES.get(kind, 0) == fault.code


def test_every_planted_fault_is_in_the_corpus():
    assert all_faults() is FAULTS
    faults = FAULTS.keys() - vars(planted_ties).keys()  # steps in which nothing is wrong
    assert sorted(faults) == sorted(fault.name for fault in PLANTED)


def test_a_source_that_was_exported_in_training_mode_is_refused(swept):
    rows, _ = swept
    assert "'noisy' returns another output 'y' for the same input when it is called again" in rows["noisy"].error
