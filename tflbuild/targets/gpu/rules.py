"""The support rules of the GPU delegate: what it requires of an operator, or computes wrongly otherwise.

`targets.gpu.table` assigns them to operators.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tflbuild.targets.common.rules import OperatorSupport, OperatorView, SupportRule, constant, row, type_of
from tflbuild.tflite.tflite_model import Tensor

FLOAT, QUANTIZED = ("float32",), ("float32", "int8", "uint8")
WIDE = (*QUANTIZED, "int32")
ALL = (*WIDE, "int16")
WRONG = "the delegate takes others too, with wrong results and no message"
CRASH = "others end the app's process"
UNPACKED_FIX = "quantization=float16, or dynamic_int8, instead of weight_only_int8"
FLOAT_FIX = "leave the operator float, or quantize it to 8 bits"


def few_dimensions(view: OperatorView) -> bool:
    """Return whether no activation has more than 4 dimensions."""
    return all(len(tensor.shape) <= 4 for tensor in view.moving)


def one_scale(view: OperatorView) -> bool:
    """Return whether all 16-bit activations have the same scale: the delegate computes with the integers."""
    return len({tensor.scales for tensor in view.moving if tensor.type == "int16" and tensor.scales}) <= 1


def stateless(view: OperatorView) -> bool:
    """Return whether no input is a variable tensor."""
    return not any(tensor is not None and tensor.state for tensor in view.inputs)


def fused_clamp(view: OperatorView) -> bool:
    """Return whether the fused activation is none or clamps: the delegate ignores any other."""
    return view.op.activation in ("", "RELU", "RELU6", "RELU_N1_TO_1")


def no_moving_scalar(view: OperatorView) -> bool:
    """Return whether no activation is a scalar, unless all inputs are."""
    inputs = [tensor for tensor in view.inputs if tensor is not None]
    return all(tensor.constant or len(tensor.shape) > 0 for tensor in inputs) or not any(
        tensor.shape for tensor in inputs
    )


def no_stored_vector(view: OperatorView) -> bool:
    """Return whether constants of 32-bit integers are scalars or have the full shape."""
    constants = [tensor for tensor in view.inputs if tensor is not None and tensor.constant and tensor.type == "int32"]
    return all(len(tensor.shape) != 1 or tensor.elements == 1 for tensor in constants)


def is_stored(view: OperatorView, place: int) -> bool:
    """Return whether an input is a constant, or a constant of float16 after a DEQUANTIZE."""
    tensor = view.input(place)
    return tensor is None or tensor.constant or unpacked_from(view, place) == "float16"


def unpacked_from(view: OperatorView, place: int) -> str:
    """Return the type of the constant from which a DEQUANTIZE makes this input, "" if there is none."""
    if view.input(place) is None:
        return ""
    makers = [op for op in view.graph.ops[: view.index] if view.op.inputs[place] in op.outputs]
    if not makers or makers[-1].name != "DEQUANTIZE":
        return ""
    packed = view.graph.tensors[makers[-1].inputs[0]]
    return packed.type if packed.constant else ""


def same_batches(view: OperatorView) -> bool | None:
    """Return whether both matrices have the same batch dimensions, or the second is a constant matrix."""
    first, second = view.input(0), view.input(1)
    if first is None or second is None:
        return None
    if second.constant and len(second.shape) == 2:
        return True
    most = max(len(first.shape), len(second.shape))
    padded = [(1,) * (most - len(one.shape)) + one.shape[:-2] for one in (first, second)]
    return padded[0] == padded[1]


def whole_rows(view: OperatorView) -> bool | None:
    """Return whether the rows of the input are as long as those of the weights."""
    given, kernel = view.input(0), view.input(1)
    if given is None or kernel is None:
        return None
    return len(given.shape) >= 2 and given.shape[-1] == kernel.shape[-1]


def no_groups(view: OperatorView) -> bool | None:
    """Return whether a filter has as many channels as the input."""
    given, kernel = view.input(0), view.input(1)
    return None if given is None or kernel is None else kernel.shape[-1] == given.shape[-1]


def values(tensor: Tensor | None) -> tuple[int, ...] | None:
    """Return the values of a constant parameter, None if they are unknown."""
    return tuple(tensor.values) if tensor is not None and tensor.constant and tensor.values else None


def not_first_axis(view: OperatorView) -> bool | None:
    """Return whether the axis is not the first one, which the delegate takes for a batch."""
    given, axis = view.input(0), values(view.input(1))
    return None if given is None or axis is None else axis[0] % max(1, len(given.shape)) != 0


def in_fours(view: OperatorView) -> bool | None:
    """Return whether the last dimension is a multiple of 4: otherwise padding of channels is included."""
    given, axis = view.input(0), values(view.input(1))
    if given is None or not given.shape:
        return None
    if given.shape[-1] % 4 == 0:
        return True
    if view.op.name == "TOPK_V2":
        return False
    return None if axis is None else all(one % len(given.shape) != len(given.shape) - 1 for one in axis)


def no_deeper_constant(view: OperatorView) -> bool | None:
    """Return whether no constant has more dimensions than the activations."""
    there = [one for one in view.inputs if one is not None]
    computed_ranks = [len(one.shape) for one in there if not one.constant]
    return None if not computed_ranks else all(len(one.shape) <= max(computed_ranks) for one in there)


def three_are_one_image(view: OperatorView) -> bool | None:
    """Return whether the first of 3 dimensions is 1."""
    given = view.input(0)
    return None if given is None or not given.shape else len(given.shape) != 3 or given.shape[0] == 1


def batch_unpadded(view: OperatorView) -> bool | None:
    """Return whether the first dimension is not padded."""
    borders = values(view.input(1))
    return None if borders is None else borders[:2] == (0, 0)


def batch_is_one(view: OperatorView) -> bool | None:
    """Return whether the first dimension is 1."""
    given = view.input(0)
    return None if given is None or not given.shape else given.shape[0] == 1


def forward(view: OperatorView) -> bool | None:
    """Return whether all strides are positive."""
    steps = values(view.input(3))
    return None if steps is None else all(step > 0 for step in steps)


def each_dimension(view: OperatorView) -> bool | None:
    """Return whether there is a begin for every dimension."""
    given, begin = view.input(0), view.input(1)
    return None if given is None or begin is None else prod(begin.shape) == len(given.shape)


def fitting_alpha(view: OperatorView) -> bool | None:
    """Return whether there is one slope for each channel, or for each element."""
    given, alpha = view.input(0), view.input(1)
    if given is None or alpha is None or not given.shape:
        return None
    if not alpha.shape or alpha.shape[-1] != given.shape[-1]:
        return False
    lead = alpha.shape[:-1]
    image = len(given.shape) == 4 and given.shape[0] == 1
    return all(size == 1 for size in lead) or (image and lead == given.shape[-len(alpha.shape) : -1])


def one_dimension(view: OperatorView) -> bool | None:
    """Return whether the indices have one dimension."""
    indices = view.input(1)
    return None if indices is None else len(indices.shape) == 1


def unpackable(view: OperatorView) -> bool | None:
    """Return whether an 8-bit constant has at least 3 dimensions: the delegate misreads the layout of others."""
    given = view.input(0)
    return None if given is None else not given.constant or given.type == "float16" or len(given.shape) >= 3


def dequantizable(view: OperatorView) -> bool | None:
    """Return whether the input has 8 bits, or is a float16 constant."""
    given = view.input(0)
    return None if given is None else given.type in ("int8", "uint8") or (given.type == "float16" and given.constant)


def castable(view: OperatorView) -> bool:
    """Return whether there are no 16-bit and 64-bit integers."""
    return all(one.type in ("float32", "float16", "int8", "uint8", "int32", "bool") for one in view.moving)


def shallow(view: OperatorView) -> bool | None:
    """Return whether the slope is at most 1: the delegate computes the maximum of x and slope * x."""
    slope = view.option("alpha")
    return None if slope is None else slope <= 1


def computed(place: int, what: str, fix: str = "", else_: str = "") -> SupportRule:
    """Return the rule that an input is computed while the model runs. `else_` says what happens otherwise."""

    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is None or not tensor.constant

    return SupportRule(f"{what} computed{f' ({else_})' if else_ else ''}", holds, fix, fatal=bool(else_))


def fixed(place: int, what: str) -> SupportRule:
    """Return the rule that an input which determines the output size is constant, or LiteRT refuses the model."""
    return replace(constant(place, what, "make it a constant of the model"), fatal=True)


def ranked(least: int, most: int, text: str, fix: str = "") -> SupportRule:
    """Return the rule that the number of dimensions of the first input is within these bounds."""

    def holds(view: OperatorView) -> bool | None:
        given = view.input(0)
        return None if given is None else least <= len(given.shape) <= most

    return SupportRule(text, holds, fix)


def output(*types: str, fix: str = "") -> SupportRule:
    """Return the rule that the first output has one of these element types."""
    return SupportRule(
        f"output is {' or '.join(types)}", lambda view: all(one.type in types for one in view.outputs[:1]), fix
    )


def flag_off(name: str, what: str, fix: str = "") -> SupportRule:
    """Return the rule that a builtin option is not set."""
    return SupportRule(what, lambda view: not view.option(name), fix)


RANK = SupportRule(
    "activations have at most 4 dimensions", few_dimensions, "reshape to 4 dimensions or fewer before it and back after"
)
SCALE = SupportRule(f"16-bit activations share one scale ({WRONG})", one_scale, "quantize to 8 bits: quantization=int8")
STATELESS = SupportRule(
    "it keeps no state from call to call: LiteRT loads no file that does",
    stateless,
    "unroll the layer (unroll=True in Keras), or give the state as an input and an output",
    fatal=True,
)
FUSED = SupportRule(
    f"fused activation is none, RELU, RELU6 or RELU_N1_TO_1 ({WRONG})",
    fused_clamp,
    "keep the converter from fusing it: something between the layer and its activation, or another activation",
)
SCALARS = SupportRule(
    "no input beside a larger one is a scalar that is computed", no_moving_scalar, "give it a shape of [1]"
)
VECTORS = SupportRule(
    f"no stored int32 input is a vector ({WRONG}: its shader does not compile)",
    no_stored_vector,
    "store it in the full shape, or compute in float",
)
FOURS = SupportRule(
    f"along the last dimension, that is a multiple of 4 ({WRONG})", in_fours, "transpose, or pad to a multiple of 4"
)
DEPTHS = SupportRule(
    f"a stored input has no more dimensions than the other ({WRONG})", no_deeper_constant, "store it in fewer"
)
BIAS = SupportRule(
    f"the bias is constant ({CRASH})", lambda view: is_stored(view, 2), "add a computed bias with an ADD", fatal=True
)
GROUPS = SupportRule(f"there are no groups ({WRONG}: zeros)", no_groups, "split the channels, and join them after")
ROWS = SupportRule(
    f"the input's last dimension is as long as a row of weights ({WRONG})",
    whole_rows,
    "flatten with a Reshape of its own before the Dense",
)
UNPACKED = SupportRule(
    "its weights are not 8-bit behind a DEQUANTIZE: LiteRT refuses the whole model",
    lambda view: unpacked_from(view, 1) not in ("int8", "int4", "uint8"),
    UNPACKED_FIX,
    fatal=True,
)
ALPHA = SupportRule(
    "alpha has one value a channel, or one an element of one image",
    fitting_alpha,
    "spread alpha over the channels: shared_axes=[1, 2]",
)
AXES = fixed(1, "the axis")
PADDED = (
    fixed(1, "the paddings"),
    ranked(3, 4, "the input has 3 or 4 dimensions", "reshape to 4 dimensions before it"),
    SupportRule(f"of 3 dimensions the first is 1 ({WRONG})", three_are_one_image, "reshape to 4 dimensions before it"),
    SupportRule(f"the first dimension is not padded ({WRONG})", batch_unpadded, "concatenate zeros along the batch"),
)
UNPACKING = SupportRule(
    "a stored 8-bit input has 3 or 4 dimensions: LiteRT refuses the whole model else",
    unpackable,
    UNPACKED_FIX,
    fatal=True,
)
ONE_IMAGE = SupportRule(
    f"the batch is 1 ({WRONG}: its shader does not compile)", batch_is_one, "batch 1: signature.batch=1"
)


def binary(*types: str) -> OperatorSupport:
    """An operator of two inputs, which broadcast."""
    return row(type_of(0, *types, fix=FLOAT_FIX), FUSED, SCALARS, VECTORS, DEPTHS)
