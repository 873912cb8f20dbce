"""Plans of the verbs that ask something: the steps of a build, as far as the question goes, and one more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.step import Input, Plan
from tflbuild.plan.auxiliary_steps import ANDROID, add_benchmark, add_metadata
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.plan.planner import VariantPlanner
from tflbuild.plan.step_parameters import SAMPLES, list_scheme_parameters, source_params
from tflbuild.plan.target_steps import add_targets
from tflbuild.resolve.input_digests import SOURCE, ResolvedRecipe

Inquiry = Callable[[ResolvedRecipe, KeyEnvironment], Plan]


def make_description(resolved: ResolvedRecipe, around: KeyEnvironment) -> Plan:
    """The plan that says what the source offers, for `inspect`: role `describe`."""
    variant = VariantPlanner(resolved, around, {})
    if variant.from_tflite:
        signature = {**asdict(resolved.recipe.signature), "key": ""}  # whichever the file has first
        params: dict[str, Json] = {"signature": signature, "must_be_float": False}
        variant.add("describe", "import_tflite", params, {"source": variant.file(SOURCE, "source")})
        model, told = (
            variant.of("describe", name, name.partition(".")[0]) for name in ("model.tflite", "signature.json")
        )
        add_targets(variant, model, told)
    elif resolved.recipe.source.kind == "keras":
        source = resolved.recipe.source
        named = {"custom_objects": [name for name, _ in source.custom_objects], "allow": source.allow}
        params = {name: value for name, value in named.items() if value}
        variant.add("describe", "describe_keras", params, {"source": variant.file(SOURCE, "source")})
    else:
        variant.plan_fetch()
        variant.add("describe", "describe", source_params(resolved), variant.source_inputs())
    return merge_plans(variant)


def make_sensitivity(resolved: ResolvedRecipe, around: KeyEnvironment) -> Plan:
    """The plan that says what quantizing each operator alone costs: role `sensitivity`."""
    return make_sensitivities([resolved], around)


def make_sensitivities(resolved: Sequence[ResolvedRecipe], around: KeyEnvironment, count: int | None = None) -> Plan:
    """The same of several schemes, on `count` evaluation samples or on all of them."""
    variants = [VariantPlanner(one, around, {}) for one in resolved]
    for variant in variants:
        variant.plan_float()
        add_sensitivity(variant, count)
    return merge_plans(*variants)


def add_sensitivity(variant: VariantPlanner, count: int | None) -> None:
    """The last step of such a plan."""
    quantization = variant.resolved.recipe.quantization
    params: dict[str, Json] = {
        "scheme": quantization.scheme,
        **list_scheme_parameters(quantization),
        **variant.run_params(),
    }
    params |= variant.part_params()
    params.pop("rules", None)
    if count is not None:
        params["count"] = count
    reference = "predict" if variant.model == "import" else "predict optimized"
    if reference not in variant.goals:
        variant.plan_predict(reference, variant.model)  # what training did is no operator's fault
    inputs: dict[str, Input] = {
        "model": variant.of("convert", "model.tflite", "model"),
        "signature": variant.of("import", "signature.json", "signature"),
        "samples": variant.of("evaluation samples", SAMPLES, "samples"),
        "predictions": variant.of(reference, "predictions.npz", "predictions"),
    }
    if quantization.calibrated or quantization.weighs_data:
        variant.plan_calibration_samples()
    inputs |= variant.plan_statistics()
    variant.add("sensitivity", "sensitivity", params, inputs)


def make_trials(resolved: Sequence[ResolvedRecipe], around: KeyEnvironment, last: str) -> Plan:
    """The plan that builds artifacts up to `check`, `verify` or `benchmark`, and packages nothing."""
    variants = [VariantPlanner(one, around, {}) for one in resolved]
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


def make_advice(resolved: ResolvedRecipe, around: KeyEnvironment) -> Plan:
    """The plan that says whether the calibration samples are enough: role `advise`."""
    variant = VariantPlanner(resolved, around, {})
    recipe = resolved.recipe
    calibration = recipe.quantization.calibration
    variant.plan_import()
    variant.plan_convert()
    variant.plan_calibration_samples()
    inputs = variant.calibration_inputs()
    if recipe.verify.dataset is not None:
        variant.plan_evaluation_samples()
        inputs["evaluation"] = variant.of("evaluation samples", SAMPLES, "evaluation")
    if calibration is not None and calibration.method != "min_max":  # by min_max they are what the step finds itself
        variant.plan_calibrate()
        inputs["ranges"] = variant.of("calibrate", "ranges.json", "ranges")
    variant.add("advise", "advise", variant.kernel_params(), inputs)
    return merge_plans(variant)


def make_benchmark(resolved: ResolvedRecipe, around: KeyEnvironment, again: str) -> Plan:
    """The plan that times the artifact anew: role `benchmark`, on this host or on Android. `again` makes it another."""
    variant = VariantPlanner(resolved, around, {})
    variant.plan_model()
    variant.plan_quantize()
    add_metadata(variant)
    add_benchmark(variant, again)
    if ANDROID in variant.goals:
        variant.goals["benchmark"] = variant.goals.pop(ANDROID)
    return merge_plans(variant)


def merge_plans(*variants: VariantPlanner) -> Plan:
    """What these variants have added."""
    steps = {step_id: step for variant in variants for step_id, step in variant.steps.items()}
    return Plan(steps=steps, goals=tuple(variant.goals for variant in variants))
