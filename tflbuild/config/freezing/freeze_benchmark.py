"""Schema -> Recipe, the part that says what is timed."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from pathlib import Path

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import schema_benchmark as schema
from tflbuild.core.recipe import Benchmark
from tflbuild.locations import locate

AT_LEAST = {"runs": 10, "warmup": 0, "most_seconds": 0.1, "threads": 1}
WHY = {"runs": "at least 10, for a 90th percentile"}


def freeze_benchmark(benchmark: schema.BenchmarkConfig, refusals: RecipeErrors) -> Benchmark:
    """What is timed and how. Raises RecipeError for a number out of range."""
    told = {spec.name: getattr(benchmark, spec.name) for spec in fields(benchmark) if spec.name != "kind"}
    told = {name: value.value if isinstance(value, Enum) else value for name, value in told.items()}
    for name, least in AT_LEAST.items():
        if name in told:
            rule = WHY.get(name, f"at least {least:g}")
            refusals.require(told[name] >= least, f"benchmark.{name}", told[name], rule)
    if "precision" in told:
        holds = 0 < told["precision"] < 1
        refusals.require(holds, "benchmark.precision", told["precision"], "a share between 0 and 1")
    for name in ("benchmark_binary", "adb"):
        if told.get(name) and (name != "adb" or "/" in told[name]):
            told[name] = str(locate(told[name]).absolute())
    if "/" in told.get("adb", ""):  # it runs without confinement
        own = Path(told["adb"]).resolve().is_relative_to(Path.cwd().resolve())
        refusals.require(not own, "benchmark.adb", told["adb"], "a program outside of the project, or one on PATH")
    return Benchmark(kind=benchmark.kind, options=told)
