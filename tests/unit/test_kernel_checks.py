"""What kernels require of quantized operands, each on a model of one operator that is made to break it.

tests/integration/test_kernel_requirements.py holds the same rules against the kernels themselves.
"""

from dataclasses import replace

import pytest
from one_op import Case, T, weight, write_model
from one_op_cases import CASES
from one_op_edges import EDGES

from tflbuild.steps.checking.kernel_checks import find_faults
from tflbuild.tflite.tflite_reader import read_model

ALL = {**CASES, **EDGES}
INTEGERS = ("int8", "int16", "uint8")
REFUSED = ("NEG_uint8", "FLOOR_MOD_uint8")  # kernels know no uint8 of these, whatever the zero point


def faults(case, folder):
    (folder / "model.tflite").write_bytes(write_model(case))
    return [fault.text for fault in find_faults(read_model(folder / "model.tflite"))]


def test_well_made_models_have_none(tmp_path):
    quantized = {
        name: case
        for name, case in ALL.items()
        if any(tensor is not None and tensor.type in INTEGERS for tensor in (*case.inputs, *case.outputs))
    }
    assert len(quantized) > 300
    assert [name for name, case in quantized.items() if name not in REFUSED and faults(case, tmp_path)] == []


def with_input(name, place, **changes):
    case = ALL[name]
    changed = replace(case.inputs[place], **changes)
    return replace(case, inputs=tuple(changed if at == place else other for at, other in enumerate(case.inputs)))


def with_output(name, **changes):
    case = ALL[name]
    return replace(case, outputs=(replace(case.outputs[0], **changes), *case.outputs[1:]))


MOVING = {"values": None, "channels": None}
BROKEN = {
    "filter with a zero point": (with_input("CONV_2D_int8", 1, zero_point=9), "zero point 9"),
    "computed filter with a zero point": (
        with_input("TRANSPOSE_CONV_int8", 1, zero_point=-69, **MOVING),
        "its computed filter 'TRANSPOSE_CONV_int8/in1' has the zero point -69, its kernel supports only 0",
    ),
    "int16 filter": (
        with_input("CONV_2D_int16", 1, type="int16", **MOVING),
        "is int16; with int16 activations its kernel reads",
    ),
    "hybrid filter with a zero point": (with_input("FULLY_CONNECTED_hybrid", 1, zero_point=9), "zero point 9"),
    "hybrid filter along another axis": (with_input("FULLY_CONNECTED_hybrid", 1, channels=1), "16 scales along axis 1"),
    "hybrid depthwise with one scale": (with_input("DEPTHWISE_CONV_2D_hybrid", 1, channels=None), "one a channel"),
    "bias of another scale": (
        with_input("CONV_2D_int8", 2, values=[5] * 8, scale=1 / 4096),
        "has the scale 0.000244141, its kernel reads input scale times filter scale: 6.10352e-05",
    ),
    "int32 bias beside int16": (with_input("FULLY_CONNECTED_int16_batch1", 2, type="int32"), "quantizedBiasType"),
    "int64 bias beside int8": (with_input("FULLY_CONNECTED_int8_batch1", 2, type="int64"), "reads int32"),
    "hybrid matrix with a zero point": (with_input("BATCH_MATMUL_hybrid", 1, zero_point=9), "zero point 9"),
    "hybrid matrix, scales along rows": (with_input("BATCH_MATMUL_hybrid", 1, channels=1), "along axis 1"),
    "hybrid matrix that is computed": (with_input("BATCH_MATMUL_hybrid", 1, **MOVING), "need a stored one"),
    "integer matrix with several scales": (
        replace(ALL["BATCH_MATMUL_int8"], inputs=(T((1, 4, 16), "int8"), weight((1, 16, 8), "int8", 2))),
        "8 scales, its kernel reads the first one",
    ),
    "copied, scale": (with_output("RESHAPE_int16", scale=1 / 4096), "treats integers of the one as those of the other"),
    "copied, zero point": (with_output("GATHER_int8", zero_point=4), "int8, scale 0.03125, zero point 4"),
    "copied, type": (with_output("RESHAPE_int8", type="int16"), "treats integers of the one"),
    "compared": (with_input("MAXIMUM_int8", 1, scale=1 / 8), "treats integers of the one"),
    "joined": (with_input("CONCATENATION_int16", 1, scale=1 / 4096), "treats integers of the one"),
    "negated": (with_input("NEG_int8", 0, zero_point=3), "supports only the zero point 0"),
    "int16 with a zero point": (with_input("GELU_int16", 0, zero_point=3), "supports only the zero point 0"),
    "two types": (with_output("MUL_int16", type="int8"), "it reads int16 and gives int8"),
    "slopes of another scale each": (
        replace(ALL["PRELU_int8"], inputs=(ALL["PRELU_int8"].inputs[0], weight((1, 1, 4), "int8", 2))),
        "4 scales",
    ),
    "fixed output": (with_output("SOFTMAX_uint8", zero_point=7), "its kernel writes scale 0.00390625, zero point 0"),
    "recurrent weights": (
        Case(
            "svdf",
            "SVDF",
            (
                T((1, 16), "float32"),
                replace(weight((8, 16), "int8"), zero_point=5),
                weight((8, 6), "int8"),
                None,
                T((1, 48), "float32", state=True),
            ),
            (T((1, 8), "float32"),),
            "SVDFOptions",
            {"rank": 1},
        ),
        "its weights 'svdf/in1' have the zero point 5",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_kernel_reads_wrongly_is_found(what, tmp_path):
    case, text = BROKEN[what]
    assert any(text in found for found in faults(case, tmp_path))


HONOURED = {
    "zero point of a dense filter": with_input("FULLY_CONNECTED_int8_moving_weights", 1, zero_point=9),
    "zero points of factors": with_input("BATCH_MATMUL_int8", 1, zero_point=9),
    "int8 beside int16": with_input("BATCH_MATMUL_int16", 1, type="int8"),
    "other scales of a sum": with_input("ADD_int8", 1, scale=1 / 8, zero_point=3),
    "other scales of a uint8 concatenation": with_input("CONCATENATION_uint8", 1, scale=1 / 8),
    "zeros of another scale": with_input("CONV_2D_int8", 2, scale=1 / 4096),
    "int32 bias that the option tells": replace(
        with_input("CONV_2D_int16", 2, type="int32"),
        options=ALL["CONV_2D_int16"].options | {"quantizedBiasType": 2},
    ),
    "one scale for all channels": with_input("CONV_2D_hybrid", 1, channels=None),
    "narrower sum": with_output("ADD_int16", type="int8"),
}


@pytest.mark.parametrize("what", HONOURED)
def test_what_a_kernel_honours_is_no_fault(what, tmp_path):
    assert faults(HONOURED[what], tmp_path) == []
