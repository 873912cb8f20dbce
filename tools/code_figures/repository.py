"""Read revisions and commits with git."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections import defaultdict
from pathlib import Path

from code_figures.source import Settings
from code_figures.steps import History

MARK = "commit "


def export_revision(repository: Path, revision: str, folder: Path) -> None:
    """Write the files of a revision into a folder.

    Raises:
        subprocess.CalledProcessError: git knows no such revision; its message is in `stderr`.
    """
    archive = run_git(repository, "archive", "--format=tar", revision)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(folder, filter="data")


def read_history(repository: Path, revision: str, settings: Settings) -> History:
    """Return the commits of a revision, and those that changed a file which declares steps.

    Raises:
        subprocess.CalledProcessError: git knows no such revision, or this is no repository.
    """
    commits = run_git(repository, "rev-list", revision).decode().split()
    patterns = [f":(top,glob){settings.package}/{pattern}" for pattern in settings.step_patterns]
    log = run_git(repository, "log", f"--format={MARK}%H", "--name-only", revision, "--", *patterns)
    return History(tuple(commits), parse_log(log.decode()))


def parse_log(log: str) -> dict[str, tuple[str, ...]]:
    """Return the commits of each file, from the output of `git log --format="commit %H" --name-only`."""
    touching = defaultdict(list)
    commit = ""
    for line in log.splitlines():
        if line.startswith(MARK):
            commit = line.removeprefix(MARK)
        elif line:
            touching[line].append(commit)
    return {path: tuple(commits) for path, commits in touching.items()}


def run_git(repository: Path, *arguments: str) -> bytes:
    """Return what a git command prints. Raises subprocess.CalledProcessError if it fails."""
    return subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True).stdout
