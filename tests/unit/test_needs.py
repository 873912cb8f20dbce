"""What profiles need, held against artifacts: the operators, inputs and tensors that are at fault, and no others."""

from dataclasses import replace

import pytest
from planted import planted

from tflbuild.core.target_requirements import TargetRequirements
from tflbuild.core.verdict import Fallback
from tflbuild.targets.common.requirement_check import find_unmet_requirements
from tflbuild.tflite.operator_schemes import find_operator_scheme, map_dequantized_constants
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor


def tensor(name, type="float32", shape=(1, 4), scales=(), constant=False, **more):
    return Tensor(name, type, shape, 4, constant, tuple(scales), (0,) * len(scales), 0, **more)


def model(tensors, ops, inputs=(0,), outputs=(), signed=True):
    made = [Operator(name, 1, name.startswith("Flex"), tuple(takes), tuple(gives)) for name, takes, gives in ops]
    graph = Subgraph("main", tuple(tensors), tuple(made), tuple(inputs), tuple(outputs))
    entry = SignatureDef("serving_default", 0, {f"in{at}": tensors[index] for at, index in enumerate(inputs)}, {})
    return Model(1, (graph,), (entry,) if signed else ())


def quantized(name, type="int8", count=1, **more):
    return tensor(name, type, scales=(0.5,) * count, **more)


def found(made, **needs):
    return [(one.op, one.layer) for one in find_unmet_requirements(TargetRequirements(**needs), made, "board")]


def schemes_of(*tensors, op="CONV_2D", between=()):
    """The scheme of an operator on the tensors but the last, which it gives; `between` are conversions before it."""
    last = len(tensors) - 1
    made = model(tensors, [*between, (op, range(last), (last,))])
    graph = made.subgraphs[0]
    return find_operator_scheme(graph, graph.ops[-1], map_dequantized_constants(graph))


WEIGHT = {"constant": True}


@pytest.mark.parametrize(
    ("tensors", "scheme"),
    [
        ((tensor("x"), tensor("w", **WEIGHT), tensor("y")), "none"),
        ((tensor("x"), tensor("w", "float16", **WEIGHT), tensor("y")), "float16"),
        ((tensor("x"), quantized("w", **WEIGHT), tensor("y")), "dynamic_int8"),
        ((tensor("x"), quantized("w", "int4", **WEIGHT), tensor("y")), "dynamic_int4"),
        ((tensor("x"), tensor("w", "int4", block=32, **WEIGHT), tensor("y")), "dynamic_int4"),
        ((tensor("x"), quantized("w", "int2", **WEIGHT), tensor("y")), "dynamic_int2"),
        ((quantized("x"), quantized("w", count=4, **WEIGHT), quantized("y")), "int8"),
        ((quantized("x", "uint8"), quantized("w", "uint8", **WEIGHT), quantized("y", "uint8")), "int8"),
        ((quantized("x"), quantized("w", "int4", **WEIGHT), quantized("y")), "int4"),
        ((quantized("x", "int16"), quantized("w", **WEIGHT), quantized("y", "int16")), "int16x8"),
        ((quantized("x"), quantized("cell", "int16", state=True), quantized("y")), "int8"),
        ((tensor("x", "int32"), tensor("w", "int8", **WEIGHT), tensor("y", "int32")), ""),
    ],
)
def test_the_scheme_of_an_operator_is_told_by_its_tensors(tensors, scheme):
    assert schemes_of(*tensors) == scheme


@pytest.mark.parametrize(("type", "scheme"), [("int8", "weight_only_int8"), ("float16", "float16")])
def test_weights_are_seen_behind_the_conversion_that_widens_them(type, scheme):
    stored = quantized("w", type, **WEIGHT) if type == "int8" else tensor("w", type, **WEIGHT)
    graph = model(
        (tensor("x"), stored, tensor("wide"), tensor("y")),
        [("DEQUANTIZE", (1,), (2,)), ("CONV_2D", (0, 2), (3,))],
    ).subgraphs[0]
    assert [find_operator_scheme(graph, op, map_dequantized_constants(graph)) for op in graph.ops] == ["", scheme]


FLOAT = model((tensor("x"), tensor("w", **WEIGHT), tensor("y")), [("CONV_2D", (0, 1), (2,))])
INT8 = model((quantized("x"), quantized("w", **WEIGHT), quantized("y")), [("CONV_2D", (0, 1), (2,))])
MIXED = model(
    (tensor("x"), quantized("a"), quantized("b"), tensor("c"), tensor("d")),
    [("QUANTIZE", (0,), (1,)), ("RELU", (1,), (2,)), ("DEQUANTIZE", (2,), (3,)), ("COS", (3,), (4,))],
)


def test_a_scheme_without_kernels_is_told_operator_by_operator():
    (one,) = find_unmet_requirements(TargetRequirements(schemes=("int8", "int16x8")), FLOAT, "board")
    assert one == Fallback(
        op="CONV_2D",
        layer="y",
        reason="it computes as quantization=none, and board has kernels for int8, int16x8",
        fix="quantization=int8, from the float model",
        index=0,
    )
    assert found(INT8, schemes=("int8",)) == [] and found(INT8, schemes=()) == []
    assert found(INT8, schemes=("none", "float16")) == [("CONV_2D", "y")]


def test_floats_beside_what_is_quantized_are_left_to_the_rules():
    assert found(MIXED, schemes=("int8",)) == []
    assert found(MIXED, schemes=("none",)) == [("RELU", "b")]


def test_where_no_kernel_takes_int4_int8_will_do():
    assert found(INT8, schemes=("int4",)) == []


def test_weight_only_operators_belong_to_dynamic_range_only_beside_dynamic_ones():
    tensors = (
        tensor("x"),
        quantized("w", **WEIGHT),
        tensor("wide"),
        tensor("y"),
        quantized("v", **WEIGHT),
        tensor("z"),
    )
    alone = [("DEQUANTIZE", (1,), (2,)), ("TRANSPOSE_CONV", (0, 2), (3,))]
    assert found(model(tensors, alone), schemes=("dynamic_int8",)) == [("TRANSPOSE_CONV", "y")]
    both = model(tensors, [*alone, ("FULLY_CONNECTED", (3, 4), (5,))])
    assert found(both, schemes=("dynamic_int8",)) == []
    assert found(both, schemes=("int8",)) == [("TRANSPOSE_CONV", "y"), ("FULLY_CONNECTED", "z")]


def test_floating_point_is_found_at_inputs_in_operators_and_in_what_nothing_reads():
    assert found(INT8, full_integer=True) == []
    assert found(MIXED, full_integer=True) == [("input", "in0"), ("DEQUANTIZE", "c"), ("COS", "d")]
    left = replace(INT8.subgraphs[0], tensors=(*INT8.subgraphs[0].tensors, tensor("spare", "bfloat16")))
    assert found(replace(INT8, subgraphs=(left,)), full_integer=True) == [("tensor", "spare")]
    weights = model((quantized("x"), tensor("w", **WEIGHT), quantized("y")), [("CONV_2D", (0, 1), (2,))])
    (one,) = find_unmet_requirements(TargetRequirements(full_integer=True), weights, "board")
    assert one.op == "CONV_2D" and one.reason == "its input 'w' is float32, and board takes integers alone"


def test_free_sizes_are_found_at_inputs_and_where_they_arise():
    made = model(
        (tensor("x"), tensor("i", "int32"), tensor("y", shape=(-1, 4))), [("WHERE", (0,), (1,)), ("A", (1,), (2,))]
    )
    assert found(made, static_shapes=True) == [("A", "y")]
    batch = model((tensor("x", shape=(-1, 4)), tensor("y")), [("RELU", (0,), (1,))])
    assert found(batch, static_shapes=True) == [("input", "in0")] and found(batch) == []


def test_one_scale_a_tensor():
    made = model(
        (quantized("x"), quantized("w", count=8, **WEIGHT), quantized("b", "int32", count=8, **WEIGHT), quantized("y")),
        [("CONV_2D", (0, 1, 2), (3,))],
    )
    (one,) = find_unmet_requirements(TargetRequirements(per_tensor=True), made, "board")
    assert (one.op, one.layer, one.fix) == ("CONV_2D", "y", "quantization.granularity=per_tensor")
    assert one.reason == "its input 'w' has 8 scales, and board takes one scale a tensor"
    blocks = model((tensor("x"), tensor("w", "int4", block=32, **WEIGHT), tensor("y")), [("A", (0, 1), (2,))])
    assert found(blocks, per_tensor=True) == [("A", "y")]
    assert found(INT8, per_tensor=True) == []


@pytest.mark.parametrize("signed", [True, False])
def test_the_rank_is_that_of_inputs_alone(signed):
    shapes = model((tensor("x", shape=(1, 2, 3)), tensor("y", shape=(1, 2, 3, 4))), [("A", (0,), (1,))], signed=signed)
    assert found(shapes, max_rank=3) == []
    (one,) = find_unmet_requirements(TargetRequirements(max_rank=2), shapes, "board")
    assert one.op == "input" and one.layer == ("in0" if signed else "x")
    assert one.reason == "it has 3 dimensions, and board takes inputs of at most 2"


def test_flex_operators_where_no_app_links_them():
    made = model((tensor("x"), tensor("y")), [("FlexErf", (0,), (1,))])
    assert found(made, select_tf=False) == [("FlexErf", "y")] and found(made) == []


def test_a_body_s_inputs_are_no_inputs_of_the_model():
    body = Subgraph("body", (tensor("a"), tensor("b")), (Operator("RELU", 1, False, (0,), (1,)),), (0,), (1,))
    made = replace(INT8, subgraphs=(INT8.subgraphs[0], body))
    assert [
        (one.op, one.subgraph) for one in find_unmet_requirements(TargetRequirements(full_integer=True), made, "board")
    ] == [("RELU", 1)]


def test_a_written_file_is_read_so():
    assert found(planted("CONV_2D_float32"), schemes=("int8",))[0][0] == "CONV_2D"
    assert found(planted("CONV_2D_int8"), schemes=("int8",), full_integer=True, static_shapes=True) == []
    assert found(planted("CONV_2D_int8"), per_tensor=True)[0][0] == "CONV_2D"
