"""What a dataset's files hold is what is fed, or the file is refused by its name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sampling import sampled, spec

from tflbuild.runtime.step_contract import WorkerError

IMAGES = {"classes": [], "mean": [], "std": [], "size": [], "resize": "bilinear", "crop": "none", "layout": "nhwc"}
AUDIO = {"classes": [], "sample_rate": None, "length": None}
CSV = {"columns": {}, "delimiter": ","}
GREY16 = np.array([[0, 257, 65535], [1000, 25700, 30000]], np.uint16)


def refusal(folder, params, wanted, data):
    with pytest.raises(WorkerError) as caught:
        sampled(folder, params, wanted, data)
    fields = caught.value.fields
    return f"{fields['what']}\n{fields['why']}\n{fields['next_step']}"


# images


def image_params(scale=1.0, **options):
    return {"kind": "image_folder", "options": IMAGES | options, "scale": scale}


def folder_of(tmp_path, name, image=None, data=b"", **how):
    place = tmp_path / "photos" / name
    place.parent.mkdir(exist_ok=True)
    if image is None:
        place.write_bytes(data)
    else:
        image.save(place, **how)
    return place.parent


def png(bits, colour, raw):
    """A PNG of two rows of 2 pixels, of any depth."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 2, bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + raw[at : at + len(raw) // 2] for at in (0, len(raw) // 2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_grey_of_16_bits_counts_0_to_255(tmp_path, name):
    data = folder_of(tmp_path, name, Image.fromarray(GREY16))
    inputs, _, _ = sampled(tmp_path, image_params(), [spec("x", [1, 2, 3, 1])], data)
    assert np.allclose(inputs["x"][0, ..., 0], GREY16 / 257, atol=1e-4)
    inputs, _, _ = sampled(tmp_path, image_params(1 / 255), [spec("x", [1, 2, 3, 3])], data)
    assert np.allclose(inputs["x"][0], (GREY16 / 65535)[..., None].repeat(3, 2), atol=1e-6)


def test_grey_of_16_bits_and_of_8_bits_of_one_picture_are_alike(tmp_path):
    folder_of(tmp_path, "deep.png", Image.fromarray(GREY16))
    data = folder_of(tmp_path, "flat.png", Image.fromarray((GREY16 / 257).round().astype(np.uint8)))
    inputs, _, _ = sampled(tmp_path, image_params(crop="center"), [spec("x", [1, 4, 4, 1])], data)
    assert np.abs(inputs["x"][0] - inputs["x"][1]).max() <= 1


def test_16_bits_without_a_scale_are_refused(tmp_path):
    data = folder_of(tmp_path, "a.png", Image.fromarray(GREY16))
    text = refusal(tmp_path, image_params(None), [spec("x", [1, 2, 3, 1], "uint8")], data)
    assert "'photos/a.png' cannot be fed unchanged" in text and "declare a scale" in text


COLOUR = Image.new("RGB", (3, 2), (10, 20, 30))
REFUSED_IMAGES = {
    "floats": ("a.tif", Image.fromarray(np.ones((2, 3), np.float32)), {}, "its pixels are floats"),
    "long": ("a.tif", Image.fromarray(np.ones((2, 3), np.int32)), {}, "integers of 32 bits"),
    "cmyk": ("a.jpg", Image.new("CMYK", (3, 2)), {}, "its colors are CMYK"),
    "lab": ("a.tif", Image.new("LAB", (3, 2)), {}, "its colors are LAB"),
    "alpha": ("a.png", Image.new("RGBA", (3, 2), (1, 2, 3, 254)), {}, "transparent pixels"),
    "grey alpha": ("a.png", Image.new("LA", (3, 2), (1, 0)), {}, "transparent pixels"),
    "palette": ("a.png", COLOUR.convert("P"), {"transparency": COLOUR.convert("P").getpixel((0, 0))}, "transparent"),
    "key": ("a.png", COLOUR, {"transparency": (10, 20, 30)}, "transparent"),
    "gif": ("a.gif", COLOUR, {"save_all": True, "append_images": [Image.new("RGB", (3, 2))]}, "2 frames"),
    "webp": ("a.webp", COLOUR, {"save_all": True, "append_images": [Image.new("RGB", (3, 2))]}, "2 frames"),
    "pages": ("a.tiff", COLOUR, {"save_all": True, "append_images": [COLOUR]}, "2 frames"),
}


@pytest.mark.parametrize("kind", REFUSED_IMAGES)
def test_pixels_that_would_be_changed_are_refused_by_name(tmp_path, kind):
    name, image, how, words = REFUSED_IMAGES[kind]
    data = folder_of(tmp_path, name, image, **how)
    text = refusal(tmp_path, image_params(), [spec("x", [1, 2, 3, 3])], data)
    assert f"'photos/{name}' cannot be fed unchanged" in text and words in text


@pytest.mark.parametrize(("colour", "values"), [(2, 6), (4, 4), (6, 8)])
def test_colour_of_16_bits_is_refused(tmp_path, colour, values):
    data = folder_of(tmp_path, "a.png", data=png(16, colour, bytes(4 * values)))
    text = refusal(tmp_path, image_params(), [spec("x", [1, 2, 2, 3])], data)
    assert "'photos/a.png'" in text and "colors have 16 bits per channel" in text


def test_pixels_that_mean_the_same_in_another_form_are_fed(tmp_path):
    """A palette, an opaque alpha channel, one bit or four bits a pixel, grey for colour and colour for grey."""
    folder_of(tmp_path, "a.png", COLOUR.convert("P", palette=Image.Palette.ADAPTIVE))
    folder_of(tmp_path, "b.png", Image.new("RGBA", (3, 2), (10, 20, 30, 255)))
    data = folder_of(tmp_path, "c.png", Image.new("1", (3, 2), 1))
    inputs, _, _ = sampled(tmp_path, image_params(), [spec("x", [1, 2, 3, 3])], data)
    assert inputs["x"][:, 0, 0].tolist() == [[10, 20, 30], [10, 20, 30], [255, 255, 255]]
    inputs, _, _ = sampled(tmp_path, image_params(), [spec("x", [1, 2, 3, 1])], data)
    assert inputs["x"][:, 0, 0, 0].tolist() == [18, 18, 255]
    few = folder_of(tmp_path / "photos", "d.png", data=png(4, 0, b"\x0f\x3f"))
    inputs, _, _ = sampled(tmp_path, image_params(), [spec("x", [1, 2, 2, 1])], few)
    assert inputs["x"].ravel().tolist() == [0, 255, 51, 255]


# sound


def wave(code, bits, channels, raw, step=None):
    step = step or channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, 8000, 8000 * step, step, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (wave(1, 24, 1, bytes(16), step=4), "states 4 bytes"),
        (wave(1, 16, 2, bytes(6)), "not a whole number of samples"),
        (wave(1, 16, 1, b""), "contains no sound"),
        (wave(3, 32, 1, struct.pack("<4f", 0, float("nan"), 0, 0)), "'photos/a.wav' holds NaN"),
    ],
)
def test_sound_that_would_be_misread_is_refused(tmp_path, raw, words):
    data = folder_of(tmp_path, "a.wav", data=raw)
    params = {"kind": "audio_folder", "options": AUDIO | {"length": 4}}
    assert words in refusal(tmp_path, params, [spec("x", [1, 4])], data)


# numbers


def npz(tmp_path, values):
    np.savez(tmp_path / "data.npz", x=np.asarray(values))
    return tmp_path / "data.npz"


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        (np.array([[2**40]]), "int32", "does not fit into int32"),
        (np.array([[-1]]), "uint8", "does not fit into uint8"),
        (np.array([[2**24 + 1]]), "float32", "holds 16777217, which float32 cannot hold"),
        (np.array([[2**53 + 1]]), "float64", "holds 9007199254740993"),
        (np.array([[0.5]]), "int32", "holds 0.5, which int32 cannot hold"),
        (np.array([[1e300]]), "float32", "does not fit into float32"),
        (np.array([[2.0]]), "bool", "does not fit into bool"),
        (np.array([[0.5]]), "bool", "holds 0.5, which bool cannot hold"),
        (np.array([[np.nan]]), "float32", "NaN or infinity"),
        (np.array([[np.inf]], np.float32), "float64", "NaN or infinity"),
    ],
)
def test_a_scale_of_1_feeds_values_unchanged_or_refuses_them(tmp_path, values, dtype, words):
    params = {"kind": "npz", "scale": 1.0}
    assert words in refusal(tmp_path, params, [spec("x", [1, 1], dtype)], npz(tmp_path, values))


def test_large_integers_keep_every_digit(tmp_path):
    data = npz(tmp_path, np.array([[2**53 + 1]]))
    inputs, _, _ = sampled(tmp_path, {"kind": "npz", "scale": 1.0}, [spec("x", [1, 1], "uint64")], data)
    assert inputs["x"].tolist() == [[2**53 + 1]]


def test_bytes_for_a_float_input_want_a_scale(tmp_path):
    data = npz(tmp_path, np.array([[200]], np.uint8))
    assert "scale" in refusal(tmp_path, {"kind": "npz"}, [spec("x", [1, 1])], data)


@pytest.mark.parametrize(
    ("cell", "dtype", "words"),
    [
        ("16777217", "float32", "'16777217' is not a number that the input's type can hold"),
        ("70000", "float16", "'70000' is not a number that the input's type can hold"),
        ("1_000", "float32", "'1_000'"),
        ("1_000", "int32", "'1_000' is not a whole number"),
        ("1.0", "int32", "'1.0' is not a whole number"),
        ("99999999999999999999", "int64", "is not a whole number of 64 bits"),
        ("3000000000", "int32", "does not fit into int32"),
        ("2", "bool", "'2' is not 0 or 1"),
        ("1e39", "float32", "does not fit into float32"),
        ("nan", "float32", "'nan'"),
    ],
)
def test_cells_that_an_input_cannot_hold_are_refused(tmp_path, cell, dtype, words):
    (tmp_path / "data.csv").write_text(f"x\n{cell}\n")
    params = {"kind": "csv", "options": CSV}
    text = refusal(tmp_path, params, [spec("x", [1, 1], dtype)], tmp_path / "data.csv")
    assert words in text and "data.csv" in text


def test_cells_are_fed_as_they_are_written(tmp_path):
    (tmp_path / "data.csv").write_text("x\n0.1\n-16777216\n1e20\n")
    inputs, _, _ = sampled(tmp_path, {"kind": "csv", "options": CSV}, [spec("x", [1, 1])], tmp_path / "data.csv")
    assert inputs["x"].ravel().tolist() == np.array([0.1, -16777216, 1e20], np.float32).tolist()


def test_masked_values_of_code_are_refused(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    text = (
        "import numpy as np\ndef make():\n    yield {'x': np.ma.masked_array(np.zeros(1, np.float32), mask=[True])}\n"
    )
    (tmp_path / "code" / "masked_feed.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    params = {"kind": "callable", "call": "masked_feed.py:make", "options": {"arguments": {}}}
    with pytest.raises(WorkerError) as caught:
        sampled(tmp_path, params, [spec("x", [1, 1])], code=tmp_path / "code")
    assert "'x' of sample 0" in caught.value.fields["what"] and "masked" in caught.value.fields["what"]
