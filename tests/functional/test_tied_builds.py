"""A build whose result depends on the CPU: two machines of different CPUs that share a store and an output folder."""

from __future__ import annotations

import json
import os

import pytest
from fault_planting import mark_model, planting
from planted_ties import TIE

pytestmark = pytest.mark.heavy

RECIPE = ("+recipe=ready", "verify=none")
MADE = ("ready", "verify=none")
TRAINING = (
    *("optimize=qat", "optimize.epochs=1", "optimize.loss=source_mse"),
    "optimize.dataset.path=tflbuild://fashion_mobilenet/calibration.npz",
)
PLACE = "FULLY_CONNECTED at 'logits': a test says that its sums differ"
CPU = "vendor_id : {name}\nmodel name : {name} CPU\nflags : fpu\nlast : 1\n"
FAKE = """
import os, pathlib
from tflbuild.resolve import machine_identity as machine
machine.CPUINFO = pathlib.Path(os.environ["FAKE_CPUINFO"])
"""


@pytest.fixture(scope="module")
def project(ready_project):
    """A recipe whose step `quantize` says that it depends on the CPU."""
    project = ready_project()
    text = (project.folder / "recipes" / "ready.yaml").read_text()
    name = mark_model(project.folder / "float.tflite", "quantizer_depends_on_the_cpu")
    project.write("recipes/ready.yaml", text.replace("float.tflite", name))
    site = planting(project)["PYTHONPATH"].split(os.pathsep)[0]
    (project.folder / "site" / "sitecustomize.py").open("a").write(FAKE)
    assert site.endswith("site")
    return project


def run_on(project, name, *arguments):
    """Run a command on the machine with a CPU of that name."""
    cpuinfo = project.write(f"cpuinfo-{name}", CPU.format(name=name))
    return project.run(*arguments, **planting_again(project), FAKE_CPUINFO=str(cpuinfo))


def planting_again(project):
    """Return the environment of `planting`, which wrote the site before it was added to."""
    return {"PYTHONPATH": f"{project.folder / 'site'}{os.pathsep}{project.environment()['PYTHONPATH']}"}


def test_a_tied_build_on_two_cpus(project):
    built = run_on(project, "Epyc", *RECIPE)
    assert built.code == 0, built.err
    manifest = project.manifest(*MADE)
    assert manifest["tied_to_cpu"] == [{"step": "quantize", **TIE}] and manifest["cpu"].startswith("Epyc CPU (")
    note = f"note: tied to this CPU, {manifest['cpu']}: quantize: {PLACE}"
    assert note in built.err and "warning" not in built.err
    card = (project.output(*MADE) / "card.md").read_text()
    assert "## Tied to a CPU" in card and f"- quantize: {PLACE}" in card and manifest["cpu"] in card
    again = run_on(project, "Epyc", *RECIPE)
    assert again.steps == {} and again.out.startswith("up to date") and note in again.err
    assert f"tied to this CPU: quantize int8: {PLACE}" in run_on(project, "Epyc", "plan", *RECIPE).out

    foreseen = run_on(project, "Xeon", "plan", *RECIPE).out
    assert "tied to this CPU" not in foreseen
    (line,) = [line for line in foreseen.splitlines() if line.startswith("quantize")]
    assert "run" in line and "CPU: Epyc CPU (" in line and "-> Xeon CPU (" in line
    there = run_on(project, "Xeon", *RECIPE, "--json")
    assert there.code == 0 and there.steps["quantize int8"] == "ran", there.err
    assert {status for title, status in there.steps.items() if title != "quantize int8"} == {"hit"}
    (row,) = json.loads(there.out)
    assert row["tied_to_cpu"] == [{"step": "quantize", **TIE}]
    assert project.manifest(*MADE)["cpu"].startswith("Xeon CPU (")

    back = run_on(project, "Epyc", *RECIPE)
    assert set(back.steps.values()) == {"hit"}
    assert project.manifest(*MADE)["cpu"] == manifest["cpu"]


def test_a_build_without_a_tie_is_up_to_date_on_every_cpu(project):
    recipe = ("+recipe=ready", "verify=none", "quantization=float16", "dataset=none", "source.path=float.tflite")
    assert run_on(project, "Epyc", *recipe).code == 0
    manifest = project.manifest("ready", "dataset=none,quantization=float16,source.path=float.tflite,verify=none")
    assert manifest["tied_to_cpu"] == [] and manifest["cpu"] is None
    assert run_on(project, "Xeon", *recipe).out.startswith("up to date")


def test_training_is_known_to_be_tied_before_it_runs(project):
    told = run_on(project, "Epyc", "plan", "+recipe=mobilenet_int8", *TRAINING)
    assert told.code == 0, told.err
    assert "tied to this CPU: optimize: training: " in told.out
