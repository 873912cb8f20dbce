"""A model held against a table: which operators the target takes, which not and why, in how many pieces."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tflbuild.core.verdict import LINTED, Fallback, Verdict
from tflbuild.targets.common.rules import OperatorView, SupportRule, SupportTable, each_view
from tflbuild.tflite.tflite_model import Model, Operator

FILE = "file"  # what stands for the operator, where the file as a whole is at fault
BEHIND_FIX = "make the file smaller than 2 GB: tflbuild then stores weights inside the flatbuffer"
Place = tuple[int, int]  # subgraph, index of the operator in it
APART = "supported, but apart from the largest piece of neighbours that are, the only one that the delegate takes"


@dataclass(frozen=True)
class OperatorCheck:
    """One operator. `taken` is None where the table cannot know; `broken` are the rules that it breaks."""

    view: OperatorView
    taken: bool | None
    broken: tuple[SupportRule, ...] = ()
    reason: str = ""
    fix: str = ""

    def fallback(self) -> Fallback:
        """As the verdict lists it."""
        view = self.view
        return Fallback(
            op=view.op.name,
            layer=view.layer,
            reason=self.reason,
            fix=self.fix,
            index=view.index,
            subgraph=view.subgraph,
        )


def check_operator(table: SupportTable, view: OperatorView, version: str = "") -> OperatorCheck:
    """One operator against the table, as of a version of the target."""
    name = view.op.name
    row = table.rows.get(name)
    asked = version or table.version
    fix = table.fixes.get(name, "")
    if row is None:
        if not table.complete and name not in table.absent:
            return OperatorCheck(view, None, reason=f"the rules for {table.title} say nothing about {name}")
        fatal = tuple(rule for rule in table.everywhere if rule.fatal and rule.holds(view) is False)
        return OperatorCheck(view, False, fatal, reason=f"{table.title} has no {name}", fix=fix)
    if row.since and asked and _number(asked) < _number(row.since):
        return OperatorCheck(view, False, reason=f"{name} is there from {table.title} {row.since}", fix=fix)
    rules = [rule for rule in (*table.everywhere, *row.rules) if not _lapsed(rule, asked)]
    answers = [(rule, rule.holds(view)) for rule in rules]
    broken = tuple(rule for rule, held in answers if held is False)
    if broken:
        reason = f"taken only where {' and '.join(rule.text for rule in broken)}"
        return OperatorCheck(view, False, broken, reason, next((rule.fix for rule in broken if rule.fix), fix))
    unsure = [rule.text for rule, held in answers if held is None]
    return OperatorCheck(view, None if unsure else True, reason=f"cannot tell whether {unsure[0]}" if unsure else "")


def check_model(table: SupportTable, model: Model, version: str = "") -> list[OperatorCheck]:
    """Every operator of the model."""
    if not table.float16_weights:
        return [check_operator(table, view, version) for view in each_view(model)]
    stored = _float16_weights(model)
    seen = [(view, replace(view, op=_with_inputs(view, stored))) for view in each_view(model)]
    judged = [(view, check_operator(table, other, version)) for view, other in seen]
    return [OperatorCheck(view, True) if _makes(view, stored) else replace(one, view=view) for view, one in judged]


def _float16_weights(model: Model) -> dict[Place, int]:
    """Tensors that a DEQUANTIZE makes of stored float16 -> the stored ones."""
    return {
        (view.subgraph, view.op.outputs[0]): view.op.inputs[0]
        for view in each_view(model)
        if view.op.name == "DEQUANTIZE" and (given := view.input(0)) and given.constant and given.type == "float16"
    }


def _with_inputs(view: OperatorView, stored: Mapping[Place, int]) -> Operator:
    return replace(view.op, inputs=tuple(stored.get((view.subgraph, at), at) for at in view.op.inputs))


def _makes(view: OperatorView, stored: Mapping[Place, int]) -> bool:
    return any((view.subgraph, at) in stored for at in view.op.outputs)


def _buffers_behind(table: SupportTable, model: Model) -> Iterator[Fallback]:
    """Yield the fault of a file with weights where the target does not look."""
    if table.flatbuffer_alone and model.buffers_behind:
        reason = f"weights lie behind the flatbuffer, and {table.title} reads the flatbuffer alone"
        yield Fallback(op=FILE, layer="buffers", reason=reason, fix=BEHIND_FIX)


def lint(table: SupportTable, model: Model, target: str, version: str = "") -> Verdict:
    """The verdict that the table alone allows."""
    judged = apply_model_rules(table, model, check_model(table, model, version))
    refused = [one for one in judged if one.taken is False]
    unsure = [one for one in judged if one.taken is None]
    taken = {(one.view.subgraph, one.view.index) for one in judged if one.taken}
    fatal = any(rule.fatal for one in refused for rule in one.broken)
    sheds = table.sheds and not fatal
    runs = None if unsure and not refused else (sheds or not refused)
    behind = tuple(_buffers_behind(table, model))
    return Verdict(
        target=target,
        proof=LINTED,
        how=f"held against the rules for {table.title}{f' {version}' if version else ''}",
        runs=False if behind else True if sheds else runs,
        ops=len(judged),
        on_delegate=None if unsure else len(taken),
        partitions=None if unsure else count_partitions(model, taken),
        fallbacks=(*behind, *(one.fallback() for one in refused)),
        unknown=tuple(f"{one.view.op.name}: {one.reason}" for one in unsure),
        notes=table.notes,
    )


def apply_model_rules(table: SupportTable, model: Model, judged: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    """The same operators in one model, where the target leaves some out for what surrounds them."""
    settled = _first_partition(table, judged) if table.one_partition else list(judged)
    if (table.fewest > 1 or table.most) and all(one.taken is not None for one in settled):
        return _large_partitions(table, model, settled)
    return settled


def _first_partition(table: SupportTable, judged: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    behind: dict[Place, OperatorCheck] = {}  # a tensor -> the operator after which it is made
    settled = []
    for one in judged:
        view = one.view
        cause = next((behind[view.subgraph, at] for at in view.op.inputs if (view.subgraph, at) in behind), None)
        if cause is not None and one.taken is not False and (one.taken or cause.taken is False):
            stays = "stays on the CPU" if cause.taken is False else "may stay on the CPU"
            reason = f"comes after {cause.view.op.name} ({cause.view.layer}), which {stays}"
            one = OperatorCheck(view, cause.taken, reason=reason)
        ends = cause or (one if one.taken is not True and view.op.name not in table.passes else None)
        if ends is not None:
            behind.update(((view.subgraph, at), ends) for at in view.op.outputs)
        settled.append(one)
    return settled


def _large_partitions(table: SupportTable, model: Model, judged: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    taken = {(one.view.subgraph, one.view.index) for one in judged if one.taken}
    left: dict[Place, str] = {}
    for number in range(len(model.subgraphs)):
        pieces = sorted((piece for side, piece in _pieces(model, number, taken) if side), key=len, reverse=True)
        for rank, piece in enumerate(pieces):
            if len(piece) < table.fewest:
                reason = f"{table.title} takes no partition of less than {table.fewest} operators"
                left.update(((number, at), reason) for at in piece)
            elif table.most and rank >= table.most:
                reason = f"{table.title} takes the {table.most} largest partitions alone" if table.most > 1 else APART
                left.update(((number, at), reason) for at in piece)
    places = [(one, (one.view.subgraph, one.view.index)) for one in judged]
    return [OperatorCheck(one.view, False, reason=left[place]) if place in left else one for one, place in places]


def largest(model: Model, supported: Collection[Place], most: int) -> set[Place]:
    """Of what is supported, the operators of each subgraph's `most` largest pieces; all of them where `most` is 0."""
    if not most:
        return set(supported)
    found: set[Place] = set()
    for number in range(len(model.subgraphs)):
        pieces = sorted((piece for side, piece in _pieces(model, number, supported) if side), key=len, reverse=True)
        found.update((number, index) for piece in pieces[:most] for index in piece)
    return found


def count_partitions(model: Model, taken: Collection[Place]) -> int:
    """In how many pieces a delegate gets the operators that it takes.

    As TensorFlow Lite's own partitioner does it (graph_info.cc, PartitionGraphIntoIndependentNodeSubsets): by turns all
    operators of one side that have their inputs are put into one piece, until nothing more has.
    """
    return sum(1 for number in range(len(model.subgraphs)) for side, _ in _pieces(model, number, taken) if side)


def _pieces(model: Model, number: int, taken: Collection[Place]) -> Iterator[tuple[bool, list[int]]]:
    graph = model.subgraphs[number]
    made = {output for op in graph.ops for output in op.outputs}
    there = {index for index in range(len(graph.tensors)) if index not in made}
    left = list(range(len(graph.ops)))
    side, idle = bool(left) and (number, left[0]) in taken, 0
    while left and idle < 2:
        piece: list[int] = []
        progress = True
        while progress:
            progress = False
            for index in list(left):
                op = graph.ops[index]
                if ((number, index) in taken) == side and all(one < 0 or one in there for one in op.inputs):
                    piece.append(index)
                    left.remove(index)
                    there.update(op.outputs)
                    progress = True
        if piece:
            yield side, piece
        idle = 0 if piece else idle + 1
        side = not side


def _lapsed(rule: SupportRule, version: str) -> bool:
    after = bool(rule.until and version and _number(version) >= _number(rule.until))
    return after or bool(rule.since and version and _number(version) < _number(rule.since))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
