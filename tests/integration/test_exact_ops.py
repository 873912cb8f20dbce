"""Operators on constants: they agree with TensorFlow, bit by bit where TensorFlow rounds exactly."""

import numpy as np
import pytest
from exact_cases import F64, list_cases, name_cases

from tflbuild.workers import exact_moves, exact_ops

pytestmark = pytest.mark.heavy

# TensorFlow's own float32 kernels give these bits too, on every CPU.
SAME_BITS = {
    *("Abs", "Add", "AddV2", "ApproximateEqual", "ArgMax", "ArgMin", "BiasAdd", "Bucketize", "Cast", "Ceil"),
    *("CheckNumerics", "ClipByValue", "Complex", "Conj", "Dilation2D", "Div", "DivNoNan", "Equal", "Floor", "FloorDiv"),
    *("FloorMod", "Greater", "GreaterEqual", "Imag", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Less"),
    *("LessEqual", "LinSpace", "Max", "MaxPool", "MaxPool3D", "Maximum", "Min", "Minimum", "Mod", "Mul", "MulNoNan"),
    *("Neg", "NextAfter", "NotEqual", "Range", "Real", "RealDiv", "Relu", "Relu6", "Rint", "Round", "SegmentMax"),
    *("SegmentMin", "Sign", "Sqrt", "Square", "SquaredDifference", "Sub", "TensorScatterMax", "TensorScatterMin"),
    *("TopKV2", "TruncateMod", "UnsortedSegmentMax", "UnsortedSegmentMin", "Where", "Xdivy"),
}

# TensorFlow's kernels of these compute in float32 whatever the type is, or with constants rounded to the type
COARSE = {"Bucketize", "LRN", "ResizeBicubic", "ResizeBilinear", "Erfinv", "Ndtri", "Selu"}
WIDER = {np.dtype(np.float32): F64, np.dtype(np.complex64): np.dtype(np.complex128)}


def widen_case(attributes, inputs):
    """The same case in float64."""
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
    results = exact_ops.evaluate(operator, attributes, inputs)
    expected = exact_moves.run_kernel(operator, attributes, inputs)
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


@pytest.mark.parametrize("case", list_cases(), ids=name_cases())
def test_a_result_is_the_exact_one_rounded_once(case):
    operator, attributes, inputs = case
    if operator in SAME_BITS or operator in COARSE:
        pytest.skip("compared bit by bit, or TensorFlow's float64 kernel is no reference")
    exact = exact_moves.run_kernel(operator, *widen_case(attributes, inputs))
    if exact is None:
        pytest.skip("TensorFlow has no float64 kernel")
    results = exact_ops.evaluate(operator, attributes, inputs)
    for result, reference in list(zip(results, exact, strict=True))[:1]:
        assert measure_error(result, reference) < 0.5001


def test_every_operator_that_rounds_has_a_case():
    aliases = {
        *("AccumulateNV2", "BatchMatMul", "BatchMatrixInverse", "BatchNormWithGlobalNormalization", "BiasAddV1"),
        *("CheckNumericsV2", "Conv3DBackpropInputV2", "FFT3D", "IFFT3D", "IRFFT3D", "MaxPoolV2", "RFFT3D"),
        *("ScatterNdNonAliasingAdd", "SparseSegmentMeanWithNumSegments", "SparseSegmentSqrtNWithNumSegments"),
        *("SparseSegmentSumWithNumSegments", "TopK"),
    }
    assert set(exact_ops.ROUNDED) - {operator for operator, *_ in list_cases()} == aliases
