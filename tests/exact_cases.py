"""Cases of operators on constants: `exact_ops` is compared with TensorFlow on them, and digests are made of them.

Nothing here imports TensorFlow, and no value is made by a random generator or a function that chooses instructions
by CPU: `python tests/exact_battery.py` gives the same digests on every machine.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from tflbuild.exact.exact_algebra import multiply_matrices

F32, F64, I32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)


def make_values(shape, low=-4.0, high=4.0, seed=1, dtype=F32):
    """Return values between two limits by a linear congruential generator (Knuth's MMIX multiplier) in integers."""
    state, values = seed * 2654435761 + 12345, []
    for _ in range(int(np.prod(shape, dtype=np.int64))):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(low + (high - low) * ((state >> 11) / 2**53))
    return np.array(values, np.float64).reshape(shape).astype(dtype)


def ints(*values):
    return np.array(values, I32)


WIDE = np.concatenate([make_values(400), make_values(100, -90, 90, 2), make_values(50, -1e-3, 1e-3, 3)])
POSITIVE = np.concatenate([make_values(400, 0, 4, 4), make_values(100, 0, 1e6, 5), make_values(50, 0, 1e-6, 6)])
UNIT = np.concatenate([make_values(400, -1, 1, 7), make_values(50, -1e-3, 1e-3, 8), np.float32([0.999999, -0.999999])])
EDGES = np.float32([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan, 2.5, -2.5, 3.5, 1e30, -1e30, 6.0])
DOMAINS = {
    **dict.fromkeys(("Acos", "Asin", "Atanh", "Erfinv"), UNIT),
    **dict.fromkeys(("Log", "Sqrt", "Rsqrt", "Lgamma", "Digamma"), POSITIVE),
    "Ndtri": np.abs(UNIT),
    "Log1p": POSITIVE - np.float32(0.5),
    "Acosh": POSITIVE + np.float32(1),
}
UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Digamma", "Elu", "Erf", "Erfc"),
    *("Erfinv", "Exp", "Expm1", "Floor", "Inv", "Lgamma", "Log", "Log1p", "Ndtri", "Neg", "Reciprocal", "Relu"),
    *("Relu6", "Rint", "Round", "Rsqrt", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Square"),
    *("Tan", "Tanh", "LeakyRelu", "Selu", "BesselI0", "BesselI0e", "BesselI1", "BesselI1e"),
)
BINARY = (
    *("Add", "AddV2", "Atan2", "Div", "DivNoNan", "FloorDiv", "FloorMod", "Maximum", "Minimum", "Mod", "Mul"),
    *("MulNoNan", "NextAfter", "RealDiv", "SquaredDifference", "Sub", "TruncateMod", "Xdivy"),
)
COMPARISONS = ("Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual", "ApproximateEqual")
X, Y = make_values((37, 11), seed=9), make_values((37, 11), seed=10)
SMALL = make_values((2, 6, 7, 4), seed=11)
SQUARE = make_values((3, 5, 5), seed=12)
POSITIVE_MATRIX = (multiply_matrices(SQUARE, np.swapaxes(SQUARE, -1, -2)) + 5 * np.eye(5)).astype(F32)
Z = np.empty((3, 12), np.complex64)
Z.real, Z.imag = make_values((3, 12), seed=13), make_values((3, 12), seed=14)
WINDOW = {"strides": [1, 2, 1, 1], "padding": "SAME"}


def _list_elementwise():
    for name in UNARY:
        yield name, {}, [DOMAINS.get(name, WIDE)]
    for name in BINARY:
        yield name, {}, [X, Y]
        yield name, {}, [X, Y[:, :1]]
    for name in COMPARISONS:
        yield name, {}, [X, np.where(Y > 1, X, Y)]
    yield from ((name, {}, [EDGES]) for name in ("IsNan", "IsInf", "IsFinite"))
    yield "Pow", {}, [np.abs(X), Y]
    yield "Pow", {}, [X, np.float32([3.0])]
    yield "Xlogy", {}, [X, np.abs(Y)]
    yield "Xlog1py", {}, [X, np.abs(Y)]
    yield "AddN", {}, [X, Y, X, X]
    yield "AccumulateNV2", {"N": 3, "shape": [37, 11]}, [X, Y, X]
    yield "ClipByValue", {}, [X, np.float32(-1), np.float32(1.5)]
    yield from (("Cast", {"DstT": np.dtype(each)}, [X]) for each in ("int32", "int8", "bool", "float16", "float64"))
    yield "Cast", {"DstT": F32}, [make_values(50, -1e9, 1e9, dtype=I32)]
    yield "Cast", {"DstT": F32}, [X.astype(F64) * 1.1]
    yield from ((name, {}, [Z, Z[::-1]]) for name in ("AddV2", "Sub", "Mul", "RealDiv"))
    yield from ((name, {}, [Z]) for name in ("Neg", "Conj", "Square", "Exp", "Log"))
    yield from ((name, {"Tout": F32}, [Z]) for name in ("Real", "Imag", "ComplexAbs", "Angle"))
    yield "Complex", {"Tout": np.dtype(np.complex64)}, [X, Y]


def _list_reductions():
    for name in ("EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"):
        yield name, {"keep_dims": False}, [SMALL, ints(1, 2)]
        yield name, {"keep_dims": True}, [X, ints(-1)]
    yield "Sum", {"keep_dims": False}, [Z, ints(0)]
    for name in ("Cumsum", "Cumprod", "CumulativeLogsumexp"):
        yield name, {"exclusive": False, "reverse": False}, [X, np.int32(0)]
        yield name, {"exclusive": True, "reverse": True}, [X, np.int32(1)]
    yield from ((name, {"output_type": np.dtype(np.int64)}, [X, np.int32(1)]) for name in ("ArgMax", "ArgMin"))
    yield "TopKV2", {"sorted": True}, [np.round(X), np.int32(4)]
    yield from ((name, {}, [X]) for name in ("L2Loss", "Softmax", "LogSoftmax"))
    ids = ints(0, 0, 1, 3, 3, 3, 4, *[5] * 30)
    yield from ((f"Segment{name}", {}, [X, ids]) for name in ("Max", "Mean", "Min", "Prod", "Sum"))
    for name in ("Max", "Min", "Prod", "Sum"):
        yield f"UnsortedSegment{name}", {}, [X, ids[::-1].copy(), np.int32(7)]
    rows = ints(*[5, 3, 3, 0, 2, 1, 9] * 5, 1, 2)
    for name in ("Mean", "SqrtN", "Sum"):
        yield f"SparseSegment{name}", {}, [X, rows, ids]
        yield f"SparseSegment{name}WithNumSegments", {}, [X, rows, ids, np.int32(8)]
    yield "ScatterNdNonAliasingAdd", {}, [Y, ints(*[1, 2, 1, 0] * 9, 3).reshape(37, 1), X]
    yield "ScatterNd", {}, [ints(*[1, 2, 1, 0] * 9, 3).reshape(37, 1), X, ints(6, 11)]
    for name in ("Add", "Sub", "Max", "Min"):
        yield f"TensorScatter{name}", {}, [Y, ints(*[1, 2, 1, 0] * 9, 3).reshape(37, 1), X]
    yield "Range", {}, [np.float32(5), np.float32(-2), np.float32(-0.7)]
    yield "Range", {}, [np.float32(0), np.float32(10), np.float32(0.1)]
    yield "Range", {}, [np.float16(5), np.float16(-2), np.float16(-0.7)]
    yield "Range", {}, [np.array(each, ml_dtypes.bfloat16) for each in (0, 3, 0.1)]
    yield "LinSpace", {}, [np.float32(0.3), np.float32(8.1), np.int32(41)]
    yield "BiasAdd", {"data_format": "NHWC"}, [X, Y[0]]
    yield "BiasAddV1", {}, [X, Y[0]]
    yield "BiasAdd", {"data_format": "NCHW"}, [SMALL, SMALL[0, :, 0, 0]]
    yield "Where", {}, [np.round(X)]
    rows = np.float32([[-3, -1, 0.5, 2], [0, 1, 1, 3]])
    yield from (
        (name, {"out_type": I32}, [rows, np.float32([[1, 2.5], [1, 9]])]) for name in ("LowerBound", "UpperBound")
    )
    yield "Bucketize", {"boundaries": [-1.5, 0.1, 2.0]}, [X]


def _list_products():
    yield "MatMul", {"transpose_a": False, "transpose_b": True}, [X, Y]
    yield "MatMul", {"transpose_a": True, "transpose_b": False}, [X, Y]
    yield "BatchMatMul", {"adj_x": False, "adj_y": True}, [SMALL, SMALL]
    yield "BatchMatMulV2", {"adj_x": False, "adj_y": True}, [SMALL, SMALL[:1]]
    yield "BatchMatMulV3", {"adj_x": True, "adj_y": False, "Tout": F32}, [SMALL, SMALL]
    yield "MatMul", {"transpose_a": False, "transpose_b": True}, [Z, Z]
    yield "BatchMatMulV2", {"adj_x": True, "adj_y": False}, [Z[None], Z[None]]
    yield "Einsum", {"equation": "ab,cb->ca"}, [Z, Z]
    yield "Einsum", {"equation": "abc,cd->abd"}, [SQUARE, SQUARE[0]]
    yield "Einsum", {"equation": "...ij,...jk->...ik"}, [SMALL[..., :4, :], SMALL[:1, :, :4]]
    yield "Einsum", {"equation": "bhqd,bhkd->bqhk"}, [SMALL, SMALL[..., 1:, :]]
    yield "Einsum", {"equation": "abb->ba"}, [SQUARE]
    yield "Einsum", {"equation": "i,j->ij"}, [X[0], Y[1]]
    yield "Einsum", {"equation": "ij->"}, [X]
    places = np.array([[0, 3], [2, 1], [2, 2], [4, 36]], np.int64)
    sparse = [places, X[0, :4], np.array([5, 37], np.int64)]
    yield "SparseTensorDenseMatMul", {"adjoint_a": False, "adjoint_b": False}, [*sparse, X]
    yield "SparseTensorDenseMatMul", {"adjoint_a": True, "adjoint_b": True}, [*sparse, X[:, :5].copy()]
    for name in ("MatrixInverse", "MatrixDeterminant", "LogMatrixDeterminant"):
        yield name, {}, [POSITIVE_MATRIX]
    yield "Cholesky", {}, [POSITIVE_MATRIX]
    yield "MatrixSolve", {"adjoint": True}, [POSITIVE_MATRIX, SQUARE[..., :2].copy()]
    lower = np.tril(SQUARE) + 3 * np.eye(5, dtype=F32)
    yield "MatrixTriangularSolve", {"lower": True, "adjoint": False}, [lower, SQUARE[..., :2].copy()]
    yield "MatrixTriangularSolve", {"lower": True, "adjoint": True}, [lower, SQUARE[..., :2].copy()]
    yield "MatrixTriangularSolve", {"lower": False, "adjoint": False}, [lower.swapaxes(1, 2).copy(), SQUARE]
    yield "Cross", {}, [X[:, :3].copy(), Y[:, :3].copy()]


def _list_layers():
    filters = make_values((3, 2, 4, 5), seed=15)
    yield "Conv2D", {"strides": [1, 1, 1, 1], "padding": "VALID"}, [SMALL, filters]
    yield "Conv2D", {"strides": [1, 2, 2, 1], "padding": "SAME"}, [SMALL, filters]
    yield "Conv2D", {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, 2, 2, 1]}, [SMALL, filters]
    explicit = {"padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 1, 0, 0]}
    yield "Conv2D", {"strides": [1, 1, 1, 1], **explicit}, [SMALL, filters]
    yield "Conv2D", {"strides": [1, 1, 1, 1], "padding": "SAME"}, [SMALL, make_values((3, 3, 2, 6), seed=16)]
    volume = make_values((1, 4, 5, 6, 2), seed=17)
    yield "Conv3D", {"strides": [1, 1, 2, 1, 1], "padding": "SAME"}, [volume, make_values((2, 3, 2, 2, 3), seed=18)]
    yield "DepthwiseConv2dNative", {"strides": [1, 1, 1, 1], "padding": "SAME"}, [SMALL, filters[..., :2].copy()]
    yield "DepthwiseConv2dNative", {"strides": [1, 2, 2, 1], "padding": "VALID"}, [SMALL, filters[..., :1].copy()]
    back = make_values((3, 3, 5, 4), seed=19)
    sizes = {"SAME": ints(2, 11, 14, 5), "VALID": ints(2, 13, 15, 5)}
    for padding in ("SAME", "VALID"):
        yield "Conv2DBackpropInput", {"strides": [1, 2, 2, 1], "padding": padding}, [sizes[padding], back, SMALL]
    depthwise = {"strides": [1, 2, 2, 1], "padding": "SAME"}
    places = [ints(2, 11, 13, 2), make_values((3, 2, 2, 2), seed=26), SMALL]
    yield "DepthwiseConv2dNativeBackpropInput", depthwise, places
    yield "AdjustContrastv2", {}, [SMALL, np.float32(1.7)]
    volumes = [ints(1, 8, 9, 12, 3), make_values((2, 3, 2, 3, 2), seed=25), volume]
    yield "Conv3DBackpropInputV2", {"strides": [1, 2, 2, 2, 1], "padding": "SAME"}, volumes
    yield "MaxPoolV2", {"padding": "SAME"}, [SMALL, ints(1, 3, 2, 1), ints(1, 2, 1, 1)]
    for padding in ("SAME", "VALID"):
        pool = {"ksize": [1, 3, 2, 1], "strides": [1, 2, 1, 1], "padding": padding}
        yield "AvgPool", pool, [SMALL]
        yield "MaxPool", pool, [SMALL]
    pool = {"ksize": [1, 2, 2, 2, 1], "strides": [1, 2, 2, 2, 1], "padding": "SAME"}
    yield from ((name, pool, [volume]) for name in ("AvgPool3D", "MaxPool3D"))
    dilation = {"strides": [1, 1, 1, 1], "rates": [1, 2, 1, 1], "padding": "SAME"}
    yield "Dilation2D", dilation, [SMALL, make_values((2, 3, 4), seed=20)]
    channels = [make_values(4, 0.1, 2, seed) for seed in (21, 22, 23, 24)]
    for name in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        yield name, {"is_training": False, "epsilon": 1e-3}, [SMALL, *channels]
    yield "LRN", {"depth_radius": 2, "bias": 1.5, "alpha": 0.3, "beta": 0.75}, [SMALL]
    single = np.dtype(np.complex64)
    for name in ("FFT", "IFFT", "FFT2D", "IFFT2D"):
        yield name, {"Tcomplex": single}, [Z]
    yield "RFFT", {"Tcomplex": single, "Treal": F32}, [X, ints(8)]
    yield "RFFT2D", {"Tcomplex": single, "Treal": F32}, [X, ints(30, 10)]
    yield "IRFFT", {"Tcomplex": single, "Treal": F32}, [Z, ints(20)]
    yield from ((name, {"Tcomplex": single}, [Z.reshape(3, 2, 6)]) for name in ("FFT3D", "IFFT3D"))
    yield "RFFT3D", {"Tcomplex": single, "Treal": F32}, [volume[0], ints(4, 4, 2)]
    yield "IRFFT3D", {"Tcomplex": single, "Treal": F32}, [Z.reshape(3, 2, 6), ints(3, 2, 10)]
    yield "IRFFT2D", {"Tcomplex": single, "Treal": F32}, [Z, ints(3, 22)]
    yield "ResizeArea", {"align_corners": False}, [SMALL, ints(4, 9)]
    yield "ResizeArea", {"align_corners": True}, [SMALL, ints(3, 5)]
    kernels = ("lanczos1", "lanczos3", "lanczos5", "gaussian", "triangle", "keyscubic", "mitchellcubic")
    for kernel in kernels:
        scales = np.float32([4 / 6, 9 / 7])
        around = [ints(4, 9), scales, np.float32([0.21, -0.37])]
        for smooth in (True, False):
            yield "ScaleAndTranslate", {"kernel_type": kernel, "antialias": smooth}, [SMALL, *around]
    for name in ("ResizeBilinear", "ResizeBicubic"):
        yield name, {"align_corners": False, "half_pixel_centers": True}, [SMALL, ints(9, 4)]
        yield name, {"align_corners": True, "half_pixel_centers": False}, [SMALL, ints(9, 15)]
        yield name, {"align_corners": False, "half_pixel_centers": False}, [SMALL, ints(4, 21)]
    yield from ((name, {"message": "x"}, [X]) for name in ("CheckNumerics", "CheckNumericsV2"))


def list_cases():
    """Return (operator, attributes, inputs) of every case of an operator that rounds or compares floats."""
    return [*_list_elementwise(), *_list_reductions(), *_list_products(), *_list_layers()]


def name_cases():
    """Return a name for each case: its operator, numbered where there are several."""
    names, count = [], {}
    for operator, *_ in list_cases():
        count[operator] = count.get(operator, 0) + 1
        names.append(f"{operator}-{count[operator]}")
    return names
