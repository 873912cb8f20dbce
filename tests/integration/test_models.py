"""Other models than the shipped one: they build, and what cannot be done is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweeps import make_project

pytestmark = pytest.mark.heavy

INT8 = ("quantization=int8", "dataset=npz", "dataset.path=data.npz")
PARITY = ("verify=parity", "verify.dataset.path=data.npz")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the models and one store for all tests of this module."""
    return make_project(tmp_path_factory.mktemp("models"), "make_models.py")


def keras_model(name):
    return ("source=keras", f"source.path={name}.keras", f"name={name}")


def saved_model(name):
    return ("source=saved_model", f"source.path={name}", f"name={name}")


def manifest(done):
    """Of the one variant that a command with --json built."""
    (outcome,) = json.loads(done.out)
    return json.loads(next(Path(f) for f in outcome["files"] if f.endswith("manifest.json")).read_text())


def build(project, *arguments):
    done = project.run(*arguments, "output_root=" + str(project.folder / "out"), "--json")
    assert done.code == 0, done.err
    return manifest(done)


def test_the_same_model_may_ship_float_where_float_is_declared(project):
    assert build(project, *saved_model("sine"), *PARITY)["verification"] == "passed"


@pytest.mark.parametrize("source", [keras_model("two"), saved_model("two")], ids=["keras", "saved_model"])
@pytest.mark.parametrize("engine", ["litert", "converter"])
def test_several_inputs_and_outputs_go_by_name(project, source, engine):
    found = build(project, *source, *INT8, *PARITY, f"quantization.engine={engine}")
    outputs = found["metrics"]["verify"]["outputs"]
    assert set(outputs) == {"total", "small"}
    assert all(output["snr_db"] > 25 for output in outputs.values())


def test_both_forms_of_one_model_give_the_same_outputs(project):
    forms = [build(project, *form, *PARITY) for form in (keras_model("two"), saved_model("two"))]
    assert all(form["metrics"]["verify"]["outputs"]["total"]["max_abs_error"] < 1e-5 for form in forms)


def test_a_model_with_a_table_converts(project):
    assert build(project, *keras_model("lookup"))["artifact"]["contents"]["flex_operators"] == []


def test_an_operator_without_a_builtin_is_named(project):
    done = project.run(*saved_model("pool3d"))
    assert done.code == 1
    assert "TFLite has no operator for AvgPool3D" in done.err
    assert "opset=select_tf" in done.err


def test_select_tf_builds_it_and_the_card_says_what_the_app_needs(project):
    found = build(project, *saved_model("pool3d"), "opset=select_tf")
    assert found["artifact"]["contents"]["flex_operators"] == ["FlexAvgPool3D"]
    card = next((project.folder / "out" / "pool3d").rglob("card.md")).read_text()
    assert "needs a runtime with TensorFlow (Flex) operators: FlexAvgPool3D" in card


def test_flex_operators_cannot_be_verified_here_and_that_is_said(project):
    done = project.run(*saved_model("pool3d"), "opset=select_tf", *PARITY)
    assert done.code == 4
    assert "verify=none" in done.err


def test_an_operator_that_not_even_flex_has_is_named(project):
    done = project.run(*saved_model("svd"), "opset=select_tf")
    assert done.code == 1
    assert "TFLite has no operator for Svd, nor has Flex" in done.err


def test_a_source_that_gives_nan_is_refused(project):
    done = project.run(*keras_model("nan"), *PARITY)
    assert done.code == 2
    assert "the source model gives NaN or infinity in its output 'y'" in done.err


def test_custom_code_in_a_keras_file_is_not_run(project):
    done = project.run(*keras_model("custom"))
    assert done.code == 2
    assert "'custom.keras' has classes or functions of its own: 'Doubled'" in done.err


def test_keras_3_loads_its_own_hdf5(project):
    found = build(project, "source.path=new.h5", "name=new", *PARITY)
    assert found["source_note"] is None
    assert found["metrics"]["verify"]["outputs"]["y"]["max_abs_error"] < 1e-5


def test_a_keras_2_model_is_loaded_by_tf_keras_and_that_is_said(project):
    """Its DepthwiseConv2D has a `groups` that Keras 3 does not know."""
    done = project.run("source.path=old.h5", "name=old", "quantization=int8", "dataset=synthetic", "verify=none")
    assert done.code == 0, done.err
    assert "loaded with tf_keras" in done.err.splitlines()[0]
    (manifest,) = (project.folder / "outputs" / "old").rglob("manifest.json")
    assert json.loads(manifest.read_text())["source_note"].startswith("loaded with tf_keras")


def test_code_in_an_hdf5_file_is_not_run(project):
    done = project.run("source.path=lambda.h5", "name=lambda")
    assert done.code == 2
    assert "Lambda" in done.err
    assert not (project.folder / "ran").exists()


def test_a_signature_that_the_model_lacks_names_those_it_has(project):
    done = project.run(*saved_model("two"), "signature.key=serve_default")
    assert done.code == 2
    assert "serving_default" in done.err
    assert "did you mean" in done.err


@pytest.mark.parametrize("model", ["two.keras", "two"])
def test_the_recipe_that_inspect_writes_builds(project, model):
    done = project.run("inspect", model, "--as-recipe")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 6
    project.write(
        f"recipes/of_{model[3:]}.yaml", done.out.replace("data/calibration", "data").replace("data/test", "data")
    )
    built = project.run(f"+recipe=of_{model[3:]}")
    assert built.code == 0, built.err


@pytest.mark.parametrize(("model", "word"), [("data.npz", "is not a model"), ("none.keras", "does not exist")])
def test_what_is_no_model_is_not_inspected(project, model, word):
    done = project.run("inspect", model)
    assert done.code == 2
    assert word in done.err
