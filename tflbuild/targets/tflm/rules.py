"""Support rules of TensorFlow Lite Micro: what its kernels require of types, scales, shapes and parameters.

`targets.tflm.table` assigns them to operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

from tflbuild.targets.common.rules import (
    OperatorView,
    SupportRule,
    constant,
    inputs_alike,
    join_alternatives,
    same_types,
    type_of,
    values_alike,
)
from tflbuild.tflite.tflite_model import Tensor

FLOAT = "float32"
INT8_FIX = "quantization=int8"
FLOAT_FIX = "keep it in floats: quantization.rules, or quantization=none"
REAL = (FLOAT, "int8", "int16")
REAL_32 = (*REAL, "int32")
QUANTIZED = ("int8", "int16")
CASTABLE = (*REAL_32, "bool")
QUANTIZES = {
    FLOAT: ("int8", "int16"),
    "int8": ("int8", "int16", "int32", "uint8"),
    "int16": ("int8", "int16", "int32"),
    "int32": ("int8", "int16"),
    "uint8": ("int8",),
}
ONE_32768TH = 1 / 32768


def data(*types: str, fix: str = INT8_FIX) -> SupportRule:
    """Return the rule that the first input and the outputs have one of these types. Parameters are not checked."""

    def holds(view: OperatorView) -> bool:
        first_input = view.input(0)
        return all(tensor.type in types for tensor in (*(() if first_input is None else (first_input,)), *view.outputs))

    return SupportRule(f"input 0 and outputs are {join_alternatives(types)}", holds, fix)


def made(*types: str, fix: str = "") -> SupportRule:
    """Return the rule that the outputs have one of these types."""
    return SupportRule(
        f"the output is {join_alternatives(types)}",
        lambda view: all(tensor.type in types for tensor in view.outputs),
        fix,
    )


def parameter(place: int, text: str) -> SupportRule:
    """Return the rule that a parameter is int32: kernels refuse int64, or read it as int32."""
    return SupportRule(f"{text} is int32", type_of(place, "int32").holds, "store it as int32")


def still(place: int, what: str) -> SupportRule:
    """Return the rule that a parameter is constant."""
    return constant(place, what, "make it a constant of the model")


def data_rank(
    most: int, place: int = 0, fix: str = "reshape to fewer dimensions before it and back after"
) -> SupportRule:
    """Return the rule that the input and the outputs have at most this number of dimensions."""

    def holds(view: OperatorView) -> bool:
        given = view.input(place)
        return all(len(one.shape) <= most for one in (given, *view.outputs) if one is not None)

    return SupportRule(f"tensors have at most {most} dimensions", holds, fix)


def _scaled(view: OperatorView) -> bool:
    return all(one.scales for one in view.moving if one.type in QUANTIZED)


def _given_scaled(view: OperatorView) -> bool:
    return all(one.scales for one in view.inputs if one is not None and not one.constant and one.type in QUANTIZED)


def _fused_scaled(view: OperatorView) -> bool:
    """Return whether the output of a fused clamp has a scale, in which the kernel expresses the limits."""
    return not view.op.activation or all(one.scales for one in view.outputs if one.type in QUANTIZED)


def _alike(view: OperatorView) -> bool:
    """Return whether weights are quantized exactly if activations are. 4-bit weights need 8-bit activations."""
    return _weights_fit(view.input(0), view.input(1))


def _images(view: OperatorView) -> bool:
    """Return whether input and weights of a transposed convolution match. Its input is the third one."""
    kernel = view.input(1)
    return _weights_fit(view.input(2), kernel) and (kernel is None or kernel.type != "int4")


def _weights_fit(image: Tensor | None, kernel: Tensor | None) -> bool:
    if image is None or kernel is None:
        return True
    if kernel.type == "int4":
        return image.type == "int8"
    return (image.type == FLOAT) == (kernel.type == FLOAT)


def _quantized_alike(tensors: Sequence[Tensor | None], types: Sequence[str]) -> bool:
    found = [one for one in tensors if one is not None and one.type in types]
    return len({(one.scales, one.zero_points) for one in found}) <= 1


def _symmetric(view: OperatorView) -> bool:
    return all(not any(one.zero_points) for one in (*view.moving,) if one.type == "int16")


def _all_alike(view: OperatorView) -> bool:
    return len({one.type for one in (*view.inputs, *view.outputs) if one is not None}) == 1


def _quantizes(view: OperatorView) -> bool:
    given, out = view.input(0), view.outputs[0]
    return given is None or out.type in QUANTIZES.get(given.type, ())


def _slopes(view: OperatorView) -> bool:
    image, slopes = view.input(0), view.input(1)
    if image is None or slopes is None:
        return True
    return slopes.type == FLOAT if image.type == FLOAT else slopes.type == "int8"


def _fixed(scale: float, *zero_points: int) -> tuple[float, tuple[int, ...]]:
    return scale, zero_points


LOGISTIC_OUT = {"int8": _fixed(0, -128), "int16": _fixed(ONE_32768TH, 0)}
TANH_OUT = {"int16": _fixed(ONE_32768TH, 0)}
SOFTMAX_OUT = {("int8", "int8"): _fixed(1 / 256, -128), ("int8", "int16"): _fixed(1 / 65536, -32768)}
SOFTMAX_OUT[("int16", "int16")] = _fixed(ONE_32768TH, 0)


def _is(tensor: Tensor, wanted: tuple[float, tuple[int, ...]] | None, tolerance: float = 1e-6) -> bool:
    if wanted is None:
        return True
    scale, zero_points = wanted
    right = not scale or (bool(tensor.scales) and isclose(tensor.scales[0], scale, rel_tol=tolerance))
    return right and (tensor.zero_points or (0,)) == zero_points


def _softmax(view: OperatorView) -> bool:
    given, out = view.input(0), view.outputs[0]
    return given is None or _is(out, SOFTMAX_OUT.get((given.type, out.type)), 1e-2)


def _softmax_types(view: OperatorView) -> bool:
    given, out = view.input(0), view.outputs[0]
    return given is None or (given.type, out.type) == (FLOAT, FLOAT) or (given.type, out.type) in SOFTMAX_OUT


def _bias_scale(view: OperatorView) -> bool:
    """Return whether the scale of the bias is the product of the scales of input and weights."""
    given, kernel, bias = view.input(0), view.input(1), view.input(2)
    if given is None or kernel is None or bias is None or not bias.scales or not kernel.scales:
        return True
    if len(kernel.scales) > 1:
        return True
    out = view.outputs[0]
    product = (given.scales[0] if given.scales else 0.0) * kernel.scales[0]
    return not out.scales or abs(product - bias.scales[0]) <= 0.02 * out.scales[0]


def _svdf_bias(view: OperatorView) -> bool:
    """Return whether the scale of the bias is that of the state times that of the weights along time."""
    time, bias, state = view.input(2), view.input(3), view.input(4)
    if time is None or bias is None or state is None or time.type == FLOAT:
        return True
    if not (bias.scales and state.scales and time.scales):
        return False
    return abs(bias.scales[0] - state.scales[0] * time.scales[0]) < 1e-5


def _svdf_types(view: OperatorView) -> bool:
    types = [None if one is None else one.type for one in view.inputs]
    if len(types) < 5:
        return False
    if types[0] == FLOAT:
        return types[1] == types[2] == types[4] == FLOAT
    return types[0] == types[1] == "int8" and types[2] == types[4] and types[2] in QUANTIZED


def _state(place: int) -> SupportRule:
    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is not None and tensor.state

    return SupportRule("its state is a variable tensor", holds)


def _permuted(view: OperatorView) -> bool | None:
    order = view.input(1)
    if order is None or not order.constant or order.type != "int32":
        return False
    return min(order.values) >= 0 if order.values else None


def _one_kind(view: OperatorView) -> bool:
    begin, size = view.input(1), view.input(2)
    return begin is None or size is None or begin.type == size.type


def _looks_up(view: OperatorView) -> bool:
    table, out = view.input(1), view.outputs[0]
    if table is None or table.type not in (FLOAT, "int8") or len(table.shape) < 2:
        return False
    return out.type == table.type or (out.type == FLOAT and not any(table.zero_points))


def _flat_slopes(view: OperatorView) -> bool:
    """Return whether the input has at most four dimensions, if it is float."""
    given = view.input(0)
    return given is None or given.type != FLOAT or len(given.shape) <= 4


def _one_int4_scale(view: OperatorView) -> bool:
    kernel = view.input(1)
    return kernel is None or kernel.type != "int4" or len(kernel.scales) == 1


def _byte_scales(view: OperatorView) -> bool:
    return all(one.scales for one in view.inputs if one is not None and one.type == "int8")


def _mask_broadcasts(view: OperatorView) -> bool:
    """Return whether the condition can be broadcast to the shape of the values."""
    asked, shape = view.input(0), view.outputs[0].shape
    if asked is None:
        return True
    pairs = zip(asked.shape[::-1], shape[::-1], strict=False)
    return len(asked.shape) <= len(shape) and all(size in (1, whole) for size, whole in pairs)


def _positive(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or given.type != "int8" or given.zero_points == (-128,)


def _all_gates(view: OperatorView) -> bool:
    """Return whether there are four gates, and no peepholes, projection or normalization."""
    absent = {place for place in range(24) if view.input(place) is None}
    return absent == {9, 10, 11, 16, 17, 20, 21, 22, 23}


def _one_by_one(view: OperatorView) -> bool:
    given = view.input(0)
    return given is not None and len(given.shape) == 4 and given.shape[:3] == (1, 1, 1)


WEIGHTS = SupportRule("weights are quantized as activations are, to 4 bits only where those are INT8", _alike, INT8_FIX)
IMAGES = SupportRule("weights are of 8 bits where activations are quantized, and only there", _images, INT8_FIX)
BIAS = SupportRule(
    "a bias is there, or none is named: the runtime crashes else", lambda view: view.inputs[-1] is not None
)
SCALED = SupportRule("8-bit and 16-bit tensors have scales", _scaled)
FUSED_SCALED = SupportRule("where an activation is fused, the output has a scale", _fused_scaled)
GIVEN_SCALED = SupportRule("8-bit and 16-bit inputs have scales", _given_scaled)
SYMMETRIC = SupportRule("zero points of INT16 tensors are 0", _symmetric)
SAME_TYPES = SupportRule("what is made is of the input's type", same_types)
ALL_ALIKE = SupportRule("all tensors are of one type", _all_alike)
VALUES_ALIKE = SupportRule("both values and the output are of one type", values_alike)
SAME_GIVEN = SupportRule(
    "INT8 inputs have the same scale and zero point", lambda view: _quantized_alike(view.inputs, ("int8",))
)
SAME_INT8 = SupportRule(
    "INT8 tensors have the same scale", lambda view: _quantized_alike((*view.inputs, *view.outputs), ("int8",))
)
SAME_SCALES = SupportRule(
    "input and output have the same scale and zero point",
    lambda view: _quantized_alike((view.input(0), *view.outputs), QUANTIZED),
)
FILLER = SupportRule(
    "what it is filled with has the output's scale and zero point",
    lambda view: _quantized_alike((view.input(2), *view.outputs), ("int8",)),
)
QUANTIZING = SupportRule(
    "floats become INT8 or INT16, INT8 becomes any of 8, 16 or 32 bits, INT16 and INT32 become signed, UINT8 INT8",
    _quantizes,
    INT8_FIX,
)
OUT_SCALED = SupportRule("the output has a scale", lambda view: bool(view.outputs[0].scales))
SLOPES = SupportRule("slopes are FLOAT32 with floats, else INT8", _slopes, INT8_FIX)
FLAT_SLOPES = SupportRule(
    "floats have at most 4 dimensions: the runtime crashes else",
    _flat_slopes,
    "reshape to 4 dimensions before it",
)
LOGISTIC_SCALES = SupportRule(
    "the output's zero point is -128 (INT8), its scale 1/32768 (INT16)",
    lambda view: _is(view.outputs[0], LOGISTIC_OUT.get(view.outputs[0].type)),
)
TANH_SCALES = SupportRule(
    "an INT16 output's scale is 1/32768", lambda view: _is(view.outputs[0], TANH_OUT.get(view.outputs[0].type))
)
SOFTMAX_TYPES = SupportRule("floats, INT8 or INT16 are made of their like, or INT16 of INT8", _softmax_types, INT8_FIX)
SOFTMAX_SCALES = SupportRule(
    "the output's scale and zero point are 1/256 and -128 (INT8), 1/32768 and 0 (INT16), 1/65536 and -32768 (of INT8)",
    _softmax,
)
LOG_SOFTMAX_SCALES = SupportRule(
    "an INT8 output's scale is 1/16, its zero point 127",
    lambda view: view.outputs[0].type != "int8" or _is(view.outputs[0], _fixed(1 / 16, 127)),
)
BIAS_SCALE = SupportRule("a bias has the scale of input times weights", _bias_scale)
NOTHING_FUSED = SupportRule("no activation is fused", lambda view: not view.op.activation, "an operator of its own")
ONE_INT4_SCALE = SupportRule("INT4 weights have one scale", _one_int4_scale)
BYTE_SCALES = SupportRule("INT8 inputs have scales: the runtime crashes else", _byte_scales)
INPUTS_ALIKE = SupportRule("both inputs are of one type: the runtime may crash else", inputs_alike)
MASK = SupportRule("the condition's shape spreads over the values'", _mask_broadcasts)
POSITIVE = SupportRule("an INT8 input's zero point is -128: it fails on a negative value", _positive, FLOAT_FIX)
SEVERAL = SupportRule("it has at least two inputs", lambda view: len(view.inputs) >= 2)
PERMUTED = SupportRule("the permutation is constant and int32, its axes are counted from the front", _permuted)
ONE_KIND = SupportRule("begin and size are both int32, or both int64: the runtime crashes else", _one_kind)
LOOKED_UP = SupportRule(
    "a table of FLOAT32 or INT8 has rows, and gives its own type, or floats of zero point 0", _looks_up
)
SVDF_TYPES = SupportRule("all is float, or input and features are INT8 and the rest one integer", _svdf_types, INT8_FIX)
SVDF_BIAS = SupportRule("a bias is there: the runtime crashes else", lambda view: view.input(3) is not None)
SVDF_SCALE = SupportRule("the bias has the scale of state times weights along time", _svdf_bias)
SVDF_STATE = _state(4)
ALL_GATES = SupportRule("it has all four gates, no peepholes, projection or normalization", _all_gates)
ONE_BY_ONE = SupportRule("it takes one row of channels at a time: [1, 1, 1, n]", _one_by_one)
