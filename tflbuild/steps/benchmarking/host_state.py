"""Properties and load of this host, recorded with the figures that were measured on it.

They are read from files of Linux. A property that cannot be read is "" or None: a virtual machine has no governor, and
a container may hide others.
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
    """Return the name of the CPU, or its architecture if it has none, as on most Arm boards."""
    return _field("model name") or _field("Hardware") or platform.machine()


def cores() -> int:
    """Return the number of cores on which this process may run."""
    return len(os.sched_getaffinity(0))


def device() -> str:
    """Return the name of this host: `this host: NAME, N cores`."""
    count = cores()
    return f"this host: {cpu_model()}, {count} core{'' if count == 1 else 's'}"


def is_x86() -> bool:
    """Return whether kernels on this host are those of PCs, not of phones."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686", "i386")


def environment() -> dict[str, Json]:
    """Return the properties of this host and its present state."""
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
    """Return the present clock of the first core in MHz, or None if the kernel does not report it."""
    kilohertz = _read(CPUFREQ / "scaling_cur_freq")
    return int(kilohertz) / 1000 if kilohertz.isdigit() else None


@dataclass(frozen=True)
class Disturbance:
    """Counters of CPU time that others used instead of this process."""

    preemptions: int
    stolen_ticks: int

    def since(self) -> dict[str, Json]:
        """Return the difference since these counters were read.

        `preemptions` is how often another process ran instead, and `stolen_s` the time that the hypervisor took on all
        cores.
        """
        now = disturbance()
        ticks = os.sysconf("SC_CLK_TCK")
        return {
            "preemptions": now.preemptions - self.preemptions,
            "stolen_s": (now.stolen_ticks - self.stolen_ticks) / ticks,
        }


def disturbance() -> Disturbance:
    """Return the present counters."""
    fields = _read(Path("/proc/stat")).split("\n")[0].split()
    stolen = int(fields[8]) if len(fields) > 8 else 0
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
