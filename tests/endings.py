"""Every way in which a variant may end, as samples that a function gives; and how a sweep over them must look."""

from __future__ import annotations

from commandline import Project, Ran

SAMPLES = """\
import os, signal, sys

import numpy as np

def give(how):
    if how == "raise":
        raise ValueError("no samples today")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "memory":
        bytearray(1 << 50)
    while how == "loop":
        pass
    for number in range(4):
        yield {"image": np.full((28, 28, 1), number / 4, np.float32)}
"""
RECIPE = """\
defaults: [{override /source: tflite}, {override /quantization: int8}, {override /dataset: callable}]
source: {path: float.tflite}
dataset: {call: 'samples.py:give', arguments: {how: good}}
"""
REASONS = {
    "raise": "no samples today",
    "exit": "sys.exit(3)",
    "kill": "SIGKILL",
    "segv": "SIGSEGV",
    "memory": "MemoryError",
    "loop": "longer than 8 s",
}
ENDS = ",".join(["good", *REASONS, "fine"])
SWEEP = ("-m", "recipe=fragile", f"dataset.arguments.how={ENDS}", "--timeout", "8")


def write_fragile(project: Project) -> Project:
    """A recipe `fragile` in a project that has a `float.tflite`."""
    project.write("samples.py", SAMPLES)
    project.write("recipes/fragile.yaml", RECIPE)
    return project


def assert_every_end_is_told(project: Project, done: Ran) -> None:
    """Those that could be built are, and the others are rows with their reasons."""
    assert done.code == 1, done.err
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines() if line.startswith("how="))
    assert [rows.pop(f"how={how}").split()[0] for how in ("good", "fine")] == ["unverified"] * 2
    assert set(rows) == {f"how={how}" for how in REASONS}
    assert all(text.startswith("failed in calibration samples") for text in rows.values()), rows
    for reason in REASONS.values():
        assert reason in done.err
    assert f"2 of {2 + len(REASONS)} variants in outputs/fragile/, {len(REASONS)} failed" in done.out
    built = {path.parent.name for path in project.folder.rglob("model.tflite")}
    assert built == {"dataset.arguments.how=good", "dataset.arguments.how=fine"}
