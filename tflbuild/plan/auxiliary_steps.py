"""Steps next to the main pipeline: TFLite Metadata, comparison of datasets, and benchmarks."""

from __future__ import annotations

from tflbuild.core.digest import Json
from tflbuild.core.step import Input
from tflbuild.plan.plan_builder import PlanBuilder
from tflbuild.plan.step_parameters import SAMPLES
from tflbuild.resolve.input_digests import file_role


def add_metadata(builder: PlanBuilder) -> None:
    """Add the step that writes TFLite Metadata, if the recipe has some.

    It is the last step that changes the artifact, so all later steps examine the delivered bytes.
    """
    metadata = builder.resolved.recipe.metadata
    if metadata is not None:
        inputs: dict[str, Input] = {"model": builder.artifact()}
        inputs["signature"] = builder.step_input("import", "signature.json", "signature")
        inputs |= metadata_files(builder)
        builder.add("annotate", "annotate", {"metadata": metadata.described}, inputs)


def metadata_files(builder: PlanBuilder) -> dict[str, Input]:
    """Return the files of the recipe's metadata as inputs of a step."""
    metadata = builder.resolved.recipe.metadata
    assert metadata is not None
    return {file_role(name): builder.file_input(file_role(name), file_role(name)) for name, _, _ in metadata.files}


def add_overlaps(builder: PlanBuilder) -> None:
    """Add the steps that look for evaluation samples among the calibration samples and the training samples.

    Synthetic datasets are not compared, because random numbers are no real samples.
    """
    recipe = builder.resolved.recipe
    training = None if recipe.optimize is None else recipe.optimize.dataset
    sides = (("overlap", "calibration samples", recipe.dataset), ("training overlap", "training samples", training))
    for role, sample_role, dataset in sides:
        kinds = {compared.kind for compared in (dataset, recipe.verify.dataset) if compared is not None}
        if sample_role in builder.goals and "evaluation samples" in builder.goals and "synthetic" not in kinds:
            inputs = {"used": builder.step_input(sample_role, SAMPLES, "used")}
            inputs["evaluation"] = builder.step_input("evaluation samples", SAMPLES, "evaluation")
            builder.add(role, "compare_samples", {}, inputs)


ANDROID = "benchmark android"


def add_benchmark(builder: PlanBuilder, again: str = "") -> None:
    """Add the step that measures the latency of the artifact, if the recipe has a benchmark.

    `again` becomes a part of the cache key, so that an earlier measurement is not a cache hit.
    """
    benchmark = builder.resolved.recipe.benchmark
    inputs: dict[str, Input] = {"model": builder.artifact()}
    params: dict[str, Json] = {"host": builder.environment.host, **({"again": again} if again else {})}
    if benchmark.kind == "host":
        inputs["signature"] = builder.step_input("import", "signature.json", "signature")
        params |= {**benchmark.options, **builder.interpreter_parameters()}
        builder.add("benchmark", "benchmark", params, inputs)
    elif benchmark.kind == "android":
        target = {name: value for name, value in benchmark.options.items() if name != "runs"}
        params |= {"runs": benchmark.options["runs"], "target": target, "again": again or builder.environment.session}
        builder.add(ANDROID, "benchmark_android", params, inputs)
