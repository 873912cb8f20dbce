"""The set of one-operator models: operators, element types, ranks and options, as a converter would write them."""

from __future__ import annotations

from collections.abc import Iterator

from one_op import RELU, RELU6, RELU_N1, SAME, TANH, VALID, Case, T, bias, ints, pads, weight

REAL = ("float32", "int8", "int16")
IMAGE = (1, 8, 8, 4)
UNARY = (
    *("ABS", "NEG", "RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "LEAKY_RELU", "EXP"),
    *("LOG", "SQRT", "RSQRT", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE", "GELU", "SIGN"),
)
UNARY_OPTIONS = {
    "LEAKY_RELU": ("LeakyReluOptions", {"alpha": 0.1}),
    "GELU": ("GeluOptions", {"approximate": False}),
    "ABS": ("AbsOptions", {}),
    "NEG": ("NegOptions", {}),
    "EXP": ("ExpOptions", {}),
    "COS": ("CosOptions", {}),
    "SQUARE": ("SquareOptions", {}),
    "HARD_SWISH": ("HardSwishOptions", {}),
}
OUT = {
    ("int8", "LOGISTIC"): (1 / 256, -128),
    ("int8", "TANH"): (1 / 128, 0),
    ("int8", "SOFTMAX"): (1 / 256, -128),
    ("int16", "LOGISTIC"): (1 / 32768, 0),
    ("int16", "TANH"): (1 / 32768, 0),
    ("int16", "SOFTMAX"): (1 / 32768, 0),
}
BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW", "FLOOR_DIV", "FLOOR_MOD")
BINARY_OPTIONS = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "POW": "PowOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions",
    "FLOOR_DIV": "FloorDivOptions",
    "FLOOR_MOD": "FloorModOptions",
}
COMPARISONS = {
    "EQUAL": "EqualOptions",
    "NOT_EQUAL": "NotEqualOptions",
    "LESS": "LessOptions",
    "LESS_EQUAL": "LessEqualOptions",
    "GREATER": "GreaterOptions",
    "GREATER_EQUAL": "GreaterEqualOptions",
}
REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


def out(op: str, shape: tuple[int, ...], type: str) -> T:
    scale, zero_point = OUT.get((type, op), (None, None))
    return T(shape, type, scale=scale, zero_point=zero_point)


def unary() -> Iterator[Case]:
    for op in UNARY:
        kind, options = UNARY_OPTIONS.get(op, ("", {}))
        for type in REAL:
            yield Case(f"{op}_{type}", op, (T(IMAGE, type),), (out(op, IMAGE, type),), kind, options)
    for rank in (1, 2, 3, 5):
        shape = (1, 8, 8, 4, 2)[:rank] if rank > 1 else (16,)
        yield Case(f"LOGISTIC_rank{rank}", "LOGISTIC", (T(shape, "float32"),), (T(shape, "float32"),))
        yield Case(f"RELU_int8_rank{rank}", "RELU", (T(shape, "int8"),), (T(shape, "int8"),))
    yield Case("ABS_int32", "ABS", (T(IMAGE, "int32"),), (T(IMAGE, "int32"),), "AbsOptions")


def binary() -> Iterator[Case]:
    for op in BINARY:
        for type in (*REAL, "int32"):
            yield Case(f"{op}_{type}", op, (T(IMAGE, type), T(IMAGE, type)), (T(IMAGE, type),), BINARY_OPTIONS[op])
    for op in ("ADD", "MUL"):
        for type in ("float32", "int8"):
            kind = BINARY_OPTIONS[op]
            yield Case(f"{op}_{type}_const", op, (T(IMAGE, type), weight((4,), type)), (T(IMAGE, type),), kind)
            for name, code in (("relu", RELU), ("relu6", RELU6), ("tanh", TANH)):
                options = {"fusedActivationFunction": code}
                pair = (T(IMAGE, type), T(IMAGE, type))
                yield Case(f"{op}_{type}_{name}", op, pair, (T(IMAGE, type),), kind, options)
            five = (1, 2, 8, 8, 4)
            yield Case(f"{op}_{type}_rank5", op, (T(five, type), T(five, type)), (T(five, type),), kind)
            both = (T((1, 8, 1, 4), type), T((1, 1, 8, 4), type))
            yield Case(f"{op}_{type}_broadcast_both", op, both, (T(IMAGE, type),), kind)
            batched = (3, 8, 8, 4)
            yield Case(f"{op}_{type}_batch3", op, (T(batched, type), T(batched, type)), (T(batched, type),), kind)
    for op, kind in COMPARISONS.items():
        for type in ("float32", "int8", "int32"):
            yield Case(f"{op}_{type}", op, (T(IMAGE, type), T(IMAGE, type)), (T(IMAGE, "bool"),), kind)
    for op, kind in (("LOGICAL_AND", "LogicalAndOptions"), ("LOGICAL_OR", "LogicalOrOptions")):
        yield Case(op, op, (T(IMAGE, "bool"), T(IMAGE, "bool")), (T(IMAGE, "bool"),), kind)
    yield Case("LOGICAL_NOT", "LOGICAL_NOT", (T(IMAGE, "bool"),), (T(IMAGE, "bool"),), "LogicalNotOptions")


def conv(
    name: str,
    type: str,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: int = SAME,
    activation: int = 0,
    depthwise: int = 0,
    size: int = 8,
    batch: int = 1,
) -> Case:
    span = (kernel - 1) * dilation + 1
    side = -(-size // stride) if padding == SAME else -(-(size - span + 1) // stride)
    weights = "float32" if type == "float32" else "int8"
    options = {
        "padding": padding,
        "strideW": stride,
        "strideH": stride,
        "fusedActivationFunction": activation,
        "dilationWFactor": dilation,
        "dilationHFactor": dilation,
    }
    given = T((batch, size, size, 4), type)
    if depthwise:
        shape, op, kind, axis = (1, kernel, kernel, 4 * depthwise), "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", 3
        options["depthMultiplier"] = depthwise
    else:
        shape, op, kind, axis = (8, kernel, kernel, 4), "CONV_2D", "Conv2DOptions", 0
    channels = shape[axis]
    inputs = (given, weight(shape, weights, axis), bias(channels, type))
    return Case(name, op, inputs, (T((batch, side, side, channels), type),), kind, options)


def convolutions() -> Iterator[Case]:
    for type in REAL:
        for depthwise, what in ((0, "CONV_2D"), (1, "DEPTHWISE_CONV_2D")):
            yield conv(f"{what}_{type}", type, depthwise=depthwise)
            yield conv(f"{what}_{type}_stride2", type, stride=2, depthwise=depthwise)
            yield conv(f"{what}_{type}_stride4", type, stride=4, depthwise=depthwise, size=16)
            yield conv(f"{what}_{type}_dilation2", type, dilation=2, depthwise=depthwise)
            yield conv(f"{what}_{type}_valid", type, padding=VALID, depthwise=depthwise)
            yield conv(f"{what}_{type}_relu6", type, activation=RELU6, depthwise=depthwise)
            yield conv(f"{what}_{type}_relu_n1", type, activation=RELU_N1, depthwise=depthwise)
            yield conv(f"{what}_{type}_batch2", type, batch=2, depthwise=depthwise)
        yield conv(f"DEPTHWISE_CONV_2D_{type}_multiplier2", type, depthwise=2)
    yield conv("CONV_2D_int8_kernel65", "int8", kernel=65, size=66, padding=VALID)
    yield conv("CONV_2D_float32_kernel17", "float32", kernel=17, size=32)
    for type in ("float32", "int8"):
        kernel = weight((8, 2, 2, 4), type, 0)
        options = {"padding": SAME, "strideW": 2, "strideH": 2}
        shapes = (ints(1, 16, 16, 8), kernel, T(IMAGE, type), bias(8, type))
        yield Case(
            f"TRANSPOSE_CONV_{type}",
            "TRANSPOSE_CONV",
            shapes,
            (T((1, 16, 16, 8), type),),
            "TransposeConvOptions",
            options,
            3,
        )
    volume = weight((3, 3, 3, 4, 8), "float32")
    options = {
        "padding": SAME,
        "strideD": 1,
        "strideW": 1,
        "strideH": 1,
        "dilationDFactor": 1,
        "dilationWFactor": 1,
        "dilationHFactor": 1,
    }
    yield Case(
        "CONV_3D_float32",
        "CONV_3D",
        (T((1, 4, 8, 8, 4), "float32"), volume, bias(8, "float32")),
        (T((1, 4, 8, 8, 8), "float32"),),
        "Conv3DOptions",
        options,
    )


def products() -> Iterator[Case]:
    for type in REAL:
        weights = "float32" if type == "float32" else "int8"
        for batch in (1, 3):
            inputs = (T((batch, 16), type), weight((8, 16), weights), bias(8, type))
            yield Case(
                f"FULLY_CONNECTED_{type}_batch{batch}",
                "FULLY_CONNECTED",
                inputs,
                (T((batch, 8), type),),
                "FullyConnectedOptions",
            )
        inputs = (T((1, 4, 16), type), weight((8, 16), weights), bias(8, type))
        yield Case(
            f"FULLY_CONNECTED_{type}_rank3",
            "FULLY_CONNECTED",
            inputs,
            (T((1, 4, 8), type),),
            "FullyConnectedOptions",
            {"keepNumDims": True},
        )
        pair = (T((1, 4, 16), type), T((1, 16, 8), type))
        yield Case(f"BATCH_MATMUL_{type}", "BATCH_MATMUL", pair, (T((1, 4, 8), type),), "BatchMatMulOptions")
    inputs = (T((1, 16), "float32"), weight((8, 16), "int8"), bias(8, "float32"))
    yield Case("FULLY_CONNECTED_hybrid", "FULLY_CONNECTED", inputs, (T((1, 8), "float32"),), "FullyConnectedOptions")
    moving = (T((1, 16), "float32"), T((8, 16), "float32"), None)
    yield Case(
        "FULLY_CONNECTED_moving_weights", "FULLY_CONNECTED", moving, (T((1, 8), "float32"),), "FullyConnectedOptions"
    )


def pools() -> Iterator[Case]:
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        for type in REAL:
            for name, size, stride in (("", 2, 2), ("_3x3", 3, 1), ("_whole", 8, 8)):
                side = -(-(8 - size + 1) // stride)
                options = {
                    "padding": VALID,
                    "strideW": stride,
                    "strideH": stride,
                    "filterWidth": size,
                    "filterHeight": size,
                }
                yield Case(
                    f"{op}_{type}{name}",
                    op,
                    (T(IMAGE, type),),
                    (T((1, side, side, 4), type),),
                    "Pool2DOptions",
                    options,
                )


def reductions() -> Iterator[Case]:
    for op in REDUCTIONS:
        for type in REAL:
            yield Case(
                f"{op}_{type}_hw",
                op,
                (T(IMAGE, type), ints(1, 2)),
                (T((1, 1, 1, 4), type),),
                "ReducerOptions",
                {"keepDims": True},
            )
            yield Case(f"{op}_{type}_channels", op, (T(IMAGE, type), ints(3)), (T((1, 8, 8), type),), "ReducerOptions")
    for op, kind in (("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")):
        for type in ("float32", "int8"):
            yield Case(
                f"{op}_{type}",
                op,
                (T(IMAGE, type), ints(3)),
                (T((1, 8, 8), "int32", raw=True),),
                kind,
                {"outputType": 2},
            )
    for type in ("float32", "int32"):
        yield Case(
            f"CUMSUM_{type}",
            "CUMSUM",
            (T((1, 16), type), T((), "int32", 1, raw=True)),
            (T((1, 16), type),),
            "CumsumOptions",
        )


def shapes() -> Iterator[Case]:
    for type in (*REAL, "int32"):
        yield Case(
            f"RESHAPE_{type}",
            "RESHAPE",
            (T(IMAGE, type), ints(1, 256)),
            (T((1, 256), type),),
            "ReshapeOptions",
            {"newShape": [1, 256]},
        )
        yield Case(
            f"TRANSPOSE_{type}", "TRANSPOSE", (T(IMAGE, type), ints(0, 2, 1, 3)), (T(IMAGE, type),), "TransposeOptions"
        )
        yield Case(
            f"CONCATENATION_{type}",
            "CONCATENATION",
            (T(IMAGE, type), T(IMAGE, type)),
            (T((1, 8, 8, 8), type),),
            "ConcatenationOptions",
            {"axis": 3},
        )
        yield Case(
            f"PAD_{type}",
            "PAD",
            (T(IMAGE, type), pads((0, 0), (1, 1), (1, 1), (0, 0))),
            (T((1, 10, 10, 4), type),),
            "PadOptions",
        )
        yield Case(
            f"STRIDED_SLICE_{type}",
            "STRIDED_SLICE",
            (T(IMAGE, type), ints(0, 0, 0, 0), ints(1, 8, 8, 4), ints(1, 2, 2, 1)),
            (T((1, 4, 4, 4), type),),
            "StridedSliceOptions",
        )
        yield Case(
            f"SLICE_{type}",
            "SLICE",
            (T(IMAGE, type), ints(0, 1, 1, 0), ints(1, 4, 4, 4)),
            (T((1, 4, 4, 4), type),),
            "SliceOptions",
        )
        yield Case(
            f"GATHER_{type}",
            "GATHER",
            (T(IMAGE, type), ints(0, 2)),
            (T((1, 2, 8, 4), type),),
            "GatherOptions",
            {"axis": 1},
        )
        yield Case(
            f"SPLIT_{type}",
            "SPLIT",
            (T((), "int32", 3, raw=True), T(IMAGE, type)),
            (T((1, 8, 8, 2), type), T((1, 8, 8, 2), type)),
            "SplitOptions",
            {"numSplits": 2},
        )
        yield Case(
            f"PACK_{type}",
            "PACK",
            (T((8, 4), type), T((8, 4), type)),
            (T((2, 8, 4), type),),
            "PackOptions",
            {"valuesCount": 2, "axis": 0},
        )
        yield Case(
            f"UNPACK_{type}",
            "UNPACK",
            (T((2, 8, 4), type),),
            (T((8, 4), type), T((8, 4), type)),
            "UnpackOptions",
            {"num": 2, "axis": 0},
        )
        yield Case(f"TILE_{type}", "TILE", (T((1, 8), type), ints(1, 2)), (T((1, 16), type),), "TileOptions")
        yield Case(
            f"EXPAND_DIMS_{type}",
            "EXPAND_DIMS",
            (T((1, 8), type), T((), "int32", 1, raw=True)),
            (T((1, 1, 8), type),),
            "ExpandDimsOptions",
        )
        yield Case(
            f"SQUEEZE_{type}",
            "SQUEEZE",
            (T((1, 1, 8), type),),
            (T((1, 8), type),),
            "SqueezeOptions",
            {"squeezeDims": [1]},
        )
        yield Case(
            f"REVERSE_V2_{type}", "REVERSE_V2", (T((1, 8), type), ints(1)), (T((1, 8), type),), "ReverseV2Options"
        )
    for type in ("float32", "int8"):
        yield Case(
            f"MIRROR_PAD_{type}",
            "MIRROR_PAD",
            (T(IMAGE, type), pads((0, 0), (1, 1), (1, 1), (0, 0))),
            (T((1, 10, 10, 4), type),),
            "MirrorPadOptions",
            {"mode": 0},
        )
        yield Case(
            f"SPACE_TO_DEPTH_{type}",
            "SPACE_TO_DEPTH",
            (T(IMAGE, type),),
            (T((1, 4, 4, 16), type),),
            "SpaceToDepthOptions",
            {"blockSize": 2},
        )
        yield Case(
            f"DEPTH_TO_SPACE_{type}",
            "DEPTH_TO_SPACE",
            (T(IMAGE, type),),
            (T((1, 16, 16, 1), type),),
            "DepthToSpaceOptions",
            {"blockSize": 2},
        )
        yield Case(
            f"SPACE_TO_BATCH_ND_{type}",
            "SPACE_TO_BATCH_ND",
            (T(IMAGE, type), ints(2, 2), pads((0, 0), (0, 0))),
            (T((4, 4, 4, 4), type),),
            "SpaceToBatchNDOptions",
        )
        yield Case(
            f"BATCH_TO_SPACE_ND_{type}",
            "BATCH_TO_SPACE_ND",
            (T((4, 4, 4, 4), type), ints(2, 2), pads((0, 0), (0, 0))),
            (T(IMAGE, type),),
            "BatchToSpaceNDOptions",
        )
        for op, kind in (
            ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
            ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
        ):
            for size in (16, 12):
                yield Case(
                    f"{op}_{type}_{size}", op, (T(IMAGE, type), ints(size, size)), (T((1, size, size, 4), type),), kind
                )
        yield Case(
            f"PADV2_{type}",
            "PADV2",
            (T(IMAGE, type), pads((0, 0), (1, 1), (1, 1), (0, 0)), T((1,), type, [0])),
            (T((1, 10, 10, 4), type),),
            "PadV2Options",
        )
    yield Case(
        "BROADCAST_TO_float32",
        "BROADCAST_TO",
        (T((1, 8), "float32"), ints(4, 8)),
        (T((4, 8), "float32"),),
        "BroadcastToOptions",
        version=2,
    )
    yield Case("SHAPE_float32", "SHAPE", (T(IMAGE, "float32"),), (T((4,), "int32"),), "ShapeOptions", {"outType": 2})


def others() -> Iterator[Case]:
    for type in REAL:
        for rank in (1, 2, 4):
            shape = {1: (16,), 2: (1, 16), 4: IMAGE}[rank]
            yield Case(
                f"SOFTMAX_{type}_rank{rank}",
                "SOFTMAX",
                (T(shape, type),),
                (out("SOFTMAX", shape, type),),
                "SoftmaxOptions",
                {"beta": 1.0},
            )
    for type in ("float32", "int8"):
        yield Case(
            f"LOG_SOFTMAX_{type}",
            "LOG_SOFTMAX",
            (T((1, 16), type),),
            (T((1, 16), type, scale=1 / 16 if type == "int8" else None, zero_point=127 if type == "int8" else None),),
            "LogSoftmaxOptions",
        )
        yield Case(
            f"L2_NORMALIZATION_{type}",
            "L2_NORMALIZATION",
            (T((1, 16), type),),
            (T((1, 16), type, scale=1 / 128 if type == "int8" else None),),
            "L2NormOptions",
        )
        yield Case(f"PRELU_{type}", "PRELU", (T(IMAGE, type), weight((1, 1, 4), type)), (T(IMAGE, type),))
        yield Case(
            f"TOPK_V2_{type}",
            "TOPK_V2",
            (T((1, 16), type), T((), "int32", 3, raw=True)),
            (T((1, 3), type), T((1, 3), "int32", raw=True)),
            "TopKV2Options",
        )
        yield Case(
            f"SELECT_V2_{type}",
            "SELECT_V2",
            (T(IMAGE, "bool"), T(IMAGE, type), T(IMAGE, type)),
            (T(IMAGE, type),),
            "SelectV2Options",
        )
        yield Case(
            f"QUANTIZE_{type}_to_int8",
            "QUANTIZE",
            (T(IMAGE, type),),
            (T(IMAGE, "int8", scale=1 / 16),),
            "QuantizeOptions",
        )
    for type in ("int8", "int16"):
        yield Case(f"DEQUANTIZE_{type}", "DEQUANTIZE", (T(IMAGE, type),), (T(IMAGE, "float32"),), "DequantizeOptions")
    for a, b in (("float32", "int32"), ("int32", "float32"), ("int8", "float32"), ("bool", "float32")):
        codes = {"float32": 0, "int32": 2, "int8": 9, "bool": 6}
        yield Case(
            f"CAST_{a}_to_{b}",
            "CAST",
            (T(IMAGE, a, raw=True),),
            (T(IMAGE, b),),
            "CastOptions",
            {"inDataType": codes[a], "outDataType": codes[b]},
        )
    inputs = (T((4,), "int32"), weight((10, 8), "float32"))
    yield Case("EMBEDDING_LOOKUP_float32", "EMBEDDING_LOOKUP", inputs, (T((4, 8), "float32"),))
    inputs = (T((1, 4), "int32", raw=True), T((), "int32", 8, raw=True), T((), "float32", 1.0), T((), "float32", 0.0))
    yield Case("ONE_HOT_float32", "ONE_HOT", inputs, (T((1, 4, 8), "float32"),), "OneHotOptions", {"axis": -1})
    yield Case(
        "GATHER_ND_float32",
        "GATHER_ND",
        (T((4, 8), "float32"), T((2, 1), "int32", [[0], [2]], raw=True)),
        (T((2, 8), "float32"),),
        "GatherNdOptions",
    )


CASES: dict[str, Case] = {
    case.name: case
    for make in (unary, binary, convolutions, products, pools, reductions, shapes, others)
    for case in make()
}
