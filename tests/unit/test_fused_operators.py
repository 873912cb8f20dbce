"""What one operator stands for: read from its options and from its name."""

import pytest

from tflbuild.tflite.artifact_contents import fused_text
from tflbuild.tflite.fused_operators import describe_fusions
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def model(*operators):
    """(kind, name of its output, activation) of each."""
    tensors = [Tensor("x", "float32", (1, 4), 4, False, (), (), 0)]
    ops = []
    for kind, name, activation in operators:
        tensors.append(Tensor(name, "float32", (1, 4), 4, False, (), (), 0))
        ops.append(Operator(kind, 1, False, (0,), (len(tensors) - 1,), activation=activation))
    graph = Subgraph("main", tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))
    return Model(bytes=1, subgraphs=(graph,), signatures=())


def test_activations_batch_norms_and_biases_are_counted():
    found = describe_fusions(
        model(
            ("CONV_2D", "relu/Relu6;norm/batchnorm/add_1;conv/convolution;norm/batchnorm/sub1", "RELU6"),
            ("DEPTHWISE_CONV_2D", "other/FusedBatchNormV3;dw/depthwise", ""),
            ("FULLY_CONNECTED", "dense/MatMul;dense/BiasAdd", "RELU"),
        )
    )
    assert found == {"activations": {"RELU": 1, "RELU6": 1}, "batch_norms": 2, "biases": 1, "stayed": []}


@pytest.mark.parametrize("kind", ["MUL", "ADD"])
def test_a_batch_norm_that_could_not_be_folded_is_named(kind):
    found = describe_fusions(model((kind, "first/batchnorm/mul_1", ""), ("CONV_2D", "conv/convolution", "")))
    assert (found["stayed"], found["batch_norms"]) == (["first"], 0)


def test_it_is_told_in_a_line():
    found = describe_fusions(model(("CONV_2D", "norm/batchnorm/add_1;c", "RELU6"), ("MUL", "pre/batchnorm/mul", "")))
    assert fused_text({"fused": found}) == "RELU6 x1, batch norm x1; batch norm stays in pre"
    assert fused_text({"fused": describe_fusions(model(("ADD", "sum", "")))}) == ""
