"""What labels and predictions say of the evaluation."""

import numpy as np

from tflbuild.steps.verification.label_statistics import describe_labels, find_order

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 6, 300)


def named(labels, accuracy, classes=6):
    """Predictions that are right with this probability."""
    return np.where(RNG.random(len(labels)) < accuracy, labels, RNG.integers(0, classes, len(labels)))


def test_permuted_labels_are_recognised_by_the_pairs_that_belong_together():
    order = np.array([2, 0, 1, 3, 5, 4])
    found = find_order(named(LABELS, 0.9), order[LABELS])
    assert found["pairs"] == [[0, 2], [1, 0], [2, 1]] and found["top1_reordered"] > 0.8 > found["top1"]


def test_two_classes_that_are_swapped_are_enough():
    assert find_order(named(LABELS, 0.95), np.array([0, 1, 3, 2, 4, 5])[LABELS])["pairs"] == [[2, 3], [3, 2]]


def test_a_right_a_poor_and_a_random_model_are_no_other_order():
    for accuracy in (1.0, 0.9, 0.5, 0.2, 0.0):
        assert all(find_order(named(LABELS, accuracy), LABELS) is None for _ in range(20))


def test_a_model_that_names_one_class_is_no_other_order():
    assert find_order(np.zeros(300, int), LABELS) is None
    assert find_order(np.where(LABELS == 3, 2, np.minimum(LABELS, 2)), LABELS) is None


def test_chance_is_what_the_most_frequent_label_gives():
    labels = np.repeat([0, 1], [80, 20])
    found = describe_labels(np.zeros(100, int), named(labels, 1.0), labels)
    assert (found["most_frequent"], found["share"], found["classes"]) == (0, 0.8, 2)
    assert found["p_source"] > 0.5 and found["p_artifact"] < 1e-9
    assert (found["named_source"], found["named_artifact"]) == (1, 2)
