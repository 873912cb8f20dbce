"""Search for activations of a float model that have the same bits on every CPU, and for those without a noise limit.

An input of the model is *exact*. So is a tensor that is computed from exact ones by operators that move values, compare
them, or round each result once (`+ - *` on two operands, which IEEE 754 defines to the last bit). Sums of several
products, divisions and functions are *inexact*: kernels differ in the order of sums and in approximations. An operator
*jumps* (FLOOR, ARG_MAX, GREATER) if its result may change by any amount when the last bit of its input changes. The
noise of all tensors after it has no known limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tflbuild.tflite.tflite_model import Model, Operator, Subgraph

MOVES = (
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "PACK"),
    *("PAD", "PADV2", "MIRROR_PAD", "CONCATENATION", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "TILE"),
    *("BATCH_TO_SPACE_ND", "GATHER", "GATHER_ND", "REVERSE_V2", "BROADCAST_TO", "SELECT", "SELECT_V2", "FILL"),
    *("EMBEDDING_LOOKUP", "SCATTER_ND", "DYNAMIC_UPDATE_SLICE", "RESIZE_NEAREST_NEIGHBOR", "DEQUANTIZE"),
)
COMPARES = ("MAX_POOL_2D", "MAXIMUM", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1")
ROUNDS_ONCE = ("ADD", "SUB", "MUL", "NEG", "ABS", "CAST", "SQUARE")
JUMPS = (
    *("FLOOR", "CEIL", "ROUND", "SIGN", "FLOOR_DIV", "FLOOR_MOD", "ARG_MAX", "ARG_MIN", "TOPK_V2", "QUANTIZE"),
    *("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "WHERE", "NON_MAX_SUPPRESSION_V4"),
    *("NON_MAX_SUPPRESSION_V5", "FAKE_QUANT", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "UNIQUE"),
)
STAYS_EXACT = frozenset((*MOVES, *COMPARES, *ROUNDS_ONCE, *JUMPS, "SHAPE", "RANK", "RANGE", "ONE_HOT"))
REALS = ("float32", "float16", "float64", "bfloat16")
CALLS = ("WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE")


@dataclass(frozen=True)
class UnboundedOperator:
    """The operator that an activation depends on and whose result has no known limit of noise."""

    operator: str
    layer: str


@dataclass(frozen=True)
class Exactness:
    """The exact tensors of a subgraph by index, and in `jumps` the inexact tensors whose noise has no limit."""

    exact: frozenset[int]
    jumps: Mapping[int, UnboundedOperator]


def find_exact(model: Model, graph: Subgraph) -> Exactness:
    """Find the exact tensors of a subgraph, by following its operators from the inputs, which are exact.

    Args:
        model: The float model, with the subgraphs that operators run.
        graph: The subgraph.
    """
    inexact: set[int] = set()
    jumps: dict[int, UnboundedOperator] = {}
    for op in graph.ops:
        read_indices = [index for index in op.inputs if index >= 0]
        noisy = [index for index in read_indices if index in inexact]
        makes_noise = op.name not in STAYS_EXACT and _reads_reals(op, graph, read_indices)
        if not noisy and not makes_noise:
            continue
        inexact.update(op.outputs)
        unbounded = next((jumps[index] for index in read_indices if index in jumps), None)
        if unbounded is None and _jumps(model, graph, op, noisy):
            unbounded = UnboundedOperator(op.name, graph.tensors[op.outputs[0]].name if op.outputs else "")
        if unbounded is not None:
            jumps.update(dict.fromkeys(op.outputs, unbounded))
    exact = {index for index in range(len(graph.tensors)) if index not in inexact}
    return Exactness(frozenset(exact), jumps)


def _reads_reals(op: Operator, graph: Subgraph, read_indices: Iterable[int]) -> bool:
    """Return whether an operator computes with real values, or may do so without showing it."""
    return (
        op.custom
        or op.name in CALLS
        or any(graph.tensors[index].type in REALS for index in (*read_indices, *op.outputs))
    )


def _jumps(model: Model, graph: Subgraph, op: Operator, noisy_indices: Iterable[int]) -> bool:
    """Return whether noise in an operator's inputs may change its result by any amount."""
    if op.custom:
        return True
    if op.name in CALLS:
        return any(
            inner.name in JUMPS and any(body.tensors[index].type in REALS for index in inner.inputs if index >= 0)
            for body in _bodies(model, op)
            for inner in body.ops
        )
    to_integer = op.name == "CAST" and any(graph.tensors[index].type not in REALS for index in op.outputs)
    has_noisy_reals = any(graph.tensors[index].type in REALS for index in noisy_indices)
    return has_noisy_reals and (op.name in JUMPS or to_integer)


def _bodies(model: Model, op: Operator) -> list[Subgraph]:
    """Return the subgraphs that an operator runs, and recursively those that their operators run."""
    bodies: list[Subgraph] = []
    names = ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex", "subgraph")
    for name in (*names, "decompositionSubgraphIndex"):
        index = op.options.get(name)
        if isinstance(index, int) and 0 <= index < len(model.subgraphs):
            body = model.subgraphs[index]
            bodies += [body, *(inner for other in body.ops if other.name in CALLS for inner in _bodies(model, other))]
    return bodies
