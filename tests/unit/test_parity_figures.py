import numpy as np
import pytest

from tflbuild.steps.verification.accuracy import classification, snr_interval
from tflbuild.steps.verification.parity_figures import SNR_CEILING_DB, parity


def test_known_errors_give_known_figures():
    found = parity(np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]]))
    assert found["max_abs_error"] == pytest.approx(0.5)
    assert found["rmse"] == pytest.approx(0.5 / 2**0.5)
    assert found["snr_db"] == pytest.approx(20.0)
    assert found["cosine"] == pytest.approx((9 + 18) / (5 * (9 + 20.25) ** 0.5))


def test_equal_outputs_reach_the_ceiling():
    values = np.array([[1.0, 2.0]])
    assert parity(values, values) == {
        "max_abs_error": 0.0,
        "rmse": 0.0,
        "cosine": pytest.approx(1.0),
        "snr_db": SNR_CEILING_DB,
    }


def test_all_zeros_stay_finite():
    zeros, ones = np.zeros((2, 2)), np.ones((2, 2))
    assert parity(zeros, zeros)["cosine"] == 1.0
    assert parity(zeros, ones) == {"max_abs_error": 1.0, "rmse": 1.0, "cosine": 0.0, "snr_db": -SNR_CEILING_DB}


def test_accuracy_of_both_and_their_agreement():
    labels = np.array([0, 1, 2, 2])
    source = np.eye(3)[[0, 1, 2, 0]]
    made = np.eye(3)[[0, 1, 0, 0]]
    found = classification(source, made, labels, top_k=2)
    assert (found["top1_source"], found["top1"], found["top1_drop"]) == (0.75, 0.5, 0.25)
    assert found["agreement"] == 0.75


def test_top_k_counts_the_k_best():
    scores = np.array([[0.1, 0.2, 0.7]])
    assert classification(scores, scores, np.array([1]), top_k=2)["topk"] == 1.0
    assert classification(scores, scores, np.array([0]), top_k=2)["topk"] == 0.0


def test_ties_go_to_the_lower_class():
    scores = np.array([[0.5, 0.5]])
    assert classification(scores, scores, np.array([0]), top_k=1)["topk"] == 1.0
    assert classification(scores, scores, np.array([1]), top_k=1)["topk"] == 0.0


def test_every_share_has_an_interval_and_the_drop_a_paired_test():
    labels = np.zeros(50, int)
    source, made = np.tile([0.9, 0.1], (50, 1)), np.tile([0.9, 0.1], (50, 1))
    made[:10] = made[:10, ::-1]
    found = classification(source, made, labels, top_k=1)
    assert set(found["intervals"]) == {"top1", "top1_source", "top1_drop", "topk", "topk_source", "agreement"}
    assert (found["lost"], found["gained"], found["top1"]) == (10, 0, 0.8)
    drop = found["intervals"]["top1_drop"]
    assert drop["n"] == 50 and drop["p"] == pytest.approx(2 / 2**10) and drop["low"] < 0.2 < drop["high"]
    assert found["intervals"]["top1"]["low"] < 0.8 < found["intervals"]["top1"]["high"]


def test_the_interval_of_an_snr_covers_the_true_ratio():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(300):
        reference = rng.normal(0, 1, (40, 20)) * rng.uniform(0.5, 1.5, (40, 1))
        error = rng.normal(0, 0.1, (40, 20)) * rng.uniform(0.5, 1.5, (40, 1))
        found = snr_interval(reference, reference + error)
        covered += found["low"] <= 20.0 <= found["high"]
    assert 0.9 < covered / 300 < 0.99 and found["n"] == 40


def test_an_snr_without_noise_or_with_one_sample_has_no_interval():
    values = np.ones((5, 3))
    assert snr_interval(values, values) is None and snr_interval(values[:1], values[:1] + 1) is None
