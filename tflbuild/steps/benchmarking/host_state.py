"""This host, as a record beside figures that were measured on it: what it is, and how busy it was. Linux's own files.

What cannot be read is "" or None: a virtual machine has no governor, a container may hide much.
"""

from __future__ import annotations

import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path

from tflbuild.core.digest import Json

CPUINFO = Path("/proc/cpuinfo")
CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def cpu_model() -> str:
    """The CPU's name, its architecture where it tells none (as most ARM boards)."""
    return _field("model name") or _field("Hardware") or platform.machine()


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0))


def device() -> str:
    """`this host: NAME, N cores`."""
    count = cores()
    return f"this host: {cpu_model()}, {count} core{'' if count == 1 else 's'}"


def is_x86() -> bool:
    """Whether kernels here are those of PCs, not of phones."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686", "i386")


def environment() -> dict[str, Json]:
    """What this host is, and its state now."""
    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "cores": cores(),
        "kernel": platform.release(),
        "virtual": "hypervisor" in _field("flags").split(),
        "governor": _read(CPUFREQ / "scaling_governor"),
        "load_average": os.getloadavg()[0],
        "mhz": frequency(),
    }


def frequency() -> float | None:
    """The first core's clock in MHz, now; None where the kernel does not tell, as in most virtual machines."""
    told = _read(CPUFREQ / "scaling_cur_freq")
    return int(told) / 1000 if told.isdigit() else None


@dataclass(frozen=True)
class Disturbance:
    """What took the CPU away from this process since it began to be counted."""

    preemptions: int
    stolen_ticks: int

    def since(self) -> dict[str, Json]:
        """`preemptions`: how often another process was run instead; `stolen_s`: what the hypervisor took, all cores."""
        now = disturbance()
        ticks = os.sysconf("SC_CLK_TCK")
        return {
            "preemptions": now.preemptions - self.preemptions,
            "stolen_s": (now.stolen_ticks - self.stolen_ticks) / ticks,
        }


def disturbance() -> Disturbance:
    """As it is now."""
    told = _read(Path("/proc/stat")).split("\n")[0].split()
    stolen = int(told[8]) if len(told) > 8 else 0
    return Disturbance(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, stolen)


def _field(name: str) -> str:
    for line in _read(CPUINFO).split("\n"):
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
