"""One-operator models at the edges of what microcontroller targets take: beside CASES, which other targets share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from one_op import RELU, RELU6, SAME, TANH, VALID, Case, T, bias, ints, pads, weight
from one_op_cases import CASES, IMAGE, conv, out

POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
INTS = ("int8", "int16")


def pool(op: str, name: str, size: int, stride: int, side: int, padding: int, type: str = "int8") -> Case:
    span = side if padding == SAME else side - size + 1
    options = {
        "padding": padding,
        "strideW": stride,
        "strideH": stride,
        "filterWidth": size,
        "filterHeight": size,
    }
    result = (T((1, -(-span // stride), -(-span // stride), 4), type),)
    return Case(f"{op}_{type}_{name}", op, (T((1, side, side, 4), type),), result, "Pool2DOptions", options)


def windows() -> Iterator[Case]:
    for op in POOLS:
        yield pool(op, "same_8x8", 8, 1, 16, SAME)
        yield pool(op, "same_9x9", 9, 1, 16, SAME)
        yield pool(op, "same_stride4", 2, 4, 16, SAME)
        yield pool(op, "valid_stride4", 2, 4, 16, VALID)
        yield pool(op, "valid_257", 257, 1, 257, VALID)
        yield pool(op, "uint8", 2, 2, 8, VALID, "uint8")
    for depthwise, what in ((0, "CONV_2D"), (1, "DEPTHWISE_CONV_2D")):
        yield conv(f"{what}_int8_stride3", "int8", stride=3, size=9, depthwise=depthwise)
        yield conv(f"{what}_int8_stride4_valid", "int8", stride=4, size=16, padding=VALID, depthwise=depthwise)
        yield conv(f"{what}_int8_stride2_dilation2", "int8", stride=2, dilation=2, size=16, depthwise=depthwise)
        yield conv(f"{what}_int8_stride4_dilation2", "int8", stride=4, dilation=2, size=16, depthwise=depthwise)
        yield conv(f"{what}_int8_tanh", "int8", activation=TANH, depthwise=depthwise)
        yield conv(f"{what}_int8_kernel65_same", "int8", kernel=65, size=66, depthwise=depthwise)
        yield conv(f"{what}_int8_dilation40", "int8", dilation=40, size=96, depthwise=depthwise)
    for stride, kernel, padding, name in (
        (1, 3, SAME, "stride1"),
        (3, 3, SAME, "stride3"),
        (4, 4, SAME, "stride4"),
        (2, 3, VALID, "valid"),
    ):
        side = 8 * stride if padding == SAME else 8 * stride + (kernel - stride)
        inputs = (ints(1, side, side, 8), weight((8, kernel, kernel, 4), "int8", 0), T(IMAGE, "int8"), bias(8, "int8"))
        options = {"padding": padding, "strideW": stride, "strideH": stride}
        result = (T((1, side, side, 8), "int8"),)
        yield Case(f"TRANSPOSE_CONV_int8_{name}", "TRANSPOSE_CONV", inputs, result, "TransposeConvOptions", options, 3)


def weights() -> Iterator[Case]:
    for type in INTS:
        moving = (T((1, 16), type), T((8, 16), "int8", scale=1 / 512, zero_point=0), None)
        yield Case(
            f"FULLY_CONNECTED_{type}_moving_weights",
            "FULLY_CONNECTED",
            moving,
            (T((1, 8), type),),
            "FullyConnectedOptions",
        )
    inputs = (T((1, 16), "int8"), weight((8, 16), "int8", 0), bias(8, "int8"))
    yield Case(
        "FULLY_CONNECTED_int8_per_channel", "FULLY_CONNECTED", inputs, (T((1, 8), "int8"),), "FullyConnectedOptions"
    )
    inputs = (T((1, 16), "int8"), weight((8, 16), "int8"), None)
    yield Case("FULLY_CONNECTED_int8_no_bias", "FULLY_CONNECTED", inputs, (T((1, 8), "int8"),), "FullyConnectedOptions")
    inputs = (T((1, 16), "int8"), weight((8, 16), "int8"), T((8,), "int32", scale=1 / 16384, zero_point=0))
    yield Case(
        "FULLY_CONNECTED_int8_moving_bias", "FULLY_CONNECTED", inputs, (T((1, 8), "int8"),), "FullyConnectedOptions"
    )
    for fused, code in (("relu", RELU), ("relu6", RELU6), ("tanh", TANH)):
        inputs = (T((1, 16), "int8"), weight((8, 16), "int8"), bias(8, "int8"))
        yield Case(
            f"FULLY_CONNECTED_int8_{fused}",
            "FULLY_CONNECTED",
            inputs,
            (T((1, 8), "int8"),),
            "FullyConnectedOptions",
            {"fusedActivationFunction": code},
        )
    for type in INTS:
        inputs = (T((1, 4, 16), type), weight((1, 16, 8), "int8" if type == "int8" else type))
        yield Case(f"BATCH_MATMUL_{type}_const", "BATCH_MATMUL", inputs, (T((1, 4, 8), type),), "BatchMatMulOptions")


def elements() -> Iterator[Case]:
    for op in ("ADD", "MAXIMUM"):
        kind = {"ADD": "AddOptions", "MAXIMUM": "MaximumMinimumOptions"}[op]
        for type in ("uint8", "int64"):
            pair = (T(IMAGE, type), T(IMAGE, type))
            yield Case(f"{op}_{type}", op, pair, (T(IMAGE, type),), kind)
        pair = (T(IMAGE, "int8"), T(IMAGE, "int8", scale=1 / 16))
        yield Case(f"{op}_int8_other_scale", op, pair, (T(IMAGE, "int8"),), kind)
    for op in ("RELU_0_TO_1", "RELU", "LOGISTIC", "TANH", "SQUARE", "ABS"):
        kind = {"ABS": "AbsOptions", "SQUARE": "SquareOptions"}.get(op, "")
        for type in ("float32", "int8", "uint8", "int32"):
            name = f"{op}_{type}_edge"
            yield Case(name, op, (T(IMAGE, type),), (out(op, IMAGE, type),), kind)
    for op in ("MAXIMUM", "MINIMUM"):
        pair = (T(IMAGE, "int8"), weight((4,), "int8"))
        yield Case(f"{op}_int8_const", op, pair, (T(IMAGE, "int8"),), "MaximumMinimumOptions")
    for a, b in (
        *(("int8", "int8"), ("int8", "int16"), ("int16", "int8"), ("uint8", "int8"), ("int8", "uint8")),
        *(("int32", "int8"), ("int16", "int32"), ("int16", "int16"), ("int8", "int32")),
    ):
        scaled = T(IMAGE, b, scale=1 / 64, zero_point=0)
        source = T(IMAGE, a, scale=1 / 32, zero_point=0)
        yield Case(f"QUANTIZE_{a}_to_{b}_edge", "QUANTIZE", (source,), (scaled,), "QuantizeOptions")
    codes = {"int8": 9, "int16": 7, "int32": 2, "uint8": 3, "int64": 4, "bool": 6}
    for a, b in (("int8", "int16"), ("int8", "int32"), ("int32", "int8"), ("int16", "int8"), ("int32", "int64")):
        given, made = T(IMAGE, a, raw=True), T(IMAGE, b, raw=True)
        options = {"inDataType": codes[a], "outDataType": codes[b]}
        yield Case(f"CAST_{a}_to_{b}_edge", "CAST", (given,), (made,), "CastOptions", options)
    slopes = weight((1, 1, 4), "int8")
    yield Case("PRELU_int16", "PRELU", (T(IMAGE, "int16"), slopes), (T(IMAGE, "int16"),))
    slopes = weight((1, 1, 4), "int16")
    yield Case("PRELU_int16_slopes_int16", "PRELU", (T(IMAGE, "int16"), slopes), (T(IMAGE, "int16"),))
    for type in INTS:
        bare = T(IMAGE, type, raw=True)
        yield Case(f"ADD_{type}_bare", "ADD", (bare, bare), (bare,), "AddOptions")
        yield Case(
            f"RESHAPE_{type}_bare",
            "RESHAPE",
            (bare, ints(1, 256)),
            (T((1, 256), type, raw=True),),
            "ReshapeOptions",
            {"newShape": [1, 256]},
        )


def reductions() -> Iterator[Case]:
    keep = {"keepDims": True}
    for op in ("MEAN", "SUM", "REDUCE_MAX"):
        for name, shape, axes, result in (
            ("h", IMAGE, (1,), (1, 1, 8, 4)),
            ("w", IMAGE, (2,), (1, 8, 1, 4)),
            ("batch", (2, 8, 8, 4), (0,), (1, 8, 8, 4)),
            ("batch2_hw", (2, 8, 8, 4), (1, 2), (2, 1, 1, 4)),
            ("hwc", IMAGE, (1, 2, 3), (1, 1, 1, 1)),
            ("rank2", (1, 16), (1,), (1, 1)),
            ("rank3", (1, 8, 4), (1,), (1, 1, 4)),
            ("rank3_last", (1, 8, 4), (2,), (1, 8, 1)),
            ("c_of_1x8", (1, 1, 8, 4), (3,), (1, 1, 8, 1)),
        ):
            inputs = (T(shape, "int8"), ints(*axes))
            yield Case(f"{op}_int8_{name}", op, inputs, (T(result, "int8"),), "ReducerOptions", keep)
    yield Case(
        "MEAN_int8_5000",
        "MEAN",
        (T((1, 5000, 1, 4), "int8"), ints(1)),
        (T((1, 1, 1, 4), "int8"),),
        "ReducerOptions",
        keep,
    )
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        yield Case(op, op, (T(IMAGE, "bool"), ints(3)), (T((1, 8, 8), "bool"),), "ReducerOptions")
    for name, shape, axis, result in (
        ("depth127", (1, 4, 4, 127), 3, (1, 4, 4)),
        ("depth128", (1, 4, 4, 128), 3, (1, 4, 4)),
        ("axis1", IMAGE, 1, (1, 8, 4)),
        ("rank2", (1, 16), 1, (1,)),
        ("negative", IMAGE, -1, (1, 8, 8)),
    ):
        made = (T(result, "int32", raw=True),)
        inputs = (T(shape, "int8"), T((1,), "int32", [axis], raw=True))
        yield Case(f"ARG_MAX_int8_{name}", "ARG_MAX", inputs, made, "ArgMaxOptions", {"outputType": 2})
    inputs = (T(IMAGE, "int16"), ints(3))
    made = (T((1, 8, 8), "int32", raw=True),)
    yield Case("ARG_MAX_int16", "ARG_MAX", inputs, made, "ArgMaxOptions", {"outputType": 2})


def layouts() -> Iterator[Case]:
    for name, order in (("nwhc", (0, 2, 1, 3)), ("nchw", (0, 3, 1, 2)), ("ncwh", (0, 3, 2, 1)), ("cwhn", (3, 2, 1, 0))):
        shape = tuple(IMAGE[axis] for axis in order)
        for type in ("int8", "int32"):
            inputs = (T(IMAGE, type), ints(*order))
            yield Case(f"TRANSPOSE_{type}_{name}", "TRANSPOSE", inputs, (T(shape, type),), "TransposeOptions")
    five = (1, 2, 8, 4, 3)
    inputs = (T(five, "int8"), ints(0, 2, 1, 4, 3))
    yield Case("TRANSPOSE_int8_rank5", "TRANSPOSE", inputs, (T((1, 8, 2, 3, 4), "int8"),), "TransposeOptions")
    for name, begin, end, stride, shape in (
        ("stride1", (0, 2, 2, 0), (1, 6, 6, 4), (1, 1, 1, 1), (1, 4, 4, 4)),
        ("stride_c", (0, 0, 0, 0), (1, 8, 8, 4), (1, 1, 1, 2), (1, 8, 8, 2)),
        ("negative", (0, 7, 0, 0), (1, -9, 8, 4), (1, -1, 1, 1), (1, 8, 8, 4)),
    ):
        inputs = (T(IMAGE, "int8"), ints(*begin), ints(*end), ints(*stride))
        yield Case(f"STRIDED_SLICE_int8_{name}", "STRIDED_SLICE", inputs, (T(shape, "int8"),), "StridedSliceOptions")
    yield Case(
        "STRIDED_SLICE_int8_shrink",
        "STRIDED_SLICE",
        (T(IMAGE, "int8"), ints(0, 0, 0, 0), ints(1, 1, 8, 4), ints(1, 1, 1, 1)),
        (T((1, 8, 4), "int8"),),
        "StridedSliceOptions",
        {"shrinkAxisMask": 2},
    )
    moving = T((4,), "int32", raw=True)
    yield Case(
        "SLICE_int8_moving",
        "SLICE",
        (T(IMAGE, "int8"), moving, ints(1, 4, 4, 4)),
        (T((1, 4, 4, 4), "int8"),),
        "SliceOptions",
    )
    for type in ("int8", "int16", "int32"):
        inputs = (T(IMAGE, type), ints(1, 3), T((), "int32", 3, raw=True))
        made = (T((1, 8, 8, 1), type), T((1, 8, 8, 3), type))
        yield Case(f"SPLIT_V_{type}", "SPLIT_V", inputs, made, "SplitVOptions", {"numSplits": 2})
        around = pads((0, 0), (0, 0), (0, 0), (1, 3))
        yield Case(f"PAD_{type}_channels", "PAD", (T(IMAGE, type), around), (T((1, 8, 8, 8), type),), "PadOptions")
        around = pads((1, 0), (0, 0), (0, 0), (0, 0))
        yield Case(f"PAD_{type}_batch", "PAD", (T(IMAGE, type), around), (T((2, 8, 8, 4), type),), "PadOptions")
    for type in ("int16", "int32"):
        around = pads((0, 0), (1, 1), (1, 1), (0, 0))
        made = (T((1, 10, 10, 4), type),)
        yield Case(f"MIRROR_PAD_{type}", "MIRROR_PAD", (T(IMAGE, type), around), made, "MirrorPadOptions")
    for axis, name in ((1, "h"), (2, "w"), (3, "c")):
        inputs = (T(IMAGE, "int8"), ints(axis))
        yield Case(f"REVERSE_V2_int8_{name}", "REVERSE_V2", inputs, (T(IMAGE, "int8"),), "ReverseV2Options")
    for axis, shape in ((0, (2, 8)), (1, (4, 2))):
        inputs = (T((4, 8), "int8"), ints(0, 2))
        yield Case(f"GATHER_int8_axis{axis}", "GATHER", inputs, (T(shape, "int8"),), "GatherOptions", {"axis": axis})
    five = (T((1, 2, 8, 8, 4), "int8"), T((1, 2, 8, 8, 4), "int8"))
    made = (T((1, 2, 8, 8, 8), "int8"),)
    yield Case("CONCATENATION_int8_rank5", "CONCATENATION", five, made, "ConcatenationOptions", {"axis": 4})
    pair = (T(IMAGE, "int8"), T(IMAGE, "int8", scale=1 / 16))
    made = (T((1, 8, 8, 8), "int8"),)
    yield Case("CONCATENATION_int8_other_scale", "CONCATENATION", pair, made, "ConcatenationOptions", {"axis": 3})
    yield Case(
        "RESHAPE_bool",
        "RESHAPE",
        (T(IMAGE, "bool"), ints(1, 256)),
        (T((1, 256), "bool"),),
        "ReshapeOptions",
        {"newShape": [1, 256]},
    )
    yield Case(
        "BROADCAST_TO_int8",
        "BROADCAST_TO",
        (T((1, 8), "int8"), ints(4, 8)),
        (T((4, 8), "int8"),),
        "BroadcastToOptions",
        version=2,
    )


def resizes() -> Iterator[Case]:
    for op, kind in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    ):
        for name, side, to, options in (
            ("x4", 8, (32, 32), {}),
            ("x8", 8, (64, 64), {}),
            ("x16", 4, (64, 64), {}),
            ("x3", 8, (24, 24), {}),
            ("half_pixel_x2", 8, (16, 16), {"halfPixelCenters": True}),
            ("half_pixel_x4", 8, (32, 32), {"halfPixelCenters": True}),
            ("corners_x2", 8, (15, 15), {"alignCorners": True}),
            ("corners_16", 8, (16, 16), {"alignCorners": True}),
            ("of_one", 1, (7, 5), {}),
            ("same", 8, (8, 8), {}),
            ("one_way", 8, (16, 8), {}),
            ("smaller", 8, (4, 4), {}),
        ):
            inputs = (T((1, side, side, 4), "int8"), ints(*to))
            yield Case(f"{op}_int8_{name}", op, inputs, (T((1, *to, 4), "int8"),), kind, options)


def free_sizes() -> Iterator[Case]:
    yield Case("RELU_int8_free_batch", "RELU", (T((-1, 8, 8, 4), "int8"),), (T((-1, 8, 8, 4), "int8"),))
    yield Case("RELU_int8_free_width", "RELU", (T((1, 8, -1, 4), "int8"),), (T((1, 8, -1, 4), "int8"),))
    yield Case(
        "SOFTMAX_int8_batch3",
        "SOFTMAX",
        (T((3, 16), "int8"),),
        (out("SOFTMAX", (3, 16), "int8"),),
        "SoftmaxOptions",
        {"beta": 1.0},
    )
    wide = (1, 256, 257, 2)
    yield Case(
        "SOFTMAX_int8_wide",
        "SOFTMAX",
        (T(wide, "int8"),),
        (out("SOFTMAX", wide, "int8"),),
        "SoftmaxOptions",
        {"beta": 1.0},
    )


def other_types() -> Iterator[Case]:
    """The first int8 case of each operator without weights, in the other integers."""
    seen: set[str] = set()
    for case in CASES.values():
        tensors = [one for one in (*case.inputs, *case.outputs) if one is not None]
        if case.op in seen or not any(one.type == "int8" and one.values is None for one in tensors):
            continue
        if any(one.type == "int8" and one.values is not None for one in tensors):
            continue
        seen.add(case.op)
        for type in ("uint8", "int32", "int64"):
            inputs = tuple(None if one is None else _as(one, type) for one in case.inputs)
            yield replace(
                case, name=f"{case.op}_as_{type}", inputs=inputs, outputs=tuple(_as(one, type) for one in case.outputs)
            )


def _as(one: T, type: str) -> T:
    return replace(one, type=type, scale=None, zero_point=None) if one.type == "int8" else one


def farther() -> Iterator[Case]:
    """Where rules were read and not yet tried."""
    for depthwise, what in ((0, "CONV_2D"), (1, "DEPTHWISE_CONV_2D")):
        yield conv(f"{what}_int8_stride4_padded", "int8", kernel=5, stride=4, size=16, depthwise=depthwise)
    for op in POOLS:
        yield pool(op, "stride4_padded", 6, 4, 16, SAME)
        yield pool(op, "int16_stride3", 3, 3, 9, VALID, "int16")
    for type in ("int8", "int16", "int32", "int64", "uint8"):
        inputs = (T((4, 8), type), ints(0, 2))
        yield Case(f"GATHER_{type}_first", "GATHER", inputs, (T((2, 8), type),), "GatherOptions", {"axis": 0})
        inputs = (T((2, 1), "int32", [[0], [2]], raw=True), T((2, 8), type), ints(4, 8))
        yield Case(f"SCATTER_ND_{type}", "SCATTER_ND", inputs, (T((4, 8), type),), "ScatterNdOptions")
        three = (T(IMAGE, "bool"), T(IMAGE, type), T(IMAGE, type))
        yield Case(f"SELECT_{type}", "SELECT", three, (T(IMAGE, type),), "SelectOptions")
        yield Case(f"ZEROS_LIKE_{type}", "ZEROS_LIKE", (T(IMAGE, type),), (T(IMAGE, type),), "ZerosLikeOptions")
        pair = (T(IMAGE, type), T(IMAGE, type))
        yield Case(f"ADD_N_{type}", "ADD_N", pair, (T(IMAGE, type),), "AddNOptions")
        inputs = (T((1, 8), type), ints(4, 8))
        made = (T((4, 8), type),)
        yield Case(f"BROADCAST_TO_{type}_edge", "BROADCAST_TO", inputs, made, "BroadcastToOptions", version=2)
        inputs = (ints(1, 8), T((), type, raw=True))
        yield Case(f"FILL_{type}", "FILL", inputs, (T((1, 8), type, raw=True),), "FillOptions")
    for type in ("int16", "bool"):
        for op, kind in (("EQUAL", "EqualOptions"), ("LESS", "LessOptions")):
            pair = (T(IMAGE, type), T(IMAGE, type))
            yield Case(f"{op}_{type}", op, pair, (T(IMAGE, "bool"),), kind)
    for name, order in (("nhcw", (0, 1, 3, 2)), ("nhwc", (0, 1, 2, 3))):
        shape = tuple(IMAGE[axis] for axis in order)
        inputs = (T(IMAGE, "int32"), ints(*order))
        yield Case(f"TRANSPOSE_int32_{name}", "TRANSPOSE", inputs, (T(shape, "int32"),), "TransposeOptions")
    for name, shape, order in (
        ("rank2", (4, 8), (1, 0)),
        ("rank3", (2, 4, 8), (0, 2, 1)),
        ("front", (2, 4, 8), (1, 0, 2)),
    ):
        for type in ("int8", "int32"):
            made = (T(tuple(shape[axis] for axis in order), type),)
            yield Case(
                f"TRANSPOSE_{type}_{name}", "TRANSPOSE", (T(shape, type), ints(*order)), made, "TransposeOptions"
            )
    for op, kind in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    ):
        yield Case(f"{op}_int16_x2", op, (T(IMAGE, "int16"), ints(16, 16)), (T((1, 16, 16, 4), "int16"),), kind)
    for name, shape, begin, end, stride, made in (
        ("rank2", (4, 8), (0, 0), (4, 8), (2, 1), (2, 8)),
        ("rank2_last", (4, 8), (0, 0), (4, 8), (1, 2), (4, 4)),
        ("rank3", (4, 8, 2), (0, 0, 0), (4, 8, 2), (1, 2, 1), (4, 4, 2)),
        ("rank5", (1, 2, 8, 8, 4), (0, 0, 0, 0, 0), (1, 2, 8, 8, 4), (1, 1, 2, 1, 1), (1, 2, 4, 8, 4)),
    ):
        inputs = (T(shape, "int8"), ints(*begin), ints(*end), ints(*stride))
        yield Case(f"STRIDED_SLICE_int8_{name}", "STRIDED_SLICE", inputs, (T(made, "int8"),), "StridedSliceOptions")
    five = (1, 2, 8, 8, 4)
    for op, kind in (
        ("SOFTMAX", "SoftmaxOptions"),
        ("MAXIMUM", "MaximumMinimumOptions"),
        ("TANH", ""),
        ("ABS", "AbsOptions"),
    ):
        tensors = (T(five, "int8"),) * (2 if op == "MAXIMUM" else 1)
        yield Case(
            f"{op}_int8_rank5", op, tensors, (out(op, five, "int8"),), kind, {"beta": 1.0} if op == "SOFTMAX" else {}
        )
    for op in ("MEAN", "SUM", "REDUCE_MAX"):
        for name, axes, made in (("hw", (2, 3), (1, 2, 1, 1, 4)), ("last", (4,), (1, 2, 8, 8, 1))):
            inputs = (T(five, "int8"), ints(*axes))
            yield Case(f"{op}_int8_rank5_{name}", op, inputs, (T(made, "int8"),), "ReducerOptions", {"keepDims": True})
    for type in INTS:
        pair = (T((2, 3, 4, 16), type), T((2, 3, 8, 16), type))
        options = {"adjY": True}
        yield Case(
            f"BATCH_MATMUL_{type}_turned", "BATCH_MATMUL", pair, (T((2, 3, 4, 8), type),), "BatchMatMulOptions", options
        )
    kernel = weight((8, 2, 2, 4), "int8", 0)
    inputs = (ints(1, 16, 16, 8), kernel, T(IMAGE, "int16"), bias(8, "int16"))
    options = {"padding": SAME, "strideW": 2, "strideH": 2}
    made = (T((1, 16, 16, 8), "int16"),)
    yield Case("TRANSPOSE_CONV_int16", "TRANSPOSE_CONV", inputs, made, "TransposeConvOptions", options, 3)
    yield Case(
        "TRANSPOSE_CONV_int8_no_bias",
        "TRANSPOSE_CONV",
        (ints(1, 16, 16, 8), kernel, T(IMAGE, "int8")),
        (T((1, 16, 16, 8), "int8"),),
        "TransposeConvOptions",
        options,
        3,
    )
    shape = weight((1, 3, 3, 4), "int8", 3)
    plain = {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    yield Case(
        "CONV_2D_int8_moving_weights",
        "CONV_2D",
        (T(IMAGE, "int8"), T((8, 3, 3, 4), "int8"), bias(8, "int8")),
        (T((1, 8, 8, 8), "int8"),),
        "Conv2DOptions",
        plain,
    )
    yield Case(
        "CONV_2D_uint8",
        "CONV_2D",
        (T(IMAGE, "uint8"), weight((8, 3, 3, 4), "uint8"), bias(8, "int8")),
        (T((1, 8, 8, 8), "uint8"),),
        "Conv2DOptions",
        plain,
    )
    yield Case(
        "DEPTHWISE_CONV_2D_int8_no_bias",
        "DEPTHWISE_CONV_2D",
        (T(IMAGE, "int8"), shape, None),
        (T(IMAGE, "int8"),),
        "DepthwiseConv2DOptions",
        {**plain, "depthMultiplier": 1},
    )
    yield Case(
        "CONV_2D_int8_no_bias",
        "CONV_2D",
        (T(IMAGE, "int8"), weight((8, 3, 3, 4), "int8", 0), None),
        (T((1, 8, 8, 8), "int8"),),
        "Conv2DOptions",
        plain,
    )
    yield Case(
        "CONV_2D_int8_two_inputs",
        "CONV_2D",
        (T(IMAGE, "int8"), weight((8, 3, 3, 4), "int8", 0)),
        (T((1, 8, 8, 8), "int8"),),
        "Conv2DOptions",
        plain,
    )
    yield Case(
        "DEPTHWISE_CONV_2D_int8_two_inputs",
        "DEPTHWISE_CONV_2D",
        (T(IMAGE, "int8"), shape),
        (T(IMAGE, "int8"),),
        "DepthwiseConv2DOptions",
        {**plain, "depthMultiplier": 1},
    )
    yield Case(
        "DEPTHWISE_CONV_2D_int8_moving_weights",
        "DEPTHWISE_CONV_2D",
        (T(IMAGE, "int8"), T((1, 3, 3, 4), "int8"), bias(4, "int8")),
        (T(IMAGE, "int8"),),
        "DepthwiseConv2DOptions",
        {**plain, "depthMultiplier": 1},
    )
    moving = T((8, 2, 2, 4), "int8")
    yield Case(
        "TRANSPOSE_CONV_int8_moving_weights",
        "TRANSPOSE_CONV",
        (ints(1, 16, 16, 8), moving, T(IMAGE, "int8"), bias(8, "int8")),
        (T((1, 16, 16, 8), "int8"),),
        "TransposeConvOptions",
        options,
        3,
    )
    for type in ("float32", "bool"):
        for op, kind in (("NOT_EQUAL", "NotEqualOptions"), ("GREATER", "GreaterOptions")):
            pair = (T((1, 8), type), T((1, 8), type))
            yield Case(f"{op}_{type}_rank2", op, pair, (T((1, 8), "bool"),), kind)
        yield Case(
            f"FILL_{type}", "FILL", (ints(1, 8), T((), type, raw=True)), (T((1, 8), type, raw=True),), "FillOptions"
        )
        yield Case(f"ADD_N_{type}", "ADD_N", (T(IMAGE, type), T(IMAGE, type)), (T(IMAGE, type),), "AddNOptions")
        yield Case(f"ZEROS_LIKE_{type}", "ZEROS_LIKE", (T(IMAGE, type),), (T(IMAGE, type),), "ZerosLikeOptions")
    yield conv("CONV_2D_int8_batch2_stride2", "int8", batch=2, stride=2)


def odd_weights() -> Iterator[Case]:
    """Weights of 4 bits, weights quantized where activations are floats, halves."""
    packed = [17 * (place % 5) for place in range(64)]
    for type in ("float32", "int8"):
        inputs = (T((1, 16), type), T((8, 16), "int4", packed, scale=1 / 512, zero_point=0), bias(8, type))
        made = (T((1, 8), type),)
        yield Case(f"FULLY_CONNECTED_{type}_int4", "FULLY_CONNECTED", inputs, made, "FullyConnectedOptions")
        kernel = T((8, 1, 1, 16), "int4", packed, scale=1 / 512, zero_point=0, channels=0)
        inputs = (T((1, 8, 8, 16), type), kernel, bias(8, type))
        options = {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        yield Case(f"CONV_2D_{type}_int4", "CONV_2D", inputs, (T((1, 8, 8, 8), type),), "Conv2DOptions", options)
    hybrid = (T(IMAGE, "float32"), weight((8, 3, 3, 4), "int8", 0), bias(8, "float32"))
    yield Case("CONV_2D_hybrid", "CONV_2D", hybrid, (T((1, 8, 8, 8), "float32"),), "Conv2DOptions", options)
    halves = T((8, 16), "float16", [[0.5] * 16] * 8)
    yield Case("DEQUANTIZE_float16_const", "DEQUANTIZE", (halves,), (T((8, 16), "float32"),), "DequantizeOptions")
    yield Case("DEQUANTIZE_float16", "DEQUANTIZE", (T(IMAGE, "float16"),), (T(IMAGE, "float32"),), "DequantizeOptions")
    begin = (T(IMAGE, "int8"), T((4,), "int32", raw=True), ints(1, 8, 8, 4), ints(1, 2, 2, 1))
    made = (T((1, 4, 4, 4), "int8"),)
    yield Case("STRIDED_SLICE_int8_moving", "STRIDED_SLICE", begin, made, "StridedSliceOptions")


EDGES: dict[str, Case] = {
    case.name: case
    for make in (
        windows,
        weights,
        elements,
        reductions,
        layouts,
        resizes,
        free_sizes,
        other_types,
        farther,
        odd_weights,
    )
    for case in make()
}
