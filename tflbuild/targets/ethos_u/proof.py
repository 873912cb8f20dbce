"""The step `prove_ethos_u`: Vela compiles the artifact for an Ethos-U, and some operators stay on the CPU."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tflbuild.core.verdict import PROVEN, UNPROVEN, Fallback, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.targets.common.cpu_comparison import finish_without, write_verdict
from tflbuild.targets.common.lint import check_operator
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.targets.ethos_u import vela_compiler
from tflbuild.targets.ethos_u.table import TABLES
from tflbuild.targets.tflm.table import TABLE as TFLM_TABLE
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

COMPILED = "model_vela.tflite"


def run(request: StepRequest) -> Facts:
    """Compile the artifact with Vela, and write verdict.json, and compiled/model_vela.tflite if that is possible.

    Args:
        request: `params.target` has `name`, `table`, `version`, `accelerator` (`ethos-u55-128`), `system_config`,
            `memory_mode`, `optimise` (`Performance` or `Size`) and `arena_cache_bytes` (0: that of the configuration).
            The optional input `config` is a configuration file of Vela.

    Returns:
        The fact `verdict`.
    """
    target = request.params["target"]
    if "config" in request.inputs:
        target = {**target, "config": request.inputs["config"].read_text()}
    artifact = request.inputs["model"]
    copy = request.folder / "vela" / "model.tflite"
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(artifact, copy)
    done = vela_compiler.compile_model(copy, target, request.folder / "vela")
    folder = request.outputs / "compiled"
    folder.mkdir(parents=True, exist_ok=True)
    original = read_model(artifact)
    if done.model is None:
        return finish_without(request, _failed(target, original, done))
    shutil.copyfile(done.model, folder / COMPILED)
    return write_verdict(request, _compiled(target, original, read_model(folder / COMPILED), done))


def _failed(target: Mapping[str, Any], model: Model, done: vela_compiler.VelaResult) -> Verdict:
    """Return the verdict on an artifact that Vela cannot compile, with operators that may be the reason."""
    views = list(each_view(model))
    refused = [
        view for view in views if check_operator(TABLES[target["table"]], view, target["version"]).taken is False
    ]
    return Verdict(
        target=target["name"],
        proof=UNPROVEN,
        how=f"Vela {vela_compiler.version()} fails on it: {done.failure}",
        device=target["accelerator"],
        runs=False,
        ops=len(views),
        fallbacks=_fallbacks(target, refused, done.refusals),
        notes=("an operator below may be why Vela fails; the others would run on the CPU",) if refused else (),
    )


def _compiled(target: Mapping[str, Any], original: Model, compiled: Model, done: vela_compiler.VelaResult) -> Verdict:
    pieces = vela_compiler.count_npu_ops(compiled)
    views = list(each_view(original))
    left = (
        set(vela_compiler.left_on_cpu(original, compiled))
        if pieces
        else {(view.subgraph, view.index) for view in views}
    )
    cpu = [view for view in views if (view.subgraph, view.index) in left]
    figures = vela_compiler.figures(done.summary, whole=not cpu) if pieces else {}
    return Verdict(
        target=target["name"],
        proof=PROVEN,
        how=f"compiled by Vela {vela_compiler.version()}",
        device=_device(target, done.summary),
        runs=_runs(target, cpu),
        ops=len(views),
        on_delegate=len(views) - len(cpu),
        partitions=pieces,
        fallbacks=_fallbacks(target, cpu, done.refusals),
        figures={**figures, "model_bytes": compiled.bytes},
        notes=tuple(_notes(target, cpu, done.summary, pieces)),
    )


def _device(target: Mapping[str, Any], summary: Mapping[str, str]) -> str:
    system = summary.get("system_config") or target.get("system_config") or "its default system"
    clock = float(summary.get("core_clock") or 0) / 1e6
    hertz = f", {clock:g} MHz" if clock else ""
    return f"estimate by Vela for {target['accelerator']}, {system}{hertz}"


def _runs(target: Mapping[str, Any], cpu: Sequence[OperatorView]) -> bool | None:
    """Return whether the model runs, None if unknown.

    The CPU next to the NPU runs the remaining operators if TensorFlow Lite Micro has them. An Ethos-U55 is next to a
    microcontroller. Others may be next to a CPU with Linux, where LiteRT has more operators.
    """
    if not _without_kernel(cpu):
        return True
    return False if target["table"] == "ethos_u55" else None


def _without_kernel(cpu: Sequence[OperatorView]) -> list[str]:
    table = TFLM_TABLE
    return list(dict.fromkeys(view.op.name for view in cpu if check_operator(table, view).taken is False))


def _fallbacks(
    target: Mapping[str, Any], views: Sequence[OperatorView], refusals: Sequence[vela_compiler.VelaCpuOperator]
) -> tuple[Fallback, ...]:
    """Return operators of the CPU as fallbacks, with Vela's own reason if there is one, and the fix of the table."""
    table = TABLES[target["table"]]
    found = []
    for view in views:
        judged = replace(check_operator(table, view, target["version"]), taken=False)
        said = _reason(view, refusals)
        reason = f"Vela: {said}" if said else judged.reason or "Vela gave no reason"
        found.append(replace(judged.fallback(), reason=reason))
    return tuple(found)


def _reason(view: OperatorView, refusals: Sequence[vela_compiler.VelaCpuOperator]) -> str:
    """Return Vela's message on an operator, or on the activation that it separated from the operator."""
    layers = {tensor.name for tensor in view.outputs}
    same = [one for one in refusals if one.op == view.op.name and one.layer.removesuffix("_act") in layers]
    near = [one for one in refusals if one.layer.removesuffix("_act") in layers]
    said = next((one.reason for one in (*same, *near)), "")
    for tensor in (*view.inputs, *view.outputs):
        if tensor is not None and tensor.name:  # names are long, and the layer's is told beside
            said = said.replace(f" ({tensor.name}_act)", "").replace(f" ({tensor.name})", "")
    return said


def _notes(
    target: Mapping[str, Any], cpu: Sequence[OperatorView], summary: Mapping[str, str], pieces: int
) -> list[str]:
    notes = ["outputs were not compared: there is no NPU here to run it"]
    lacking = _without_kernel(cpu)
    if lacking:
        notes.append(f"TensorFlow Lite Micro has no kernel for what is left of {', '.join(lacking)}")
    if pieces and cpu:
        notes.append("cycles, memory and npu_ms are the NPU's part alone: what the CPU does comes on top")
    if not pieces:
        notes.append("nothing runs on the NPU: the compiled file has the operators of the artifact")
    defaults = [key for key in ("system_config", "memory_mode") if not target.get(key)]
    if defaults and pieces:
        chosen = ", ".join(f"{key} {summary.get(key, '')}" for key in defaults)
        notes.append(f"the target does not say {' and '.join(defaults)}: Vela's default is {chosen}")
    return notes
