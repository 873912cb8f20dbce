"""Freeze the section of a recipe that describes the benchmark."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from pathlib import Path

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import schema_benchmark as schema
from tflbuild.core.recipe import Benchmark
from tflbuild.locations import locate

AT_LEAST = {"runs": 10, "warmup": 0, "most_seconds": 0.1, "threads": 1}
RULE_TEXTS = {"runs": "at least 10, for a 90th percentile"}


def freeze_benchmark(benchmark: schema.BenchmarkConfig, refusals: RecipeErrors) -> Benchmark:
    """Return the benchmark.

    Raises:
        RecipeError: for a number out of range, and for a program in the project.
    """
    options = {spec.name: getattr(benchmark, spec.name) for spec in fields(benchmark) if spec.name != "kind"}
    options = {name: value.value if isinstance(value, Enum) else value for name, value in options.items()}
    for name, minimum in AT_LEAST.items():
        if name in options:
            rule = RULE_TEXTS.get(name, f"at least {minimum:g}")
            refusals.require(options[name] >= minimum, f"benchmark.{name}", options[name], rule)
    if "precision" in options:
        is_fraction = 0 < options["precision"] < 1
        refusals.require(is_fraction, "benchmark.precision", options["precision"], "a share between 0 and 1")
    for name in ("benchmark_binary", "adb"):
        if options.get(name) and (name != "adb" or "/" in options[name]):
            options[name] = str(locate(options[name]).absolute())
    # adb runs without confinement, so an untrusted project may not name a program of its own.
    if "/" in options.get("adb", ""):
        is_in_project = Path(options["adb"]).resolve().is_relative_to(Path.cwd().resolve())
        refusals.require(
            not is_in_project, "benchmark.adb", options["adb"], "a program outside of the project, or one on PATH"
        )
    return Benchmark(kind=benchmark.kind, options=options)
