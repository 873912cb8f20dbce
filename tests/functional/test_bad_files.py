"""A model or dataset that is not what the recipe says is refused by name, with what it is instead."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
from refusals import ASSETS, RECIPE, failed_in, refused_at_once

heavy = pytest.mark.heavy
CALIBRATION = "dataset.path=data.npz"
EVALUATION = "verify.dataset.path=data.npz"


def images(count=4, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1)).astype(dtype)


def good(count=4):
    return {"image": images(count), "label": np.arange(count) % 10}


def save(project, **arrays):
    np.savez(project.folder / "data.npz", **arrays)


# before anything runs


@pytest.mark.parametrize(
    ("key", "name", "meant"),
    [
        ("source.path", "modle.keras", "model.keras"),
        ("dataset.path", "calibratoin.npz", "calibration.npz"),
        ("verify.dataset.path", "evalutaion.npz", "evaluation.npz"),
    ],
)
def test_a_missing_file_is_named_with_the_nearest_one(project, local_recipe, key, name, meant):
    local_recipe(project)
    found = refused_at_once(project.run("+recipe=local", f"{key}=data/{name}"))
    assert found.what == f"'data/{name}' does not exist"
    assert found.where == f"command line: {key}=data/{name}"
    assert found.why.startswith(f"did you mean: {meant}")


def test_a_missing_file_that_the_recipe_names_has_its_line(project, local_recipe):
    recipe = local_recipe(project)
    (project.folder / "data" / "calibration.npz").unlink()
    found = refused_at_once(project.run("+recipe=local"))
    lines = recipe.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "calibration.npz" in text)
    assert found.where == f"recipes/local.yaml:{line}: dataset.path"


def test_a_missing_folder_is_said_to_be_missing(project):
    found = refused_at_once(project.run(RECIPE, "source.path=nowhere/model.keras"))
    assert found.why == f"there is no folder {project.folder / 'nowhere'}"


def test_a_missing_shipped_file_is_named_with_the_nearest_one(project):
    found = refused_at_once(project.run(RECIPE, "source.path=tflbuild://fashion_mobilenet/modle.keras"))
    assert "did you mean: model.keras" in found.why


@pytest.mark.parametrize("key", ["source.path", "dataset.path", "verify.dataset.path"])
def test_a_folder_in_the_place_of_a_file_is_refused(project, key):
    (project.folder / "things").mkdir()
    found = refused_at_once(project.run(RECIPE, f"{key}=things"))
    assert found.what == "'things' is a folder" and found.where == f"command line: {key}=things"


def test_a_saved_model_taken_for_a_keras_file_is_recognised(project):
    project.write("exported/saved_model.pb", "")
    found = refused_at_once(project.run(RECIPE, "source.path=exported"))
    assert found.next == "source=saved_model"


def test_a_folder_without_a_saved_model_is_refused(project):
    project.write("exported/variables/variables.index", "")
    found = refused_at_once(project.run(RECIPE, "source=saved_model", "source.path=exported"))
    assert found.what == "'exported' is not a SavedModel" and "saved_model.pb" in found.why


def test_a_keras_file_taken_for_a_saved_model_is_recognised(project):
    found = refused_at_once(project.run(RECIPE, "source=saved_model"))
    assert "this is a file" in found.why and "source=keras" in found.next


def test_a_file_below_a_file_is_refused(project):
    project.write("data.npz", "")
    assert refused_at_once(project.run(RECIPE, "dataset.path=data.npz/inner.npz")).why


def test_a_link_to_nothing_is_refused(project):
    (project.folder / "data.npz").symlink_to("gone.npz")
    assert refused_at_once(project.run(RECIPE, CALIBRATION)).why


# the source, as its loader finds it


def keras_file(project, damage):
    shutil.copy(ASSETS / "model.keras", project.folder / "model.keras")
    path = project.folder / "model.keras"
    path.write_bytes(damage(path.read_bytes()))
    return path


@heavy
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda raw: raw[: len(raw) // 2], "incomplete"),
        (lambda raw: b"no zip at all", "zip"),
        (lambda raw: b"", "zip"),
    ],
    ids=["cut short", "no zip", "empty"],
)
def test_a_file_that_is_no_whole_zip_is_no_keras_file(project, damage, word):
    keras_file(project, damage)
    found = failed_in(project.run(RECIPE, "source.path=model.keras"), "import")
    assert found.what == "'model.keras' is not a Keras model" and word in found.why
    assert "command line: source.path=model.keras" in found.where
    assert "model.save" in found.next


@heavy
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_keras_file_damaged_inside_is_refused(project, member):
    """The archive is whole, with right sums; what is in it is not."""
    with zipfile.ZipFile(ASSETS / "model.keras") as old, zipfile.ZipFile(project.folder / "model.keras", "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            new.writestr(name, raw[: len(raw) // 2] if name == member else raw)
    found = failed_in(project.run(RECIPE, "source.path=model.keras"), "import")
    assert "'model.keras'" in found.what and found.why
    assert "command line: source.path=model.keras" in found.where


@heavy
def test_a_keras_file_with_a_flipped_byte_is_refused(project):
    keras_file(project, lambda raw: flipped(raw, len(raw) // 2))
    found = failed_in(project.run(RECIPE, "source.path=model.keras"), "import")
    assert "'model.keras'" in found.what and found.why


@heavy
def test_a_zip_of_something_else_is_refused(project):
    with zipfile.ZipFile(project.folder / "model.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    found = failed_in(project.run(RECIPE, "source.path=model.keras"), "import")
    assert "'model.keras'" in found.what and found.why


@heavy
def test_a_saved_model_that_is_none_is_refused(project):
    project.write("exported/saved_model.pb", "no protocol buffer")
    found = failed_in(project.run(RECIPE, "source=saved_model", "source.path=exported"), "import")
    assert "'exported'" in found.what and found.why


# the signature, held against the model


@heavy
@pytest.mark.parametrize(
    ("inputs", "key", "words"),
    [
        (
            "{imgae: {shape: [1, 28, 28, 1]}, image: null}",
            "signature.inputs",
            ["imgae", "did you mean 'image'", "float32[None, 28, 28, 1]"],
        ),
        ("{image: {shape: [1, 32, 32, 1]}}", "signature.inputs.image.shape", ["[1, 32, 32, 1]", "28"]),
        ("{image: {shape: [28, 28, 1]}}", "signature.inputs.image.shape", ["the batch comes first"]),
        ("{image: {shape: [1, 28, 28, 1], dtype: uint8}}", "signature.inputs.image.dtype", ["uint8", "float32"]),
    ],
    ids=["name", "shape", "rank", "dtype"],
)
def test_a_declared_input_that_the_model_lacks_is_refused(warm, inputs, key, words):
    shipped = "    image: {shape: [1, 28, 28, 1], dtype: float32}"
    text = inputs.replace(", image: null", "")
    local = (ASSETS.parents[2] / "recipes" / "mobilenet_int8.yaml").read_text()
    recipe = local.replace(f"  inputs:\n{shipped}", f"  inputs: {text}")
    warm.write("recipes/mine.yaml", recipe)
    found = failed_in(warm.run("+recipe=mine"), "import")
    line = next(number for number, text in enumerate(recipe.splitlines(), 1) if "inputs:" in text)
    assert f"recipes/mine.yaml:{line}: {key}" in found.where
    for word in words:
        assert word in found.text


@heavy
def test_a_signature_that_the_saved_model_lacks_is_refused_with_those_it_has(warm):
    (record,) = [path for path in (warm.store / "ac").glob("*/*.json") if "snapshot/" in path.read_text()]
    files = snapshot_files(record)
    for name, digest in files.items():
        place = warm.folder / "exported" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(warm.store / "cas" / digest[:2] / digest, place)
    found = failed_in(
        warm.run(RECIPE, "source=saved_model", "source.path=exported", "signature.key=serving_defalt"), "import"
    )
    assert "did you mean 'serving_default'" in found.why
    assert "command line: signature.key=serving_defalt" in found.where


def snapshot_files(record):
    return json.loads(json.loads(record.read_text())["body"])["outputs"]["snapshot/"]["files"]


# the dataset; the import is a hit, so that the data alone is looked at


def flipped(raw, at):
    return raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]


def refused_data(project, *overrides, step="calibration samples", path=CALIBRATION):
    done = project.run(RECIPE, path, *overrides)
    assert done.steps["import"] == "hit", done.err
    found = failed_in(done, step)
    assert f"step '{step}'" in found.where
    return found


@heavy
@pytest.mark.parametrize("where", ["cut short", "flipped in the data", "no zip", "empty"])
@pytest.mark.parametrize("squeezed", [False, True], ids=["plain", "compressed"])
def test_a_damaged_npz_is_refused(warm, where, squeezed):
    (np.savez_compressed if squeezed else np.savez)(warm.folder / "data.npz", **good(64))
    path = warm.folder / "data.npz"
    raw = path.read_bytes()
    damaged = {
        "cut short": raw[: len(raw) // 2],
        "flipped in the data": flipped(raw, len(raw) // 2),
        "no zip": b"image,label\n1,2\n",
        "empty": b"",
    }
    path.write_bytes(damaged[where])
    found = refused_data(warm)
    assert "'data.npz'" in found.what and found.why and found.next
    assert "pickle" not in found.text


@heavy
def test_a_single_array_is_no_npz(warm):
    np.save(warm.folder / "array.npy", images())
    (warm.folder / "array.npy").rename(warm.folder / "data.npz")
    found = refused_data(warm)
    assert "single array" in found.why and "numpy.savez" in found.next


@heavy
def test_python_objects_in_an_npz_are_not_unpickled(warm):
    save(warm, image=np.array([{"a": 1}], dtype=object))
    found = refused_data(warm)
    assert "'data.npz'" in found.what and "allow_pickle" not in found.next


@heavy
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"imgae": images()}, ["no array 'image'", "did you mean 'imgae'", "dataset.arrays.image="]),
        ({"image": images()[:, :14]}, ["[14, 28, 1]", "[28, 28, 1]"]),
        ({"image": images()[..., 0]}, ["[28, 28]", "[28, 28, 1]"]),
        ({"image": np.uint8(3)}, ["[28, 28, 1]"]),
        ({"image": np.full((4, 28, 28, 1), np.nan, np.float32)}, ["NaN"]),
        ({"image": np.full((4, 28, 28, 1), np.inf, np.float32)}, ["NaN or infinity"]),
        ({"image": images(0)}, ["holds no samples"]),
        ({"image": np.full((4, 28, 28, 1), "a")}, ["<U1"]),
        ({}, ["contains nothing"]),
    ],
    ids=["name", "shape", "rank", "scalar", "nan", "infinity", "empty", "text", "nothing"],
)
def test_arrays_that_do_not_fit_the_model_are_refused(warm, arrays, words):
    save(warm, **arrays)
    found = refused_data(warm)
    for word in words:
        assert word in found.text


@heavy
@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int64])
def test_another_dtype_without_a_scale_is_refused(warm, dtype):
    save(warm, image=images(dtype=dtype))
    found = refused_data(warm, "dataset.scale=null")
    assert np.dtype(dtype).name in found.what and "float32" in found.why
    assert "dataset.scale=1.0" in found.next


@heavy
def test_a_mapping_of_an_input_that_the_model_lacks_is_refused(warm):
    save(warm, pictures=images())
    found = refused_data(warm, "+dataset.arrays.imgae=pictures")
    assert "'imgae'" in found.what and "did you mean 'image'" in found.why
    assert "dataset.arrays" in found.where


@heavy
def test_more_samples_than_there_are_is_refused(warm):
    save(warm, **good(4))
    found = refused_data(warm, "dataset.count=9")
    assert "holds 4 samples, and 9 are asked for" in found.what
    assert "command line: dataset.count=9" in found.where


@heavy
def test_the_shipped_data_counts_too(warm):
    done = warm.run(RECIPE, "dataset.count=100000")
    assert "100000 are asked for" in failed_in(done, "calibration samples").what


@heavy
@pytest.mark.parametrize(
    ("label", "words"),
    [
        (np.arange(3), ["differ in length", "image: 4", "3"]),
        (np.zeros(4, np.float32), ["float32[4]", "integer"]),
        (np.zeros((4, 10), np.int64), ["int64[4, 10]"]),
        (np.array([0, 1, -1, 2]), ["-1", "start at 0"]),
        (np.array(3), ["int64[]"]),
    ],
    ids=["length", "float", "one hot", "negative", "scalar"],
)
def test_labels_that_are_no_class_indices_are_refused(warm, label, words):
    save(warm, image=images(), label=label)
    found = refused_data(warm, step="evaluation samples", path=EVALUATION)
    for word in words:
        assert word in found.text


@heavy
def test_a_misspelt_label_array_is_refused_with_the_nearest_name(warm):
    save(warm, image=images(), lable=np.arange(4))
    found = refused_data(warm, step="evaluation samples", path=EVALUATION)
    assert "did you mean 'lable'" in found.why and "verify.dataset.label" in found.where


@heavy
def test_a_label_that_no_class_has_is_refused(warm):
    save(warm, image=images(), label=np.array([0, 1, 10, 2]))
    done = warm.run(RECIPE, EVALUATION)
    found = failed_in(done, "verify int8")
    assert "a label is 10" in found.what and "10 classes" in found.what
    assert "verify.dataset.label" in found.where


@heavy
def test_what_does_not_need_the_bad_file_is_still_made_and_the_rest_skipped(warm):
    save(warm, image=images(0), label=np.arange(0))
    steps = warm.run(RECIPE, EVALUATION).steps
    assert steps["evaluation samples"] == "failed" and steps["quantize int8"] == "hit"
    assert steps["predict"] == steps["verify int8"] == steps["package int8"] == "skipped"


@heavy
def test_a_refused_build_keeps_its_log_and_brings_out_no_model(warm):
    save(warm, imgae=images())
    found = refused_data(warm)
    log = warm.folder / found.where.split("its log: ")[1]
    assert "WorkerError" in log.read_text()
    assert not list((warm.folder / "outputs").rglob("*.tflite"))


@heavy
def test_the_corrected_file_is_taken(warm):
    save(warm, imgae=images(64))
    refused_data(warm)
    save(warm, image=images(64))
    done = warm.run(RECIPE, CALIBRATION, "verify.gates.top1_drop=null")
    assert done.code == 0, done.err
