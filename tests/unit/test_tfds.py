"""Datasets as TensorFlow Datasets prepares them: what is read, and what is refused.

The files are written by hand in the form of tensorflow-datasets 4.9.10.
"""

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image
from records import described, example, prepared
from sampling import sampled, spec

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets import tfds_features

OPTIONS = {"split": "test", "size": [], "resize": "bilinear", "crop": "none", "layout": "nhwc"}
LABEL = {"label": described("classLabel", numClasses="3")}
CLASSES = ("boot", "coat", "bag")


def encoded(pixels, form="PNG", **how):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, form, **how)
    return data.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def read(tmp_path, data, wanted, arrays=None, label="", count=None, scale=None, **options):
    params = {"kind": "tfds", "options": OPTIONS | options, "label": label, "count": count, "scale": scale}
    return sampled(tmp_path, params | {"arrays": list((arrays or {}).items())}, wanted, data)


def fed(tmp_path, features, row, wanted, name="x", **how):
    """What one record feeds to the input `x`."""
    data = prepared(tmp_path / "1.0.0", features, shards=1, test=[row])
    return read(tmp_path, data, [spec("x", *wanted)], {"x": name}, **how)[0]["x"][0]


def refusal(*args, **how):
    with pytest.raises(WorkerError) as caught:
        fed(*args, **how)
    return caught.value.fields


def simple(tmp_path):
    rows = [example(x=[n, n], label=[n % 3]) for n in range(7)]
    return prepared(tmp_path / "1.0.0", {"x": described("tensor", "int32", (2,)), **LABEL}, CLASSES, test=rows)


def told(tmp_path, data, wanted=None, **how):
    with pytest.raises(WorkerError) as caught:
        read(tmp_path, data, wanted or [spec("x", [None, 2], "int32")], **how)
    return caught.value.fields


def change(data, file, **values):
    path = data / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# what is read


def test_a_split_is_read_in_the_order_of_its_shards_with_its_classes(tmp_path):
    inputs, labels, facts = read(tmp_path, simple(tmp_path), [spec("x", [None, 2], "int32")], label="label")
    assert inputs["x"].dtype == np.int32 and inputs["x"].tolist() == [[n, n] for n in range(7)]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (facts["count"], facts["available"], facts["classes"]) == (7, 7, list(CLASSES))


def test_a_part_is_drawn_by_the_seed(tmp_path):
    data = simple(tmp_path)
    inputs, labels, facts = read(tmp_path, data, [spec("x", [None, 2], "int32")], label="label", count=4)
    drawn = np.sort(np.random.default_rng(0).choice(7, 4, replace=False))
    assert inputs["x"][:, 0].tolist() == drawn.tolist() and labels.tolist() == (drawn % 3).tolist()
    assert facts["available"] == 7


@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 3)])
def test_an_image_without_loss_is_its_pixels(tmp_path, shape):
    pixels = noise(*shape)
    row = example(photo=encoded(pixels if shape[2] == 3 else pixels[..., 0]))
    features = {"photo": described("image", "uint8", (-1, -1, shape[2]))}
    assert np.array_equal(fed(tmp_path, features, row, ([None, *shape], "uint8"), "photo"), pixels)


def test_an_image_feeds_an_input_without_its_axis_of_one(tmp_path):
    pixels = noise(4, 5)
    features = {"x": described("image", "uint8", (4, 5, 1))}
    assert np.array_equal(fed(tmp_path, features, example(x=encoded(pixels)), ([None, 4, 5], "uint8")), pixels)


def test_an_image_becomes_the_size_channels_and_layout_of_the_input(tmp_path):
    row = example(x=encoded(np.full((9, 7, 3), (200, 100, 50), np.uint8), "JPEG", quality=100))
    features = {"x": described("image", "uint8", (-1, -1, 3), encodingFormat="jpeg")}
    found = fed(tmp_path, features, row, ([None, 3, 4, 6], "uint8"), layout="nchw", crop="center")
    assert found.shape == (3, 4, 6) and np.abs(found.astype(int) - [[[200]], [[100]], [[50]]]).max() <= 2


def test_orientation_is_left_alone_as_the_package_does(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    row = example(x=encoded(noise(4, 5), exif=exif))
    features = {"x": described("image", "uint8", (4, 5, 1))}
    assert np.array_equal(fed(tmp_path, features, row, ([None, 4, 5, 1], "uint8"))[..., 0], noise(4, 5))


@pytest.mark.parametrize("encoding", ["none", "bytes", "zlib"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "uint64", "float32"])
def test_a_tensor_comes_back_in_its_dtype(tmp_path, dtype, encoding):
    top = {"uint64": 2**64 - 1, "uint16": 2**16 - 1, "bool": 1}.get(dtype, 100)
    values = np.array([[0, top, 1], [1, 0, top]], dtype)
    stored = {
        "none": values.ravel() if dtype != "uint64" else values.view(np.int64).ravel(),
        "bytes": values.tobytes(),
        "zlib": zlib.compress(values.tobytes()),
    }
    features = {"x": described("tensor", dtype, (2, 3), encoding=encoding)}
    found = fed(tmp_path, features, example(x=stored[encoding]), ([None, 2, 3], dtype))
    assert found.dtype == dtype and np.array_equal(found, values)


def test_a_tensor_of_any_shape_brings_its_own(tmp_path):
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    row = example(**{"x/shape": [2, 3], "x/value": values.tobytes()})
    features = {"x": described("tensor", "int32", (-1, -1), encoding="bytes")}
    assert np.array_equal(fed(tmp_path, features, row, ([None, 2, 3], "int32")), values)


def test_nested_features_text_and_sequences_are_read(tmp_path):
    inner = {
        "ids": described("sequence", feature=described("tensor", "int64"), length="-1"),
        "words": described("text"),
    }
    features = {"more": described("featuresDict", features=inner)}
    row = example(**{"more/ids": [3, -4], "more/words": "wört".encode()})
    assert fed(tmp_path, features, row, ([None, None], "int64"), "more/ids").tolist() == [3, -4]
    assert fed(tmp_path, features, row, ([None], "string"), "more/words") == "wört".encode()


# what is refused


@pytest.mark.parametrize(
    ("split", "why", "next_step"),
    [("tset", "did you mean 'test'?", "name one"), ("test[:10%]", "it has test", "count"), ("a+b", "", "count")],
)
def test_a_split_that_is_not_there_is_named(tmp_path, split, why, next_step):
    found = told(tmp_path, simple(tmp_path), split=split)
    assert found["what"] == f"'1.0.0' has no split '{split}'" and found["where"] == "dataset.split"
    assert why in found["why"] and next_step in found["next_step"]


def test_a_feature_that_is_not_there_is_named(tmp_path):
    found = told(tmp_path, simple(tmp_path), arrays={"x": "lable"})
    assert "no array 'lable'" in found["what"] and "did you mean 'label'?" in found["why"]
    assert "did you mean 'label'?" in told(tmp_path, simple(tmp_path), label="labl")["why"]


def test_the_folder_above_the_version_is_told_apart(tmp_path):
    data = prepared(tmp_path / "mnist" / "3.0.1", LABEL, test=[example(label=[0])])
    assert "3.0.1" in told(tmp_path, data.parent)["why"]


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (described("video", "uint8", (2, 4, 5, 3)), "it is a Video"),
        (described("image", "uint16", (4, 5, 1)), "image of uint16 [4, 5, 1]"),
        (described("image", "uint8", (4, 5, 4)), "image of uint8 [4, 5, 4]"),
        (described("audio", "int16", (-1,), lazyDecode=True), "Audio of int16, encoded"),
        (described("tensor", "bfloat16", (2,)), "Tensor of bfloat16"),
        (described("sequence", feature=described("image", "uint8", (4, 5, 1))), "a Sequence of values other"),
        (described("sequence", feature=described("featuresDict", features=LABEL)), "a Sequence of values other"),
        (
            described("sequence", feature=described("sequence", feature=LABEL["label"], length="2")),
            "a Sequence of values other",
        ),
        (
            {"pythonClassName": "mine.Odd", "tensor": {"dtype": "int32", "shape": {}}},
            "its type mine.Odd is not one of TensorFlow Datasets",
        ),
    ],
)
def test_what_is_not_read_is_refused_where_it_is_fed_and_nowhere_else(tmp_path, feature, words):
    features, row = {"odd": feature, "x": described("tensor", "int32", (2,))}, example(odd=b"?", x=[1, 2])
    assert fed(tmp_path, features, row, ([None, 2], "int32")).tolist() == [1, 2]
    found = refusal(tmp_path, features, row, ([None, 2], "int32"), "odd")
    assert found["what"].startswith("feature 'odd' of '1.0.0' cannot be read") and words in found["what"]
    assert "features that can be read: x" in found["why"] and "callable" in found["next_step"]


@pytest.mark.parametrize(
    ("feature", "row", "why"),
    [
        (described("tensor", "int32", (2,)), example(y=[1]), "has no 'x'"),
        (described("tensor", "int32", (2,)), example(x=[1.0, 2.0]), "stored as float instead"),
        (described("tensor", "int32", (2,)), example(x=[1, 2, 3]), "cannot reshape"),
        (described("tensor", "int32", (2,), encoding="zlib"), example(x=b"12345678"), "zlib data is damaged"),
        (described("tensor", "int32", (2,), encoding="bytes"), example(x=b"123"), "buffer size"),
        (described("tensor", "int32", (-1, -1), encoding="bytes"), example(**{"x/shape": [2]}), "its shape is [2]"),
        (described("image", "uint8", (4, 5, 1)), example(x=[1]), "stored as int64 instead"),
    ],
)
def test_a_record_that_its_description_does_not_fit_is_refused(tmp_path, feature, row, why):
    found = refusal(tmp_path, {"x": feature}, row, ([None, 2], "int32" if "tensor" in feature else "uint8"))
    assert found["what"] == "feature 'x' of record 0 of '1.0.0' is not as features.json describes it"
    assert why in found["why"]


def test_descriptions_without_an_end_are_refused(tmp_path):
    data = simple(tmp_path)
    inner = '{"pythonClassName": "a", "featuresDict": {"features": {"x": '
    for text in ("[" * 100_000, '{"featuresDict": {"features": {"x": ' + inner * 480 + "{}" + "}}}" * 480 + "}}}"):
        (data / "features.json").write_text(text)
        assert "is not in a supported format" in told(tmp_path, data)["what"]


def test_a_tensor_that_unpacks_to_more_than_a_record_may_have_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_features, "MAX_RECORD_BYTES", 1000)
    feature, wanted = described("tensor", "uint8", (-1,), encoding="zlib"), ([None, None], "uint8")
    row = example(x=zlib.compress(bytes(1001)))
    assert "or longer than 1,000 bytes" in refusal(tmp_path, {"x": feature}, row, wanted)["why"]


def test_a_damaged_image_is_refused_by_its_place(tmp_path):
    features = {"x": described("image", "uint8", (4, 5, 1))}
    for data in (b"no image", encoded(noise(4, 5))[:-30]):
        found = refusal(tmp_path, features, example(x=data), ([None, 4, 5, 1], "uint8"))
        assert found["what"] == "image 'x' of record 0 of '1.0.0' is not a whole image" and found["why"]
        assert "0x" not in found["why"]


def test_another_shape_is_refused_though_it_has_as_many_values(tmp_path):
    features = {"x": described("tensor", "int32", (2, 3))}
    found = refusal(tmp_path, features, example(x=range(6)), ([None, 3, 2], "int32"))
    assert "samples of shape [2, 3]" in found["what"]


def test_a_missing_shard_and_a_short_one_are_named(tmp_path):
    data = simple(tmp_path)
    shard = data / "tiny-test.tfrecord-00001-of-00002"
    other = (data / "tiny-test.tfrecord-00000-of-00002").read_bytes()
    shard.write_bytes(other)
    found = told(tmp_path, data)
    assert found["what"] == f"'1.0.0/{shard.name}' has 3 records" and found["why"] == "dataset_info.json says 4"
    shard.unlink()
    assert told(tmp_path, data)["what"] == f"'1.0.0/{shard.name}' does not exist"


def test_a_shard_outside_of_the_folder_is_refused(tmp_path):
    data = simple(tmp_path)
    split = {"name": "test", "shardLengths": ["1"]}
    for template in ("../{SPLIT}", "/{SPLIT}", "{SPLIT}-{ODD}"):
        change(data, "dataset_info.json", splits=[split | {"filepathTemplate": template}])
        assert "filepathTemplate" in told(tmp_path, data)["why"]


def test_other_formats_are_refused_by_name(tmp_path):
    data = simple(tmp_path)
    change(data, "dataset_info.json", fileFormat="array_record")
    assert told(tmp_path, data)["what"] == "'1.0.0' is stored as array_record, but only tfrecord can be read"
    change(data, "dataset_info.json", fileFormat="tfrecord", splits=3)
    assert "dataset_info.json' is not in a supported format" in told(tmp_path, data)["what"]
    data = simple(tmp_path)
    (data / "features.json").write_text('{"type": "a.FeaturesDict", "content": {}}')
    assert "an older tensorflow-datasets wrote it" in told(tmp_path, data)["why"]
    (data / "features.json").write_text("{")
    assert "features.json' is not in a supported format" in told(tmp_path, data)["what"]
    (data / "features.json").unlink()
    assert "it has no features.json" in told(tmp_path, data)["what"]


def test_names_of_classes_that_are_no_text_are_refused(tmp_path):
    data = simple(tmp_path)
    (data / "label.labels.txt").write_bytes(b"caf\xe9\n")
    assert "label.labels.txt' is not in a supported format" in told(tmp_path, data, label="label")["what"]
