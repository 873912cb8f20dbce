"""Forms of support rules that the tables of several delegates use: versions, types, options, axes, scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tflbuild.targets.common.rules import OperatorView, Predicate, SupportRule, join_alternatives
from tflbuild.tflite.tflite_model import Tensor

FLOAT, QUANT8 = ("float32",), ("int8", "uint8")
EIGHT_BIT_FIX = "quantization=int8"


def op_version(most: int, fix: str = "") -> SupportRule:
    """Return the rule that the operator's version in the file is at most this one."""
    return SupportRule(f"the operator's version is at most {most}", lambda view: view.op.version <= most, fix)


def made(text: str, holds: Predicate, fix: str = "", until: str = "") -> SupportRule:
    """Return a rule with a text of its own."""
    return SupportRule(text, holds, fix, until)


def until(version: str, rule: SupportRule) -> SupportRule:
    """Return a rule that only applies to versions of the target before this one."""
    return SupportRule(rule.text, rule.holds, rule.fix, version)


def output_type(*types: str, fix: str = "") -> SupportRule:
    """Return the rule that the first output has one of these element types."""
    return SupportRule(f"output is {join_alternatives(types)}", lambda view: view.outputs[0].type in types, fix)


def equals(name: str, text: str, *values: object, fix: str = "") -> SupportRule:
    """Return the rule that a builtin option has one of these values. It is unknown if the file has no options."""

    def holds(view: OperatorView) -> bool | None:
        value = view.option(name)
        return None if value is None else value in values

    return SupportRule(text, holds, fix)


def axes_of(view: OperatorView, place: int, rank: int) -> list[int] | None:
    """Return the non-negative axes in a constant input, None if they are not constant, or too many to be read."""
    tensor = view.input(place)
    if tensor is None or not tensor.constant or (not tensor.values and tensor.elements):
        return None
    return [int(axis) % rank if rank else 0 for axis in tensor.values]


def padded_axes(view: OperatorView) -> list[int] | None:
    """Return the axes along which a padding operator adds elements, None if the padding is not constant."""
    tensor = view.input(1)
    if tensor is None or not tensor.constant or len(tensor.values) != tensor.elements:
        return None
    pairs = zip(tensor.values[::2], tensor.values[1::2], strict=True)
    return [axis for axis, (before, after) in enumerate(pairs) if before or after]


def size_of(shape: Iterable[int]) -> int | None:
    """Return the number of elements of a shape, None if a dimension is dynamic."""
    total = 1
    for size in shape:
        if size < 0:
            return None
        total *= size
    return total


def same_quantization(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same scales and zero points."""
    return first.scales == second.scales and first.zero_points == second.zero_points


def each(
    tensors: Callable[[OperatorView], Iterable[Tensor | None]], text: str, holds: Callable[[Tensor], bool | None]
) -> SupportRule:
    """Return a rule on several tensors: one tensor is enough to violate it, or to make it unknown."""

    def all_hold(view: OperatorView) -> bool | None:
        answers = [holds(tensor) for tensor in tensors(view) if tensor is not None]
        return False if False in answers else None if None in answers else True

    return SupportRule(text, all_hold)
