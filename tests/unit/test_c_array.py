"""C source of a model, as text. tests/integration/test_c_source.py compiles it."""

import pytest

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.targets.tflm import c_array
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def tensor(name="x", type="int8", scale=0.5):
    return Tensor(name, type, (1, 4), 4, False, (scale,) if scale else (), (-3,) if scale else (), 0)


def model(*ops):
    made = tuple(Operator(name, 1, custom, (), ()) for name, custom in ops)
    return Model(3, (Subgraph("main", (), made, (), ()),), ())


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("PADV2", "AddPadV2"),
        ("REVERSE_V2", "AddReverseV2"),
        ("RELU6", "AddRelu6"),
        ("CUMSUM", "AddCumSum"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_operators_are_called_what_the_resolver_calls_them(name, method):
    assert c_array.resolver_method(name) == method


def test_each_operator_is_registered_once():
    text = c_array.header(model(("CONV_2D", False), ("ADD", False), ("CONV_2D", False)), [], [], "net", 16)
    assert "#define NET_OPERATORS 2\n" in text
    assert "#define NET_REGISTER_OPERATORS(resolver) ((resolver).AddAdd() == 0 && (resolver).AddConv2D() == 0)" in text


def test_a_foreign_operator_is_named_and_has_its_place():
    text = c_array.header(model(("MyOp", True), ("ethos-u", True)), [], [], "net", 16)
    assert "#define NET_OPERATORS 2\n" in text
    assert "register yourself: MyOp */" in text
    assert "AddEthosU" in text


def test_inputs_and_outputs_are_told():
    text = c_array.header(model(), [tensor()], [tensor("y*/", "float32", 0)], "net", 4096)
    for line in (
        "#define NET_ARENA_BYTES 4096",
        "#define NET_INPUTS 1",
        "#define NET_INPUT_0_TYPE kTfLiteInt8",
        "#define NET_INPUT_0_SHAPE {1, 4}",
        "#define NET_INPUT_0_SCALE 0.5f",
        "#define NET_INPUT_0_ZERO_POINT (-3)",
        "#define NET_OUTPUT_0_TYPE kTfLiteFloat32",
        "/* y* / */",
    ):
        assert line + "\n" in text
    assert "NET_OUTPUT_0_SCALE" not in text


@pytest.mark.parametrize("value", [1.0, 1 / 3, 1e-9, 3e38])
def test_a_scale_keeps_all_of_its_digits(value):
    text = c_array._float(value)
    assert text.endswith("f") and ("." in text or "e" in text)
    assert float(text[:-1]) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("symbol", ["", "1st", "a-b", "a b", "é"])
def test_what_c_cannot_have_as_a_name_is_refused(symbol):
    with pytest.raises(WorkerError, match="no name for C source"):
        c_array.check_symbol(symbol)
