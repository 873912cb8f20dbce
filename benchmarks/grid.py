"""A grid of 24 variants by one sweep, and again, against 24 scripts written by hand, one after another.

    python -m benchmarks.grid [--small] [--json FILE]

Four schemes, three calibration sizes, two engines. The sweep starts with an empty store; each script loads the model,
converts it and evaluates it on the same images. One run; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

from benchmarks.run import Cost, build, host, measure, say

HERE = Path(__file__).resolve().parent
SCHEMES = ("none", "float16", "dynamic_int8", "int8")
COUNTS = (64, 128, 256)
ENGINES = ("litert", "converter")
GOAL = 0.20  # of the scripts' wall time
AGAIN_GOAL = 1.0  # seconds, for the same sweep when nothing has changed


def overrides(schemes: Sequence[str], counts: Sequence[int]) -> list[str]:
    """The sweep's arguments."""
    return [
        f"quantization={','.join(schemes)}",
        f"dataset.count={','.join(map(str, counts))}",
        f"quantization.engine={','.join(ENGINES)}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module: 0, whether or not the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one scheme and one size: does it still work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    options = parser.parse_args(arguments)
    schemes, counts = (SCHEMES[-1:], COUNTS[:1]) if options.small else (SCHEMES, COUNTS)
    busy = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="tflbuild-grid-") as base:
        place = Path(base)
        command = ["-m", "+recipe=mobilenet_int8", *overrides(schemes, counts)]
        say("the sweep")
        ours, again = build(place, *command, says="variant"), build(place, *command, says="variant")
        scripts = []
        for scheme, count, engine in product(schemes, counts, ENGINES):
            say(f"script {scheme} {count} {engine}")
            script = [sys.executable, str(HERE / "handwritten_schemes.py"), scheme, str(place / "model.tflite")]
            scripts.append(measure([*script, str(count), engine], place, os.environ))
    busy.append(os.getloadavg()[0])
    theirs = Cost(sum(cost.wall for cost in scripts), sum(cost.cpu for cost in scripts))
    report(ours, again, theirs, len(scripts), busy, options.json)


def report(ours: Cost, again: Cost, theirs: Cost, count: int, busy: Sequence[float], file: Path | None) -> None:
    """Figures and verdicts, and as JSON where a file is named."""
    ratio, about = ours.wall / theirs.wall, host()
    print(f"{about['cpu']}, {about['cores']} cores, Python {about['python']}")
    print(f"load of the last minute: {busy[0]:.1f} before, {busy[1]:.1f} after\n")
    for name, cost in {f"sweep of {count}": ours, "the same again": again, f"{count} scripts": theirs}.items():
        print(f"{name:18}{cost.wall:8.2f} s wall {cost.cpu:8.2f} s CPU")
    verdict = "met" if ratio <= GOAL else "missed"
    print(f"\nratio {ratio:.3f} of wall time, {ours.cpu / theirs.cpu:.3f} of CPU time; at most {GOAL}: {verdict}")
    print(f"again {again.wall:.2f} s; at most {AGAIN_GOAL} s: {'met' if again.wall <= AGAIN_GOAL else 'missed'}")
    if file:
        costs = {"sweep": asdict(ours), "again": asdict(again), "scripts": asdict(theirs)}
        file.write_text(json.dumps({"host": about, **costs, "variants": count, "ratio": ratio, "load": busy}, indent=2))


if __name__ == "__main__":
    main()
