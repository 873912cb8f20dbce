"""Steps beside the way from source to artifact: what it says of itself, and samples held against each other."""

from __future__ import annotations

from tflbuild.core.digest import Json
from tflbuild.core.step import Input
from tflbuild.plan.plan_builder import PlanBuilder
from tflbuild.plan.step_parameters import SAMPLES
from tflbuild.resolve.input_digests import file_role


def add_metadata(draft: PlanBuilder) -> None:
    """Metadata are the last that touches the bytes: all that follows sees what is shipped."""
    metadata = draft.resolved.recipe.metadata
    if metadata is not None:
        inputs: dict[str, Input] = {"model": draft.artifact()}
        inputs["signature"] = draft.of("import", "signature.json", "signature")
        inputs |= metadata_files(draft)
        draft.add("annotate", "annotate", {"metadata": metadata.described}, inputs)


def metadata_files(draft: PlanBuilder) -> dict[str, Input]:
    """Return the files of the recipe's metadata as inputs of a step."""
    metadata = draft.resolved.recipe.metadata
    assert metadata is not None
    return {file_role(name): draft.file(file_role(name), file_role(name)) for name, _, _ in metadata.files}


def add_overlaps(draft: PlanBuilder) -> None:
    """Train and test kept apart: random numbers are neither."""
    recipe = draft.resolved.recipe
    training = None if recipe.optimize is None else recipe.optimize.dataset
    sides = (("overlap", "calibration samples", recipe.dataset), ("training overlap", "training samples", training))
    for role, used, dataset in sides:
        kinds = {one.kind for one in (dataset, recipe.verify.dataset) if one is not None}
        if used in draft.goals and "evaluation samples" in draft.goals and "synthetic" not in kinds:
            inputs = {"used": draft.of(used, SAMPLES, "used")}
            inputs["evaluation"] = draft.of("evaluation samples", SAMPLES, "evaluation")
            draft.add(role, "compare_samples", {}, inputs)


ANDROID = "benchmark android"


def add_benchmark(draft: PlanBuilder, again: str = "") -> None:
    """What times the artifact; with `again` it is timed anew, whatever was found before."""
    benchmark = draft.resolved.recipe.benchmark
    inputs: dict[str, Input] = {"model": draft.artifact()}
    params: dict[str, Json] = {"host": draft.around.host, **({"again": again} if again else {})}
    if benchmark.kind == "host":
        inputs["signature"] = draft.of("import", "signature.json", "signature")
        params |= {**benchmark.options, **draft.run_params()}
        draft.add("benchmark", "benchmark", params, inputs)
    elif benchmark.kind == "android":
        target = {name: value for name, value in benchmark.options.items() if name != "runs"}
        params |= {"runs": benchmark.options["runs"], "target": target, "again": again or draft.around.session}
        draft.add(ANDROID, "benchmark_android", params, inputs)
