"""Twelve variants of one model by one sweep, against twelve scripts written by hand, one after another.

    python -m benchmarks.sweep [--schemes SCHEME ...] [--json FILE]

The sweep starts with an empty store. Each script loads the model, converts it and evaluates it on the same images;
the sweep does so too, and checks and compares each artifact besides. One run; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.run import TFLBUILD, Cost, host, measure, say, without_unread_dataset

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "mobilenet_int8.yaml"
GOAL = 0.25  # of the scripts' wall time
# what the scripts call it -> quantization option, its keys
SCHEMES = {
    **{name: (name, "") for name in ("none", "float16", "dynamic_int8", "dynamic_int4", "weight_only_int8")},
    **{name: (name, "") for name in ("weight_only_int4", "int8", "int4", "int16x8")},
    "int8_octav": ("int8", "algorithm: octav"),
    "int8_mse": ("int8", "algorithm: mse"),
    "int8_per_tensor": ("int8", "granularity: per_tensor"),
}
RAN = re.compile(r"^(\w[\w ]*?)\s{2,}ran\s", re.M)


def write_recipes(folder: Path, schemes: Sequence[str]) -> str:
    """A recipe for each, the shipped one without its gate; returns the override that sweeps over them."""
    text = re.sub(r"\n  gates:\n.*\n", "\n", RECIPE.read_text())
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    for name in schemes:
        option, keys = SCHEMES[name]
        made = text.replace("/quantization: int8", f"/quantization: {option}")
        made += f"quantization: {{{keys}}}\n" if keys else ""
        (folder / "recipes" / f"{name}.yaml").write_text(without_unread_dataset(made, option))
    return f"+recipe={','.join(schemes)}"


def run_sweep(place: Path, schemes: Sequence[str]) -> tuple[Cost, Counter[str]]:
    """(what the sweep cost, how often a step of each name ran)."""
    folder = place / "project"
    override = write_recipes(folder, schemes)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TFLBUILD_")}
    shown = place / "shown.txt"
    command = ["bash", "-c", 'exec "$0" "$@" 2> "$SHOWN"', TFLBUILD, "-m", override]
    cost = measure(command, folder, {**kept, "TFLBUILD_STORE": str(place / "store"), "SHOWN": str(shown)})
    return cost, Counter(RAN.findall(shown.read_text()))


def run_scripts(place: Path, schemes: Sequence[str]) -> dict[str, Cost]:
    """What each script cost, one after another."""
    script = str(HERE / "handwritten_schemes.py")
    found = {}
    for name in schemes:
        say(f"script {name}")
        found[name] = measure([sys.executable, script, name, str(place / "model.tflite")], place, os.environ)
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--schemes", nargs="+", choices=[*SCHEMES], default=[*SCHEMES], metavar="SCHEME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module: 0, whether or not the goal is met."""
    options = parse(arguments)
    busy = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="tflbuild-sweep-") as base:
        place = Path(base)
        say("the sweep")
        ours, ran = run_sweep(place, options.schemes)
        scripts = run_scripts(place, options.schemes)
    busy.append(os.getloadavg()[0])
    wall, cpu = (sum(getattr(cost, figure) for cost in scripts.values()) for figure in ("wall", "cpu"))
    ratio, about = ours.wall / wall, host()
    print(f"{about['cpu']}, {about['cores']} cores, Python {about['python']}")
    print(f"load of the last minute: {busy[0]:.1f} before, {busy[1]:.1f} after\n")
    for name, cost in {f"sweep of {len(scripts)}": ours, "all scripts": Cost(wall, cpu), **scripts}.items():
        print(f"{name:18}{cost.wall:8.2f} s wall {cost.cpu:8.2f} s CPU")
    verdict = "met" if ratio <= GOAL else "missed"
    print(f"\nratio {ratio:.3f} of wall time, {ours.cpu / cpu:.3f} of CPU time; at most {GOAL} is wanted: {verdict}")
    print("steps of the sweep: " + ", ".join(f"{name} x{count}" for name, count in sorted(ran.items())))
    if options.json:
        figures = {
            "host": about,
            "sweep": asdict(ours),
            "scripts": {name: asdict(cost) for name, cost in scripts.items()},
        }
        options.json.write_text(
            json.dumps({**figures, "ratio": ratio, "goal": GOAL, "ran": ran, "load": busy}, indent=2)
        )


if __name__ == "__main__":
    main()
