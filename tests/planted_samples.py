"""Faults of the dataset reader: what it feeds is not what the file holds. See `fault_planting.py`."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from fault_planting import fault_within


@contextmanager
def feeding(change):
    """The reader with `change(inputs, labels)` between a file's blocks and what is written as samples."""
    from tflbuild.steps.datasets.dataset_feeder import DatasetFeeder

    feed = DatasetFeeder.feed

    def feed_changed(self):
        for inputs, labels, more in feed(self):
            yield *change(dict(inputs), labels), more

    DatasetFeeder.feed = feed_changed
    try:
        yield
    finally:
        DatasetFeeder.feed = feed


def planted(change):
    """Register a fault of the reader, a function of one block's inputs and labels."""

    def around(request):
        with feeding(change):
            yield

    around.__name__, around.__doc__ = change.__name__, change.__doc__
    return fault_within("steps.datasets.sample")(around)


@planted
def reader_shuffles_labels(inputs, labels):
    return inputs, np.random.default_rng(0).permutation(labels)


@planted
def reader_shifts_labels(inputs, labels):
    """Class 1 is called 2, and the last one 0."""
    return inputs, (labels + 1) % 5


@planted
def reader_drops_the_first_label(inputs, labels):
    """Each sample gets the label of the next one."""
    return inputs, np.roll(labels, -1)


@planted
def reader_reads_one_class(inputs, labels):
    kept = labels == 0
    return {name: array[kept] for name, array in inputs.items()}, labels[kept]


@planted
def reader_repeats_a_sample(inputs, labels):
    return {name: np.repeat(array[:1], len(array), 0) for name, array in inputs.items()}, np.repeat(labels[:1], 96)


@planted
def reader_feeds_one_sample(inputs, labels):
    return {name: array[:1] for name, array in inputs.items()}, labels[:1]


@planted
def reader_feeds_an_array_to_another_input(inputs, labels):
    return {"first": inputs["second"], "second": inputs["first"]}, labels


@planted
def reader_scales_twice(inputs, labels):
    return {name: array / np.float32(255) for name, array in inputs.items()}, labels


@planted
def reader_forgets_to_scale(inputs, labels):
    """Only of one input: as if the other's scale stood for both."""
    return {**inputs, "first": inputs["first"] * np.float32(255)}, labels


@planted
def reader_reverses_channels(inputs, labels):
    return {name: np.ascontiguousarray(array[..., ::-1]) for name, array in inputs.items()}, labels


@planted
def reader_truncates_to_integers(inputs, labels):
    return {name: np.trunc(array * np.float32(0.999)) for name, array in inputs.items()}, labels


@planted
def reader_feeds_zeros(inputs, labels):
    return {name: np.zeros_like(array) for name, array in inputs.items()}, labels


@planted
def reader_feeds_nan(inputs, labels):
    return {name: np.where(array > 2, array, np.float32(np.nan)) for name, array in inputs.items()}, labels


@planted
def reader_turns_images(inputs, labels):
    """Height and width are exchanged."""
    return {name: np.ascontiguousarray(array.swapaxes(1, 2)) for name, array in inputs.items()}, labels
