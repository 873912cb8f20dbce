"""The search, against a model whose every artifact is known: sizes add up, and so do noises."""

from dataclasses import dataclass, field, replace
from itertools import product
from math import log10

import pytest

from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Search
from tflbuild.core.search_result import SearchTrial
from tflbuild.core.step_result import Failure
from tflbuild.search.scheme_assignment import SchemeUpgrade
from tflbuild.search.search_candidates import describe, list_usable_schemes, make_single
from tflbuild.search.search_strategy import SchemeSearch

SIZES = {"none": 4.0, "float16": 2.0, "weight_only_int8": 1.0, "weight_only_int4": 0.5}
NOISES = {"none": 0.0, "float16": 1e-7, "weight_only_int8": 1e-4, "weight_only_int4": 1e-2}
OPERATORS = {"a": (1000, 1.0), "b": (4000, 0.1), "c": (200, 5.0), "d": (2000, 0.5)}  # weights, how touchy


def snr(noise):
    return 200.0 if not noise else -10 * log10(noise)


@dataclass
class Known:
    """Stands in for Trials: what each artifact is like is computed."""

    search: Search
    broken: frozenset[str] = frozenset()
    checked: bool = False  # whether what is broken was built, and failed when it was to be measured
    tried: dict = field(default_factory=dict)
    excluded: dict = field(default_factory=dict)

    @property
    def limits(self):
        return self.search.budget

    @property
    def floats(self):
        return "none" in self.search.schemes

    @property
    def left(self):
        return self.search.trials - sum(bool(trial.gates) for trial in self.tried.values())

    def schemes(self, quantization):
        rules = {rule.match.removeprefix("^").removesuffix("(;|$)"): rule.scheme for rule in quantization.rules}
        return {name: rules.get(name, quantization.scheme) for name in OPERATORS}

    def facts(self, quantization):
        chosen = self.schemes(quantization)
        size = sum(OPERATORS[name][0] * SIZES[scheme] for name, scheme in chosen.items())
        noise = sum(OPERATORS[name][1] * NOISES[scheme] for name, scheme in chosen.items())
        figures = {"max_abs_error": 0.0, "rmse": 0.0, "cosine": 1.0, "snr_db": snr(noise)}
        return {"check": {"bytes": size}, "verify": {"samples": 9, "outputs": {"y": figures}}}

    def build(self, quantizations):
        for one in quantizations:
            failure = Failure(kind="build", what="broken") if one.scheme in self.broken else None
            facts = {} if failure is not None and not self.checked else {"check": self.facts(one)["check"]}
            self.tried.setdefault(one, SearchTrial(describe(one), one, facts, failure=failure))
        return [self.tried[one] for one in quantizations]

    def measure(self, quantization):
        facts = self.facts(quantization)
        gates = tuple(
            Gate(name, limit, facts["verify"]["outputs"]["y"]["snr_db"]) for name, limit in self.search.budget
        )
        if self.left > 0:
            self.tried[quantization] = SearchTrial(describe(quantization), quantization, facts, gates)
        return self.tried[quantization]

    def sensitivities(self, quantizations):
        total = sum(weights * SIZES["none"] for weights, _ in OPERATORS.values())
        return {
            one.scheme: {"bytes": total, "powers": {"y": 1.0}, "left": [], **self.rows(one.scheme)}
            for one in quantizations
        }

    def rows(self, scheme):
        total = sum(weights * SIZES["none"] for weights, _ in OPERATORS.values())
        rows = [
            {
                "name": name,
                "operator": "CONV_2D",
                "twins": [],
                "bytes": total - weights * (SIZES["none"] - SIZES[scheme]),
                "noise": {"y": touchy * NOISES[scheme]},
                "snr_db": snr(touchy * NOISES[scheme]),
            }
            for name, (weights, touchy) in OPERATORS.items()
        ]
        return {"scheme": scheme, "operators": sorted(rows, key=lambda row: row["snr_db"])}


def find(limit, trials=60, broken=(), schemes=tuple(SIZES)):
    known = Known(Search(budget=(("snr_db", limit),), schemes=schemes, trials=trials), frozenset(broken))
    return SchemeSearch(known).find()


def smallest(limit):
    """By trying all of them."""
    best = None
    for chosen in product(SIZES, repeat=len(OPERATORS)):
        pairs = list(zip(OPERATORS.values(), chosen, strict=True))
        size = sum(weights * SIZES[scheme] for (weights, _), scheme in pairs)
        if snr(sum(touchy * NOISES[scheme] for (_, touchy), scheme in pairs)) >= limit:
            best = size if best is None else min(best, size)
    return best


@pytest.mark.parametrize("limit", [12, 18, 22, 28, 33, 38, 45, 60, 72, 100])
def test_what_is_found_is_near_the_smallest_that_there_is(limit):
    found = find(limit)
    assert found.chosen is not None and found.chosen.meets
    assert found.chosen.bytes <= 1.2 * smallest(limit)


def test_it_is_smaller_than_every_single_scheme_that_meets_the_budget():
    found = find(28)
    singles = [trial for trial in found.trials if not trial.quantization.rules and trial.meets]
    assert found.chosen.bytes < min(trial.bytes for trial in singles)


def test_nothing_larger_than_what_meets_the_budget_is_measured():
    found = find(18)
    larger = [trial for trial in found.trials if trial.bytes > 2 * found.chosen.bytes]
    assert larger and not any(trial.gates for trial in larger)


def test_a_budget_that_float_itself_misses_ends_at_once_with_nothing_chosen():
    found = find(250)
    assert found.chosen is None
    assert [trial.label for trial in found.trials] == list(SIZES)
    assert all(trial.gates and not trial.meets for trial in found.trials)


def test_no_more_is_measured_than_allowed():
    found = find(28, trials=5)
    assert sum(bool(trial.gates) for trial in found.trials) <= 5


def test_a_scheme_that_cannot_be_built_is_passed_over():
    found = find(28, broken=["float16"])
    assert found.chosen is not None
    assert next(trial for trial in found.trials if trial.label == "float16").failure.what == "broken"


def test_only_the_schemes_that_are_allowed_are_used():
    found = find(28, schemes=("none", "weight_only_int8"))
    used = {found.chosen.quantization.scheme, *(rule.scheme for rule in found.chosen.quantization.rules)}
    assert used <= {"none", "weight_only_int8"}


def test_the_operators_that_cost_most_are_named():
    assert [one.name for one in find(28).costly] == ["c", "a", "d", "b"]


def test_nothing_is_refined_where_nothing_could_be_measured():
    known = Known(Search(budget=(("snr_db", 28),), schemes=tuple(SIZES)), frozenset(SIZES), checked=True)
    found = SchemeSearch(known).find()
    assert found.chosen is None and len(found.trials) == len(SIZES)


def test_with_integer_inputs_exceptions_in_float_are_still_tried():
    schemes = ("none", "int8")
    known = Known(Search(budget=(("snr_db", 28),), schemes=schemes, input_type="int8"), broken=frozenset(["int8"]))
    finder = SchemeSearch(known)
    known.build([make_single("int8", known.search)])
    assert finder.groups(list_usable_schemes(finder.trials.search)) == [["int8"]]


def test_a_limit_that_a_trial_meets_by_a_hair_ties_the_choice_to_the_cpu():
    whole = snr(NOISES["weight_only_int8"] * sum(touchy for _, touchy in OPERATORS.values()))
    near, far = find(whole - 0.005), find(whole - 0.05)
    (tie,) = [tie for tie in near.ties if tie.layer == "weight_only_int8"]
    assert tie.operator == "quantization=auto" and "too near to be the same on every CPU" in tie.reason
    assert not [tie for tie in far.ties if tie.layer == "weight_only_int8"]


def test_a_latency_of_this_host_decides_for_this_host():
    search = Search(budget=(("snr_db", 28.0),), schemes=tuple(SIZES), trials=60, objective="latency")
    finder = SchemeSearch(Known(search))
    assert [tie.reason for tie in finder.list_ties()] == ["its objective is a latency that was measured on this host"]


def test_operators_that_lose_nearly_the_same_tie_the_choice_to_the_cpu():
    finder = SchemeSearch(Known(Search(budget=(), schemes=tuple(SIZES), trials=60)))
    upgrades = [
        SchemeUpgrade("a", "float16", 2.0),
        SchemeUpgrade("b", "float16", 1.9999),
        SchemeUpgrade("c", "float16", 1.9999),
    ]
    for count in range(4):
        finder.note_close_order(upgrades, count)
    assert [tie.layer for tie in finder.close_orders] == ["a"], "b and c are equal: their order is that of the model"


def test_of_equals_the_smaller_is_chosen_and_then_by_name():
    finder = SchemeSearch(Known(Search(budget=(), schemes=tuple(SIZES), trials=60)))
    facts = {"check": {"bytes": 10}}
    first, second = (SearchTrial(label, make_single("float16", finder.trials.search), facts) for label in ("a", "b"))
    assert finder.value(first) < finder.value(second)
    assert finder.value(replace(second, facts={"check": {"bytes": 9}})) < finder.value(first)
