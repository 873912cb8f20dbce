"""What a recipe says of an artifact becomes metadata that fit it, or is refused at the key that is wrong."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_op import write_model
from one_op_cases import CASES

from tflbuild.report.metadata_text import metadata_text
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.packaging import annotate
from tflbuild.steps.packaging.metadata_declarations import model_metadata
from tflbuild.steps.packaging.score_calibration_table import parse_rows, show_rows
from tflbuild.tflite.tflite_metadata import read_metadata
from tflbuild.tflite.tflite_model import Model, SignatureDef, Subgraph, Tensor

LABELS = {"labels.txt": b"cat\ndog\nbird\n"}


def tensor(name, shape, type="int8", scaled=True):
    return Tensor(name, type, shape, 1, False, (0.5,) if scaled else (), (0,) if scaled else (), 0)


IMAGE, MASK = tensor("x:0", (1, 8, 8, 3)), tensor("m:0", (1, 4), "int32", scaled=False)
SCORES, BOXES = tensor("s:0", (1, 3)), tensor("b:0", (1, 5, 4))
GRAPH = Subgraph("main", (IMAGE, MASK, SCORES, BOXES), (), (1, 0), (2, 3))
SECOND = Subgraph("second", (IMAGE, SCORES), (), (0,), (1,))
ENTRY = SignatureDef("serving_default", 0, {"image": IMAGE, "mask": MASK}, {"boxes": BOXES, "scores": SCORES})
OTHER = SignatureDef("encode", 1, {"picture": IMAGE}, {"code": SCORES})
MODEL = Model(1, (GRAPH,), (ENTRY,))


def tree(declared, model=MODEL, files=LABELS):
    return model_metadata(declared, model, "serving_default", files)[0]


def tensors(declared, side="output"):
    return {one["name"]: one for one in tree(declared)["subgraph_metadata"][0][f"{side}_tensor_metadata"]}


def refusal(declared, files=LABELS, model=MODEL):
    with pytest.raises(WorkerError) as caught:
        model_metadata(declared, model, "serving_default", files)
    assert caught.value.fields["kind"] == "recipe"
    return caught.value.fields


def test_tensors_stand_in_the_order_of_the_subgraph():
    """Not in that of the signature, which readers do not ask."""
    (graph,) = tree({})["subgraph_metadata"]
    assert [one["name"] for one in graph["input_tensor_metadata"]] == ["mask", "image"]
    assert [one["name"] for one in graph["output_tensor_metadata"]] == ["scores", "boxes"]


def test_a_file_of_text_that_is_not_utf8_is_refused_with_its_line():
    files = {"labels.txt": "cat\nd\u00f6g\nbird".encode("latin-1"), "words.txt": b"\xff\xfeh\x00i\x00"}
    fields = refusal({"outputs": {"scores": {"labels": "labels.txt"}}}, files)
    assert fields["what"] == "labels.txt is not UTF-8: line 2 has the byte 0xf6"
    assert fields["where"] == "metadata.outputs.scores.labels"
    assert "words.txt" in refusal({"inputs": {"mask": {"vocabulary": "words.txt"}}}, files)["what"]


def test_text_is_packed_as_every_reader_takes_it():
    files = {"labels.txt": b"\xef\xbb\xbfcat\r\ndog\r\nbird\r\n"}
    _, packed = model_metadata({"outputs": {"scores": {"labels": "labels.txt"}}}, MODEL, "serving_default", files)
    assert packed == {"labels.txt": b"cat\ndog\nbird\n"}


def test_a_score_calibration_that_lacks_a_class_is_refused_and_a_mark_of_its_encoding_is_none():
    declared = {"outputs": {"scores": {"score_calibration": {"file": "scores.csv"}}}}
    assert "2 lines for 3 classes" in refusal(declared, {"scores.csv": b"1,2,3\n1,2,3\n"})["what"]
    files = {"scores.csv": b"\xef\xbb\xbf1,2,3\r\n\r\n\r\n"}
    _, packed = model_metadata(declared, MODEL, "serving_default", files)
    assert packed == {"scores.csv": b"1,2,3\n\n"}


def test_every_signature_has_its_subgraph():
    model = Model(1, (GRAPH, SECOND), (OTHER, ENTRY))
    found = tree({"more": {"encode": {"inputs": {"picture": {"description": "what"}}}}}, model)["subgraph_metadata"]
    assert [one["name"] for one in found] == ["serving_default", "encode"]
    assert found[1]["input_tensor_metadata"] == [{"name": "picture", "description": "what"}]


def test_two_signatures_of_one_subgraph_have_the_main_ones_names():
    twin = SignatureDef("twin", 0, {"a": IMAGE, "b": MASK}, {"c": BOXES, "d": SCORES})
    found = tree({}, Model(1, (GRAPH,), (twin, ENTRY)))["subgraph_metadata"]
    assert [one["name"] for one in found[0]["input_tensor_metadata"]] == ["mask", "image"]


def test_an_input_is_told():
    declared = {"mean": [127.5], "std": 2.0, "min": 0, "max": [255, 255, 255], "content": "image", "color_space": "rgb"}
    found = tensors({"inputs": {"image": declared}}, "input")["image"]
    assert found == {
        "name": "image",
        "content": {"content_properties_type": "ImageProperties", "content_properties": {"color_space": "RGB"}},
        "process_units": [{"options_type": "NormalizationOptions", "options": {"mean": [127.5], "std": [2.0]}}],
        "stats": {"max": [255.0, 255.0, 255.0], "min": [0.0]},
    }


def test_a_mean_alone_divides_by_one():
    (unit,) = tensors({"inputs": {"image": {"mean": 3}}}, "input")["image"]["process_units"]
    assert unit["options"] == {"mean": [3.0], "std": [1.0]}


def test_an_output_is_told():
    calibration = {"scale": 1, "slope": [1, 2, 3], "offset": 0, "transformation": "log", "default_score": 0.1}
    declared = {"labels": "labels.txt", "score_calibration": calibration, "threshold": 0.3}
    made, packed = model_metadata({"outputs": {"scores": declared}}, MODEL, "serving_default", LABELS)
    found = made["subgraph_metadata"][0]["output_tensor_metadata"][0]
    assert [unit["options_type"] for unit in found["process_units"]] == [
        "ScoreCalibrationOptions",
        "ScoreThresholdingOptions",
    ]
    assert found["process_units"][0]["options"] == {"score_transformation": "LOG", "default_score": 0.1}
    assert found["associated_files"] == [
        {"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"},
        {"name": "scores_score_calibration.csv", "type": "TENSOR_AXIS_SCORE_CALIBRATION"},
    ]
    assert packed == LABELS | {"scores_score_calibration.csv": b"1,1,0\n1,2,0\n1,3,0"}


def test_a_threshold_of_zero_is_one():
    (unit,) = tensors({"outputs": {"scores": {"threshold": 0.0}}})["scores"]["process_units"]
    assert unit["options"] == {"global_score_threshold": 0.0}


def test_files_of_the_model_are_packed():
    made, packed = model_metadata({"files": {"labels.txt": "what"}}, MODEL, "serving_default", LABELS)
    assert made["associated_files"] == [{"name": "labels.txt", "description": "what", "type": "DESCRIPTIONS"}]
    assert packed == LABELS


@pytest.mark.parametrize(
    ("declared", "where", "text"),
    [
        ({"inputs": {"imag": {}}}, "metadata.inputs.imag", "did you mean image,"),
        ({"outputs": {"image": {}}}, "metadata.outputs.image", "boxes, scores"),
        ({"more": {"encode": {}}}, "metadata.more.encode", "none"),
        ({"inputs": {"image": {"std": 0}}}, "metadata.inputs.image.std", "divided"),
        ({"inputs": {"image": {"mean": [1, 2]}}}, "metadata.inputs.image.mean", "2 numbers for 3 channels"),
        ({"inputs": {"image": {"mean": 1e39}}}, "metadata.inputs.image.mean", "finite"),
        ({"inputs": {"image": {"min": [0, 9, 0], "max": [1, 8, 1]}}}, "metadata.inputs.image.min", "above"),
        ({"inputs": {"mask": {"mean": 1}}}, "metadata.inputs.mask.mean", "int32"),
        ({"inputs": {"image": {"color_space": "rgb"}}}, "metadata.inputs.image.color_space", "content is not said"),
        (
            {"inputs": {"image": {"content": "image", "color_space": "grayscale"}}},
            "metadata.inputs.image.color_space",
            "1 in the last",
        ),
        ({"outputs": {"boxes": {"labels": "labels.txt"}}}, "metadata.outputs.boxes.labels", "3 labels"),
        (
            {"outputs": {"scores": {"score_calibration": {"scale": 1, "slope": 1}}}},
            "metadata.outputs.scores.score_calibration",
            "lacks offset",
        ),
        (
            {"outputs": {"scores": {"score_calibration": {"scale": -1, "slope": 1, "offset": 0}}}},
            "metadata.outputs.scores.score_calibration",
            "negative",
        ),
        (
            {"outputs": {"scores": {"score_calibration": {"scale": [1, 2], "slope": 1, "offset": 0}}}},
            "metadata.outputs.scores.score_calibration.scale",
            "2 numbers for 3 classes",
        ),
        (
            {"outputs": {"scores": {"score_calibration": {"file": "labels.txt"}}}},
            "metadata.outputs.scores.score_calibration.file",
            "line 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_its_key(declared, where, text):
    fields = refusal(declared)
    assert fields["where"] == where
    assert text in fields["what"] + fields["why"]


def test_a_signature_that_is_gone_is_told():
    fields = refusal({}, model=Model(1, (GRAPH,), ()))
    assert "no signature 'serving_default'" in fields["what"]


def test_labels_may_name_any_dimension_and_a_free_one():
    four = {"labels.txt": b"a\nb\nc\nd\n"}
    assert tree({"outputs": {"boxes": {"labels": "labels.txt"}}}, files=four)
    free = Model(1, (Subgraph("", (free_scores := tensor("s", (1, -1)),), (), (), (0,)),), ())
    entry = SignatureDef("serving_default", 0, {}, {"scores": free_scores})
    assert tree({"outputs": {"scores": {"labels": "labels.txt"}}}, Model(1, free.subgraphs, (entry,)))


def test_one_name_is_one_file():
    calibration = {"file": "scores_score_calibration.csv"}
    numbers = {"scale": 1, "slope": 1, "offset": 0}
    files = {"scores_score_calibration.csv": b"1,2,3\n,\n\n"}
    assert "line 2" in refusal({"outputs": {"scores": {"score_calibration": calibration}}}, files)["what"]
    files = LABELS | {"scores_score_calibration.csv": b"1,2,3\n\n\n"}
    declared = {"files": {"scores_score_calibration.csv": ""}, "outputs": {"scores": {"score_calibration": numbers}}}
    assert "two files" in refusal(declared, files)["what"]


@given(
    st.lists(
        st.one_of(
            st.just(()),
            st.lists(st.floats(0, 1e6, width=32), min_size=3, max_size=4).map(tuple),
        ),
        max_size=5,
    )
)
def test_calibration_rows_come_back(rows):
    assert [tuple(map(np.float32, row)) for row in parse_rows((show_rows(rows) + b"\n" * bool(rows)).decode(), "")] == [
        tuple(map(np.float32, row)) for row in rows
    ]


def test_the_step_writes_an_artifact_with_metadata(tmp_path):
    """From a request's folder to what `inspect` shows."""
    model = tmp_path / "in.tflite"
    model.write_bytes(write_model(CASES["CONV_2D_int8"]))
    (tmp_path / "outputs").mkdir()
    signature, notes = tmp_path / "signature.json", tmp_path / "notes"
    signature.write_text(json.dumps({"key": "serving_default"}))
    notes.write_bytes(b"read me")
    declared = {"name": "net", "files": {"README.txt": "notes"}, "inputs": {"in0": {"mean": 1, "std": 2}}}
    inputs = {"model": model, "signature": signature, "file:README.txt": notes}
    facts = annotate.run(StepRequest(tmp_path, {"metadata": declared}, inputs, {}))
    made = tmp_path / "outputs" / "model.tflite"
    assert facts == {"bytes": made.stat().st_size, "files": {"README.txt": 7}}
    assert metadata_text({"metadata": read_metadata(made)}) == [
        "metadata   net",
        "  input   in0  fed as (x - 1) / 2",
        "file       README.txt  7 B  a description",
    ]
