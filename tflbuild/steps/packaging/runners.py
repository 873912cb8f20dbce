"""Programs that feed the artifact, in four languages: for an app's author to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tflbuild.steps.packaging import runner_cc, runner_kotlin, runner_python, runner_swift
from tflbuild.steps.packaging.runner_contract import read_contract

RUNNERS = {
    "runner.py": runner_python.render,
    "Runner.kt": runner_kotlin.render,
    "Runner.swift": runner_swift.render,
    "runner.cc": runner_cc.render,
}


def write_runners(folder: Path, title: str, contents: Mapping[str, Any]) -> None:
    """One file for each language, for the artifact whose check.json `contents` are."""
    contract = read_contract(title, contents)
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in RUNNERS.items():
        (folder / name).write_text(render(contract), encoding="utf-8")
