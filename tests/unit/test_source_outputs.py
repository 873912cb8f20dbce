"""What a source gave against what is made of it; and preprocessing in NumPy against its definition."""

import numpy as np
import pytest

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.numpy_preprocess import preprocess_values
from tflbuild.steps.verification.source_outputs import (
    SNAPSHOT,
    SourceCall,
    compare_with_source_outputs,
    load_source_outputs,
    save_source_outputs,
)

SCORES = np.linspace(-3, 3, 400, dtype=np.float32).reshape(2, 200)
WORDS = np.array([b"yes", b"no"])


def compare(made, **expected):
    compare_with_source_outputs([SourceCall("main", {}, expected)], {"main": lambda feed: made}, SNAPSHOT)


def refusal(made, **expected):
    with pytest.raises(WorkerError) as caught:
        compare(made, **expected)
    assert caught.value.fields["kind"] == "build"
    return f"{caught.value.fields['what']}\n{caught.value.fields['why']}"


def test_what_is_written_is_read_in_the_order_of_the_calls(tmp_path):
    calls = [SourceCall(key, {"a:b": SCORES}, {"out": WORDS.astype(object)}) for key in ("main", "more", "main")]
    save_source_outputs(tmp_path / "witness.npz", calls)
    found = load_source_outputs(tmp_path / "witness.npz", ["more", "main"])
    assert [call.key for call in found] == ["main", "more", "main"]
    assert np.array_equal(found[2].feed["a:b"], SCORES) and found[1].outputs["out"].tolist() == [b"yes", b"no"]


def test_rounding_is_no_difference():
    compare({"x": SCORES + np.float32(1e-4)}, x=SCORES)
    few = SCORES.copy()
    few[0, :3] += 1
    compare({"x": few}, x=SCORES)
    compare({"x": SCORES.reshape(2, 1, 200)}, x=SCORES)
    compare({"x": np.array([np.nan, 1.0])}, x=np.array([np.nan, 1.0]))


def test_other_values_are_told_with_their_size():
    text = refusal({"x": SCORES * 1.01}, x=SCORES)
    assert "output 'x' of the imported model is not what the source itself gives" in text
    assert "differs by up to 0.03, where the source's values reach 3" in text and "import changed the model" in text


def test_exchanged_outputs_are_told_as_such():
    text = refusal({"x": -SCORES, "y": SCORES}, x=SCORES, y=-SCORES)
    assert "it is the source's output 'y'" in text


@pytest.mark.parametrize(
    ("made", "expected", "words"),
    [
        ({}, SCORES, "it is missing"),
        ({"x": SCORES[:1]}, SCORES, "its shape is [1, 200]"),
        ({"x": SCORES.T}, SCORES, "its shape is [200, 2]"),
        ({"x": np.array([1, 2])}, np.array([1, 3]), "1 of 2 values differ"),
        ({"x": np.array([b"yes", b"yes"], object)}, WORDS, "1 of 2 values differ"),
        ({"x": np.full((2, 200), np.nan, np.float32)}, SCORES, "400 of 400 values are NaN or infinite"),
    ],
)
def test_shapes_indices_and_words_are_compared_too(made, expected, words):
    assert words in refusal(made, x=expected)


def test_a_single_word_is_compared():
    compare({"x": b"yes"}, x=np.array(b"yes"))
    assert "1 of 1 values" in refusal({"x": b"no"}, x=np.array(b"yes"))


def test_a_signature_that_cannot_be_called_here_is_left_out():
    compare_with_source_outputs([SourceCall("other", {}, {"x": SCORES})], {}, SNAPSHOT)


PLAIN = {"scale": 1.0, "mean": [0.0], "std": [1.0], "layout": "keep", "resize": "none"}
IMAGE = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)


def test_values_are_scaled_and_normalized_by_channel():
    made = preprocess_values(IMAGE, PLAIN | {"scale": 0.5, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}, ())
    assert made[0, 0, 0].tolist() == [(0 - 1) / 2, (0.5 - 2) / 4, (1 - 3) / 8]


def test_layouts_move_the_channels():
    made = preprocess_values(IMAGE, PLAIN | {"layout": "nhwc_to_nchw", "mean": [1.0, 2.0, 3.0]}, ())
    assert made.shape == (2, 3, 4, 6) and made[1, 2, 3, 5] == IMAGE[1, 3, 5, 2] - 3
    back = preprocess_values(IMAGE.transpose(0, 3, 1, 2), PLAIN | {"layout": "nchw_to_nhwc"}, ())
    assert np.array_equal(back, IMAGE)


def test_sizes_are_those_of_the_model():
    halved = preprocess_values(IMAGE, PLAIN | {"resize": "bilinear"}, (None, 2, 3, 3))
    assert np.array_equal(halved, IMAGE.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)))
    doubled = preprocess_values(IMAGE, PLAIN | {"resize": "nearest"}, (None, 8, 12, 3))
    assert np.array_equal(doubled, IMAGE.repeat(2, 1).repeat(2, 2))
    turned = preprocess_values(IMAGE, PLAIN | {"resize": "nearest", "layout": "nhwc_to_nchw"}, (None, 3, 8, 12))
    assert turned.shape == (2, 3, 8, 12)
