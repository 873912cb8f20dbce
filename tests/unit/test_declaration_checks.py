"""The rules that hold a file against its recipe, each on a model made to break it."""

from dataclasses import replace

import pytest

from tflbuild.steps.checking.declaration_checks import check_declarations
from tflbuild.steps.checking.scale_and_order_checks import check_zero_points
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

PARAMS = {
    "scheme": "int8",
    "input_type": "int8",
    "output_type": "int8",
    "opset": {"select_tf": False, "custom": [], "deny": [], "max_runtime": "", "arithmetic": "any"},
    "rules": [],
}
SIGNATURE = {
    "key": "serving_default",
    "inputs": [{"name": "image", "shape": [1, 4], "dtype": "float32"}],
    "outputs": [{"name": "scores", "shape": [1, 2], "dtype": "float32"}],
}


def tensor(name, type="int8", shape=(1, 4), constant=False, scale=0.5, elements=None):
    quantized = type in ("int8", "uint8", "int16") and scale is not None
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
    graph = Subgraph("main", tensors, (Operator(op, 1, custom, (0, 1), (2,)),), (0,), (2,))
    signature = SignatureDef("serving_default", 0, {"image": tensors[0]}, {"scores": tensors[2]})
    return replace(Model(bytes=100, subgraphs=(graph,), signatures=(signature,)), **changes)


def rules(made, ranges=(), signature=SIGNATURE, **params):
    return sorted({finding.rule for finding in check_declarations(made, PARAMS | params, signature, dict(ranges))})


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
        Operator("DEQUANTIZE", 1, False, (0,), (3,)),
        Operator("SIN", 1, False, (3,), (4,)),
        Operator("QUANTIZE", 1, False, (4,), (5,)),
    )
    mixed = replace(made, subgraphs=(replace(graph, tensors=tensors, ops=ops + graph.ops),))
    found = [finding.text for finding in check_declarations(mixed, PARAMS, SIGNATURE, {})]
    assert found == [
        "SIN computes in float: real, sine",
        "DEQUANTIZE computes in float: real",
        "QUANTIZE computes in float: sine",
    ]


def test_operators_to_blame_are_named_and_conversions_are_not():
    made = model(io="float32", weights="float32")
    (finding,) = [one for one in check_declarations(made, PARAMS, SIGNATURE, {}) if one.rule == "float_op"]
    assert finding.operators == (("FULLY_CONNECTED", "scores"),)
    (graph,) = made.subgraphs
    alone = replace(
        graph, ops=(Operator("DEQUANTIZE", 1, False, (0,), (1,)), Operator("QUANTIZE", 1, False, (1,), (2,)))
    )
    found = list(check_declarations(replace(made, subgraphs=(alone,)), PARAMS, SIGNATURE, {}))
    assert found and not any(one.operators for one in found)


def test_conversions_at_a_float_border_are_allowed():
    made = model()
    (graph,) = made.subgraphs
    outer = tensor("float_image", "float32")
    wrapped = replace(
        graph,
        tensors=(*graph.tensors, outer),
        ops=(Operator("QUANTIZE", 1, False, (3,), (0,)), *graph.ops),
        inputs=(3,),
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
    assert rules(model("float32", "float16"), **as_float("none"), as_it_is=True) == []


def test_small_weights_may_stay_float():
    made = model("float32", "float32", elements=16)
    texts = [finding.text for finding in check_declarations(made, PARAMS | as_float("dynamic_int8"), SIGNATURE, {})]
    assert texts == ["no weight is int8: the model was left as it is"]


def opset(**changes):
    return {"opset": PARAMS["opset"] | changes}


def text_of(made, **params):
    """What the only finding says."""
    (finding,) = check_declarations(made, PARAMS | params, SIGNATURE, {})
    return finding.text


def test_flex_operators_need_their_op_set():
    flex = model("float32", "float32", op="FlexErf", custom=True)
    assert rules(flex, **as_float("none")) == ["opset"]
    assert rules(flex, **as_float("none"), **opset(select_tf=True)) == []


def test_custom_operators_are_allowed_by_name_alone():
    made = model("float32", "float32", op="MyOp", custom=True)
    assert rules(made, **as_float("none"), **opset(select_tf=True)) == ["opset"]
    assert rules(made, **as_float("none"), **opset(custom=["Other"])) == ["opset"]
    assert rules(made, **as_float("none"), **opset(custom=["MyOp"])) == []
    assert "opset.custom=[MyOp]" in text_of(made, **as_float("none"))


def test_allowing_one_more_custom_operator_keeps_those_that_are_allowed():
    made = model("float32", "float32", op="MyOp", custom=True)
    assert (
        "operators that the op set does not allow: MyOp (if the app registers them: opset.custom=[MyOp,Other])"
        in text_of(made, **as_float("none"), **opset(custom=["Other"]))
    )


@pytest.mark.parametrize(("op", "custom"), [("FULLY_CONNECTED", False), ("FlexErf", True), ("MyOp", True)])
def test_a_denied_operator_is_found_whatever_its_kind(op, custom):
    made = model("float32", "float32", op=op, custom=custom)
    allowed = {"select_tf": True, "custom": ["MyOp"]}
    assert rules(made, **as_float("none"), **opset(**allowed)) == []
    assert text_of(made, **as_float("none"), **opset(**allowed, deny=[op])) == (
        f"{op}, which opset.deny excludes: 1 of them"
    )


def versioned(version, op="CONV_2D"):
    made = model("float32", "float32", op=op)
    (graph,) = made.subgraphs
    return replace(made, subgraphs=(replace(graph, ops=(replace(graph.ops[0], version=version),)),))


@pytest.mark.parametrize(("version", "newest", "found"), [(8, "2.14", True), (8, "2.15", False), (8, "2.15.1", False)])
def test_what_a_runtime_lacks_is_found(version, newest, found):
    assert rules(versioned(version), **as_float("none"), **opset(max_runtime=newest)) == ["runtime"] * found


def test_the_operator_and_the_runtime_it_needs_are_named():
    told = text_of(versioned(8), **as_float("none"), **opset(max_runtime="2.9"))
    assert told == "CONV_2D version 8 needs TFLite 2.15, opset.max_runtime is 2.9, which refuses it"


def test_an_unknown_version_is_never_old_enough():
    told = text_of(versioned(99), **as_float("none"), **opset(max_runtime="9.9"))
    assert told == "CONV_2D version 99: no TFLite runtime was tried with it, so none is known to run it"
    assert rules(versioned(99), **as_float("none")) == []


@pytest.mark.parametrize("op", ["FlexErf", "MyOp", "CONV_2D"])
def test_what_the_app_brings_is_no_matter_of_the_runtime(op):
    """A custom operator's version is its author's, even where its name is a builtin's."""
    made = model("float32", "float32", op=op, custom=True)
    allowed = {"select_tf": True, "custom": ["MyOp", "CONV_2D"]}
    assert rules(made, **as_float("none"), **opset(**allowed, max_runtime="1.0")) == []


def test_every_operator_of_every_subgraph_counts():
    made = versioned(8)
    both = replace(made, subgraphs=(*model("float32", "float32").subgraphs, *made.subgraphs))
    assert rules(both, **as_float("none"), **opset(max_runtime="2.9")) == ["runtime"]
    told = text_of(replace(made, subgraphs=made.subgraphs * 2), **as_float("none"), **opset(deny=["CONV_2D"]))
    assert told == "CONV_2D, which opset.deny excludes: 2 of them"


def with_variable(*initial):
    """A model with the variable `w`; `initial` are the operators of the subgraph that runs once."""
    made = model("float32", "float32")
    (graph,) = made.subgraphs
    handle = Operator("VAR_HANDLE", 1, False, (), (0,), variable="w")
    once = Operator("CALL_ONCE", 1, False, (), (), initial=1)
    main = replace(graph, ops=(once, *graph.ops, handle))
    start = Subgraph("init", (tensor("w", "resource"), tensor("value", "float32")), initial, (), ())
    return replace(made, subgraphs=(main, start))


def test_a_variable_that_nothing_initialises_is_found():
    handle = Operator("VAR_HANDLE", 1, False, (), (0,), variable="w")
    assign = Operator("ASSIGN_VARIABLE", 1, False, (0, 1), ())
    other = replace(handle, variable="v")
    assert rules(with_variable(handle, assign), **as_float("none")) == []
    assert rules(with_variable(), **as_float("none")) == ["variables"]
    assert rules(with_variable(other, assign), **as_float("none")) == ["variables"]


def with_table(*initial):
    made = with_variable(*initial)
    graph, start = made.subgraphs
    find = Operator("HASHTABLE", 1, False, (), (0,), table=7)
    ops = tuple(op for op in graph.ops if op.name != "VAR_HANDLE")
    return replace(made, subgraphs=(replace(graph, ops=(*ops, find)), start))


def test_a_table_that_nothing_fills_is_found():
    table = Operator("HASHTABLE", 1, False, (), (0,), table=7)
    fill = Operator("HASHTABLE_IMPORT", 1, False, (0, 1, 1), ())
    assert rules(with_table(table, fill), **as_float("none")) == []
    assert rules(with_table(table), **as_float("none")) == ["variables"]
    assert rules(with_table(replace(table, table=8), fill), **as_float("none")) == ["variables"]


WIDE = {"scheme": "int16x8", "input_type": "int16", "output_type": "int16"}


def wide(**changes):
    return model("int16", **changes)


def test_a_true_int16x8_model_has_no_findings():
    assert rules(wide(), **WIDE) == []


def with_ops(made, tensors, *ops, **changes):
    """The model with these tensors after its own (indices 3, 4, ...), and these operators before its own."""
    (graph,) = made.subgraphs
    wider = replace(graph, tensors=(*graph.tensors, *tensors), ops=(*ops, *graph.ops), **changes)
    return replace(made, subgraphs=(wider,))


def test_int16x8_wants_int16_activations_and_int8_weights():
    assert rules(model(), **WIDE) == ["io_type", "scheme"]
    assert rules(wide(weights="int16"), **WIDE) == ["scheme"]
    assert rules(wide(weights="float32"), **WIDE) == ["float_op", "scheme"]


def test_int16x8_computes_on_nothing_narrower_at_its_borders_either():
    """`model()` is int8 from border to border, and declared so."""
    assert rules(model(), **WIDE | {"input_type": "int8", "output_type": "int8"}) == ["scheme"]


def test_int16x8_multiplies_activations_with_each_other():
    made = with_ops(wide(), [tensor("other", "int16")], Operator("BATCH_MATMUL", 1, False, (0, 3), (3,)))
    assert rules(made, **WIDE) == []


@pytest.mark.parametrize("narrow", ["int4", "int8", "uint8"])
def test_an_activation_narrower_than_int16_is_found_inside(narrow):
    inner = replace(tensor("inner", "int8"), type=narrow)
    down, up = Operator("QUANTIZE", 1, False, (0,), (3,)), Operator("QUANTIZE", 1, False, (3,), (0,))
    found = check_declarations(with_ops(wide(), [inner], down, up), PARAMS | WIDE, SIGNATURE, {})
    assert [finding.text for finding in found] == [f"QUANTIZE computes on {narrow}, int16 was declared: inner"] * 2


@pytest.mark.parametrize("outer", ["int8", "float32"])
def test_int16x8_converts_at_its_borders(outer):
    """The border's own type is another rule's matter, and int8 need not be symmetric."""
    border = replace(tensor("outer", outer), zero_points=(-128,) if outer == "int8" else ())
    made = with_ops(wide(), [border], Operator("QUANTIZE", 1, False, (3,), (0,)), inputs=(3,))
    assert rules(made, **WIDE) == []


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("type", ["int32", "int64", "bool", "string"])
def test_integer_schemes_let_shapes_and_indices_pass(scheme, type):
    made = model("int16" if scheme == "int16x8" else "int8")
    moving = with_ops(made, [tensor("a", type), tensor("b", type)], Operator("RESHAPE", 1, False, (3,), (4,)))
    assert rules(moving, **(WIDE if scheme == "int16x8" else {})) == []


@pytest.mark.parametrize("type", ["bfloat16", "float64", "complex64"])
def test_every_kind_of_float_is_one(type):
    made = with_ops(model(), [tensor("a", type), tensor("b", type)], Operator("ABS", 1, False, (3,), (4,)))
    assert rules(made) == ["float_op"]


def biased(op, type):
    """int16x8 with a bias of a type where the operator has it; an int32 one as the operator's option says."""
    made = with_ops(wide(op=op), [tensor("bias", type, constant=True), tensor("shape", "int32", constant=True)])
    (graph,) = made.subgraphs
    inputs = (4, 1, 0, 3) if op == "TRANSPOSE_CONV" else (0, 1, 3)
    options = {"quantizedBiasType": 2 if type == "int32" else 0}
    return replace(made, subgraphs=(replace(graph, ops=(replace(graph.ops[0], inputs=inputs, options=options),)),))


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"])
def test_int16x8_has_wide_biases(op):
    assert rules(biased(op, "int32"), **WIDE) == rules(biased(op, "int64"), **WIDE) == []
    assert rules(biased(op, "int16"), **WIDE) == rules(biased(op, "int8"), **WIDE) == ["scheme"]


def test_a_bias_that_is_left_out_is_none():
    """Its index is -1, which is not the last tensor."""
    made = with_ops(wide(), [tensor("last", "int8", constant=True)])
    (graph,) = made.subgraphs
    bare = replace(graph, ops=(replace(graph.ops[0], inputs=(0, 1, -1)),))
    assert rules(replace(made, subgraphs=(bare,)), **WIDE) == []


@pytest.mark.parametrize("place", [0, 2])
def test_int16_is_symmetric(place):
    """The graph's input too, which no operator gives."""
    made = wide()
    (graph,) = made.subgraphs
    tensors = list(graph.tensors)
    tensors[place] = replace(tensors[place], zero_points=(3,))
    assert rules(replace(made, subgraphs=(replace(graph, tensors=tuple(tensors)),)), **WIDE) == ["kernel"]


def test_int16_results_have_scales():
    made = wide()
    (graph,) = made.subgraphs
    tensors = (*graph.tensors[:2], tensor("scores", "int16", (1, 2), scale=None))
    assert rules(replace(made, subgraphs=(replace(graph, tensors=tensors),)), **WIDE) == ["scale"]


def test_the_int16_input_spans_the_data_symmetrically():
    span = 0.5 * 32767
    assert rules(wide(), {"image": (-span, 1.0)}, **WIDE) == []
    assert rules(wide(), {"image": (-span / 2, 1.0)}, **WIDE) == ["dataset"]


@pytest.mark.parametrize(("arithmetic", "params"), [("int8", {}), ("int16x8", WIDE)])
def test_an_integer_op_set_has_no_float_at_its_borders(arithmetic, params):
    made = model("int16" if arithmetic == "int16x8" else "int8")
    assert rules(made, **params, **opset(arithmetic=arithmetic)) == []
    real = with_ops(made, [tensor("real", "float32")])
    assert rules(real, **params, **opset(arithmetic=arithmetic)) == ["opset"]


def test_an_op_set_confines_arithmetic_whatever_the_scheme_allows():
    assert rules(model(), **opset(arithmetic="int16x8")) == ["scheme"]
    real = model("float32", "float32")
    assert rules(real, **as_float("none"), **opset(arithmetic="int8")) == ["float_op", "opset"]
    assert rules(real, **as_float("none")) == []


def test_an_op_set_confines_arithmetic_whatever_a_rule_asks_for():
    narrow = WIDE | {"input_type": "int8", "output_type": "int8", "rules": [{"op": "", "match": "", "scheme": "int8"}]}
    assert rules(model(), **narrow) == []
    assert rules(model(), **narrow, **opset(arithmetic="int16x8")) == ["scheme"]


def test_an_arithmetic_that_is_the_scheme_is_looked_at_once():
    real = with_ops(model(), [tensor("a", "float32"), tensor("b", "float32")], Operator("SIN", 1, False, (3,), (4,)))
    found = [finding.rule for finding in check_declarations(real, PARAMS | opset(arithmetic="int8"), SIGNATURE, {})]
    assert found == ["float_op", "opset"]


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_an_input_that_is_no_float_keeps_its_own_type(scheme):
    """It is not quantized, has no scale, and the I/O types of the quantization are not its own."""
    made = model("int16" if scheme == "int16x8" else "int8")
    words = tensor("words", "int32")
    given = replace(made.signatures[0], inputs={"image": words})
    made = replace(with_ops(made, [words], inputs=(3,)), signatures=(given,))
    own = SIGNATURE | {"inputs": [{"name": "image", "shape": [1, 4], "dtype": "int32"}]}
    assert rules(made, signature=own, **(WIDE if scheme == "int16x8" else {})) == []
    assert rules(made, **(WIDE if scheme == "int16x8" else {})) == ["io_type"]


def test_a_signature_more_is_checked_like_the_main_one():
    more = SIGNATURE | {"key": "other"}
    made = model()
    both = replace(made, signatures=(*made.signatures, replace(made.signatures[0], key="other")))
    assert rules(both, signature=SIGNATURE | {"more": [more]}) == []
    assert rules(made, signature=SIGNATURE | {"more": [more]}) == ["signature"]
    assert rules(both, signature=SIGNATURE | {"more": [more | {"outputs": []}]}) == ["signature"]


def test_a_signature_that_nobody_declared_is_found():
    made = model()
    both = replace(made, signatures=(*made.signatures, replace(made.signatures[0], key="other")))
    assert rules(both) == ["signature"]


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


def test_symmetric_activations_have_the_zero_point_0():
    made = model()
    (graph,) = made.subgraphs
    shifted = replace(graph.tensors[2], zero_points=(-3,))
    off = replace(made, subgraphs=(replace(graph, tensors=(*graph.tensors[:2], shifted)),))
    assert list(check_zero_points(made)) == rules(off) == []
    assert [finding.rule for finding in check_zero_points(off)] == ["scale"]


def test_a_symmetric_input_spans_twice_its_greater_side():
    assert rules(model(), {"image": (-10.0, 63.5)}, symmetric=True) == []
    assert rules(model(), {"image": (-10.0, 63.5)}) == ["dataset"]
