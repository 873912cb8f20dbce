"""Candidates of a search: quantizations with one scheme for the whole model, and with exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tflbuild.core.gates import merge_limits
from tflbuild.core.recipe import Calibration, Quantization, QuantizationRule, Recipe, Search
from tflbuild.core.schemes import CALIBRATED, SCHEMES
from tflbuild.tflite.operator_match import find_pattern


def make_trial_recipe(recipe: Recipe, quantization: Quantization) -> Recipe:
    """Return the recipe of a trial: its gates include the budget, and are measured on the part `selection`."""
    verify = replace(recipe.verify, gates=collect_search_limits(recipe), part="selection")
    return replace(recipe, search=None, quantization=quantization, verify=verify)


def make_final_recipe(recipe: Recipe, quantization: Quantization) -> Recipe:
    """Return the recipe of the result of a search: its own gates, measured on the part `report`."""
    return replace(recipe, search=None, quantization=quantization, verify=replace(recipe.verify, part="report"))


def collect_search_limits(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    """Return the limits of every trial: the budget and the gates. Of two limits on a figure, the stricter applies."""
    assert recipe.search is not None
    return merge_limits(recipe.verify.gates, recipe.search.budget)


def list_usable_schemes(search: Search) -> list[str]:
    """Return the schemes that support the required types of inputs and outputs. Integers need a static scheme."""
    integer = (search.input_type, search.output_type) != ("float32", "float32")
    return [scheme for scheme in search.schemes if scheme in CALIBRATED or not integer]


def make_single(scheme: str, search: Search, algorithm: str = "", method: str = "") -> Quantization:
    """Return a quantization with one scheme for the whole model.

    Without `algorithm` or `method`, it uses the first algorithm or calibration method of the search.
    """
    algorithm = (algorithm or search.algorithms[0]) if SCHEMES[scheme].mode != "float" else "min_max"
    if scheme not in CALIBRATED:
        return Quantization(scheme=scheme, algorithm=algorithm)
    return Quantization(
        scheme=scheme,
        algorithm=algorithm,
        input_type=search.input_type,
        output_type=search.output_type,
        calibration=Calibration(method=method or search.methods[0], kernels=search.kernels),
    )


def vary_single(scheme: str, search: Search) -> list[Quantization]:
    """Return the quantizations with a scheme and each algorithm or calibration method that applies to it."""
    variations = [
        make_single(scheme, search, algorithm) for algorithm in search.algorithms if SCHEMES[scheme].mode != "float"
    ]
    variations += [make_single(scheme, search, method=method) for method in search.methods if scheme in CALIBRATED]
    if SCHEMES[scheme].weights == 4 and SCHEMES[scheme].mode == "dynamic":
        # The algorithm `mse` does not support blockwise scales.
        blockwise = [variation for variation in variations if variation.algorithm != "mse"]
        variations += [replace(variation, granularity="blockwise_32") for variation in blockwise]
    return variations


def with_exceptions(
    single: Quantization, assignment: Mapping[str, str], names: Sequence[str], float_operators: Iterable[str] = ()
) -> Quantization:
    """Return a quantization with a main scheme, and a rule for each operator whose scheme differs from it.

    The main scheme is that of `single` if it is static, else the most frequent one of the assignment.

    Args:
        single: The quantization without exceptions.
        assignment: The scheme of each operator, by its name.
        names: The names of all operators, so that each rule matches a single one.
        float_operators: The kinds of operators that the scheme does not support, and that stay in float.
    """
    counts = Counter(scheme for scheme in assignment.values() if scheme != "none")
    most_frequent = counts.most_common(1)[0][0] if counts else single.scheme
    # The types of inputs and outputs belong to the static scheme, so it stays the main scheme.
    base = single.scheme if single.scheme in CALIBRATED else most_frequent
    rules = [QuantizationRule(match="", op=operator, scheme="none") for operator in float_operators]
    rules += [
        QuantizationRule(match=find_pattern(name, names), op="", scheme=scheme)
        for name, scheme in assignment.items()
        if scheme != base
    ]
    granularity = single.granularity if SCHEMES[base].weights == 4 else "per_channel"
    integer = any(SCHEMES[scheme].mode != "float" for scheme in (base, *assignment.values()))
    algorithm = single.algorithm if integer else "min_max"
    return replace(single, scheme=base, algorithm=algorithm, granularity=granularity, rules=tuple(rules))


def describe(quantization: Quantization) -> str:
    """Return a quantization as text, such as `weight_only_int8 mse, 3 float16, 2 float32`."""
    words = [quantization.scheme]
    words += [quantization.algorithm] if quantization.algorithm != "min_max" else []
    words += [quantization.granularity] if quantization.granularity != "per_channel" else []
    calibration = quantization.calibration
    words += [f"{calibration.method} ranges"] if calibration is not None and calibration.method != "min_max" else []
    counted = Counter(
        SCHEMES[rule.scheme].grammar if rule.scheme == "none" else rule.scheme for rule in quantization.rules
    )
    exceptions = [f"{count} {scheme}" for scheme, count in sorted(counted.items())]
    return ", ".join([" ".join(words), *exceptions])
