"""The command `report`: write pages of sweeps anew from their records."""

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
    """A page that was written anew, its sweeps, and why other sweeps were left out."""

    page: Path
    sweeps: tuple[SweepRecord, ...]
    left_out: tuple[str, ...]


def show_report(options: argparse.Namespace) -> None:
    """Run the command `report`.

    Raises:
        UsageError: for a flag that has no effect here, for a sweep that does not exist, or for an unknown revision.
    """
    for flag in OTHER_FLAGS:
        if getattr(options, flag):
            raise UsageError(
                f"report takes no --{flag.replace('_', '-')}", where="command line", next_step=REPORT_USAGE
            )
    written = report(options.overrides[1:], options.since)
    if options.json:
        print(json.dumps(report_json(written), indent=2))
        return
    for reason in written.left_out:
        print(f"warning: left out {reason}", file=sys.stderr)
    variants = sum(len(sweep.variants) for sweep in written.sweeps)
    several = "" if len(written.sweeps) == 1 else "s"
    print(f"report  {show_path(written.page)}  {variants} variants of {len(written.sweeps)} sweep{several}")


def report(words: Sequence[str], since: str | None) -> SweepReport:
    """Write the page of one sweep into its folder, or the page of several sweeps next to their folders.

    Args:
        words: Ids, folders or records of sweeps, and `output_root=FOLDER`. Without a sweep, the latest one is used.
        since: A git revision. Sweeps from before it are left out. None means no limit.

    Raises:
        UsageError: for a sweep that does not exist or cannot be read, and for a revision that git does not know.
    """
    sweep_names, output_root = split_output_root(words)
    root = Path(output_root) / FOLDER
    folders = [find_folder(word, root) for word in sweep_names] if sweep_names else list(find_sweep_folders(root))
    if not folders:
        raise UsageError(
            f"there is no sweep below {root}",
            where="command line",
            next_step="tflbuild -m +recipe=NAME key=a,b makes one; output_root=... names another folder",
        )
    if not sweep_names and since is None:
        folders = folders[-1:]
    folders = list({folder.resolve(): folder for folder in folders}.values())
    sweeps = [read_record(folder / RECORD) for folder in folders]
    left_out: list[str] = []
    if since is not None:
        sweeps, left_out = choose_since(sweeps, since)
    store = Store(store_root())
    sweeps = [add_sensitivity(sweep, store) for sweep in sort_sweeps(sweeps)]
    folder = folders[0] if len(folders) == 1 and since is None else root
    page, text = folder / PAGE, sweep_page(sweeps)
    with disk_errors(root):
        # An unchanged page keeps its time stamp: otherwise, the next run of the sweep would not be an unchanged build.
        if not page.is_file() or page.read_bytes() != text.encode():
            write_page(folder, PAGE, text)
    return SweepReport(page, tuple(sweeps), tuple(left_out))


def report_json(written: SweepReport) -> dict[str, Json]:
    """Return a report as JSON: the path of the page, its sweeps, and the sweeps that were left out."""
    sweeps = [
        {"id": sweep.id, "commit": sweep.git and sweep.git.commit, "variants": len(sweep.variants)}
        for sweep in written.sweeps
    ]
    return {"report": str(written.page), "sweeps": sweeps, "left_out": list(written.left_out)}


def split_output_root(words: Sequence[str]) -> tuple[list[str], str]:
    """Split the words of the command line into sweeps and the output folder."""
    prefix = "output_root="
    roots = [word.removeprefix(prefix) for word in words if word.startswith(prefix)]
    return [word for word in words if not word.startswith(prefix)], roots[-1] if roots else OUTPUTS


def find_sweep_folders(root: Path) -> Iterator[Path]:
    """Return the folders of all finished sweeps, the oldest first. Their names begin with the time."""
    return (path.parent for path in sorted(root.glob(f"*/{RECORD}")))


def find_folder(word: str, root: Path) -> Path:
    """Return the folder of a sweep.

    Args:
        word: An id, the path of a folder, or the path of a record.
        root: The folder that contains the folders of sweeps.

    Raises:
        UsageError: for a folder without a sweep.
    """
    for candidate in (Path(word), root / word):
        folder = candidate.parent if candidate.name == RECORD else candidate
        if (folder / RECORD).is_file():
            return folder
    folder_exists = Path(word).is_dir() or (root / word).is_dir()
    known_ids = [folder.name for folder in find_sweep_folders(root)]
    raise UsageError(
        f"'{word}' has no {RECORD}" if folder_exists else f"there is no sweep '{word}'",
        where="command line",
        why=nearest(os.path.basename(word), known_ids) or f"looked for a folder with a {RECORD}, here and in {root}",
        next_step=f"give an id or a folder; output_root=... names another folder than {root.parent}",
    )


def choose_since(sweeps: Sequence[SweepRecord], revision: str) -> tuple[list[SweepRecord], list[str]]:
    """Select the sweeps that were made at a commit or after it.

    Args:
        sweeps: All sweeps.
        revision: A git revision.

    Returns:
        The selected sweeps, and a line for each sweep whose age git does not know.

    Raises:
        UsageError: for an unknown revision, or if no sweep is selected.
    """
    first = find_commit(revision)
    answers = {sweep.git.commit: is_since(sweep.git.commit, first) for sweep in sweeps if sweep.git is not None}
    selected, left_out = [], []
    for sweep in sweeps:
        answer = None if sweep.git is None else answers[sweep.git.commit]
        if answer:
            selected.append(sweep)
        elif answer is None:
            reason = "it has no commit" if sweep.git is None else f"git does not know its commit {sweep.git.short}"
            left_out.append(f"{sweep.id}: {reason}")
    if not selected:
        raise UsageError(
            f"no sweep was made at {revision} or after it",
            where=f"command line: --since {revision}",
            why="\n".join([f"of {len(sweeps)} sweeps, {len(sweeps) - len(left_out)} are from before", *left_out]),
            next_step="an earlier revision, or name the sweeps",
        )
    return selected, left_out


def sort_sweeps(sweeps: Sequence[SweepRecord]) -> list[SweepRecord]:
    """Return sweeps in the order of their commits if git knows all of them, otherwise in the order of their times."""
    commits = {sweep.git.commit for sweep in sweeps if sweep.git is not None}
    positions = order_commits(commits) if len(commits) > 1 else {}

    def rank(sweep: SweepRecord) -> tuple[int, str]:
        comparable = sweep.git is not None and positions.keys() >= commits
        return positions[sweep.git.commit] if comparable and sweep.git is not None else -1, sweep.created

    return sorted(sweeps, key=rank)
