"""What tflbuild costs, in whole processes, against what a person would do without it.

    python benchmarks/run.py [--runs N] [--small] [--json FILE]

Every round runs each thing once, one after the other, so that a ratio compares neighbours in time;
a figure is the median of all rounds. See benchmarks/README.md for what the rows mean.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
TFLBUILD = str(Path(sys.executable).parent / "tflbuild")
RECIPE = "+recipe=mobilenet_int8"
SCHEMES = ("none", "float16", "dynamic_int8", "int8")
HELLO = """\
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    print(config.greeting)

main()
"""


class CommandFailed(Exception):
    """A measured command broke; its standard error is the message."""


@dataclass(frozen=True)
class Cost:
    """Of one process and all that it waited for. Seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Goal:
    """An upper limit of one of a row's figures."""

    figure: str
    limit: float


@dataclass(frozen=True)
class Row:
    """One line of the table: medians, and `ratio` the median of the rounds' own ratios of wall time."""

    name: str
    runs: int
    wall_seconds: float
    cpu_seconds: float
    against: str = ""
    against_wall_seconds: float | None = None
    against_cpu_seconds: float | None = None
    ratio: float | None = None
    cpu_ratio: float | None = None
    goals: tuple[Goal, ...] = ()

    def met(self, goal: Goal) -> bool:
        """Whether the figure is at most the limit."""
        return float(getattr(self, goal.figure)) <= goal.limit


def without_unread_dataset(recipe: str, scheme: str) -> str:
    """Return a recipe without its representative dataset where the scheme calibrates nothing: none would read it."""
    if scheme.startswith("int"):
        return recipe
    chosen = re.sub(r"^ +- override /dataset: npz\n", "", recipe, flags=re.MULTILINE)
    return re.sub(r"^dataset:.*\n(?:[ \t].*\n)*", "", chosen, flags=re.MULTILINE)


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str], says: str = "") -> Cost:
    """Run a command to its end in `folder`. Raises CommandFailed unless it exits 0 and its output starts as it must."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, complained = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    shown = " ".join(command)
    if process.returncode != 0:
        raise CommandFailed(f"{shown}\nended with exit code {process.returncode}\n{complained}")
    if not printed.startswith(says):
        raise CommandFailed(f"{shown}\nwas to say '{says}' and said\n{printed}{complained}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def environment(store: Path) -> dict[str, str]:
    """This process's, with that store and no other setting of tflbuild's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TFLBUILD_")}
    return {**kept, "TFLBUILD_STORE": str(store)}


def outcomes(folder: Path, store: Path, *arguments: str) -> list[Any]:
    """What the installed command says of its variants; exits with its complaint where it says nothing."""
    command = [TFLBUILD, *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment(store), capture_output=True, text=True, check=False)
    if not done.stdout.startswith("["):
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return list(json.loads(done.stdout))


def build(place: Path, *arguments: str, says: str) -> Cost:
    """The installed command, in a folder and with a store below `place`."""
    folder = place / "project"
    folder.mkdir(exist_ok=True)
    return measure([TFLBUILD, *arguments], folder, environment(place / "store"), says)


def handwritten(place: Path) -> Cost:
    """The yardstick: one int8 model, nothing verified."""
    return measure([sys.executable, str(HERE / "handwritten.py"), str(place / "model.tflite")], place, os.environ)


def hello_hydra(place: Path) -> Cost:
    """The least that any Hydra application costs: one key, printed."""
    app = place / "hello.py"
    app.write_text(HELLO)
    (place / "conf").mkdir(exist_ok=True)
    (place / "conf" / "config.yaml").write_text("greeting: hello\n")
    return measure([sys.executable, str(app), f"hydra.run.dir={place / 'hydra'}"], place, os.environ, "hello")


def one_round(place: Path, *, sweep: bool) -> dict[str, Cost]:
    """Every measurement once; the first build's store serves the ones that need a warm store."""
    costs = {
        "first": build(place, RECIPE, says="built"),
        "handwritten": handwritten(place),
        "again": build(place, RECIPE, says="up to date"),
        "hydra": hello_hydra(place),
        "second": build(place, RECIPE, "quantization=float16", says="built"),
    }
    if sweep:
        empty = place / "sweep"
        empty.mkdir()
        costs["sweep"] = build(empty, "-m", RECIPE, f"quantization={','.join(SCHEMES)}", says="")
    return costs


def warm_up(place: Path) -> None:
    """Read every package from the disk once, so that the first round finds what the others find."""
    build(place, RECIPE, says="built")
    handwritten(place)
    hello_hydra(place)


def measure_rounds(runs: int, *, small: bool) -> list[dict[str, Cost]]:
    """All rounds, each in an empty temporary folder."""
    rounds = []
    with tempfile.TemporaryDirectory(prefix="tflbuild-benchmark-") as base:
        if not small:
            say("warming up")
            warm_up(folder_in(base, "warm-up"))
        for number in range(1, runs + 1):
            say(f"round {number} of {runs}")
            rounds.append(one_round(folder_in(base, f"round-{number}"), sweep=not small))
    return rounds


def folder_in(base: str, name: str) -> Path:
    """A new folder."""
    folder = Path(base, name)
    folder.mkdir()
    return folder


def say(text: str) -> None:
    """Progress goes to standard error; the table alone to standard output."""
    print(text, file=sys.stderr, flush=True)


def make_row(
    name: str, costs: list[Cost], against: str = "", others: list[Cost] | None = None, *goals: Goal, times: int = 1
) -> Row:
    """Medians over rounds; ratios are taken within a round, against `times` the other."""
    row = {"name": name, "runs": len(costs), "wall_seconds": middle(costs, wall), "cpu_seconds": middle(costs, cpu)}
    if others is None:
        return Row(**row, goals=goals)  # type: ignore[arg-type]
    others = [Cost(other.wall * times, other.cpu * times) for other in others]
    return Row(
        **row,  # type: ignore[arg-type]
        against=against,
        against_wall_seconds=middle(others, wall),
        against_cpu_seconds=middle(others, cpu),
        ratio=median(one.wall / other.wall for one, other in zip(costs, others, strict=True)),
        cpu_ratio=median(one.cpu / other.cpu for one, other in zip(costs, others, strict=True)),
        goals=goals,
    )


def wall(cost: Cost) -> float:
    return cost.wall


def cpu(cost: Cost) -> float:
    return cost.cpu


def middle(costs: Sequence[Cost], figure: Callable[[Cost], float]) -> float:
    """The median of one figure."""
    return median(figure(cost) for cost in costs)


def make_rows(rounds: list[dict[str, Cost]]) -> list[Row]:
    """The table's rows, with the goals that they are held to."""
    of = {name: [costs[name] for costs in rounds] for name in rounds[0]}
    wall_goal = "wall_seconds"
    rows = [
        make_row("first build", of["first"], "handwritten script", of["handwritten"], Goal("ratio", 1.1)),
        make_row(
            "nothing changed", of["again"], "hello-world Hydra", of["hydra"], Goal(wall_goal, 0.25), Goal("ratio", 0.5)
        ),
        make_row("second scheme, float16", of["second"], "", None, Goal(wall_goal, 3.0)),
    ]
    if "sweep" in of:
        times = len(SCHEMES)
        rows.append(
            make_row("sweep of 4", of["sweep"], f"{times} x handwritten script", of["handwritten"], times=times)
        )
    return rows


def host() -> dict[str, str | int]:
    """The CPU's name and the cores that may be used."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # no Linux: the processor's name has to do
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cpu": name, "cores": cores, "python": platform.python_version(), "system": platform.platform()}


HEADINGS = ("what", "runs", "wall s", "CPU s", "against", "wall s", "CPU s", "wall ratio", "CPU ratio", "goals")
LEFT = (0, 4, 9)
UNITS = {"wall_seconds": " s", "ratio": " x"}


def cells(row: Row) -> tuple[str, ...]:
    """One row's text."""
    verdicts = [f"<= {g.limit:g}{UNITS[g.figure]} {'met' if row.met(g) else 'missed'}" for g in row.goals]
    figures = [row.against_wall_seconds, row.against_cpu_seconds, row.ratio, row.cpu_ratio]
    shown = ["" if value is None else f"{value:.3f}" for value in figures]
    own = (row.name, str(row.runs), f"{row.wall_seconds:.3f}", f"{row.cpu_seconds:.3f}", row.against)
    return (*own, *shown, ", ".join(verdicts))


def table(rows: list[Row]) -> str:
    """Aligned columns, figures to the right."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    padded = [
        [text.ljust(widths[c]) if c in LEFT else text.rjust(widths[c]) for c, text in enumerate(line)] for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def as_json(rows: list[Row], rounds: list[dict[str, Cost]], busy: list[float]) -> str:
    """Rows with their goals' verdicts, and every single measurement. All times are in seconds."""
    described = [
        {**asdict(row), "goals": [{**asdict(goal), "met": row.met(goal)} for goal in row.goals]} for row in rows
    ]
    measured = [{name: asdict(cost) for name, cost in costs.items()} for costs in rounds]
    return (
        json.dumps({"host": host(), "load_before_and_after": busy, "rows": described, "rounds": measured}, indent=2)
        + "\n"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="rounds to take medians over (5)")
    parser.add_argument("--small", action="store_true", help="one round, no warm-up, no sweep: does everything work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """0, whatever the goals; 1 when a measured command breaks."""
    options = parse(arguments)
    busy = [os.getloadavg()[0]]
    try:
        rounds = measure_rounds(1 if options.small else options.runs, small=options.small)
    except CommandFailed as error:
        print(error, file=sys.stderr)
        return 1
    busy.append(os.getloadavg()[0])
    rows = make_rows(rounds)
    about = host()
    cores = f"{about['cores']} core{'s' if about['cores'] != 1 else ''}"
    print(f"{about['cpu']}, {cores}, Python {about['python']}; medians of runs, in seconds")
    print(f"load of the last minute: {busy[0]:.1f} before, {busy[1]:.1f} after\n")
    print(table(rows))
    if options.json:
        options.json.write_text(as_json(rows, rounds, busy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
