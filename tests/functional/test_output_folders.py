"""An output folder says which recipe and which build it belongs to, however a build ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal

import pytest
from endings import RECIPE, write_fragile
from processes import at_work, started, until
from refusals import refusal_of

pytestmark = pytest.mark.heavy


@pytest.fixture
def delivered(ready_project):
    """A project in which the recipe `fragile` was built."""
    project = write_fragile(ready_project())
    done = project.run("+recipe=fragile")
    assert done.code == 0, done.err
    return project


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def edit(project, old, new):
    project.write("recipes/fragile.yaml", RECIPE.replace(old, new))


def test_a_failed_build_sets_the_earlier_artifact_aside_and_the_next_good_one_tidies_up(delivered):
    folder = delivered.output("fragile")
    before, digest = names(folder), hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    edit(delivered, "how: good", "how: raise")
    for _ in range(2):
        assert delivered.run("+recipe=fragile").code == 2
        failure = json.loads((folder / "failure.json").read_text())
        assert "no samples today" in failure["error"]["what"] + failure["error"]["why"]
        assert failure["exit_code"] == 2 and failure["result"] == "failed in calibration samples"
        assert failure["previous_artifact"] == digest
        assert not list(delivered.folder.glob("outputs/**/model.tflite")) and not (folder / "manifest.json").exists()
        assert hashlib.sha256((folder / "previous.model.tflite").read_bytes()).hexdigest() == digest
    edit(delivered, "", "")
    assert delivered.run("+recipe=fragile").code == 0
    assert names(folder) == before
    assert hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "arguments", [("quantization=int9",), ("dataset.count=0",), ("source.path=nothing.tflite",), ("--jobs", "0")]
)
def test_a_command_that_is_refused_leaves_the_artifact_alone(delivered, arguments):
    before = names(delivered.output("fragile"))
    assert delivered.run("+recipe=fragile", *arguments).code == 2
    assert names(delivered.output("fragile")) == before


@pytest.mark.parametrize(("old", "new"), [("how: good}}", "how: good}, count: 0}"), ("float.tflite", "gone.tflite")])
@pytest.mark.parametrize("command", [("recipe=fragile",), ("-m", "recipe=fragile", "output_root=outputs")])
def test_an_edited_recipe_that_is_refused_leaves_nothing_that_looks_current(delivered, old, new, command):
    edit(delivered, old, new)
    assert delivered.run("plan", "recipe=fragile").code == 2
    folder = delivered.output("fragile")
    assert (folder / "model.tflite").exists()
    assert delivered.run(*command).code == 2
    assert not (folder / "model.tflite").exists() and (folder / "previous.model.tflite").exists()
    assert json.loads((folder / "failure.json").read_text())["result"] == "refused"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_build_of_an_edited_recipe_that_is_ended_leaves_nothing_that_looks_current(delivered, signal_number):
    edit(delivered, "how: good", "how: loop")
    with started(delivered, "+recipe=fragile") as finish:
        until(lambda: at_work(delivered.store), "the first worker")
        os.kill(finish.process.pid, signal_number)
        finish()
    until(lambda: not at_work(delivered.store), "the end of every worker")
    folder = delivered.output("fragile")
    assert not (folder / "model.tflite").exists() and (folder / "previous.model.tflite").exists()


def test_a_sweep_sets_aside_what_failed_alone(delivered):
    assert delivered.run("-m", "+recipe=fragile", "dataset.arguments.how=good,fine").code == 0
    delivered.write("samples.py", (delivered.folder / "samples.py").read_text().replace('"raise"', '"fine"'))
    assert delivered.run("-m", "+recipe=fragile", "dataset.arguments.how=good,fine").code == 2
    outputs = delivered.folder / "outputs" / "fragile"
    assert (outputs / "dataset.arguments.how=good" / "model.tflite").exists()
    assert not (outputs / "dataset.arguments.how=fine" / "model.tflite").exists()
    assert (outputs / "dataset.arguments.how=fine" / "failure.json").exists()


def test_another_recipe_of_the_same_name_is_refused_and_changes_nothing(delivered):
    before = names(delivered.output("fragile"))
    delivered.write("recipes/other.yaml", f"name: fragile\n{RECIPE}")
    for arguments in (("+recipe=other",), ("+recipe=other", "quantization=float16"), ("-m", "recipe=other,fragile")):
        refused = refusal_of(delivered.run(*arguments))
        assert refused.kind == "recipe" and "outputs/fragile belongs to another recipe" in refused.what
        assert "recipes/fragile.yaml" in refused.why and "recipes/other.yaml" in refused.why
        assert refused.where.startswith("recipes/other.yaml:1")
    assert names(delivered.output("fragile")) == before
    assert delivered.run("plan", "+recipe=other").code == 0
    (delivered.folder / "recipes" / "fragile.yaml").rename(delivered.folder / "recipes" / "new.yaml")
    assert delivered.run("+recipe=other").code == 0
