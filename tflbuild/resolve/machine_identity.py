"""What tells this machine from another: its CPU and its host. Imports the standard library alone."""

from __future__ import annotations

import os
import platform
from functools import cache
from hashlib import sha256
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
MOST_BYTES = 16 << 10  # the first cores; the file of a server with 128 cores takes the kernel 10 ms
NAMES = ("model name", "Hardware")
# Libraries choose kernels by the instruction sets. Vendor and model decide what an approximate instruction gives.
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
    """Return what the platform calls the CPU, "" where it has no name for it."""
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
    """Return the CPU as keys and manifests name it: a name to read, and a digest of what results depend on.

    The digest covers vendor, model and instruction sets: two CPUs with one description compute the same. Where the
    platform does not tell them, the host stands for its CPU.
    """
    values = read_cpuinfo()
    decisive = {name: sorted(values[name]) for name in DECISIVE if name in values} or platform.node()
    digest = sha256(repr((platform.machine(), decisive)).encode()).hexdigest()
    return f"{name_cpu() or platform.machine()} ({digest[:12]})"


@cache
def name_host() -> str:
    """Return what tells this host from another where figures depend on it: name, CPU model, core count."""
    cores = len(os.sched_getaffinity(0))
    return f"{platform.node()}, {name_cpu() or platform.machine()}, {cores} cores"


PARTS = {"cpu": describe_cpu, "host": name_host}
