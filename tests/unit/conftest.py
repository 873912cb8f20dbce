"""Unit tests run no process but forks of this one: starting any is a mistake."""

import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f"a unit test started a process: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
