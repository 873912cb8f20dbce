"""The rules that hold a file against its recipe, each on a model made to break it."""

from dataclasses import replace

import pytest

from tflbuild.workers.declarations import examine
from tflbuild.workers.flatbuffer import Model, Op, SignatureDef, Subgraph, Tensor

PARAMS = {
    "scheme": "int8",
    "input_type": "int8",
    "output_type": "int8",
    "select_tf": False,
    "full_integer": False,
    "static_shapes": False,
}
SIGNATURE = {
    "key": "serving_default",
    "inputs": [{"name": "image", "shape": [1, 4], "dtype": "float32"}],
    "outputs": [{"name": "scores", "shape": [1, 2], "dtype": "float32"}],
}


def tensor(name, type="int8", shape=(1, 4), constant=False, scale=0.5, elements=None):
    quantized = type in ("int8", "uint8") and scale is not None
    return Tensor(
        name=name,
        type=type,
        shape=shape,
        elements=elements or 4,
        constant=constant,
        scales=(scale,) if quantized else (),
        zero_points=(0,) if quantized else (),
        axis=0,
    )


def model(io="int8", weights="int8", op="FULLY_CONNECTED", elements=2048, custom=False, **changes):
    """One operator: image x weights -> scores."""
    tensors = (
        tensor("image", io),
        tensor("weights", weights, (2, 4), constant=True, elements=elements),
        tensor("scores", io, (1, 2)),
    )
    graph = Subgraph("main", tensors, (Op(op, 1, custom, (0, 1), (2,)),), (0,), (2,))
    signature = SignatureDef("serving_default", 0, {"image": tensors[0]}, {"scores": tensors[2]})
    return replace(Model(bytes=100, subgraphs=(graph,), signatures=(signature,)), **changes)


def rules(made, ranges=(), signature=SIGNATURE, **params):
    return sorted({finding.rule for finding in examine(made, PARAMS | params, signature, dict(ranges))})


def as_float(scheme):
    return {"scheme": scheme, "input_type": "float32", "output_type": "float32"}


def test_a_true_int8_model_has_no_findings():
    assert rules(model()) == []


def test_a_float_model_declared_int8_is_found():
    assert rules(model(io="float32", weights="float32")) == ["float_op", "io_type"]


def test_a_float_operator_between_int8_ones_is_found():
    made = model()
    (graph,) = made.subgraphs
    tensors = (*graph.tensors, tensor("real", "float32"), tensor("sine", "float32"), tensor("back"))
    ops = (
        Op("DEQUANTIZE", 1, False, (0,), (3,)),
        Op("SIN", 1, False, (3,), (4,)),
        Op("QUANTIZE", 1, False, (4,), (5,)),
    )
    mixed = replace(made, subgraphs=(replace(graph, tensors=tensors, ops=ops + graph.ops),))
    found = [finding.text for finding in examine(mixed, PARAMS, SIGNATURE, {})]
    assert any(text.startswith("SIN computes in float") for text in found)


def test_conversions_at_a_float_border_are_allowed():
    made = model()
    (graph,) = made.subgraphs
    outer = tensor("float_image", "float32")
    wrapped = replace(
        graph, tensors=(*graph.tensors, outer), ops=(Op("QUANTIZE", 1, False, (3,), (0,)), *graph.ops), inputs=(3,)
    )
    signature = replace(made.signatures[0], inputs={"image": outer})
    made = replace(made, subgraphs=(wrapped,), signatures=(signature,))
    assert rules(made, input_type="float32") == []
    assert rules(made) == ["io_type"]


@pytest.mark.parametrize("side", ["input_type", "output_type"])
def test_an_ignored_io_type_is_found(side):
    assert rules(model(), **{side: "uint8"}) == ["io_type"]


def test_data_that_was_ignored_is_found():
    assert rules(model(), ranges={"image": (0.0, 127.5)}) == []
    assert rules(model(), ranges={"image": (0.0, 255.0)}) == ["dataset"]
    assert rules(model(), ranges={"image": (-127.5, 127.5)}) == ["dataset"]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_unusable_scale_is_found(scale):
    made = model()
    (graph,) = made.subgraphs
    tensors = (*graph.tensors[:2], tensor("scores", "int8", (1, 2), scale=scale))
    assert "scale" in rules(replace(made, subgraphs=(replace(graph, tensors=tensors),)))


def test_an_int8_result_without_a_scale_is_found():
    made = model()
    (graph,) = made.subgraphs
    tensors = (*graph.tensors[:2], tensor("scores", "int8", (1, 2), scale=None))
    assert "scale" in rules(replace(made, subgraphs=(replace(graph, tensors=tensors),)))


def test_float16_means_float16_weights():
    assert rules(model("float32", "float16"), **as_float("float16")) == []
    assert rules(model("float32", "float32"), **as_float("float16")) == ["scheme"]


def test_dynamic_int8_means_int8_weights_and_float_activations():
    assert rules(model("float32", "int8"), **as_float("dynamic_int8")) == []
    assert rules(model("float32", "float32"), **as_float("dynamic_int8")) == ["scheme"]
    assert "scheme" in rules(model("int8", "int8"), **as_float("dynamic_int8"))


def test_none_means_no_half_precision():
    assert rules(model("float32", "float32"), **as_float("none")) == []
    assert rules(model("float32", "float16"), **as_float("none")) == ["scheme"]


def test_small_weights_may_stay_float():
    made = model("float32", "float32", elements=16)
    texts = [finding.text for finding in examine(made, PARAMS | as_float("dynamic_int8"), SIGNATURE, {})]
    assert texts == ["no weight is int8: the model was left as it is"]


def test_flex_operators_need_their_op_set():
    flex = model("float32", "float32", op="FlexErf", custom=True)
    assert rules(flex, **as_float("none")) == ["opset"]
    assert rules(flex, **as_float("none"), select_tf=True) == []


def test_custom_operators_are_refused():
    assert rules(model("float32", "float32", op="MyOp", custom=True), **as_float("none"), select_tf=True) == ["opset"]


def test_a_missing_signature_is_found():
    assert rules(replace(model(), signatures=())) == ["signature"]


@pytest.mark.parametrize(
    "inputs",
    [
        [{"name": "picture", "shape": [1, 4], "dtype": "float32"}],
        [{"name": "image", "shape": [1, 8], "dtype": "float32"}],
    ],
)
def test_another_name_or_shape_is_found(inputs):
    assert rules(model(), signature=SIGNATURE | {"inputs": inputs}) == ["signature"]


def test_an_integer_only_target_takes_no_float():
    made = model("float32", "int8")
    assert "target" in rules(made, **as_float("dynamic_int8"), full_integer=True)
    assert rules(model(), full_integer=True) == []


def test_a_static_target_takes_no_free_dimension():
    made = model()
    (graph,) = made.subgraphs
    free = replace(graph.tensors[0], shape=(-1, 4))
    made = replace(made, subgraphs=(replace(graph, tensors=(free, *graph.tensors[1:])),))
    assert rules(made, static_shapes=True) == ["target"]
