"""The corpus of faults, as data: what is planted where, and how it is caught.

`tests/integration/test_fault_corpus.py` plants those of workers, `tests/functional/test_mistake_corpus.py` makes the
mistakes on the command line. The tables of docs/faults.md are made of this list:
`python tests/fault_corpus.py --write`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from corpus_of_datasets import DATASET_FAULTS
from corpus_of_elsewhere import TESTED_ELSEWHERE, UNCAUGHT
from corpus_of_mistakes import MISTAKES
from corpus_of_workers import WORKER_FAULTS
from corpus_types import PLACES, CorpusFault, PlantedFault

PAGE = Path(__file__).resolve().parents[1] / "docs" / "faults.md"
PLANTED: tuple[PlantedFault, ...] = (*WORKER_FAULTS, *DATASET_FAULTS)
CORPUS: tuple[CorpusFault, ...] = (*PLANTED, *MISTAKES, *TESTED_ELSEWHERE)
BEGIN, END = "<!-- tables: tests/fault_corpus.py --write -->", "<!-- end of tables -->"


def write_tables() -> str:
    """Return the tables of the page: the faults by the place where they are planted, then what is not caught."""
    parts = [BEGIN, ""]
    for place, title in PLACES.items():
        faults = [fault for fault in CORPUS if fault.place == place]
        parts += [
            f"### {title} ({len(faults)})",
            "",
            "| fault | code | caught by | the message holds |",
            "|---|---|---|---|",
        ]
        parts += [describe_fault(fault) for fault in faults]
        parts.append("")
    parts += ["### What cannot be caught", "", "| fault | why | what you can do |", "|---|---|---|"]
    parts += [f"| {one.what} | {one.why} | {one.remedy} |" for one in UNCAUGHT]
    return "\n".join([*parts, "", END])


def describe_fault(fault: CorpusFault) -> str:
    """Return a fault's row of the table."""
    text = fault.text.replace("|", "\\|").replace("\n", " ")
    return f"| {fault.what} | {fault.code} | {fault.caught_by} | `{text}` |"


def main(arguments: Sequence[str]) -> int:
    """Write the tables into the page, or tell that it lacks them."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    wanted = before + write_tables() + rest.partition(END)[2]
    if "--write" in arguments:
        PAGE.write_text(wanted)
        return 0
    return int(page != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
