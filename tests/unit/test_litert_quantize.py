from ai_edge_litert.tools import flatbuffer_utils
from one_op import write_model
from one_op_cases import CASES

from tflbuild.workers.litert_quantize import refusal, with_unique_names

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


def test_names_that_are_unique_stay_and_others_get_their_subgraph():
    assert with_unique_names(ONE) is ONE
    first, second = names(with_unique_names(with_twin(ONE)))
    assert first == names(ONE)[0] and second == [f"{name};1" for name in first]
    assert names(with_unique_names(with_unique_names(with_twin(ONE)))) == [first, second]


def test_a_name_that_is_taken_already_is_told_apart():
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(with_twin(ONE)))
    first = root.subgraphs[0].tensors
    first[1].name = first[0].name + b";1"
    made = names(with_unique_names(bytes(flatbuffer_utils.convert_object_to_bytearray(root))))
    flat = [name for graph in made for name in graph]
    assert len(set(flat)) == len(flat) and made[0] == [tensor.name.decode() for tensor in first]


def test_what_no_measurement_reaches_is_said():
    unique = with_unique_names(with_twin(ONE))
    inner = names(unique)[1][0]
    assert refusal(LACKING.format(inner), unique).startswith(f"'{inner}' is in the body of a loop or of a condition")
    outer = LACKING.format(names(unique)[0][0])
    assert refusal(outer, unique) == outer
    assert refusal("something else\nmore", unique) == "something else"
