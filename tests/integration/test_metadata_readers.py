"""Our metadata as others read them: MediaPipe Tasks, and the package that the format comes from."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from one_op import Case, T, bias, weight, write_model

from tflbuild.workers import annotate
from tflbuild.workers.contract import Request

pytestmark = pytest.mark.heavy

PYTHON = Path(sys.prefix) / "readers" / "bin" / "python"
IMAGE, COUNT = (1, 8, 8, 3), 4
LABELS = ["cat", "dog", "b\u00e4r", "fish"]
MEAN, STD = [100.0], [64.0]  # MediaPipe has no normalisation by channel


@pytest.fixture(autouse=True)
def _readers():
    if not PYTHON.is_file():
        lacks = f"{PYTHON.parent} lacks what tests/readers.txt names: tests/run makes it"
        assert not os.environ.get("CI"), lacks
        pytest.skip(lacks)


def read(*arguments):
    asked = [PYTHON, Path(__file__).with_name("read_metadata.py"), *arguments]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def net(tmp_path):
    """One layer from an input to scores, in floats, annotated; gives the artifact's path."""

    def make(shape, declared, **files):
        size = math.prod(shape)
        inputs = (T(shape, "float32"), weight((COUNT, size), "float32"), bias(COUNT, "float32"))
        case = Case("net", "FULLY_CONNECTED", inputs, (T((1, COUNT), "float32"),), "FullyConnectedOptions")
        (tmp_path / "net.tflite").write_bytes(write_model(case))
        (tmp_path / "outputs").mkdir()
        (tmp_path / "signature.json").write_text(json.dumps({"key": "serving_default"}))
        ports = {"model": tmp_path / "net.tflite", "signature": tmp_path / "signature.json"}
        for name, data in files.items():
            file = {"labels": "labels.txt", "scores": "scores.csv"}[name]
            (tmp_path / file).write_bytes(data)
            ports[f"file:{file}"] = tmp_path / file
        annotate.run(Request(tmp_path, {"metadata": declared}, ports, {}))
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


def classify_image(model, tmp_path):
    """(what MediaPipe says of an image, what the model itself gives for it as it should be fed)."""
    pixels = np.random.default_rng(3).integers(0, 256, IMAGE[1:], dtype=np.uint8)
    np.save(tmp_path / "image.npy", pixels)
    found = read("image", model, tmp_path / "image.npy")
    fed = (pixels[None] - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return ([label for label, _ in found], [score for _, score in found]), scores_of(model, fed)


INPUT = {"content": "image", "color_space": "rgb", "mean": MEAN, "std": STD, "min": [0], "max": [255]}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_mediapipe_normalises_and_names_what_it_sees(net, tmp_path, end):
    text = (end or "\n").join(LABELS) + end
    declared = {"inputs": {"in0": INPUT}, "outputs": {"out0": {"labels": "labels.txt"}}}
    found, scores = classify_image(net(IMAGE, declared, labels=text.encode()), tmp_path)
    assert found == ranked(scores)


def sigmoid(score, scale, slope, offset):
    return scale / (1 + math.exp(-(slope * score + offset)))


@pytest.mark.parametrize("end", ["", "\n"])
def test_mediapipe_calibrates_scores_by_a_file(net, tmp_path, end):
    """A class without parameters, the last one too, has the default score, and so has what is too low."""
    rows = [(1.0, 2.0, 0.5), (0.9, 0.01, 0.1, -1e6), (1.0, 1.0, 0.0, 1e6), ()]
    text = "\n".join(",".join(map(str, row)) for row in rows) + end
    calibration = {"file": "scores.csv", "transformation": "identity", "default_score": 0.25}
    declared = {
        "inputs": {"in0": INPUT},
        "outputs": {"out0": {"labels": "labels.txt", "score_calibration": calibration}},
    }
    model = net(IMAGE, declared, labels="\n".join(LABELS).encode(), scores=text.encode())
    (labels, values), scores = classify_image(model, tmp_path)
    assert dict(zip(labels, values, strict=True)) == pytest.approx(
        {
            "cat": sigmoid(scores[0], *rows[0]),
            "dog": sigmoid(scores[1], *rows[1][:3]),
            "b\u00e4r": 0.25,
            "fish": 0.25,
        },
        abs=1e-4,
    )


def test_mediapipe_calibrates_scores_by_numbers(net, tmp_path):
    calibration = {"scale": 1.0, "slope": [0.1, 0.2, 0.3, 0.4], "offset": 0.25, "transformation": "identity"}
    declared = {
        "inputs": {"in0": INPUT},
        "outputs": {"out0": {"labels": "labels.txt", "score_calibration": calibration}},
    }
    found, scores = classify_image(net(IMAGE, declared, labels="\n".join(LABELS).encode()), tmp_path)
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
        "inputs": {"in0": INPUT | {"description": "a photo"}},
        "outputs": {"out0": {"labels": "labels.txt", "threshold": 0.5}},
    }
    found = read("describe", net(IMAGE, declared, labels="\n".join(LABELS).encode()))
    (graph,) = found["tree"]["subgraph_metadata"]
    (photo,), (scores,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert (found["tree"]["name"], found["tree"]["version"], found["files"]) == ("pets", "3", ["labels.txt"])
    assert (photo["name"], photo["description"]) == ("in0", "a photo")
    assert photo["content"]["content_properties"] == {"color_space": "RGB"}
    assert photo["process_units"][0]["options"] == {"mean": MEAN, "std": STD}
    assert photo["stats"] == {"max": [255.0], "min": [0.0]}
    assert scores["process_units"][0]["options"] == {"global_score_threshold": 0.5}
    assert scores["associated_files"] == [{"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}]
