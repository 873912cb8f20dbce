"""What TFLiteConverter and the LiteRT quantizer do without a word, each done once more: no build lets it through.

make_lies.py is the careless script. Here its artifact takes the place of what the step `quantize` would have made,
and the rest of the build is as it always is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

CARELESS = """import re
from pathlib import Path


def run(request):
    name = re.search(rb"lie:(\\w+);", request.inputs["model"].read_bytes())[1].decode()
    made = Path({folder!r}, name + ".made.tflite").read_bytes()
    (request.outputs / "model.tflite").write_bytes(made)
    return {{"bytes": len(made)}}
"""
# every process that looks for the worker finds the careless one in its place
SITE = """import importlib.util
import sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "tflbuild.steps.quantization.litert_quantize":
            return importlib.util.spec_from_file_location(name, {file!r})


sys.meta_path.insert(0, Finder)
"""
NET = ("source=tflite", "source.path=truth.tflite", "name=net", "verify=none")
# lie -> what the recipe declares, and the sections that it needs
DECLARED = {
    "truth": ("int8", "quantization: {}"),
    "optimizations": ("int8", "quantization: {}"),
    "no_samples": ("int8", "quantization: {}"),
    "float16": ("int8", "quantization: {}"),
    "borders": ("int8", "quantization: {}"),
    "one_border": ("int8", "quantization: {}"),
    "misspelt": ("int8", "quantization: {rules: [{op: FULLY_CONNECTED, scheme: float32}]}"),
    "debugger": ("int8", "quantization: {rules: [{op: FULLY_CONNECTED, scheme: float32}]}"),
    "kernel": ("int16x8", "quantization: {input_type: float32, output_type: float32}"),
    "unverified": ("int16x8 verify=none", "quantization: {input_type: float32, output_type: float32}"),
    "int4": ("int4", "quantization: {}"),
    "blocks": ("dynamic_int4 dataset=none", "quantization: {granularity: blockwise_32}"),
    "nowhere": ("int8", "quantization: {rules: [{op: CONV_2D, scheme: int16x8}]}"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the careless script's models, and an empty store."""
    base = tmp_path_factory.mktemp("lies")
    folder = base / "project"
    folder.mkdir()
    script = Path(__file__).with_name("make_lies.py")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, script, folder]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return Project(folder, base / "store")


@pytest.fixture(scope="module")
def rows(project):
    """Lie -> what came of it, of one sweep on a store of its own."""
    recipes = {
        lie: recipe(f"source=tflite dataset=npz quantization={scheme}", f"source: {{path: {lie}.tflite}}", section)
        for lie, (scheme, section) in DECLARED.items()
    }
    lied_to = Project(project.folder, project.store.parent / "careless-store")
    return build_all(lied_to, recipes, **careless(project))[0]


def careless(project):
    """Environment in which what `quantize` gives is what the script got."""
    worker = project.write("careless.py", CARELESS.format(folder=str(project.folder)))
    project.write("site/sitecustomize.py", SITE.format(file=str(worker)))
    paths = f"{project.folder / 'site'}{os.pathsep}{project.environment()['PYTHONPATH']}"
    return {"PYTHONPATH": paths, "TFLBUILD_CONFINEMENT": "off"}  # no worker of ours reads beside its own files


def told(rows, lie):
    """The refusal: a failed step, as such, and what the reason was; nothing is delivered."""
    row = rows[lie]
    assert row.error.startswith("error[build]: ")
    assert row.row["files"] == []
    return row.error


def test_the_same_script_with_nothing_forgotten_is_let_through(rows):
    """Else all the refusals below would mean nothing."""
    assert min(output["snr_db"] for output in rows["truth"].outputs.values()) > 20
    assert rows["truth"].operators.keys() == {"CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "FULLY_CONNECTED"}


@pytest.mark.parametrize("engine", ["litert", "converter"])
def test_int8_operators_alone_are_not_enforced(project, engine):
    """TFLITE_BUILTINS_INT8 alone, and an operator without an int8 kernel: it is left in float, between conversions.

    The LiteRT quantizer skips it too.
    """
    model = ("source=saved_model", "source.path=sine", "name=sine", f"quantization.engine={engine}")
    done = project.run(*model, "quantization=int8", "dataset=npz", "dataset.path=samples.npz")
    assert done.code == 1
    assert "the artifact is not what the recipe declares" in done.err
    assert "float_op: SIN computes in float" in done.err
    assert not list((project.folder / "outputs" / "sine").rglob("*.tflite"))


def test_without_optimizations_data_and_int8_operators_are_ignored(rows):
    """A representative dataset and INT8 operators, and `optimizations` forgotten: a float model."""
    assert "float_op: CONV_2D computes in float" in told(rows, "optimizations")


def test_an_empty_dataset_gives_a_float_model(rows):
    """A generator that yields nothing is no error to the converter: it gives a float model."""
    assert "float_op: CONV_2D computes in float" in told(rows, "no_samples")


def test_a_dataset_without_samples_is_refused_before_it_is_used(project):
    done = project.run(*NET, "quantization=int8", "dataset=npz", "dataset.path=empty.npz")
    assert done.code == 2
    assert "'empty.npz' holds no samples" in done.err


def test_float16_ignores_the_representative_dataset(rows):
    """float16 among the supported types, and a dataset: weights alone are narrowed, and nothing is calibrated."""
    assert "float_op: CONV_2D computes in float" in told(rows, "float16")


def test_a_float16_build_does_not_claim_that_its_dataset_was_used(project):
    """A sweep over schemes has a dataset for all; a scheme that measures nothing says nothing of it."""
    data = ("dataset=npz", "dataset.path=samples.npz")
    done = project.run("-m", *NET, "name=half", "quantization=float16,int8", *data)
    assert done.code == 0, done.err
    assert "note: 'dataset' is not used by quantization=float16" in done.err.splitlines()
    (manifest,) = (project.folder / "outputs" / "half").rglob("*float16*/manifest.json")
    assert json.loads(manifest.read_text())["samples"] == {}
    alone = project.run(*NET, "name=half", "quantization=float16", *data)
    assert alone.code == 2 and "'dataset.path' is not used by quantization=float16" in alone.err


def test_weights_that_are_left_float_are_no_dynamic_range_quantization(project):
    """TFLiteConverter quantizes no weight under 1024 elements in its dynamic-range mode."""
    model = ("source=saved_model", "source.path=sine", "name=small", "quantization.engine=converter")
    done = project.run(*model, "quantization=dynamic_int8")
    assert done.code == 1
    assert "no weight is int8: the model was left as it is" in done.err


def test_an_exception_that_the_converter_does_not_know_is_ignored(rows):
    """A list of layers to spare is an attribute like any other: the converter takes it and quantizes them all.

    Only its debugger can leave layers out.
    """
    assert "rule: FULLY_CONNECTED computes as int8, none was asked for" in told(rows, "misspelt")


def test_the_debugger_leaves_a_layer_out_and_the_borders_that_were_asked_for_as_well(rows):
    """Its model spares the layer, and takes and gives float32 where int8 was asked for."""
    refusal = told(rows, "debugger")
    assert "io_type: input 'image' is float32, declared was int8" in refusal
    assert "rule:" not in refusal


@pytest.mark.parametrize("lie", ["kernel", "unverified"])
def test_int16_operators_without_a_kernel_are_no_model(rows, lie):
    """Every conversion to int16x8 may hold operators that no runtime has, with or without verification."""
    refusal = told(rows, lie)
    assert "the artifact cannot run on image [1, 8, 8, 3]" in refusal
    assert "SQUARED_DIFFERENCE" in refusal


def test_borders_stay_float_unless_both_are_asked_for(rows):
    """INT8 operators say nothing of what the model takes and gives."""
    assert "io_type: input 'image' is float32, declared was int8" in told(rows, "borders")
    refusal = told(rows, "one_border")
    assert "io_type: output 'scores' is float32, declared was int8" in refusal
    assert "input 'image'" not in refusal


def test_borders_of_a_scheme_that_has_none_are_refused(project):
    """The converter takes integer borders of float16 models only to fail, or to ignore them."""
    done = project.run(*NET, "quantization=float16", "quantization.input_type=int8")
    assert done.code == 2
    assert "input_type" in done.err


def test_operators_that_have_no_int4_stay_float(rows):
    """The LiteRT quantizer, asked for int4 everywhere, skips the operators that have int8 alone."""
    assert "float_op: DEPTHWISE_CONV_2D computes in float" in told(rows, "int4")


def test_operators_that_have_no_blocks_stay_float(rows):
    """Asked for scales by blocks, the quantizer has them for FULLY_CONNECTED and skips convolutions."""
    assert "scheme: CONV_2D computes as none, dynamic_int4 was declared" in told(rows, "blocks")


def test_a_demand_whose_expression_matches_nothing_is_skipped(rows):
    """The quantizer's recipes go by regular expressions on tensors' names; one that finds none is no error."""
    assert "rule: CONV_2D computes as int8, int16x8 was asked for" in told(rows, "nowhere")


def test_a_careless_build_exits_1(project, rows):
    """One that alone is built, as a script of its own would be run."""
    done = project.run("recipe=borders", TFLBUILD_STORE=str(project.store.parent / "alone"), **careless(project))
    assert done.code == 1
    assert "error[build]: the artifact is not what the recipe declares" in done.err
