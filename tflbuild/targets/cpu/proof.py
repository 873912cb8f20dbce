"""The step `prove_cpu`: the artifact runs on this host's CPU with LiteRT and XNNPACK, as in an app."""

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
# The effort for each number of threads.
EFFORT = TimingEffort(runs=50, warmup=10, precision=0.02, most_seconds=10.0)


@dataclass(frozen=True)
class CpuTargetOptions:
    """The options of the profile.

    `swept` are the timed numbers of threads: `threads`, and others up to the number of cores.
    """

    name: str
    delegate: str
    threads: int
    swept: tuple[int, ...]
    least_snr_db: float

    @classmethod
    def read(cls, target: Mapping[str, Json]) -> CpuTargetOptions:
        """Return the options in `params.target`, with defaults for missing ones."""
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
    """Run and time the artifact, and write verdict.json.

    Args:
        request: `params.target` has the options of `CpuTargetOptions`.

    Returns:
        The fact `verdict`.
    """
    options = CpuTargetOptions.read(request.params["target"])
    model, key = read_model(request.inputs["model"]), request.read_json("signature")["key"]
    how = f"executed with {RUNTIME} {version(RUNTIME)} and {KERNELS[options.delegate]}"
    try:
        runner = open_signature(request.inputs["model"], key, options.delegate)
    except WorkerError as error:
        return write_verdict(request, make_refused_verdict(options, model, how, error))
    ops = sum(len(graph.ops) for graph in model.subgraphs)
    verdict = Verdict(target=options.name, proof=PROVEN, how=how, device=host_state.device(), runs=True, ops=ops)
    try:
        verdict, feed = compare_with_other_kernels(verdict, request, runner, options)
    except WorkerError as error:
        if not free_sized(runner):
            verdict = add_placement(verdict, options, request, model, runner)
        return write_verdict(request, make_failed_verdict(verdict, error, "samples" in request.inputs))
    verdict = add_placement(verdict, options, request, model, runner)
    timings = {count: time_threads(request, key, options.delegate, count, feed) for count in options.swept}
    memory = make_profile_request(request, model, key, feed, options.delegate, options.threads).ask(0)
    figures = {**verdict.figures, **list_latency_figures(timings, options.threads)}
    if "peak_bytes" in memory:
        figures["peak_bytes"] = float(memory["peak_bytes"])
    notes = [
        *verdict.notes,
        *list_kernel_notes(model),
        *timing_notes(timings),
        *memory_notes(memory),
        *size_notes(runner, feed),
    ]
    return write_verdict(request, replace(verdict, figures=figures, notes=tuple(notes)))


def make_refused_verdict(options: CpuTargetOptions, model: Model, how: str, error: WorkerError) -> Verdict:
    """Return the verdict on a model that the runtime refused."""
    reason = f"{error.fields['what']}: {error.fields['why']}"
    linked = [*model.flex_ops(), *model.custom_ops()]
    if linked:
        how = f"this host's runtime has no kernels for {', '.join(linked)}, which an app must link: it was not run"
    return Verdict(
        target=options.name,
        proof=UNPROVEN if linked else PROVEN,
        how=how,
        device=host_state.device(),
        runs=None if linked else False,
        ops=sum(len(graph.ops) for graph in model.subgraphs),
        notes=(reason,),
    )


def make_failed_verdict(verdict: Verdict, error: WorkerError, sampled: bool) -> Verdict:
    """Return the verdict on a model that was opened and did not run.

    With random numbers the reason may be their values, such as a division by zero.
    """
    reason = f"{error.fields['what']}: {error.fields['why']}"
    if sampled:
        return replace(verdict, runs=False, notes=(*verdict.notes, reason))
    how = f"{verdict.how}, but it did not run on random numbers, which samples of a dataset might: {reason}"
    return replace(verdict, proof=UNPROVEN, runs=None, how=how)


def add_placement(
    verdict: Verdict, options: CpuTargetOptions, request: StepRequest, model: Model, running: OpenSignature
) -> Verdict:
    """Add the operators that XNNPACK runs and its partitions to a verdict.

    `running` has run before, because XNNPACK decides when all sizes are known.
    """
    if options.delegate != XNNPACK:
        note = "no delegate was asked for: all operators ran on LiteRT's own kernels"
        return replace(verdict, on_delegate=verdict.ops, partitions=0, notes=(note, *verdict.notes))
    views = {(view.subgraph, view.index): view for view in each_view(model)}
    placement = placement_of(running, model)
    several = len(model.subgraphs) > 1 or placement is None or placement.unknown
    placed = confirm_placement(
        model, placement, observe_placement(request, model, options.delegate, options.threads) if several else {}
    )
    return replace(
        verdict,
        on_delegate=placed.taken,
        partitions=placed.pieces,
        fallbacks=tuple(fallback(views[place]) for place in placed.left),
        unknown=placed.unknown,
    )


def fallback(view: OperatorView) -> Fallback:
    """Return an operator that LiteRT's own kernels run as a fallback."""
    return Fallback(
        op=view.op.name, layer=view.layer, reason=explain_unsupported(view), index=view.index, subgraph=view.subgraph
    )


def compare_with_other_kernels(
    verdict: Verdict, request: StepRequest, runner: OpenSignature, options: CpuTargetOptions
) -> tuple[Verdict, Arrays]:
    """Compare the outputs with those of other kernels.

    These are the reference kernels, of which LiteRT lacks some. Otherwise they are the optimized kernels, unless the
    artifact runs on these itself, or only XNNPACK has all operators.

    Returns:
        The verdict with the comparison, and the inputs of one call.

    Raises:
        WorkerError: The artifact does not run.
    """
    kernels, trial = run_on_other_kernels(request, options.delegate)
    outputs = [trial.real(runner(feed)) for feed in trial.feeds]
    if kernels == options.delegate:
        missing = "the reference kernels do" if kernels == OPTIMIZED else "LiteRT's own kernels do"
        how = f"{verdict.how}; outputs not compared, since {missing} not run it"
        return replace(verdict, how=how), trial.feeds[0]
    verdict = judge_agreement(verdict, compare(trial, outputs), options.least_snr_db, kernels)
    if not verdict.agrees and OPTIMIZED not in (kernels, options.delegate):
        verdict = replace(
            verdict, notes=(*verdict.notes, *compare_with_third_kernels(request, outputs, options.least_snr_db))
        )
    return verdict, trial.feeds[0]


def run_on_other_kernels(request: StepRequest, delegate: str) -> tuple[str, CpuReference]:
    """Run the artifact on the first other kernels that have all its operators, else on the delegate.

    Returns:
        The kernels, and their outputs.

    Raises:
        WorkerError: The artifact does not run on any kernels.
    """
    for kernels in (REFERENCE, OPTIMIZED):
        if kernels != delegate:
            with contextlib.suppress(WorkerError):
                return kernels, make_trial(request, kernels)
    return delegate, make_trial(request, delegate)


def compare_with_third_kernels(request: StepRequest, outputs: Sequence[Arrays], least_snr_db: float) -> list[str]:
    """Return a note that says which of two different results may be wrong, by comparing with the optimized kernels."""
    try:
        second = compare(make_trial(request, OPTIMIZED), outputs)
    except WorkerError:
        return []
    blame = ": it may be the reference kernels that are wrong" if second.snr_db >= least_snr_db else ""
    return [f"signal-to-noise ratio against LiteRT's optimized kernels: {second.snr_db:.1f} dB{blame}"]


def judge_agreement(verdict: Verdict, agreement: OutputAgreement, least_snr_db: float, kernels: str) -> Verdict:
    """Add the agreement of the outputs to a verdict.

    An artifact with other outputs than those of the other kernels is unproven.
    """
    agrees = agreement.finite and agreement.snr_db >= least_snr_db
    figures = {**verdict.figures, **agreement.figures()}
    other_kernels = OTHERS[kernels]
    if agrees:
        return replace(
            verdict, agrees=True, figures=figures, how=f"{verdict.how}; outputs compared with {other_kernels}"
        )
    difference = "some are not finite" if not agreement.finite else f"signal-to-noise ratio {agreement.distance()}"
    how = f"{verdict.how}, but its outputs are not those of {other_kernels}: {difference}, asked {least_snr_db:g} dB"
    return replace(verdict, proof=UNPROVEN, agrees=False, figures=figures, how=how)


def time_threads(request: StepRequest, key: str, delegate: str, threads: int, feed: Arrays) -> Timing:
    """Measure the latency with a number of threads, on inputs that have run before."""
    runner = open_signature(request.inputs["model"], key, delegate, threads)
    runner(feed)
    return timing_of(runner, EFFORT)


def list_latency_figures(timings: Mapping[int, Timing], threads: int) -> dict[str, float]:
    """Return the latency figures: at `threads` without suffix, at other numbers with the suffix `_threads_N`."""
    figures: dict[str, float] = {}
    for count, timing in timings.items():
        statistics = timing.as_json()
        suffix = "" if count == threads else f"_threads_{count}"
        figures |= {f"latency_p50_ms{suffix}": statistics["p50_ms"], f"latency_p90_ms{suffix}": statistics["p90_ms"]}
    return figures


def list_kernel_notes(model: Model) -> list[str]:
    """Return notes on differences between kernels of this CPU and those of a phone."""
    types = {tensor.type for graph in model.subgraphs for tensor in graph.tensors if not tensor.constant}
    hybrid = "int8" not in types and any(
        tensor.constant and tensor.type in ("int8", "int4") and tensor.scales
        for graph in model.subgraphs
        for tensor in graph.tensors
    )
    if not host_state.is_x86():
        return []
    notes = []
    if "int16" in types:
        notes.append("int16 kernels are reference code on x86, so their latency says nothing about a phone")
    if hybrid or types & {"int8", "uint8"}:
        kernel_type = "dynamic-range" if hybrid else "8-bit"
        notes.append(f"{kernel_type} kernels differ between x86 and Arm, so the speed-up on a phone will differ")
    return notes


def timing_notes(timings: Mapping[int, Timing]) -> list[str]:
    """Return notes on the latencies."""
    several = len(timings) > 1
    notes = [
        f"{count} thread{'' if count == 1 else 's'}: {note}" if several else note
        for count, timing in timings.items()
        for note in timing.notes()
    ]
    crowded = [str(count) for count in timings if count > host_state.cores()]
    return [*notes, *([f"{', '.join(crowded)} threads shared {host_state.cores()} cores"] if crowded else [])]


def size_notes(runner: OpenSignature, feed: Arrays) -> list[str]:
    """Return a note on the sizes with which a model with dynamic dimensions ran."""
    sizes = ", ".join(f"{name} {list(feed[name].shape)}" for name in free_sized(runner))
    return [f"dynamic dimensions had the sizes {sizes}; larger inputs take longer"] if sizes else []


def memory_notes(answer: Mapping[str, Json]) -> list[str]:
    """Return a note with the reason why no memory was measured."""
    return [f"peak memory was not measured: {answer['error']}"] if "error" in answer else []
