"""Collapse is loud: what the figures of an artifact warn of."""

import pytest

from tflbuild.core.figure_warnings import find_collapse, find_warnings, is_collapsed, warn_of_gates
from tflbuild.core.gates import Gate, collect_figures, collect_margins

OUTPUT = {"max_abs_error": 0.1, "rmse": 0.01, "cosine": 0.999, "snr_db": 34.8}
LABELS = {
    "classes": 10,
    "most_frequent": 3,
    "share": 0.12,
    "p_source": 0.0,
    "p_artifact": 0.0,
    "named_source": 10,
    "named_artifact": 10,
    "order": None,
}
ACCURACY = {"top1": 0.93, "top1_source": 0.93, "top1_drop": 0.0, "agreement": 0.99, "lost": 3, "gained": 3, "top_k": 5}
CHANNEL = {"channel": 4, "low": 0.0, "high": 0.9, "snr_db": -2.0, "cosine": 0.0, "max_abs_error": 0.9}
CHANNELS = {
    "axis": -1,
    "channels": 9,
    "times": 640.0,
    "step": 2.5,
    "below": [4, 5],
    "stuck": [],
    "worst": CHANNEL,
    "listed": [CHANNEL],
}


def verify(samples=2000, output=None, labels=None, **accuracy):
    return {
        "samples": samples,
        "distinct": samples,
        "outputs": {"y": OUTPUT | (output or {})},
        "classification": {**ACCURACY, **accuracy, "labels": {**LABELS, **(labels or {})}},
    }


def kinds(facts):
    return [warning.kind for warning in find_warnings(facts)]


def test_good_figures_warn_of_nothing():
    assert find_warnings(verify()) == [] and not is_collapsed(verify()) and not is_collapsed(None)


@pytest.mark.parametrize(
    ("facts", "kind", "text"),
    [
        (verify(samples=1), "samples", "1 evaluation sample cannot show"),
        (verify() | {"distinct": 1}, "repeated", "all 2,000 evaluation samples are the same"),
        (verify() | {"distinct": 400}, "repeated", "only 400 of 2,000 evaluation samples differ"),
        (verify(labels={"classes": 1}), "chance_of_source", "all 2,000 labels are class 3"),
        (verify(labels={"p_source": 0.4, "p_artifact": 0.4}), "chance_of_source", "check labels, preprocessing"),
        (
            verify(labels={"order": {"top1": 0.1, "top1_reordered": 0.9, "pairs": [[0, 3]]}}),
            "order",
            "what the source names 0 is labelled 3; in that order its top-1 is 90.0 % and not 10.0 %",
        ),
        (verify(labels={"p_artifact": 0.4}, top1=0.1), "chance", "the artifact's top-1 of 10.0 %"),
        (verify(labels={"named_artifact": 1}), "constant", "names one class for all samples, the source names 10"),
        (verify(agreement=0.4), "agreement", "same class on only 40.0 % of the samples"),
        (verify(output={"snr_db": 9.9}), "snr_db", "an SNR of 9.9 dB, less than 10"),
        (verify(output={"constant": True, "snr_db": 3.0}), "constant", "output 'y' is the same for all samples"),
        (verify(output={"channels": CHANNELS}), "channels", "output 'y', channels 4, 5 (last axis)"),
        (verify(output={"channels": {**CHANNELS, "below": []}}), "channels", "channel 4 (last axis): values that vary"),
    ],
)
def test_each_collapse_is_one_warning_that_keeps_it_off_the_front(facts, kind, text):
    (warning,) = find_warnings(facts)
    assert warning.kind == kind and text in warning.text and warning.collapsed and is_collapsed(facts)


def test_a_few_repeated_samples_are_no_reason_to_warn():
    assert find_warnings(verify() | {"distinct": 1990}) == []


def test_a_search_does_not_choose_what_collapsed_unless_its_budget_speaks_of_it():
    noisy = verify(output={"snr_db": 5.0})
    assert "SNR of 5.0 dB" in find_collapse(noisy, ["bytes"])
    assert find_collapse(noisy, ["snr_db"]) == find_collapse(noisy, ["outputs.y.snr_db"]) == ""
    assert find_collapse(noisy, ["top1_drop"]) == ""
    assert "40.0 %" in find_collapse(verify(agreement=0.4), ["top1_drop"])
    assert find_collapse(verify(agreement=0.4), ["agreement"]) == ""
    assert find_collapse(verify(labels={"named_artifact": 1}), ["top1", "agreement", "snr_db"])
    assert find_collapse(verify(samples=1), ["bytes"]) == ""  # the data's fault, whichever artifact is chosen


def test_gates_apply_to_the_worst_channel():
    found = collect_figures({"check": {}, "verify": verify(output={"channels": CHANNELS})})
    assert (found["snr_db"], found["cosine"]) == (-2.0, 0.0) == (found["outputs.y.snr_db"], found["outputs.y.cosine"])
    assert (found["rmse"], found["max_abs_error"]) == (0.01, 0.1)


def test_a_margin_is_that_of_the_figure_which_is_shown():
    interval = {"snr_db_interval": {"n": 2000, "low": 34.0, "high": 35.0}}
    assert collect_margins({"check": {}, "verify": verify(output=interval)})["snr_db"] == 0.5
    assert "snr_db" not in collect_margins({"check": {}, "verify": verify(output={**interval, "channels": CHANNELS})})
    assert collect_margins({"check": {}}) == {}


@pytest.mark.parametrize(
    ("gate", "samples", "text"),
    [
        (Gate("top1_drop", 0.001, 0.0), 100, "show a drop to +-5.3 points, and top1_drop: 0.001 is finer"),
        (Gate("top1", 0.99, 1.0), 100, "show no more than 96.3 % even where all are right, and top1: 0.99 is finer"),
        (Gate("agreement", 1.0, 1.0), 2000, "choose a wider gate"),
    ],
)
def test_a_gate_that_is_finer_than_the_data_is_warned_of(gate, samples, text):
    (warning,) = warn_of_gates([gate], verify(samples=samples, lost=2, gained=2))
    assert text in warning.text and "samples" in warning.text and not warning.collapsed


def test_other_gates_are_fine():
    gates = [
        Gate("top1_drop", 0.005, 0.0),
        Gate("top1_drop", 0.0, 0.0),
        Gate("top1", 0.9, 0.93),
        Gate("snr_db", 20, 34),
    ]
    assert not [*warn_of_gates(gates, verify())]
    assert not [*warn_of_gates(gates, {"samples": 5, "outputs": {}})]


def test_a_join_inside_the_model_is_warned_of_and_is_no_collapse():
    joins = {"coarse_joins": [{"name": "join;more", "step": 2.5, "inputs": ["scores"]}]}
    (warning,) = find_warnings(verify() | joins)
    assert warning.text.startswith("'join' joins scores with larger values") and not is_collapsed(verify() | joins)
    assert kinds(verify(output={"channels": CHANNELS}) | joins) == ["channels"]
