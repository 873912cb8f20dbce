"""Unit tests run no process but forks of this one: starting any is a mistake."""

import subprocess

import pytest
from hypothesis import settings

settings.register_profile("shared_machine", deadline=None)  # a busy machine is no failure
settings.load_profile("shared_machine")


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f"a unit test started a process: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """The current directory is an empty one."""
    monkeypatch.chdir(tmp_path)
