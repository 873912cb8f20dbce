"""Collapse is loud: warnings in the last lines and in the manifest, no star, no choice of a search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tflbuild.locations import ASSETS

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=ready"
FREE = "verify.gates.top1_drop=null"
EVALUATION = {
    "permuted": "labels look permuted: what the source names 0 is labelled 3",
    "single": "1 evaluation sample cannot show how the artifact does on others",
    "repeated": "only 20 of 100 evaluation samples differ",
    "random": "not clearly better than always naming class",
}


@pytest.fixture(scope="module")
def project(ready_project):
    """The default model in float, evaluation data with faults, and calibration data that make int8 collapse."""
    made = ready_project()
    with np.load(ASSETS / "fashion_mobilenet" / "evaluation.npz") as archive:
        image, label = archive["image"][:200], archive["label"][:200]
    sets = {
        "good": (image, label),
        "permuted": (image, (label + 3) % 10),
        "single": (image[:1], label[:1]),
        "repeated": (np.tile(image[:20], (5, 1, 1, 1)), np.tile(label[:20], 5)),
        "random": (image, np.random.default_rng(0).integers(0, 10, 200)),
    }
    for name, (images, labels) in sets.items():
        np.savez(made.folder / f"{name}.npz", image=images, label=labels)
    np.savez(made.folder / "dark.npz", image=np.zeros((20, 28, 28, 1), np.uint8))
    return made


@pytest.fixture(scope="module")
def swept(project):
    """One sweep over the evaluation sets, in which nothing is quantized twice."""
    sets = ",".join(f"{name}.npz" for name in ("good", *EVALUATION))
    return project.run("-m", RECIPE, FREE, f"verify.dataset.path={sets}")


@pytest.mark.parametrize("name", EVALUATION)
def test_an_evaluation_that_shows_nothing_is_warned_of(project, swept, name):
    assert swept.code == 0, swept.err
    variant = f"verify.dataset.path={name}.npz,verify.gates.top1_drop=null"
    assert any(EVALUATION[name] in text for text in project.manifest("ready", variant)["warnings"])
    lines = [line for line in swept.err.splitlines() if EVALUATION[name] in line]
    assert len(lines) == 1 and lines[0].startswith(f"warning: path={name}.npz: ")


def test_only_what_is_sound_has_a_star(swept):
    rows = {line.split()[0]: line.split()[2] for line in swept.out.splitlines() if line.startswith("path=")}
    assert rows == {"path=good.npz": "*", **{f"path={name}.npz": "!" for name in EVALUATION}}
    assert swept.err.splitlines()[-1].startswith("warning: ")


def test_an_artifact_that_collapsed_is_warned_of_and_said_again_when_nothing_changed(project):
    overrides = (RECIPE, "name=dark", FREE, "verify.dataset.path=good.npz", "dataset.path=dark.npz")
    done = project.run(*overrides)
    assert done.code == 0, done.err
    (path,) = (project.folder / "outputs" / "dark").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["metrics"]["verify"]["classification"]["top1"] < 0.5
    (warning,) = [line for line in done.err.splitlines() if line.startswith("warning: the artifact")]
    again = project.run(*overrides)
    assert again.out.startswith("up to date") and warning in again.err.splitlines()


def test_a_search_does_not_choose_what_collapsed(project):
    done = project.run(
        *(RECIPE, "name=found", FREE, "verify.dataset.path=good.npz", "dataset.path=dark.npz", "quantization=auto"),
        *("quantization.budget.bytes=900000", "quantization.schemes=[int8,float16]"),
    )
    assert done.code == 0, done.err
    assert "chosen  float16" in done.out
    lines = [line for line in done.out.splitlines() if line.startswith("int8 ")]
    assert any(line.endswith("collapsed") for line in lines), lines


def test_a_gate_that_demands_a_confidence_needs_the_samples_for_it(project):
    gates = ("verify.gates.top1_drop=0.01", "verify.gates.confidence=0.95", "verify.dataset.path=good.npz")
    done = project.run(RECIPE, "name=sure", *gates)
    assert done.code == 3
    assert "top1_drop is" in done.err and "(95 % interval: up to" in done.err and "at most 0.01 is allowed" in done.err
    assert "200 evaluation samples show a drop to +-" in done.err
    assert "what helps: more evaluation samples (verify.dataset)" in done.err
    assert "quantization.engine" not in done.err
