"""Constants that operators only rearrange are rearranged in the file."""

import numpy as np
from one_op import Case, T, ints, write_model
from one_op_cases import CASES

from tflbuild.steps.conversion.constant_transposes import fold_layout
from tflbuild.tflite.tflite_reader import read_buffers, read_model

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TURN = Case("turn", "TRANSPOSE", (T((2, 3, 4), "float32", VALUES), ints(2, 0, 1)), (T((4, 2, 3), "float32"),))
FLATTEN = Case("flat", "RESHAPE", (T((4, 2, 3), "float32"), ints(1, 24)), (T((1, 24), "float32"),))
NEGATE = Case("negated", "NEG", (T((1, 24), "float32"),), (T((1, 24), "float32"),))


def test_a_chain_of_them_leaves_one_constant(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(TURN, FLATTEN, NEGATE))
    assert fold_layout(path) == ["turn/out0", "flat/out0"]
    (graph,) = read_model(path).subgraphs
    assert [op.name for op in graph.ops] == ["NEG"]
    constant = graph.tensors[graph.ops[0].inputs[0]]
    assert (constant.constant, constant.shape, constant.name) == (True, (1, 24), "flat/out0")
    stored = np.frombuffer(read_buffers(path)[constant.buffer], np.float32)
    assert stored.tolist() == VALUES.transpose(2, 0, 1).ravel().tolist()
    assert [tensor.name for tensor in graph.tensors if tensor.constant] == ["flat/out0"]


def test_what_moves_and_what_is_an_output_stays(tmp_path):
    path = tmp_path / "model.tflite"
    for model in (
        write_model(CASES["TRANSPOSE_float32"], NEGATE),
        write_model(TURN),
        write_model(CASES["NEG_float32"]),
    ):
        path.write_bytes(model)
        assert fold_layout(path) == []
        assert path.read_bytes() == model
