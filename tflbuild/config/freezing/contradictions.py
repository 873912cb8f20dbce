"""Find contradictions: keys that are valid by themselves and exclude one another. Nothing is read for that."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.preprocessing_checks import check_preprocessing
from tflbuild.config.freezing.target_requirement_checks import check_targets
from tflbuild.config.freezing.tensor_name_checks import check_names
from tflbuild.core.digest import leaves
from tflbuild.core.gates import GATED_ACCURACIES, METRIC_SIDES, SIZE_FIGURES
from tflbuild.core.recipe import Recipe
from tflbuild.errors import nearest

INTEGER_TYPES = ("int8", "uint8", "float32")
IO_TYPES = {"int8": INTEGER_TYPES, "int4": INTEGER_TYPES, "int16x8": ("int16", "float32")}


def check(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for the first contradiction.

    The quantizations of a search are checked when they are candidates.
    """
    for rule in (
        check_finite,
        check_names,
        check_tflite,
        check_optimize,
        check_converter,
        check_gates,
        check_preprocessing,
    ):
        rule(recipe, refusals)
    if recipe.search is not None:
        check_search(recipe, refusals)
    else:
        check_quantization(recipe, refusals)


def check_quantization(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for the first contradiction between the quantization and the rest of the recipe."""
    for rule in (check_engine, check_trained, check_io_types, check_data, check_opset, check_targets):
        rule(recipe, refusals)


def check_finite(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for .nan and .inf, which YAML can write and no key accepts."""
    for key, value in leaves(recipe.as_json()).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise refusals.refuse(f"'{key}' is {value}, and must be a finite number", key)


def check_engine(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that the engine `converter` has the original model, since TFLiteConverter quantizes while it converts."""
    if recipe.source.kind == "tflite" and recipe.quantization.engine == "converter":
        raise refusals.refuse(
            "engine 'converter' cannot start from a .tflite file",
            "quantization.engine",
            why="TFLiteConverter quantizes while it converts the original model",
            next_step="use quantization.engine=litert, or give the original model as the source",
        )


def refuse_values(
    values: Mapping[str, object], refusals: RecipeErrors, problem: str, reason: str, next_step: str
) -> None:
    """Raise RecipeError for the first key that has a value.

    Args:
        values: Keys with their values.
        refusals: Makes the errors.
        problem: The predicate of the error's first line.
        reason: Why the key may not have a value.
        next_step: How to fix it.
    """
    key = next((key for key, value in values.items() if value), None)
    if key is not None:
        raise refusals.refuse(f"'{key}' {problem}", key, why=reason, next_step=next_step)


def check_tflite(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Refuse keys of the conversion for a .tflite source, which is already converted."""
    if recipe.source.kind != "tflite":
        return
    values = {
        "signature.more": recipe.more_signatures,
        "signature.outputs": recipe.signature.outputs,
        "signature.preprocess": recipe.signature.preprocess,
        "signature.entry": recipe.signature.entry,
        "converter": recipe.converter,
    }
    reason = "it takes effect while a model is converted, and this one is already converted"
    next_step = "leave it out, or give the original model as the source"
    refuse_values(values, refusals, "cannot be applied to a .tflite file", reason, next_step)


def check_optimize(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that training has a Keras model, and that the recipe uses the model's own call."""
    if recipe.optimize is None:
        return
    if recipe.source.kind not in ("keras", "function"):
        raise refusals.refuse(
            f"source={recipe.source.kind} cannot be optimized",
            "optimize",
            why="pruning, clustering and quantization-aware training work on the layers of a Keras model",
            next_step="give the Keras model (source=keras, or source=function that makes it), or optimize=none",
        )
    values = {
        "signature.more": recipe.more_signatures,
        "signature.entry": recipe.signature.entry,
        "source.fused_lstm": recipe.source.fused_lstm,
    }
    reason = "what is trained is the model's own call, rebuilt in tf_keras"
    refuse_values(values, refusals, "cannot be combined with optimize", reason, "leave it out, or optimize=none")


def check_trained(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that TFLiteConverter makes int8 from a model with trained ranges, since these are ranges of int8."""
    quantization = recipe.quantization
    if recipe.ranges_trained and quantization.engine == "converter" and quantization.scheme not in ("none", "int8"):
        raise refusals.refuse(
            f"engine 'converter' cannot make {quantization.scheme} after quantization-aware training",
            "quantization.engine",
            why="it follows the trained ranges, which are those of int8",
            next_step="quantization.engine=litert, or quantization=int8",
        )


def check_converter(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that Flex operators are allowed if the user's own operators become Flex operators."""
    for name, _ in recipe.converter:
        if name == "experimental_select_user_tf_ops" and not recipe.opset.select_tf:
            raise refusals.refuse(
                f"'converter.{name}' needs TensorFlow operators to be allowed",
                f"converter.{name}",
                next_step="opset=select_tf",
            )


def check_io_types(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that the types of inputs and outputs fit the scheme: int8 models cannot have int16 inputs, for example."""
    quantization = recipe.quantization
    for key in ("input_type", "output_type"):
        value = getattr(quantization, key)
        if value not in IO_TYPES.get(quantization.scheme, (value,)):
            raise refusals.refuse(
                f"quantization={quantization.scheme} cannot have '{value}' inputs or outputs",
                f"quantization.{key}",
                next_step=f"set it to {' or '.join(IO_TYPES[quantization.scheme])}",
            )


def check_data(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that a scheme with calibration, or an algorithm with data, has a representative dataset."""
    if recipe.quantization.calibrated and recipe.dataset is None and not recipe.ranges_trained:
        raise refusals.refuse(
            f"quantization={recipe.quantization.scheme} has no calibration data",
            "dataset",
            why="activation ranges are measured on representative samples; without them they would be a guess",
            next_step="dataset=npz dataset.path=..., or, for a trial that says nothing about accuracy,"
            " dataset=synthetic",
        )
    if recipe.quantization.weighs_data and recipe.dataset is None:
        raise refusals.refuse(
            f"quantization.algorithm={recipe.quantization.algorithm} has no representative samples",
            "dataset",
            why="it chooses weights by what the samples make of their inputs, whatever the scheme",
            next_step="dataset=npz dataset.path=..., or quantization.algorithm=min_max, octav or mse",
        )


def check_opset(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that the quantization fits an op set that restricts arithmetic."""
    arithmetic = recipe.opset.arithmetic
    if arithmetic != "any" and recipe.quantization.scheme != arithmetic:
        raise refusals.refuse(
            f"the op set allows {arithmetic} arithmetic alone, and quantization is {recipe.quantization.scheme}",
            "opset",
            next_step=f"quantization={arithmetic}, or another op set",
        )
    for key in ("input_type", "output_type"):
        if arithmetic != "any" and getattr(recipe.quantization, key) == "float32":
            raise refusals.refuse(
                f"the op set allows {arithmetic} arithmetic alone, and 'quantization.{key}' is float32",
                f"quantization.{key}",
                next_step="an integer type, or another op set",
            )
    if arithmetic != "any" and recipe.opset.select_tf:
        raise refusals.refuse(
            f"the op set allows {arithmetic} arithmetic alone, and TensorFlow (Flex) operators compute in float",
            "opset.select_tf",
            next_step="opset.select_tf=false",
        )
    conflicting = sorted(set(recipe.opset.custom) & set(recipe.opset.deny))
    if conflicting:
        raise refusals.refuse(f"the op set both allows and denies {', '.join(conflicting)}", "opset.deny")


def check_search(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that a search can measure its trials."""
    assert recipe.search is not None
    if recipe.verify.kind == "none":
        raise refusals.refuse(
            "quantization=auto needs evaluation data",
            "verify",
            why="what each artifact loses is measured on evaluation samples",
            next_step="verify=parity verify.dataset.path=..., or verify=classification",
        )
    if recipe.search.objective == "latency" and recipe.benchmark.kind != "host":
        raise refusals.refuse(
            "quantization.objective=latency needs a benchmark",
            "quantization.objective",
            why="the fastest artifact is known by timing",
            next_step="benchmark=host, which times on this host's CPU",
        )


def check_gates(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Check that every figure with a limit is measured."""
    budget = () if recipe.search is None else recipe.search.budget
    for location, limits in (("verify.gates", recipe.verify.gates), ("quantization.budget", budget)):
        for name, _ in limits:
            check_gate(name, f"{location}.{name}", recipe, refusals)


def check_gate(name: str, key: str, recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a gate whose figure is not measured."""
    side, _, own = name.partition(".")
    if side in METRIC_SIDES:
        names = [metric for metric, _ in recipe.verify.metrics]
        if own not in names:
            raise refusals.refuse(
                f"there is no metric '{own}'",
                key,
                why=nearest(own, names),
                next_step=f"declare it: verify.metrics.{own}=file.py:function",
            )
        return
    figure = name.rpartition(".")[2]
    required = "classification" if figure in GATED_ACCURACIES else "parity"
    if figure not in SIZE_FIGURES and recipe.verify.kind not in ("classification", required):
        raise refusals.refuse(
            f"the gate '{name}' is not measured by verify={recipe.verify.kind}", key, next_step=f"use verify={required}"
        )
