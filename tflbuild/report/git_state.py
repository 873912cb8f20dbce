"""Ask git about the current directory's repository without running what its configuration names.

The folder may be a stranger's. Its `.git/config` can name programs: a file system monitor, hooks, filters, transports.
`read_state` therefore shows git the repository's objects and index under a configuration of our own, with the user's.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 60
STATE_SECONDS = 10
SAFE = {
    "GIT_OPTIONAL_LOCKS": "0",  # writes no index, so no hook follows
    "GIT_ALLOW_PROTOCOL": "none",  # fetches no missing object, by whatever program
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
# An empty monitor is none in every version of git; versions before 2.36 take `false` for a program.
NO_PROGRAMS = ("-c", "core.fsmonitor=", "-c", f"core.hooksPath={os.devnull}")
# What decides how files are compared with the index. No value of these is the name of a program.
COMPARED_BY = r"^core\.(autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|trustctime|checkstat)$"
OBJECT_FORMAT = "extensions.objectformat"
WORD = re.compile(r"[a-z0-9]*", re.I)
DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def run_git(
    *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = TIMEOUT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Return a finished git command in the current directory. Raises OSError or subprocess.TimeoutExpired."""
    return subprocess.run(
        ["git", *NO_PROGRAMS, *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
        timeout=seconds,
        check=False,
        env={**os.environ, **SAFE, **(environment or {})},
    )


def read_state() -> dict[str, Any] | None:
    """Return the commit of the current directory's repository and whether tracked files differ; None without one."""
    try:
        with tempfile.TemporaryDirectory(prefix="tflbuild-git-") as folder:
            status = _run_status(Path(folder))
    except (OSError, subprocess.TimeoutExpired):
        return None
    if status is None or status.returncode != 0:
        return None
    lines = status.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid")), "")
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _run_status(folder: Path) -> subprocess.CompletedProcess[str] | None:
    """Return a finished `git status` of the repository, as seen from a git directory in `folder`."""
    asked = ("--show-toplevel", "--git-path", "objects", "--git-path", "index")
    located = run_git("rev-parse", *asked, seconds=STATE_SECONDS).stdout.split("\n")
    if len(located) != len(("top", "objects", "index", "")):
        return None
    top, objects, index = (os.path.abspath(path) for path in located[:3])
    head = run_git("rev-parse", "--verify", "--quiet", "HEAD", seconds=STATE_SECONDS).stdout.strip()
    (folder / "refs").mkdir()
    (folder / "HEAD").write_text(f"{head}\n" if DIGEST.fullmatch(head) else "ref: refs/heads/none\n")
    for shared in Path(index).parent.glob("sharedindex.*"):  # the larger part of a split index
        (folder / shared.name).symlink_to(shared)
    settings = _read_settings()
    extension = f"[extensions]\n objectformat = {settings.pop(OBJECT_FORMAT)}\n" if OBJECT_FORMAT in settings else ""
    version = 1 if extension else 0
    (folder / "config").write_text(f"[core]\n repositoryformatversion = {version}\n bare = false\n{extension}")
    place = {"GIT_DIR": str(folder), "GIT_WORK_TREE": top, "GIT_OBJECT_DIRECTORY": objects, "GIT_INDEX_FILE": index}
    return run_git(
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        *("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty"),
        environment=place,
        seconds=STATE_SECONDS,
    )


def _read_settings() -> dict[str, str]:
    """Return those of the repository's settings that decide how its files are compared, as plain words."""
    pattern = f"{COMPARED_BY}|^{re.escape(OBJECT_FORMAT)}$"
    listed = run_git("config", "-z", "--get-regexp", pattern, seconds=STATE_SECONDS).stdout
    pairs = (entry.partition("\n")[::2] for entry in listed.split("\0") if "\n" in entry)
    return {name: value for name, value in pairs if WORD.fullmatch(value)}
