"""`quantization=auto` on trained models: what a budget comes to, beside the best single scheme that meets it.

    python -m benchmarks.budget --write                 all of it, and the table in docs/auto.md
    python -m benchmarks.budget --models fashion --keep /tmp/table

The models and data are those of benchmarks.schemes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.run import host, outcomes
from benchmarks.schemes import MODELS, ROOT, workplace

PAGE = ROOT / "docs" / "auto.md"
MARK = "<!-- written by benchmarks.budget -->\n"
BUDGETS = {"fashion": (20, 30), "mtcnn": (20, 30), "fer": (20, 30), "pitch": (15, 25, 30, 35)}  # dB, every output


@dataclass(frozen=True)
class Line:
    """One search: what it chose, and the smallest single scheme that meets the same budget."""

    model: str
    budget: float
    chosen: str
    bytes: int
    single: str
    single_bytes: int
    measured: int
    error: str = ""


def recipe(name: str, budget: float) -> str:
    """The YAML of one search."""
    model = MODELS[name]
    chosen = {"source": model.source, "quantization": "auto", "dataset": "npz", "verify": model.verify}
    lines = [f"  - override /{group}: {choice}" for group, choice in chosen.items()]
    return "\n".join(["defaults:", *lines, model.sections, f"quantization: {{budget: {{snr_db: {budget}}}}}"]) + "\n"


def search(folder: Path, store: Path, name: str, budget: float) -> Line:
    """One search by the command line."""
    (folder / "recipes").mkdir(exist_ok=True)
    (folder / "recipes" / "searched.yaml").write_text(recipe(name, budget))
    (row,) = outcomes(folder, store, "+recipe=searched", f"output_root=auto/{name}-{budget}")
    return read_line(name, budget, row)


def read_line(name: str, budget: float, row: Mapping[str, Any]) -> Line:
    """What the search says of itself."""
    if row["error"]:
        return Line(name, budget, "", 0, "", 0, 0, row["error"].split("\n")[0].partition("]: ")[2])
    trials = row["search"]["trials"]
    meeting = [one for one in trials if one["figures"].get("snr_db", -1) >= budget and ", " not in one["label"]]
    single = min(meeting, key=lambda one: one["bytes"])
    measured = sum(bool(one["figures"]) for one in trials)
    size = row["artifact"]["bytes"]
    return Line(name, budget, row["search"]["chosen"], size, single["label"], single["bytes"], measured)


def show(line: Line) -> str:
    """A row of the table."""
    title, budget = MODELS[line.model].title, f"{line.budget:g} dB"
    if line.error:
        return f"| {title} | {budget} | {line.error} | | | | | |"
    share = line.bytes / line.single_bytes
    return (
        f"| {title} | {budget} | {line.chosen} | {line.bytes:,} | {line.single} | {line.single_bytes:,}"
        f" | {share:.2f} | {line.measured} |"
    )


def table(lines: Sequence[Line]) -> str:
    """The part of the page that is measured."""
    about = host()
    return "\n".join(
        [
            f"Measured on {about['cpu']}. The models and data are those of [schemes.md](schemes.md); `measured` is how",
            "many artifacts were run on all evaluation samples.",
            "",
            "| model | budget, every output | chosen | bytes | best single scheme | bytes | of it | measured |",
            "| --- | --- | --- | ---: | --- | ---: | ---: | ---: |",
            *map(show, lines),
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=[*BUDGETS], default=[*BUDGETS], metavar="MODEL")
    parser.add_argument("--write", action="store_true", help="write the table in docs/auto.md")
    parser.add_argument("--keep", type=Path, help="folder to build in, kept, with a store of its own")
    options = parser.parse_args(arguments)
    if options.write and {*options.models} != {*BUDGETS}:
        parser.error("--write wants every model")
    with workplace(options.keep, options.models) as (folder, store):
        lines = [search(folder, store, name, one) for name in options.models for one in BUDGETS[name]]
    text = table(lines)
    print(text)
    if options.write:
        before, _, rest = PAGE.read_text().partition(MARK)
        PAGE.write_text(f"{before}{MARK}{text}{MARK}{rest.partition(MARK)[2]}")


if __name__ == "__main__":
    main()
