"""Statistics of labels and predictions that show faults of the evaluation: chance, and labels in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflbuild.core.confidence_intervals import binomial_tail, mcnemar

# The p-value below which another order of the labels explains the predictions better.
SIGNIFICANT = 0.01
# The smallest gain of accuracy by another order.
SMALLEST_GAIN = 0.1
SHOWN_PAIRS = 3


def describe_labels(best_reference: np.ndarray, best_actual: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Describe the distribution of labels and predictions.

    Args:
        best_reference: The source's class of each sample, [samples].
        best_actual: The artifact's class of each sample, [samples].
        labels: The labels, [samples].

    Returns:
        The facts of the labels. `p_source` and `p_artifact` are the probabilities that a predictor which always returns
        the most frequent label has at least as many correct answers.
    """
    values, counts = np.unique(labels, return_counts=True)
    samples, most = len(labels), int(counts.argmax())
    share = int(counts[most]) / samples
    correct = {"source": int((best_reference == labels).sum()), "artifact": int((best_actual == labels).sum())}
    return {
        "classes": len(values),
        "most_frequent": int(values[most]),
        "share": share,
        "p_source": binomial_tail(correct["source"], samples, share),
        "p_artifact": binomial_tail(correct["artifact"], samples, share),
        "named_source": len(np.unique(best_reference)),
        "named_artifact": len(np.unique(best_actual)),
        "order": find_order(best_reference, labels),
    }


def find_order(named: np.ndarray, labels: np.ndarray) -> dict[str, Any] | None:
    """Find an order of the labels under which the source is clearly better, None if there is none.

    The order is learned on every second sample and tested on the others, so that it does not fit noise.

    Args:
        named: The source's class of each sample, [samples].
        labels: The labels, [samples].
    """
    training, test = slice(0, None, 2), slice(1, None, 2)
    order = assign(named[training], labels[training])
    changed = [[name, label] for name, label in sorted(order.items()) if name != label]
    # A single exchanged class indicates a bad model, not another order.
    if len(changed) < 2 or not len(labels[test]):
        return None
    mapped = np.array([order.get(int(name), -1) for name in named[test]])
    is_correct, is_correct_mapped = named[test] == labels[test], mapped == labels[test]
    lost, gained = int((is_correct & ~is_correct_mapped).sum()), int((is_correct_mapped & ~is_correct).sum())
    if (gained - lost) / len(mapped) < SMALLEST_GAIN or mcnemar(lost, gained) >= SIGNIFICANT:
        return None
    frequent = np.unique(labels[test], return_counts=True)[1].max() / len(mapped)
    if binomial_tail(int(is_correct_mapped.sum()), len(mapped), float(frequent)) >= SIGNIFICANT:
        return None
    return {
        "top1": float(is_correct.mean()),
        "top1_reordered": float(is_correct_mapped.mean()),
        "pairs": changed[:SHOWN_PAIRS],
    }


def assign(named: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Assign a label to each predicted class, each label at most once, the most frequent pairs first."""
    pairs, counts = np.unique(np.stack([named, labels]), axis=1, return_counts=True)
    order: dict[int, int] = {}
    used_labels: set[int] = set()
    for index in np.argsort(-counts, kind="stable"):
        name, label = int(pairs[0, index]), int(pairs[1, index])
        if name not in order and label not in used_labels:
            order[name] = label
            used_labels.add(label)
    return order
