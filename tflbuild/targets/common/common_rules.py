"""Forms of rules that tables of delegates share: versions of operators, places along which they work, scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tflbuild.targets.common.rules import OperatorView, Predicate, SupportRule, join_alternatives
from tflbuild.tflite.tflite_model import Tensor

FLOAT, QUANT8 = ("float32",), ("int8", "uint8")
EIGHT_BIT_FIX = "quantization=int8"


def op_version(most: int, fix: str = "") -> SupportRule:
    """The operator's version, as the file has it, is no higher."""
    return SupportRule(f"the operator's version is at most {most}", lambda view: view.op.version <= most, fix)


def made(what: str, holds: Predicate, fix: str = "", until: str = "") -> SupportRule:
    """A rule of its own text."""
    return SupportRule(what, holds, fix, until)


def until(version: str, rule: SupportRule) -> SupportRule:
    """The same rule, asked only of versions of the target before this one."""
    return SupportRule(rule.text, rule.holds, rule.fix, version)


def output_type(*types: str, fix: str = "") -> SupportRule:
    """The first output is of one of these element types."""
    return SupportRule(f"output is {join_alternatives(types)}", lambda view: view.outputs[0].type in types, fix)


def equals(name: str, text: str, *values: object, fix: str = "") -> SupportRule:
    """A builtin option has one of these values; unknown where the file has no options."""

    def holds(view: OperatorView) -> bool | None:
        value = view.option(name)
        return None if value is None else value in values

    return SupportRule(text, holds, fix)


def axes_of(view: OperatorView, place: int, rank: int) -> list[int] | None:
    """The axes that a constant input names, none negative; None where they are not constant, or too many to be read."""
    tensor = view.input(place)
    if tensor is None or not tensor.constant or (not tensor.values and tensor.elements):
        return None
    return [int(axis) % rank if rank else 0 for axis in tensor.values]


def padded_axes(view: OperatorView) -> list[int] | None:
    """The axes along which a padding operator adds something; None where its paddings are not constant."""
    tensor = view.input(1)
    if tensor is None or not tensor.constant or len(tensor.values) != tensor.elements:
        return None
    pairs = zip(tensor.values[::2], tensor.values[1::2], strict=True)
    return [axis for axis, (before, after) in enumerate(pairs) if before or after]


def size_of(shape: Iterable[int]) -> int | None:
    """Elements of a shape; None where a size is free."""
    total = 1
    for size in shape:
        if size < 0:
            return None
        total *= size
    return total


def same_quantization(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same scales and zero points."""
    return one.scales == other.scales and one.zero_points == other.zero_points


def each(
    tensors: Callable[[OperatorView], Iterable[Tensor | None]], text: str, holds: Callable[[Tensor], bool | None]
) -> SupportRule:
    """A rule over several tensors of an operator: broken by one, unknown by one."""

    def all_hold(view: OperatorView) -> bool | None:
        answers = [holds(tensor) for tensor in tensors(view) if tensor is not None]
        return False if False in answers else None if None in answers else True

    return SupportRule(text, all_hold)
