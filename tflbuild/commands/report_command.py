"""The verb `report`: pages of sweeps, made again from their records."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tflbuild.commands.command_line import REPORT_USAGE
from tflbuild.core.digest import Json
from tflbuild.errors import UsageError, nearest
from tflbuild.locations import store_root
from tflbuild.pipeline.sweep_results import FOLDER, OUTPUTS, add_sensitivity
from tflbuild.report.output_files import disk_errors, write_page
from tflbuild.report.sweeps.git_history import find_commit, is_since, order_commits
from tflbuild.report.sweeps.sweep_page import sweep_page
from tflbuild.report.sweeps.sweep_record import PAGE, RECORD, SweepRecord, read_record
from tflbuild.report.variant_summary import show_path
from tflbuild.storage.store import Store

OTHER_FLAGS = ("multirun", "jobs", "offline", "clear", "as_recipe")


@dataclass(frozen=True)
class SweepReport:
    """A page that was made again, of which sweeps, and why others were left out."""

    page: Path
    sweeps: tuple[SweepRecord, ...]
    left_out: tuple[str, ...]


def show_report(options: argparse.Namespace) -> None:
    """The verb. Raises UsageError for a flag that does nothing here, and whatever `report` raises."""
    for flag in OTHER_FLAGS:
        if getattr(options, flag):
            raise UsageError(
                f"report takes no --{flag.replace('_', '-')}", where="command line", next_step=REPORT_USAGE
            )
    made = report(options.overrides[1:], options.since)
    if options.json:
        print(json.dumps(report_json(made), indent=2))
        return
    for reason in made.left_out:
        print(f"warning: left out {reason}", file=sys.stderr)
    variants = sum(len(sweep.variants) for sweep in made.sweeps)
    several = "" if len(made.sweeps) == 1 else "s"
    print(f"report  {show_path(made.page)}  {variants} variants of {len(made.sweeps)} sweep{several}")


def report(words: Sequence[str], since: str | None) -> SweepReport:
    """The page of one sweep in its folder, or of several beside their folders.

    Raises UsageError for a sweep that is not there or cannot be read, and for a revision that git does not know.
    """
    named, outputs = take_root(words)
    root = Path(outputs) / FOLDER
    folders = [find_folder(word, root) for word in named] if named else list(folders_below(root))
    if not folders:
        raise UsageError(
            f"there is no sweep below {root}",
            where="command line",
            next_step="tflbuild -m +recipe=NAME key=a,b makes one; output_root=... looks in another place",
        )
    if not named and since is None:
        folders = folders[-1:]
    folders = list({folder.resolve(): folder for folder in folders}.values())
    sweeps = [read_record(folder / RECORD) for folder in folders]
    left_out: list[str] = []
    if since is not None:
        sweeps, left_out = choose_since(sweeps, since)
    store = Store(store_root())
    sweeps = [add_sensitivity(sweep, store) for sweep in sort_sweeps(sweeps)]
    place = folders[0] if len(folders) == 1 and since is None else root
    page, text = place / PAGE, sweep_page(sweeps)
    with disk_errors(root):
        if not page.is_file() or page.read_bytes() != text.encode():  # else the sweep would not find all as it left it
            write_page(place, PAGE, text)
    return SweepReport(page, tuple(sweeps), tuple(left_out))


def report_json(made: SweepReport) -> dict[str, Json]:
    """The same for programs."""
    sweeps = [
        {"id": one.id, "commit": one.git and one.git.commit, "variants": len(one.variants)} for one in made.sweeps
    ]
    return {"report": str(made.page), "sweeps": sweeps, "left_out": list(made.left_out)}


def take_root(words: Sequence[str]) -> tuple[list[str], str]:
    """(sweeps named, output folder)."""
    mark = "output_root="
    roots = [word.removeprefix(mark) for word in words if word.startswith(mark)]
    return [word for word in words if not word.startswith(mark)], roots[-1] if roots else OUTPUTS


def folders_below(root: Path) -> Iterator[Path]:
    """Every finished sweep's folder, the oldest first: names begin with the time."""
    return (path.parent for path in sorted(root.glob(f"*/{RECORD}")))


def find_folder(word: str, root: Path) -> Path:
    """The folder that a path or an id names. Raises UsageError where no sweep is."""
    for place in (Path(word), root / word):
        folder = place.parent if place.name == RECORD else place
        if (folder / RECORD).is_file():
            return folder
    there = Path(word).is_dir() or (root / word).is_dir()
    known = [folder.name for folder in folders_below(root)]
    raise UsageError(
        f"'{word}' has no {RECORD}" if there else f"there is no sweep '{word}'",
        where="command line",
        why=nearest(os.path.basename(word), known) or f"looked for a folder with a {RECORD}, here and in {root}",
        next_step=f"give an id or a folder; output_root=... looks elsewhere than in {root.parent}",
    )


def choose_since(sweeps: Sequence[SweepRecord], revision: str) -> tuple[list[SweepRecord], list[str]]:
    """(the sweeps made at a commit or after it, why the others are none). Raises UsageError when there is none."""
    first = find_commit(revision)
    answers = {sweep.git.commit: is_since(sweep.git.commit, first) for sweep in sweeps if sweep.git is not None}
    kept, left_out = [], []
    for sweep in sweeps:
        answer = None if sweep.git is None else answers[sweep.git.commit]
        if answer:
            kept.append(sweep)
        elif answer is None:
            why = "it has no commit" if sweep.git is None else f"git does not know its commit {sweep.git.short}"
            left_out.append(f"{sweep.id}: {why}")
    if not kept:
        raise UsageError(
            f"no sweep was made at {revision} or after it",
            where=f"command line: --since {revision}",
            why="\n".join([f"of {len(sweeps)} sweeps, {len(sweeps) - len(left_out)} are from before", *left_out]),
            next_step="an earlier revision, or name the sweeps",
        )
    return kept, left_out


def sort_sweeps(sweeps: Sequence[SweepRecord]) -> list[SweepRecord]:
    """By the place of their commits in history where git knows all of them, else by time."""
    commits = {sweep.git.commit for sweep in sweeps if sweep.git is not None}
    places = order_commits(commits) if len(commits) > 1 else {}

    def rank(sweep: SweepRecord) -> tuple[int, str]:
        known = sweep.git is not None and places.keys() >= commits
        return places[sweep.git.commit] if known and sweep.git is not None else -1, sweep.created

    return sorted(sweeps, key=rank)
