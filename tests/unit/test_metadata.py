"""TFLite Metadata: what is written is what is read, by us and by the format's own rules."""

import io
import struct
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from flatbuffers import number_types
from flatbuffers.table import Table
from hypothesis import given
from hypothesis import strategies as st
from one_op import write_model
from one_op_cases import CASES

from tflbuild.report.metadata_text import metadata_text
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite import tflite_metadata
from tflbuild.tflite.metadata_codec import decode_metadata, encode_metadata, least_parser_version
from tflbuild.tflite.metadata_schema import ENUMERATIONS, NUMBERS, TABLES, UNIONS
from tflbuild.tflite.tflite_metadata import read_labels, read_metadata, write_metadata
from tflbuild.tflite.tflite_reader import read_buffers, read_model

LABELS = {"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}
TREE = {
    "name": "digits",
    "version": "2",
    "subgraph_metadata": [
        {
            "input_tensor_metadata": [
                {
                    "name": "in0",
                    "content": {
                        "content_properties_type": "ImageProperties",
                        "content_properties": {"color_space": "RGB"},
                    },
                    "process_units": [
                        {"options_type": "NormalizationOptions", "options": {"mean": [127.5], "std": [0.1, 2.0, 3.0]}}
                    ],
                    "stats": {"max": [255.0], "min": [0.0]},
                }
            ],
            "output_tensor_metadata": [{"name": "out0", "associated_files": [LABELS]}],
        }
    ],
}
FILES = {"labels.txt": b"a\nb\n", "extra.txt": b"\0" * 40}


@pytest.fixture(scope="module")
def model():
    return write_model(CASES["CONV_2D_int8"])


# --- a reader of the test's own: nothing but ids, from the published schema


class Walk:
    """A table of any flatbuffer, by field id."""

    def __init__(self, raw, place):
        self.table = Table(bytearray(raw), place)

    @classmethod
    def root(cls, raw):
        return cls(raw, struct.unpack_from("<I", raw, 0)[0])

    def place(self, field):
        offset = self.table.Offset(4 + 2 * field)
        return self.table.Pos + offset if offset else None

    def text(self, field):
        return self.table.String(self.place(field)).decode()

    def scalar(self, field, flags):
        place = self.place(field)
        return 0 if place is None else self.table.Get(flags, place)

    def child(self, field):
        return Walk(self.table.Bytes, self.table.Indirect(self.place(field)))

    def children(self, field):
        offset = self.table.Offset(4 + 2 * field)
        start = self.table.Vector(offset)
        return [Walk(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(self.table.VectorLen(offset))]

    def floats(self, field):
        offset = self.table.Offset(4 + 2 * field)
        return self.table.GetVectorAsNumpy(number_types.Float32Flags, offset).tolist()


def metadata_bytes(raw):
    """The buffer that Model.metadata (field 6) names; Model.buffers is field 4, Buffer.data field 0."""
    root = Walk.root(raw)
    (found,) = [entry for entry in root.children(6) if entry.text(0) == "TFLITE_METADATA"]
    buffer = root.children(4)[found.scalar(1, number_types.Uint32Flags)]
    return buffer.table.GetVectorAsNumpy(number_types.Uint8Flags, buffer.table.Offset(4)).tobytes()


def test_the_fields_are_where_the_schema_has_them(model):
    raw = metadata_bytes(write_metadata(model, TREE, FILES))
    assert raw[4:8] == b"M001"
    top = Walk.root(raw)
    assert (top.text(0), top.text(2), top.text(7)) == ("digits", "2", "1.0.0")
    (graph,) = top.children(3)
    (taken,), (given_,) = graph.children(2), graph.children(3)
    assert (taken.text(0), given_.text(0)) == ("in0", "out0")
    content = taken.child(3)
    assert content.scalar(0, number_types.Uint8Flags) == 2  # ImageProperties
    assert content.child(1).scalar(0, number_types.Int8Flags) == 1  # RGB
    (unit,) = taken.children(4)
    assert unit.scalar(0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert unit.child(1).floats(0) == [127.5]
    assert unit.child(1).floats(1) == [np.float32(0.1), 2.0, 3.0]
    assert (taken.child(5).floats(0), taken.child(5).floats(1)) == ([255.0], [0.0])
    (file,) = given_.children(6)
    assert (file.text(0), file.scalar(2, number_types.Int8Flags)) == ("labels.txt", 2)


def test_outputs_units_have_their_ids():
    options = {"score_transformation": "INVERSE_LOGISTIC", "default_score": 0.25}
    units = [
        {"options_type": "ScoreCalibrationOptions", "options": options},
        {"options_type": "ScoreThresholdingOptions", "options": {"global_score_threshold": 0.5}},
    ]
    audio = {
        "content_properties_type": "AudioProperties",
        "content_properties": {"sample_rate": 16000, "channels": 1},
        "range": {"min": 2, "max": 3},
    }
    tensor = {"name": "scores", "process_units": units, "content": audio}
    tree = {"subgraph_metadata": [{"output_tensor_metadata": [tensor]}], "author": "me", "license": "mine"}
    top = Walk.root(encode_metadata(tree))
    assert (top.text(4), top.text(5), top.text(7)) == ("me", "mine", "1.3.0")  # AudioProperties came with 1.3.0
    (found,) = top.children(3)[0].children(3)
    calibration, threshold = found.children(4)
    assert [one.scalar(0, number_types.Uint8Flags) for one in (calibration, threshold)] == [2, 3]
    assert calibration.child(1).scalar(0, number_types.Int8Flags) == 2
    assert calibration.child(1).scalar(1, number_types.Float32Flags) == 0.25
    assert threshold.child(1).scalar(0, number_types.Float32Flags) == 0.5
    assert found.child(3).scalar(0, number_types.Uint8Flags) == 4
    assert found.child(3).child(1).scalar(0, number_types.Uint32Flags) == 16000
    assert [found.child(3).child(2).scalar(field, number_types.Int32Flags) for field in (0, 1)] == [2, 3]


def test_the_files_are_an_archive_that_is_stored(model):
    made = write_metadata(model, TREE, FILES)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert {one.filename: archive.read(one) for one in archive.infolist()} == FILES
        for one in archive.infolist():
            assert (one.compress_type, one.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
            place = one.header_offset + 30 + len(one.filename)  # a reader that maps the file finds the bytes here
            assert made[place : place + one.file_size] == FILES[one.filename]


def test_it_is_read_back(model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_metadata(model, TREE, FILES))
    found = read_metadata(path)
    assert found["model"] == TREE | {"min_parser_version": "1.0.0"}
    assert (found["missing"], found["damaged"]) == ([], "")
    assert found["files"] == [
        {"name": "extra.txt", "bytes": 40, "type": ""},
        {"name": "labels.txt", "bytes": 4, "type": "TENSOR_AXIS_LABELS", "label_count": 2, "labels": ["a", "b"]},
    ]
    assert metadata_text({"metadata": found}) == [
        "metadata   digits 2",
        "  input   in0  RGB image; fed as (x - 127.5) / [0.1, 2, 3]; from 0 to 255",
        "file       extra.txt  40 B",
        "file       labels.txt  4 B  labels x2: a, b",
    ]


def test_the_model_stays_what_it_is(model, tmp_path):
    """Operators, tensors, signatures, other metadata and every constant; each constant at a multiple of 16 bytes."""
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    other, buffer = schema.MetadataT(), schema.BufferT()
    other.name, other.buffer, buffer.data = b"min_runtime_version", len(root.buffers), np.frombuffer(b"2.3.0", np.uint8)
    root.metadata, root.buffers = [other], [*root.buffers, buffer]
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    before.write_bytes(flatbuffer_utils.convert_object_to_bytearray(root))
    after.write_bytes(write_metadata(before.read_bytes(), TREE, FILES))
    first, second = read_model(before), read_model(after)
    assert (first.subgraphs, first.signatures) == (second.subgraphs, second.signatures)
    assert (first.min_runtime, second.min_runtime) == ("2.3.0", "2.3.0")
    assert [one for one in read_buffers(before) if one] == [one for one in read_buffers(after) if one][:-1]
    places = []
    for one in Walk.root(after.read_bytes()).children(4):
        offset = one.table.Offset(4)
        places += [one.table.Vector(offset) % 16] if offset else []
    assert set(places) == {0}


def test_the_annotated_model_computes_the_same(model):
    def outputs(raw):
        runner = Interpreter(model_content=raw).get_signature_runner()
        feeds = {name: np.ones(one["shape"], one["dtype"]) for name, one in runner.get_input_details().items()}
        return runner(**feeds)

    first, second = outputs(model), outputs(write_metadata(model, TREE, FILES))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_equal_input_gives_equal_bytes_and_old_metadata_do_not_pile_up(model):
    once = write_metadata(model, TREE, FILES)
    assert write_metadata(model, TREE, dict(reversed(FILES.items()))) == once
    twice = write_metadata(write_metadata(once, {"name": "x" * 5000}, {"old.txt": b"x" * 5000}), TREE, FILES)
    assert twice == once


def test_metadata_that_share_their_buffer_leave_it_to_the_other(model, tmp_path):
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(write_metadata(model, {"name": "old"}, {})))
    twin = schema.MetadataT()
    twin.name, twin.buffer = b"twin", root.metadata[0].buffer
    root.metadata.append(twin)
    path = tmp_path / "model.tflite"
    path.write_bytes(write_metadata(bytes(flatbuffer_utils.convert_object_to_bytearray(root)), TREE, {}))
    assert read_metadata(path)["model"]["name"] == "digits"
    (entry,) = [one for one in Walk.root(path.read_bytes()).children(6) if one.text(0) == "twin"]
    assert decode_metadata(read_buffers(path)[entry.scalar(1, number_types.Uint32Flags)])["name"] == "old"


def test_a_model_without_any_tells_none(model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    assert read_metadata(path) == {}
    assert metadata_text({"metadata": {}}) == []


def test_files_that_are_missing_and_metadata_that_are_damaged_are_told(model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_metadata(model, TREE, {}))
    assert read_metadata(path)["missing"] == ["labels.txt"]
    made = bytearray(path.read_bytes())
    place = made.index(b"M001")
    made[place - 4 : place] = b"\xff\xff\xff\x7f"
    path.write_bytes(made)
    found = read_metadata(path)
    assert found["model"] == {} and "leads nowhere" in found["damaged"]
    assert any("damaged" in line for line in metadata_text({"metadata": found}))


def test_labels_are_unpacked_up_to_a_limit_in_all(monkeypatch, model, tmp_path):
    """A name may be in an archive thousands of times, and 16 KB unpack to 16 MB."""
    monkeypatch.setattr(tflite_metadata, "MOST_LABEL_BYTES", 10)
    path = tmp_path / "model.tflite"
    path.write_bytes(write_metadata(model, TREE, {"labels.txt": b"a\nb\n"}))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for text in (b"c\nd\n", b"e\nf\n"):
            archive.writestr("labels.txt", text)
    assert [file.get("labels") for file in read_metadata(path)["files"]] == [["a", "b"], ["c", "d"], None]


def test_a_model_that_is_too_large_is_refused(monkeypatch, model):
    monkeypatch.setattr("tflbuild.tflite.tflite_metadata.MOST_BYTES", len(model))
    with pytest.raises(WorkerError, match="too large") as caught:
        write_metadata(model, TREE, {})
    assert f"{len(model):,} bytes" in caught.value.fields["why"]


def test_a_model_compiled_ahead_of_time_is_refused(model):
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    root.operatorCodes[0].customCode = b"DISPATCH_OP"
    with pytest.raises(WorkerError, match="compiled ahead of time"):
        write_metadata(bytes(flatbuffer_utils.convert_object_to_bytearray(root)), TREE, {})


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        ({"name": "a"}, "1.0.0"),
        ({"associated_files": [{"name": "v", "type": "VOCABULARY"}]}, "1.0.1"),
        ({"subgraph_metadata": [{"input_process_units": []}]}, "1.0.0"),
        ({"subgraph_metadata": [{"output_tensor_groups": [{"name": "g"}]}]}, "1.2.0"),
        (
            {
                "associated_files": [{"name": "a", "version": "1"}],
                "subgraph_metadata": [{"custom_metadata": [{"name": "a"}]}],
            },
            "1.5.0",
        ),
    ],
)
def test_the_least_parser_is_told(tree, version):
    assert least_parser_version(tree) == version
    assert Walk.root(encode_metadata(tree)).text(7) == version


@pytest.mark.parametrize("tree", [{"nmae": "a"}, {"associated_files": [{"type": "LABELS"}]}])
def test_what_the_schema_has_not_is_refused(tree):
    with pytest.raises((KeyError, ValueError)):
        encode_metadata(tree)


@pytest.mark.parametrize(
    ("data", "labels"),
    [(b"a\nb", ["a", "b"]), (b"a\r\nb\r\n", ["a", "b"]), (b"\xef\xbb\xbfa\n\nb\n", ["a", "", "b"]), (b"", [])],
)
def test_labels_are_lines(data, labels):
    assert read_labels(data) == labels


def test_metadata_are_told_in_lines():
    """Every kind of content and of process unit that we write, and one that only others do."""

    def tensor(name, *units, **fields):
        return {"name": name, "process_units": list(units)} | fields

    def unit(kind, **options):
        return {"options_type": kind, "options": options}

    def content(kind, **properties):
        return {"content_properties_type": kind, "content_properties": properties}

    outputs = [
        tensor("a", unit("ScoreCalibrationOptions", score_transformation="INVERSE_LOGISTIC", default_score=0.5)),
        tensor("b", unit("ScoreThresholdingOptions", global_score_threshold=0.25), description="scores"),
        tensor("nothing"),
    ]
    inputs = [
        tensor("c", content=content("AudioProperties", sample_rate=16000, channels=1)),
        tensor("d", content=content("ImageProperties", color_space="UNKNOWN")),
        tensor("e", unit("BertTokenizerOptions"), content=content("FeatureProperties")),
        tensor("f", unit("9"), stats={"min": [0.0, 1.0], "max": ["nan"]}),
    ]
    model = {
        "author": "me",
        "license": "Apache-2.0",
        "description": "what it does",
        "subgraph_metadata": [{"input_tensor_metadata": inputs, "output_tensor_metadata": outputs}],
    }
    told = {"model": model, "files": [], "missing": ["gone.txt"], "damaged": ""}
    assert metadata_text({"metadata": told}) == [
        "metadata   by me, license Apache-2.0",
        "metadata   what it does",
        "  input   c  audio, 16000 Hz, channels: 1",
        "  input   d  image",
        "  input   e  features; BertTokenizer",
        "  input   f  9; from [0, 1] to nan",
        "  output  a  scores calibrated (inverse logistic, else 0.5)",
        "  output  b  scores; scores from 0.25",
        "missing    gone.txt: named by the metadata, and not in the artifact",
    ]


# --- any metadata at all


def values(kind):
    inner = kind.strip("[]")
    if kind.startswith("["):
        return st.lists(values(inner), max_size=3)
    if inner == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if inner == "bytes":
        return st.binary(max_size=20).map(bytes.hex)
    if inner in NUMBERS:
        return {
            "int": st.integers(-(2**31), 2**31 - 1),
            "uint": st.integers(0, 2**32 - 1),
            "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
        }[inner]
    if inner in ENUMERATIONS:
        return st.sampled_from(ENUMERATIONS[inner])
    return tables(inner)


@st.composite
def tables(draw, table):
    made = {}
    for name, kind in TABLES[table].items():
        if not draw(st.booleans()):
            continue
        if kind in UNIONS:
            made[f"{name}_type"] = member = draw(st.sampled_from(UNIONS[kind]))
            made[name] = draw(tables(member))
        else:
            made[name] = draw(values(kind))
    return made


def as_read(tree, table):
    """What a reader tells of a tree: empty vectors are none, a number that was not set is 0."""
    found = {}
    for name, kind in TABLES[table].items():
        value = tree.get(name)
        if kind in NUMBERS:
            found[name] = np.float32(value or 0) if kind == "float" else value or 0
        elif kind in ENUMERATIONS:
            found[name] = value or ENUMERATIONS[kind][0]
        elif value is None or value == []:
            continue
        elif kind in UNIONS:
            which = found[f"{name}_type"] = tree[f"{name}_type"]
            found[name] = as_read(value, which)
        elif kind.strip("[]") in TABLES:
            inner = kind.strip("[]")
            found[name] = [as_read(one, inner) for one in value] if kind.startswith("[") else as_read(value, inner)
        else:
            found[name] = [np.float32(one) for one in value] if kind == "[float]" else value
    return found


def narrowed(value):
    """Numbers that JSON holds as float64, as the float32 that they name."""
    if isinstance(value, dict):
        return {name: narrowed(one) for name, one in value.items()}
    if isinstance(value, list):
        return [narrowed(one) for one in value]
    return np.float32(value) if isinstance(value, float) else value


@given(tables("ModelMetadata"))
def test_any_metadata_come_back(tree):
    raw = encode_metadata(tree)
    assert narrowed(decode_metadata(raw)) == as_read(
        tree | {"min_parser_version": least_parser_version(tree)}, "ModelMetadata"
    )
    assert encode_metadata(decode_metadata(raw)) == raw == encode_metadata(tree)


@given(st.data())
def test_damaged_metadata_are_refused_or_read(data):
    """Never another end than ValueError, and never a long one."""
    raw = bytearray(encode_metadata(TREE))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(8, len(raw)))])
    try:
        assert isinstance(decode_metadata(cut), dict)
    except ValueError as error:
        assert str(error)
