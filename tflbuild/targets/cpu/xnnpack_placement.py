"""Which operators of the whole model XNNPACK took: the interpreter's list of the first subgraph, and what ran.

The interpreter tells of the first subgraph alone, and of operators whose results nothing uses not even there. LiteRT's
profiler lists each operator that ran on LiteRT's own kernels, with its subgraph. All operators of a signature's
subgraph run, or are in a piece of the delegate's: those that were not seen were taken.
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
    """A signature's run: operators of its subgraph that ran on LiteRT's own kernels, and the delegate's pieces."""

    left: frozenset[int]
    pieces: int


@dataclass(frozen=True)
class ConfirmedPlacement:
    """`left` are (subgraph, index). `taken` and `pieces` are None where something is not known, as `unknown` tells."""

    left: tuple[tuple[int, int], ...]
    taken: int | None
    pieces: int | None
    unknown: tuple[str, ...]


def observe_placement(request: StepRequest, model: Model, delegate: str, threads: int) -> dict[int, ObservedPlacement]:
    """What was seen to run, by subgraph; those of signatures that cannot be run by themselves are not there."""
    found = {}
    for signature in model.signatures:
        try:
            feed = set_inputs(open_signature(request.inputs["model"], signature.key, delegate))
        except (WorkerError, RuntimeError, ValueError):
            continue
        answer = make_profile_request(request, model, signature.key, feed, delegate, threads).ask(SEEN_RUNS)
        if answer.get("profiles"):
            found[signature.subgraph] = seen(answer["profiles"][0], signature.subgraph)
    return found


def seen(events: Sequence[Sequence[Any]], subgraph: int) -> ObservedPlacement:
    """From a run's events, [type, tag, node, subgraph, microseconds] each."""
    left = frozenset(event[2] for event in events if event[0] == OPERATOR and event[3] == subgraph)
    return ObservedPlacement(left, len(pieces_of(events)))


def confirm_placement(
    model: Model, placement: DelegatePlacement | None, observed: Mapping[int, ObservedPlacement]
) -> ConfirmedPlacement:
    """Both together. `placement` is the interpreter's, of the first subgraph."""
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
