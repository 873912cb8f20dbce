"""Single operators of an artifact on the GPU: which the delegate does not support and why, and where results differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflbuild.core.verdict import Fallback
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.targets.common.lint import APART, check_operator
from tflbuild.targets.common.rules import OperatorView, SupportTable, each_view
from tflbuild.targets.gpu.gpu_delegate import GpuDevice, GpuJob, GpuJobResult, run_jobs
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.operator_slices import KEY, Slices
from tflbuild.tflite.tflite_model import Model, Subgraph

# Operators that run other subgraphs.
CALLS = ("WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")
# The largest number of different operators that are tried separately.
MOST = 200
# The smallest SNR of a single operator that has the same inputs as on the CPU.
SNR_ALONE_DB = 30.0


@dataclass(frozen=True)
class SingleOperatorRun:
    """An operator, and the result of compiling it separately."""

    view: OperatorView
    outcome: GpuJobResult

    @property
    def reason(self) -> str:
        """Return why the delegate does not support the operator, "" if it does."""
        if self.outcome.full:
            return ""
        reasons = [reason for op, reason in self.outcome.refused if op == self.view.op.name]
        return reasons[0] if reasons else self.outcome.ended or "the delegate does not take it, and does not say why"


def try_alone(
    path: Path, model: Model, device: GpuDevice, scratch: Path, whole: GpuJobResult | None = None
) -> list[SingleOperatorRun]:
    """Compile every operator separately for the GPU, equal ones only once.

    An operator that runs another subgraph cannot be a model of its own. For these the result `whole` of the artifact is
    used.
    """
    slices = Slices(path)
    views = list(each_view(model))
    first: dict[object, int] = {}
    for number, view in enumerate(views):
        if view.op.name not in CALLS:
            first.setdefault(_kind(view), number)
    chosen = list(first.values())[:MOST]
    jobs = []
    scratch.mkdir(parents=True, exist_ok=True)
    for number in chosen:
        file = scratch / f"{number}.tflite"
        file.write_bytes(slices.operator(views[number].subgraph, views[number].index))
        jobs.append(GpuJob(file, KEY, alone=True))
    outcomes = dict(zip(chosen, run_jobs(jobs, device, scratch / "runs"), strict=True))
    calls = [
        SingleOperatorRun(view, _called(view, whole)) for view in views if view.op.name in CALLS and whole is not None
    ]
    return [
        *calls,
        *(
            SingleOperatorRun(view, outcomes[first[_kind(view)]])
            for view in views
            if first.get(_kind(view)) in outcomes
        ),
    ]


def _called(view: OperatorView, whole: GpuJobResult) -> GpuJobResult:
    refused = tuple(pair for pair in whole.refused if pair[0] == view.op.name)
    return GpuJobResult(compiled=not refused, full=not refused, refused=refused)


def _kind(view: OperatorView) -> object:
    """Return everything that decides whether a delegate supports an operator."""
    tensors = tuple(
        None if one is None else (one.type, one.shape, one.constant, len(one.scales), one.values)
        for one in (*view.inputs, *view.outputs)
    )
    return view.op.name, view.op.version, view.op.activation, repr(sorted(view.op.options.items())), tensors


def fallbacks(alone: Sequence[SingleOperatorRun], table: SupportTable) -> list[Fallback]:
    """Return operators that the delegate refuses, with its reason and the rule and fix of the support table."""
    return [_fallback(one.view, one.reason, table) for one in alone if one.reason]


def _fallback(view: OperatorView, reason: str, table: SupportTable) -> Fallback:
    judged = check_operator(table, view)
    told = f"{reason.rstrip('.')}: {judged.reason}" if judged.broken else reason
    return Fallback(
        op=view.op.name, layer=view.layer, reason=told, fix=judged.fix, index=view.index, subgraph=view.subgraph
    )


def explain_placement(view: OperatorView) -> Fallback:
    """Return the fallback of an operator that the delegate supports, but which is outside of the partition."""
    return Fallback(op=view.op.name, layer=view.layer, reason=APART, index=view.index, subgraph=view.subgraph)


@dataclass(frozen=True)
class FirstDifference:
    """The first operator whose results on the GPU differ from those on the CPU although its inputs are equal."""

    view: OperatorView
    snr_db: float

    @property
    def op(self) -> str:
        return self.view.op.name

    @property
    def layer(self) -> str:
        return self.view.layer


def first_parting(
    path: Path, model: Model, key: str, feed: Arrays, device: GpuDevice, scratch: Path
) -> FirstDifference | None:
    """Run every operator of a signature's subgraph separately on the inputs that it had on the CPU.

    Returns:
        The first operator with different results, None if all agree.
    """
    running = open_signature(path, key, "none", preserve=True)
    running(feed)
    graph = model.subgraphs[running.subgraph]
    values = _kept(running.interpreter, running.subgraph, graph)
    scratch.mkdir(parents=True, exist_ok=True)
    slices = Slices(path)
    views = [view for view in each_view(model) if view.subgraph == running.subgraph and _known(view, values)][:MOST]
    jobs = []
    for view in views:
        file = scratch / f"{view.index}.tflite"
        file.write_bytes(slices.operator(view.subgraph, view.index))
        takes = slices.inputs(view.subgraph, view.index)
        jobs.append(GpuJob(file, KEY, ({f"in{at}": values[one] for at, one in enumerate(takes)},)))
    for view, outcome in zip(views, run_jobs(jobs, device, scratch / "runs"), strict=True):
        for at, tensor in enumerate(view.op.outputs):
            if outcome.full and outcome.outputs:
                found = outcome.outputs[0][f"out{at}"]
                ratio = parity(*_finite(values[tensor], found))["snr_db"]
                if ratio < SNR_ALONE_DB:
                    return FirstDifference(view, ratio)
    return None


def _finite(expected: np.ndarray, found: np.ndarray) -> Iterator[np.ndarray]:
    yield np.nan_to_num(np.asarray(expected, np.float64))
    yield np.nan_to_num(np.asarray(found, np.float64))


def _known(view: OperatorView, values: dict[int, np.ndarray]) -> bool:
    return all(
        one < 0 or view.graph.tensors[one].constant or one in values for one in (*view.op.inputs, *view.op.outputs)
    )


def _kept(interpreter: object, subgraph: int, graph: Subgraph) -> dict[int, np.ndarray]:
    """Return the values of all tensors that were computed in the last call."""
    found = {}
    for index, tensor in enumerate(graph.tensors):
        if not tensor.constant:
            try:
                found[index] = np.array(interpreter.get_tensor(index, subgraph))  # type: ignore[attr-defined]
            except ValueError:
                continue
    return found
