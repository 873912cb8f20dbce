"""The state of a stranger's git repository is read without running a program that its configuration names."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from needs import require

from tflbuild.report.git_state import read_state
from tflbuild.report.sweeps.git_history import is_since, order_commits


def git(folder, *arguments):
    """Run git as a person would."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 or arguments[0] == "status", done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, which is the current directory."""
    require("git", shutil.which("git"), "git")
    for name, value in {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_commit(folder)
    return folder


def make_commit(folder, *options):
    git(folder, "init", "-q", *options)
    (folder / "recipe.yaml").write_text("a: 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")


def plant(folder, name):
    """Have the repository's configuration run a program, which leaves a file."""
    program, end = folder.parent / "program.sh", "exit 1" if name == "missing object" else "cat"
    program.write_text(f"#!/bin/sh\ntouch {folder.parent}/ran\n{end}\n")
    program.chmod(0o755)
    if name == "monitor":
        git(folder, "config", "core.fsmonitor", str(program))
    elif name in ("filter", "filter process"):
        git(folder, "config", "filter.x.process" if "process" in name else "filter.x.clean", str(program))
        (folder / ".git" / "info" / "attributes").write_text("* filter=x\n")
        (folder / ".gitattributes").write_text("* filter=x\n")
    elif name == "hook":
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        shutil.copy(program, folder / ".git" / "hooks" / "post-index-change")
    elif name == "hooks elsewhere":
        hooks = folder.parent / "hooks"
        hooks.mkdir()
        shutil.copy(program, hooks / "post-index-change")
        git(folder, "config", "core.hooksPath", str(hooks))
    elif name == "included":
        (folder / "more").write_text(f"[core]\n fsmonitor = {program}\n")
        git(folder, "config", "include.path", "../more")
    elif name == "submodule":
        make_commit_in = folder / "inner"
        make_commit_in.mkdir()
        make_commit(make_commit_in)
        git(folder, "add", "inner")
        git(folder, "commit", "-q", "-m", "second")
        git(make_commit_in, "config", "core.fsmonitor", str(program))
    elif name == "missing object":
        git(folder, "config", "remote.origin.url", f"ext::{program}")
        git(folder, "config", "remote.origin.promisor", "true")
        git(folder, "config", "protocol.ext.allow", "always")
        git(folder, "config", "extensions.partialClone", "origin")
        tree = git(folder, "rev-parse", "HEAD^{tree}")
        (folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()


PLANTED = (
    *("monitor", "filter", "filter process", "hook", "hooks elsewhere", "included", "submodule", "missing object"),
)


@pytest.mark.parametrize("name", PLANTED)
def test_no_program_of_a_foreign_repository_runs(repository, name):
    plant(repository, name)
    commit = git(repository, "rev-parse", "HEAD")
    later = (repository / "recipe.yaml").stat().st_mtime + 60
    os.utime(repository / "recipe.yaml", (later, later))
    state = read_state()
    assert is_since(commit, commit) and order_commits([commit]) == {commit: 0 if name != "submodule" else 1}
    assert not (repository.parent / "ran").exists()
    assert state is None if name == "missing object" else state == {"commit": commit, "dirty": False}
    git(repository, "status")
    assert (repository.parent / "ran").exists(), "what was planted does nothing, even to git itself"


def test_the_commit_and_whether_tracked_files_differ(repository):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "untracked").write_text("")
    assert read_state() == {"commit": commit, "dirty": False}
    (repository / "recipe.yaml").write_text("a: 2\n")
    (repository / "below").mkdir()
    os.chdir(repository / "below")
    assert read_state() == {"commit": commit, "dirty": True}
    git(repository, "add", "recipe.yaml")
    assert read_state() == {"commit": commit, "dirty": True}, "staged"
    git(repository, "commit", "-q", "-m", "second")
    git(repository, "update-index", "--split-index")
    assert read_state() == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    git(repository, "worktree", "add", "-q", "../other")
    os.chdir(repository.parent / "other")
    assert read_state() == {"commit": git(".", "rev-parse", "HEAD"), "dirty": False}
    os.chdir(repository.parent)
    assert read_state() is None


def test_settings_that_decide_how_files_compare_are_kept(repository):
    file = repository / "recipe.yaml"
    file.chmod(0o755)
    assert read_state()["dirty"]
    git(repository, "config", "core.filemode", "false")
    assert not read_state()["dirty"]
    git(repository, "config", "core.autocrlf", "true")
    file.unlink()
    git(repository, "checkout", "-q", "recipe.yaml")
    assert file.read_bytes() == b"a: 1\r\n"
    os.utime(file, (1, 1))
    assert not read_state()["dirty"]


def test_repositories_of_other_forms(repository, tmp_path):
    shutil.rmtree(repository / ".git")
    git(repository, "init", "-q")
    assert read_state()["commit"] == "(initial)"
    shutil.rmtree(repository / ".git")
    make_commit(repository, "--object-format=sha256")
    assert read_state() == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}


def test_a_commit_in_a_foreign_record_is_no_option(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert is_since("--all", commit) is None and order_commits(["--all", "--stdin"]) == {}
