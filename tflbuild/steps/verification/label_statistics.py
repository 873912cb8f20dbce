"""What class labels and predictions say of the evaluation itself: chance, and labels in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflbuild.core.confidence_intervals import binomial_tail, mcnemar

SURE = 0.01  # p-value below which another order of the labels explains the predictions better
LEAST_GAIN = 0.1  # of accuracy, by another order
SHOWN_PAIRS = 3


def describe_labels(best_reference: np.ndarray, best_actual: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return how the labels are spread and how many classes are named; all arrays are class indices, [samples].

    `p_source` and `p_artifact` are the probabilities of at least as many right answers of a predictor that always names
    the most frequent label.
    """
    values, counts = np.unique(labels, return_counts=True)
    samples, most = len(labels), int(counts.argmax())
    share = int(counts[most]) / samples
    right = {"source": int((best_reference == labels).sum()), "artifact": int((best_actual == labels).sum())}
    return {
        "classes": len(values),
        "most_frequent": int(values[most]),
        "share": share,
        "p_source": binomial_tail(right["source"], samples, share),
        "p_artifact": binomial_tail(right["artifact"], samples, share),
        "named_source": len(np.unique(best_reference)),
        "named_artifact": len(np.unique(best_actual)),
        "order": find_order(best_reference, labels),
    }


def find_order(named: np.ndarray, labels: np.ndarray) -> dict[str, Any] | None:
    """Return the order of the labels under which the source is clearly better; None where the given one is right.

    The order is learned on every second sample and tried on the others, so that it cannot fit noise.
    """
    learned, tried = slice(0, None, 2), slice(1, None, 2)
    order = assign(named[learned], labels[learned])
    moved = [[name, label] for name, label in sorted(order.items()) if name != label]
    if len(moved) < 2 or not len(labels[tried]):  # one class that stands for another is a poor model, and no order
        return None
    mapped = np.array([order.get(int(name), -1) for name in named[tried]])
    right, right_mapped = named[tried] == labels[tried], mapped == labels[tried]
    lost, gained = int((right & ~right_mapped).sum()), int((right_mapped & ~right).sum())
    if (gained - lost) / len(mapped) < LEAST_GAIN or mcnemar(lost, gained) >= SURE:
        return None
    frequent = np.unique(labels[tried], return_counts=True)[1].max() / len(mapped)
    if binomial_tail(int(right_mapped.sum()), len(mapped), float(frequent)) >= SURE:
        return None
    return {"top1": float(right.mean()), "top1_reordered": float(right_mapped.mean()), "pairs": moved[:SHOWN_PAIRS]}


def assign(named: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Return class named -> label, each at most once, the most frequent pairs first."""
    pairs, counts = np.unique(np.stack([named, labels]), axis=1, return_counts=True)
    order: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(-counts, kind="stable"):
        name, label = int(pairs[0, place]), int(pairs[1, place])
        if name not in order and label not in taken:
            order[name] = label
            taken.add(label)
    return order
