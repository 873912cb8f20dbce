"""Steps beside the way from source to artifact: what it says of itself, and samples held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflbuild.core.digest import Json
from tflbuild.core.step import Input
from tflbuild.plan.parameters import SAMPLES
from tflbuild.resolve.inputs import file_role

if TYPE_CHECKING:
    from tflbuild.plan.planner import Variant


def add_metadata(variant: Variant) -> None:
    """Metadata are the last that touches the bytes: all that follows sees what is shipped."""
    metadata = variant.resolved.recipe.metadata
    if metadata is not None:
        inputs: dict[str, Input] = {"model": variant.artifact()}
        inputs["signature"] = variant.of("import", "signature.json", "signature")
        inputs |= {file_role(name): variant.file(file_role(name), file_role(name)) for name, _, _ in metadata.files}
        variant.add("annotate", "annotate", {"metadata": metadata.described}, inputs)


def add_overlaps(variant: Variant) -> None:
    """Train and test kept apart: random numbers are neither."""
    recipe = variant.resolved.recipe
    training = None if recipe.optimize is None else recipe.optimize.dataset
    sides = (("overlap", "calibration samples", recipe.dataset), ("training overlap", "training samples", training))
    for role, used, dataset in sides:
        kinds = {one.kind for one in (dataset, recipe.verify.dataset) if one is not None}
        if used in variant.goals and "evaluation samples" in variant.goals and "synthetic" not in kinds:
            inputs = {"used": variant.of(used, SAMPLES, "used")}
            inputs["evaluation"] = variant.of("evaluation samples", SAMPLES, "evaluation")
            variant.add(role, "compare_samples", {}, inputs)


ANDROID = "benchmark android"


def add_benchmark(variant: Variant, again: str = "") -> None:
    """What times the artifact; with `again` it is timed anew, whatever was found before."""
    benchmark = variant.resolved.recipe.benchmark
    inputs: dict[str, Input] = {"model": variant.artifact()}
    params: dict[str, Json] = {"host": variant.around.host, **({"again": again} if again else {})}
    if benchmark.kind == "host":
        inputs["signature"] = variant.of("import", "signature.json", "signature")
        params |= {**benchmark.options, **variant.run_params()}
        variant.add("benchmark", "benchmark", params, inputs)
    elif benchmark.kind == "android":
        target = {name: value for name, value in benchmark.options.items() if name != "runs"}
        params |= {"runs": benchmark.options["runs"], "target": target}
        variant.add(ANDROID, "benchmark_android", params, inputs)
