"""docs/data.md: every example is built as it stands there."""

from __future__ import annotations

import csv
import re
import struct
import wave

import numpy as np
import pytest
from commandline import ASSETS, ROOT
from PIL import Image

from tflbuild.workers.tfrecord import frame

pytestmark = pytest.mark.heavy

PAGE = (ROOT / "docs" / "data.md").read_text()
KINDS = {"Images": "image_folder", "CSV": "csv", "TFRecord": "tfrecord", "Sound": "audio_folder", "Code": "callable"}
SOURCES = {"audio_folder": ("function", "call: ear.py:make")}
NET = ("keras", "path: tflbuild://fashion_mobilenet/model.keras")
EAR = """
import keras

def make():
    heard = keras.Input((784,), name="sound")
    return keras.Model(heard, keras.layers.Dense(2)(heard))
"""


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


def block(title, language):
    return re.search(rf"```{language}\n(.*?)```", section(title), re.S)[1]


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number, raw):
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def example(pixels, label):
    features = {"pixels": field(1, field(1, pixels.tobytes())), "y": field(3, field(1, varint(label)))}
    return field(1, b"".join(field(1, field(1, n.encode()) + field(2, raw)) for n, raw in features.items()))


def write_data(folder):
    images = np.load(ASSETS / "evaluation.npz")["image"][:80]
    np.savez(folder / "images.npz", image=images)
    for index, image in enumerate(images):
        path = folder / "photos" / ("boot", "coat")[index % 2] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    with (folder / "data.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([f"pixel{n}" for n in range(784)] + ["y"])
        rows.writerows([*image.ravel(), index % 10] for index, image in enumerate(images))
    (folder / "records").mkdir()
    framed = b"".join(frame(example(image, index % 10)) for index, image in enumerate(images))
    (folder / "records" / "0.tfrecord").write_bytes(framed)
    for index in range(8):
        path = folder / "sounds" / ("no", "yes")[index % 2] / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(struct.pack("<600h", *range(600)))


@pytest.mark.parametrize("title", KINDS)
def test_an_example_is_built(warm, title):
    kind = KINDS[title]
    write_data(warm.folder)
    warm.write("feed.py", block("Code", "python"))
    warm.write("ear.py", EAR)
    source, keys = SOURCES.get(kind, NET)
    warm.write(
        "recipes/page.yaml",
        f"defaults:\n  - override /source: {source}\n  - override /dataset: {kind}\n"
        "  - override /quantization: int8\n  - override /verify: parity\n"
        "  - override /dataset@verify.dataset: synthetic\n"
        f"source:\n  {keys}\n{block(title, 'yaml')}",
    )
    done = warm.run("+recipe=page")
    assert done.code == 0, done.err
    assert warm.manifest("page")["samples"]["calibration samples"]["count"] >= 8


def test_random_numbers_are_built(warm):
    settings = re.search(r"`(dataset=synthetic .*?)`", section("Random numbers"))[1].split()
    done = warm.run("+recipe=mobilenet_int8", *settings, "verify.gates.top1_drop=1")
    assert done.code == 0 and "random numbers" in done.err, done.err


def test_every_kind_has_its_row():
    from tflbuild.config.schema import OPTIONS

    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(OPTIONS["dataset"]) - {"none"}
