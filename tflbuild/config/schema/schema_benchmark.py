"""The schema of benchmarks.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class AndroidDelegate(Enum):
    """The delegate that runs the operators on an Android device."""

    xnnpack = "xnnpack"
    none = "none"
    gpu = "gpu"


@dataclass
class BenchmarkConfig:
    """No timing."""

    kind: str = "none"


@dataclass
class HostBenchmark(BenchmarkConfig):
    """Latency of the artifact on this host, after warm-up; it says nothing about another device."""

    kind: str = "host"
    runs: int = 200
    """Timed inferences, at least."""
    warmup: int = 20
    """Inferences before timing starts, at least."""
    precision: float = 0.02
    """How near the ends of the median's 95 % interval must lie to it, as a share of it; it is timed until they do."""
    most_seconds: float = 30.0
    """Most time for warming up and timing."""


@dataclass
class AndroidBenchmark(BenchmarkConfig):
    """Latency on an Android device over adb, by its build of TFLite's benchmark_model; see docs/benchmarking.md."""

    kind: str = "android"
    runs: int = 50
    """Timed inferences, at least."""
    delegate: AndroidDelegate = AndroidDelegate.xnnpack
    """What runs the operators on the device: `xnnpack`, `none` or `gpu`."""
    threads: int = 1
    """Threads of the interpreter there."""
    serial: str = ""
    """Which device, where several are attached; empty: the only one."""
    benchmark_binary: str = ""
    """An Android build of benchmark_model to send there; empty: /data/local/tmp/benchmark_model on the device."""
    adb: str = ""
    """The program; empty: the one on PATH."""
