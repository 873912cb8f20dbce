"""Limits, and what is held against them."""

import pytest

from tflbuild.core.confidence_intervals import paired_interval, wilson
from tflbuild.core.gates import Gate, NotMeasuredError, collect_figures, evaluate, merge_limits

FACTS = {
    "check": {"bytes": 1000},
    "verify": {
        "samples": 10,
        "outputs": {
            "a": {"max_abs_error": 0.1, "rmse": 0.01, "cosine": 0.99, "snr_db": 30.0},
            "b": {"max_abs_error": 0.5, "rmse": 0.001, "cosine": 0.9, "snr_db": 40.0},
        },
        "classification": {
            "output": "a",
            "top1": 0.9,
            "top1_source": 0.92,
            "top1_drop": 0.02,
            "agreement": 0.95,
            "lost": 1,
            "gained": 0,
            "top_k": 5,
        },
    },
}


def test_of_several_outputs_the_worst_counts():
    found = collect_figures(FACTS)
    assert (found["max_abs_error"], found["rmse"], found["cosine"], found["snr_db"]) == (0.5, 0.01, 0.9, 30.0)
    assert (found["bytes"], found["top1_drop"]) == (1000.0, 0.02)


@pytest.mark.parametrize(
    ("name", "limit", "value", "passed"),
    [
        ("top1_drop", 0.01, 0.02, False),
        ("top1_drop", 0.02, 0.02, True),
        ("top1_drop", 0.01, -0.02, True),
        ("top1", 0.91, 0.9, False),
        ("top1", 0.9, 0.9, True),
        ("snr_db", 20.0, 19.9, False),
        ("cosine", 0.99, 0.999, True),
        ("agreement", 0.99, 0.95, False),
        ("max_abs_error", 0.1, 0.2, False),
        ("rmse", 0.1, 0.05, True),
        ("bytes", 100.0, 101.0, False),
    ],
)
def test_a_gate_is_a_limit_on_the_right_side(name, limit, value, passed):
    assert Gate(name, limit, value).passed is passed


def test_a_missed_gate_says_by_how_much():
    assert Gate("top1_drop", 0.01, 0.025).text() == "top1_drop is 0.025, at most 0.01 is allowed: 0.015 too high"
    assert Gate("top1", 0.9, 0.8).text() == "top1 is 0.8, at least 0.9 is allowed: 0.1 too low"
    assert Gate("top1", 0.9, 0.95).text() == "top1 is 0.95, at least 0.9 is allowed"


def test_declared_gates_meet_what_was_measured():
    found = evaluate((("bytes", 500.0), ("snr_db", 20.0)), FACTS)
    assert [(gate.name, gate.passed) for gate in found] == [("bytes", False), ("snr_db", True)]


def test_one_output_may_have_limits_of_its_own():
    limits = (("outputs.a.snr_db", 35.0), ("outputs.b.snr_db", 35.0), ("outputs.b.max_abs_error", 0.6))
    assert [gate.passed for gate in evaluate(limits, FACTS)] == [False, True, True]


def test_metrics_of_the_users_own_have_a_side():
    facts = {**FACTS, "verify": {**FACTS["verify"], "metrics": {"wer": 0.2}}}
    least, most = evaluate((("at_least.wer", 0.3), ("at_most.wer", 0.3)), facts)
    assert (least.passed, most.passed) == (False, True)
    assert least.text() == "wer is 0.2, at least 0.3 is allowed: 0.1 too low"


def test_a_figure_that_was_not_measured_is_named():
    with pytest.raises(KeyError, match=r"outputs\.c\.snr_db"):
        evaluate((("outputs.c.snr_db", 1.0),), FACTS)


def test_a_metric_that_is_named_as_one_of_ours_has_the_side_that_was_told():
    assert not Gate("at_most.top1", 0.3, 0.4).passed and Gate("at_most.cosine", 0.3, 0.2).passed
    assert Gate("at_least.rmse", 0.3, 0.4).passed and not Gate("outputs.at_most.snr_db", 0.3, 0.2).passed


def test_of_two_limits_on_one_figure_the_stricter_one_is_kept():
    assert merge_limits(
        (("snr_db", 30.0), ("bytes", 9.0)), (("snr_db", 20.0), ("bytes", 10.0), ("at_most.top1", 1.0))
    ) == (
        ("at_most.top1", 1.0),
        ("bytes", 9.0),
        ("snr_db", 30.0),
    )


def test_bytes_are_told_in_full():
    assert (
        Gate("bytes", 1e6, 12345678.0).text()
        == "bytes is 12,345,678, at most 1,000,000 is allowed: 11,345,678 too high"
    )


def test_the_outputs_that_there_are_are_told_with_a_limit_on_another():
    with pytest.raises(NotMeasuredError) as caught:
        evaluate((("outputs.c.snr_db", 1.0),), FACTS)
    assert (caught.value.limit, caught.value.outputs) == ("outputs.c.snr_db", ["a", "b"])


def test_with_a_confidence_accuracies_are_compared_by_the_bound_of_their_interval():
    limits = (("agreement", 0.7), ("bytes", 1000.0), ("top1", 0.5), ("top1_drop", 0.2))
    verify = FACTS["verify"] | {"classification": FACTS["verify"]["classification"] | {"top1": 0.9, "agreement": 1.0}}
    facts = {"check": FACTS["check"], "verify": verify}
    assert all(gate.passed and gate.bound is None for gate in evaluate(limits, facts))
    agreement, size, top1, drop = evaluate(limits, facts, 0.95)
    assert agreement.bound == wilson(10, 10).low and agreement.passed
    assert (size.bound, size.confidence, size.passed) == (None, None, True)
    assert top1.bound == wilson(9, 10).low and top1.passed
    assert drop.bound == paired_interval(1, 0, 10).high > 0.2 and not drop.passed
    assert drop.text() == "top1_drop is 0.02 (95 % interval: up to 0.4042), at most 0.2 is allowed: 0.2042 too high"
    assert not evaluate((("top1", 0.6),), facts, 0.95)[0].passed and evaluate((("top1", 0.6),), facts, 0.9)[0].passed
