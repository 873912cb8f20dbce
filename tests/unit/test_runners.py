"""The programs that feed an artifact: made from what `check` read, run where Python can."""

import importlib
import json
import re

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from needs import require_module
from one_op import write_model
from one_op_cases import CASES
from runner_contents import CONTENTS, FEEDS, LABELS, echoed, python_runner

from tflbuild.steps.packaging import runner_cc, runner_kotlin, runner_swift
from tflbuild.steps.packaging.runner_contract import (
    RunnerContract,
    RunnerSignature,
    RunnerTensor,
    number,
    read_contract,
)
from tflbuild.steps.packaging.runners import RUNNERS, write_runners
from tflbuild.tflite.contents_json import describe_model
from tflbuild.tflite.interpreters import dequantize_values, quantize_values
from tflbuild.tflite.tflite_reader import read_model

CONTRACT = read_contract("a net\nof two lines", CONTENTS)
TEXTS = {name: render(CONTRACT) for name, render in RUNNERS.items()}
STRING = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'')


def test_the_contract_has_what_the_metadata_say():
    main = CONTRACT.entries[0]
    assert (main.inputs[0].mean, main.inputs[0].std) == ((127.5, 100.0, 0.1), (127.5, 50.0, 200.0))
    assert (main.outputs[0].labels, main.outputs[0].threshold) == (tuple(LABELS), 0.25)
    assert main.inputs[1] == RunnerTensor("tokens", "int32", (1, 4))
    assert CONTRACT.left_out == ("Output 'pixels': its scores are not calibrated as the metadata ask for.",)
    assert CONTRACT.title == "a net of two lines"


def test_labels_of_another_dimension_and_too_many_are_left_out(monkeypatch):
    contents = json.loads(json.dumps(CONTENTS))
    contents["signatures"][0]["outputs"][0]["shape"] = [1, 3, 4]
    assert "does not name its last dimension" in read_contract("", contents).left_out[1]
    monkeypatch.setattr("tflbuild.steps.packaging.runner_contract.MOST_LABELS", 2)
    assert "has 3 labels" in read_contract("", CONTENTS).left_out[1]


@pytest.mark.parametrize("options", [{"mean": ["nan"]}, {"std": []}, {"std": [0.0]}, {"std": [1.0, 2.0]}], ids=str)
def test_numbers_of_the_metadata_that_are_none_are_left_out(options):
    """A stranger's .tflite may have them; no program can be written with them, or it divides by zero."""
    contents = json.loads(json.dumps(CONTENTS))
    graph = contents["metadata"]["model"]["subgraph_metadata"][0]
    units = [
        unit["options"]
        for side in ("input", "output")
        for one in graph[f"{side}_tensor_metadata"]
        for unit in one.get("process_units", ())
        if unit["options_type"] in ("NormalizationOptions", "ScoreThresholdingOptions")
    ]
    units[0].update(options)
    units[-1]["global_score_threshold"] = "inf"
    contract = read_contract("", contents)
    assert (contract.entries[0].inputs[0].mean, contract.entries[0].outputs[0].threshold) == ((), None)
    assert "are not normalised" in contract.left_out[0] and "is no number" in contract.left_out[1]
    for render in RUNNERS.values():
        assert render(contract)


@pytest.mark.parametrize("case", ["CONV_2D_int8", "CONV_2D_float32", "ABS_int16"])
def test_the_python_runner_gives_what_the_interpreter_gives(case, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(CASES[case]))
    write_runners(tmp_path / "runners", case, describe_model(read_model(path)))
    names = python_runner((tmp_path / "runners" / "runner.py").read_text())
    bare = Interpreter(str(path)).get_signature_runner()
    takes, gives = bare.get_input_details(), bare.get_output_details()
    random = np.random.default_rng(3)
    feeds = {name: random.normal(size=one["shape"]).astype(np.float32) for name, one in takes.items()}
    wanted = bare(**{name: quantize_values(value, takes[name]) for name, value in feeds.items()})
    found = names["Runner"](path).run(feeds)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.array_equal(found[name], dequantize_values(value, gives[name])), name
    assert any(np.ptp(value) > 0 for value in found.values())


def test_values_are_normalised_before_they_are_quantized():
    names = python_runner(TEXTS["runner.py"])
    port = names["SIGNATURES"]["serving_default"]["inputs"]["pixels"]
    values = np.array([[[255, 150, 0.1], [0, 50, -199.9]]])
    real = np.array([[[1, 1, 0], [-1, -1, -1]]])
    assert np.array_equal(names["encode"](values, port, ""), np.rint(real / port["scale"]) - 1)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("pixels", np.full((1, 2, 3), np.nan), "no numbers"),
        ("pixels", np.zeros((1, 2, 4)), "the shape"),
        ("tokens", np.full((1, 4), 0.5), "whole numbers"),
        ("tokens", np.full((1, 4), 2.0**31), "whole numbers"),
        ("flags", np.full(3, 2), "whole numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_python_runner_refuses_what_it_would_have_to_bend(name, value, text):
    names = python_runner(TEXTS["runner.py"])
    with pytest.raises(ValueError, match=text):
        names["encode"](value, names["SIGNATURES"]["serving_default"]["inputs"][name], name)


def test_the_python_runner_names_the_best_labels():
    names = python_runner(TEXTS["runner.py"])
    assert names["top"](np.array([[0.3, 0.2, 0.9]]), "pixels") == [(LABELS[2], 0.9), (LABELS[0], 0.3)]
    assert names["top"](np.array([3, 200, 250], np.uint8), "pixels", count=1) == [(LABELS[2], 250.0)]
    with pytest.raises(ValueError, match="give one row"):
        names["top"](np.zeros((2, 3)), "pixels")


def test_the_python_runner_feeds_strings():
    names = python_runner(TEXTS["runner.py"])
    port = names["SIGNATURES"]["text"]["inputs"]["word"]
    assert names["encode"]([b"yes"], port, "word").tolist() == [b"yes"]


def test_what_a_language_cannot_feed_is_said_in_its_file():
    for name in ("Runner.kt", "Runner.swift", "runner.cc"):
        assert "// Signature 'text' is left out: 'word' is string" in TEXTS[name]
    assert "is left out" not in TEXTS["runner.py"]
    assert all("its scores are not calibrated" in text for text in TEXTS.values())
    bare = RunnerContract("n", (RunnerSignature("now", (), (RunnerTensor("t", "float32", ()),)),))
    assert "takes no inputs" in RUNNERS["Runner.kt"](bare)
    assert "kFloat32" in RUNNERS["runner.cc"](bare).split("kSignatures =")[1]


def test_state_is_told():
    entry = CONTRACT.entries[2]
    kept = RunnerContract("n", (entry,), state=True)
    assert "const val HAS_STATE = true" in RUNNERS["Runner.kt"](kept)
    assert "It keeps state" in RUNNERS["Runner.swift"](kept)
    assert "It keeps state" not in TEXTS["Runner.swift"]


@pytest.mark.parametrize("name", ["Runner.kt", "Runner.swift", "runner.cc"])
def test_brackets_close_and_no_mark_is_left(name):
    """What can be seen without a compiler; where there is one, the heavy tests use it."""
    code = STRING.sub('""', TEXTS[name])
    code = re.sub(r"//[^\n]*|/\*\*.*?\*/", "", code)
    opened = []
    for one in code:
        if one in "([{":
            opened.append(one)
        elif one in ")]}":
            assert opened and opened.pop() + one in ("()", "[]", "{}")
    assert not opened
    assert not re.search(r"@[A-Z]+@", TEXTS[name])
    assert "\t" not in TEXTS[name]
    assert code.isascii()


def errors(name, text):
    """Where the grammar of the language sees none."""
    language = {"Runner.kt": "tree_sitter_kotlin", "Runner.swift": "tree_sitter_swift"}[name]
    require_module("tree_sitter", "dev")
    require_module(language, "dev")
    tree_sitter, grammar = importlib.import_module("tree_sitter"), importlib.import_module(language)
    todo = [tree_sitter.Parser(tree_sitter.Language(grammar.language())).parse(text.encode()).root_node]
    found = []
    while todo:
        node = todo.pop()
        found += [node.start_point] if node.is_error or node.is_missing else []
        todo += node.children
    return found


@pytest.mark.parametrize("name", ["Runner.kt", "Runner.swift"])
def test_the_grammar_of_the_language_takes_the_file(name):
    """There is no compiler for Swift here, and not everywhere one for Kotlin."""
    assert not errors(name, TEXTS[name])
    assert not errors(name, RUNNERS[name](RunnerContract("nothing to feed", (), ("Why: no reason.",), state=True)))
    assert errors(name, TEXTS[name].replace("->", "- >"))
    assert errors(name, TEXTS[name].replace("count: Int = 5", "count Int = 5"))


@pytest.mark.parametrize(("name", "quote"), [("Runner.kt", runner_kotlin), ("Runner.swift", runner_swift)])
def test_every_tensor_is_in_the_file_with_its_constants(name, quote):
    told = {port.name for entry in CONTRACT.entries[:3] for port in (*entry.inputs, *entry.outputs)}
    assert all(quote.quote(one) in TEXTS[name] for one in told)
    assert all(text in TEXTS[name] for text in ("0.0078431377", "0.00390625", "-128", "3.0517578e-05"))
    assert all(quote.quote(label) in TEXTS[name] for label in LABELS)


@given(st.text(max_size=20))
def test_strings_are_quoted_for_every_language(text):
    """Each literal is read back by the rules of its language, and ends where it should."""
    kotlin = runner_kotlin.quote(text.encode("utf-8", "replace").decode())
    assert json.loads(kotlin.replace("\\$", "$")) == text.encode("utf-8", "replace").decode()
    assert not re.search(r"(?<!\\)(\\\\)*\$", kotlin)
    escape = re.compile(r'\\u\{([0-9a-f]+)\}|\\(["\\])')
    assert escape.sub(lambda one: one[2] or chr(int(one[1], 16)), runner_swift.quote(text)[1:-1]) == text
    cc = runner_cc.quote(text)
    assert cc.isascii() and cc.isprintable() and "??" not in cc
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\]|\\[0-7]{3})*"', cc)


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.0"), (1e-5, "9.99999975e-06"), (3e38, "3.00000001e+38")])
def test_numbers_are_told_as_the_float32_that_they_are(value, text):
    assert number(float(np.float32(value))) == text


def test_the_test_of_the_other_languages_feeds_what_it_should():
    """Values that are halves and beyond the ends: else their programs could agree by chance."""
    names = python_runner(TEXTS["runner.py"])
    found = echoed(names, 'wide "$1"')
    assert found["bytes"].tolist() == [-64.0, -63.0, 63.5, -64.0]
    assert echoed(names, "serving_default")["pixels"].max() == np.float32(255 * 0.00390625)
    assert FEEDS.keys() == names["SIGNATURES"].keys() - {"text"}
