"""Find out the order of the commits of sweeps. Nothing here changes a repository."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from tflbuild.errors import MachineError, UsageError
from tflbuild.report.git_state import DIGEST, run_git


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a git command and return its result.

    Raises:
        MachineError: if git is not installed, or does not end.
    """
    try:
        return run_git(*arguments)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(
            "git cannot be run", where="command line: --since", why=str(error), next_step="install git"
        ) from None


def find_commit(revision: str) -> str:
    """Return the commit of a revision.

    Raises:
        UsageError: for a revision that does not exist.
    """
    result = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    commit = result.stdout.strip()
    if result.returncode == 0 and commit:
        return commit
    in_repository = git("rev-parse", "--git-dir").returncode == 0
    raise UsageError(
        f"--since: git knows no commit '{revision}'" if in_repository else "--since needs a git repository",
        where=f"command line: --since {revision}",
        why="" if in_repository else "it selects the sweeps that were made at that commit or after it",
        next_step="git log --oneline lists them"
        if in_repository
        else "run it in the project's folder, or name the sweeps",
    )


def is_since(commit: str, first: str) -> bool | None:
    """Return whether a commit is `first` or a descendant of it; None if the repository does not have the commit."""
    # The commit may come from an untrusted record: a text other than a digest could be an option of git.
    if not DIGEST.fullmatch(commit):
        return None
    result = git("merge-base", "--is-ancestor", first, commit)
    return {0: True, 1: False}.get(result.returncode)


def order_commits(commits: Iterable[str]) -> dict[str, int]:
    """Return commit -> its position in history, ancestors first.

    Commits that the repository does not have are left out.
    """
    valid_commits = sorted({commit for commit in commits if DIGEST.fullmatch(commit)})
    try:
        listed = (
            git("rev-list", "--topo-order", "--reverse", "--ignore-missing", *valid_commits, "--")
            if valid_commits
            else None
        )
    except MachineError:
        return {}
    lines = listed.stdout.split() if listed is not None and listed.returncode == 0 else []
    return {commit: index for index, commit in enumerate(lines) if commit in valid_commits}
