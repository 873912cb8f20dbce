"""Vela, Arm's compiler for Ethos-U, in a child process: compiled models, messages and estimates."""

from __future__ import annotations

import csv
import operator
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tflbuild.runtime.step_contract import WorkerError, end_with_parent, killed
from tflbuild.tflite.tflite_model import Model

PACKAGE = "ethos-u-vela"
# The configuration file in Vela's package.
OWN_CONFIG = "Arm/vela.ini"
WARNING = re.compile(r"^Warning \(supported operators\) operator: (\S+), ofm: '(.*)'$")
MISCONFIGURED = re.compile(
    r"^(?:ethosu\.vela\.errors\.\w*OptionError|configparser\.\w+|vela: error): (.*)", re.MULTILINE
)
LAST_LINES = 3
KIB = 1024
NPU_OP = "ethos-u"

# The subgraph, and the index of the operator in it.
Place = tuple[int, int]


@dataclass(frozen=True)
class VelaCpuOperator:
    """An operator that Vela leaves to the CPU: Vela's name for it, its output tensor, and the reason."""

    op: str
    layer: str
    reason: str


@dataclass(frozen=True)
class VelaResult:
    """The result of a run of Vela.

    Attributes:
        model: The compiled model, None if Vela failed.
        refusals: The operators that Vela leaves to the CPU.
        summary: Vela's table of estimates, as text by its own names.
        failure: The last lines of Vela's output if it failed.
    """

    model: Path | None
    refusals: tuple[VelaCpuOperator, ...]
    summary: Mapping[str, str]
    failure: str = ""


def version() -> str:
    """The installed version."""
    return metadata.version(PACKAGE)


def compile_model(model: Path, target: Mapping[str, Any], folder: Path) -> VelaResult:
    """Compile a .tflite into a folder. Vela's output is also printed.

    Args:
        model: The artifact.
        target: `accelerator`, `system_config`, `memory_mode`, `optimise`, `config` and others.
        folder: The folder for Vela's files.

    Raises:
        WorkerError: Vela refuses the configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "ethosu.vela", str(model), *_options(target, folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=end_with_parent,  # the process that forks has one thread
        check=False,
    )
    print(ended.stdout, flush=True)
    if ended.returncode == -signal.SIGKILL:
        raise killed("Vela")
    found = folder / f"{model.stem}_vela.tflite"
    if ended.returncode or not found.exists():
        _blame_configuration(ended.stdout, target)
        return VelaResult(None, tuple(read_refusals(ended.stdout)), {}, _last_words(ended.stdout, ended.returncode))
    return VelaResult(found, tuple(read_refusals(ended.stdout)), _summary(folder))


def _options(target: Mapping[str, Any], folder: Path) -> list[str]:
    """Return Vela's options. It accepts a configuration file only if both system and memory mode are named."""
    options = ["--accelerator-config", target["accelerator"], "--output-dir", str(folder)]
    if target.get("config"):
        (folder / "vela.ini").write_text(target["config"])
        options += ["--config", str(folder / "vela.ini")]
    elif target.get("system_config") and target.get("memory_mode"):
        options += ["--config", OWN_CONFIG]
    for key, flag in (
        ("system_config", "--system-config"),
        ("memory_mode", "--memory-mode"),
        ("optimise", "--optimise"),
        ("arena_cache_bytes", "--arena-cache-size"),
    ):
        options += [flag, str(target[key])] if target.get(key) else []
    return options


def _blame_configuration(said: str, target: Mapping[str, Any]) -> None:
    """Raise WorkerError if Vela failed because of the configuration.

    A wrong configuration is a mistake in the recipe, not in the artifact.
    """
    found = MISCONFIGURED.search(said)
    if found:
        why = found[1].strip().strip("\"'").removeprefix("Error: ")
        raise WorkerError(
            f"Vela does not take the configuration of target {target['name']}",
            why=why,
            next_step="system_config and memory_mode are named together, or neither;"
            f" `vela --list-configs {OWN_CONFIG}` lists those that it knows",
        )


def read_refusals(said: str) -> Iterator[VelaCpuOperator]:
    """Yield Vela's warnings: a line with operator and tensor, then the reason, up to an empty line."""
    lines = iter(said.splitlines())
    for line in lines:
        head = WARNING.match(line)
        if head:
            why = []
            for following in lines:
                if not following.strip() or following.startswith(("Traceback (", "Warning: ")):
                    break
                why.append(following.strip().removeprefix("Reason: "))
            yield VelaCpuOperator(head[1], head[2], "; ".join(why))


def _last_words(said: str, code: int) -> str:
    """Return the last lines of a failure, without the traceback of Vela's own Python."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Warning: ")]
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (")]
    if starts:
        raised = re.compile(r"^[A-Za-z_.]*(Error|Exception)\b")
        begin = next((at for at in range(starts[-1], len(lines)) if raised.match(lines[at])), starts[-1])
        lines = lines[begin:]
    ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    told = " ".join(lines[-LAST_LINES:] if not starts else lines[: LAST_LINES + 1])
    return f"{told or 'it said nothing'} ({ended})"


def _summary(folder: Path) -> dict[str, str]:
    for path in folder.glob("*_summary_*.csv"):
        with path.open(newline="") as file:
            return dict(next(csv.DictReader(file)))
    return {}


def left_on_cpu(original: Model, compiled: Model) -> list[Place]:
    """Return the positions of operators that are unchanged in the compiled model, in order.

    Vela converts supported operators to custom operators `ethos-u`, and keeps the others with their names and the names
    of their output tensors, by which they are identified. If it converts BOOL to INT8 next to one, the name of its
    output is longer.
    """
    there = [known for known in _each_op(compiled) if known[1] != NPU_OP]
    missing = list(_each_op(original))
    found = []
    for fits in (operator.eq, str.startswith):
        for one in list(there):
            same = next((known for known in missing if known[1] == one[1] and _all_fit(fits, one[2], known[2])), None)
            if same:
                there.remove(one)
                missing.remove(same)
                found.append(same[0])
    return sorted(found)


def _each_op(model: Model) -> Iterator[tuple[Place, str, tuple[str, ...]]]:
    """Operators with their place, name, and outputs' names."""
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.ops):
            yield (number, index), op.name, tuple(graph.tensors[one].name for one in op.outputs)


def _all_fit(fits: Callable[[str, str], bool], found: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return len(found) == len(known) and all(fits(new, old) for new, old in zip(found, known, strict=True))


def count_npu_ops(compiled: Model) -> int:
    """Return the number of custom operators that call the NPU, which are its partitions."""
    return sum(1 for graph in compiled.subgraphs for op in graph.ops if op.custom and op.name == NPU_OP)


def figures(summary: Mapping[str, str], whole: bool) -> dict[str, float]:
    """Return Vela's estimates, with bytes as integers.

    Args:
        summary: Vela's table of estimates.
        whole: Whether no operator is left to the CPU, so that the time is that of a whole inference.
    """
    values: dict[str, float] = {}
    for name, key in (("cycles_total", "cycles_total"), ("cycles_npu", "cycles_npu"), ("macs", "nn_macs")):
        if float(summary.get(key) or 0):
            values[name] = int(float(summary[key]))
    for name, keys in (
        ("sram_bytes", ("sram_memory_used",)),
        ("dram_bytes", ("dram_memory_used",)),
        ("flash_bytes", ("on_chip_flash_memory_used", "off_chip_flash_memory_used")),
    ):
        size = round(sum(float(summary.get(key) or 0) for key in keys) * KIB)
        if size:
            values[name] = size
    if float(summary.get("inference_time") or 0):
        values["inference_ms" if whole else "npu_ms"] = round(float(summary["inference_time"]) * 1000, 6)
    return values
