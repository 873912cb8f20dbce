"""Declared signatures against what a model has; no framework is asked."""

import pytest

from tflbuild.workers.contract import WorkerError
from tflbuild.workers.signatures import (
    Spec,
    declare,
    each_signature,
    require_described,
    require_key,
    require_outputs,
    signature_json,
)

IMAGE = {"image": Spec((None, 28, 28, 1), "float32")}
TWO = {"left": Spec((None, 4), "float32"), "right": Spec((None, 3), "int32")}


def declared(inputs=None, batch=1, outputs=(), **preprocess):
    """One signature of a recipe as JSON; `inputs` are name -> (shape, dtype)."""
    specs = [{"name": name, "shape": list(shape), "dtype": dtype} for name, (shape, dtype) in (inputs or {}).items()]
    plain = {"dtype": "uint8", "layout": "keep"}
    steps = [{"input": name, **plain, **one} for name, one in preprocess.items()]
    return {"inputs": specs, "batch": batch, "outputs": list(outputs), "preprocess": steps}


def refused(function, *arguments):
    with pytest.raises(WorkerError) as caught:
        function(*arguments)
    assert caught.value.fields["kind"] == "recipe"
    return caught.value.fields


# what is not declared is the model's own


@pytest.mark.parametrize(
    ("shape", "batch", "taken"),
    [
        ((None, 8), 1, (1, 8)),
        ((None, 8), 4, (4, 8)),
        ((None, 8), None, (None, 8)),
        ((2, 8), 1, (2, 8)),
        ((2, 8), None, (2, 8)),
        ((None, None, 4), 1, (1, None, 4)),
        ((), 1, ()),
    ],
)
def test_a_free_batch_is_pinned_and_nothing_else_is_touched(shape, batch, taken):
    assert declare({"x": Spec(shape, "float32")}, declared(batch=batch), "net") == {"x": Spec(taken, "float32")}


def test_an_input_without_any_shape_is_to_be_declared():
    found = refused(declare, {"x": Spec(None, "int64")}, declared(), "net")
    assert found["what"] == "input 'x' has no shape in the model"
    assert found["where"] == "signature.inputs"
    assert found["next_step"] == "declare it: signature.inputs.x={shape: [1, ...], dtype: int64}"


def test_once_declared_it_has_one():
    wanted = declared({"x": ([1, 5], "int64")})
    assert declare({"x": Spec(None, "int64")}, wanted, "net") == {"x": Spec((1, 5), "int64")}


# what is declared is held against it


def test_the_inputs_keep_the_models_order():
    wanted = declared({"right": ([1, 3], "int32"), "left": ([1, 4], "float32")})
    assert list(declare(TWO, wanted, "net")) == ["left", "right"]


def test_another_dtype_is_refused_with_both_and_a_way_out():
    found = refused(declare, {"x": Spec((None, 8), "float64")}, declared({"x": ([1, 8], "float32")}), "net")
    assert found["what"] == "input 'x' is declared float32, and the model takes float64"
    assert found["where"] == "signature.inputs.x.dtype"
    assert found["why"] == "'net' has x: float64[None, 8], declared is float32[1, 8]"
    assert found["next_step"] == "declare float64; to feed another type, say what it means: signature.preprocess.x"


def test_a_shape_without_its_batch_is_refused_with_a_hint():
    found = refused(declare, IMAGE, declared({"image": ([28, 28, 1], "float32")}), "net")
    assert found["what"] == "input 'image' cannot have the declared shape [28, 28, 1]"
    assert found["where"] == "signature.inputs.image.shape"
    assert found["why"].endswith("declared is float32[28, 28, 1]; the batch comes first")


@pytest.mark.parametrize("shape", [[1, 28, 28], [1, 28, 28, 1, 1], [1, 28, 27, 1], [1, 28, 28, None]])
def test_a_shape_that_the_model_cannot_have_is_refused_with_both(shape):
    found = refused(declare, IMAGE, declared({"image": (shape, "float32")}), "net")
    assert found["what"] == f"input 'image' cannot have the declared shape {shape}"
    assert "'net' has image: float32[None, 28, 28, 1], declared is" in found["why"]


@pytest.mark.parametrize("shape", [[1, 28, 28, 1], [7, 28, 28, 1], [None, 28, 28, 1]])
def test_any_size_fits_where_the_model_leaves_it_free(shape):
    assert declare(IMAGE, declared({"image": (shape, "float32")}), "net") == {"image": Spec(tuple(shape), "float32")}


def test_a_misspelt_input_is_refused_with_the_one_that_was_meant():
    found = refused(declare, IMAGE, declared({"imgae": ([1, 28, 28, 1], "float32")}), "net")
    assert found["what"] == "the inputs declared are imgae, and the model's are image"
    assert found["why"] == "'net' takes image: float32[None, 28, 28, 1]; did you mean 'image' for 'imgae'?"


def test_an_input_that_is_left_out_is_named():
    found = refused(declare, TWO, declared({"left": ([1, 4], "float32")}), "net")
    assert found["what"] == "the inputs declared are left, and the model's are left, right"
    assert "left: float32[None, 4]; right: int32[None, 3]" in found["why"]


def test_the_place_of_a_further_signature_is_its_own():
    wanted = declared({"x": ([1, 8], "float32")})
    found = refused(declare, {"x": Spec((None, 8), "int32")}, wanted, "net", "signature.more.infer")
    assert found["where"] == "signature.more.infer.inputs.x.dtype"
    assert "signature.more.infer.preprocess.x" in found["next_step"]


# models that take what they are given


def test_an_open_model_takes_what_is_declared():
    wanted = declared({"b": ([1, 8], "float32"), "a": ([None, 2], "int8")})
    assert declare(None, wanted, "net") == {"b": Spec((1, 8), "float32"), "a": Spec((None, 2), "int8")}


def test_an_open_model_needs_a_declaration():
    found = refused(declare, None, declared(), "net.py:make", "signature.more.infer")
    assert found["what"] == "'net.py:make' fixes no inputs, and the recipe declares none"
    assert found["where"] == "signature.more.infer.inputs"
    told = "declare them: signature.more.infer.inputs={x: {shape: [1, ...], dtype: float32}}"
    assert found["next_step"] == told


# inputs that the artifact preprocesses


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("keep", (1, 8, 10, 3)), ("nchw_to_nhwc", (1, 3, 8, 10)), ("nhwc_to_nchw", (1, 10, 3, 8))],
)
def test_a_preprocessed_input_has_the_apps_dtype_and_axes(layout, shape):
    model = {"image": Spec((None, 8, 10, 3), "float32")}
    taken = declare(model, declared(image={"layout": layout, "dtype": "int8"}), "net")
    assert taken == {"image": Spec(shape, "int8")}


def test_a_preprocessed_input_may_be_declared_with_another_size_and_dtype():
    wanted = declared({"image": ([1, 480, 640, 3], "uint8")}, image={})
    assert declare(IMAGE, wanted, "net") == {"image": Spec((1, 480, 640, 3), "uint8")}


def test_the_other_inputs_stay_as_they_are():
    taken = declare(TWO, declared(left={}), "net")
    assert taken == {"left": Spec((1, 4), "uint8"), "right": Spec((1, 3), "int32")}


def test_preprocessing_of_an_input_that_is_not_there_is_refused():
    found = refused(declare, TWO, declared(lfet={}), "net")
    assert found["what"] == "'net' has no input 'lfet'"
    assert found["where"] == "signature.preprocess"
    assert found["why"] == "its inputs: left, right; did you mean 'left'?"


@pytest.mark.parametrize("layout", ["nchw_to_nhwc", "nhwc_to_nchw"])
def test_a_layout_is_that_of_images(layout):
    found = refused(declare, TWO, declared(left={"layout": layout}), "net")
    assert "left" in found["what"]
    assert found["where"].startswith("signature.preprocess.left")


# outputs


def test_outputs_are_found_by_the_models_own_names():
    require_outputs(declared(outputs=[("logits", "scores"), ("again", "scores")]), ["scores", "hidden"], "net")


def test_an_unknown_output_is_refused_with_the_one_that_was_meant():
    wanted = declared(outputs=[("logits", "score")])
    found = refused(require_outputs, wanted, ["scores", "hidden"], "net", "signature.more.infer")
    assert found["what"] == "'net' has no output 'score'"
    assert found["where"] == "signature.more.infer.outputs.logits"
    assert found["why"] == "its outputs: scores, hidden; did you mean 'scores'?"


# entry points


def test_a_misspelt_entry_is_refused_with_those_that_there_are():
    require_key("encode", ["encode", "decode"], "net")
    found = refused(require_key, "encoed", ["encode", "decode"], "net")
    assert found["what"] == "'net' has no signature 'encoed'"
    assert found["why"] == "it has: encode, decode; did you mean 'encode'?"
    assert (found["where"], found["next_step"]) == ("signature.key", "set signature.key")


def test_where_there_is_none_that_is_said():
    found = refused(require_key, "encode", [], "net")
    assert found["why"] == "it has: none"
    assert found["next_step"] == "export the model with a signature"


def test_all_signatures_are_walked_the_main_one_first():
    main, other = (signature_json(key, TWO, {}, key) for key in ("train", "infer"))
    assert [one["key"] for one in each_signature({**main, "more": [other]})] == ["train", "infer"]
    assert main["inputs"][1] == {"name": "right", "shape": [None, 3], "dtype": "int32"}
    assert main["stateful"] is False


@pytest.mark.parametrize(
    ("side", "name", "near"), [("inputs", "imgae", "image"), ("inputs", "probs", ""), ("outputs", "prob", "probs")]
)
def test_metadata_of_a_tensor_that_is_not_there_is_refused_with_the_nearest(side, name, near):
    one = {**declared(), "described": {side: [name]}}
    fields = refused(require_described, one, ["image"], ["probs"], "net", "metadata.more.train")
    assert (
        fields["what"] == f"'net' has no {side[:-1]} '{name}'"
        and fields["where"] == f"metadata.more.train.{side}.{name}"
    )
    assert ("did you mean" in fields["why"]) is bool(near) and near in fields["why"]
    require_described({**declared(), "described": {"inputs": ["image"]}}, ["image"], ["probs"], "net", "metadata")
