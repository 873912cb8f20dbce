"""docs/data.md: every example is built as it stands there."""

from __future__ import annotations

import csv
import io
import re
import struct
import wave

import numpy as np
import pytest
from commandline import ASSETS, ROOT
from PIL import Image
from records import described, example, prepared, record_file

pytestmark = pytest.mark.heavy

PAGE = (ROOT / "docs" / "data.md").read_text()
KINDS = {
    "Images": "image_folder",
    "CSV": "csv",
    "TFRecord": "tfrecord",
    "TensorFlow Datasets": "tfds",
    "Sound": "audio_folder",
    "Code": "callable",
}
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


def png(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


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
    rows = [example(pixels=image.tobytes(), y=[index % 10]) for index, image in enumerate(images)]
    record_file(folder / "records", *rows, name="0.tfrecord")
    rows = [example(image=png(image[..., 0]), label=[index % 2]) for index, image in enumerate(images)]
    features = {"image": described("image", "uint8", (28, 28, 1)), "label": described("classLabel", numClasses="2")}
    prepared(folder / "tensorflow_datasets" / "clothes" / "1.0.0", features, ("boot", "coat"), train=rows)
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
    done = warm.run("+recipe=mobilenet_int8", *settings, "verify.gates.top1_drop=null")
    assert done.code == 0 and "random numbers" in done.err, done.err


def test_every_kind_has_its_row():
    from tflbuild.config.schema.recipe_schema import OPTIONS

    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(OPTIONS["dataset"]) - {"none"}
