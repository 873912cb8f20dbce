"""Values that the scales of an integer artifact cannot represent: scores next to a mask, and sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.tflite_model import STEPS, Model, Operator, Subgraph

CARRIERS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE")
MASKING = ("ADD", "SUB", "SELECT", "SELECT_V2", "MINIMUM", "MAXIMUM")
# If a quantization step of the scores is 1 or more, each step multiplies the results of a SOFTMAX by e or more, so that
# it can only select the largest score. That is correct for scores of many steps, and wrong for scores of a few steps.
COARSE_STEP, FEWEST_SCORE_STEPS = 1.0, 8
# Scores have a span of at most a few hundred. A mask causes a larger one (-1e9, or the smallest float32 for -inf).
WIDEST_SCORES = 20_000.0
SUGGESTION = "in the source, mask with a number near the scores (-100 has the same SOFTMAX), or keep both in float"


def check_lost_values(model: Model) -> Iterator[Finding]:
    """Yield every SOFTMAX whose scores vanish next to a mask, and every SUM that saturates."""
    for graph in model.subgraphs:
        producers = {index: op for op in graph.ops for index in op.outputs}
        for op in graph.ops:
            if op.name in ("SOFTMAX", "LOG_SOFTMAX"):
                yield from _check_scores(graph, op, producers)
            elif op.name == "SUM":
                yield from _check_sum(graph, op)


def _check_scores(graph: Subgraph, softmax: Operator, producers: Mapping[int, Operator]) -> Iterator[Finding]:
    """Yield a SOFTMAX whose scores have too few quantization steps, because they share a scale with a mask."""
    scores = graph.tensors[softmax.inputs[0]]
    mask = _follow_back(softmax.inputs[0], producers)
    if mask is None or mask.name not in MASKING or scores.type not in STEPS or len(scores.scales) != 1:
        return
    step = scores.scales[0]
    steps_left = [
        graph.tensors[index].scales[0] * STEPS[graph.tensors[index].type] / step
        for index in mask.inputs
        if not graph.tensors[index].constant and graph.tensors[index].type in STEPS and graph.tensors[index].scales
    ]
    span = step * STEPS[scores.type]
    lost = bool(steps_left) and min(steps_left) < FEWEST_SCORE_STEPS and step >= COARSE_STEP
    if lost or span > WIDEST_SCORES:
        names = [graph.tensors[op.outputs[0]].name for op in (softmax, mask)]
        masks = [graph.tensors[index].name for index in mask.inputs if _is_mask(graph, index)]
        stored = f" beside '{masks[-1]}'" if masks else ""
        yield Finding(
            "lost",
            f"SOFTMAX '{names[0]}': its input from {mask.name} '{names[1]}' spans {span:.4g} in steps of {step:.4g}:"
            f" scores vanish{stored}; {SUGGESTION}",
            ((softmax.name, names[0]), (mask.name, names[1])),
        )


def _follow_back(index: int, producers: Mapping[int, Operator]) -> Operator | None:
    """Return the operator that computes a tensor, before operators that only move its values."""
    producer = producers.get(index)
    while producer is not None and producer.name in CARRIERS:
        producer = producers.get(producer.inputs[0])
    return producer


def _is_mask(graph: Subgraph, index: int) -> bool:
    return index >= 0 and graph.tensors[index].constant and bool(graph.tensors[index].scales)


def _check_sum(graph: Subgraph, op: Operator) -> Iterator[Finding]:
    """Yield an int16 SUM that saturates, because TFLiteConverter gave its output the scale of its input."""
    terms, total = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    count = terms.elements // max(total.elements, 1)
    if terms.type == "int16" and count > 1 and terms.scales and terms.scales == total.scales:
        text = f"SUM '{total.name}' has the scale of its input, of which it adds {count} values: sums do not fit"
        yield Finding("lost", text, ((op.name, total.name),))
