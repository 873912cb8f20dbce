"""Parts of a recipe that speak of one input: those that contradict each other are refused."""

import pytest
from freezing import frozen, refused

from tflbuild.core.affine_maps import Affine, normalization

KERAS = ("source=keras", "source.path=net.keras")
NPZ = ("verify=parity", "dataset@verify.dataset=npz", "verify.dataset.path=test.npz")
PICTURES = ("verify=parity", "dataset@verify.dataset=image_folder", "verify.dataset.path=test")
CALIBRATION = ("quantization=int8", "dataset=image_folder", "dataset.path=train")


def says(mean, std, name="x"):
    return f"+metadata.inputs={{{name}: {{mean: [{mean}], std: [{std}]}}}}"


@pytest.mark.parametrize(
    ("scale", "offset", "mean", "std"),
    [
        ("0.00392157", "0", "0", "255"),
        ("0.0078431", "-1", "127.5", "127.5"),
        ("0.0078125", "-1", "127.5", "127.5"),  # 1/128: both are in use
        ("2", "-1", "127.5", "127.5"),  # arrays from 0 to 1
        ("1", "0", "0", "255"),  # arrays from 0 to 1, fed as they are
        ("1", "0", "0", "1"),
    ],
)
def test_metadata_that_say_what_the_dataset_does_are_accepted(scale, offset, mean, std):
    frozen(*KERAS, *NPZ, f"verify.dataset.scale={scale}", f"verify.dataset.offset={offset}", says(mean, std))


@pytest.mark.parametrize(
    ("scale", "offset", "mean", "std"),
    [
        ("0.00392157", "0", "127.5", "127.5"),
        ("0.0078431", "-1", "0", "255"),
        ("0.00392157", "0", "0.5", "0.5"),
        ("0.00392157", "0", "123.675, 116.28, 103.53", "58.4, 57.1, 57.4"),
        ("2", "-1", "0", "255"),
    ],
)
def test_metadata_that_say_another_thing_are_refused(scale, offset, mean, std):
    settings = (f"verify.dataset.scale={scale}", f"verify.dataset.offset={offset}")
    error = refused(*KERAS, *NPZ, *settings, says(mean, std))
    assert error.what == "metadata and verify.dataset normalise input 'x' differently"
    assert "metadata.inputs" in error.where and "pixels become" in error.why


def test_a_calibration_dataset_is_compared_with_metadata_too():
    error = refused(*KERAS, *CALIBRATION, "dataset.scale=0.00392157", says("127.5", "127.5"))
    assert error.what == "metadata and dataset normalise input 'x' differently"


def test_pictures_have_one_unit_and_channels():
    imagenet = ("verify.dataset.scale=0.00392157", "verify.dataset.mean=[0.485,0.456,0.406]")
    imagenet = (*imagenet, "verify.dataset.std=[0.229,0.224,0.225]")
    frozen(*KERAS, *PICTURES, *imagenet, says("123.675, 116.28, 103.53", "58.395, 57.12, 57.375"))
    refused(*KERAS, *PICTURES, *imagenet, says("0.485, 0.456, 0.406", "0.229, 0.224, 0.225"))
    refused(*KERAS, *PICTURES, says("127.5", "127.5"))  # raw pixels are fed
    refused(*KERAS, *PICTURES, "verify.dataset.scale=2", "verify.dataset.offset=-1", says("127.5", "127.5"))


def test_what_no_metadata_are_said_of_is_not_compared():
    frozen(*KERAS, *NPZ, "verify.dataset.scale=0.5", "+metadata.inputs={x: {description: a picture}}")
    frozen(*KERAS, *NPZ, says("127.5", "127.5"))  # the arrays are fed as they are: only values tell


GRAPH = "+signature.preprocess={x: {dtype: uint8, scale: 0.00392157}}"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ((GRAPH, says("0", "255")), "input 'x' would be normalised twice: by the app and in the graph"),
        ((GRAPH, *PICTURES, "verify.dataset.scale=0.00392157"), "'verify.dataset' scales the values of input 'x'"),
        ((GRAPH, *NPZ, "verify.dataset.scale=0.00392157"), "'verify.dataset' scales the values of input 'x'"),
        (("+signature.preprocess={x: {scale: 0.00392157, mean: [127.5], std: [127.5]}}",), "above all values"),
        (("+signature.preprocess={x: {scale: 0.0078431, mean: [127.5]}}",), "above all values"),
        ((*PICTURES, "verify.dataset.scale=0.00392157", "verify.dataset.mean=[127.5]"), "above all values"),
    ],
)
def test_what_is_scaled_twice_is_refused(settings, what):
    assert what in refused(*KERAS, *settings).what


@pytest.mark.parametrize(
    "settings",
    [
        ("+signature.preprocess={x: {dtype: uint8, mean: [127.5], std: [127.5]}}", says("0", "1")),
        ("+signature.preprocess={x: {scale: 0.00392157, mean: [0.485, 0.456, 0.406], std: [0.2]}}",),
        ("+signature.preprocess={x: {layout: nchw_to_nhwc}}", says("127.5", "127.5")),
        (GRAPH, *NPZ, "verify.dataset.scale=255"),  # shares become pixels
        (GRAPH, *PICTURES),
    ],
)
def test_what_is_scaled_once_is_accepted(settings):
    frozen(*KERAS, *settings)


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ("scale=0.00392157", "scale=0.0078431", "dataset and verify.dataset feed the same values differently"),
        ("scale=0.00392157", "scale=1", "dataset and verify.dataset feed the same values differently"),
        ("mean=[127.5]", "mean=[0]", "dataset and verify.dataset feed the same values differently"),
        ("layout=nchw", "layout=nhwc", "'dataset.layout' is nchw, and 'verify.dataset.layout' is nhwc"),
    ],
)
def test_calibration_and_evaluation_pictures_are_fed_alike(ours, theirs, what):
    assert refused(*KERAS, *CALIBRATION, *PICTURES, f"dataset.{ours}", f"verify.dataset.{theirs}").what == what
    frozen(*KERAS, *CALIBRATION, *PICTURES, f"dataset.{ours}", f"verify.dataset.{ours}")


def test_one_file_is_fed_in_one_way_and_other_files_may_need_another():
    calibration = ("quantization=int8", "dataset=npz", "dataset.scale=0.00392157")
    same = refused(*KERAS, *NPZ, *calibration, "dataset.path=test.npz")
    assert same.what == "dataset and verify.dataset feed the same values differently"
    frozen(*KERAS, *NPZ, *calibration, "dataset.path=train.npz")
    frozen(*KERAS, *NPZ, *calibration, "dataset.path=test.npz", "+dataset.arrays={x: raw}")


def test_recordings_have_one_rate():
    sound = ("quantization=int8", "dataset=audio_folder", "dataset.path=train", "dataset.sample_rate=16000")
    test = ("verify=parity", "dataset@verify.dataset=audio_folder", "verify.dataset.path=test")
    error = refused(*KERAS, *sound, *test, "verify.dataset.sample_rate=8000")
    assert error.what == "'dataset.sample_rate' is 16000, and 'verify.dataset.sample_rate' is 8000"
    error = refused(*KERAS, *sound, "+metadata.inputs={x: {content: audio, sample_rate: 44100, channels: 1}}")
    assert error.what == "metadata say 44100 samples a second of input 'x', and dataset 16000"
    error = refused(*KERAS, *sound, "+metadata.inputs={x: {content: audio, sample_rate: 16000, channels: 2}}")
    assert error.what == "metadata say 2 channels of input 'x', and dataset feeds mono"
    frozen(*KERAS, *sound, *test, "+metadata.inputs={x: {content: audio, sample_rate: 16000, channels: 1}}")


def test_columns_have_one_order():
    table = ("quantization=int8", "dataset=csv", "dataset.path=train.csv", "+dataset.columns={x: [a, b]}")
    test = ("verify=parity", "dataset@verify.dataset=csv", "verify.dataset.path=test.csv")
    error = refused(*KERAS, *table, *test, "+verify.dataset.columns={x: [b, a]}")
    assert error.what == "dataset and verify.dataset feed the columns of input 'x' in different orders"
    frozen(*KERAS, *table, *test, "+verify.dataset.columns={x: [a, b]}")


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("top1_drop=1", "0.01 is one point"),
        ("top1=0", "no accuracy is below 0"),
        ("agreement=0", "no share is below 0"),
        ("cosine=-1", "no cosine is below -1"),
        ("snr_db=-200", "-200 dB"),
    ],
)
def test_a_gate_that_every_artifact_meets_is_refused(gate, why):
    shipped = ("+recipe=mobilenet_int8",)
    error = refused(*shipped, f"verify.gates.{gate}")
    assert "which every artifact meets" in error.what and why in error.why
    error = refused(*shipped, "quantization=auto", f"quantization.budget.{gate}")
    assert "which every artifact meets" in error.what


def test_maps_are_compared_by_what_they_make_of_pixels():
    assert normalization([127.5], [127.5]).equals(Affine((1 / 127.5,), (-1.0,)))
    assert normalization([128], [128]).equals(normalization([127.5], [127.5]))
    assert not normalization([0], [255]).equals(normalization([127.5], [127.5]))
    assert not normalization([1, 2, 3], [1]).equals(normalization([1, 2, 100], [1]))
    assert not normalization([1, 2, 3], [1]).equals(normalization([1, 2], [1]))
    assert Affine((0.5,), (-1.0,)).text() == "value * 0.5 - 1"
