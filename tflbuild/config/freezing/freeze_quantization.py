"""Freeze the section of a recipe that describes the quantization, or its search."""

from __future__ import annotations

import re
from typing import Any

from tflbuild.config.composing.preset_jobs import BY_TARGET
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_verify import freeze_confidence, freeze_gates
from tflbuild.config.schema import schema_quantization as schema
from tflbuild.core.recipe import Calibration, Quantization, QuantizationRule, Search
from tflbuild.core.schemes import NAMES, SCHEMES
from tflbuild.errors import RecipeError, nearest

BLOCKWISE = ("dynamic_int4",)


def freeze_quantization(quantization: schema.QuantizationConfig, refusals: RecipeErrors) -> Quantization:
    """Return the scheme with its refinements.

    Raises:
        RecipeError: for a combination that the engine cannot quantize.
    """
    if quantization.scheme == BY_TARGET:
        raise refusals.refuse(
            "quantization=by_target has no target to go by",
            "quantization",
            next_step="choose targets: target=[cpu,gpu,tflm]; a sweeper that chooses jobs as it runs needs a scheme",
        )
    rules = tuple(freeze_rule(index, rule, refusals) for index, rule in enumerate(quantization.rules))
    unused_keys = set(type(quantization).unused)
    schemes = {quantization.scheme, *(rule.scheme for rule in rules)} & SCHEMES.keys()
    if not any(SCHEMES[scheme].weights in (4, 8) for scheme in schemes):
        unused_keys.add("algorithm")
    common: dict[str, Any] = {
        "scheme": quantization.scheme,
        **({} if "engine" in unused_keys else {"engine": quantization.engine.value}),
        **({} if "algorithm" in unused_keys else {"algorithm": quantization.algorithm.value}),
        **({} if "granularity" in unused_keys else {"granularity": quantization.granularity.value}),
    }
    if common.get("engine") == "converter":
        require_plain(quantization, rules, refusals)
    if str(common.get("granularity", "")).startswith("blockwise") and quantization.scheme not in BLOCKWISE:
        raise refusals.refuse(
            f"quantization={quantization.scheme} cannot have {common['granularity']} weights",
            "quantization.granularity",
            why="kernels take blockwise weights in int4 alone, and with float activations",
            next_step="quantization=dynamic_int4, or granularity=per_channel",
        )
    refined = Quantization(**common, rules=() if "rules" in unused_keys else rules)
    require_algorithm(refined, refusals)
    calibration = freeze_calibration(
        getattr(quantization, "calibration", schema.CalibrationConfig()), refined, refusals
    )
    if not isinstance(quantization, schema.Int8Quantization):
        return Quantization(**common, rules=refined.rules, calibration=calibration)
    return Quantization(
        **common,
        rules=refined.rules,
        input_type=quantization.input_type.value,
        output_type=quantization.output_type.value,
        symmetric=quantization.symmetric and "symmetric" not in unused_keys,
        calibration=calibration,
    )


def freeze_search(quantization: schema.QuantizationConfig, refusals: RecipeErrors) -> Search | None:
    """Return the search of `quantization=auto`: the schemes, algorithms and methods to try, and the budget.

    Raises:
        RecipeError: for a search without a scheme, an algorithm, a method or a budget.
    """
    if not isinstance(quantization, schema.AutoQuantization):
        return None
    schemes = tuple(
        dict.fromkeys(freeze_scheme(name, "quantization.schemes", refusals) for name in quantization.schemes)
    )
    for name in ("schemes", "algorithms", "methods"):
        refusals.require(bool(getattr(quantization, name)), f"quantization.{name}", "empty", "a list of at least one")
    for name in ("trials", "samples"):
        refusals.require(
            getattr(quantization, name) >= 1, f"quantization.{name}", getattr(quantization, name), "at least 1"
        )
    budget = freeze_gates(quantization.budget, "quantization.budget", refusals)
    if not budget:
        raise refusals.refuse(
            "quantization=auto has no budget",
            "quantization.budget",
            why="it searches for the best artifact within limits",
            next_step="quantization.budget.top1_drop=0.005, or quantization.budget.snr_db=40",
        )
    return Search(
        budget=budget,
        confidence=freeze_confidence(quantization.budget, budget, "quantization.budget", refusals),
        objective=quantization.objective.value,
        schemes=schemes,
        algorithms=tuple(dict.fromkeys(algorithm.value for algorithm in quantization.algorithms)),
        methods=tuple(dict.fromkeys(method.value for method in quantization.methods)),
        trials=quantization.trials,
        samples=quantization.samples,
        input_type=quantization.input_type.value,
        output_type=quantization.output_type.value,
        kernels=quantization.kernels.value,
    )


def freeze_scheme(name: str, key: str, refusals: RecipeErrors, context: str = "") -> str:
    """Return tflbuild's name of a scheme.

    Raises:
        RecipeError: for an unknown scheme.
    """
    if name not in NAMES:
        raise refusals.refuse(f"'{name}' is no scheme", key, why=f"{context}{nearest(name, NAMES)}")
    return NAMES[name]


def refuse_unused_key(name: str, scheme: str, refusals: RecipeErrors) -> RecipeError:
    """Return the error for a key that has no effect."""
    return refusals.refuse(
        f"'quantization.{name}' is not used by quantization={scheme}",
        f"quantization.{name}",
        next_step="leave it out, or choose a scheme with integer weights",
    )


def require_algorithm(refined: Quantization, refusals: RecipeErrors) -> None:
    """Raise RecipeError for an algorithm that the LiteRT quantizer does not have for such weights."""
    schemes = {refined.scheme, *(rule.scheme for rule in refined.rules)}
    if refined.algorithm != "min_max" and not any(SCHEMES[scheme].weights in (4, 8) for scheme in schemes):
        raise refuse_unused_key("algorithm", refined.scheme, refusals)
    if refined.algorithm == "oscar" and not any(SCHEMES[scheme].mode == "dynamic" for scheme in schemes):
        raise refusals.refuse(
            f"quantization={refined.scheme} cannot have its weights chosen by oscar",
            "quantization.algorithm",
            why="the LiteRT quantizer's oscar makes operators with float activations and integer weights, dynamic ones",
            next_step="quantization=dynamic_int4 or dynamic_int8, or quantization.algorithm=gptq",
        )
    if refined.algorithm == "mse" and refined.granularity.startswith("blockwise"):
        raise refusals.refuse(
            f"the algorithm mse cannot choose {refined.granularity} weights",
            "quantization.algorithm",
            next_step="quantization.algorithm=octav or gptq, or quantization.granularity=per_channel",
        )


def freeze_rule(index: int, rule: schema.QuantizationRuleConfig, refusals: RecipeErrors) -> QuantizationRule:
    """Return a quantization rule. It must match by name or operator, and name an existing scheme."""
    key = f"quantization.rules.{index}"
    if not rule.match and not rule.op:
        raise refusals.refuse(
            f"rule {index + 1} matches every operator",
            "quantization.rules",
            next_step=f"give it match or op; for all operators choose the option: quantization={rule.scheme}",
        )
    try:
        re.compile(rule.match)
    except re.error as error:
        raise refusals.refuse(
            f"'{rule.match}' is no regular expression", "quantization.rules", why=f"rule {index + 1}: {error}"
        ) from None
    scheme = freeze_scheme(rule.scheme, "quantization.rules", refusals, f"{key}: ")
    return QuantizationRule(match=rule.match, op=rule.op.upper(), scheme=scheme)


def freeze_calibration(
    calibration: schema.CalibrationConfig, refined: Quantization, refusals: RecipeErrors
) -> Calibration | None:
    """Return how activation ranges are measured, or None for a scheme without calibration."""
    if not refined.calibrated:
        return None
    location = "quantization.calibration"
    inside = 50 < calibration.percentile <= 100
    refusals.require(inside, f"{location}.percentile", calibration.percentile, "above 50 and at most 100")
    refusals.require(0 < calibration.smoothing < 1, f"{location}.smoothing", calibration.smoothing, "between 0 and 1")
    if refined.engine == "converter" and calibration.method is not schema.Method.min_max:
        raise refusals.refuse(
            f"engine 'converter' cannot calibrate by '{calibration.method.value}'",
            f"{location}.method",
            why="TFLiteConverter has a calibrator of its own, which takes minimum and maximum",
            next_step="use quantization.engine=litert, or quantization.calibration.method=min_max",
        )
    return Calibration(
        method=calibration.method.value,
        kernels=calibration.kernels.value,
        percentile=calibration.percentile,
        smoothing=calibration.smoothing,
    )


CONVERTER_SCHEMES = ("none", "float16", "dynamic_int8", "int8", "int16x8")


def require_plain(
    quantization: schema.QuantizationConfig, rules: tuple[QuantizationRule, ...], refusals: RecipeErrors
) -> None:
    """TFLiteConverter quantizes all alike, by minimum and maximum. Raises RecipeError for what asks for more."""
    asked = {
        "scheme": quantization.scheme not in CONVERTER_SCHEMES,
        "rules": bool(rules),
        "algorithm": quantization.algorithm is not schema.Algorithm.min_max,
        "granularity": quantization.granularity is not schema.Granularity.per_channel,
        "symmetric": bool(getattr(quantization, "symmetric", False)),
    }
    for key, told in asked.items():
        if told and key not in quantization.unused:
            raise refusals.refuse(
                f"engine 'converter' cannot honour quantization.{key}",
                "quantization.engine" if key == "scheme" else f"quantization.{key}",
                why="TFLiteConverter quantizes every operator alike, weights int8 per channel, by minimum and maximum",
                next_step="converter._experimental_disable_per_channel=true gives one scale a tensor"
                if key == "granularity"
                else "quantization.engine=litert",
            )
