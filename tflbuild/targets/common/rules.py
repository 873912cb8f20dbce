"""The parts of a support table, and common forms of support rules.

A support rule is a text and a predicate on one operator. A user reads the text if the operator violates it, and
docs/targets/ lists it: `CONV_2D: stride is 1 to 3`. A predicate returns True, False, or None if it cannot know. It
never guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


@dataclass(frozen=True)
class OperatorView:
    """An operator with access to its tensors. `index` is its position in the order of the subgraph."""

    op: Operator
    graph: Subgraph
    index: int
    subgraph: int = 0

    @cached_property
    def inputs(self) -> tuple[Tensor | None, ...]:
        """Return the input tensors in the order of the schema, with None for an omitted one."""
        return tuple(None if index < 0 else self.graph.tensors[index] for index in self.op.inputs)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Return the output tensors in the order of the schema."""
        return tuple(self.graph.tensors[index] for index in self.op.outputs if index >= 0)

    @property
    def layer(self) -> str:
        """Return the name of the first output, by which a user finds the layer."""
        return self.outputs[0].name if self.outputs else ""

    def input(self, index: int) -> Tensor | None:
        """Return an input, or None if there is none."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def moving(self) -> Iterator[Tensor]:
        """Yield the activations: tensors that are computed while the model runs."""
        yield from (tensor for tensor in self.inputs if tensor is not None and not tensor.constant)
        yield from self.outputs

    def option(self, name: str) -> Any:
        """Return the value of a builtin option, None where the operator has none of that name."""
        return self.op.options.get(name)


Predicate = Callable[[OperatorView], bool | None]


@dataclass(frozen=True)
class SupportRule:
    """A condition that an operator must meet.

    Attributes:
        text: The condition, for users.
        holds: Returns whether an operator meets it, None if unknown.
        fix: What to do if an operator does not meet it, "" if nothing is known.
        until: The version of the target from which the rule does not apply any more, "" for none.
        fatal: Whether the target's tool refuses the whole model, so that the CPU runs nothing either.
        since: The version of the target from which the rule applies, "" for all.
    """

    text: str
    holds: Predicate
    fix: str = ""
    until: str = ""
    fatal: bool = False
    since: str = ""


@dataclass(frozen=True)
class OperatorSupport:
    """An operator that a target supports, with its rules. `since` is the first version that supports it."""

    rules: tuple[SupportRule, ...] = ()
    since: str = ""


@dataclass(frozen=True)
class SupportTable:
    """The known rules for the operators of a target.

    Attributes:
        name: The name of the table.
        title: The name of the target in texts.
        source: Where the rules come from.
        rows: Operator -> its rules.
        everywhere: Rules for all operators.
        complete: Whether an operator without a row is not supported. Otherwise it is unknown.
        version: The version of the target if a recipe names none.
        checked: What the rules were compared with, "" for nothing.
        sheds: Whether the CPU runs unsupported operators. Otherwise the model cannot run.
        fixes: Unsupported operator -> what to use instead.
        notes: Notes for every verdict.
        one_partition: Whether an operator that depends on an operator of the CPU stays on the CPU too.
        passes: Operators that do not count for `one_partition`, unless something before them stays on the CPU.
        fewest: A partition with fewer operators stays on the CPU.
        most: Only this number of the largest partitions runs on the target, 0 for no limit.
        float16_weights: Whether weights that a DEQUANTIZE reads from float16 count as stored, and the DEQUANTIZE as
            supported.
        absent: Operators that are known to be unsupported, if the table is not complete.
        flatbuffer_alone: Whether the target only reads the flatbuffer, not buffers after it.
    """

    name: str
    title: str
    source: str
    rows: Mapping[str, OperatorSupport]
    everywhere: tuple[SupportRule, ...] = ()
    complete: bool = True
    version: str = ""
    checked: str = ""
    sheds: bool = True
    fixes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    one_partition: bool = False
    passes: tuple[str, ...] = ()
    fewest: int = 1
    most: int = 0
    float16_weights: bool = False
    absent: tuple[str, ...] = ()
    flatbuffer_alone: bool = False


def row(*rules: SupportRule, since: str = "") -> OperatorSupport:
    """Return a row of a table."""
    return OperatorSupport(rules, since)


def rows(names: Sequence[str], *rules: SupportRule, since: str = "") -> dict[str, OperatorSupport]:
    """Return the same row for several operators."""
    return {name: OperatorSupport(rules, since) for name in names}


def activations(*types: str, fix: str = "") -> SupportRule:
    """Return the rule that activations have one of these element types."""
    return SupportRule(
        f"activations are {join_alternatives(types)}",
        lambda view: all(tensor.type in types for tensor in view.moving),
        fix,
    )


def type_of(place: int, *types: str, fix: str = "") -> SupportRule:
    """Return the rule that an input, if it exists, has one of these element types."""

    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is None or tensor.type in types

    return SupportRule(f"input {place} is {join_alternatives(types)}", holds, fix)


def rank(most: int, least: int = 0, place: int | None = None, fix: str = "") -> SupportRule:
    """Return the rule that activations, or one input, have a number of dimensions within these bounds."""

    def holds(view: OperatorView) -> bool:
        tensors = view.moving if place is None else [view.input(place)]
        return all(least <= len(tensor.shape) <= most for tensor in tensors if tensor is not None)

    bound = f"{least} to {most}" if least else f"at most {most}"
    subject = "activations have" if place is None else f"input {place} has"
    return SupportRule(f"{subject} {bound} dimensions", holds, fix)


def static(fix: str = "declare every size: signature=static") -> SupportRule:
    """Return the rule that no dimension is dynamic."""
    return SupportRule("sizes are fixed", lambda view: all(-1 not in tensor.shape for tensor in view.moving), fix)


def constant(place: int, what: str = "", fix: str = "") -> SupportRule:
    """Return the rule that an input, if it exists, is constant."""

    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is None or tensor.constant

    return SupportRule(f"{what or f'input {place}'} is constant", holds, fix)


def fused(*names: str, fix: str = "") -> SupportRule:
    """Return the rule that the fused activation is one of these, or none."""
    return SupportRule(
        f"fused activation is {join_alternatives(('none', *names))}",
        lambda view: view.op.activation in ("", *names),
        fix,
    )


def option(name: str, what: str, least: float, most: float, fix: str = "") -> SupportRule:
    """Return the rule that a builtin option is between two values, both included."""

    def holds(view: OperatorView) -> bool | None:
        value = view.option(name)
        return None if value is None else least <= value <= most

    return SupportRule(f"{what} is {least:g} to {most:g}", holds, fix)


def join_alternatives(names: Sequence[str]) -> str:
    """Return names as text: `int8, uint8 or int16`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def same_types(view: OperatorView) -> bool:
    """Return whether all outputs have the type of the first input."""
    first_input = view.input(0)
    return first_input is None or all(tensor.type == first_input.type for tensor in view.outputs)


def inputs_alike(view: OperatorView) -> bool:
    """Return whether all inputs have the same type."""
    return len({tensor.type for tensor in view.inputs if tensor is not None}) == 1


def values_alike(view: OperatorView) -> bool:
    """Return whether the values of a selection have the type of its output. The condition has another type."""
    return len({tensor.type for tensor in (*view.inputs[1:], *view.outputs) if tensor is not None}) == 1


def each_view(model: Model) -> Iterator[OperatorView]:
    """Yield the operators of all subgraphs, in order."""
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.ops):
            yield OperatorView(op, graph, index, number)
