"""Our metadata as others read them: MediaPipe Tasks, the Task Library, and the package that the format comes from."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from needs import require, require_system
from one_op import Case, T, bias, write_model

from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.packaging import annotate

pytestmark = pytest.mark.heavy

PYTHON = Path(sys.prefix) / "readers" / "bin" / "python"
IMAGE, COUNT = (1, 8, 8, 3), 4
LABELS = ["cat", "dog", "b\u00e4r", "fish"]
ONE, EACH = ([100.0], [64.0]), ([100.0, 90.0, 80.0], [64.0, 32.0, 16.0])  # MediaPipe has no normalisation by channel
LIBRARIES = ("libusb-1.0.so.0", "libGLESv2.so.2", "libEGL.so.1")  # that the readers are linked against
READERS = ("image", "task_image")


@pytest.fixture(autouse=True)
def _readers():
    require("the packages of tests/readers.txt", PYTHON.is_file(), "tests/run installs them")
    for library in LIBRARIES:
        require_system("library", library)


def read(*arguments):
    asked = [PYTHON, Path(__file__).with_name("read_metadata.py"), *arguments]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def net(tmp_path):
    """One layer from an input to softmax scores, in floats, annotated; gives the artifact's path."""

    def make(shape, declared, **files):
        size = math.prod(shape)
        weights = np.random.default_rng(0).normal(0, 1 / math.sqrt(size), (COUNT, size))
        scores = T((1, COUNT), "float32")
        inputs = (T(shape, "float32"), T((COUNT, size), "float32", weights), bias(COUNT, "float32"))
        layer = Case("layer", "FULLY_CONNECTED", inputs, (scores,), "FullyConnectedOptions")
        softmax = Case("softmax", "SOFTMAX", (scores,), (scores,), "SoftmaxOptions", {"beta": 1.0})
        (tmp_path / "net.tflite").write_bytes(write_model(layer, softmax))
        (tmp_path / "outputs").mkdir()
        (tmp_path / "signature.json").write_text(json.dumps({"key": "serving_default"}))
        ports = {"model": tmp_path / "net.tflite", "signature": tmp_path / "signature.json"}
        for name, data in files.items():
            file = {"labels": "labels.txt", "scores": "scores.csv"}[name]
            (tmp_path / file).write_bytes(data)
            ports[f"file:{file}"] = tmp_path / file
        annotate.run(StepRequest(tmp_path, {"metadata": declared}, ports, {}))
        return tmp_path / "outputs" / "model.tflite"

    return make


def scores_of(model, values):
    interpreter = Interpreter(model_path=str(model))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values.astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def ranked(scores, labels=LABELS):
    best = sorted(zip(labels, scores, strict=True), key=lambda pair: -pair[1])
    return [label for label, _ in best], pytest.approx([score for _, score in best], rel=1e-4, abs=1e-4)


def classify_image(reader, model, tmp_path, normalisation=ONE):
    """(what the reader says of an image, what the model itself gives for it as it should be fed)."""
    pixels = np.random.default_rng(3).integers(0, 256, IMAGE[1:], dtype=np.uint8)
    np.save(tmp_path / "image.npy", pixels)
    found = read(reader, model, tmp_path / "image.npy")
    mean, std = (np.array(one, np.float32) for one in normalisation)
    fed = (pixels[None] - mean) / std
    return ([label for label, _ in found], [score for _, score in found]), scores_of(model, fed)


def photo(normalisation=ONE):
    mean, std = normalisation
    return {"content": "image", "color_space": "rgb", "mean": mean, "std": std, "min": [0], "max": [255]}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(("reader", "normalisation"), [("image", ONE), ("task_image", ONE), ("task_image", EACH)])
def test_pixels_are_normalised_and_what_is_seen_has_its_name(net, tmp_path, reader, normalisation, end):
    text = "\ufeff" * (end == "\r\n") + (end or "\n").join(LABELS) + end
    declared = {"inputs": {"in0": photo(normalisation)}, "outputs": {"out0": {"labels": "labels.txt"}}}
    found, scores = classify_image(reader, net(IMAGE, declared, labels=text.encode()), tmp_path, normalisation)
    assert found == ranked(scores)


def sigmoid(score, scale, slope, offset):
    return scale / (1 + math.exp(-(slope * score + offset)))


@pytest.mark.parametrize("reader", READERS)
def test_scores_are_calibrated_by_a_file(net, tmp_path, reader):
    """A class without parameters, the last one too, has the default score, and so has what is too low."""
    rows = [(1.0, 2.0, 0.5), (0.9, 0.01, 0.1, -1e6), (1.0, 1.0, 0.0, 1e6), ()]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    calibration = {"file": "scores.csv", "transformation": "identity", "default_score": 0.25}
    declared = {
        "inputs": {"in0": photo()},
        "outputs": {"out0": {"labels": "labels.txt", "score_calibration": calibration}},
    }
    model = net(IMAGE, declared, labels="\n".join(LABELS).encode(), scores=text.encode())
    (labels, values), scores = classify_image(reader, model, tmp_path)
    assert dict(zip(labels, values, strict=True)) == pytest.approx(
        {
            "cat": sigmoid(scores[0], *rows[0]),
            "dog": sigmoid(scores[1], *rows[1][:3]),
            "b\u00e4r": 0.25,
            "fish": 0.25,
        },
        abs=1e-4,
    )


@pytest.mark.parametrize("reader", READERS)
def test_scores_are_calibrated_by_numbers(net, tmp_path, reader):
    calibration = {"scale": 1.0, "slope": [0.1, 0.2, 0.3, 0.4], "offset": 0.25, "transformation": "identity"}
    declared = {
        "inputs": {"in0": photo()},
        "outputs": {"out0": {"labels": "labels.txt", "score_calibration": calibration}},
    }
    found, scores = classify_image(reader, net(IMAGE, declared, labels="\n".join(LABELS).encode()), tmp_path)
    assert found == ranked(
        [sigmoid(one, 1.0, slope, 0.25) for one, slope in zip(scores, (0.1, 0.2, 0.3, 0.4), strict=True)]
    )


def test_mediapipe_hears_what_it_is_told_to(net, tmp_path):
    declared = {
        "inputs": {"in0": {"content": "audio", "sample_rate": 16000, "channels": 1}},
        "outputs": {"out0": {"labels": "labels.txt"}},
    }
    model = net((1, 400), declared, labels="\n".join(LABELS).encode())
    sound = np.random.default_rng(3).uniform(-1, 1, 400).astype(np.float32)
    np.save(tmp_path / "sound.npy", sound)
    found = read("audio", model, tmp_path / "sound.npy")
    assert ([label for label, _ in found], [score for _, score in found]) == ranked(scores_of(model, sound[None]))


def test_the_formats_own_package_reads_what_was_declared(net):
    declared = {
        "name": "pets",
        "version": "3",
        "inputs": {"in0": photo(EACH) | {"description": "a photo"}},
        "outputs": {"out0": {"labels": "labels.txt", "threshold": 0.5}},
    }
    found = read("describe", net(IMAGE, declared, labels="\n".join(LABELS).encode()))
    (graph,) = found["tree"]["subgraph_metadata"]
    (image,), (scores,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert (found["tree"]["name"], found["tree"]["version"], found["files"]) == ("pets", "3", ["labels.txt"])
    assert (image["name"], image["description"]) == ("in0", "a photo")
    assert image["content"]["content_properties"] == {"color_space": "RGB"}
    assert image["process_units"][0]["options"] == dict(zip(("mean", "std"), EACH, strict=True))
    assert image["stats"] == {"max": [255.0], "min": [0.0]}
    assert scores["process_units"][0]["options"] == {"global_score_threshold": 0.5}
    assert scores["associated_files"] == [{"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}]
