"""The step `prove_edgetpu`: Coral's edgetpu_compiler compiles the artifact, if it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tflbuild.core.verdict import PROVEN, Fallback, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError, end_with_parent
from tflbuild.targets.common.cpu_comparison import write_verdict
from tflbuild.targets.common.lint import lint
from tflbuild.targets.common.rules import each_view
from tflbuild.targets.edgetpu.compiler_log import COMPILER, TO_PROVE, EdgeTpuLog, name_layers, read_log
from tflbuild.targets.edgetpu.table import TABLE
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

TIMEOUT_S = 600
# The compiler ends at its own time limit. This many seconds later it is killed.
SPARE_S = 30


def run(request: StepRequest) -> Facts:
    """Compile the artifact, and write verdict.json, and the compiled model in compiled/ if that is possible.

    Args:
        request: `params.target` has the name of the target, and optionally `multiple_subgraphs` and `timeout_s`.
            `params.tool` has `compiler`, the version of edgetpu_compiler at the time of the plan, missing without one.

    Returns:
        The fact `verdict`.

    Raises:
        WorkerError: The compiler needs too much time, or has another version than planned.
    """
    target, planned = request.params["target"], request.params["tool"].get("compiler", "")
    compiled = request.outputs / "compiled"
    compiled.mkdir()
    model = read_model(request.inputs["model"])
    table = replace(TABLE, one_partition=not target.get("multiple_subgraphs", False))
    expected = lint(table, model, target["name"], target["version"])
    if not planned:
        return write_verdict(request, replace(expected, to_prove=TO_PROVE))
    report, path = compile_model(request, target)
    if report.late:
        raise WorkerError(
            f"edgetpu_compiler was not done in {_seconds(target)} s",
            kind="build",
            next_step=f"more time: target.{target['name']}.timeout_s; or a smaller model",
        )
    if report.version != planned:
        raise WorkerError(
            f"edgetpu_compiler is {report.version or 'of no known version'}, and {planned} was planned with",
            kind="environment",
            next_step="build again: the plan asks for its version",
        )
    if not report.compiled or path is None:
        return write_verdict(request, refused(report, model, expected))
    shutil.copyfile(path, compiled / "model_edgetpu.tflite")
    return write_verdict(request, proven(report, model, path, expected))


def compile_model(request: StepRequest, target: Mapping[str, Any]) -> tuple[EdgeTpuLog, Path | None]:
    """Return the compiler's output and its model, None if there is none.

    Raises:
        WorkerError: The compiler is not installed.
    """
    program = shutil.which(COMPILER)
    if program is None:
        raise WorkerError(
            "edgetpu_compiler is not on the PATH of the worker",
            kind="environment",
            why="it was there when the build was planned",
            next_step=TO_PROVE,
        )
    place = request.folder / "edgetpu"
    place.mkdir()
    shutil.copyfile(request.inputs["model"], place / "model.tflite")
    seconds = _seconds(target)
    command = [program, "-s", "-o", str(place), "-t", str(seconds), "model.tflite"]
    command[1:1] = ["-a"] if target.get("multiple_subgraphs", False) else []
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=seconds + SPARE_S, preexec_fn=end_with_parent
        )
        said = f"{done.stdout}\n{done.stderr}"
    except subprocess.TimeoutExpired as late:
        said = f"{_text(late.stdout)}\ncompilation timed out after {seconds + SPARE_S} s"
    print(said)
    log = place / "model_edgetpu.log"
    report = read_log(f"{said}\n{log.read_text() if log.is_file() else ''}")
    path = place / "model_edgetpu.tflite"
    return report, path if path.is_file() and path.stat().st_size else None


def proven(report: EdgeTpuLog, model: Model, path: Path, expected: Verdict) -> Verdict:
    """Return the verdict on a model that was compiled."""
    fallbacks = name_layers(report, model, _read(path), expected.fallbacks)
    return replace(
        expected,
        proof=PROVEN,
        how=f"compiled by edgetpu_compiler {report.version}; not run on an Edge TPU",
        device="Edge TPU, as its compiler tells",
        runs=True,
        on_delegate=report.on_tpu(),
        partitions=report.subgraphs,
        fallbacks=tuple(fallbacks),
        unknown=(),
        figures={**report.figures, "compiled_bytes": float(path.stat().st_size)},
        notes=(*expected.notes, *_surprises(report, expected)),
    )


def refused(report: EdgeTpuLog, model: Model, expected: Verdict) -> Verdict:
    """Return the verdict on a model that the compiler refused."""
    said = report.error or "it made no model and gave no reason"
    foreseen = {(one.subgraph, one.index): one for one in expected.fallbacks}
    fallbacks = [
        Fallback(
            op=view.op.name,
            layer=view.layer,
            reason=f"edgetpu_compiler: {said}" + (f" ({known.reason})" if known else ""),
            fix=known.fix if known else "",
            index=view.index,
            subgraph=view.subgraph,
        )
        for view in each_view(model)
        for known in (foreseen.get((view.subgraph, view.index)),)
    ]
    return replace(
        expected,
        proof=PROVEN,
        how=f"edgetpu_compiler {report.version} does not compile it: {said}",
        device="Edge TPU, as its compiler tells",
        runs=False,
        on_delegate=0,
        partitions=0,
        fallbacks=tuple(fallbacks),
        unknown=(),
    )


def _surprises(report: EdgeTpuLog, expected: Verdict) -> list[str]:
    """Return a note if the compiler and the published rules differ."""
    if expected.on_delegate is None or expected.on_delegate == report.on_tpu():
        return []
    predicted = f"the published rules predict {expected.on_delegate} operators on the Edge TPU"
    return [f"{predicted}, the compiler maps {report.on_tpu()}"]


def _read(path: Path) -> Model | None:
    try:
        return read_model(path)
    except WorkerError:
        return None


def _seconds(target: Mapping[str, Any]) -> int:
    return int(target.get("timeout_s", TIMEOUT_S))


def _text(said: bytes | str | None) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
