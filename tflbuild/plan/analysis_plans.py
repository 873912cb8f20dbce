"""Plans of analysis commands: the steps of a build that an analysis needs, and the step that makes the analysis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.step import Input, Plan
from tflbuild.plan.auxiliary_steps import ANDROID, add_benchmark, add_metadata
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.plan.planner import VariantPlanner
from tflbuild.plan.step_parameters import SAMPLES, scheme_parameters, source_parameters
from tflbuild.plan.target_steps import add_targets
from tflbuild.resolve.input_digests import SOURCE, ResolvedRecipe

MakePlan = Callable[[ResolvedRecipe, KeyEnvironment], Plan]


def make_description(resolved: ResolvedRecipe, environment: KeyEnvironment) -> Plan:
    """Return the plan that describes the source, for `tflbuild inspect`. Its last step has the role `describe`."""
    variant = VariantPlanner(resolved, environment, {})
    if variant.is_tflite_source:
        # Without a signature name, the first signature of the file is described.
        signature = {**asdict(resolved.recipe.signature), "key": ""}
        params: dict[str, Json] = {"signature": signature, "must_be_float": False}
        variant.add("describe", "import_tflite", params, {"source": variant.file_input(SOURCE, "source")})
        model = variant.step_input("describe", "model.tflite", "model")
        add_targets(variant, model, variant.step_input("describe", "signature.json", "signature"))
    elif resolved.recipe.source.kind == "keras":
        source = resolved.recipe.source
        options = {"custom_objects": [name for name, _ in source.custom_objects], "allow": source.allow}
        params = {name: value for name, value in options.items() if value}
        variant.add("describe", "describe_keras", params, {"source": variant.file_input(SOURCE, "source")})
    else:
        variant.plan_fetch()
        variant.add("describe", "describe", source_parameters(resolved), variant.source_inputs())
    return merge_plans(variant)


def make_sensitivity(resolved: ResolvedRecipe, environment: KeyEnvironment) -> Plan:
    """Return the plan that measures the sensitivity of every operator. Its last step has the role `sensitivity`."""
    return make_sensitivities([resolved], environment)


def make_sensitivities(
    resolved: Sequence[ResolvedRecipe], environment: KeyEnvironment, count: int | None = None
) -> Plan:
    """Return the plan that measures the sensitivity of every operator for several variants.

    Args:
        resolved: The resolved recipes of the variants.
        environment: The machine's contribution to cache keys.
        count: The number of evaluation samples to use, None for all.
    """
    variants = [VariantPlanner(recipe, environment, {}) for recipe in resolved]
    for variant in variants:
        variant.plan_float()
        add_sensitivity(variant, count)
    return merge_plans(*variants)


def add_sensitivity(variant: VariantPlanner, count: int | None) -> None:
    """Add the step `sensitivity` after the steps of the float model. `count` limits the evaluation samples."""
    quantization = variant.resolved.recipe.quantization
    params: dict[str, Json] = {
        "scheme": quantization.scheme,
        **scheme_parameters(quantization),
        **variant.interpreter_parameters(),
    }
    params |= variant.part_parameters()
    params.pop("rules", None)
    if count is not None:
        params["count"] = count
    reference = "predict" if variant.model == "import" else "predict optimized"
    if reference not in variant.goals:
        # The reference is the trained model, so that the effect of training is not attributed to operators.
        variant.plan_predict(reference, variant.model)
    inputs: dict[str, Input] = {
        "model": variant.step_input("convert", "model.tflite", "model"),
        "signature": variant.step_input("import", "signature.json", "signature"),
        "samples": variant.step_input("evaluation samples", SAMPLES, "samples"),
        "predictions": variant.step_input(reference, "predictions.npz", "predictions"),
    }
    if quantization.calibrated or quantization.weighs_data:
        variant.plan_calibration_samples()
    inputs |= variant.plan_statistics()
    variant.add("sensitivity", "sensitivity", params, inputs)


def make_trials(resolved: Sequence[ResolvedRecipe], environment: KeyEnvironment, last: str) -> Plan:
    """Return the plan that builds the trials of a search, without packages.

    Args:
        resolved: The resolved recipes of the trials.
        environment: The machine's contribution to cache keys.
        last: The last step: `check`, `verify` or `benchmark`.
    """
    variants = [VariantPlanner(recipe, environment, {}) for recipe in resolved]
    for variant in variants:
        variant.plan_float()
        variant.plan_quantize()
        add_metadata(variant)
        variant.plan_check()
        if last in ("verify", "benchmark"):
            variant.plan_verify()
        if last == "benchmark":
            add_benchmark(variant)
    return merge_plans(*variants)


def make_advice(resolved: ResolvedRecipe, environment: KeyEnvironment) -> Plan:
    """Return the plan that analyzes whether the calibration samples suffice. Its last step has the role `advise`."""
    variant = VariantPlanner(resolved, environment, {})
    recipe = resolved.recipe
    calibration = recipe.quantization.calibration
    variant.plan_import()
    variant.plan_convert()
    variant.plan_calibration_samples()
    inputs = variant.calibration_inputs()
    if recipe.verify.dataset is not None:
        variant.plan_evaluation_samples()
        inputs["evaluation"] = variant.step_input("evaluation samples", SAMPLES, "evaluation")
    # The step `advise` measures min_max ranges itself.
    if calibration is not None and calibration.method != "min_max":
        variant.plan_calibrate()
        inputs["ranges"] = variant.step_input("calibrate", "ranges.json", "ranges")
    variant.add("advise", "advise", variant.kernel_parameters(), inputs)
    return merge_plans(variant)


def make_benchmark(resolved: ResolvedRecipe, environment: KeyEnvironment, again: str) -> Plan:
    """Return the plan that measures the latency of the artifact, on this host or on an Android device.

    Args:
        resolved: The resolved recipe.
        environment: The machine's contribution to cache keys.
        again: A unique text that becomes a part of the cache key, so that the measurement is never a cache hit.
    """
    variant = VariantPlanner(resolved, environment, {})
    variant.plan_model()
    variant.plan_quantize()
    add_metadata(variant)
    add_benchmark(variant, again)
    if ANDROID in variant.goals:
        variant.goals["benchmark"] = variant.goals.pop(ANDROID)
    return merge_plans(variant)


def merge_plans(*variants: VariantPlanner) -> Plan:
    """Return the plan with the steps of all these variants."""
    steps = {step_id: step for variant in variants for step_id, step in variant.steps.items()}
    return Plan(steps=steps, goals=tuple(variant.goals for variant in variants))
