"""The operators of the whole model that XNNPACK runs, from the interpreter's list and from a run.

The interpreter only lists the first subgraph, and even there not the operators with unused results. LiteRT's profiler
lists each operator that ran on LiteRT's own kernels, with its subgraph. All operators of a signature's subgraph either
run or are in a partition of the delegate. So those that the profiler does not list are in a partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.benchmarking.litert_benchmark import make_profile_request, set_inputs
from tflbuild.steps.benchmarking.op_profile import OPERATOR, pieces_of
from tflbuild.tflite.delegate_partitions import DelegatePlacement
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_model import Model

SEEN_RUNS = 1


@dataclass(frozen=True)
class ObservedPlacement:
    """A run of a signature: the operators of its subgraph on LiteRT's own kernels, and the number of partitions."""

    left: frozenset[int]
    pieces: int


@dataclass(frozen=True)
class ConfirmedPlacement:
    """The placement of all operators. `left` are (subgraph, index). If `unknown` is not empty, counts are None."""

    left: tuple[tuple[int, int], ...]
    taken: int | None
    pieces: int | None
    unknown: tuple[str, ...]


def observe_placement(request: StepRequest, model: Model, delegate: str, threads: int) -> dict[int, ObservedPlacement]:
    """Run all signatures, and return the observed placement by subgraph. Signatures that cannot run are missing."""
    observed = {}
    for signature in model.signatures:
        try:
            feed = set_inputs(open_signature(request.inputs["model"], signature.key, delegate))
        except (WorkerError, RuntimeError, ValueError):
            continue
        answer = make_profile_request(request, model, signature.key, feed, delegate, threads).ask(SEEN_RUNS)
        if answer.get("profiles"):
            observed[signature.subgraph] = read_events(answer["profiles"][0], signature.subgraph)
    return observed


def read_events(events: Sequence[Sequence[Any]], subgraph: int) -> ObservedPlacement:
    """Return the placement from the events of a run, each [type, tag, node, subgraph, microseconds]."""
    left = frozenset(event[2] for event in events if event[0] == OPERATOR and event[3] == subgraph)
    return ObservedPlacement(left, len(pieces_of(events)))


def confirm_placement(
    model: Model, placement: DelegatePlacement | None, observed: Mapping[int, ObservedPlacement]
) -> ConfirmedPlacement:
    """Combine the interpreter's list of the first subgraph with the observed placements."""
    left: list[tuple[int, int]] = []
    taken, pieces, unknown = 0, 0, []
    for number, graph in enumerate(model.subgraphs):
        run = observed.get(number)
        if number == 0 and placement is not None:
            dark = [] if run is not None else [graph.ops[index].name for index in placement.unknown]
            own = {*placement.left, *(run.left & set(placement.unknown) if run is not None else ())}
            unknown += [f"{name}: nothing uses what it gives, and it was not seen to run" for name in dark]
            taken += len(graph.ops) - len(own) - len(dark)
            pieces += len(placement.pieces)
        elif run is not None:
            own = set(run.left)
            taken += len(graph.ops) - len(own)
            pieces += run.pieces
        else:
            own = set()
            unknown += [f"{op.name} of subgraph {number}: the runtime does not tell of it" for op in graph.ops]
        left += [(number, index) for index in sorted(own)]
    if unknown:
        return ConfirmedPlacement(tuple(left), None, None, tuple(unknown))
    return ConfirmedPlacement(tuple(left), taken, pieces, ())
