"""Requirements of Vela for any model, which it checks before the operators of an Ethos-U.

If a requirement is violated, Vela fails. Most are checks of its reader (`tflite_model_semantics`). The others are
models on which it crashes or does not end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from tflbuild.targets.common.rules import OperatorView, Predicate, SupportRule, inputs_alike, same_types, values_alike

VELA = "5.2"
INTEGERS = ("int4", "int8", "int16", "int32", "int64")
MADE_ALIKE = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "ABS", "EXP", "LEAKY_RELU", "RSQRT", "MAXIMUM", "MINIMUM", "HARD_SWISH"),
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "GATHER"),
)
SUMS = ("ADD", "SUB", "MUL")
RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
REDUCES = ("SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL", "REDUCE_PROD")
READ_FIRST = (*REDUCES, "MEAN", "ARG_MAX", "PAD", "REVERSE_V2", "SPLIT_V")


def only_for(names: Sequence[str], holds: Callable[[OperatorView], bool | None]) -> Predicate:
    """Return a predicate that only applies to these operators."""
    return lambda view: holds(view) if view.op.name in names else True


def _sums_alike(view: OperatorView) -> bool:
    """Inputs of one type; a signed one makes signed integers, UINT8 makes itself or INT32."""
    a, b, out = view.input(0), view.input(1), view.outputs[0]
    if a is None or b is None:
        return True
    if a.type != b.type:
        return False
    if a.type in INTEGERS:
        return out.type in INTEGERS
    return a.type != "uint8" or out.type in ("uint8", "int32")


def _same_scale(view: OperatorView) -> bool:
    given, out = view.input(0), view.outputs[0]
    return given is None or not given.scales or not out.scales or given.scales[0] == out.scales[0]


def _softmax(view: OperatorView) -> bool:
    given, out = view.input(0), view.outputs[0]
    return given is None or given.type == out.type or (given.type, out.type) == ("int8", "int16")


def _read_first(view: OperatorView) -> bool:
    given = view.input(1)
    return given is None or given.constant


def _split(view: OperatorView) -> bool | None:
    along, given = view.input(0), view.input(1)
    if along is None or given is None or not along.constant:
        return False
    return bool(along.values[0] > -len(given.shape)) if along.values else None


def _turned(view: OperatorView) -> bool:
    order = view.input(1)
    return order is None or order.type in ("int32", "uint32")


def _index_output(view: OperatorView) -> bool:
    return view.outputs[0].type in ("int32", "int64")


def _indices(view: OperatorView) -> bool:
    given = view.input(1)
    return given is None or given.type in ("int16", "int32", "int64")


def _wide_paddings(view: OperatorView) -> bool | None:
    """Of 64 bits they are read only where they happen to lie on a multiple of 8 bytes."""
    given = view.input(1)
    return None if given is not None and given.type == "int64" else True


def _rule(text: str, names: Sequence[str], holds: Callable[[OperatorView], bool | None], fix: str = "") -> SupportRule:
    told = f"{_listed(names)}: {text}"
    return SupportRule(told, only_for(names, holds), fix, fatal=True)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


STORED = "make it a constant of the model"
READER = (
    _rule("what is made is of input 0's type", MADE_ALIKE, same_types),
    _rule("inputs are of one type, and signed ones make signed integers", SUMS, _sums_alike),
    _rule("input and output have one scale", RESHAPES, _same_scale),
    _rule("the output is of the input's type, or INT16 of INT8", ("SOFTMAX",), _softmax),
    _rule("axes, paddings and sizes are constant", READ_FIRST, _read_first, STORED),
    _rule("the axis is constant, and above -rank", ("SPLIT",), _split, "count the axis from the front"),
    _rule("the permutation is int32", ("TRANSPOSE",), _turned),
    _rule("the output is int32 or int64", ("ARG_MAX",), _index_output),
    _rule("indices are int16, int32 or int64", ("GATHER",), _indices),
    _rule("the paddings are int32 (of int64 it reads some)", ("PAD",), _wide_paddings),
)


def once_taken(rule: SupportRule, *others: SupportRule) -> SupportRule:
    """Return a rule that only applies if the other rules hold: Vela does not get that far with operators of the CPU."""

    def holds(view: OperatorView) -> bool | None:
        return True if any(other.holds(view) is False for other in others) else rule.holds(view)

    return replace(rule, holds=holds)


def leading(view: OperatorView) -> int:
    """Return the number of images: the product of all sizes before height, width and channels."""
    given = view.input(0)
    return 1 if given is None else prod(given.shape[:-3])


def _lstm_batch(view: OperatorView) -> bool:
    """Return whether a step has more than a single value (one unit and a batch of 1), on which Vela crashes."""
    given, out = view.input(0), view.outputs[0]
    if given is None or len(given.shape) != 3:
        return True
    batch = given.shape[1 if view.option("timeMajor") else 0]
    return batch > 1 or out.shape[-1] > 1


def _cast_reads(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or (given.type != "int64" and (given.type, view.outputs[0].type) != ("bool", "bool"))


def _ungrouped(view: OperatorView) -> bool:
    """Groups are slices, and large strides are unrolled over what is whole."""
    image, kernel = view.input(0), view.input(1)
    strides = [view.option("strideH"), view.option("strideW")]
    if image is None or kernel is None or None in strides or image.shape[-1] == kernel.shape[-1]:
        return True
    return bool(max(strides) <= 3)


ONE_IMAGE = SupportRule(
    f"the batch is 1, with the dimensions before it: Vela {VELA} fails else",
    lambda view: leading(view) <= 1,
    "batch 1: signature.batch=1",
    fatal=True,
)
LSTM_UNITS = SupportRule(
    f"it has more than one unit, or a batch above 1: Vela {VELA} fails else", _lstm_batch, fatal=True
)
CAST_READS = SupportRule(f"input 0 is not INT64, and BOOL no BOOL: Vela {VELA} fails else", _cast_reads, fatal=True)
VALUES_ALIKE = SupportRule(f"values and output are of one type: Vela {VELA} fails else", values_alike, fatal=True)
INPUTS_ALIKE = SupportRule(f"inputs are of one type: Vela {VELA} fails else", inputs_alike, fatal=True)
UNGROUPED = SupportRule(
    f"there are no groups where a stride is above 3: Vela {VELA} fails else", _ungrouped, fatal=True
)
