"""Values that the scales of an integer artifact cannot represent: scores beside a mask, sums in the scale of a term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.tflite_model import STEPS, Model, Operator, Subgraph

CARRIERS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE")
MASKING = ("ADD", "SUB", "SELECT", "SELECT_V2", "MINIMUM", "MAXIMUM")
# A SOFTMAX of steps of 1 or more multiplies its results by e or more at each step: it can do little but name the
# greatest. That is right for scores of many steps, and wrong for scores of a few.
COARSE_STEP, LEAST_SCORE_STEPS = 1.0, 8
# Scores span a few hundred at most. A wider range is that of a mask's constant (-1e9, or the least float32 for -inf).
WIDEST_SCORES = 20_000.0
WAY_OUT = "mask with a number near the scores in the source (-100 gives the same SOFTMAX), or leave both in float"


def check_lost_values(model: Model) -> Iterator[Finding]:
    """Yield a finding for each SOFTMAX whose scores vanish beside a mask, and for each SUM that saturates."""
    for graph in model.subgraphs:
        makers = {index: op for op in graph.ops for index in op.outputs}
        for op in graph.ops:
            if op.name in ("SOFTMAX", "LOG_SOFTMAX"):
                yield from _check_scores(graph, op, makers)
            elif op.name == "SUM":
                yield from _check_sum(graph, op)


def _check_scores(graph: Subgraph, softmax: Operator, makers: Mapping[int, Operator]) -> Iterator[Finding]:
    scores = graph.tensors[softmax.inputs[0]]
    mask = _follow_back(softmax.inputs[0], makers)
    if mask is None or mask.name not in MASKING or scores.type not in STEPS or len(scores.scales) != 1:
        return
    step = scores.scales[0]
    steps_left = [
        graph.tensors[index].scales[0] * STEPS[graph.tensors[index].type] / step
        for index in mask.inputs
        if not graph.tensors[index].constant and graph.tensors[index].type in STEPS and graph.tensors[index].scales
    ]
    span = step * STEPS[scores.type]
    lost = bool(steps_left) and min(steps_left) < LEAST_SCORE_STEPS and step >= COARSE_STEP
    if lost or span > WIDEST_SCORES:
        names = [graph.tensors[op.outputs[0]].name for op in (softmax, mask)]
        masks = [graph.tensors[index].name for index in mask.inputs if _is_mask(graph, index)]
        stored = f" beside '{masks[-1]}'" if masks else ""
        yield Finding(
            "lost",
            f"SOFTMAX '{names[0]}': its input from {mask.name} '{names[1]}' spans {span:.4g} in steps of {step:.4g}:"
            f" scores vanish{stored}; {WAY_OUT}",
            ((softmax.name, names[0]), (mask.name, names[1])),
        )


def _follow_back(index: int, makers: Mapping[int, Operator]) -> Operator | None:
    """Return the operator that computes a tensor, seen through those that only move its values."""
    maker = makers.get(index)
    while maker is not None and maker.name in CARRIERS:
        maker = makers.get(maker.inputs[0])
    return maker


def _is_mask(graph: Subgraph, index: int) -> bool:
    return index >= 0 and graph.tensors[index].constant and bool(graph.tensors[index].scales)


def _check_sum(graph: Subgraph, op: Operator) -> Iterator[Finding]:
    """Yield int16 SUM operators that saturate: TFLiteConverter gives them the scale of their input."""
    terms, total = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    count = terms.elements // max(total.elements, 1)
    if terms.type == "int16" and count > 1 and terms.scales and terms.scales == total.scales:
        text = f"SUM '{total.name}' has the scale of its input, of which it adds {count} values: sums do not fit"
        yield Finding("lost", text, ((op.name, total.name),))
