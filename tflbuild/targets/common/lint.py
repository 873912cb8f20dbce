"""Comparison of a model with a support table: which operators the target supports, why not, and the partitions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tflbuild.core.verdict import LINTED, Fallback, Verdict
from tflbuild.targets.common.rules import OperatorView, SupportRule, SupportTable, each_view
from tflbuild.tflite.tflite_model import Model, Operator

# The operator of a fallback, if the file as a whole is the reason.
FILE = "file"
BEHIND_FIX = "make the file smaller than 2 GB: tflbuild then stores weights inside the flatbuffer"
# The subgraph, and the index of the operator in it.
Place = tuple[int, int]
APART = "supported, but apart from the largest piece of neighbours that are, the only one that the delegate takes"


@dataclass(frozen=True)
class OperatorCheck:
    """The result for one operator. `taken` is None if the table cannot know. `broken` are the violated rules."""

    view: OperatorView
    taken: bool | None
    broken: tuple[SupportRule, ...] = ()
    reason: str = ""
    fix: str = ""

    def fallback(self) -> Fallback:
        """Return the operator as a fallback of a verdict."""
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
    """Compare an operator with a table, for a version of the target."""
    name = view.op.name
    row = table.rows.get(name)
    target_version = version or table.version
    fix = table.fixes.get(name, "")
    if row is None:
        if not table.complete and name not in table.absent:
            return OperatorCheck(view, None, reason=f"the rules for {table.title} say nothing about {name}")
        fatal = tuple(rule for rule in table.everywhere if rule.fatal and rule.holds(view) is False)
        return OperatorCheck(view, False, fatal, reason=f"{table.title} has no {name}", fix=fix)
    if row.since and target_version and _parse_version(target_version) < _parse_version(row.since):
        return OperatorCheck(view, False, reason=f"{name} is there from {table.title} {row.since}", fix=fix)
    rules = [rule for rule in (*table.everywhere, *row.rules) if not _is_inapplicable(rule, target_version)]
    answers = [(rule, rule.holds(view)) for rule in rules]
    broken = tuple(rule for rule, holds in answers if holds is False)
    if broken:
        reason = f"taken only where {' and '.join(rule.text for rule in broken)}"
        return OperatorCheck(view, False, broken, reason, next((rule.fix for rule in broken if rule.fix), fix))
    unknown = [rule.text for rule, holds in answers if holds is None]
    return OperatorCheck(view, None if unknown else True, reason=f"cannot tell whether {unknown[0]}" if unknown else "")


def check_model(table: SupportTable, model: Model, version: str = "") -> list[OperatorCheck]:
    """Compare every operator of a model with a table."""
    if not table.float16_weights:
        return [check_operator(table, view, version) for view in each_view(model)]
    stored = _float16_weights(model)
    views = [(view, replace(view, op=_with_inputs(view, stored))) for view in each_view(model)]
    checks = [(view, check_operator(table, other, version)) for view, other in views]
    return [OperatorCheck(view, True) if _makes(view, stored) else replace(check, view=view) for view, check in checks]


def _float16_weights(model: Model) -> dict[Place, int]:
    """Return the outputs of DEQUANTIZE operators on constants of float16, and these constants."""
    return {
        (view.subgraph, view.op.outputs[0]): view.op.inputs[0]
        for view in each_view(model)
        if view.op.name == "DEQUANTIZE"
        and (constant := view.input(0))
        and constant.constant
        and constant.type == "float16"
    }


def _with_inputs(view: OperatorView, stored: Mapping[Place, int]) -> Operator:
    return replace(view.op, inputs=tuple(stored.get((view.subgraph, at), at) for at in view.op.inputs))


def _makes(view: OperatorView, stored: Mapping[Place, int]) -> bool:
    return any((view.subgraph, at) in stored for at in view.op.outputs)


def _buffers_behind(table: SupportTable, model: Model) -> Iterator[Fallback]:
    """Yield a fallback if weights are after the flatbuffer and the target does not read them."""
    if table.flatbuffer_alone and model.buffers_behind:
        reason = f"weights lie behind the flatbuffer, and {table.title} reads the flatbuffer alone"
        yield Fallback(op=FILE, layer="buffers", reason=reason, fix=BEHIND_FIX)


def lint(table: SupportTable, model: Model, target: str, version: str = "") -> Verdict:
    """Return the verdict that follows from a table.

    Args:
        table: The support table.
        model: The artifact.
        target: The name of the target.
        version: The version of the target, "" for the default.
    """
    checks = apply_model_rules(table, model, check_model(table, model, version))
    refused = [check for check in checks if check.taken is False]
    unknown = [check for check in checks if check.taken is None]
    taken = {(check.view.subgraph, check.view.index) for check in checks if check.taken}
    fatal = any(rule.fatal for check in refused for rule in check.broken)
    sheds = table.sheds and not fatal
    runs = None if unknown and not refused else (sheds or not refused)
    buffer_fallbacks = tuple(_buffers_behind(table, model))
    return Verdict(
        target=target,
        proof=LINTED,
        how=f"compared with the rules for {table.title}{f' {version}' if version else ''}",
        runs=False if buffer_fallbacks else True if sheds else runs,
        ops=len(checks),
        on_delegate=None if unknown else len(taken),
        partitions=None if unknown else count_partitions(model, taken),
        fallbacks=(*buffer_fallbacks, *(check.fallback() for check in refused)),
        unknown=tuple(f"{check.view.op.name}: {check.reason}" for check in unknown),
        notes=table.notes,
    )


def apply_model_rules(table: SupportTable, model: Model, checks: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    """Apply the conditions of a target on partitions to the results of single operators."""
    in_partitions = _first_partition(table, checks) if table.one_partition else list(checks)
    if (table.fewest > 1 or table.most) and all(check.taken is not None for check in in_partitions):
        return _large_partitions(table, model, in_partitions)
    return in_partitions


def _first_partition(table: SupportTable, checks: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    """Mark operators that depend on an operator of the CPU."""
    # Tensor -> the operator of the CPU on which it depends.
    causes: dict[Place, OperatorCheck] = {}
    results = []
    for check in checks:
        view = check.view
        cause = next(
            (causes[view.subgraph, index] for index in view.op.inputs if (view.subgraph, index) in causes), None
        )
        if cause is not None and check.taken is not False and (check.taken or cause.taken is False):
            stays = "stays on the CPU" if cause.taken is False else "may stay on the CPU"
            reason = f"comes after {cause.view.op.name} ({cause.view.layer}), which {stays}"
            check = OperatorCheck(view, cause.taken, reason=reason)
        tensor_cause = cause or (check if check.taken is not True and view.op.name not in table.passes else None)
        if tensor_cause is not None:
            causes.update(((view.subgraph, index), tensor_cause) for index in view.op.outputs)
        results.append(check)
    return results


def _large_partitions(table: SupportTable, model: Model, checks: Sequence[OperatorCheck]) -> list[OperatorCheck]:
    """Mark the operators of partitions that are too small or too many."""
    taken = {(check.view.subgraph, check.view.index) for check in checks if check.taken}
    reasons: dict[Place, str] = {}
    for number in range(len(model.subgraphs)):
        partitions = sorted(
            (partition for side, partition in _list_partitions(model, number, taken) if side), key=len, reverse=True
        )
        for rank, partition in enumerate(partitions):
            if len(partition) < table.fewest:
                reason = f"{table.title} takes no partition of less than {table.fewest} operators"
                reasons.update(((number, index), reason) for index in partition)
            elif table.most and rank >= table.most:
                reason = f"{table.title} takes the {table.most} largest partitions alone" if table.most > 1 else APART
                reasons.update(((number, index), reason) for index in partition)
    places = [(check, (check.view.subgraph, check.view.index)) for check in checks]
    return [
        OperatorCheck(check.view, False, reason=reasons[place]) if place in reasons else check
        for check, place in places
    ]


def largest(model: Model, supported: Collection[Place], most: int) -> set[Place]:
    """Return the operators of the `most` largest partitions of each subgraph, or all of them if `most` is 0."""
    if not most:
        return set(supported)
    operators: set[Place] = set()
    for number in range(len(model.subgraphs)):
        partitions = sorted(
            (partition for side, partition in _list_partitions(model, number, supported) if side), key=len, reverse=True
        )
        operators.update((number, index) for partition in partitions[:most] for index in partition)
    return operators


def count_partitions(model: Model, taken: Collection[Place]) -> int:
    """Return the number of partitions into which a delegate's operators fall.

    The algorithm is that of TensorFlow Lite (graph_info.cc, PartitionGraphIntoIndependentNodeSubsets). Alternating
    between delegate and CPU, all operators of one side whose inputs are available form a partition, until none is left.
    """
    return sum(
        1 for number in range(len(model.subgraphs)) for side, _ in _list_partitions(model, number, taken) if side
    )


def _list_partitions(model: Model, number: int, taken: Collection[Place]) -> Iterator[tuple[bool, list[int]]]:
    """Yield the partitions of a subgraph, and whether the delegate runs them."""
    graph = model.subgraphs[number]
    produced = {output for op in graph.ops for output in op.outputs}
    available = {index for index in range(len(graph.tensors)) if index not in produced}
    remaining = list(range(len(graph.ops)))
    side, idle = bool(remaining) and (number, remaining[0]) in taken, 0
    while remaining and idle < 2:
        partition: list[int] = []
        progress = True
        while progress:
            progress = False
            for index in list(remaining):
                op = graph.ops[index]
                if ((number, index) in taken) == side and all(
                    tensor < 0 or tensor in available for tensor in op.inputs
                ):
                    partition.append(index)
                    remaining.remove(index)
                    available.update(op.outputs)
                    progress = True
        if partition:
            yield side, partition
        idle = 0 if partition else idle + 1
        side = not side


def _is_inapplicable(rule: SupportRule, version: str) -> bool:
    """Return whether a rule does not apply to a version of the target."""
    after = bool(rule.until and version and _parse_version(version) >= _parse_version(rule.until))
    return after or bool(rule.since and version and _parse_version(version) < _parse_version(rule.since))


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
