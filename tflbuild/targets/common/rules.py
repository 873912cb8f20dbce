"""What a table of rules is made of, and the few forms that most rules have.

A rule is a text and a predicate over one operator. The text is what a person reads when the operator breaks
it, and what docs/targets/ says of the operator: `CONV_2D: stride is 1 to 3`. A predicate answers True,
False, or None where it cannot know: unknown is never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


@dataclass(frozen=True)
class OperatorView:
    """An operator with its tensors at hand. `index` is its place in the subgraph's order."""

    op: Operator
    graph: Subgraph
    index: int
    subgraph: int = 0

    @cached_property
    def inputs(self) -> tuple[Tensor | None, ...]:
        """Input tensors in the schema's order; None for an optional one that is left out."""
        return tuple(None if index < 0 else self.graph.tensors[index] for index in self.op.inputs)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Output tensors in the schema's order."""
        return tuple(self.graph.tensors[index] for index in self.op.outputs if index >= 0)

    @property
    def layer(self) -> str:
        """The name of the first output, by which a person finds the layer."""
        return self.outputs[0].name if self.outputs else ""

    def input(self, index: int) -> Tensor | None:
        """One input, None where it is not there."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def moving(self) -> Iterator[Tensor]:
        """Tensors that are computed while the model runs: activations, not weights."""
        yield from (one for one in self.inputs if one is not None and not one.constant)
        yield from self.outputs

    def option(self, name: str) -> Any:
        """A builtin option by the schema's name, None where the operator has none such."""
        return self.op.options.get(name)


Predicate = Callable[[OperatorView], bool | None]


@dataclass(frozen=True)
class SupportRule:
    """What must hold of an operator. `fix` is what to do where it does not, "" when nothing is known.

    `until` is the version of the target from which it is asked no more, `since` that from which it is; "" for none.
    `fatal`: where it does not hold, the target's tool fails on the whole model, and nothing is left to the CPU.
    """

    text: str
    holds: Predicate
    fix: str = ""
    until: str = ""
    fatal: bool = False
    since: str = ""


@dataclass(frozen=True)
class OperatorSupport:
    """One operator that a target takes, and under which rules. `since` is the first version that has it."""

    rules: tuple[SupportRule, ...] = ()
    since: str = ""


@dataclass(frozen=True)
class SupportTable:
    """All that is known of a target's operators.

    `everywhere` holds for each operator. `complete`: an operator without a row is not supported; else it is unknown.
    `source` says where the rules come from, `checked` against what they were held, "" for nothing. `version` is the
    one that is meant where a recipe says none. `sheds`: what it does not take runs on the CPU; else it cannot run at
    all. `one_partition`: what depends on an operator that stays on the CPU stays there too, save where that one is of
    `passes` and nothing before it stayed.
    A partition of less than `fewest` operators stays on the CPU, as do those beyond the `most` largest (0: no limit).
    `float16_weights`: weights that a DEQUANTIZE makes of stored float16 count as stored, and it as taken. `absent` are
    operators known not to be there, where the table is not complete. `notes` are told with every verdict.
    `flatbuffer_alone`: what lies behind a file's flatbuffer is never read.
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
    """A row, written short."""
    return OperatorSupport(rules, since)


def rows(names: Sequence[str], *rules: SupportRule, since: str = "") -> dict[str, OperatorSupport]:
    """The same row of several operators."""
    return {name: OperatorSupport(rules, since) for name in names}


def activations(*types: str, fix: str = "") -> SupportRule:
    """Activations are of these element types."""
    return SupportRule(
        f"activations are {join_alternatives(types)}", lambda view: all(one.type in types for one in view.moving), fix
    )


def type_of(place: int, *types: str, fix: str = "") -> SupportRule:
    """An input, where it is there, is of one of these element types."""

    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is None or tensor.type in types

    return SupportRule(f"input {place} is {join_alternatives(types)}", holds, fix)


def rank(most: int, least: int = 0, place: int | None = None, fix: str = "") -> SupportRule:
    """Tensors, or the one input, have so many dimensions."""

    def holds(view: OperatorView) -> bool:
        tensors = view.moving if place is None else [view.input(place)]
        return all(least <= len(one.shape) <= most for one in tensors if one is not None)

    bound = f"{least} to {most}" if least else f"at most {most}"
    what = "activations have" if place is None else f"input {place} has"
    return SupportRule(f"{what} {bound} dimensions", holds, fix)


def static(fix: str = "declare every size: signature=static") -> SupportRule:
    """No size is left free."""
    return SupportRule("sizes are fixed", lambda view: all(-1 not in one.shape for one in view.moving), fix)


def constant(place: int, what: str = "", fix: str = "") -> SupportRule:
    """An input, where it is there, is stored in the model."""

    def holds(view: OperatorView) -> bool:
        tensor = view.input(place)
        return tensor is None or tensor.constant

    return SupportRule(f"{what or f'input {place}'} is constant", holds, fix)


def fused(*names: str, fix: str = "") -> SupportRule:
    """The fused activation is none or one of these."""
    return SupportRule(
        f"fused activation is {join_alternatives(('none', *names))}",
        lambda view: view.op.activation in ("", *names),
        fix,
    )


def option(name: str, what: str, least: float, most: float, fix: str = "") -> SupportRule:
    """A builtin option lies between two values."""

    def holds(view: OperatorView) -> bool | None:
        value = view.option(name)
        return None if value is None else least <= value <= most

    return SupportRule(f"{what} is {least:g} to {most:g}", holds, fix)


def join_alternatives(names: Sequence[str]) -> str:
    """`int8, uint8 or int16`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def same_types(view: OperatorView) -> bool:
    """Whether what is made is of input 0's type."""
    given = view.input(0)
    return given is None or all(one.type == given.type for one in view.outputs)


def inputs_alike(view: OperatorView) -> bool:
    """Whether the inputs are of one type."""
    return len({one.type for one in view.inputs if one is not None}) == 1


def values_alike(view: OperatorView) -> bool:
    """Whether a selection's values are of the output's type; its condition is of another."""
    return len({one.type for one in (*view.inputs[1:], *view.outputs) if one is not None}) == 1


def each_view(model: Model) -> Iterator[OperatorView]:
    """Every operator of every subgraph, in order."""
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.ops):
            yield OperatorView(op, graph, index, number)
