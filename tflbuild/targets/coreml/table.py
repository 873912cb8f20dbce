"""The operators that TensorFlow Lite's Core ML delegate supports.

The versions are Core ML 2 (iOS 12) and Core ML 3 (iOS 13 and later).
"""

from __future__ import annotations

from tflbuild.targets.common.common_rules import axes_of, equals, made, op_version, padded_axes
from tflbuild.targets.common.rules import (
    OperatorSupport,
    OperatorView,
    SupportRule,
    SupportTable,
    constant,
    fused,
    rank,
    row,
    rows,
    type_of,
)
from tflbuild.tflite.tflite_model import Tensor

KERNEL_MOST = 16384  # elements along a side
REAL = ("float32", "float16")
FLOAT_FIX = "quantization=none or float16"


def _four(tensor: Tensor) -> tuple[int, ...]:
    return (1,) * (4 - len(tensor.shape)) + tensor.shape


def _one_constant(tensor: Tensor) -> bool:
    return tensor.constant and tensor.elements == 1


def _broadcasts(view: OperatorView) -> bool | None:
    """Batch, height with width, and channels are each the same, or one of the two has 1 there."""
    one, other = view.input(0), view.input(1)
    if one is None or other is None or len(one.shape) > 4 or len(other.shape) > 4:
        return False
    if -1 in one.shape or -1 in other.shape:
        return None
    (batch, *sides, depth), (batch_2, *sides_2, depth_2) = _four(one), _four(other)
    if batch != batch_2 and not (_one_constant(one) or _one_constant(other)):
        return False
    if sides != sides_2 and [1, 1] not in (sides, sides_2):
        return False
    return depth == depth_2 or 1 in (depth, depth_2)


def _single_row(view: OperatorView) -> bool | None:
    given = view.input(0)
    if given is None or -1 in given.shape:
        return None
    return bool(given.shape) and given.shape[-1] == given.elements


def _last_axis(view: OperatorView) -> bool | None:
    axis, given = view.option("axis"), view.input(0)
    if axis is None or given is None:
        return None
    return len(given.shape) in (3, 4) and axis in (-1, len(given.shape) - 1)


def _pads_sides(view: OperatorView) -> bool | None:
    axes, given = padded_axes(view), view.input(0)
    if given is None or len(given.shape) != 4:
        return False
    return None if axes is None else all(axis in (1, 2) for axis in axes)


def _means_sides(view: OperatorView) -> bool | None:
    axes = axes_of(view, 1, 4)
    return None if axes is None else all(axis in (1, 2) for axis in axes)


def _kernel_size(view: OperatorView) -> bool:
    kernel = view.input(1)
    return kernel is None or all(side <= KERNEL_MOST for side in kernel.shape[1:3])


def _constant_bias(view: OperatorView) -> bool:
    bias = view.input(2)
    return bias is None or bias.constant


def _shape_rank(view: OperatorView) -> bool | None:
    shape = view.input(1)
    if shape is None:
        return len(view.outputs[0].shape) in (3, 4)
    return shape.type == "int32" and len(shape.shape) == 1 and shape.shape[0] in (3, 4)


_NO_ACTIVATION = fused(fix="make the activation an operator of its own")
_CONV = (
    constant(1, "the kernel"),
    rank(4, 4, place=1),
    made(f"the kernel's sides are at most {KERNEL_MOST}", _kernel_size),
)
_BIAS = made("the bias is constant", _constant_bias)
_PADS = (constant(1, "padding"), made("only height and width of four dimensions are padded", _pads_sides))
_BINARY = made(
    "shapes broadcast in whole: the batch, height with width, or channels", _broadcasts, "tile the smaller one"
)


def _real(place: int = 0) -> SupportRule:
    return type_of(place, "float32", fix=FLOAT_FIX)


_FIRST = made(
    "the first input is float32",
    lambda view: _real(2 if view.op.name == "TRANSPOSE_CONV" else 0).holds(view),
    FLOAT_FIX,
)

ROWS: dict[str, OperatorSupport] = {
    **rows(("ADD", "MUL"), op_version(1), type_of(1, *REAL, fix=FLOAT_FIX), _BINARY),
    **rows(("AVERAGE_POOL_2D", "MAX_POOL_2D"), op_version(1), _NO_ACTIVATION),
    "CONCATENATION": row(
        op_version(1),
        _NO_ACTIVATION,
        made("two inputs or more", lambda view: len(view.inputs) > 1),
        made("channels are concatenated, of 3 or 4 dimensions", _last_axis),
    ),
    "CONV_2D": row(op_version(1), *_CONV, _BIAS),
    "DEPTHWISE_CONV_2D": row(op_version(2), *_CONV, _BIAS),
    "TRANSPOSE_CONV": row(op_version(1), *_CONV, constant(0, "output shape")),
    "FULLY_CONNECTED": row(
        op_version(6),
        equals("weightsFormat", "weights are of the default format", 0),
        type_of(1, *REAL, fix=FLOAT_FIX),
        constant(1, "the kernel"),
        made("one row is multiplied: every dimension but the last is 1", _single_row, "one sample a call"),
        type_of(2, *REAL),
        constant(2, "the bias"),
    ),
    **rows(("HARD_SWISH", "LOGISTIC", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"), op_version(1)),
    **rows(("PAD", "PADV2"), op_version(1), *_PADS),
    "MIRROR_PAD": row(op_version(1), equals("mode", "mode is REFLECT", 0), *_PADS),
    "MEAN": row(
        op_version(1),
        equals("keepDims", "dimensions are kept", True, fix="keep_dims=True"),
        rank(4, 4, place=0),
        made("height and width are reduced", _means_sides),
    ),
    "RESHAPE": row(
        op_version(1),
        SupportRule(
            "Core ML is 2", lambda view: False, "set coreml_version to 2, or reshape outside the model", since="3"
        ),
        constant(1, "shape"),
        made("the new shape has 3 or 4 dimensions", _shape_rank),
    ),
    "RESIZE_BILINEAR": row(op_version(1), constant(1, "size")),
    "SOFTMAX": row(op_version(1), equals("beta", "beta is 1", 1.0)),
}

TABLE = SupportTable(
    name="coreml",
    title="Core ML delegate",
    source="TensorFlow, tensorflow/lite/delegates/coreml (coreml_delegate.mm, builders/): IsNodeSupportedByDelegate",
    rows=ROWS,
    everywhere=(_FIRST,),
    version="3",
    fewest=2,
    float16_weights=True,
    fixes={"LEAKY_RELU": "relu", "SUB": "ADD of the negative", "SQUEEZE": "keep the dimensions"},
    notes=(
        "iOS 12 or later; by default for devices with a Neural Engine (A12 or later), others run on the CPU",
        "the delegate takes float models alone; weights in float16 are fine",
    ),
)
