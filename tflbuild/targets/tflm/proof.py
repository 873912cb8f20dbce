"""The step `prove_tflm`: TensorFlow Lite Micro runs the artifact.

The step also finds the smallest arena, and writes the artifact as C source.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.verdict import LINTED, PROVEN, UNPROVEN, Fallback, Verdict
from tflbuild.runtime.forked_process import ForkResult, in_fork
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.targets.common.cpu_comparison import (
    CpuReference,
    OutputAgreement,
    compare,
    finish_without,
    make_trial,
    make_untried_verdict,
    write_verdict,
)
from tflbuild.targets.common.lint import check_model, check_operator, count_partitions, lint
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.targets.common.single_operator_models import each_slice
from tflbuild.targets.tflm import c_array, tflm_runtime
from tflbuild.targets.tflm.table import TABLE
from tflbuild.targets.tflm.tflm_runtime import TflmRun
from tflbuild.tflite.operator_slices import UNPACKS
from tflbuild.tflite.tflite_model import Model, Tensor
from tflbuild.tflite.tflite_reader import read_model

NOTES: tuple[str, ...] = (
    "the arena was found on a 64-bit host with the reference kernels: pointers are smaller on a microcontroller,"
    " and optimized kernels such as CMSIS-NN's may ask for scratch memory of their own",
)

UNREACHABLE = "TensorFlow Lite Micro calls a file's first subgraph alone: signatures {keys} cannot be called there"
DOUBTFUL_REFERENCE = (  # LiteRT 2.3: SUM of integers
    "the CPU's own kernels do not agree with each other: the outputs are those of the optimized ones ({snr:.1f} dB),"
    " not those of the reference ones"
)


@dataclass(frozen=True)
class SignaturePorts:
    """The inputs and outputs of a signature in the order of the model, by which TensorFlow Lite Micro numbers them."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    taken: tuple[Tensor, ...]
    given: tuple[Tensor, ...]

    def feed(self, call: Arrays) -> list[np.ndarray]:
        return [np.asarray(call[name]) for name in self.inputs]


def run(request: StepRequest) -> Facts:
    """Run the artifact, and write verdict.json, and compiled/model.cc and compiled/model.h if it runs.

    Args:
        request: `params.target` has `name`, `table`, `version`, `least_snr_db` (the smallest accepted SNR compared with
            the CPU) and `symbol` (the prefix of C names, by default `model`).

    Returns:
        The fact `verdict`.
    """
    target = request.params["target"]
    symbol = c_array.check_symbol(target.get("symbol") or "model")
    (request.outputs / "compiled").mkdir(parents=True, exist_ok=True)
    artifact, model = request.inputs["model"], read_model(request.inputs["model"])
    key = request.read_json("signature")["key"]
    ports = find_ports(model, key)
    if ports is None:
        return finish_without(request, _unreachable(target, model, key))
    if model.buffers_behind:
        return finish_without(request, lint(TABLE, model, target["name"]))
    try:
        trial = _trial(request)
    except WorkerError as error:
        return finish_without(request, make_untried_verdict(lint(TABLE, model, target["name"]), error))
    raw, log = artifact.read_bytes(), request.folder / "tflm.txt"
    feeds = [ports.feed(call) for call in trial.feeds]
    ended = tflm_runtime.call_in_large_arena(raw, feeds, len(ports.outputs), log)
    print(ended.output, flush=True)
    if ended.value is None:
        return finish_without(request, _refused(target, artifact, model, ended, log))
    done, least = tflm_runtime.run_in_least(raw, feeds, ended.value, tflm_runtime.read_total(ended.output), log)
    if done.value is None:
        return finish_without(request, _refused(target, artifact, model, done, log))
    found = [dict(zip(ports.outputs, outputs, strict=True)) for outputs in done.value.outputs]
    _write_source(request, raw, model, ports, symbol, least)
    return write_verdict(request, _verdict(request, model, trial, found, least))


def _trial(request: StepRequest) -> CpuReference:
    """Run the artifact on the reference kernels, or on others if operators are missing.

    TensorFlow Lite Micro uses the reference kernels.

    Raises:
        WorkerError: This host's CPU does not run the artifact on any kernels.
    """
    try:
        return try_on_cpu(request, "reference")
    except WorkerError:
        return try_on_cpu(request, "none")


def try_on_cpu(request: StepRequest, kernels: str) -> CpuReference:
    """Run the artifact on this host's CPU in a process of its own, because some kernels abort on small scales.

    Raises:
        WorkerError: The artifact does not run.
    """

    def run_trial() -> CpuReference | WorkerError:
        try:
            return make_trial(request, kernels)
        except WorkerError as error:
            return error

    ended = in_fork(run_trial, request.folder / f"cpu_{kernels}.txt")
    if isinstance(ended.value, CpuReference):
        return ended.value
    lines = [line for line in ended.output.splitlines() if line.strip()]
    raise ended.value or WorkerError(
        "a kernel of this host's CPU ended the process that ran the artifact",
        kind="build",
        why=f"{ended.failure}: {lines[-1]}" if lines else ended.failure,
    )


def find_ports(model: Model, key: str) -> SignaturePorts | None:
    """Return the inputs and outputs of a signature in the order of the first subgraph.

    The result is None if the signature runs another subgraph.
    """
    signature = next((entry for entry in model.signatures if entry.key == key), None)
    if signature is None or signature.subgraph != 0:
        return None
    graph = model.subgraphs[0]
    inputs = tuple(_name_of(signature.inputs, graph.tensors[index]) for index in graph.inputs)
    outputs = tuple(_name_of(signature.outputs, graph.tensors[index]) for index in graph.outputs)
    return SignaturePorts(
        inputs,
        outputs,
        tuple(graph.tensors[index] for index in graph.inputs),
        tuple(graph.tensors[index] for index in graph.outputs),
    )


def _name_of(named: Mapping[str, Tensor], tensor: Tensor) -> str:
    return next(name for name, one in named.items() if one is tensor)


def _write_source(
    request: StepRequest, raw: bytes, model: Model, ports: SignaturePorts, symbol: str, arena: int
) -> None:
    folder = request.outputs / "compiled"
    (folder / "model.cc").write_text(c_array.source(raw, symbol))
    (folder / "model.h").write_text(c_array.header(model, ports.taken, ports.given, symbol, arena))


def _other_shapes(trial: CpuReference, found: Sequence[Arrays]) -> str:
    """Describe an output with another size than on the CPU. TensorFlow Lite Micro uses the sizes in the file."""
    for name, expected in trial.expected[0].items():
        if found[0][name].size != expected.size:
            return f"output {name} has the shape {list(found[0][name].shape)}, and {list(expected.shape)} on the CPU"
    return ""


def _verdict(request: StepRequest, model: Model, trial: CpuReference, found: Sequence[Arrays], least: int) -> Verdict:
    target = request.params["target"]
    limit = target["least_snr_db"]
    wrong = _other_shapes(trial, found)
    if wrong:
        how = f"run by TensorFlow Lite Micro ({tflm_runtime.PACKAGE} {tflm_runtime.version()}): {wrong}"
        ops = sum(len(graph.ops) for graph in model.subgraphs)
        return Verdict(
            target=target["name"], proof=UNPROVEN, how=how, device=_device(), runs=True, agrees=False, ops=ops
        )
    agreement, notes = compare(trial, [trial.real(one) for one in found]), NOTES
    if not _near(agreement, limit):
        other = try_on_cpu(request, "none")
        second = compare(other, [other.real(one) for one in found])
        if _near(second, limit):
            agreement, notes = second, (*NOTES, DOUBTFUL_REFERENCE.format(snr=second.snr_db))
    agrees = _near(agreement, limit)
    ops = sum(len(graph.ops) for graph in model.subgraphs)
    unreachable = [one for one in model.signatures if one.subgraph != 0]
    if unreachable:
        notes = (*notes, UNREACHABLE.format(keys=", ".join(one.key for one in unreachable)))
    return Verdict(
        target=target["name"],
        proof=PROVEN if agrees else UNPROVEN,
        how=_how(agreement, agrees, limit, trial.sampled),
        device=_device(),
        runs=True,
        agrees=agrees,
        ops=ops,
        on_delegate=ops - sum(len(model.subgraphs[one.subgraph].ops) for one in unreachable),
        partitions=1,
        figures={"arena_bytes": least, "model_bytes": model.bytes, **agreement.figures()},
        notes=notes,
    )


def _near(agreement: OutputAgreement, limit: float) -> bool:
    return agreement.finite and agreement.snr_db >= limit


def _how(agreement: OutputAgreement, agrees: bool, limit: float, sampled: bool) -> str:
    what = f"{agreement.calls} {'samples' if sampled else 'random inputs'}"
    ran = f"run by TensorFlow Lite Micro ({tflm_runtime.PACKAGE} {tflm_runtime.version()}) on {what}"
    if agrees:
        return f"{ran}, as on the CPU: {show_ratio(agreement.snr_db)} dB"
    if not agreement.finite:
        return f"{ran}: outputs are not finite where the CPU's are"
    return f"{ran}: {agreement.distance()}, from the CPU's outputs, and {limit:g} dB is asked for"


def _device() -> str:
    return f"{tflm_runtime.PACKAGE} {tflm_runtime.version()} on this host ({platform.machine()} reference kernels)"


def _unreachable(target: Mapping[str, Any], model: Model, key: str) -> Verdict:
    return Verdict(
        target=target["name"],
        proof=LINTED,
        how=f"TensorFlow Lite Micro runs a file's first subgraph, and the signature {key} is another's",
        device=_device(),
        runs=False,
        ops=sum(len(graph.ops) for graph in model.subgraphs),
        notes=("convert the signature alone: signature lists no other",),
    )


def _refused(target: Mapping[str, Any], artifact: Path, model: Model, ended: ForkResult[TflmRun], log: Path) -> Verdict:
    """Return the verdict on an artifact that does not run, with every operator that is a reason."""
    fallbacks, taken = _blame(artifact, model, log)
    said = tflm_runtime.last_words(ended)
    return Verdict(
        target=target["name"],
        proof=PROVEN if fallbacks else UNPROVEN,
        how=f"run by TensorFlow Lite Micro ({tflm_runtime.PACKAGE} {tflm_runtime.version()}), which says: {said}",
        device=_device(),
        runs=False,
        ops=sum(len(graph.ops) for graph in model.subgraphs),
        on_delegate=len(taken),
        partitions=count_partitions(model, taken),
        fallbacks=fallbacks,
        figures={"model_bytes": model.bytes},
        notes=("there is no other CPU to leave an operator to: each one below must go",) if fallbacks else (),
    )


def _blame(artifact: Path, model: Model, log: Path) -> tuple[tuple[Fallback, ...], set[tuple[int, int]]]:
    """Return the operators that do not run, and the positions of those that do."""
    table = TABLE
    tried: dict[tuple[int, int], str] = {}
    for one in each_slice(artifact):
        ended = tflm_runtime.call_in_large_arena(one.model, [one.feed], one.outputs, log)
        tried[one.view.subgraph, one.view.index] = "" if ended.good else tflm_runtime.last_words(ended)
    unpacked = {(view.subgraph, made): view for view in each_view(model) for made in view.op.outputs if _unpacks(view)}
    fallbacks, taken = [], set()
    for judged in check_model(table, model):
        view = judged.view
        said = tried.get((view.subgraph, view.index))
        if said:
            before = [unpacked[view.subgraph, one] for one in view.op.inputs if (view.subgraph, one) in unpacked]
            blamed = [one.op.name for one in before if tried.get((one.subgraph, one.index)) == said]
            fallbacks.append(_fallback(view, said, *blamed))
        elif said is None and judged.taken is False:
            fallbacks.append(judged.fallback())
        else:
            taken.add((view.subgraph, view.index))
    return tuple(fallbacks), taken


def _unpacks(view: OperatorView) -> bool:
    return view.op.name in UNPACKS


def _fallback(view: OperatorView, said: str, *blamed: str) -> Fallback:
    """Return an operator as a fallback.

    `said` is the runtime's error. `blamed` are operators that unpack the operator's weights and do not run.
    """
    judged = check_operator(TABLE, view)
    why = f"{blamed[0]}, which its weights come from, is not taken" if blamed else f"TensorFlow Lite Micro: {said}"
    return replace(replace(judged, taken=False).fallback(), reason=why)
