"""The runners that go with an artifact: Python's on real models, the others compiled against a runtime that echoes.

No TensorFlow Lite for C++, Android or Apple's systems is here. What their runners do with values is compared with
Python's, byte by byte: the runtimes here give back what they are fed. Swift has no compiler here at all.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needs import require_program
from runner_contents import CONTENTS, FEEDS, LABELS, echoed, python_runner
from sweeps import make_project, open_model, recipe, run_model

from tflbuild.locations import ASSETS
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.packaging import annotate
from tflbuild.steps.packaging.runners import write_runners
from tflbuild.tflite.contents_json import describe_model
from tflbuild.tflite.interpreters import dequantize_values, quantize_values
from tflbuild.tflite.tflite_metadata import read_metadata
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

INT8, INT16X8 = "quantization=int8 dataset=npz", "quantization=int16x8 dataset=npz"


def net(call: str, signature: str = "", options: str = "") -> str:
    return recipe(f"source=function {options}", f"source: {{call: 'nets.py:{call}'}}", f"signature: {{{signature}}}")


RECIPES = {
    "codec": net("Codec", "key: encode, more: {decode: {}}", INT8),
    "int16": net("dense", "", INT16X8),
    "any_length": net("convolution", "", "signature=dynamic"),
    "words": net("Words", "key: look", "signature=dynamic"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("runners"))


def run_python(folder: Path, model: Path, feeds, key="") -> dict[str, np.ndarray]:
    """runner.py as a program of its own, that has nothing of ours."""
    write_runners(folder, "a net", describe_model(read_model(model), read_metadata(model)))
    np.savez(folder / "inputs.npz", **feeds)
    command = [sys.executable, "-I", "runner.py", model, "inputs.npz", "outputs.npz", *([key] if key else [])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return dict(np.load(folder / "outputs.npz"))


def wanted(model: Path, feeds, key="serving_default") -> dict[str, np.ndarray]:
    """What the interpreter gives for the same real values."""
    runner = open_model(model).get_signature_runner(key)
    takes, gives = runner.get_input_details(), runner.get_output_details()
    found = runner(**{name: quantize_values(value, takes[name]) for name, value in feeds.items()})
    return {name: dequantize_values(value, gives[name]) for name, value in found.items()}


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name
        assert np.ptp(value) > 0


# --- Python, on real models


def test_an_annotated_artifact_computes_the_same_and_its_runner_names_the_labels(built, tmp_path):
    """The default model: metadata written, pixels normalised by its runner, the class named."""
    model, assets = built.output() / "model.tflite", ASSETS / "fashion_mobilenet"
    signature = tmp_path / "signature.json"
    signature.write_text('{"key": "serving_default"}')
    (tmp_path / "outputs").mkdir()
    declared = {
        "name": "Fashion",
        "inputs": {"image": {"content": "image", "color_space": "grayscale", "mean": 10, "std": 0.5}},
        "outputs": {"probabilities": {"labels": "labels.txt", "threshold": 0.05}},
    }
    ports = {"model": model, "signature": signature, "file:labels.txt": assets / "labels.txt"}
    annotate.run(StepRequest(tmp_path, {"metadata": declared}, ports, {}))
    made = tmp_path / "outputs" / "model.tflite"
    pixels = np.load(assets / "evaluation.npz")["image"][:40].reshape(-1, 1, 28, 28, 1)
    integers = np.clip(pixels.astype(np.float32) - 128, -128, 127).astype(np.int8)
    for one in integers:
        plain, annotated = (run_model(place, {"image": one}) for place in (model, made))
        assert np.array_equal(plain["probabilities"], annotated["probabilities"])
    image = pixels[0].astype(np.float32)
    found = run_python(tmp_path, made, {"image": image * 0.5 + 10})
    assert_same(found, wanted(model, {"image": image}))
    best = (assets / "labels.txt").read_text().split()[int(found["probabilities"].argmax())]
    assert f"  {best} " in (tmp_path / "printed.txt").read_text()
    assert [file["name"] for file in read_metadata(made)["files"]] == ["labels.txt"]


@pytest.mark.parametrize(
    ("name", "key", "side"), [("codec", "encode", "x"), ("codec", "decode", "z"), ("int16", "serving_default", "x")]
)
def test_python_runs_every_signature_of_quantized_models(rows, arrays, tmp_path, name, key, side):
    feeds = {side: arrays[side][:1]}
    found = run_python(tmp_path, rows[name].model, feeds, key)
    assert_same(found, wanted(rows[name].model, feeds, key))
    (types,) = {port["dtype"] for port in rows[name].manifest["artifact"]["contents"]["signatures"][0]["inputs"]}
    assert types == ("int16" if name == "int16" else "int8")


@pytest.mark.parametrize("length", [20, 33])
def test_python_runs_sizes_that_are_free(rows, arrays, tmp_path, length):
    feeds = {"sequence": np.resize(arrays["sequence"][0], (1, length, 4))}
    assert_same(run_python(tmp_path, rows["any_length"].model, feeds), wanted(rows["any_length"].model, feeds))


def test_python_runs_strings(rows, arrays, tmp_path):
    words = np.array(["no", "what", "yes"])
    found = run_python(tmp_path, rows["words"].model, {"word": words}, "look")
    assert found["index"].tolist() == [2, 0, 1]
    assert found["vector"].shape == (3, 4)


# --- C++, compiled and run


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A folder with every runner of the contents made by hand."""
    folder = tmp_path_factory.mktemp("echo")
    write_runners(folder, "echo \\", CONTENTS)
    return folder


@pytest.fixture(scope="module")
def compiled(echo):
    """runner.cc as a program."""
    require_program("g++")
    compiler = shutil.which("g++") or shutil.which("clang++")
    headers = ("interpreter", "interpreter_builder", "kernels/register", "model_builder", "signature_runner")
    for header in headers:
        place = echo / "include/tensorflow/lite" / f"{header}.h"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text('#include "echo_tflite.h"\n')
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", "-fsanitize=undefined"]
    command += [f"-I{echo / 'include'}", f"-I{Path(__file__).parent}", "runner.cc", "-o", "runner"]
    done = subprocess.run(command, cwd=echo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    sizes = {"int8": 1, "bool": 1, "uint8": 1, "int16": 2, "int32": 4, "float32": 4, "int64": 8}
    lines = []
    for signature in CONTENTS["signatures"][:3]:
        lines.append(f"signature {len(signature['inputs'])} {signature['key']}")
        for one in signature["inputs"]:
            shape = " ".join(str(max(size, 1)) for size in one["shape"])
            lines.append(f"{one['name']} {sizes[one['dtype']]} {shape}")
    (echo / "model.txt").write_text("\n".join(lines) + "\n")
    return echo / "runner"


def run_cc(program: Path, key: str, feeds, shapes=False) -> tuple[dict[str, np.ndarray], str]:
    arguments = []
    for name, values in feeds.items():
        place = program.parent / f"{name}.txt"
        place.write_text("\n".join(f"{float(one):.17g}" for one in values.ravel()))
        sizes = ":" + ",".join(map(str, values.shape)) if shapes else ""
        arguments.append(f"{name}={place.name}{sizes}")
    command = [program, "model.txt", key, *arguments]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    return {line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in lines}, done.stdout


@pytest.mark.parametrize("key", FEEDS)
def test_cc_feeds_and_reads_as_python_does(echo, compiled, key):
    found, shown = run_cc(compiled, key, FEEDS[key], shapes=key == "free")
    assert found, shown
    for name, values in echoed(python_runner((echo / "runner.py").read_text()), key).items():
        assert np.array_equal(found[name], [float(f"{one:.9g}") for one in values.ravel().astype(float)]), name


def test_cc_names_the_best_labels_of_each_row(compiled):
    _, shown = run_cc(compiled, "serving_default", FEEDS["serving_default"])
    assert [line for line in shown.splitlines() if line.startswith("  ")][:2] == [
        f"  {LABELS[1]} 0.9961",
        f"  {LABELS[2]} 0.7461",
    ]


@pytest.mark.parametrize(
    ("key", "name", "values", "text"),
    [
        ("serving_default", "pixels", np.full(6, np.nan), "no number"),
        ("serving_default", "tokens", np.full(4, 0.5), "whole"),
        ("serving_default", "tokens", np.full(4, 2.0**31), "that large"),
        ('wide "$1"', "large", np.full(2, 2.0**63), "that large"),
        ("serving_default", "flags", np.full(3, 2), "that large"),
        ("serving_default", "flags", np.full(2, 1), "do not fill"),
        ("text", "word", np.zeros(1), "no signature text"),
    ],
)
def test_cc_refuses_what_it_would_have_to_bend(compiled, key, name, values, text):
    found, error = run_cc(compiled, key, {name: values})
    assert not found and text in error


# --- Kotlin, compiled and run where there is a compiler

INTERPRETER = """
package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

public class Interpreter implements AutoCloseable {
    public Interpreter(ByteBuffer model) {}
    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String key) {
        for (Map.Entry<String, Object> one : outputs.entrySet())
            ((ByteBuffer) one.getValue()).put((ByteBuffer) inputs.get(one.getKey()));
    }
    public void resetVariableTensors() {}
    public void close() {}
}
"""
MAIN = """
import java.io.File
import java.nio.ByteBuffer

fun main(arguments: Array<String>) {
    val inputs = arguments.drop(1).associate { argument ->
        val (name, place) = argument.split("=")
        name to File(place).readLines().map { it.toDouble() }.toDoubleArray()
    }
    Runner(ByteBuffer.allocate(0)).use { runner ->
        for ((name, values) in runner.run(inputs, arguments[0])) {
            println(name + ":" + values.joinToString(" "))
            if (name == "pixels") println("  " + Runner.top(values.copyOf(3), name).first().first)
        }
    }
}
"""


@pytest.fixture(scope="module")
def jar(echo):
    """Runner.kt as a program."""
    require_program("kotlinc")
    require_program("javac")
    place = echo / "java/org/tensorflow/lite/Interpreter.java"
    place.parent.mkdir(parents=True)
    place.write_text(INTERPRETER)
    (echo / "Main.kt").write_text(MAIN)
    subprocess.run(["javac", "-d", "classes", place], cwd=echo, check=True, capture_output=True)
    command = ["kotlinc", "-cp", "classes", "Runner.kt", "Main.kt", "-d", "runner.jar"]
    done = subprocess.run(command, cwd=echo, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (echo / "runner.jar").exists(), done.stderr[-3000:]
    return echo / "runner.jar"


def run_kotlin(jar: Path, key: str, feeds) -> tuple[dict[str, np.ndarray], str]:
    arguments = []
    for name, values in feeds.items():
        place = jar.parent / f"kotlin_{name}.txt"
        place.write_text("\n".join(f"{float(one):.17g}" for one in values.ravel()).replace("nan", "NaN"))
        arguments.append(f"{name}={place.name}")
    command = ["kotlin", "-cp", "runner.jar:classes", "MainKt", key, *arguments]
    done = subprocess.run(command, cwd=jar.parent, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if ":" in line and not line.startswith("  ")]
    found = {line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in lines}
    return found, done.stdout + done.stderr


@pytest.mark.parametrize("key", FEEDS)
def test_kotlin_feeds_and_reads_as_python_does(echo, jar, key):
    """A free size is 1 there: one row is fed."""
    feeds = {name: values[:1] for name, values in FEEDS[key].items()} if key == "free" else FEEDS[key]
    found, shown = run_kotlin(jar, key, feeds)
    names = python_runner((echo / "runner.py").read_text())
    expected = echoed(names, key, 1) if key == "free" else echoed(names, key)
    for name, values in expected.items():
        assert np.array_equal(found[name], values.ravel().astype(float)), shown
    assert key != "serving_default" or f"  {LABELS[1]}" in shown


def test_kotlin_refuses_what_it_would_have_to_bend(jar):
    feeds = FEEDS["serving_default"]
    for change, text in (
        ({"tokens": np.full(4, 0.5)}, "whole numbers"),
        ({"pixels": np.full(6, np.nan)}, "no number"),
        ({"flags": np.ones(2)}, "has 3 values"),
    ):
        found, shown = run_kotlin(jar, "serving_default", feeds | change)
        assert not found and text in shown
