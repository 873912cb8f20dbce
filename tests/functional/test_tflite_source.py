"""A float .tflite as the source: everything but its conversion, without TensorFlow."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from commandline import processes_with_tensorflow, watch_imports

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=ready"


@pytest.fixture
def project(ready_project):
    """The default model's float .tflite and a recipe for it; the store is empty."""
    return ready_project()


def test_it_gives_the_bytes_that_the_original_model_gives_and_never_loads_tensorflow(project, built):
    done = project.run(RECIPE, **watch_imports(project))
    assert done.code == 0, done.err
    assert project.manifest("ready")["artifact"]["sha256"] == built.manifest()["artifact"]["sha256"]
    assert processes_with_tensorflow(project) == 0
    assert "convert" not in done.steps


def test_every_scheme_is_had_from_it(project):
    done = project.run("-m", RECIPE, "quantization=none,float16,dynamic_int8,int8")
    assert done.code == 0, done.err


def test_what_is_quantized_already_is_not_quantized_again(project):
    assert project.run(RECIPE).code == 0
    shutil.copyfile(project.output("ready") / "model.tflite", project.folder / "float.tflite")
    done = project.run(RECIPE)
    assert done.code == 2
    assert "'float.tflite' is quantized already" in done.err


def test_a_file_without_a_signature_gets_one(project):
    from ai_edge_litert.tools import flatbuffer_utils

    path = project.folder / "float.tflite"
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    root.signatureDefs = None
    graph = root.subgraphs[0]
    graph.tensors[graph.inputs[0]].name = b"pixels:0"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(root)))
    recipe = project.folder / "recipes" / "ready.yaml"
    text = recipe.read_text().replace("    image: {shape", "    pixels: {shape")
    recipe.write_text(text.replace("scale: 1.0\n", "scale: 1.0\n  arrays: {pixels: image}\n", 1))
    done = project.run(RECIPE, "+verify.dataset.arrays.pixels=image")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["quantization.engine=converter"], "cannot start from a .tflite file"),
        (["signature.inputs.image.shape=[2,28,28,1]"], "cannot have the declared shape"),
        (["signature.key=other"], "has no signature 'other'"),
        (["source.sha256=" + "0" * 64], "is not the model that the recipe pins"),
        (["source.sha256=short"], "must be 64 hex digits"),
    ],
)
def test_what_it_cannot_be_is_refused(project, overrides, word):
    done = project.run(RECIPE, *overrides)
    assert done.code == 2
    assert word in done.err


@pytest.mark.parametrize("damage", [b"", b"not a model at all", None])
def test_a_damaged_file_is_refused(project, damage):
    path = project.folder / "float.tflite"
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)
    done = project.run(RECIPE)
    assert done.code == 2
    assert "'float.tflite' is" in done.err


def test_a_pin_that_fits_lets_the_build_pass(project):
    digest = hashlib.sha256((project.folder / "float.tflite").read_bytes()).hexdigest()
    done = project.run(RECIPE, f"source.sha256={digest.upper()}", "verify=none", "quantization=none")
    assert done.code == 0, done.err


def test_inspecting_it_needs_no_tensorflow_and_shows_what_it_holds(project):
    done = project.run("inspect", "float.tflite", **watch_imports(project))
    assert done.code == 0, done.err
    assert "  input   image          float32[1, 28, 28, 1]" in done.out.splitlines()
    assert "CONV_2D x6" in done.out
    assert processes_with_tensorflow(project) == 0
