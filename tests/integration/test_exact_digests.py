"""The exact functions and operators come to the same digests under emulated CPUs."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_program

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 CPUs on an x86-64 host"),
    needs_program("qemu-x86_64"),
]

BATTERY = Path(__file__).parents[1] / "exact_battery.py"


@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell", "EPYC"])
def test_an_emulated_cpu_comes_to_the_same_digests(cpu):
    run = subprocess.run(
        ["qemu-x86_64", "-cpu", cpu, sys.executable, str(BATTERY)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
