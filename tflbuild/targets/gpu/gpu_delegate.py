"""LiteRT's own GPU delegate (WebGPU on Vulkan) in processes of its own: supported operators and results.

A driver is native code that may end its process, or print important messages only to its error output. So a batch of
jobs runs in a forked child, and each job has a log of its own at the level of file descriptors. If the child dies, the
result of its present job says so, and the other jobs run in a new child.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import end_with_parent
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.targets.gpu.vulkan import VulkanDriver, variables_for

LATE = "it ran longer than"
# The time limit of one job, including the compilation of its shaders.
SECONDS = 120.0
LOG_BYTES = 20_000
ADAPTER = re.compile(r"Selected adapter: (.+?), arch=.*adapterType=(.+)")
REFUSED = re.compile(
    r"^(?:ERROR: )?Following operations are not supported by GPU delegate:\n(.*?)^(?:No|\d+) operations will run",
    re.M | re.S,
)
TAKEN = re.compile(r"^(No|\d+) operations will run on the GPU, and (?:all|the remaining) (\d+) operations", re.M)
FAULT = re.compile(
    r"environment\.cc:\d+\] ((?:Validation|Internal|Out of memory|Unknown) error: .+|.*[Dd]evice lost.*)"
)
CAUSE = re.compile(r"^(?:E\d{4} .*\] Failed to create \S+: (.+)|ERROR: \[model_load\.cc:\d+\] (.+))$", re.M)
WORDS = re.compile(r"^(?:[EF]\d{4} [^\]]*\] |ERROR: (?:\[[^\]]*\] )?)(.+)$", re.M)
NO_ADAPTER = "No adapters found"
NO_DEVICE = "the driver has no device that the runtime supports"


@dataclass(frozen=True)
class GpuJob:
    """A model to be compiled for the GPU, and calls of one of its signatures.

    Attributes:
        model: The .tflite file.
        key: The signature name.
        feeds: For each call the inputs by name. Without calls the model is only compiled.
        alone: Whether no operator may be left to the CPU.
    """

    model: Path
    key: str
    feeds: Sequence[Arrays] = ()
    alone: bool = False


@dataclass(frozen=True)
class GpuJobResult:
    """The result of a job.

    Attributes:
        ended: What went wrong, "" for nothing.
        crashed: Whether the process died.
        adapter: The name of the device.
        kind: The type of the device.
        compiled: Whether the artifact was accepted, possibly with operators left to the CPU.
        full: Whether every operator runs on the device.
        refused: (operator, reason) as the runtime prints them, each once.
        counts: (operators on the GPU, operators on the CPU) of each subgraph that is not completely on the GPU.
        faults: Errors of the device, as of a shader that does not compile. The runtime continues with zeros.
        outputs: For each call the outputs by name, in the artifact's types.
        log: The end of the log.
    """

    ended: str = ""
    crashed: bool = False
    adapter: str = ""
    kind: str = ""
    compiled: bool = False
    full: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    counts: tuple[tuple[int, int], ...] = ()
    faults: tuple[str, ...] = ()
    outputs: Sequence[Arrays] = field(default=(), hash=False)
    log: str = ""

    @property
    def device(self) -> str:
        """Return the name of the device in a verdict."""
        software = self.kind.lower().startswith("cpu")
        return f"{self.adapter} ({'software, on this host' if software else self.kind})" if self.adapter else ""

    @property
    def taken(self) -> int:
        """Return the number of operators of the first subgraph on the GPU, if not all are."""
        return self.counts[0][0] if self.counts else 0

    @property
    def words(self) -> list[str]:
        """Return the error messages of the runtime, in order, each once."""
        return list(dict.fromkeys(line.strip() for line in WORDS.findall(self.log)))

    @property
    def software(self) -> bool:
        return self.kind.lower().startswith("cpu")


@dataclass(frozen=True)
class GpuDevice:
    """A device for jobs: a driver, the path of the loader, and whether 16-bit floats are excluded (`float32`)."""

    driver: VulkanDriver
    loader: str
    float32: bool = False


def run_jobs(jobs: Sequence[GpuJob], device: GpuDevice, scratch: Path, seconds: float = SECONDS) -> list[GpuJobResult]:
    """Run jobs, and return their results in order.

    Args:
        jobs: The jobs.
        device: The device.
        scratch: An empty or new folder.
        seconds: The time limit of one job.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    done: list[GpuJobResult] = []
    while len(done) < len(jobs):
        done += _batch(jobs, len(done), device, scratch, seconds)
    return done


def _batch(jobs: Sequence[GpuJob], first: int, device: GpuDevice, scratch: Path, seconds: float) -> list[GpuJobResult]:
    """Run jobs from number `first` on in a child process, until the last one or until the child dies."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(jobs, first, device, scratch, writing)
    os.close(writing)
    done: list[GpuJobResult] = []
    ended = ""
    while first + len(done) < len(jobs):
        if not select.select([reading], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
            ended = f"{LATE} {seconds:g} s"
            break
        if not os.read(reading, 1):
            break
        done.append(_read(scratch / str(first + len(done))))
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if first + len(done) < len(jobs):
        ended = ended or _death(status)
        done.append(_read(scratch / str(first + len(done)), ended))
    return done


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"the runtime's native code ended the process with {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the runtime's native code ended the process with exit code {os.WEXITSTATUS(status)}"


def _child(jobs: Sequence[GpuJob], first: int, device: GpuDevice, scratch: Path, done: int) -> None:
    """Run jobs in the child process. This function does not return."""
    try:
        end_with_parent()
        os.environ.update(variables_for(device.driver, scratch))
        if device.loader:
            ctypes.CDLL(device.loader, ctypes.RTLD_GLOBAL)  # the runtime asks for it by its bare name
        for number, job in enumerate(jobs[first:], first):
            folder = scratch / str(number)
            folder.mkdir()
            log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            _do(job, device.float32, folder)
            os.write(done, b".")
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    finally:
        os._exit(0)


def _do(job: GpuJob, float32: bool, folder: Path) -> None:
    report: dict[str, Any] = {"ended": "", "compiled": False, "full": False, "calls": 0}
    try:
        model = _compile(job, float32)
        report |= {"compiled": True, "full": bool(model.is_fully_accelerated())}
        for number, feed in enumerate(job.feeds):
            outputs: dict[str, Any] = call(model, job.key, feed)
            np.savez(folder / f"{number}.npz", **outputs)
            report["calls"] = number + 1
    except (RuntimeError, ValueError, TypeError) as error:
        report["ended"] = _first_line(str(error))
    (folder / "told.json").write_text(json.dumps(report))


def _first_line(text: str) -> str:
    """Return the message of an error, without positions in the runtime's source."""
    lines = [line.strip("└ ").strip() for line in text.splitlines()]
    plain = [line for line in lines if line and not re.fullmatch(r"(ERROR: )?\[[^\]]*\]", line)]
    return plain[-1] if plain else text.strip()


def _compile(job: GpuJob, float32: bool) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options

    where = HardwareAccelerator.GPU if job.alone else HardwareAccelerator.GPU | HardwareAccelerator.CPU
    options = Options(hardware_accelerators=where, gpu_options=GpuOptions(enforce_f32=float32))
    return CompiledModel.from_file(str(job.model), options=options)


def call(model: Any, key: str, feed: Mapping[str, np.ndarray]) -> Arrays:
    """Call a compiled model. Return outputs by name, in the artifact's types and shapes."""
    input_details = model.get_input_tensor_details(key)
    for name, value in feed.items():
        if tuple(input_details[name]["shape"]) != value.shape:
            model.resize_input_tensor_by_name(key, name, value.shape)
    names = model.get_signature_list()[key]
    input_buffers = {name: model.create_input_buffer_by_name(key, name) for name in names["inputs"]}
    output_buffers = {name: model.create_output_buffer_by_name(key, name) for name in names["outputs"]}
    for name, buffer in input_buffers.items():
        # The buffer does not support 16-bit and 64-bit integers, so bytes are written.
        buffer.write(np.ascontiguousarray(feed[name]).reshape(-1).view(np.int8))
    model.run_by_name(key, input_buffers, output_buffers)
    output_details = model.get_output_tensor_details(key)
    outputs = {}
    for name, buffer in output_buffers.items():
        shape, dtype = tuple(output_details[name]["shape"]), np.dtype(output_details[name]["dtype"])
        count = math.prod(shape)
        outputs[name] = np.array(buffer.read(count * dtype.itemsize, np.int8)).view(dtype).reshape(shape)
    return outputs


def _read(folder: Path, ended: str = "") -> GpuJobResult:
    """Read the files that a child wrote for a job. `ended` says how the child died."""
    log = (folder / "log.txt").read_text(errors="replace") if (folder / "log.txt").is_file() else ""
    report: dict[str, Any] = {"ended": ended, "compiled": False, "full": False, "calls": 0}
    if not ended:
        report = json.loads((folder / "told.json").read_text())
    outputs = []
    for number in range(int(report["calls"])):
        with np.load(folder / f"{number}.npz") as arrays:
            outputs.append({name: arrays[name] for name in arrays.files})
    adapter = ADAPTER.search(log)
    counts = [(0 if taken == "No" else int(taken), int(left)) for taken, left in TAKEN.findall(log)]
    ended = str(report["ended"])
    causes = [first or second for first, second in CAUSE.findall(log)]
    if ended and causes:
        ended = f"{ended}: {causes[0]}"
    if NO_ADAPTER in log:
        ended = NO_DEVICE
    return GpuJobResult(
        ended=ended,
        crashed=not (folder / "told.json").is_file(),
        adapter=adapter.group(1).strip() if adapter else "",
        kind=adapter.group(2).strip() if adapter else "",
        compiled=bool(report["compiled"]),
        # If the CPU is allowed, the runtime also counts operators on the CPU's own delegate.
        full=bool(report["full"]) and not counts,
        refused=_refused(log),
        counts=tuple(dict.fromkeys(counts)),
        faults=tuple(dict.fromkeys(FAULT.findall(log))),
        outputs=outputs,
        log=log[-LOG_BYTES:],
    )


def _refused(log: str) -> tuple[tuple[str, str], ...]:
    """Return (operator, reason) as the runtime lists them."""
    lines = [line for block in REFUSED.findall(log) for line in block.splitlines() if ": " in line]
    pairs = [(op.strip(), reason.strip()) for op, reason in (line.split(": ", 1) for line in lines)]
    return tuple(dict.fromkeys(pairs))
