from ai_edge_litert.tools import flatbuffer_utils
from one_op import write_model
from one_op_cases import CASES

from tflbuild.steps.quantization.litert_quantize import explain_refusal, restore_names, with_unique_names

ONE = write_model(CASES["ABS_float32"])
LACKING = (
    "Failed to get quantization parameters for tensor: {}. Error: TFLOperationName.INPUT(index: -1) not found in x"
)


def with_twin(raw):
    """The model with its subgraph once more, as a branch that no signature runs."""
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(raw))
    root.subgraphs.append(flatbuffer_utils.read_model_from_bytearray(bytearray(raw)).subgraphs[0])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(root))


def names(raw):
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(raw))
    return [[tensor.name.decode() for tensor in graph.tensors] for graph in root.subgraphs]


def test_names_that_are_unique_stay_and_those_of_bodies_become_so_and_come_back():
    assert with_unique_names(ONE) == (ONE, {})
    twin = with_twin(ONE)
    unique, renamed = with_unique_names(twin)
    first, second = names(unique)
    assert first == names(ONE)[0] and not set(first) & set(second)
    assert with_unique_names(unique) == (unique, {})
    assert names(restore_names(unique, renamed)) == names(twin)


def test_what_signatures_run_keeps_its_names():
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(with_twin(ONE)))
    second = flatbuffer_utils.read_model_from_bytearray(bytearray(ONE)).signatureDefs[0]
    second.signatureKey, second.subgraphIndex = b"second", 1
    root.signatureDefs.append(second)
    two = bytes(flatbuffer_utils.convert_object_to_bytearray(root))
    assert with_unique_names(two) == (two, {})


def test_a_name_that_is_taken_already_is_told_apart():
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(with_twin(ONE)))
    first = root.subgraphs[0].tensors
    first[1].name = first[0].name + b";0.1"
    made = names(with_unique_names(bytes(flatbuffer_utils.convert_object_to_bytearray(root)))[0])
    flat = [name for graph in made for name in graph]
    assert len(set(flat)) == len(flat) and made[0] == [tensor.name.decode() for tensor in first]


def test_what_no_measurement_reaches_is_said():
    unique, renamed = with_unique_names(with_twin(ONE))
    inner, outer = names(unique)[1][0], names(unique)[0][0]
    told = explain_refusal(LACKING.format(inner), unique, renamed)
    assert told.startswith(f"'{outer}' is in the body of a loop or of a condition")
    assert explain_refusal(LACKING.format(outer), unique, renamed) == LACKING.format(outer)
    assert explain_refusal("something else\nmore", unique, renamed) == "something else"
