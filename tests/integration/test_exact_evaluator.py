"""Operators on constants: they agree with TensorFlow, bit by bit where TensorFlow rounds exactly."""

import inspect

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from exact_cases import F32, F64, I32, SMALL, X, Z, ints, list_cases, make_values, name_cases
from tensorflow.python.framework import op_def_registry

from tflbuild.exact import exact_data_movement, exact_evaluator

pytestmark = pytest.mark.heavy

# TensorFlow's own float32 kernels give these bits too, on every CPU.
SAME_BITS = {
    *("Abs", "Add", "AddV2", "ApproximateEqual", "ArgMax", "ArgMin", "BiasAdd", "Bucketize", "Cast", "Ceil"),
    *("CheckNumerics", "ClipByValue", "Complex", "Conj", "Dilation2D", "Div", "DivNoNan", "Equal", "Floor", "FloorDiv"),
    *("FloorMod", "Greater", "GreaterEqual", "Imag", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Less"),
    *(
        "LessEqual",
        "LinSpace",
        "LowerBound",
        "UpperBound",
        "Max",
        "MaxPool",
        "MaxPool3D",
        "Maximum",
        "Min",
        "Minimum",
        "Mod",
        "Mul",
        "MulNoNan",
    ),
    *("Neg", "NextAfter", "NotEqual", "Range", "Real", "RealDiv", "Relu", "Relu6", "Rint", "Round", "SegmentMax"),
    *("SegmentMin", "Sign", "Sqrt", "Square", "SquaredDifference", "Sub", "TensorScatterMax", "TensorScatterMin"),
    *("TopKV2", "TruncateMod", "UnsortedSegmentMax", "UnsortedSegmentMin", "Where", "Xdivy"),
}

# TensorFlow's kernels of these compute in float32 whatever the type is, or with constants rounded to the type
COARSE = {
    "Bucketize",
    "LRN",
    "ResizeArea",
    "ResizeBicubic",
    "ResizeBilinear",
    "ScaleAndTranslate",
    "Erfinv",
    "Ndtri",
    "Selu",
}
WITHOUT_FLOAT64 = {
    *("AccumulateNV2", "AdjustContrastv2", "AvgPool3D", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
}
LEFT_OUT = SAME_BITS | COARSE | WITHOUT_FLOAT64  # of the comparison with TensorFlow's float64 kernels
REFERENCED = [
    pytest.param(case, id=name)
    for case, name in zip(list_cases(), name_cases(), strict=True)
    if case[0] not in LEFT_OUT
]
WIDER = {np.dtype(np.float32): F64, np.dtype(np.complex64): np.dtype(np.complex128)}


def widen_case(attributes, inputs):
    """Return the same case in float64."""
    named = {
        name: WIDER.get(value, value) if isinstance(value, np.dtype) else value for name, value in attributes.items()
    }
    return named, [each.astype(WIDER.get(each.dtype, each.dtype)) for each in inputs]


def measure_error(result, exact):
    """The largest error in units in the last place of the result's type."""
    if result.dtype.kind == "c":
        return max(measure_error(result.real, exact.real), measure_error(result.imag, exact.imag))
    if result.dtype.kind != "f":
        return 0.0 if np.array_equal(result, exact) else np.inf
    wide = exact.astype(F64)
    same = (np.isnan(result) & np.isnan(wide)) | (result == wide)
    noise = 1e-14 * np.abs(np.where(np.isfinite(wide), wide, 0.0)).max(initial=0.0)  # of TensorFlow's float64 kernel
    with np.errstate(all="ignore"):
        unit = np.spacing(np.maximum(np.abs(result), np.finfo(result.dtype).tiny)).astype(F64)
        return float(np.max(np.where(same, 0.0, (np.abs(result - wide) - noise) / unit), initial=0.0))


@pytest.mark.parametrize("case", list_cases(), ids=name_cases())
def test_results_are_tensorflows(case):
    operator, attributes, inputs = case
    results = exact_evaluator.evaluate(operator, attributes, inputs)
    kernel = "AddN" if operator == "AccumulateNV2" else operator  # which has no kernel of its own
    expected = exact_data_movement.run_kernel(kernel, attributes, inputs)
    if operator.startswith("FusedBatchNorm"):
        results, expected = results[:3], expected[:3]
    for result, other in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (other.shape, other.dtype)
        complex_product = other.dtype.kind == "c" and operator in ("Mul", "RealDiv", "Square")
        if operator in SAME_BITS and not complex_product:
            np.testing.assert_array_equal(result, other)
        else:
            scale = np.abs(np.where(np.isfinite(other), other, 0)).max(initial=0)
            np.testing.assert_allclose(result, other, rtol=3e-3, atol=4e-6 * max(scale, 1))


@pytest.mark.parametrize("case", REFERENCED)
def test_a_result_is_the_exact_one_rounded_once(case):
    operator, attributes, inputs = case
    exact = exact_data_movement.run_kernel(operator, *widen_case(attributes, inputs))
    results = exact_evaluator.evaluate(operator, attributes, inputs)
    for result, reference in list(zip(results, exact, strict=True))[:1]:
        assert measure_error(result, reference) < 0.5001


def test_every_operator_that_rounds_has_a_case():
    assert set(exact_evaluator.ROUNDED) == {operator for operator, *_ in list_cases()}


STRING = np.array([b"ab", b"c"], object)
BYTE = np.dtype(np.uint8)
GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
BOOLS = np.array([True, False, True])
# operator: attributes, inputs
MOVED = {
    "All": ({"keep_dims": False}, [BOOLS, ints(0)]),
    "Any": ({"keep_dims": False}, [BOOLS, ints(0)]),
    "BatchToSpace": ({"block_size": 2}, [make_values((4, 1, 1, 1)), np.zeros((2, 2), I32)]),
    "BatchToSpaceND": ({}, [make_values((4, 1, 1, 1)), ints(2, 2), np.zeros((2, 2), I32)]),
    "Bincount": ({}, [ints(1, 2, 1), np.int32(4), np.zeros(0, I32)]),
    "Bitcast": ({"type": I32}, [GRID]),
    "BitwiseAnd": ({}, [ints(6), ints(3)]),
    "BitwiseOr": ({}, [ints(6), ints(3)]),
    "BitwiseXor": ({}, [ints(6), ints(3)]),
    "BroadcastArgs": ({}, [ints(3, 1), ints(4)]),
    "BroadcastGradientArgs": ({}, [ints(3, 1), ints(4)]),
    "BroadcastTo": ({}, [GRID[0, 0], ints(3, 4)]),
    "Concat": ({"N": 2}, [np.int32(0), GRID, GRID]),
    "ConcatOffset": ({"N": 2}, [np.int32(0), ints(2, 3), ints(4, 3)]),
    "ConcatV2": ({"N": 2}, [GRID, GRID, np.int32(-1)]),
    "ConjugateTranspose": ({}, [GRID, ints(1, 0, 2)]),
    "DataFormatDimMap": ({}, [ints(1, 2)]),
    "DataFormatVecPermute": ({}, [ints(1, 2, 3, 4)]),
    "DecodePaddedRaw": ({"out_type": BYTE}, [STRING[:1], np.int32(8)]),
    "DecodeRaw": ({"out_type": BYTE}, [STRING[:1]]),
    "DenseBincount": ({}, [ints(1, 2, 1), np.int32(4), np.zeros(0, I32)]),
    "DepthToSpace": ({"block_size": 2}, [SMALL]),
    "Diag": ({}, [X[0]]),
    "DiagPart": ({}, [X[:5, :5].copy()]),
    "DynamicPartition": ({"num_partitions": 2}, [GRID, ints(1, 0)]),
    "DynamicStitch": ({"N": 2}, [ints(0, 2), ints(1), GRID, GRID[:1]]),
    "EnsureShape": ({"shape": [2, 3, 4]}, [GRID]),
    "ExpandDims": ({}, [GRID, np.int32(1)]),
    "ExtractImagePatches": (
        {"ksizes": [1, 2, 2, 1], "strides": [1, 1, 1, 1], "rates": [1, 1, 1, 1], "padding": b"SAME"},
        [SMALL],
    ),
    "ExtractVolumePatches": (
        {"ksizes": [1, 2, 2, 1, 1], "strides": [1, 1, 1, 1, 1], "padding": b"VALID"},
        [SMALL[..., None]],
    ),
    "Fill": ({}, [ints(2, 3), np.float32(1.5)]),
    "Gather": ({}, [GRID, ints(1)]),
    "GatherNd": ({}, [GRID, ints(1, 2)]),
    "GatherV2": ({"batch_dims": 0}, [GRID, ints(2, 0), np.int32(1)]),
    "GuaranteeConst": ({}, [GRID]),
    "Identity": ({}, [GRID]),
    "IdentityN": ({"T": [F32, I32]}, [GRID, ints(1)]),
    "Invert": ({}, [ints(6)]),
    "InvertPermutation": ({}, [ints(2, 0, 1)]),
    "LeftShift": ({}, [ints(6), ints(3)]),
    "ListDiff": ({}, [ints(1, 2, 3), ints(2)]),
    "LogicalAnd": ({}, [BOOLS, BOOLS[::-1]]),
    "LogicalNot": ({}, [BOOLS]),
    "LogicalOr": ({}, [BOOLS, BOOLS[::-1]]),
    "LowerBound": ({}, [ints(1, 3, 5)[None], ints(4)[None]]),
    "MatrixBandPart": ({}, [GRID, np.int64(0), np.int64(-1)]),
    "MatrixDiag": ({}, [GRID]),
    "MatrixDiagPart": ({}, [GRID]),
    "MatrixDiagPartV2": ({}, [GRID, np.int32(0), np.float32(0)]),
    "MatrixDiagPartV3": ({}, [GRID, ints(-1, 1), np.float32(0)]),
    "MatrixDiagV2": ({}, [GRID[0], np.int32(0), np.int32(-1), np.int32(-1), np.float32(0)]),
    "MatrixDiagV3": ({}, [GRID[0], np.int32(0), np.int32(-1), np.int32(-1), np.float32(0)]),
    "MatrixSetDiag": ({}, [GRID, GRID[..., 0]]),
    "MatrixSetDiagV2": ({}, [GRID, GRID[..., 0], np.int32(0)]),
    "MatrixSetDiagV3": ({}, [GRID, GRID[..., 0], np.int32(0)]),
    "MirrorPad": ({"mode": b"REFLECT"}, [X, ints(1, 2, 0, 1).reshape(2, 2)]),
    "OneHot": ({"axis": -1}, [ints(1, 0), np.int32(3), np.float32(1), np.float32(0)]),
    "OnesLike": ({}, [GRID]),
    "Pack": ({"N": 2, "axis": 1}, [GRID, GRID]),
    "Pad": ({}, [X, ints(1, 2, 0, 1).reshape(2, 2)]),
    "PadV2": ({}, [X, ints(1, 2, 0, 1).reshape(2, 2), np.float32(7)]),
    "PopulationCount": ({}, [ints(7)]),
    "PreventGradient": ({}, [GRID]),
    "RaggedRange": ({}, [ints(0), ints(3), ints(1)]),
    "RaggedTensorToTensor": (
        {"row_partition_types": [b"ROW_SPLITS"], "num_row_partition_tensors": 1},
        [ints(2, 3), X[0, :5].copy(), np.float32(0), np.int64([0, 2, 5])],
    ),
    "Rank": ({}, [GRID]),
    "RegexFullMatch": ({}, [STRING, np.array(b"a.", object)]),
    "RegexReplace": ({}, [STRING, np.array(b"a", object), np.array(b"x", object)]),
    "Reshape": ({}, [GRID, ints(6, -1)]),
    "ResizeNearestNeighbor": ({"half_pixel_centers": True}, [SMALL, ints(9, 3)]),
    "Reverse": ({}, [GRID, BOOLS]),
    "ReverseSequence": ({"seq_dim": 1, "batch_dim": 0}, [GRID, ints(2, 3)]),
    "ReverseV2": ({}, [GRID, ints(1)]),
    "RightShift": ({}, [ints(6), ints(1)]),
    "Roll": ({}, [GRID, ints(1), ints(2)]),
    "Select": ({}, [BOOLS[:2], GRID, -GRID]),
    "SelectV2": ({}, [BOOLS[:, None], GRID, -GRID]),
    "Shape": ({"out_type": np.dtype(np.int64)}, [GRID]),
    "ShapeN": ({"N": 2, "out_type": I32}, [GRID, X]),
    "Size": ({"out_type": I32}, [GRID]),
    "Slice": ({}, [GRID, ints(0, 1, 1), ints(1, -1, 2)]),
    "Snapshot": ({}, [GRID]),
    "SpaceToBatch": ({"block_size": 2}, [SMALL[:, :, :6].copy(), np.zeros((2, 2), I32)]),
    "SpaceToBatchND": ({}, [SMALL[:, :, :6].copy(), ints(2, 2), np.zeros((2, 2), I32)]),
    "SpaceToDepth": ({"block_size": 2}, [SMALL[:, :, :6].copy()]),
    "SparseConcat": (
        {"concat_dim": 0, "N": 2},
        [np.int64([[0, 1]]), np.int64([[0, 2]]), X[0, :1], X[1, :1], np.int64([1, 3]), np.int64([1, 3])],
    ),
    "SparseFillEmptyRows": ({}, [np.int64([[0, 1]]), X[0, :1], np.int64([2, 3]), np.float32(0)]),
    "SparseReorder": ({}, [np.int64([[1, 1], [0, 2]]), X[0, :2], np.int64([2, 3])]),
    "SparseReshape": ({}, [np.int64([[0, 1]]), np.int64([2, 3]), np.int64([3, 2])]),
    "SparseSlice": ({}, [np.int64([[0, 1]]), X[0, :1], np.int64([2, 3]), np.int64([0, 0]), np.int64([1, 3])]),
    "SparseSplit": ({"num_split": 2}, [np.int64(0), np.int64([[0, 1]]), X[0, :1], np.int64([2, 3])]),
    "SparseToDense": ({}, [ints(1), ints(4), np.float32(2), np.float32(0)]),
    "Split": ({"num_split": 2}, [np.int32(2), GRID]),
    "SplitV": ({"num_split": 2}, [GRID, ints(1, 3), np.int32(2)]),
    "Squeeze": ({"squeeze_dims": [1]}, [GRID[:, :1]]),
    "StaticRegexFullMatch": ({"pattern": b"a."}, [STRING]),
    "StaticRegexReplace": ({"pattern": b"a", "rewrite": b"x"}, [STRING]),
    "StopGradient": ({}, [GRID]),
    "StringToNumber": ({"out_type": tf.float32.as_datatype_enum}, [np.array([b"1.5", b"-0.1", b"3e-39"], object)]),
    "StridedSlice": ({"shrink_axis_mask": 1, "begin_mask": 2}, [GRID, ints(1, 0), ints(2, 2), ints(1, 1)]),
    "StridedSliceGrad": ({}, [ints(4, 4), ints(0, 0), ints(2, 3), ints(1, 1), X[:2, :3].copy()]),
    "StringJoin": ({"N": 2, "separator": b"-"}, [STRING, STRING]),
    "StringLength": ({}, [STRING]),
    "StringLower": ({}, [STRING]),
    "StringSplitV2": ({}, [STRING, np.array(b"b", object)]),
    "StringStrip": ({}, [STRING]),
    "StringToHashBucket": ({"num_buckets": 7}, [STRING]),
    "StringToHashBucketFast": ({"num_buckets": 7}, [STRING]),
    "StringToHashBucketStrong": ({"num_buckets": 7, "key": [1, 2]}, [STRING]),
    "StringUpper": ({}, [STRING]),
    "Substr": ({}, [STRING, ints(0, 0), ints(1, 1)]),
    "TensorScatterUpdate": ({}, [X, ints(1, 2).reshape(2, 1), X[:2]]),
    "TensorStridedSliceUpdate": ({}, [X, ints(0, 0), ints(2, 3), ints(1, 1), X[2:4, :3].copy()]),
    "Tile": ({}, [GRID, ints(1, 2, 1)]),
    "Transpose": ({}, [GRID, ints(1, 0, 2)]),
    "TruncateDiv": ({}, [ints(-7), ints(2)]),
    "Unique": ({"out_idx": I32}, [ints(1, 2, 1)]),
    "UniqueV2": ({"out_idx": I32}, [ints(1, 2, 1), ints(0)]),
    "UniqueWithCounts": ({"out_idx": I32}, [ints(1, 2, 1)]),
    "UniqueWithCountsV2": ({"out_idx": I32}, [ints(1, 2, 1), ints(0)]),
    "Unpack": ({"num": 3, "axis": 1}, [GRID]),
    "UnravelIndex": ({}, [ints(5), ints(2, 3)]),
    "UpperBound": ({}, [ints(1, 3, 5)[None], ints(4)[None]]),
    "ZerosLike": ({}, [GRID]),
}


@pytest.mark.parametrize("operator", sorted(MOVED))
def test_operators_that_round_nothing_give_what_a_graph_gives(operator):
    """A NodeDef with these attributes, run in a graph, is the reference."""
    attributes, inputs = MOVED[operator]
    results = exact_evaluator.evaluate(operator, attributes, inputs)
    with tf.Graph().as_default() as graph:
        outputs, nodes = run_in_graph(operator, attributes, inputs)
        read = exact_evaluator.read_attributes(nodes[-1])
        with tf.compat.v1.Session(graph=graph) as session:
            expected = session.run(outputs)
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        assert result.shape == other.shape and result.dtype == other.dtype
        np.testing.assert_array_equal(result, other)
    again = exact_evaluator.evaluate(operator, read, inputs)  # with all attributes of the NodeDef
    for result, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(result, other)


def run_in_graph(operator, attributes, inputs):
    """Make an operator in the current graph; return its outputs and the NodeDefs of the graph."""
    constants = [tf.constant(each) for each in inputs]
    definition = tf.raw_ops.__dict__[operator]
    results = definition(
        **exact_data_movement.name_arguments(operator, attributes, constants), **attributes_of(operator, attributes)
    )
    outputs = tf.nest.flatten(results)
    return outputs, tf.compat.v1.get_default_graph().as_graph_def().node


def attributes_of(operator, attributes):
    """Return those that `tf.raw_ops` does not take from the tensors, under its names."""
    inferred = ("N", "T", "num_row_partition_tensors")
    return {
        exact_data_movement.RENAMED.get(name, name): value for name, value in attributes.items() if name not in inferred
    }


def test_the_table_of_moves_is_tried_whole():
    assert set(MOVED) == exact_evaluator.MOVED | exact_data_movement.INTEGERS


@pytest.mark.parametrize(
    "operator", ["Sum", "Mul", "AddV2", "Maximum", "FloorDiv", "FloorMod", "MatMul", "Range", "Cumsum"]
)
def test_integers_are_computed_by_tensorflow(operator):
    x = ints(7, -8, 9).reshape(3, 1)
    inputs = {"Sum": [x, ints(0)], "MatMul": [x, x.T], "Range": [*ints(1, 9, 3)], "Cumsum": [x, np.int32(0)]}
    (result,) = exact_evaluator.evaluate(operator, {}, inputs.get(operator, [x, ints(2, -3)]))
    assert result.dtype == np.int32


def test_operators_outside_the_table_are_refused():
    x = X.astype(np.float32)
    for operator in ("RandomUniform", "FakeQuantWithMinMaxArgs", "Qr", "Svd", "ReadVariableOp", "NoSuchOperator"):
        assert exact_evaluator.evaluate(operator, {}, [x]) is None
    assert exact_evaluator.evaluate("Cast", {"DstT": I32}, [np.float32([1e10])]) is None
    assert exact_evaluator.evaluate("Cast", {"DstT": I32}, [np.float32([np.nan])]) is None
    assert exact_evaluator.evaluate("Reshape", {}, [x, ints(5, 5)]) is None
    assert exact_evaluator.evaluate("AddV2", {}, [x, x[:, :3]]) is None
    assert exact_evaluator.evaluate("MatMul", {}, [x, x]) is None
    assert exact_evaluator.evaluate("Svd", {}, [Z]) is None
    image, half = np.ones((1, 14, 14, 1), np.float32), np.float32([0.5, 0.5])
    settings = {"kernel_type": "gaussian", "antialias": False}
    assert exact_evaluator.evaluate("ScaleAndTranslate", settings, [image, ints(7, 7), half, 0 * half]) is None


HALF, BRAIN = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
ODD = np.array([-7, -1.607, -2.111, -3.03, -1.3125, -0.3007, 2.5], F64)
ZEROS, ANY = np.float32([0, 0, 0, 0]), np.float32([np.nan, 1, np.inf, -2])
# Cases in which TensorFlow's kernels on any CPU give the same bits
EDGE_CASES = {
    "a slope is rounded to float16": ("LeakyRelu", {"alpha": 0.2}, [ODD.astype(HALF)]),
    "a slope is rounded to bfloat16": ("LeakyRelu", {"alpha": 0.3}, [ODD.astype(BRAIN)]),
    "zero over anything": ("Xdivy", {}, [ZEROS, ANY]),
    "zero times a logarithm": ("Xlogy", {}, [ZEROS, ANY]),
    "zero times a logarithm of more": ("Xlog1py", {}, [ZEROS, ANY]),
    "the lower limit is above the upper one": ("ClipByValue", {}, [np.float32([-2, 0, 3]), *np.float32([1, -1])]),
    "a limit is no number": ("ClipByValue", {}, [np.float32([-2, np.nan, 3]), *np.float32([0, np.nan])]),
    "the largest of no bfloat16": ("UnsortedSegmentMax", {}, [ODD.astype(BRAIN), ints(*[1] * 7), np.int32(3)]),
    "the smallest of no bfloat16": ("UnsortedSegmentMin", {}, [ODD.astype(BRAIN), ints(*[1] * 7), np.int32(3)]),
    "the smallest of no float16": ("UnsortedSegmentMin", {}, [ODD.astype(HALF), ints(*[1] * 7), np.int32(3)]),
    "an endless line": ("LinSpace", {}, [np.float32(1), np.float32(np.inf), np.int32(3)]),
    "a NaN before nothing": (
        "CumulativeLogsumexp",
        {"exclusive": False, "reverse": False},
        [np.float32([np.inf, np.inf, 1, -np.inf]), np.int32(0)],
    ),
}


@pytest.mark.parametrize("case", EDGE_CASES.values(), ids=EDGE_CASES)
def test_edge_cases_are_tensorflows_bit_for_bit(case):
    (result,), (expected,) = exact_evaluator.evaluate(*case), exact_data_movement.run_kernel(*case)
    assert result.dtype == expected.dtype
    result, expected = result.astype(F64), expected.astype(F64)
    np.testing.assert_array_equal(result, expected)
    assert not (np.signbit(result) != np.signbit(expected))[~np.isnan(result)].any()


REFUSED = {
    "more than there are": ("TopKV2", {}, [X, np.int32(12)]),
    "fewer than none": ("TopKV2", {}, [X, np.int32(-1)]),
    "a range away from its end": ("Range", {}, list(np.float32([5, 0, 1]))),
    "segments out of order": ("SegmentSum", {}, [X[:3], ints(0, 2, 1)]),
    "a segment before the first": ("SegmentMax", {}, [X[:3], ints(-1, 0, 1)]),
    "a segment behind the last": ("UnsortedSegmentSum", {}, [X[:3], ints(0, 7, 1), np.int32(5)]),
    "a sparse segment behind the last": (
        "SparseSegmentSumWithNumSegments",
        {},
        [X, ints(0, 1), ints(0, 3), np.int32(2)],
    ),
    "a negative row": ("SparseSegmentSum", {}, [X, ints(0, -1), ints(0, 1)]),
    "an empty window": (
        "Conv2D",
        {"strides": [1] * 4, "padding": "VALID"},
        [SMALL, np.zeros((0, 0, 4, 1), np.float32)],
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_inputs_that_tensorflow_refuses_are_refused(case):
    assert exact_data_movement.run_kernel(*case) is None
    assert exact_evaluator.evaluate(*case) is None


def test_tensorflow_leaves_this_process_with_subnormal_numbers():
    """TensorFlow's kernels take subnormal numbers for zero; what is computed afterwards here does not."""
    tiny = np.float32([1e-40])
    exact_data_movement.run_kernel("AddV2", {}, [tiny, tiny])
    assert (exact_evaluator.evaluate("AddV2", {}, [tiny, tiny])[0] == tiny * np.float32(2)).all()
    assert exact_evaluator.evaluate("Equal", {}, [tiny, np.float32([0])])[0].tolist() == [False]


@pytest.mark.parametrize("operator", sorted(exact_evaluator.OPERATORS))
def test_no_attribute_is_lost_on_the_way_to_a_kernel(operator):
    definition = op_def_registry.get(operator)
    arguments = definition.input_arg
    inferred = {name for each in arguments for name in (each.type_attr, each.number_attr, each.type_list_attr)}
    passed = {each.name for each in definition.attr} - inferred
    taken = inspect.signature(getattr(tf.raw_ops, operator)).parameters
    assert {exact_data_movement.RENAMED.get(name, name) for name in passed} <= set(taken)
    assert not definition.deprecation.version
