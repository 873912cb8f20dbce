"""Figures per channel: what an average over a whole tensor hides."""

import numpy as np
import pytest

from tflbuild.steps.verification.channel_figures import describe_channels, list_further_axes

RNG = np.random.default_rng(3)
SCORES = slice(4, None)


def boxes_and_scores(samples=20, positions=64):
    boxes = RNG.uniform(0, 640, (samples, 1, positions, 4))
    scores = RNG.uniform(0, 1, (samples, 1, positions, 5))
    return np.concatenate([boxes, scores], -1).astype("float32")


def quantize(values, step):
    return (np.rint(values / step) * step).astype("float32")


def test_scores_beside_boxes_are_lost_and_said_to_be():
    source = boxes_and_scores()
    found = describe_channels(source, quantize(source, 2.5), 2.5)
    assert (found["axis"], found["channels"], found["below"]) == (-1, 9, [4, 5, 6, 7, 8])
    assert found["worst"]["channel"] >= 4 and found["worst"]["snr_db"] < 1.0 and found["times"] > 600
    assert [one["channel"] for one in found["listed"]][-1] < 4 and found["listed"][-1]["snr_db"] > 40


@pytest.mark.parametrize(
    ("shape", "axis"), [((0, 1, 3, 2), -2), ((0, 3, 1, 2), -3)], ids=["channels first", "channels before the positions"]
)
def test_channels_may_lie_on_another_axis(shape, axis):
    source = np.transpose(boxes_and_scores(), shape)
    found = describe_channels(source, quantize(source, 2.5), 2.5)
    assert found["axis"] == axis and found["below"] == [4, 5, 6, 7, 8]


def test_channels_of_one_size_need_no_figures_of_their_own():
    source = boxes_and_scores()[..., :4]
    assert describe_channels(source, quantize(source, 2.5), 2.5) is None


def test_what_varies_little_about_a_large_value_is_lost_although_the_error_is_small():
    source = RNG.normal(300.0, 0.3, (50, 1)).astype("float32")
    made = quantize(source, 1.2)
    found = describe_channels(source, made, 1.2)
    whole = 10 * np.log10(np.sum(source.astype(float) ** 2) / np.sum((made - source).astype(float) ** 2))
    assert whole > 50 and found["worst"]["snr_db"] < 1.0 and found["below"] == [0]


def test_in_joined_units_a_small_channel_that_survives_is_measured_and_not_lost():
    source = np.stack([RNG.uniform(0, 10, 40), RNG.uniform(0, 0.5, 40)], -1).astype("float32")
    found = describe_channels(source, quantize(source, 0.04), 0.04)
    assert found["below"] == found["stuck"] == [] and found["worst"]["channel"] == 1
    assert 15 < found["worst"]["snr_db"] < 30


def test_a_channel_that_is_constant_in_the_artifact_alone_is_named():
    source = RNG.uniform(0, 1, (40, 5)).astype("float32")
    made = source.copy()
    made[:, 3] = 0.5
    found = describe_channels(source, made, 1 / 256)
    assert found["stuck"] == [3] and found["below"] == []


def test_constant_channels_and_probabilities_of_classes_are_no_channels():
    source = np.concatenate([np.zeros((40, 2)), RNG.uniform(0, 1, (40, 2))], -1).astype("float32")
    assert describe_channels(source, source, 1 / 256) is None
    scores = RNG.dirichlet([8.0, 8.0, 8.0, 0.001], 60).astype("float32")
    assert describe_channels(scores, quantize(scores, 1 / 256), 1 / 256) is None


def test_few_values_say_nothing_of_a_range_and_integers_have_none():
    source = boxes_and_scores(samples=1, positions=7)
    assert describe_channels(source, quantize(source, 2.5), 2.5) is None
    assert describe_channels(source.astype("int32"), source.astype("int32"), None) is None


def test_without_a_scale_the_error_decides():
    source = boxes_and_scores()
    found = describe_channels(source, quantize(source, 2.5), None)
    assert found["step"] is None and found["below"] == [] and found["stuck"] == [4, 5, 6, 7, 8]
    assert describe_channels(source, source, None)["worst"]["snr_db"] == 200.0


def test_many_values_are_measured_piece_by_piece(monkeypatch):
    source = boxes_and_scores()
    whole = describe_channels(source, quantize(source, 2.5), 2.5)
    monkeypatch.setattr("tflbuild.steps.verification.channel_figures.CHUNK_VALUES", 700)
    parts = describe_channels(source, quantize(source, 2.5), 2.5)
    for one, other in zip(whole["listed"], parts["listed"], strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((64, 9), []),
        ((9, 64), [-2]),
        ((28, 28, 1), []),
        ((28, 28, 3), []),
        ((3, 32, 32), [-3]),
        ((10,), []),
        ((7, 7), []),
    ],
)
def test_axes_that_may_be_those_of_channels(shape, axes):
    assert list_further_axes(shape) == axes
