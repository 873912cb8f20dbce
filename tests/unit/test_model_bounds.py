import ast
import inspect
import random
import re
import struct
import time
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from tiny_tflite import make_root, operator, pack, tensor

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.model_bounds import OFFSETS, UNIONS, OutOfBoundsError, require_bounds
from tflbuild.tflite.model_indices import BITS
from tflbuild.tflite.tflite_reader import read_model

NUMBERS = {"Bool": 1, "Uint8": 1, "Int8": 1, "Uint16": 2, "Int16": 2, "Uint32": 4, "Int32": 4, "Float32": 4}
NUMBERS |= {"Uint64": 8, "Int64": 8, "Float64": 8}
MADE_BESIDE = ("AsNumpy", "Length", "IsNone", "BufferHasIdentifier")


HELD, ELEMENT = re.compile(r"obj = (\w+)\(\)"), re.compile(r"number_types\.(\w+)Flags, a")


def form_of(code):
    """Return the kind of value that a generated accessor reads."""
    if "Table(bytearray()" in code:
        return "u"
    held = HELD.search(code)[1] if "Indirect" in code else ""
    if "_tab.Vector(o)" in code:
        return f"[{held or NUMBERS[ELEMENT.search(code)[1]]}]"
    return "s" if "_tab.String(" in code else held


def read_schema():
    """Table -> field number -> form, from the module that flatc generated."""
    tables = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        methods = [part for part in getattr(node, "body", ()) if isinstance(part, ast.FunctionDef)]
        if "Init" not in [method.name for method in methods]:
            continue
        for method in methods:
            offset = re.search(r"_tab\.Offset\((\d+)\)", code := ast.unparse(method))
            if offset and not method.name.endswith(MADE_BESIDE) and (form := form_of(code)):
                tables.setdefault(node.name, {})[(int(offset[1]) - 4) // 2] = form
    return tables


def test_the_table_of_offsets_is_that_of_the_schema():
    assert read_schema() == OFFSETS
    assert {(table, field) for table, forms in OFFSETS.items() for field in forms if forms[field] == "u"} == set(UNIONS)
    assert BITS.keys() <= vars(schema.TensorType).keys()


@pytest.fixture(scope="module")
def whole():
    return pack(make_root())


def read(tmp_path, raw):
    place = tmp_path / "x.tflite"
    place.write_bytes(raw)
    return read_model(place)


def test_a_whole_model_is_read(tmp_path, whole):
    model = read(tmp_path, whole)
    assert [op.name for op in model.subgraphs[0].ops] == ["ADD", "IF"] and model.min_runtime == "1.0"


def damage(change):
    root = make_root()
    change(root, root.subgraphs[0])
    return pack(root)


def put(owner, name, value):
    setattr(owner, name, value)


def share_scales(quantization, index):
    """Have blocks of a tensor take their scales from another tensor."""
    quantization.details = schema.BlockwiseQuantizationT(scales=index, blockSize=2)
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization


LOOP = schema.IfOptionsT()
LOOP.thenSubgraphIndex = LOOP.elseSubgraphIndex = 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r, g: put(r, "subgraphs", []), "no subgraph"),
        (lambda r, g: put(g, "operators", None), "subgraph 0 has no list of operators"),
        (lambda r, g: put(r, "operatorCodes", None), "no list of operatorCodes"),
        (lambda r, g: put(g.operators[0], "outputs", None), "operator 0 of subgraph 0 has no list of outputs"),
        (lambda r, g: put(g, "inputs", [9]), "an input or output of subgraph 0 names tensor 9"),
        (lambda r, g: put(g, "outputs", [-1]), "names tensor -1"),
        (lambda r, g: put(g.operators[0], "inputs", [0, 99]), "operator 0 of subgraph 0 names tensor 99"),
        (lambda r, g: put(g.operators[0], "inputs", [0, -2]), "names tensor -2"),
        (lambda r, g: put(g.operators[0], "outputs", [2**31 - 1]), "names tensor 2147483647"),
        (lambda r, g: put(g.operators[0], "intermediates", [77]), "names tensor 77"),
        (lambda r, g: put(g.operators[0], "opcodeIndex", 5), "names operator code 5"),
        (lambda r, g: put(g.operators[1].builtinOptions, "thenSubgraphIndex", 7), "names subgraph 7"),
        (lambda r, g: put(g.operators[1].builtinOptions, "elseSubgraphIndex", -5), "names subgraph -5"),
        (lambda r, g: put(g.operators[1].builtinOptions, "thenSubgraphIndex", 0), "runs itself"),
        (lambda r, g: r.subgraphs[1].operators.append(operator(1, [0], [0], LOOP)), "runs itself|afterwards"),
        (lambda r, g: put(g.operators[0], "inputs", [0, 4]), "which operator 1 makes afterwards"),
        (lambda r, g: put(g.operators[0], "inputs", [0, 2]), "which operator 0 makes afterwards"),
        (lambda r, g: put(g.tensors[0], "buffer", 9), "tensor 0 of subgraph 0 names buffer 9"),
        (lambda r, g: put(g.tensors[0], "shape", [-2, 4]), "has the shape"),
        (lambda r, g: put(g.tensors[0], "shape", [1] * 1000), "has the shape"),
        (lambda r, g: put(g.tensors[0], "shape", [2**31 - 1] * 3), "more than 2\\^40"),
        (lambda r, g: put(g.tensors[1], "shape", [5]), "16 of 20 bytes are stored"),
        (lambda r, g: put(g.tensors[1].quantization, "quantizedDimension", 3), "scales along axis 3"),
        (lambda r, g: share_scales(g.tensors[1].quantization, 99), "tensor 1 of subgraph 0 names tensor of scales 99"),
        (lambda r, g: put(r.signatureDefs[0], "subgraphIndex", 4), "a signature names subgraph 4"),
        (lambda r, g: put(r.signatureDefs[0].inputs[0], "tensorIndex", 44), "a signature names tensor 44"),
        (lambda r, g: put(r.metadata[0], "buffer", 8), "the metadata names buffer 8"),
        (lambda r, g: put(r, "metadataBuffer", [-1]), "the metadata names buffer -1"),
        (lambda r, g: (put(r.buffers[1], "offset", 2**40), put(r.buffers[1], "size", 5)), "buffer 1 ends at byte"),
    ],
)
def test_an_index_that_leads_nowhere_is_named(tmp_path, change, why):
    with pytest.raises(WorkerError) as refused:
        read(tmp_path, damage(change))
    assert re.search(why, refused.value.fields["why"])


def find_vector(raw, of):
    """The place of a vector of offsets whose length is `of`, as only the vector of tensors has it."""
    return next(place for place in range(0, len(raw) - 4, 4) if struct.unpack_from("<I", raw, place)[0] == of)


def test_vectors_cannot_claim_what_the_file_has_not(whole):
    changed = bytearray(whole)
    struct.pack_into("<I", changed, find_vector(whole, 5), 2**32 - 1)
    with pytest.raises(OutOfBoundsError):
        require_bounds(changed, schema)


def test_a_table_that_many_offsets_lead_to_is_refused_before_it_is_unpacked():
    root = make_root()
    root.subgraphs[0].tensors += [tensor("t", [1]) for _ in range(2000)] + [tensor("t" * 1_000_000, [1])]
    raw = bytearray(pack(root))
    require_bounds(raw, schema)
    count = len(root.subgraphs[0].tensors)
    place = find_vector(raw, count) + 4
    last = place + 4 * (count - 1)
    target = last + struct.unpack_from("<I", raw, last)[0]
    for index in range(count):
        struct.pack_into("<I", raw, place + 4 * index, target - place - 4 * index)
    start = time.monotonic()
    with pytest.raises(OutOfBoundsError, match="again and again"):
        require_bounds(raw, schema)
    assert time.monotonic() - start < 1


def test_damage_of_any_kind_is_an_error_or_a_model(tmp_path, whole):
    chance = random.Random(0)
    place = tmp_path / "x.tflite"
    for _ in range(500):
        raw = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 8])):
            struct.pack_into("<I", raw, chance.randrange(0, len(raw) - 4), chance.choice([0, 1, 2**31, 2**32 - 1, 64]))
        Path(place).write_bytes(raw[: chance.choice([len(raw), len(raw), chance.randrange(len(raw))])])
        try:
            read_model(place)
        except WorkerError as error:
            assert error.fields["why"]
