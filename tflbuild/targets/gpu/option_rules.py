"""Support rules of the GPU delegate for parameters and options. They were found with random models."""

from __future__ import annotations

from tflbuild.targets.common.rules import OperatorView, SupportRule, option, same_types, type_of
from tflbuild.targets.gpu.rules import CRASH, WRONG, values

INT32_FIX = "store it as int32"
FRONT_FIX = "count the axis from the front"


def _from_the_front(view: OperatorView) -> bool | None:
    named = values(view.input(1))
    return None if named is None else min(named) >= 0


def _same_scales(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or all(
        (one.scales, one.zero_points) == (given.scales, given.zero_points) for one in view.outputs
    )


def _all_computed(view: OperatorView) -> bool:
    return not any(one is not None and one.constant for one in view.inputs)


BLOCK = option("blockSize", "the block's size", 2, 1 << 16, "leave it out: a block of 1 changes nothing")
INDICES = SupportRule("indices are int32", type_of(1, "int32").holds, INT32_FIX)
BEGIN = SupportRule(
    "begin and size are int32", lambda view: all(type_of(at, "int32").holds(view) for at in (1, 2)), INT32_FIX
)
COMPUTED = SupportRule("both inputs are computed", _all_computed, "an input of the model, or an operator before it")
RESCALED = SupportRule(f"input and output have one scale and zero point ({WRONG})", _same_scales)
SAME_TYPES = SupportRule(f"the output is of the input's type ({WRONG})", same_types)
FRONT = SupportRule(f"the axis is not negative ({CRASH})", _from_the_front, FRONT_FIX, fatal=True)
TURNED = SupportRule(f"no axis is negative ({CRASH})", _from_the_front, FRONT_FIX, fatal=True)
PIECES = SupportRule(
    f"it makes several pieces ({CRASH})", lambda view: len(view.outputs) > 1, "leave it out", fatal=True
)
SEVERAL = SupportRule(f"it joins several inputs ({WRONG})", lambda view: len(view.inputs) > 1, "leave it out")
