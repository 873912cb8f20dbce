"""Quantizations that a search may try."""

import re

import pytest
from frozen import recipe
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.core.recipe import QuantizationRule, Search
from tflbuild.search.search_candidates import (
    describe,
    list_usable_schemes,
    make_final_recipe,
    make_single,
    make_trial_recipe,
    vary_single,
    with_exceptions,
)
from tflbuild.tflite.operator_match import find_pattern

BUDGET = (("snr_db", 30.0),)
ALL = ("none", "float16", "dynamic_int8", "dynamic_int4", "int8")
NAMES = st.lists(st.text("ab/_;.+", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)


def search(**changes):
    told = {"budget": BUDGET, "schemes": ALL, "algorithms": ("min_max", "mse"), "methods": ("min_max", "percentile")}
    return Search(**{**told, **changes})


@given(NAMES, st.data())
def test_a_pattern_finds_its_operator_and_no_other(names, data):
    name = data.draw(st.sampled_from(names))
    assert [other for other in names if re.search(find_pattern(name, names), other)] == [name]


def test_a_pattern_is_the_first_of_fused_names_where_that_will_do():
    assert find_pattern("a/relu;a/bias;b", ["a/relu;a/bias;b", "c"]) == "^a/relu(;|$)"
    assert find_pattern("a;b", ["a;b", "a;c"]) == "^a;b$"


def test_the_scheme_of_most_operators_is_the_base_and_the_others_are_rules():
    made = with_exceptions(
        make_single("dynamic_int8", search()), {"a": "dynamic_int4", "b": "dynamic_int4", "c": "none"}, ["a", "b", "c"]
    )
    assert made.scheme == "dynamic_int4"
    assert made.rules == (QuantizationRule(match="^c(;|$)", op="", scheme="none"),)


def test_a_static_scheme_stays_the_base_as_inputs_and_outputs_go_with_it():
    made = with_exceptions(make_single("int8", search()), {"a": "int16x8", "b": "int16x8"}, ["a", "b"])
    assert made.scheme == "int8" and [rule.scheme for rule in made.rules] == ["int16x8", "int16x8"]


def test_kinds_that_a_scheme_has_nothing_for_are_spared_by_a_rule():
    made = with_exceptions(make_single("int8", search()), {"a": "int8"}, ["a"], float_operators=["NEG"])
    assert made.rules == (QuantizationRule(match="", op="NEG", scheme="none"),)


def test_a_scheme_varies_in_what_it_has_a_use_for():
    told = [describe(one) for one in vary_single("int8", search())]
    assert told == ["int8", "int8 mse", "int8", "int8 percentile ranges"]
    assert [describe(one) for one in vary_single("float16", search())] == []
    assert "dynamic_int4 blockwise_32" in [describe(one) for one in vary_single("dynamic_int4", search())]


def test_integer_inputs_leave_static_schemes_alone():
    assert list_usable_schemes(search()) == list(ALL)
    assert list_usable_schemes(search(input_type="int8")) == ["int8"]


def test_what_a_search_ends_with_has_its_own_gates_on_samples_that_the_search_did_not_see():
    asked = recipe(search=search(budget=(("snr_db", 30.0), ("top1_drop", 0.001))))
    made = make_final_recipe(asked, make_single("int8", search()))
    assert made.search is None and made.quantization.scheme == "int8"
    assert (made.verify.gates, made.verify.part) == (asked.verify.gates, "report")


def test_what_is_tried_is_a_recipe_without_a_search_and_the_budget_is_its_gates():
    asked = recipe(search=search(budget=(("snr_db", 30.0), ("top1_drop", 0.001))))
    made = make_trial_recipe(asked, make_single("int8", search()))
    assert made.search is None and made.quantization.scheme == "int8"
    assert made.verify.gates == (("snr_db", 30.0), ("top1_drop", 0.001)) and made.verify.part == "selection"


@pytest.mark.parametrize("scheme", ALL)
def test_only_what_is_calibrated_has_a_calibration(scheme):
    assert (make_single(scheme, search()).calibration is not None) is (scheme == "int8")


def test_the_first_algorithm_and_method_are_those_of_every_scheme_that_has_weights_to_choose():
    asked = search(algorithms=("octav",), methods=("percentile", "min_max"))
    made = make_single("int8", asked)
    assert (made.algorithm, made.calibration.method) == ("octav", "percentile")
    assert [make_single(scheme, asked).algorithm for scheme in ("none", "float16")] == ["min_max", "min_max"]
    assert vary_single("none", asked) == []


def test_exceptions_that_leave_no_integer_weights_have_no_algorithm():
    single = make_single("weight_only_int8", search(algorithms=("octav",)))
    assert with_exceptions(single, {"a": "float16", "b": "none"}, ["a", "b"]).algorithm == "min_max"
    assert with_exceptions(single, {"a": "weight_only_int8", "b": "none"}, ["a", "b"]).algorithm == "octav"


def test_of_a_budget_and_a_gate_on_one_figure_the_stricter_one_holds():
    asked = recipe(search=search(budget=(("snr_db", 30.0), ("top1_drop", 0.5))))  # its gate: top1_drop 0.01
    assert make_trial_recipe(asked, make_single("int8", search())).verify.gates == (
        ("snr_db", 30.0),
        ("top1_drop", 0.01),
    )
