"""Buffers of a .tflite: inside its flatbuffer, aligned, whatever wrote it."""

import io
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from one_op import Case, T, weight, write_model
from packed_weights import with_buffers_behind

from tflbuild.steps.quantization import litert_quantize
from tflbuild.tflite import buffer_placement
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_metadata import append_files, read_metadata
from tflbuild.tflite.tflite_reader import read_buffers, read_model

F = "float32"
DENSE = Case("dense", "FULLY_CONNECTED", (T((1, 64), F), weight((32, 64), F), None), (T((1, 32), F),), "", {})
PLAIN = write_model(DENSE)
BEHIND = with_buffers_behind(PLAIN)


def places(model):
    """Where the bytes of each buffer begin that is inside the flatbuffer."""
    root = schema.Model.GetRootAsModel(model, 0)
    inside = [root.Buffers(index)._tab for index in range(root.BuffersLength()) if root.Buffers(index).DataLength()]
    return [table.Vector(table.Offset(4)) for table in inside]


def outputs(path, model):
    path.write_bytes(model)
    running = open_signature(path, "serving_default", "none")
    return running({"in0": np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)})["out0"]


def test_buffers_are_moved_inside_and_aligned_with_the_values_they_had(tmp_path):
    assert buffer_placement.has_buffers_behind(BEHIND) and not buffer_placement.has_buffers_behind(PLAIN)
    made = buffer_placement.store_buffers_inside(BEHIND)
    assert not buffer_placement.has_buffers_behind(made)
    assert places(made) and all(place % 16 == 0 for place in places(made))
    assert made == buffer_placement.store_buffers_inside(BEHIND) == buffer_placement.store_buffers_inside(made)
    assert np.array_equal(outputs(tmp_path / "a.tflite", made), outputs(tmp_path / "b.tflite", PLAIN))
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    before.write_bytes(BEHIND), after.write_bytes(made)
    assert read_buffers(after) == read_buffers(before)


def test_the_archive_of_associated_files_stays_behind_the_model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(append_files(BEHIND, {"labels.txt": b"cat\ndog\n", "vocabulary.txt": b"a\n"}))
    assert buffer_placement.move_buffers_inside(path) == ""
    assert not buffer_placement.has_buffers_behind(path.read_bytes())
    assert [file["name"] for file in read_metadata(path)["files"]] == ["labels.txt", "vocabulary.txt"]
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\n"


def test_a_file_with_all_buffers_inside_keeps_its_bytes(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(PLAIN)
    assert (buffer_placement.move_buffers_inside(path), path.read_bytes()) == ("", PLAIN)


def test_buffers_that_a_flatbuffer_cannot_hold_stay_behind_it_and_a_note_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(buffer_placement, "MOST_BYTES", len(BEHIND) - 1)
    path = tmp_path / "model.tflite"
    path.write_bytes(BEHIND)
    assert buffer_placement.move_buffers_inside(path) == buffer_placement.KEPT_BEHIND
    assert path.read_bytes() == BEHIND


def test_a_model_that_is_compiled_ahead_of_time_keeps_its_places(tmp_path):
    compiled = with_buffers_behind(write_model(Case("npu", "DISPATCH_OP", (T((1, 4), F),), (T((1, 4), F),)), DENSE))
    assert buffer_placement.store_buffers_inside(compiled) == compiled


@pytest.mark.parametrize("width", [16, 1024])
def test_the_artifact_of_a_large_model_has_aligned_buffers_whatever_changed_it_last(width, tmp_path):
    """Its own uint8 interface serializes the model once more, without alignment."""
    inputs = (T((1, width), "int8"), weight((512, width), "int8"), None)
    quantized = write_model(Case("dense", "FULLY_CONNECTED", inputs, (T((1, 512), "int8"),)))
    large = width == 1024
    assert buffer_placement.has_large_buffers(quantized) is large
    for model in (quantized, with_buffers_behind(quantized) if large else quantized):
        path = tmp_path / "model.tflite"
        facts = litert_quantize.write_artifact(path, model, {"scheme": "int8", "input_type": "uint8"})
        made = path.read_bytes()
        assert facts == {} and not buffer_placement.has_buffers_behind(made)
        assert "uint8" in {tensor.type for tensor in read_model(path).subgraphs[0].tensors}
        assert not large or all(place % 16 == 0 for place in places(made))
