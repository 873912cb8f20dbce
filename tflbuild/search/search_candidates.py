"""Quantizations that may be tried: whole schemes, and schemes with exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tflbuild.core.gates import merge_limits
from tflbuild.core.recipe import Calibration, Quantization, QuantizationRule, Recipe, Search
from tflbuild.core.schemes import CALIBRATED, SCHEMES
from tflbuild.tflite.operator_match import find_pattern


def make_trial_recipe(recipe: Recipe, quantization: Quantization) -> Recipe:
    """Return the recipe that a search tries: the budget among its gates, measured on the part to select on."""
    verify = replace(recipe.verify, gates=collect_search_limits(recipe), part="selection")
    return replace(recipe, search=None, quantization=quantization, verify=verify)


def make_final_recipe(recipe: Recipe, quantization: Quantization) -> Recipe:
    """Return the recipe that a search ends with: its own gates, measured on samples that the search did not see."""
    return replace(recipe, search=None, quantization=quantization, verify=replace(recipe.verify, part="report"))


def collect_search_limits(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    """What an artifact is held against: the budget and the gates; of two limits on one figure the stricter one."""
    assert recipe.search is not None
    return merge_limits(recipe.verify.gates, recipe.search.budget)


def list_usable_schemes(search: Search) -> list[str]:
    """The schemes that can have the inputs and outputs asked for: integers are for static ones."""
    integer = (search.input_type, search.output_type) != ("float32", "float32")
    return [scheme for scheme in search.schemes if scheme in CALIBRATED or not integer]


def make_single(scheme: str, search: Search, algorithm: str = "", method: str = "") -> Quantization:
    """One scheme for the whole model, by the first algorithm and method of the search unless others are told."""
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
    """The same scheme with each algorithm, and with each calibration method, that it has a use for."""
    found = [
        make_single(scheme, search, algorithm) for algorithm in search.algorithms if SCHEMES[scheme].mode != "float"
    ]
    found += [make_single(scheme, search, method=method) for method in search.methods if scheme in CALIBRATED]
    if SCHEMES[scheme].weights == 4 and SCHEMES[scheme].mode == "dynamic":
        found += [replace(one, granularity="blockwise_32") for one in found if one.algorithm != "mse"]  # it has none
    return found


def with_exceptions(
    single: Quantization, assignment: Mapping[str, str], names: Sequence[str], spared: Iterable[str] = ()
) -> Quantization:
    """The scheme that most operators of an assignment have, or the static one, and a rule for each that has another.

    `names` are those of all operators, so that a rule matches one alone; `spared` are kinds of operator
    that the scheme has nothing for, left in float.
    """
    counted = Counter(scheme for scheme in assignment.values() if scheme != "none")
    most = counted.most_common(1)[0][0] if counted else single.scheme
    base = single.scheme if single.scheme in CALIBRATED else most  # inputs and outputs go with a static scheme
    rules = [QuantizationRule(match="", op=operator, scheme="none") for operator in spared]
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
    """`weight_only_int8 mse, 3 float16, 2 float32`."""
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
