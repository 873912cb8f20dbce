"""Entry points: which signatures the artifact has, how they are called, and what stands before the model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from sweeps import make_project, open_model, recipe, run_model

pytestmark = pytest.mark.heavy

RAW = "scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]"
RESIZED = (
    f"inputs: {{image: {{shape: [1, 12, 10, 3], dtype: uint8}}}}, preprocess: {{image: {{{RAW}, resize: bilinear}}}}"
)
CONVERTER = "quantization: {engine: converter}"
PHOTOS = "{path: samples.npz, arrays: {image: photo}}"
PLANES = "{path: samples.npz, arrays: {image: planes}}"
ENGINES = {"": (), "_by_converter": (CONVERTER,)}
FREE = "signature=dynamic"
SINGLE_BATCH = "converter: {_experimental_default_to_single_batch_in_tensor_list_ops: true}"


def net(call: str, signature: str, *sections: str, options: str = "", more: str = "") -> str:
    source = f"source: {{call: 'nets.py:{call}'{more}}}"
    return recipe(f"source=function {options}", source, f"signature: {{{signature}}}", *sections)


def pixels(options: str, *sections: str) -> str:
    return net("image", f"preprocess: {{image: {{{RAW}}}}}", *sections, options=options)


def evaluated_on(dataset: str) -> str:
    return f"verify: {{dataset: {dataset}}}"


def fed_from(dataset: str) -> tuple[str, ...]:
    return evaluated_on(dataset), f"dataset: {dataset}"


def step(preprocess: str, inputs: str = "") -> str:
    return net("image", f"{inputs}preprocess: {{image: {preprocess}}}")


INT8, INT16X8 = "quantization=int8 dataset=npz", "quantization=int16x8 dataset=npz"
LEARNER = "key: train, more: {infer: {}"
RECIPES = {
    # which signatures
    "codec": net("Codec", "key: encode, more: {decode: {}}"),
    "decoder": net("Codec", "key: decode"),
    "renamed": net("Codec", "key: forward, entry: encode, outputs: {code: z}, more: {back: {entry: decode}}"),
    "learner": net("Learner", f"{LEARNER}}}"),
    "saving": net("Learner", f"{LEARNER}, save: {{}}, restore: {{}}}}", options="opset=select_tf"),
    "pooling": net("Learner", f"{LEARNER}, pool: {{}}}}", options="opset=select_tf"),
    "batches": net("dense", "more: {four: {batch: 4}}"),
    "scores": net("two_heads", "outputs: {logits: scores}"),
    "swapped": net("two_heads", "outputs: {scores: hidden, hidden: scores}"),
    "unknown_output": net("two_heads", "outputs: {logits: socres}"),
    "unknown_more": net("Codec", "key: encode, more: {deocde: {}}"),
    **{f"int8_codec{n}": net("Codec", "key: encode, more: {decode: {}}", *e, options=INT8) for n, e in ENGINES.items()},
    "unfed": net("Codec", "key: encode, more: {decode: {}}", "dataset: {path: other.npz}", options=INT8),
    # preprocessing
    "raw": pixels(""),
    "raw_dynamic_int8": pixels("quantization=dynamic_int8"),
    **{f"raw_int8{name}": pixels(INT8, *engine) for name, engine in ENGINES.items()},
    "raw_integer_only": pixels(f"{INT8} target=integer_only"),
    "raw_any_batch": pixels(FREE),
    "resized": net("image", RESIZED, evaluated_on(PHOTOS)),
    "resized_int8": net("image", RESIZED, *fed_from(PHOTOS), options=INT8),
    "planes": net("image", f"preprocess: {{image: {{{RAW}, layout: nchw_to_nhwc}}}}", evaluated_on(PLANES)),
    "two_means": step("{mean: [1, 2]}"),
    "no_such_input": step("{}").replace("image: {}", "imgae: {}"),
    "another_size": step("{}", "inputs: {image: {shape: [1, 12, 10, 3], dtype: uint8}}, "),
    "no_size": net(
        "image_of_any_size",
        "inputs: {image: {shape: [1, 12, 10, 3], dtype: uint8}}, preprocess: {image: {resize: nearest}}",
    ),
    "no_image": net("dense", "preprocess: {x: {layout: nchw_to_nhwc}}"),
    # sizes left free, and several samples a call
    "any_length": net("convolution", "", options=FREE),
    "any_length_of_one": net("convolution", ""),
    "any_size": net("image_of_any_size", "", "verify: {dataset: {path: samples.npz, scale: 0.01}}"),
    "one_at_a_time": net("lstm", "", SINGLE_BATCH, options=FREE),
    "four": net("dense", "batch: 4"),
    **{f"four_int8{name}": net("dense", "batch: 4", *engine, options=INT8) for name, engine in ENGINES.items()},
    # fused recurrent layers
    "loop": net("lstm", ""),
    "fused": net("lstm", "", more=", fused_lstm: true"),
    "nothing_to_fuse": net("gru", "", more=", fused_lstm: true"),
    # int16 activations
    **{f"int16x8{name}": net("dense", "", *engine, options=INT16X8) for name, engine in ENGINES.items()},
    "int16x8_alone": net("dense", "", options=f"{INT16X8} opset=int16x8"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the models and one store for all tests of this module."""
    made = make_project(tmp_path_factory.mktemp("entry_points"))
    samples = np.load(made.folder / "samples.npz")
    np.savez(made.folder / "other.npz", x=samples["x"], codes=samples["z"])
    return made


def signatures(row):
    """Name -> (its inputs, its outputs), each by name, as `check` read them in the artifact."""
    found = row.manifest["artifact"]["contents"]["signatures"]
    return {one["key"]: tuple({t["name"]: t for t in one[side]} for side in ("inputs", "outputs")) for one in found}


def fit(row, snr=25):
    """Whether every output is the source's but for quantization."""
    return bool(row.outputs) and all(output["snr_db"] > snr for output in row.outputs.values())


# which signatures


@pytest.mark.parametrize(
    ("name", "outputs", "keys"),
    [
        ("codec", {"z", "decode/x"}, {"encode", "decode"}),
        ("decoder", {"x"}, {"decode"}),
        ("renamed", {"code", "back/x"}, {"forward", "back"}),
        ("learner", {"loss", "infer/estimate"}, {"train", "infer"}),
        ("batches", {"scores", "four/scores"}, {"serving_default", "four"}),
        ("scores", {"logits"}, {"serving_default"}),
        ("swapped", {"scores", "hidden"}, {"serving_default"}),
    ],
)
def test_the_artifact_has_the_signatures_that_were_declared_and_each_is_verified(rows, name, outputs, keys):
    assert set(signatures(rows[name])) == keys
    assert set(rows[name].outputs) == outputs
    assert rows[name].is_exact()
    assert "unverified_signatures" not in rows[name].manifest["metrics"]["verify"]


def test_an_output_has_the_name_that_it_was_given_and_no_other_is_left(rows, arrays):
    made = run_model(rows["scores"].model, {"x": arrays["x"]})
    assert list(made) == ["logits"]
    assert np.allclose(made["logits"], arrays["dense/scores"], atol=1e-5)
    swapped = run_model(rows["swapped"].model, {"x": arrays["x"]})
    assert np.allclose(swapped["hidden"], arrays["dense/scores"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "what", "why", "where"),
    [
        ("unknown_output", "has no output 'socres'", "did you mean 'scores'?", "signature.outputs.logits"),
        ("unknown_more", "has no signature 'deocde'", "did you mean 'decode'?", "signature"),
        ("no_such_input", "has no input 'imgae'", "did you mean 'image'?", "signature.preprocess"),
    ],
)
def test_a_name_that_the_model_lacks_is_refused_with_the_one_that_was_meant(rows, name, what, why, where):
    assert all(text in rows[name].error for text in (what, why, where))


def test_calls_that_change_state_are_seen_by_the_other_signature(rows, arrays):
    """Source and artifact learn and estimate in turn, from the same start."""
    interpreter = open_model(rows["learner"].model)
    train, infer = (interpreter.get_signature_runner(key) for key in ("train", "infer"))
    losses, weights = [], np.ones((8, 2), np.float32)
    for x, target in zip(arrays["x"], arrays["target"], strict=True):
        error = x[None] @ weights - target[None]
        losses.append(float(train(x=x[None], target=target[None])["loss"]) - float((error**2).mean()))
        weights -= 0.05 * x[:, None] @ error
        assert np.allclose(infer(x=x[None])["estimate"], x[None] @ weights, atol=1e-3)
    assert np.allclose(losses, 0, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "unverified", "why"),
    [
        ("saving", {"save", "restore"}, "the dataset has no samples for it"),
        ("pooling", {"pool"}, "it needs TensorFlow (Flex) operators, which no Python package can run"),
    ],
)
def test_what_cannot_be_verified_is_named_and_the_rest_is_verified(rows, name, unverified, why):
    assert set(rows[name].outputs) == {"loss", "infer/estimate"}
    assert rows[name].is_exact()
    assert rows[name].manifest["metrics"]["verify"]["unverified_signatures"] == dict.fromkeys(unverified, why)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_signature_is_quantized(rows, engine):
    row = rows[f"int8_codec{engine}"]
    assert set(row.outputs) == {"z", "decode/x"} and fit(row)
    for inputs, outputs in signatures(row).values():
        assert {tensor["dtype"] for tensor in (*inputs.values(), *outputs.values())} == {"int8"}


def test_a_signature_without_calibration_data_is_refused_with_an_override_that_can_be_typed(project, rows):
    assert "the calibration dataset has no samples for the signature 'decode'" in rows["unfed"].error
    (proposed,) = re.findall(r"dataset\.arrays=\{.*?\}", rows["unfed"].error)
    done = project.run("+recipe=unfed", proposed.replace("input", "z").replace(": array", ": codes"))
    assert done.code == 0, done.err


# preprocessing


@pytest.mark.parametrize(
    ("name", "fed", "expected"),
    [
        ("raw", "image", "pixels/scores"),
        ("resized", "photo", "resized/scores"),
        ("planes", "planes", "pixels/scores"),
        ("raw_any_batch", "image", "pixels/scores"),
    ],
)
def test_the_artifact_takes_raw_pixels_and_does_the_arithmetic_itself(rows, arrays, name, fed, expected):
    made = run_model(rows[name].model, {"image": arrays[fed]})["scores"]
    assert np.allclose(made, arrays[expected], atol=1e-4)
    ((inputs, _),) = signatures(rows[name]).values()
    assert inputs["image"]["dtype"] == "uint8"


@pytest.mark.parametrize(
    ("name", "fed", "expected"),
    [
        ("raw_dynamic_int8", "image", "pixels/scores"),
        ("raw_int8", "image", "pixels/scores"),
        ("raw_int8_by_converter", "image", "pixels/scores"),
        ("raw_integer_only", "image", "pixels/scores"),
        ("resized_int8", "photo", "resized/scores"),
    ],
)
def test_quantized_it_takes_the_same_bytes(rows, arrays, name, fed, expected):
    ((inputs, outputs),) = signatures(rows[name]).values()
    made = run_model(rows[name].model, {"image": arrays[fed]})["scores"].astype(np.float32)
    if "int8" in outputs["scores"]["dtype"]:
        made = (made - outputs["scores"]["zero_point"]) * outputs["scores"]["scale"]
    error = made - arrays[expected]
    assert 10 * np.log10((arrays[expected] ** 2).sum() / (error**2).sum()) > 20
    assert inputs["image"]["dtype"] == "uint8"


@pytest.mark.parametrize("name", ["raw_int8", "raw_int8_by_converter", "raw_integer_only", "resized_int8"])
def test_the_bytes_are_the_values_and_nothing_computes_in_float(rows, name):
    ((inputs, _),) = signatures(rows[name]).values()
    assert (inputs["image"]["scale"], inputs["image"]["zero_point"]) == (1.0, 0)
    assert "float32" not in rows[name].manifest["artifact"]["contents"]["tensor_types"]
    assert "CAST" not in rows[name].operators


@pytest.mark.parametrize(
    ("name", "what", "where"),
    [
        ("two_means", "input 'image' has 3 channels, and mean has 2 numbers", "signature.preprocess.image.mean"),
        (
            "another_size",
            "has shape [1, 12, 10, 3] after preprocessing, but the model's input is",
            "signature.preprocess.image",
        ),
        ("no_size", "input 'image' cannot be resized", "signature.preprocess.image.resize"),
        ("no_image", "input 'x'", "signature.preprocess.x.layout"),
    ],
)
def test_preprocessing_that_does_not_fit_the_model_is_refused_as_such(rows, name, what, where):
    assert rows[name].error.startswith("error[recipe]: ")
    assert what in rows[name].error and where in rows[name].error


# sizes left free, and several samples a call


def test_what_is_left_free_is_verified_at_other_sizes_too(rows):
    sizes = {"smaller: sequence [1, 10, 4]", "larger: sequence [1, 23, 4]"}
    assert set(rows["any_length"].outputs) == {"scores", *(f"scores at {size}" for size in (*sizes, "batch 3"))}
    assert set(rows["any_length_of_one"].outputs) == {"scores", *(f"scores at {size}" for size in sizes)}
    assert rows["any_length"].is_exact() and rows["any_length_of_one"].is_exact()


def test_a_model_that_cannot_run_at_the_least_size_is_run_at_that_of_the_samples(rows):
    """A file with free sizes holds ones in their places, which a convolution without padding cannot take."""
    assert set(rows["any_size"].outputs) == {
        "scores",
        "scores at smaller: image [1, 4, 4, 3]",
        "scores at larger: image [1, 11, 11, 3]",
    }
    assert rows["any_size"].is_exact()


def test_an_artifact_that_cannot_be_resized_is_refused_however_free_its_shape_looks(rows):
    assert rows["one_at_a_time"].error.startswith("error[build]: the artifact cannot run on steps [3, 10, 4]")
    assert "step 'compare float'" in rows["one_at_a_time"].error


@pytest.mark.parametrize("name", ["four", "four_int8", "four_int8_by_converter"])
def test_samples_that_do_not_fill_the_last_batch_are_all_verified_once(rows, arrays, name):
    assert len(arrays["x"]) % 4
    assert rows[name].manifest["metrics"]["verify"]["samples"] == len(arrays["x"])
    ((inputs, _),) = signatures(rows[name]).values()
    assert inputs["x"]["shape"] == [4, 8]
    assert fit(rows[name])


def test_a_batch_gives_each_sample_its_own_outputs(rows, arrays):
    padded = np.concatenate([arrays["x"], arrays["x"][:1]]).reshape(-1, 4, 8)
    runner = open_model(rows["four"].model).get_signature_runner()
    made = np.concatenate([runner(x=four)["scores"] for four in padded])[:-1]
    assert np.allclose(made, arrays["dense/scores"], atol=1e-5)


def test_the_number_of_cores_does_not_matter_where_a_call_takes_several_samples(project, tmp_path):
    """Ranges are found call by call, and calls are shared among the cores."""
    project.write("recipes/shared.yaml", net("dense", "batch: 4", options=INT8))
    made = [build_on(project, cores, tmp_path / str(cores)) for cores in (1, 2)]
    assert made[0] == made[1]


def build_on(project, cores, store):
    """Digests of the artifacts, one a calibration method, of a command that may use so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    pinned = f"import os; os.sched_setaffinity(0, {allowed}); from tflbuild.cli import main; main()"
    methods = "quantization.calibration.method=moving_average,percentile,mse"
    done = subprocess.run(
        [sys.executable, "-c", pinned, "-m", "recipe=shared", methods, "--json"],
        cwd=project.folder,
        env=project.environment(TFLBUILD_STORE=str(store)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [row["artifact"]["sha256"] for row in json.loads(done.stdout)]


# fused recurrent layers


def test_an_lstm_layer_becomes_one_operator_that_starts_afresh_with_every_sample(rows, arrays):
    assert rows["fused"].operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert "WHILE" not in rows["fused"].operators and rows["loop"].operators["WHILE"] == 1
    assert rows["fused"].is_exact() and rows["loop"].is_exact()
    first = run_model(rows["fused"].model, {"steps": arrays["steps"][:1]})["scores"]
    assert np.allclose(first, arrays["lstm/scores"][:1], atol=1e-5)


def test_that_it_was_fused_is_said(swept):
    rows, progress = swept
    note = "LSTM layers were traced as tf_keras does, fused"
    assert [line for line in progress.splitlines() if line.startswith("import ") and note in line]
    assert rows["fused"].manifest["source_note"] == note
    assert rows["loop"].manifest["source_note"] is None
    assert "reset_all_variables" in rows["fused"].file("card.md").read_text()


def test_a_model_without_an_lstm_is_refused_where_one_is_to_be_fused(rows):
    assert rows["nothing_to_fuse"].error.startswith("error[recipe]: source.fused_lstm found no LSTM layer of Keras 3")
    assert re.search(r"where: .*source\.fused_lstm", rows["nothing_to_fuse"].error)


# int16 activations


@pytest.mark.parametrize("name", ["int16x8", "int16x8_by_converter", "int16x8_alone"])
def test_activations_of_16_bits_stay_near_to_the_source(rows, name):
    ((inputs, outputs),) = signatures(rows[name]).values()
    assert (inputs["x"]["dtype"], outputs["scores"]["dtype"]) == ("int16", "int16")
    assert (inputs["x"]["zero_point"], outputs["scores"]["zero_point"]) == (0, 0)
    assert fit(rows[name], snr=35)
    assert "float32" not in rows[name].manifest["artifact"]["contents"]["tensor_types"]
