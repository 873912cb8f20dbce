"""What may help a recipe whose build fails, or whose artifact misses a gate. The cheapest stands first.

Pure: what is named here follows from the recipe and from what was measured. Whether it composes is for the caller to
find out, who also drops what changes nothing.
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

# Bytes of a weight beside those of a float one, by its bits.
SHARES = {0: 1.0, 16: 0.5, 8: 0.25, 4: 0.125}
WEIGHTS_SHARE = 0.95  # of a float model's bytes, where only the float model was measured

# What loses less than a scheme, in the order of what it costs: in size, then in speed, then in where it runs.
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
SMALLER = ("float16", "dynamic_int8", "int8", "dynamic_int4", "int4")  # what loses least first
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
WORST = (1, 3, 8)  # operators that a search for the least exceptions leaves in float, one try after another


@dataclass(frozen=True)
class Fix:
    """What may help. `overrides` are words of a command line, "" where a person must act; `text` is what it means.

    `bytes` is what the artifact would have, about; 0 where it stays as it is. With `searches`, the overrides start a
    search of their own.
    """

    overrides: str
    text: str
    bytes: int = 0
    searches: bool = False


@dataclass(frozen=True)
class MeasuredSizes:
    """Bytes that were measured: of the float model and of the artifact."""

    float_bytes: int
    artifact: int

    def estimate(self, scheme: str, current: str) -> int:
        """Return about what the artifact would have with another scheme.

        What the current scheme saved says how much of the model is weights; the rest stays as it is.
        """
        bits, has = SCHEMES[scheme].weights, SCHEMES[current].weights
        if bits == has:
            return self.artifact
        saved = max(self.float_bytes - self.artifact, 0)
        weights = saved / (1 - SHARES[has]) if saved and has else self.float_bytes * WEIGHTS_SHARE
        return round(self.float_bytes - min(weights, self.float_bytes) * (1 - SHARES[bits]))


# failures


def find_repairs(recipe: Recipe, failure: Failure) -> list[str]:
    """Return the overrides that may help a build that fails, in the order to be tried.

    What the failure itself names comes first, as far as the scheme stays. Where the scheme is to blame, other ways to
    it follow, and rules that leave the operators that the failure names in float. Other schemes come last.
    """
    named = list(dict.fromkeys(failure.fixes))
    schemes = [fix for fix in named if fix.startswith("quantization=")]
    if not (failure.operators or schemes) or recipe.quantization.scheme not in SAFER:
        return named
    same = [fix for fix in named if fix not in schemes]
    ruled = [keep_in_float(recipe, failure.operators)] if failure.operators and allows_float(recipe) else []
    return list(dict.fromkeys([*same, *vary_scheme(recipe.quantization), *ruled, *schemes]))


def vary_scheme(quantization: Quantization) -> Iterator[str]:
    """Yield other ways to the same scheme: engine, symmetric activations, granularity."""
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
    """Return the overrides that leave operators in float, given by the `op` and `match` of a rule."""
    quantization = recipe.quantization
    rules = [QuantizationRule(match=one["match"], op=one["op"], scheme="none") for one in operators]
    first = "" if quantization.engine == "litert" else "quantization.engine=litert "
    return first + write_rules([*quantization.rules, *(rule for rule in rules if rule not in quantization.rules)])


def write_rules(rules: Sequence[QuantizationRule]) -> str:
    """Return the override that sets these rules, without a blank: `quantization.rules=[{op:TILE,scheme:float32}]`."""
    written = []
    for rule in rules:
        fields = {"match": _quote(rule.match), "op": rule.op, "scheme": SCHEMES[rule.scheme].grammar}
        written.append("{" + ",".join(f"{name}:{value}" for name, value in fields.items() if value) + "}")
    return f"quantization.rules=[{','.join(written)}]"


def _quote(match: str) -> str:
    """Return a regular expression in quotes of Hydra's grammar. A blank becomes `\\s`, since words have none."""
    if not match:
        return ""
    text = re.sub(r"\\?\s", lambda _: r"\s", match)
    return '"' + text.replace('"', r"\"") + '"'


# gates


def find_remedies(recipe: Recipe, missed: Sequence[Gate], sizes: MeasuredSizes) -> list[Fix]:
    """Return what may help against missed gates, in the order of what it costs.

    `missed` are gates of the recipe and of its targets. What would surely break another limit on bytes is left out.
    """
    kinds = {kind_of(gate.name) for gate in missed}
    found: list[Fix] = []
    if "accuracy" in kinds:
        found += [*keep_size(recipe), *change_scheme(recipe, SAFER.get(recipe.quantization.scheme, ()), sizes)]
    if "size" in kinds:
        limits = [gate.limit for gate in missed if gate.name in SIZE_FIGURES]
        smaller = list(propose_smaller_schemes(recipe, min(limits), sizes))
        found = smaller if "accuracy" not in kinds else [one for one in found if not one.bytes]
    if "speed" in kinds and not kinds & {"accuracy", "size"}:
        found += change_scheme(recipe, FASTER.get(recipe.quantization.scheme, ()), sizes)
    most = dict(recipe.verify.gates).get("bytes")
    found = [one for one in found if most is None or one.bytes <= most]
    return [*found, *propose_search(recipe, missed)]


def kind_of(name: str) -> str:
    """Return what a gate is about: accuracy, size (of the file) or speed (memory and time of a target)."""
    own = split_target(name)[1]
    if name.partition(".")[0] in METRIC_SIDES:
        return "accuracy"
    if own in SIZE_FIGURES:
        return "size"
    figure = own.rpartition(".")[2]
    return "accuracy" if figure in WORST_OF_OUTPUTS or figure in ACCURACIES else "speed"


def keep_size(recipe: Recipe) -> Iterator[Fix]:
    """Yield what may lose less at about the same size."""
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
    if can_spare(recipe):
        yield Fix(
            "",
            "`tflbuild sensitivity` with the same arguments lists the operators that lose most;"
            " quantization.rules leaves them in float",
        )


def change_scheme(recipe: Recipe, schemes: Sequence[str], sizes: MeasuredSizes) -> Iterator[Fix]:
    """Yield other schemes, with what they mean for size and arithmetic."""
    current = recipe.quantization.scheme
    for scheme in schemes:
        if scheme in CALIBRATED and recipe.dataset is None:
            continue
        size = sizes.estimate(scheme, current)
        told = "about the same size" if size == sizes.artifact else f"about {show_bytes(size)}"
        yield Fix(f"quantization={scheme}", f"{told}, {ARITHMETIC[scheme]}", 0 if size == sizes.artifact else size)


def propose_smaller_schemes(recipe: Recipe, limit: float, sizes: MeasuredSizes) -> Iterator[Fix]:
    """Yield smaller schemes that about keep a limit, else the smallest, and then what else makes a model smaller."""
    current = recipe.quantization.scheme
    fewer = [one for one in SMALLER if SCHEMES[one].weights and sizes.estimate(one, current) < sizes.artifact]
    fitting = [one for one in fewer if sizes.estimate(one, current) <= limit]
    if recipe.quantization.rules:
        yield Fix("", "fewer exceptions in quantization.rules")
    yield from change_scheme(recipe, fitting or fewer[-2:], sizes)
    if not fitting:
        yield Fix("", f"no scheme alone makes it {show_bytes(round(limit))}: fewer channels or layers would")


def propose_search(recipe: Recipe, missed: Sequence[Gate]) -> Iterator[Fix]:
    """Yield the search for the smallest artifact that keeps the limits on accuracy."""
    for gate in missed:
        if gate.name in {*WORST_OF_OUTPUTS, *ACCURACIES}:
            budget = f"quantization=auto quantization.budget.{gate.name}={gate.limit:g}"
            yield Fix(budget, "builds and measures many, and ends with the smallest that passes", searches=True)
            return


def can_spare(recipe: Recipe) -> bool:
    """Return whether rules may leave single operators in float."""
    quantized = SCHEMES[recipe.quantization.scheme].mode != "float"
    return quantized and recipe.quantization.engine == "litert" and allows_float(recipe)


def allows_float(recipe: Recipe) -> bool:
    """Return whether targets and op set let an operator compute in float: a rule must keep what they demand."""
    return not recipe.full_integer and recipe.opset.arithmetic == "any"


def keep_worst_in_float(recipe: Recipe, operators: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Yield overrides that leave the operators in float that lose most alone: one, then a few, then more.

    `operators` are rows of `tflbuild sensitivity`, the worst first.
    """
    names = [name for row in operators for name in (row["name"], *row["twins"])]
    for count in WORST:
        chosen = [name for row in operators[:count] for name in (row["name"], *row["twins"])]
        if 2 * len(chosen) <= len(names):  # with more in float, another scheme is the better answer
            yield keep_in_float(recipe, [{"op": "", "match": find_pattern(name, names)} for name in chosen])
