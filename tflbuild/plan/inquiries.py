"""Plans of the verbs that ask something: the steps of a build, as far as the question goes, and one more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.step import Input, Plan
from tflbuild.plan.planner import SAMPLES, Surroundings, Variant
from tflbuild.resolve.inputs import SOURCE, ResolvedRecipe

Inquiry = Callable[[ResolvedRecipe, Surroundings], Plan]


def make_description(resolved: ResolvedRecipe, around: Surroundings) -> Plan:
    """The plan that says what the source offers, for `inspect`: role `describe`."""
    variant = Variant(resolved, around, {})
    if variant.from_tflite:
        signature = {**asdict(resolved.recipe.signature), "key": ""}  # whichever the file has first
        params: dict[str, Json] = {"signature": signature, "must_be_float": False}
        variant.add("describe", "import_tflite", params, {"source": variant.file(SOURCE, "source")})
    else:
        variant.plan_fetch()
        variant.add("describe", "describe", variant.source_params(), variant.source_inputs())
    return plan_of(variant)


def make_sensitivity(resolved: ResolvedRecipe, around: Surroundings) -> Plan:
    """The plan that says what quantizing each operator alone costs: role `sensitivity`."""
    variant = Variant(resolved, around, {})
    quantization = resolved.recipe.quantization
    variant.plan_float()
    params: dict[str, Json] = {"scheme": quantization.scheme, **variant.refinements(), **variant.run_params()}
    params.pop("rules", None)
    inputs: dict[str, Input] = {
        "model": variant.of("convert", "model.tflite", "model"),
        "signature": variant.of("import", "signature.json", "signature"),
        "samples": variant.of("evaluation samples", SAMPLES, "samples"),
        "predictions": variant.of("predict", "predictions.npz", "predictions"),
    }
    if quantization.calibrated or quantization.weighs_data:
        variant.plan_calibration_samples()
    inputs |= variant.plan_statistics()
    variant.add("sensitivity", "sensitivity", params, inputs)
    return plan_of(variant)


def make_advice(resolved: ResolvedRecipe, around: Surroundings) -> Plan:
    """The plan that says whether the calibration samples are enough: role `advise`."""
    variant = Variant(resolved, around, {})
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
    return plan_of(variant)


def plan_of(variant: Variant) -> Plan:
    """What one variant has added."""
    return Plan(steps=variant.steps, goals=(variant.goals,))
