"""LiteRT's own GPU delegate (WebGPU on Vulkan), run in processes of its own: what it takes, and what it computes.

A driver is native code that may end the process it is in, or print what matters to nothing but its error output. So a
batch of jobs runs in a forked child, each job with a log of its own at the level of file descriptors; when the child
dies, the job that it was at has an outcome that says so, and the rest goes on in the next child.
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
SECONDS = 120.0  # that one job may take, the compilation of its shaders included
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
NO_DEVICE = "the driver has no device that the runtime takes"


@dataclass(frozen=True)
class GpuJob:
    """A model to be compiled for the GPU, and calls of one of its signatures.

    `feeds` are a dict by name each, none to only have it compiled. `alone`: nothing may be left to the CPU.
    """

    model: Path
    key: str
    feeds: Sequence[Arrays] = ()
    alone: bool = False


@dataclass(frozen=True)
class GpuJobResult:
    """How a job went. `ended` says what went wrong, "" when nothing did; `crashed`: the process did not survive it.

    `adapter` and `kind` are the device's name and type as the runtime told them. `compiled`: the artifact was
    accepted, with the CPU's help or not. `full`: every operator runs there. `refused` are (operator, reason) as the
    runtime says them, each once. `counts` are (taken, left to the CPU) of each subgraph that is not
    fully taken, the first one's first. `faults` are the device's complaints, as of a shader that does not compile: the
    runtime goes on, with zeros. `outputs` are by call and name, in the artifact's types.
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
        """The adapter as a verdict names it."""
        software = self.kind.lower().startswith("cpu")
        return f"{self.adapter} ({'software, on this host' if software else self.kind})" if self.adapter else ""

    @property
    def taken(self) -> int:
        """Operators of the first subgraph that run there, where not all of them do."""
        return self.counts[0][0] if self.counts else 0

    @property
    def words(self) -> list[str]:
        """What the runtime complained of, in order, each once."""
        return list(dict.fromkeys(line.strip() for line in WORDS.findall(self.log)))

    @property
    def software(self) -> bool:
        return self.kind.lower().startswith("cpu")


@dataclass(frozen=True)
class GpuDevice:
    """What jobs run on: a driver, the loader's path, how it computes. `float32`: no 16-bit floats are to be used."""

    driver: VulkanDriver
    loader: str
    float32: bool = False


def run_jobs(jobs: Sequence[GpuJob], device: GpuDevice, scratch: Path, seconds: float = SECONDS) -> list[GpuJobResult]:
    """Each job's outcome, in order. `scratch` is an empty or new folder; `seconds` is what one job may take."""
    scratch.mkdir(parents=True, exist_ok=True)
    done: list[GpuJobResult] = []
    while len(done) < len(jobs):
        done += _batch(jobs, len(done), device, scratch, seconds)
    return done


def _batch(jobs: Sequence[GpuJob], first: int, device: GpuDevice, scratch: Path, seconds: float) -> list[GpuJobResult]:
    """One child's jobs, from `first` to the last, or to that at which it died."""
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
    """Never returns."""
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
    told: dict[str, Any] = {"ended": "", "compiled": False, "full": False, "calls": 0}
    try:
        model = _compile(job, float32)
        told |= {"compiled": True, "full": bool(model.is_fully_accelerated())}
        for number, feed in enumerate(job.feeds):
            outputs: dict[str, Any] = call(model, job.key, feed)
            np.savez(folder / f"{number}.npz", **outputs)
            told["calls"] = number + 1
    except (RuntimeError, ValueError, TypeError) as error:
        told["ended"] = _first_line(str(error))
    (folder / "told.json").write_text(json.dumps(told))


def _first_line(text: str) -> str:
    """What the runtime says, without the places in its source."""
    lines = [line.strip("└ ").strip() for line in text.splitlines()]
    plain = [line for line in lines if line and not re.fullmatch(r"(ERROR: )?\[[^\]]*\]", line)]
    return plain[-1] if plain else text.strip()


def _compile(job: GpuJob, float32: bool) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options

    where = HardwareAccelerator.GPU if job.alone else HardwareAccelerator.GPU | HardwareAccelerator.CPU
    options = Options(hardware_accelerators=where, gpu_options=GpuOptions(enforce_f32=float32))
    return CompiledModel.from_file(str(job.model), options=options)


def call(model: Any, key: str, feed: Mapping[str, np.ndarray]) -> Arrays:
    """One call of a compiled model: outputs by name, in the artifact's types and shapes."""
    takes = model.get_input_tensor_details(key)
    for name, value in feed.items():
        if tuple(takes[name]["shape"]) != value.shape:
            model.resize_input_tensor_by_name(key, name, value.shape)
    names = model.get_signature_list()[key]
    given = {name: model.create_input_buffer_by_name(key, name) for name in names["inputs"]}
    taken = {name: model.create_output_buffer_by_name(key, name) for name in names["outputs"]}
    for name, buffer in given.items():
        buffer.write(
            np.ascontiguousarray(feed[name]).reshape(-1).view(np.int8)
        )  # it knows no 16-bit and 64-bit integers
    model.run_by_name(key, given, taken)
    gives = model.get_output_tensor_details(key)
    found = {}
    for name, buffer in taken.items():
        shape, dtype = tuple(gives[name]["shape"]), np.dtype(gives[name]["dtype"])
        count = math.prod(shape)
        found[name] = np.array(buffer.read(count * dtype.itemsize, np.int8)).view(dtype).reshape(shape)
    return found


def _read(folder: Path, ended: str = "") -> GpuJobResult:
    """What a child left of a job; `ended` when it did not survive it."""
    log = (folder / "log.txt").read_text(errors="replace") if (folder / "log.txt").is_file() else ""
    told: dict[str, Any] = {"ended": ended, "compiled": False, "full": False, "calls": 0}
    if not ended:
        told = json.loads((folder / "told.json").read_text())
    outputs = []
    for number in range(int(told["calls"])):
        with np.load(folder / f"{number}.npz") as arrays:
            outputs.append({name: arrays[name] for name in arrays.files})
    adapter = ADAPTER.search(log)
    counts = [(0 if taken == "No" else int(taken), int(left)) for taken, left in TAKEN.findall(log)]
    ended = str(told["ended"])
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
        compiled=bool(told["compiled"]),
        full=bool(told["full"]) and not counts,  # where the CPU may help, the runtime calls its delegate one too
        refused=_refused(log),
        counts=tuple(dict.fromkeys(counts)),
        faults=tuple(dict.fromkeys(FAULT.findall(log))),
        outputs=outputs,
        log=log[-LOG_BYTES:],
    )


def _refused(log: str) -> tuple[tuple[str, str], ...]:
    """(operator, reason), as the runtime lists them."""
    lines = [line for block in REFUSED.findall(log) for line in block.splitlines() if ": " in line]
    pairs = [(op.strip(), reason.strip()) for op, reason in (line.split(": ", 1) for line in lines)]
    return tuple(dict.fromkeys(pairs))
