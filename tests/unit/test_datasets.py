"""Each kind of dataset: what it feeds, in which order, and what it refuses by name."""

import gzip
import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from records import example, record_file, varint
from sampling import sampled, spec

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets import dataset_arrays, tfrecord

IMAGES = {"classes": [], "mean": [], "std": [], "size": [], "resize": "bilinear", "crop": "none", "layout": "nhwc"}
AUDIO = {"classes": [], "sample_rate": None, "length": None}
CSV = {"columns": {}, "delimiter": ","}


def refusal(folder, params, inputs, data=None, **more):
    with pytest.raises(WorkerError) as caught:
        sampled(folder, params, inputs, data, **more)
    return caught.value.fields


# image folders


def image_folder(folder, **sizes):
    """Images of one colour each, named by their place: name -> (height, width)."""
    root = folder / "photos"
    for number, (name, (height, width)) in enumerate(sizes.items()):
        path = root / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (number + 1, 10, 20)).save(path)
    return root


def images(folder, data, shape=(1, 2, 3, 3), dtype="uint8", label="", scale=None, count=None, **options):
    params = {"kind": "image_folder", "options": IMAGES | options, "label": label, "scale": scale, "count": count}
    return sampled(folder, params, [spec("x", list(shape), dtype)], data)


def test_images_come_by_name_with_labels_from_their_folders(tmp_path):
    data = image_folder(tmp_path, dog__b=(2, 3), cat__z=(2, 3), dog__a=(2, 3), cat__a=(2, 3))
    (data / "cat" / ".DS_Store").write_text("x")
    (data / "cat" / "notes.txt").write_text("x")
    inputs, labels, facts = images(tmp_path, data, label="folder")
    assert inputs["x"][:, 0, 0, 0].tolist() == [4, 2, 3, 1]
    assert labels.tolist() == [0, 0, 1, 1] and facts["classes"] == ["cat", "dog"]


def test_declared_classes_give_the_order_and_leave_others_out(tmp_path):
    data = image_folder(tmp_path, dog__b=(2, 3), cat__z=(2, 3), cow__a=(2, 3))
    inputs, labels, facts = images(tmp_path, data, label="folder", classes=["dog", "cat"])
    assert inputs["x"][:, 0, 0, 0].tolist() == [2, 1] and labels.tolist() == [1, 0]
    assert facts["classes"] == ["dog", "cat"]


def test_a_flat_folder_has_no_labels(tmp_path):
    data = image_folder(tmp_path, b=(2, 3), a=(2, 3))
    inputs, labels, _ = images(tmp_path, data)
    assert inputs["x"][:, 0, 0, 0].tolist() == [2, 1] and labels is None


def test_images_are_brought_to_the_inputs_size_channels_and_layout(tmp_path):
    data = image_folder(tmp_path, a=(20, 30), b=(7, 5))
    assert images(tmp_path, data, (1, 4, 6, 3))[0]["x"].shape == (2, 4, 6, 3)
    grey = images(tmp_path, data, (1, 4, 6, 1))[0]["x"]
    assert grey.shape == (2, 4, 6, 1) and len(np.unique(grey[0])) == 1
    first = images(tmp_path, data, (1, 3, 4, 6), layout="nchw")[0]["x"]
    assert first.shape == (2, 3, 4, 6) and first[1, :, 0, 0].tolist() == [2, 10, 20]


def test_a_center_crop_keeps_proportions(tmp_path):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 255
    (tmp_path / "p").mkdir()
    Image.fromarray(pixels).save(tmp_path / "p" / "a.png")
    assert images(tmp_path, tmp_path / "p", (1, 4, 4, 3), crop="center")[0]["x"].min() == 255
    assert images(tmp_path, tmp_path / "p", (1, 4, 4, 3), resize="nearest")[0]["x"].min() == 0


def test_pixels_are_scaled_then_normalized(tmp_path):
    data = image_folder(tmp_path, a=(2, 3))
    mean, std = [0.5, 0.25, 0.0], [2.0, 4.0, 1.0]
    inputs, _, _ = images(tmp_path, data, dtype="float32", scale=1 / 255, mean=mean, std=std)
    expected = ((np.array([1, 10, 20]) / 255 - mean) / std).astype(np.float32)
    assert inputs["x"].dtype == np.float32 and np.array_equal(inputs["x"][0, 0, 0], expected)
    plain, _, _ = images(tmp_path, data, dtype="float32", scale=1.0)
    assert plain["x"][0, 0, 0].tolist() == [1.0, 10.0, 20.0]


def test_the_orientation_that_a_camera_noted_is_applied(tmp_path):
    image = Image.new("RGB", (6, 4))
    image.paste((255, 255, 255), (0, 0, 3, 4))
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    (tmp_path / "p").mkdir()
    image.save(tmp_path / "p" / "a.png", exif=exif)
    found = images(tmp_path, tmp_path / "p", (1, 4, 6, 3))[0]["x"]
    assert found[0, 0, 0, 0] == 0 and found[0, 0, 5, 0] == 255


def test_a_choice_of_images_takes_their_labels_along(tmp_path):
    data = image_folder(tmp_path, **{f"c{n % 3}__{n:02}": (2, 3) for n in range(12)})
    inputs, labels, facts = images(tmp_path, data, label="folder", count=5)
    assert facts["available"] == 12 and facts["count"] == 5
    assert labels.tolist() == [(value - 1) % 3 for value in inputs["x"][:, 0, 0, 0].tolist()]


def test_folders_that_are_no_dataset_are_refused(tmp_path):
    wanted = [spec("x", [1, 2, 3, 3], "uint8")]
    params = {"kind": "image_folder", "options": IMAGES, "label": "folder"}
    data = image_folder(tmp_path, cat__a=(2, 3))
    (data / "dog").mkdir()
    assert "class folder 'dog'" in refusal(tmp_path, params, wanted, data)["what"]
    Image.new("RGB", (2, 3)).save(data / "stray.png")
    assert "next to its folders" in refusal(tmp_path, params, wanted, data)["what"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("x")
    found = refusal(tmp_path, params, wanted, tmp_path / "other")
    assert "holds no samples" in found["what"] and ".txt: 1" in found["why"]
    flat = image_folder(tmp_path / "flat", a=(2, 3))
    assert "no class folders" in refusal(tmp_path, params, wanted, flat)["what"]
    named = params | {"options": IMAGES | {"classes": ["cat", "dgo"]}}
    (data / "stray.png").unlink()
    assert "did you mean 'dog'" in refusal(tmp_path, named, wanted, data)["why"]


def test_links_out_of_the_folder_are_refused_and_those_within_followed(tmp_path):
    """A link could bring any file of the user's into the artifact."""
    data, place = image_folder(tmp_path, dog__a=(2, 3), cat__a=(2, 3)), tmp_path / "inputs"
    place.symlink_to(data)
    (data / "cat" / "b.png").symlink_to("../dog/a.png")
    assert len(images(tmp_path, place)[0]["x"]) == 3
    for target in (tmp_path / "photos2", "../../../etc"):
        (data / "cow").symlink_to(target)
        with pytest.raises(WorkerError, match="'inputs/cow' is a link that leads out of its folder") as caught:
            images(tmp_path, place)
        assert caught.value.fields["where"] == "dataset.path"
        (data / "cow").unlink()


def test_no_program_is_run_for_an_image(tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript."""
    data = image_folder(tmp_path, a=(2, 3))
    Image.open(data / "a.png").save(data / "a.eps")
    (data / "a.eps").rename(data / "a.png")
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: ran.append(arguments))
    with pytest.raises(WorkerError, match="is not a whole image"):
        images(tmp_path, data)
    assert not ran


def test_a_broken_image_is_named(tmp_path):
    data = image_folder(tmp_path, cat__a=(50, 50), cat__b=(50, 50))
    raw = (data / "cat" / "b.png").read_bytes()
    (data / "cat" / "b.png").write_bytes(raw[: len(raw) // 2])
    params = {"kind": "image_folder", "options": IMAGES}
    found = refusal(tmp_path, params, [spec("x", [1, 2, 3, 3], "uint8")], data)
    assert "'photos/cat/b.png' is not a whole image" in found["what"] and str(tmp_path) not in found["why"]


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ([1, 8], {}, "takes no images"),
        ([1, 3, 4, 4], {}, "takes no images"),
        ([1, None, None, 3], {}, "dynamic"),
        ([1, 2, 3, 3], {"mean": [1.0, 2.0]}, "3 channels, and mean has 2 numbers"),
        ([1, 2, 3, 3], {"size": [9, 9]}, "samples of shape [9, 9, 3]"),
    ],
)
def test_an_input_that_images_do_not_fit_is_refused(tmp_path, shape, options, words):
    data = image_folder(tmp_path, a=(2, 3))
    params = {"kind": "image_folder", "options": IMAGES | options}
    assert words in refusal(tmp_path, params, [spec("x", shape, "uint8")], data)["what"]


def test_raw_pixels_for_a_float_input_want_a_scale(tmp_path):
    data = image_folder(tmp_path, a=(2, 3))
    found = refusal(tmp_path, {"kind": "image_folder", "options": IMAGES}, [spec("x", [1, 2, 3, 3])], data)
    assert "uint8" in found["what"] and "dataset.scale=1.0" in found["next_step"]


# CSV


def csv_file(folder, text):
    (folder / "data.csv").write_text(text)
    return folder / "data.csv"


def test_columns_feed_inputs_and_labels(tmp_path):
    data = csv_file(tmp_path, "\ufeffp1, p0,id,y\n1,2.5,7,0\n\n3,-4,8,1\n")
    options = CSV | {"columns": {"x": ["p0", "p1"]}}
    wanted = [spec("x", [1, 2]), spec("id", [1, 1], "int32")]
    inputs, labels, facts = sampled(tmp_path, {"kind": "csv", "options": options, "label": "y"}, wanted, data)
    assert inputs["x"].dtype == np.float32 and inputs["x"].tolist() == [[2.5, 1], [-4, 3]]
    assert inputs["id"].dtype == np.int32 and inputs["id"].tolist() == [[7], [8]]
    assert labels.tolist() == [0, 1] and facts["available"] == 2


def test_patterns_and_shapes_and_scales(tmp_path):
    data = csv_file(tmp_path, "pixel0,pixel1,pixel2,pixel3\n0,85,170,255\n")
    params = {"kind": "csv", "options": CSV | {"columns": {"x": ["pixel*"]}}, "scale": 1 / 255}
    inputs, _, _ = sampled(tmp_path, params, [spec("x", [1, 2, 2, 1])], data)
    assert np.allclose(inputs["x"].ravel(), [0, 1 / 3, 2 / 3, 1]) and inputs["x"].shape == (1, 2, 2, 1)


def test_text_columns_feed_strings_of_any_width(tmp_path):
    data = csv_file(tmp_path, "t\nhi\n" + "longer text\n" * 3)
    inputs, _, _ = sampled(tmp_path, {"kind": "csv", "options": CSV}, [spec("t", [1, 1], "string")], data)
    assert inputs["t"].ravel().tolist() == [b"hi"] + [b"longer text"] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,0\nabc,1\n", ["line 3", "column 'x'", "'abc' is not a number"]),
        ("x,y\n1,0\nnan,1\n", ["line 3", "'nan' is not a number"]),
        ("x,y\n1,0.5\n", ["line 2", "column 'y'", "not a whole number"]),
        ("x,y\n1,0\n1\n", ["line 3", "1 values", "2 columns"]),
        ("z,y\n1,0\n", ["no column 'x'"]),
        ("x,x\n1,0\n", ["two columns 'x'"]),
        ("", ["is empty"]),
        ("x,y\n", ["holds no samples"]),
        ("x,y\n1,-1\n", ["holds -1"]),
    ],
)
def test_lines_that_do_not_fit_are_refused(tmp_path, text, words):
    params = {"kind": "csv", "options": CSV, "label": "y"}
    found = refusal(tmp_path, params, [spec("x", [1, 1])], csv_file(tmp_path, text))
    assert all(word in found["what"] for word in words), found


def test_columns_must_be_as_many_as_the_input_takes(tmp_path):
    found = refusal(tmp_path, {"kind": "csv", "options": CSV}, [spec("x", [1, 3])], csv_file(tmp_path, "x\n1\n"))
    assert "[3] values per sample, but has 1 columns" in found["what"]


def test_an_integer_input_takes_whole_numbers_in_its_range(tmp_path):
    data = csv_file(tmp_path, "x\n300\n")
    found = refusal(tmp_path, {"kind": "csv", "options": CSV}, [spec("x", [1, 1], "uint8")], data)
    assert "does not fit into uint8" in found["what"]


# TFRecord


RECORDS = {"kind": "tfrecord", "options": {"raw": {}}}


def test_features_feed_inputs_by_name(tmp_path):
    rows = [example(f=[n, 0.5], i=[n, -n], raw=np.array([n, 2], "<u2").tobytes(), y=[n]) for n in range(5)]
    params = RECORDS | {"options": {"raw": {"raw": "uint16"}}, "label": "y", "arrays": [["a", "f"]], "count": 3}
    wanted = [spec("a", [1, 2]), spec("i", [1, 2, 1], "int64"), spec("raw", [1, None], "uint16")]
    inputs, labels, facts = sampled(tmp_path, params, wanted, record_file(tmp_path, *rows))
    assert facts["available"] == 5 and len(labels) == 3
    assert inputs["a"][:, 0].tolist() == labels.tolist() == inputs["raw"][:, 0].tolist()
    assert np.array_equal(inputs["i"][:, 1, 0], -labels)


def test_a_folder_of_records_is_read_by_name_and_may_be_compressed(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    record_file(folder, example(x=[2.0]), name="b")
    (folder / "a").write_bytes(gzip.compress(tfrecord.frame(example(x=[1.0])), mtime=0))
    inputs, _, _ = sampled(tmp_path, RECORDS, [spec("x", [1, 1])], folder)
    assert inputs["x"].tolist() == [[1.0], [2.0]]


@given(data=st.binary(max_size=200))
def test_framing_goes_there_and_back(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("frames") / "x"
    path.write_bytes(tfrecord.frame(data) * 2)
    assert list(tfrecord.read_records(path)) == [data, data]
    assert len(list(tfrecord.read_records(path, skip=True))) == 2


def test_the_checksum_is_the_one_that_is_published():
    assert tfrecord.crc32c(b"123456789") == 0xE3069283
    assert tfrecord.crc32c(bytes(32)) == 0x8A9136AA


@given(size=st.integers(0, 5000), seed=st.integers(0, 9))
def test_folding_gives_the_checksum_of_the_plain_loop(size, seed):
    data = np.random.default_rng(seed).bytes(size)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = tfrecord.plain_table()[(crc ^ byte) & 255] ^ (crc >> 8)
    assert tfrecord.crc32c(data) == crc ^ 0xFFFFFFFF


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_varints_go_there_and_back(values):
    raw = b"".join(varint(one % 2**64) for one in values)
    assert tfrecord.varints(memoryview(raw)).tolist() == values


@given(data=st.binary(max_size=80))
def test_any_bytes_are_an_example_or_refused(data):
    with suppress(tfrecord.DamagedRecord):
        tfrecord.parse_example(data)


@pytest.mark.parametrize("at", [0, 9, 14, -1])
def test_a_flipped_bit_anywhere_is_found(tmp_path, at):
    path = record_file(tmp_path, example(x=[1.0]), example(x=[2.0]))
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    path.write_bytes(raw)
    found = refusal(tmp_path, RECORDS, [spec("x", [1, 1])], path)
    assert "not a whole TFRecord file" in found["what"] and found["why"]


def test_lengths_are_refused_before_memory_is_allocated_for_them(tmp_path):
    """A compressed file of a few kilobytes can fill what is announced."""
    length = struct.pack("<Q", 1 << 40)
    packed = gzip.compress(length + struct.pack("<I", tfrecord.masked(tfrecord.crc32c(length))) + bytes(1000))
    records = tmp_path / "a.tfrecord"
    records.write_bytes(packed)
    with pytest.raises(tfrecord.DamagedRecord, match="bytes long"):
        list(tfrecord.read_records(records))
    with pytest.raises(ValueError, match="its header is 4,294,967,295 bytes long"):
        dataset_arrays.read_header(io.BytesIO(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + bytes(1000)))


@pytest.mark.parametrize("kept", [5, 20, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = record_file(tmp_path, example(x=[1.0]), example(x=[2.0]))
    path.write_bytes(path.read_bytes()[:kept])
    assert "is incomplete" in refusal(tmp_path, RECORDS, [spec("x", [1, 1])], path)["why"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no array 'x'"),
        ([example(z=[1.0])], "no array 'x'"),
        ([example(x=[1.0]), example(z=[1.0])], "record 1 of 'data.tfrecord' has no feature 'x'"),
        ([example(x=[1.0, 2.0])], "has 2 values"),
        ([example(x=b"1234")], "is bytes"),
        ([example(x=[1])], "int64"),
        ([b"\xff\xff"], "not a whole TFRecord file"),
    ],
)
def test_records_that_do_not_fit_are_refused(tmp_path, rows, words):
    assert words in refusal(tmp_path, RECORDS, [spec("x", [1, 1])], record_file(tmp_path, *rows))["what"]


# audio folders


def wav(path, values, rate=16000, bits=16, code=1, extensible=False):
    """Writes float values [frames, channels] as a WAV file."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if code == 3:
        raw = values.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        raw = np.clip(np.rint(values * 128 + 128), 0, 255).astype(np.uint8).tobytes()
    else:
        whole = np.clip(np.rint(values * 2.0 ** (bits - 1)), -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).astype("<i8")
        raw = b"".join(int(one).to_bytes(8, "little", signed=True)[: bits // 8] for one in whole.ravel())
    channels, step = values.shape[1], values.shape[1] * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * step, step, bits)
    form += struct.pack("<HHIH", 22, bits, 0, code) + bytes(14) if extensible else b""
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(raw)) + raw
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def audio(folder, data, shape, label="", **options):
    params = {"kind": "audio_folder", "options": AUDIO | options, "label": label}
    return sampled(folder, params, [spec("x", list(shape))], data)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("bits", "code"), [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3)])
def test_every_width_is_read_as_minus_one_to_one(tmp_path, bits, code, extensible):
    values = np.array([0.0, 0.5, -1.0, 0.25])
    wav(tmp_path / "a" / "x.wav", values, bits=bits, code=code, extensible=extensible)
    inputs, _, _ = audio(tmp_path, tmp_path / "a", (1, 4))
    assert inputs["x"].tolist() == [values.tolist()] and inputs["x"].dtype == np.float32


def test_channels_are_mixed_and_lengths_made_equal(tmp_path):
    wav(tmp_path / "a" / "yes" / "1.wav", [[0.5, 0.0], [1.0, -1.0], [0.25, 0.25]], code=3, bits=32)
    wav(tmp_path / "a" / "no" / "1.wav", [0.5] * 6, code=3, bits=32)
    inputs, labels, facts = audio(tmp_path, tmp_path / "a", (1, 4, 1), label="folder", length=4)
    assert inputs["x"][..., 0].tolist() == [[0.5] * 4, [0.25, 0.0, 0.25, 0.0]]
    assert labels.tolist() == [0, 1] and facts["classes"] == ["no", "yes"]


@pytest.mark.parametrize(
    ("second", "options", "words"),
    [
        ({"rate": 8000}, {}, ["8000 Hz", "16000 Hz"]),
        ({}, {"sample_rate": 44100}, ["16000 Hz", "44100 Hz are declared"]),
        ({"values": [0.5] * 9}, {}, ["differ in length"]),
        ({}, {"length": 7}, ["7 samples", "needs 4"]),
        ({"code": 7}, {}, ["not a WAV file"]),
    ],
)
def test_recordings_that_do_not_fit_are_refused(tmp_path, second, options, words):
    wav(tmp_path / "a" / "1.wav", [0.5] * 4)
    wav(tmp_path / "a" / "2.wav", **({"values": [0.5] * 4} | second))
    params = {"kind": "audio_folder", "options": AUDIO | options}
    found = refusal(tmp_path, params, [spec("x", [1, 4])], tmp_path / "a")
    assert all(word in found["what"] for word in words), found


@pytest.mark.parametrize("kept", [3, 20, 60])
def test_a_recording_cut_short_is_refused(tmp_path, kept):
    wav(tmp_path / "a" / "1.wav", [0.5] * 40)
    (tmp_path / "a" / "1.wav").write_bytes((tmp_path / "a" / "1.wav").read_bytes()[:kept])
    found = refusal(tmp_path, {"kind": "audio_folder", "options": AUDIO}, [spec("x", [1, 40])], tmp_path / "a")
    assert "'a/1.wav'" in found["what"] and "is incomplete" in found["why"]


# code


def called(folder, text, inputs, monkeypatch, check=sampled, **params):
    code = folder / "code"
    code.mkdir(exist_ok=True)
    (code / "feed.py").write_text(text)
    monkeypatch.chdir(folder)
    options = {"options": {"arguments": params.pop("arguments", {})}}
    return check(folder, {"kind": "callable", "call": "feed.py:make"} | options | params, inputs, code=code)


FEED = "import numpy as np\ndef make(n=3):\n"


@pytest.fixture(autouse=True)
def forget_user_modules(monkeypatch):
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("feed", None)


def test_a_generator_feeds_by_name(tmp_path, monkeypatch):
    text = FEED + "    for i in range(n): yield {'x': np.full(2, i, np.float32), 'y': i}\n"
    wanted = [spec("x", [1, 2])]
    inputs, labels, facts = called(tmp_path, text, wanted, monkeypatch, label="y", arguments={"n": 4})
    assert inputs["x"][:, 0].tolist() == labels.tolist() == [0, 1, 2, 3]
    assert facts["available"] == 4


def test_the_first_count_samples_of_an_endless_generator_are_taken(tmp_path, monkeypatch):
    text = FEED + "    i = 0\n    while True:\n        yield {'x': np.full(2, i, np.float32)}\n        i += 1\n"
    inputs, _, _ = called(tmp_path, text, [spec("x", [1, 2])], monkeypatch, count=5)
    assert inputs["x"][:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    return []", ["holds no samples"]),
        ("    return 3", ["returned a int"]),
        ("    return {'x': np.zeros(2)}", ["returned a dict"]),
        ("    yield [1, 2]", ["sample 0", "is a list"]),
        ("    yield {'xx': np.zeros(2)}", ["no 'x'", "did you mean 'xx'"]),
        ("    yield {'x': object()}", ["dtype object"]),
        ("    yield {'x': np.zeros(2)}", ["float64", "needs float32"]),
        ("    yield {'x': np.zeros(3, np.float32)}", ["samples of shape [3]"]),
        ("    yield {'x': np.full(2, np.nan, np.float32)}", ["NaN"]),
        ("    yield {'x': np.zeros(2, np.float32)}\n    raise KeyError('gone')", ["failed", "KeyError", "feed.py:4"]),
        ("    yield open('absent.txt')", ["FileNotFoundError", "dataset.files"]),
    ],
)
def test_what_code_gives_is_checked_by_name(tmp_path, monkeypatch, body, words):
    found = called(tmp_path, FEED + body + "\n", [spec("x", [1, 2])], monkeypatch, refusal)
    text = "\n".join(map(str, found.values()))
    assert all(word in text for word in words), text


def test_fewer_samples_than_asked_for_are_refused(tmp_path, monkeypatch):
    body = "    for i in range(n): yield {'x': np.zeros(2, np.float32)}\n"
    found = called(tmp_path, FEED + body, [spec("x", [1, 2])], monkeypatch, refusal, count=9)
    assert "holds 3 samples, and 9 are asked for" in found["what"]


def test_samples_of_several_shapes_are_refused(tmp_path, monkeypatch):
    body = "    for i in range(1, n): yield {'x': np.zeros(i, np.float32)}\n"
    found = called(tmp_path, FEED + body, [spec("x", [1, None])], monkeypatch, refusal)
    assert "differ in shape" in found["what"]


@pytest.mark.parametrize(("scale", "lost"), [(1 / 255, True), (1.0, False), (100.0, False)])
def test_fractions_that_would_be_rounded_to_0_and_1_are_refused(tmp_path, scale, lost):
    np.savez(tmp_path / "data.npz", x=np.arange(64, dtype=np.uint8).reshape(4, 16) * 4)
    params, inputs = {"kind": "npz", "scale": scale}, [spec("x", [1, 16], "int32")]
    if lost:
        found = refusal(tmp_path, params, inputs, tmp_path / "data.npz")
        assert "would become 0 and 1 in int32" in found["what"] and found["where"] == "dataset.scale"
    else:
        sampled(tmp_path, params, inputs, tmp_path / "data.npz")


def test_numbers_of_0_and_1_are_integers(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.eye(16))
    inputs, _, facts = sampled(
        tmp_path, {"kind": "npz", "scale": 1.0}, [spec("x", [1, 16], "int32")], tmp_path / "data.npz"
    )
    assert inputs["x"].sum() == 16 and facts["distinct"] == 16
    assert facts["inputs"]["x"] == {"low": 0.0, "high": 1.0, "mean": 0.0625, "std": 0.242061}
