"""Parser of the output of TFLite's and LiteRT's `benchmark_model`. New versions print INFO: and percentiles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.runtime.step_contract import WorkerError

NUMBER = r"([-+0-9.eE]+)"
TIMINGS = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, Warmup \(avg\): {NUMBER},"
    rf" Inference \(avg\): {NUMBER}"
)
COUNT = re.compile(r"^count=\d+ .*")
FIELD = re.compile(rf"(\w+)={NUMBER}")
MEMORY = re.compile(r"Memory footprint delta from the start of the tool \(MB\):.*overall=([0-9.]+)")
REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\) node, yielding (\d+) partitions")
DECLINED = "will not be executed by the delegate"
LEVEL = re.compile(r"^(?:INFO|WARNING|VERBOSE|ERROR): ?")
PROFILE = "Operator-wise Profiling Info for Regular Benchmark Runs"
TABLE, NEXT_TABLE = "Run Order", "Top by Computation Time"
ROW = re.compile(
    rf"^\s*(?P<kind>\S.*?)\s+(?:{NUMBER}\s+){{1,2}}(?P<ms>[0-9.]+)\s+(?P<percent>[0-9.]+)%\s+[0-9.]+%"
    r"\s+[-0-9.]+\s+\d+\s+(?P<name>\S.*)$"
)
LAYER = re.compile(r"^\[?(?P<layer>.*?)\]?:(?P<index>\d+)$")
DELEGATE_PREFIX = "Delegate/"
MS_PER_US = 1e-3
# The unit that the tool calls MB.
MB = 1 << 20
FAILED = re.compile(r"ERROR|[Ff]ailed|FAIL|error:")


@dataclass(frozen=True)
class ProfileLine:
    """A line of the profile: an operator of the model or of a delegate. `layer` is "" if the tool does not name it."""

    op: str
    layer: str
    ms: float
    percent: float
    delegate: bool

    def as_json(self) -> dict[str, Json]:
        """Return the line in the form of the host's profile."""
        return {
            "op": "" if self.delegate else self.op,
            "layer": self.layer,
            "kernel": self.op,
            "delegate": self.delegate,
            "us": self.ms / MS_PER_US,
            "percent": self.percent,
        }


@dataclass(frozen=True)
class BenchmarkRun:
    """One run of the tool.

    `stats` has the tool's names for the timed inferences, in microseconds except for `count`.
    """

    init_us: float
    first_us: float
    warmup_us: float
    mean_us: float
    stats: dict[str, float]
    memory_bytes: int | None
    on_delegate: int | None
    ops: int | None
    partitions: int | None
    declined: bool
    operators: tuple[ProfileLine, ...]

    def as_json(self) -> dict[str, Json]:
        """Return the figures in milliseconds. p5, p50 and p95 are None for an old tool, which only prints means."""
        names = {"p5_ms": "p5", "p50_ms": "median", "p95_ms": "p95"}
        names |= {"least_ms": "min", "most_ms": "max", "std_ms": "std"}
        notes = ["the delegate ran no operator: the CPU ran all of them"] if self.declined else []
        return {
            "runs": int(self.stats["count"]) if "count" in self.stats else None,
            "mean_ms": self.mean_us * MS_PER_US,
            "init_ms": self.init_us * MS_PER_US,
            "first_ms": self.first_us * MS_PER_US,
            "warmup_ms": self.warmup_us * MS_PER_US,
            **{name: self.stats[told] * MS_PER_US if told in self.stats else None for name, told in names.items()},
            "memory_delta_bytes": self.memory_bytes,
            "on_delegate": self.on_delegate,
            "ops": self.ops,
            "partitions": self.partitions,
            "notes": notes,
        }


def parse(text: str) -> BenchmarkRun:
    """Parse the output of the tool.

    Raises:
        WorkerError: The tool printed no timings, so it failed. The reason is its last error line.
    """
    lines = [LEVEL.sub("", line) for line in text.split("\n")]
    timings = next(filter(None, map(TIMINGS.search, lines)), None)
    if timings is None:
        printed_lines = [line.strip() for line in text.split("\n") if line.strip()]
        reason = next(
            (line for line in printed_lines if FAILED.search(line)),
            printed_lines[-1] if printed_lines else "it printed nothing",
        )
        raise WorkerError("benchmark_model did not time the artifact on the device", kind="build", why=reason)
    counts = [line for line in lines if COUNT.match(line)]
    memory = next(filter(None, map(MEMORY.search, lines)), None)
    applied = [match for line in lines if (match := REPLACED.search(line))]
    replaced = [match for match in applied if match[3] == applied[0][3]]  # one delegate, subgraph by subgraph
    init, first, warmup, mean = (float(value) for value in timings.groups())
    return BenchmarkRun(
        init_us=init,
        first_us=first,
        warmup_us=warmup,
        mean_us=mean,
        stats={name: float(value) for name, value in FIELD.findall(counts[-1])} if counts else {},
        memory_bytes=int(float(memory[1]) * MB) if memory else None,
        on_delegate=sum(int(match[1]) for match in replaced) if replaced else None,
        ops=sum(int(match[2]) for match in replaced) if replaced else None,
        partitions=sum(int(match[4]) for match in replaced) if replaced else None,
        declined=any(DECLINED in line for line in lines),
        operators=tuple(operators(lines)),
    )


def operators(lines: list[str]) -> list[ProfileLine]:
    """Return the operators of the profile in the order in which they ran."""
    start = next((number for number, line in enumerate(lines) if PROFILE in line), None)
    if start is None:
        return []
    entries = []
    for line in lines[start + 1 :]:
        if NEXT_TABLE in line:
            break
        row = ROW.match(line)
        if row:
            entries.append(entry(row))
    return entries


def entry(row: re.Match[str]) -> ProfileLine:
    """Parse a row: `CONV_2D 0.0 3.73 3.64 16.5% 16.9% 0.000 1 [layer]:1`."""
    kind, named = row["kind"], LAYER.match(row["name"])
    delegate = kind.startswith((DELEGATE_PREFIX, "TfLite")) or row["name"].startswith(DELEGATE_PREFIX)
    layer = "" if delegate or named is None else named["layer"]
    return ProfileLine(kind.removeprefix(DELEGATE_PREFIX), layer, float(row["ms"]), float(row["percent"]), delegate)
