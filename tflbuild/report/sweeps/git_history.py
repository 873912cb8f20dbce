"""What git knows of the commits that sweeps were made at. Nothing here changes a repository."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from tflbuild.errors import MachineError, UsageError
from tflbuild.report.git_state import DIGEST, run_git


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return a finished git command. Raises MachineError where git is missing, or does not end."""
    try:
        return run_git(*arguments)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(
            "git cannot be asked", where="command line: --since", why=str(error), next_step="install git"
        ) from None


def find_commit(revision: str) -> str:
    """The commit that a revision means. Raises UsageError for one that there is not."""
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    commit = found.stdout.strip()
    if found.returncode == 0 and commit:
        return commit
    here = git("rev-parse", "--git-dir").returncode == 0
    raise UsageError(
        f"--since: git knows no commit '{revision}'" if here else "--since needs a git repository, and here is none",
        where=f"command line: --since {revision}",
        why="" if here else "it picks the sweeps that were made at that commit or after it",
        next_step="git log --oneline lists them" if here else "run it in the project's folder, or name the sweeps",
    )


def is_since(commit: str, first: str) -> bool | None:
    """Whether a commit is `first` or comes after it, None for one that this repository does not have."""
    if not DIGEST.fullmatch(commit):  # of a record that may be a stranger's: anything else could be an option
        return None
    found = git("merge-base", "--is-ancestor", first, commit)
    return {0: True, 1: False}.get(found.returncode)


def order_commits(commits: Iterable[str]) -> dict[str, int]:
    """Commit -> its place in history, ancestors first; those that this repository does not have are left out."""
    wanted = sorted({commit for commit in commits if DIGEST.fullmatch(commit)})
    try:
        listed = git("rev-list", "--topo-order", "--reverse", "--ignore-missing", *wanted, "--") if wanted else None
    except MachineError:
        return {}
    lines = listed.stdout.split() if listed is not None and listed.returncode == 0 else []
    return {commit: place for place, commit in enumerate(lines) if commit in wanted}
