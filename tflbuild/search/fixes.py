"""Fixes for a recipe whose build fails or whose artifact misses a gate, the cheapest first.

The functions are pure: fixes follow from the recipe and from measured figures. The caller checks whether the overrides
are valid, and drops those that change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.core.gates import ACCURACIES, METRIC_SIDES, SIZE_FIGURES, WORST_OF_OUTPUTS, Gate, split_target
from tflbuild.core.recipe import Quantization, QuantizationRule, Recipe
from tflbuild.core.schemes import CALIBRATED, SCHEMES
from tflbuild.core.step_result import Failure
from tflbuild.tflite.operator_match import find_pattern

# The size of a weight relative to a float32 weight, by its bits.
SIZE_RATIOS = {0: 1.0, 16: 0.5, 8: 0.25, 4: 0.125}
# The assumed fraction of weights in the bytes of a float model, if only the float model was measured.
WEIGHTS_FRACTION = 0.95

# For each scheme, the schemes that lose less, in the order of their cost: size, then speed, then supported targets.
SAFER = {
    "int4": ("int8", "int16x8", "dynamic_int8", "float16", "none"),
    "int8": ("int16x8", "dynamic_int8", "float16", "none"),
    "int16x8": ("dynamic_int8", "float16", "none"),
    "dynamic_int4": ("dynamic_int8", "float16", "none"),
    "weight_only_int4": ("weight_only_int8", "float16", "none"),
    "dynamic_int8": ("weight_only_int8", "float16", "none"),
    "weight_only_int8": ("float16", "none"),
    "float16": ("none",),
}
# Schemes that make an artifact smaller. Those that lose least come first.
SMALLER = ("float16", "dynamic_int8", "int8", "dynamic_int4", "int4")
FASTER = {
    "none": ("dynamic_int8", "int8"),
    "float16": ("dynamic_int8", "int8"),
    **{scheme: ("int8",) for scheme in SAFER if scheme not in ("int8", "int4", "float16")},
}
ARITHMETIC = {
    "none": "float arithmetic",
    "float16": "float arithmetic",
    "dynamic_int8": "float activations between operators",
    "dynamic_int4": "float activations between operators",
    "weight_only_int8": "float arithmetic",
    "weight_only_int4": "float arithmetic",
    "int8": "integer arithmetic alone",
    "int4": "integer arithmetic alone",
    "int16x8": "int16 activations: slower, and few delegates run it",
}
# How many operators are kept in float, in one proposal after another.
WORST_COUNTS = (1, 3, 8)


@dataclass(frozen=True)
class Fix:
    """A fix for a failed build or a missed gate.

    Attributes:
        overrides: The overrides, separated by spaces. "" if the user must act.
        text: The effect of the fix.
        bytes: The estimated size of the artifact in bytes, 0 if it does not change.
        searches: The overrides start a search.
    """

    overrides: str
    text: str
    bytes: int = 0
    searches: bool = False


@dataclass(frozen=True)
class MeasuredSizes:
    """The measured sizes of the float model and of the artifact, in bytes."""

    float_bytes: int
    artifact: int

    def estimate(self, scheme: str, current: str) -> int:
        """Return the estimated size of the artifact with another scheme, in bytes.

        The size of the weights is computed from the bytes that the current scheme saves. The rest of the artifact is
        assumed to keep its size.
        """
        bits, current_bits = SCHEMES[scheme].weights, SCHEMES[current].weights
        if bits == current_bits:
            return self.artifact
        saved = max(self.float_bytes - self.artifact, 0)
        known = saved and current_bits
        weights = saved / (1 - SIZE_RATIOS[current_bits]) if known else self.float_bytes * WEIGHTS_FRACTION
        return round(self.float_bytes - min(weights, self.float_bytes) * (1 - SIZE_RATIOS[bits]))


# failures


def find_repairs(recipe: Recipe, failure: Failure) -> list[str]:
    """Return the overrides that may repair a failed build, in the order in which to try them.

    Fixes of the failure that keep the scheme come first. If the scheme may be the cause, other variations of the scheme
    follow, and rules that keep the operators of the failure in float. Other schemes come last.
    """
    own_fixes = list(dict.fromkeys(failure.fixes))
    schemes = [fix for fix in own_fixes if fix.startswith("quantization=")]
    if not (failure.operators or schemes) or recipe.quantization.scheme not in SAFER:
        return own_fixes
    same_scheme = [fix for fix in own_fixes if fix not in schemes]
    rules = [keep_in_float(recipe, failure.operators)] if failure.operators and allows_float(recipe) else []
    return list(dict.fromkeys([*same_scheme, *vary_scheme(recipe.quantization), *rules, *schemes]))


def vary_scheme(quantization: Quantization) -> Iterator[str]:
    """Yield overrides that keep the scheme and change the engine, the symmetry of activations or the granularity."""
    litert = quantization.engine == "litert"
    other = "converter" if litert else "litert"
    first = "" if litert else "quantization.engine=litert "
    yield f"quantization.engine={other}"
    if SCHEMES[quantization.scheme].activations == 8:
        yield f"{first}quantization.symmetric={str(not quantization.symmetric).lower()}"
    if SCHEMES[quantization.scheme].weights == 8:
        granularity = "per_tensor" if quantization.granularity == "per_channel" else "per_channel"
        yield f"{first}quantization.granularity={granularity}"


def keep_in_float(recipe: Recipe, operators: Sequence[Mapping[str, str]]) -> str:
    """Return the overrides that keep operators in float. `operators` have the `op` and `match` of a rule."""
    quantization = recipe.quantization
    rules = [QuantizationRule(match=operator["match"], op=operator["op"], scheme="none") for operator in operators]
    first = "" if quantization.engine == "litert" else "quantization.engine=litert "
    return first + write_rules([*quantization.rules, *(rule for rule in rules if rule not in quantization.rules)])


def write_rules(rules: Sequence[QuantizationRule]) -> str:
    """Return the override that sets these rules, without spaces: `quantization.rules=[{op:TILE,scheme:float32}]`."""
    written = []
    for rule in rules:
        fields = {"match": _quote(rule.match), "op": rule.op, "scheme": SCHEMES[rule.scheme].grammar}
        written.append("{" + ",".join(f"{name}:{value}" for name, value in fields.items() if value) + "}")
    return f"quantization.rules=[{','.join(written)}]"


def _quote(match: str) -> str:
    """Return a regular expression in quotes of Hydra's grammar. Spaces become `\\s`, since they separate overrides."""
    if not match:
        return ""
    text = re.sub(r"\\?\s", lambda _: r"\s", match)
    return '"' + text.replace('"', r"\"") + '"'


# gates


def find_gate_fixes(recipe: Recipe, missed: Sequence[Gate], sizes: MeasuredSizes) -> list[Fix]:
    """Return fixes for missed gates, in the order of their cost.

    Args:
        recipe: The recipe.
        missed: The missed gates of the recipe and of its targets.
        sizes: The measured sizes. A fix whose estimated size exceeds the gate on `bytes` is left out.
    """
    subjects = {gate_subject(gate.name) for gate in missed}
    fixes: list[Fix] = []
    if "accuracy" in subjects:
        fixes += [*keep_size(recipe), *change_scheme(recipe, SAFER.get(recipe.quantization.scheme, ()), sizes)]
    if "size" in subjects:
        limits = [gate.limit for gate in missed if gate.name in SIZE_FIGURES]
        smaller = list(propose_smaller_schemes(recipe, min(limits), sizes))
        fixes = smaller if "accuracy" not in subjects else [fix for fix in fixes if not fix.bytes]
    if "speed" in subjects and not subjects & {"accuracy", "size"}:
        fixes += change_scheme(recipe, FASTER.get(recipe.quantization.scheme, ()), sizes)
    max_bytes = dict(recipe.verify.gates).get("bytes")
    fixes = [fix for fix in fixes if max_bytes is None or fix.bytes <= max_bytes]
    return [*fixes, *propose_search(recipe, missed)]


def gate_subject(name: str) -> str:
    """Return what a gate is about: `accuracy`, `size` (of the file) or `speed` (time or memory of a target)."""
    figure_name = split_target(name)[1]
    if name.partition(".")[0] in METRIC_SIDES:
        return "accuracy"
    if figure_name in SIZE_FIGURES:
        return "size"
    figure = figure_name.rpartition(".")[2]
    return "accuracy" if figure in WORST_OF_OUTPUTS or figure in ACCURACIES else "speed"


def keep_size(recipe: Recipe) -> Iterator[Fix]:
    """Yield fixes that may lose less accuracy at about the same size."""
    quantization = recipe.quantization
    scheme = SCHEMES[quantization.scheme]
    if quantization.scheme not in SAFER or scheme.mode == "float":
        return
    if quantization.granularity == "per_tensor":
        yield Fix("quantization.granularity=per_channel", "a scale for each channel of weights")
    if quantization.symmetric:
        yield Fix("quantization.symmetric=false", "activations use all 256 steps")
    litert = quantization.engine == "litert"
    if quantization.calibration is not None and litert and quantization.calibration.method == "min_max":
        yield Fix("quantization.calibration.method=percentile", "ranges of activations without outliers")
    if litert and quantization.algorithm == "min_max" and scheme.weights == 4:
        yield Fix("quantization.algorithm=octav", "4-bit weights are clipped where that loses less")
    if scheme.name in ("int8", "int16x8", "dynamic_int8", "float16"):
        other = "converter" if litert else "litert"
        text = f"{'TFLiteConverter' if litert else 'the LiteRT quantizer'} quantizes"
        yield Fix(f"quantization.engine={other}", text)
    if quantization.calibrated and recipe.dataset is not None:
        yield Fix("", "`tflbuild advise` with the same arguments says whether the calibration samples are enough")
    if can_keep_operators_in_float(recipe):
        yield Fix(
            "",
            "`tflbuild sensitivity` with the same arguments lists the operators that lose most;"
            " quantization.rules keeps them in float",
        )


def change_scheme(recipe: Recipe, schemes: Sequence[str], sizes: MeasuredSizes) -> Iterator[Fix]:
    """Yield a fix for each of other schemes, with its effect on size and arithmetic."""
    current = recipe.quantization.scheme
    for scheme in schemes:
        if scheme in CALIBRATED and recipe.dataset is None:
            continue
        size = sizes.estimate(scheme, current)
        size_text = "about the same size" if size == sizes.artifact else f"about {show_bytes(size)}"
        text = f"{size_text}, {ARITHMETIC[scheme]}"
        yield Fix(f"quantization={scheme}", text, 0 if size == sizes.artifact else size)


def propose_smaller_schemes(recipe: Recipe, limit: float, sizes: MeasuredSizes) -> Iterator[Fix]:
    """Yield fixes that make the artifact smaller: schemes whose estimated size is within the limit, else the smallest.

    `limit` is in bytes. Advice on the rules and on the model itself is added where it applies.
    """
    current = recipe.quantization.scheme
    smaller = [scheme for scheme in SMALLER if sizes.estimate(scheme, current) < sizes.artifact]
    fitting = [scheme for scheme in smaller if sizes.estimate(scheme, current) <= limit]
    if recipe.quantization.rules:
        yield Fix("", "fewer exceptions in quantization.rules")
    yield from change_scheme(recipe, fitting or smaller[-2:], sizes)
    if not fitting:
        yield Fix("", f"no scheme alone makes it {show_bytes(round(limit))}: fewer channels or layers would")


def propose_search(recipe: Recipe, missed: Sequence[Gate]) -> Iterator[Fix]:
    """Yield the fix that searches for the smallest artifact within a missed limit on accuracy."""
    for gate in missed:
        if gate.name in {*WORST_OF_OUTPUTS, *ACCURACIES}:
            budget = f"quantization=auto quantization.budget.{gate.name}={gate.limit:g}"
            yield Fix(budget, "builds and measures many artifacts, and selects the smallest that passes", searches=True)
            return


def can_keep_operators_in_float(recipe: Recipe) -> bool:
    """Return whether quantization rules may keep single operators in float."""
    quantized = SCHEMES[recipe.quantization.scheme].mode != "float"
    return quantized and recipe.quantization.engine == "litert" and allows_float(recipe)


def allows_float(recipe: Recipe) -> bool:
    """Return whether the targets and the op set allow operators that compute in float."""
    return not recipe.full_integer and recipe.opset.arithmetic == "any"


def keep_worst_in_float(recipe: Recipe, operators: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Yield overrides that keep the operators with the highest sensitivity in float: first one, then more.

    `operators` are rows of `tflbuild sensitivity`, the operator with the highest sensitivity first.
    """
    names = [name for row in operators for name in (row["name"], *row["twins"])]
    for count in WORST_COUNTS:
        chosen = [name for row in operators[:count] for name in (row["name"], *row["twins"])]
        # If more than half of the operators stayed in float, another scheme would be better.
        if 2 * len(chosen) <= len(names):
            yield keep_in_float(recipe, [{"op": "", "match": find_pattern(name, names)} for name in chosen])
