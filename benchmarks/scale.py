"""Plans of many variants: seconds and memory of `tflbuild plan` and `explain` as a sweep grows.

    python -m benchmarks.scale [--sizes N ...] [--json FILE]

Four schemes and as many calibration sizes as it takes, with an empty store. Growth is linear when the CPU milliseconds
for a variant stay the same. One run; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.run import TFLBUILD, environment, host

SIZES = (124, 248, 500, 1000)
SCHEMES = ("float16", "dynamic_int8", "int8", "int4")
GOAL_SECONDS, GOAL_BYTES = 20.0, 500e6  # for 1,000 variants


@dataclass(frozen=True)
class Point:
    """One command: wall and CPU seconds; `peak` is the most memory that its process held, in bytes."""

    verb: str
    variants: int
    steps: int
    seconds: float
    cpu: float
    peak: int


def run(place: Path, verb: str, variants: int) -> Point:
    """Plan that many variants, or explain them."""
    sizes = variants // len(SCHEMES)
    swept = [f"dataset.count=range(1,{sizes + 1})", f"quantization={','.join(SCHEMES)}"]
    command = [TFLBUILD, verb, "-m", "+recipe=mobilenet_int8", *swept]
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=place, env=environment(place / "store"), stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")
    steps = printed.count("never run before")
    return Point(verb, sizes * len(SCHEMES), steps, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module: 0, whether or not the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[*SIZES], metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tflbuild-scale-") as base:
        points = [run(Path(base), verb, size) for size in options.sizes for verb in ("plan", "explain")]
    about = host()
    print(f"{about['cpu']}, {about['cores']} cores, Python {about['python']}\n")
    print("| verb | variants | steps | s | CPU s | CPU ms a variant | MB |\n|---|---:|---:|---:|---:|---:|---:|")
    for point in points:
        each = 1000 * point.cpu / point.variants
        figures = f"{point.steps} | {point.seconds:.2f} | {point.cpu:.2f} | {each:.1f} | {point.peak / 1e6:.0f}"
        print(f"| {point.verb} | {point.variants} | {figures} |")
    met = all(one.seconds <= GOAL_SECONDS and one.peak <= GOAL_BYTES for one in points if one.variants <= 1000)
    print(
        f"\nat most {GOAL_SECONDS:.0f} s and {GOAL_BYTES / 1e6:.0f} MB for 1,000 variants: {'met' if met else 'missed'}"
    )
    if options.json:
        options.json.write_text(json.dumps({"host": about, "points": [asdict(one) for one in points]}, indent=2))


if __name__ == "__main__":
    main()
