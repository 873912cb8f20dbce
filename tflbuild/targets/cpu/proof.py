"""The step `prove_cpu`: the artifact run as an app would run it on a CPU, with LiteRT and XNNPACK, on this host."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from tflbuild.core.digest import Json
from tflbuild.core.verdict import PROVEN, UNPROVEN, Fallback, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.benchmarking import host_state
from tflbuild.steps.benchmarking.latency_timing import Timing, TimingEffort
from tflbuild.steps.benchmarking.litert_benchmark import (
    RUNTIME,
    free_sized,
    make_profile_request,
    placement_of,
    timing_of,
)
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.targets.common.cpu_comparison import CpuReference, OutputAgreement, compare, make_trial, write_verdict
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.targets.cpu.xnnpack_placement import confirm_placement, observe_placement
from tflbuild.targets.cpu.xnnpack_reasons import explain_unsupported
from tflbuild.tflite.interpreters import OpenSignature, open_signature
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

XNNPACK = "xnnpack"
KERNELS = {XNNPACK: "its XNNPACK delegate", "none": "its optimized kernels, no delegate"}
REFERENCE, OPTIMIZED = "reference", "none"
OTHERS = {
    REFERENCE: "the reference kernels",
    OPTIMIZED: "LiteRT's optimized kernels, since the reference kernels do not run it",
}
LEAST_SNR_DB = 20.0
SWEPT = (1, 2, 4)
EFFORT = TimingEffort(runs=50, warmup=10, precision=0.02, most_seconds=10.0)  # for each number of threads


@dataclass(frozen=True)
class CpuTargetOptions:
    """The profile's keys. `swept` has `threads` and what else is timed, no more than this host has cores."""

    name: str
    delegate: str
    threads: int
    swept: tuple[int, ...]
    least_snr_db: float

    @classmethod
    def read(cls, target: Mapping[str, Json]) -> CpuTargetOptions:
        """From `params.target`, with defaults for what is not there."""
        threads = target.get("threads", 1)
        swept = {count for count in target.get("threads_swept", SWEPT) if count <= host_state.cores()}
        return cls(
            target["name"],
            target.get("delegate", XNNPACK),
            threads,
            tuple(sorted({threads, *swept})),
            target.get("least_snr_db", LEAST_SNR_DB),
        )


def run(request: StepRequest) -> Facts:
    """Outputs verdict.json. `params.target` has what `CpuTargetOptions` reads."""
    asked = CpuTargetOptions.read(request.params["target"])
    model, key = read_model(request.inputs["model"]), request.read_json("signature")["key"]
    how = f"executed with {RUNTIME} {version(RUNTIME)} and {KERNELS[asked.delegate]}"
    try:
        running = open_signature(request.inputs["model"], key, asked.delegate)
    except WorkerError as error:
        return write_verdict(request, refused(asked, model, how, error))
    ops = sum(len(graph.ops) for graph in model.subgraphs)
    verdict = Verdict(target=asked.name, proof=PROVEN, how=how, device=host_state.device(), runs=True, ops=ops)
    try:
        verdict, feed = compare_with_other_kernels(verdict, request, running, asked)
    except WorkerError as error:
        if not free_sized(running):
            verdict = add_placement(verdict, asked, request, model, running)
        return write_verdict(request, failed(verdict, error, "samples" in request.inputs))
    verdict = add_placement(verdict, asked, request, model, running)
    timings = {count: time_threads(request, key, asked.delegate, count, feed) for count in asked.swept}
    told = make_profile_request(request, model, key, feed, asked.delegate, asked.threads).ask(0)
    figures = {**verdict.figures, **figures_of(timings, asked.threads)}
    if "peak_bytes" in told:
        figures["peak_bytes"] = float(told["peak_bytes"])
    notes = [*verdict.notes, *notes_of(model), *timing_notes(timings), *memory_notes(told), *size_notes(running, feed)]
    return write_verdict(request, replace(verdict, figures=figures, notes=tuple(notes)))


def refused(asked: CpuTargetOptions, model: Model, how: str, error: WorkerError) -> Verdict:
    """The runtime did not take the model at all."""
    why = f"{error.fields['what']}: {error.fields['why']}"
    linked = [*model.flex_ops(), *model.custom_ops()]
    if linked:
        how = f"this host's runtime has no kernels for {', '.join(linked)}, which an app must link: it was not run"
    return Verdict(
        target=asked.name,
        proof=UNPROVEN if linked else PROVEN,
        how=how,
        device=host_state.device(),
        runs=None if linked else False,
        ops=sum(len(graph.ops) for graph in model.subgraphs),
        notes=(why,),
    )


def failed(verdict: Verdict, error: WorkerError, sampled: bool) -> Verdict:
    """It was opened and did not run. On random numbers that may be for their values: a division by zero."""
    why = f"{error.fields['what']}: {error.fields['why']}"
    if sampled:
        return replace(verdict, runs=False, notes=(*verdict.notes, why))
    how = f"{verdict.how}, but it did not run on random numbers, which samples of a dataset might: {why}"
    return replace(verdict, proof=UNPROVEN, runs=None, how=how)


def add_placement(
    verdict: Verdict, asked: CpuTargetOptions, request: StepRequest, model: Model, running: OpenSignature
) -> Verdict:
    """With the operators that XNNPACK took, in how many pieces. It is asked when all sizes are known: `running` ran."""
    if asked.delegate != XNNPACK:
        own = "no delegate was asked for: all operators ran on LiteRT's own kernels"
        return replace(verdict, on_delegate=verdict.ops, partitions=0, notes=(own, *verdict.notes))
    views = {(view.subgraph, view.index): view for view in each_view(model)}
    placement = placement_of(running, model)
    several = len(model.subgraphs) > 1 or placement is None or placement.unknown
    settled = confirm_placement(
        model, placement, observe_placement(request, model, asked.delegate, asked.threads) if several else {}
    )
    return replace(
        verdict,
        on_delegate=settled.taken,
        partitions=settled.pieces,
        fallbacks=tuple(fallback(views[place]) for place in settled.left),
        unknown=settled.unknown,
    )


def fallback(view: OperatorView) -> Fallback:
    """An operator that XNNPACK left to LiteRT's own kernels."""
    return Fallback(
        op=view.op.name, layer=view.layer, reason=explain_unsupported(view), index=view.index, subgraph=view.subgraph
    )


def compare_with_other_kernels(
    verdict: Verdict, request: StepRequest, running: OpenSignature, asked: CpuTargetOptions
) -> tuple[Verdict, Arrays]:
    """(the verdict once its outputs were compared, a call's inputs). Raises WorkerError where it does not run.

    With the reference kernels', of which LiteRT lacks some: then with the optimized ones', unless those were run, or
    XNNPACK alone runs it, which has operators that LiteRT's own kernels lack.
    """
    kernels, trial = run_elsewhere(request, asked.delegate)
    found = [trial.real(running(feed)) for feed in trial.feeds]
    if kernels == asked.delegate:
        lacking = "the reference kernels do" if kernels == OPTIMIZED else "LiteRT's own kernels do"
        how = f"{verdict.how}; outputs not compared, since {lacking} not run it"
        return replace(verdict, how=how), trial.feeds[0]
    verdict = judge_agreement(verdict, compare(trial, found), asked.least_snr_db, kernels)
    if not verdict.agrees and OPTIMIZED not in (kernels, asked.delegate):
        verdict = replace(
            verdict, notes=(*verdict.notes, *compare_with_third_kernels(request, found, asked.least_snr_db))
        )
    return verdict, trial.feeds[0]


def run_elsewhere(request: StepRequest, delegate: str) -> tuple[str, CpuReference]:
    """(the kernels, their run): the first that run it. Raises WorkerError where not even the delegate does."""
    for kernels in (REFERENCE, OPTIMIZED):
        if kernels != delegate:
            with contextlib.suppress(WorkerError):
                return kernels, make_trial(request, kernels)
    return delegate, make_trial(request, delegate)


def compare_with_third_kernels(request: StepRequest, found: Sequence[Arrays], least_snr_db: float) -> list[str]:
    """Which of two that differ may be wrong: a third's results."""
    try:
        second = compare(make_trial(request, OPTIMIZED), found)
    except WorkerError:
        return []
    blame = ": it may be the reference kernels that are wrong" if second.snr_db >= least_snr_db else ""
    return [f"signal-to-noise ratio against LiteRT's optimized kernels: {second.snr_db:.1f} dB{blame}"]


def judge_agreement(verdict: Verdict, agreement: OutputAgreement, least_snr_db: float, kernels: str) -> Verdict:
    """Outputs that are not those of the other kernels prove nothing."""
    agrees = agreement.finite and agreement.snr_db >= least_snr_db
    figures = {**verdict.figures, **agreement.figures()}
    others = OTHERS[kernels]
    if agrees:
        return replace(verdict, agrees=True, figures=figures, how=f"{verdict.how}; outputs compared with {others}")
    found = "some are not finite" if not agreement.finite else f"signal-to-noise ratio {agreement.distance()}"
    how = f"{verdict.how}, but its outputs are not those of {others}: {found}, asked {least_snr_db:g} dB"
    return replace(verdict, proof=UNPROVEN, agrees=False, figures=figures, how=how)


def time_threads(request: StepRequest, key: str, delegate: str, threads: int, feed: Arrays) -> Timing:
    """Latency with so many threads, of inputs that were run before."""
    running = open_signature(request.inputs["model"], key, delegate, threads)
    running(feed)
    return timing_of(running, EFFORT)


def figures_of(timings: Mapping[int, Timing], threads: int) -> dict[str, float]:
    """latency_p50_ms and latency_p90_ms at `threads`, and at the others with `_threads_N` behind."""
    found: dict[str, float] = {}
    for count, timing in timings.items():
        told = timing.as_json()
        suffix = "" if count == threads else f"_threads_{count}"
        found |= {f"latency_p50_ms{suffix}": told["p50_ms"], f"latency_p90_ms{suffix}": told["p90_ms"]}
    return found


def notes_of(model: Model) -> list[str]:
    """Where this CPU's kernels are not a phone's."""
    types = {tensor.type for graph in model.subgraphs for tensor in graph.tensors if not tensor.constant}
    hybrid = "int8" not in types and any(
        tensor.constant and tensor.type in ("int8", "int4") and tensor.scales
        for graph in model.subgraphs
        for tensor in graph.tensors
    )
    if not host_state.is_x86():
        return []
    found = []
    if "int16" in types:
        found.append("int16 kernels are reference code on x86: their latency here says nothing of a phone's")
    if hybrid or types & {"int8", "uint8"}:
        what = "dynamic-range" if hybrid else "8-bit"
        found.append(f"{what} kernels on x86 are others than on ARM: a phone's ratio to float is another")
    return found


def timing_notes(timings: Mapping[int, Timing]) -> list[str]:
    """What has to be known of the latencies."""
    several = len(timings) > 1
    found = [
        f"{count} thread{'' if count == 1 else 's'}: {note}" if several else note
        for count, timing in timings.items()
        for note in timing.notes()
    ]
    crowded = [str(count) for count in timings if count > host_state.cores()]
    return [*found, *([f"{', '.join(crowded)} threads shared {host_state.cores()} cores"] if crowded else [])]


def size_notes(running: OpenSignature, feed: Arrays) -> list[str]:
    """At which sizes a model was run that leaves some free."""
    sizes = ", ".join(f"{name} {list(feed[name].shape)}" for name in free_sized(running))
    return [f"sizes are free, and were {sizes}: larger inputs take longer"] if sizes else []


def memory_notes(told: Mapping[str, Json]) -> list[str]:
    """Why no memory was measured."""
    return [f"peak memory was not measured: {told['error']}"] if "error" in told else []
