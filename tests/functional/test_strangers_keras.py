"""Keras files of strangers: inspecting one runs nothing of it, and a build refuses what would run."""

from __future__ import annotations

import json

import pytest
from commandline import processes_with_tensorflow, watch_imports
from strangers import functional, layer, write_h5, write_keras, writing_layer

DENSE = layer("Dense", "dense", units=2)


@pytest.fixture
def canary(project):
    """The file that a model would write if anything of it ran; beside it the files that try to."""
    path = project.folder / "canary"
    write = writing_layer(path)
    write_h5(project.folder / "plain.h5", functional(DENSE, write, last="dense"))
    write_h5(project.folder / "nested.h5", functional(DENSE, functional(write, name="inner"), last="dense"))
    write_h5(
        project.folder / "wrapped.h5", functional(DENSE, layer("TimeDistributed", "td", layer=write), last="dense")
    )
    return path


@pytest.mark.parametrize("file", ["plain.h5", "nested.h5", "wrapped.h5"])
def test_inspecting_a_keras_file_runs_nothing_and_says_what_a_build_refuses(project, canary, file):
    done = project.run("inspect", file, **watch_imports(project))
    assert done.code == 0, done.err
    assert "  input   x      float32[free, 4]" in done.out.splitlines()
    assert "  output  dense  float32[free, 2]" in done.out.splitlines()
    assert "refused    unless source.allow names it: a TFOpLambda, which calls tf.io.write_file" in done.out
    assert not canary.exists()
    assert processes_with_tensorflow(project) == 0


def test_the_recipe_and_the_json_of_such_a_file_are_read_too(project, canary):
    recipe = project.run("inspect", "plain.h5", "--as-recipe")
    assert "inputs: {x: {shape: [1, 4], dtype: float32}}" in recipe.out
    told = json.loads(project.run("inspect", "plain.h5", "--json").out)
    assert told["asks"] == [
        {"path": "write", "why": "a TFOpLambda, which calls tf.io.write_file", "key": "source.allow"}
    ]
    assert not canary.exists()


@pytest.mark.heavy
def test_a_build_refuses_such_files_each_by_the_path_of_its_layer(project, canary):
    write_keras(project.folder / "archive.keras", functional(DENSE, functional(layer("Lambda", "code"), name="inner")))
    done = project.run("-m", "source.path=plain.h5,nested.h5,wrapped.h5,archive.keras", "name=net")
    assert done.code == 2
    for path in ("write", "inner/write", "td/write", "inner/code"):
        assert f"source.allow=[{path}]" in done.err
    assert not canary.exists()


def test_looking_at_a_recipe_of_such_a_file_runs_nothing(project, canary):
    for command in (("plan",), ("explain",), ("plan", "--json"), ("--cfg", "job")):
        assert project.run(*command, "source.path=plain.h5", "name=net").code == 0
    assert project.run("targets").code == 0
    assert not canary.exists()
