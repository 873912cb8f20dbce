"""Identity of this machine: its CPU and its host.

This module imports only the standard library, because an unchanged build uses it and must start fast.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from hashlib import sha256
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Only the first cores are read. On a server with 128 cores, the kernel needs 10 ms for the whole file.
MOST_BYTES = 16 << 10
NAMES = ("model name", "Hardware")
# Libraries choose kernels by the instruction sets. Vendor and model decide the results of approximate instructions.
DECISIVE = (
    *("vendor_id", "cpu family", "model", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
)


def read_cpuinfo() -> dict[str, set[str]]:
    """Return the values of each line of /proc/cpuinfo by name; cores may differ. Empty where there is no such file."""
    try:
        with open(CPUINFO, "rb") as file:
            lines = file.read(MOST_BYTES).decode(errors="replace").split("\n")[:-1]
    except OSError:
        return {}
    values: dict[str, set[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        values.setdefault(name.strip(), set()).add(" ".join(sorted(value.split())))
    return values


def name_cpu() -> str:
    """Return the name of the CPU, "" if the platform has none."""
    try:
        with open(CPUINFO, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(NAMES):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


@cache
def describe_cpu() -> str:
    """Return the CPU as in cache keys and manifests: its name, and a digest of what results depend on.

    The digest is over vendor, model and instruction sets, so two CPUs with equal descriptions compute the same
    results. If the platform does not report them, the name of the host is used instead.
    """
    values = read_cpuinfo()
    decisive = {name: sorted(values[name]) for name in DECISIVE if name in values} or platform.node()
    digest = sha256(repr((platform.machine(), decisive)).encode()).hexdigest()
    return f"{name_cpu() or platform.machine()} ({digest[:12]})"


@cache
def name_host() -> str:
    """Return the identity of this host for host-specific figures: name, CPU model and number of cores."""
    cores = len(os.sched_getaffinity(0))
    return f"{platform.node()}, {name_cpu() or platform.machine()}, {cores} cores"


PARTS = {"cpu": describe_cpu, "host": name_host}
