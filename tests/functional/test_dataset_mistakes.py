"""Datasets through the command line: what a user gets wrong is refused by name, what is right is built and keyed."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image
from refusals import ASSETS, RECIPE, failed_in, refused_at_once

heavy = pytest.mark.heavy
STEP = "calibration samples"
LOOSE = "verify.gates.top1_drop=null"
PHOTOS = ("dataset=image_folder", "dataset.path=photos")
CSV = ("dataset=csv", "dataset.path=data.csv", "+dataset.columns.image=['pixel*']")
CALL = ("dataset=callable", "dataset.call=feed.py:make")


def digits(count=24):
    return np.load(ASSETS / "evaluation.npz")["image"][:count, ..., 0]


def photos(project, count=24, name="photos", classes=10):
    labels = np.load(ASSETS / "evaluation.npz")["label"]
    for index, pixels in enumerate(digits(count)):
        path = project.folder / name / f"{labels[index] % classes}" / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def table(project, count=24, cell=str):
    with (project.folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"pixel{n}" for n in range(784)])
        writer.writerows([cell(value) for value in row.ravel()] for row in digits(count))


def feed(project, body, name="feed.py"):
    project.write(name, f"import numpy as np\n\n\ndef make(count=24):\n{body}\n")


GOOD_FEED = (
    "    for n in range(count):\n"
    "        yield {'image': np.random.default_rng(n).integers(0, 255, (28, 28, 1)).astype(np.float32)}"
)


def refused(project, *overrides, step=STEP):
    return failed_in(project.run(RECIPE, *overrides), step)


def manifest_of(project, name="mobilenet_int8"):
    """Of the only variant."""
    (path,) = (project.folder / "outputs" / name).rglob("manifest.json")
    return json.loads(path.read_text())


# before anything runs


def test_a_missing_folder_is_named_with_the_nearest_one(project):
    (project.folder / "photos").mkdir()
    found = refused_at_once(project.run(RECIPE, "dataset=image_folder", "dataset.path=photso"))
    assert found.what == "'photso' does not exist" and "did you mean: photos" in found.why


@pytest.mark.parametrize("kind", ["image_folder", "audio_folder", "tfds dataset.split=test"])
def test_a_file_in_the_place_of_a_folder_is_refused(project, kind):
    project.write("photo.png", "x")
    found = refused_at_once(project.run(RECIPE, *f"dataset={kind}".split(), "dataset.path=photo.png"))
    assert found.what == "'photo.png' is a file" and found.where == "command line: dataset.path=photo.png"


def test_code_that_is_not_there_is_named(project):
    project.write("feed.py", "")
    found = refused_at_once(project.run(RECIPE, "dataset=callable", "dataset.call=fed.py:make"))
    assert found.what == "'fed.py' does not exist" and "feed.py" in found.why
    assert found.where == "command line: dataset.call=fed.py:make"


def test_declared_files_that_are_not_there_are_named(project):
    feed(project, GOOD_FEED)
    found = refused_at_once(project.run(RECIPE, *CALL, "dataset.files=[words.txt]"))
    assert found.what == "'words.txt' does not exist" and found.where == "command line: dataset.files=[words.txt]"


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ((*PHOTOS, "dataset.size=[28]"), "dataset.size"),
        ((*PHOTOS, "dataset.std=[0.0]"), "dataset.std"),
        ((*PHOTOS, "dataset.label=lable"), "dataset.label"),
        ((*PHOTOS, "dataset.resize=cubic"), "dataset.resize"),
        ((*CSV, "dataset.delimiter=''"), "dataset.delimiter"),
        (("dataset=tfrecord", "dataset.path=x", "+dataset.raw.image=uint"), "dataset.raw.image"),
        (("dataset=audio_folder", "dataset.path=x", "dataset.sample_rate=0"), "dataset.sample_rate"),
        (("dataset=callable", "dataset.call=feed"), "dataset.call"),
    ],
)
def test_values_that_no_kind_takes_are_refused(project, overrides, key):
    found = refused_at_once(project.run(RECIPE, *overrides))
    assert key in found.where and found.what


# the data, held against the model


@heavy
def test_an_empty_class_folder_is_refused(warm):
    photos(warm)
    (warm.folder / "photos" / "boots").mkdir()
    found = refused(warm, *PHOTOS)
    assert "class folder 'boots'" in found.what and "command line: dataset.path=photos" in found.where


@heavy
def test_a_broken_image_is_named(warm):
    photos(warm)
    bad = sorted((warm.folder / "photos").rglob("*.png"))[3]
    bad.write_bytes(bad.read_bytes()[:60])
    found = refused(warm, *PHOTOS)
    assert f"'{bad.relative_to(warm.folder)}' is not a whole image" in found.what


@heavy
def test_text_in_a_csv_is_refused_with_its_line_and_column(warm):
    table(warm)
    text = (warm.folder / "data.csv").read_text().splitlines()
    text[7] = text[7].replace(text[7].split(",")[0], "n/a", 1)
    (warm.folder / "data.csv").write_text("\n".join(text))
    found = refused(warm, *CSV)
    assert found.what == "line 8 of 'data.csv', column 'pixel0': 'n/a' is not a number that the input's type can hold"


@heavy
def test_a_sound_folder_for_an_image_model_is_refused(warm):
    (warm.folder / "sounds").mkdir()
    (warm.folder / "sounds" / "a.wav").write_bytes(b"RIFF")
    found = refused(warm, "dataset=audio_folder", "dataset.path=sounds")
    assert "'sounds/a.wav' is not a WAV file" in found.what and "is incomplete" in found.why


@heavy
@pytest.mark.parametrize("raw", [b"", b"no record at all, though long enough to be one"])
def test_what_is_no_tfrecord_is_refused(warm, raw):
    (warm.folder / "data.tfrecord").write_bytes(raw)
    found = refused(warm, "dataset=tfrecord", "dataset.path=data.tfrecord")
    assert "'data.tfrecord'" in found.what and found.why


@heavy
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    return iter(())", ["holds no samples"]),
        ("    yield {'imgae': np.zeros((28, 28, 1))}", ["has no 'image'", "did you mean 'imgae'"]),
        ("    yield {'image': np.zeros((28, 28))}", ["[28, 28]", "[28, 28, 1]"]),
        ("    yield {'image': 1 / 0}", ["ZeroDivisionError", "feed.py:5 in make"]),
        ("    yield {'image': open('words.txt')}", ["FileNotFoundError", "dataset.files"]),
        ("    return __import__('absent_module')", ["ModuleNotFoundError", "dataset.files"]),
    ],
    ids=["nothing", "name", "shape", "error", "file", "module"],
)
def test_what_code_gives_is_refused_by_name(warm, body, words):
    feed(warm, body)
    found = refused(warm, *CALL)
    assert all(word in found.text for word in words) and "dataset.call" in found.where
    assert str(warm.store) not in found.text.split("its log")[0]


# what is right


@heavy
def test_the_same_pixels_from_any_kind_make_the_same_model(warm):
    pixels = digits()[..., None]
    np.savez(warm.folder / "data.npz", image=pixels)
    np.save(warm.folder / "data.npy", pixels)
    table(warm)
    photos(warm, classes=1)
    feed(warm, "    for image in np.load('data.npy'): yield {'image': image}")
    kinds = {
        "npz": ("dataset=npz", "dataset.path=data.npz"),
        "npy": ("dataset=npy", "dataset.path=data.npy"),
        "csv": CSV,
        "photos": PHOTOS,
        "call": (*CALL, "dataset.files=[data.npy]"),
    }
    made = {}
    for name, overrides in kinds.items():
        done = warm.run(RECIPE, f"name={name}", LOOSE, *overrides)
        assert done.code == 0, done.err
        assert done.steps["calibrate"] == ("ran" if name == "npz" else "hit"), name
        made[name] = manifest_of(warm, name)["artifact"]["sha256"]
    assert len(set(made.values())) == 1


@heavy
def test_new_bytes_at_the_same_path_are_sampled_again(warm):
    photos(warm)
    arguments = (RECIPE, *PHOTOS, LOOSE)
    assert warm.run(*arguments).steps[STEP] == "ran"
    assert warm.run(*arguments).steps.get(STEP, "hit") == "hit"
    one = sorted((warm.folder / "photos").rglob("*.png"))[0]
    before = one.stat()
    Image.fromarray(255 - np.asarray(Image.open(one))).save(one)
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert warm.run(*arguments).steps[STEP] == "ran"


@heavy
def test_code_and_what_it_declares_are_its_key(warm):
    feed(warm, "    from words import SEED\n" + GOOD_FEED.replace("default_rng(n)", "default_rng(n + SEED)"))
    warm.write("words.py", "SEED = 1\n")
    warm.write("notes.txt", "one")
    arguments = (RECIPE, *CALL, "+dataset.arguments.count=16", "dataset.files=[notes.txt]", LOOSE)
    done = warm.run(*arguments)
    assert done.code == 0 and done.steps[STEP] == "ran", done.err
    assert manifest_of(warm)["samples"][STEP]["count"] == 16
    warm.write("unrelated.py", "SEED = 3\n")
    assert warm.run(*arguments).steps.get(STEP, "hit") == "hit"
    for name, text in {"words.py": "SEED = 2\n", "notes.txt": "two"}.items():
        warm.write(name, text)
        assert warm.run(*arguments).steps[STEP] == "ran", name


@heavy
def test_labels_from_folders_measure_accuracy(warm):
    photos(warm, 60)
    evaluation = ("dataset@verify.dataset=image_folder", "verify.dataset.path=photos", "verify.dataset.label=folder")
    done = warm.run(RECIPE, "name=shown", *evaluation, LOOSE)
    assert done.code == 0, done.err
    manifest = manifest_of(warm, "shown")
    assert manifest["samples"]["evaluation samples"]["classes"] == [str(n) for n in range(10)]
    assert manifest["metrics"]["verify"]["classification"]["top1"] > 0.8


@heavy
def test_test_samples_that_were_calibrated_with_are_warned_of(warm):
    done = warm.run(RECIPE, "dataset.path=tflbuild://fashion_mobilenet/evaluation.npz", "dataset.count=50", LOOSE)
    assert done.code == 0
    assert "warning: 50 of 2,000 evaluation samples were calibrated with too" in done.err.splitlines()[-1]
    assert manifest_of(warm)["overlap"] == {"count": 50, "of": 2000}


@heavy
def test_sets_apart_are_not_warned_of(built):
    assert built.manifest()["overlap"] == {"count": 0, "of": 2000}


@heavy
def test_random_data_is_said_loudly(warm):
    done = warm.run(RECIPE, "dataset=synthetic", "dataset.high=255", "verify.gates.top1_drop=null")
    assert "warning: the calibration samples are random numbers" in done.err
