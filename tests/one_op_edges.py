"""More models of one operator: where a target's rules may have edges. Axes, ranks, what is stored, options.

`EDGES` are by name, as CASES of one_op_cases.py are; no name is in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from one_op import RELU, RELU6, RELU_N1, SAME, VALID, Case, T, bias, ints, pads, weight
from one_op_cases import BINARY_OPTIONS, CASES, COMPARISONS, IMAGE, UNARY_OPTIONS, conv

F, Q = "float32", "int8"
CODES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}


def scalar(value: float, type: str = "int32") -> T:
    return T((), type, value, raw=True)


def one(
    name: str,
    op: str,
    inputs: tuple[T | None, ...],
    output: tuple[int, ...] | T,
    kind: str = "",
    version: int = 1,
    **options: Any,
) -> Case:
    """A case with one output; a shape alone has the first moving input's type."""
    type = next((given.type for given in inputs if given is not None and given.values is None), F)
    result = output if isinstance(output, T) else T(output, type)
    return Case(f"{op}_{name}", op, inputs, (result,), kind, options, version)


def elementwise() -> Iterator[Case]:
    for op in ("NEG", "RELU", "SQUARE", "SIGN", "TANH", "LOGISTIC", "SQRT"):
        kind, options = UNARY_OPTIONS.get(op, ("", {}))
        yield Case(f"{op}_int32", op, (T(IMAGE, "int32"),), (T(IMAGE, "int32"),), kind, options)
    for op in ("RELU", "LOGISTIC", "TANH", "HARD_SWISH"):
        result = T(IMAGE, "uint8", scale=1 / 256, zero_point=0) if op == "LOGISTIC" else T(IMAGE, "uint8")
        yield one("uint8", op, (T(IMAGE, "uint8"),), result, UNARY_OPTIONS.get(op, ("",))[0])
    positive = T(IMAGE, Q, zero_point=-128)
    for op in ("LOG", "SQRT", "RSQRT"):
        yield one("int8_positive", op, (positive,), T(IMAGE, Q, scale=1 / 16))
    yield one("int8_wide", "EXP", (T(IMAGE, Q),), T(IMAGE, Q, scale=1 / 2, zero_point=-128), "ExpOptions")
    yield one("float32_approximate", "GELU", (T(IMAGE, F),), IMAGE, "GeluOptions", approximate=True)
    yield one("float32_slope2", "LEAKY_RELU", (T(IMAGE, F),), IMAGE, "LeakyReluOptions", alpha=2.0)
    for op in ("RELU", "EXP", "SIN", "NEG", "GELU", "FLOOR"):
        for rank in (1, 2, 3, 5, 6):
            shape = (1, 3, 8, 4, 2, 2)[:rank] if rank > 1 else (16,)
            kind, options = UNARY_OPTIONS.get(op, ("", {}))
            yield Case(f"{op}_float32_rank{rank}", op, (T(shape, F),), (T(shape, F),), kind, options)
    yield one("float32_batch3", "TANH", (T((3, 8, 8, 4), F),), (3, 8, 8, 4))
    yield one("float32_rank0", "TANH", (T((), F),), ())
    yield one("float32_channels5", "TANH", (T((1, 7, 5, 5), F),), (1, 7, 5, 5))
    yield one("float32_free", "TANH", (T((-1, 8, 8, 4), F),), T((-1, 8, 8, 4), F))


def binary() -> Iterator[Case]:
    for op in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_MOD"):
        kind = BINARY_OPTIONS[op]
        stored = T((4,), F, [0.5, 1.0, 1.5, 2.0])
        yield one("float32_stored_second", op, (T(IMAGE, F), stored), IMAGE, kind)
        yield one("float32_stored_first", op, (stored, T(IMAGE, F)), IMAGE, kind)
        yield one("float32_stored_scalar", op, (T(IMAGE, F), T((), F, 0.5)), IMAGE, kind)
        yield one("float32_stored_scalar_first", op, (T((), F, 0.5), T(IMAGE, F)), IMAGE, kind)
        yield one("float32_stored_whole", op, (T(IMAGE, F), T(IMAGE, F, np.full(IMAGE, 0.5))), IMAGE, kind)
        yield one("float32_channels", op, (T(IMAGE, F), T((1, 1, 1, 4), F)), IMAGE, kind)
        yield one("float32_pixels", op, (T(IMAGE, F), T((1, 8, 8, 1), F)), IMAGE, kind)
        yield one("float32_lower_rank", op, (T(IMAGE, F), T((8, 4), F)), IMAGE, kind)
        yield one("float32_moving_scalar", op, (T(IMAGE, F), T((), F)), IMAGE, kind)
        yield one("float32_first_broadcast", op, (T((1, 1, 1, 4), F), T(IMAGE, F)), IMAGE, kind)
        for rank in (1, 2, 3):
            shape = (4, 8, 6)[:rank]
            yield one(f"float32_rank{rank}", op, (T(shape, F), T(shape, F)), shape, kind)
    for op in ("ADD", "MUL", "SUB", "DIV"):
        kind = BINARY_OPTIONS[op]
        yield one("float32_batch_broadcast", op, (T((3, 8, 8, 4), F), T(IMAGE, F)), (3, 8, 8, 4), kind)
        yield one("float32_relu_n1", op, (T(IMAGE, F), T(IMAGE, F)), IMAGE, kind, fusedActivationFunction=RELU_N1)
        yield one("float32_rank2_relu", op, (T((4, 8), F), T((4, 8), F)), (4, 8), kind, fusedActivationFunction=RELU)
        yield one("float32_sign_bit", op, (T(IMAGE, F), T(IMAGE, F)), IMAGE, kind, fusedActivationFunction=5)
    for op in ("ADD", "MUL", "SUB"):
        kind = BINARY_OPTIONS[op]
        yield one("uint8", op, (T(IMAGE, "uint8"), T(IMAGE, "uint8")), IMAGE, kind)
        yield one("int64", op, (T(IMAGE, "int64"), T(IMAGE, "int64")), IMAGE, kind)
        yield one("int32_stored", op, (T(IMAGE, "int32"), T((4,), "int32", [1, 2, 3, 4])), IMAGE, kind)
        yield one("int8_scalar", op, (T(IMAGE, Q), T((), Q, 16)), IMAGE, kind)
        yield one(
            "int8_other_scales",
            op,
            (T(IMAGE, Q), T(IMAGE, Q, scale=1 / 8, zero_point=5)),
            T(IMAGE, Q, scale=1 / 4),
            kind,
        )
    divisor = T((4,), Q, [16, 32, 64, 96])
    yield one("int8_stored_second", "DIV", (T(IMAGE, Q), divisor), IMAGE, "DivOptions")
    yield one(
        "int32_two", "SQUARED_DIFFERENCE", (T((1, 4), "int32"), T((1, 4), "int32")), (1, 4), "SquaredDifferenceOptions"
    )
    for op, kind in COMPARISONS.items():
        yield one("float32_stored", op, (T(IMAGE, F), T((), F, 0.5)), T(IMAGE, "bool"), kind)
        yield one("float32_broadcast", op, (T(IMAGE, F), T((1, 1, 1, 4), F)), T(IMAGE, "bool"), kind)
        yield one("int64", op, (T(IMAGE, "int64"), T(IMAGE, "int64")), T(IMAGE, "bool"), kind)
    yield one(
        "broadcast", "LOGICAL_AND", (T(IMAGE, "bool"), T((1, 1, 1, 4), "bool")), T(IMAGE, "bool"), "LogicalAndOptions"
    )
    yield one("bool", "NOT_EQUAL", (T(IMAGE, "bool"), T(IMAGE, "bool")), T(IMAGE, "bool"), "NotEqualOptions")
    yield one("bool", "EQUAL", (T(IMAGE, "bool"), T(IMAGE, "bool")), T(IMAGE, "bool"), "EqualOptions")
    yield one("float32", "ATAN2", (T(IMAGE, F), T(IMAGE, F)), IMAGE)
    yield one("float32", "ADD_N", (T(IMAGE, F), T(IMAGE, F), T(IMAGE, F)), IMAGE, "AddNOptions")
    yield one("int32", "BITWISE_XOR", (T(IMAGE, "int32"), T(IMAGE, "int32")), IMAGE)
    yield one("int32", "RIGHT_SHIFT", (T(IMAGE, "int32"), T(IMAGE, "int32")), IMAGE)


def convolutions() -> Iterator[Case]:
    for type in (F, Q):
        options = {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        kernel, eight = weight((8, 3, 3, 4), type, 0), (1, 8, 8, 8)
        yield one(f"{type}_no_bias", "CONV_2D", (T(IMAGE, type), kernel, None), eight, "Conv2DOptions", **options)
        yield one(
            f"{type}_strides12",
            "CONV_2D",
            (T(IMAGE, type), kernel, bias(8, type)),
            (1, 8, 4, 8),
            "Conv2DOptions",
            **(options | {"strideW": 2}),
        )
        yield one(
            f"{type}_dilations12",
            "CONV_2D",
            (T(IMAGE, type), kernel, bias(8, type)),
            eight,
            "Conv2DOptions",
            **(options | {"dilationWFactor": 2}),
        )
        yield one(
            f"{type}_groups2",
            "CONV_2D",
            (T(IMAGE, type), weight((8, 3, 3, 2), type, 0), bias(8, type)),
            eight,
            "Conv2DOptions",
            **options,
        )
        yield one(
            f"{type}_1x1",
            "CONV_2D",
            (T(IMAGE, type), weight((8, 1, 1, 4), type, 0), bias(8, type)),
            eight,
            "Conv2DOptions",
            **options,
        )
        yield one(
            f"{type}_tanh",
            "CONV_2D",
            (T(IMAGE, type), kernel, bias(8, type)),
            eight,
            "Conv2DOptions",
            **options,
            fusedActivationFunction=4,
        )
        one_deep = T((1, 8, 8, 1), type)
        yield one(
            f"{type}_one_channel",
            "CONV_2D",
            (one_deep, weight((8, 3, 3, 1), type, 0), bias(8, type)),
            eight,
            "Conv2DOptions",
            **options,
        )
        deep = {**options, "depthMultiplier": 1}
        kernel = weight((1, 3, 3, 4), type, 3)
        yield one(
            f"{type}_no_bias",
            "DEPTHWISE_CONV_2D",
            (T(IMAGE, type), kernel, None),
            IMAGE,
            "DepthwiseConv2DOptions",
            **deep,
        )
        yield one(
            f"{type}_one_channel",
            "DEPTHWISE_CONV_2D",
            (one_deep, weight((1, 3, 3, 4), type, 3), bias(4, type)),
            IMAGE,
            "DepthwiseConv2DOptions",
            **(deep | {"depthMultiplier": 4}),
        )
    yield conv("CONV_2D_float32_relu", F, activation=RELU)
    moving = T((8, 3, 3, 4), F)
    yield one(
        "float32_moving_weights",
        "CONV_2D",
        (T(IMAGE, F), moving, bias(8, F)),
        (1, 8, 8, 8),
        "Conv2DOptions",
        padding=SAME,
        strideW=1,
        strideH=1,
    )
    yield one(
        "float32_moving_weights",
        "DEPTHWISE_CONV_2D",
        (T(IMAGE, F), T((1, 3, 3, 4), F), bias(4, F)),
        IMAGE,
        "DepthwiseConv2DOptions",
        padding=SAME,
        strideW=1,
        strideH=1,
        depthMultiplier=1,
    )
    yield one(
        "float32_moving_bias",
        "CONV_2D",
        (T(IMAGE, F), weight((8, 3, 3, 4), F), T((8,), F)),
        (1, 8, 8, 8),
        "Conv2DOptions",
        padding=SAME,
        strideW=1,
        strideH=1,
    )
    hybrid = (T(IMAGE, F), weight((8, 3, 3, 4), Q, 0), bias(8, F))
    yield one("hybrid", "CONV_2D", hybrid, (1, 8, 8, 8), "Conv2DOptions", padding=SAME, strideW=1, strideH=1)
    hybrid = (T(IMAGE, F), weight((1, 3, 3, 4), Q, 3), bias(4, F))
    yield one(
        "hybrid",
        "DEPTHWISE_CONV_2D",
        hybrid,
        IMAGE,
        "DepthwiseConv2DOptions",
        padding=SAME,
        strideW=1,
        strideH=1,
        depthMultiplier=1,
    )
    tensorwise = (T(IMAGE, Q), weight((8, 3, 3, 4), Q), T((8,), "int32", np.zeros(8), scale=1 / 32 / 512, zero_point=0))
    yield one(
        "int8_tensorwise", "CONV_2D", tensorwise, (1, 8, 8, 8), "Conv2DOptions", padding=SAME, strideW=1, strideH=1
    )
    old = (
        T(IMAGE, "uint8"),
        T((8, 3, 3, 4), "uint8", np.arange(288) % 256, scale=1 / 512, zero_point=128),
        T((8,), "int32", np.zeros(8), scale=1 / 32 / 512, zero_point=0),
    )
    yield one("uint8", "CONV_2D", old, (1, 8, 8, 8), "Conv2DOptions", padding=SAME, strideW=1, strideH=1)
    upward = {"padding": VALID, "strideW": 2, "strideH": 2}
    kernel = weight((8, 3, 3, 4), F)
    yield one(
        "float32_valid",
        "TRANSPOSE_CONV",
        (ints(1, 17, 17, 8), kernel, T(IMAGE, F)),
        (1, 17, 17, 8),
        "TransposeConvOptions",
        1,
        **upward,
    )
    three = {"padding": SAME, "strideW": 3, "strideH": 3}
    yield one(
        "float32_stride3",
        "TRANSPOSE_CONV",
        (ints(1, 24, 24, 8), kernel, T(IMAGE, F)),
        (1, 24, 24, 8),
        "TransposeConvOptions",
        1,
        **three,
    )
    yield one(
        "float32_relu",
        "TRANSPOSE_CONV",
        (ints(1, 17, 17, 8), kernel, T(IMAGE, F), bias(8, F)),
        (1, 17, 17, 8),
        "TransposeConvOptions",
        4,
        **upward,
        fusedActivationFunction=RELU,
    )
    yield one(
        "float32_batch2",
        "TRANSPOSE_CONV",
        (ints(2, 17, 17, 8), kernel, T((2, 8, 8, 4), F)),
        (2, 17, 17, 8),
        "TransposeConvOptions",
        1,
        **upward,
    )
    volume = {
        "padding": SAME,
        "strideD": 1,
        "strideW": 1,
        "strideH": 1,
        "dilationDFactor": 1,
        "dilationWFactor": 1,
        "dilationHFactor": 1,
    }
    turned = (ints(1, 4, 8, 8, 8), weight((3, 3, 3, 8, 4), F), T((1, 4, 8, 8, 4), F), bias(8, F))
    yield one("float32", "CONV_3D_TRANSPOSE", turned, (1, 4, 8, 8, 8), "Conv3DOptions", **volume)


def products() -> Iterator[Case]:
    kind, kernel = "FullyConnectedOptions", weight((8, 16), F)
    yield one("no_bias", "FULLY_CONNECTED", (T((1, 16), F), kernel, None), (1, 8), kind)
    for name, code in (("relu", RELU), ("relu6", RELU6), ("relu_n1", RELU_N1), ("tanh", 4)):
        yield one(
            name, "FULLY_CONNECTED", (T((1, 16), F), kernel, bias(8, F)), (1, 8), kind, fusedActivationFunction=code
        )
        yield one(
            f"int8_{name}",
            "FULLY_CONNECTED",
            (T((1, 16), Q), weight((8, 16), Q, 0), bias(8, Q)),
            (1, 8),
            kind,
            fusedActivationFunction=code,
        )
    yield one("rank1", "FULLY_CONNECTED", (T((16,), F), kernel, bias(8, F)), (1, 8), kind)
    yield one("rank3_flattened", "FULLY_CONNECTED", (T((1, 4, 16), F), kernel, bias(8, F)), (4, 8), kind)
    yield one("rank4_flattened", "FULLY_CONNECTED", (T((1, 2, 2, 4), F), kernel, bias(8, F)), (1, 8), kind)
    yield one(
        "rank4", "FULLY_CONNECTED", (T((1, 2, 4, 16), F), kernel, bias(8, F)), (1, 2, 4, 8), kind, keepNumDims=True
    )
    yield one(
        "rank3_batch2", "FULLY_CONNECTED", (T((2, 4, 16), F), kernel, bias(8, F)), (2, 4, 8), kind, keepNumDims=True
    )
    yield one("moving_weights_batch3", "FULLY_CONNECTED", (T((3, 16), F), T((8, 16), F), None), (3, 8), kind)
    yield one("moving_bias", "FULLY_CONNECTED", (T((1, 16), F), kernel, T((8,), F)), (1, 8), kind)
    yield one(
        "hybrid_rank3",
        "FULLY_CONNECTED",
        (T((1, 4, 16), F), weight((8, 16), Q), bias(8, F)),
        (1, 4, 8),
        kind,
        keepNumDims=True,
    )
    yield one("hybrid_channelwise", "FULLY_CONNECTED", (T((1, 16), F), weight((8, 16), Q, 0), bias(8, F)), (1, 8), kind)
    yield one("int8_moving_weights", "FULLY_CONNECTED", (T((1, 16), Q), T((8, 16), Q), None), (1, 8), kind)
    kind = "BatchMatMulOptions"
    a, b = T((1, 4, 16), F), T((1, 16, 8), F)
    yield one("float32_adj_y", "BATCH_MATMUL", (a, T((1, 8, 16), F)), (1, 4, 8), kind, adjY=True)
    yield one("float32_adj_x", "BATCH_MATMUL", (T((1, 16, 4), F), b), (1, 4, 8), kind, adjX=True)
    yield one("float32_stored", "BATCH_MATMUL", (a, weight((1, 16, 8), F)), (1, 4, 8), kind)
    yield one("float32_stored_adj_y", "BATCH_MATMUL", (a, weight((1, 8, 16), F)), (1, 4, 8), kind, adjY=True)
    yield one("float32_stored_first", "BATCH_MATMUL", (weight((1, 4, 16), F), b), (1, 4, 8), kind)
    yield one("float32_rank2", "BATCH_MATMUL", (T((4, 16), F), T((16, 8), F)), (4, 8), kind)
    yield one("float32_rank4", "BATCH_MATMUL", (T((1, 3, 4, 16), F), T((1, 3, 16, 8), F)), (1, 3, 4, 8), kind)
    yield one("float32_rank4_batch2", "BATCH_MATMUL", (T((2, 3, 4, 16), F), T((2, 3, 16, 8), F)), (2, 3, 4, 8), kind)
    yield one("float32_broadcast", "BATCH_MATMUL", (T((3, 4, 16), F), b), (3, 4, 8), kind)
    yield one("float32_lower_rank", "BATCH_MATMUL", (T((3, 4, 16), F), T((16, 8), F)), (3, 4, 8), kind)
    yield one("float32_batch3", "BATCH_MATMUL", (T((3, 4, 16), F), T((3, 16, 8), F)), (3, 4, 8), kind)
    yield one("hybrid", "BATCH_MATMUL", (a, weight((1, 16, 8), Q)), (1, 4, 8), kind)


def pools() -> Iterator[Case]:
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for type in (F, Q):
            base: dict[str, Any] = {"padding": SAME, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3}
            yield one(f"{type}_same", op, (T(IMAGE, type),), (1, 4, 4, 4), "Pool2DOptions", **base)
            yield one(
                f"{type}_relu6",
                op,
                (T(IMAGE, type),),
                (1, 4, 4, 4),
                "Pool2DOptions",
                **base,
                fusedActivationFunction=RELU6,
            )
            yield one(
                f"{type}_tanh", op, (T(IMAGE, type),), (1, 4, 4, 4), "Pool2DOptions", **base, fusedActivationFunction=4
            )
            yield one(
                f"{type}_strides12", op, (T(IMAGE, type),), (1, 8, 4, 4), "Pool2DOptions", **(base | {"strideH": 1})
            )
            yield one(f"{type}_batch2", op, (T((2, 8, 8, 4), type),), (2, 4, 4, 4), "Pool2DOptions", **base)
        yield one("uint8", op, (T(IMAGE, "uint8"),), (1, 4, 4, 4), "Pool2DOptions", **base)


def reductions() -> Iterator[Case]:
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        kind = "ReducerOptions"
        yield one("float32_hw_dropped", op, (T(IMAGE, F), ints(1, 2)), (1, 4), kind)
        yield one("float32_h", op, (T(IMAGE, F), ints(1)), (1, 1, 8, 4), kind, keepDims=True)
        yield one("float32_w", op, (T(IMAGE, F), ints(2)), (1, 8, 1, 4), kind, keepDims=True)
        yield one("float32_batch", op, (T((3, 8, 8, 4), F), ints(0)), (1, 8, 8, 4), kind, keepDims=True)
        yield one("float32_batch3_hw", op, (T((3, 8, 8, 4), F), ints(1, 2)), (3, 1, 1, 4), kind, keepDims=True)
        yield one("float32_batch3_channels", op, (T((3, 8, 8, 4), F), ints(3)), (3, 8, 8, 1), kind, keepDims=True)
        yield one("float32_negative_axis", op, (T(IMAGE, F), ints(-1)), (1, 8, 8, 1), kind, keepDims=True)
        yield one("float32_scalar_axis", op, (T(IMAGE, F), scalar(3)), (1, 8, 8, 1), kind, keepDims=True)
        yield one("float32_hwc", op, (T(IMAGE, F), ints(1, 2, 3)), (1, 1, 1, 1), kind, keepDims=True)
        yield one("float32_all", op, (T(IMAGE, F), ints(0, 1, 2, 3)), (), kind)
        yield one("float32_rank2", op, (T((4, 16), F), ints(1)), (4,), kind)
        yield one("float32_rank2_kept", op, (T((4, 16), F), ints(1)), (4, 1), kind, keepDims=True)
        yield one("float32_rank2_first", op, (T((4, 16), F), ints(0)), (16,), kind)
        yield one("float32_rank3", op, (T((1, 4, 16), F), ints(1)), (1, 16), kind)
        yield one("float32_rank3_last", op, (T((1, 4, 16), F), ints(2)), (1, 4, 1), kind, keepDims=True)
        yield one("float32_rank1", op, (T((16,), F), ints(0)), (), kind)
        yield one("int32_hw", op, (T(IMAGE, "int32"), ints(1, 2)), (1, 1, 1, 4), kind, keepDims=True)
        yield one(
            "float32_moving_axis", op, (T(IMAGE, F), T((1,), "int32", raw=True)), (1, 8, 8, 1), kind, keepDims=True
        )
    yield one(
        "int8_wide", "SUM", (T(IMAGE, Q), ints(3)), T((1, 8, 8, 1), Q, scale=1 / 8), "ReducerOptions", keepDims=True
    )
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        yield one("hw", op, (T(IMAGE, "bool"), ints(1, 2)), (1, 1, 1, 4), "ReducerOptions", keepDims=True)
    out = T((1, 8, 8), "int32", raw=True)
    yield one(
        "float32_w", "ARG_MAX", (T(IMAGE, F), ints(2)), T((1, 8, 4), "int32", raw=True), "ArgMaxOptions", outputType=2
    )
    yield one(
        "float32_h", "ARG_MAX", (T(IMAGE, F), ints(1)), T((1, 8, 4), "int32", raw=True), "ArgMaxOptions", outputType=2
    )
    yield one(
        "float32_int64",
        "ARG_MAX",
        (T(IMAGE, F), ints(3)),
        T((1, 8, 8), "int64", raw=True),
        "ArgMaxOptions",
        outputType=4,
    )
    yield one("float32_scalar_axis", "ARG_MAX", (T(IMAGE, F), scalar(3)), out, "ArgMaxOptions", outputType=2)
    yield one("float32_negative_axis", "ARG_MAX", (T(IMAGE, F), scalar(-1)), out, "ArgMaxOptions", outputType=2)
    yield one(
        "float32_rank2",
        "ARG_MAX",
        (T((1, 16), F), scalar(1)),
        T((1,), "int32", raw=True),
        "ArgMaxOptions",
        outputType=2,
    )
    yield one(
        "float32_rank2_batch3",
        "ARG_MAX",
        (T((3, 16), F), scalar(1)),
        T((3,), "int32", raw=True),
        "ArgMaxOptions",
        outputType=2,
    )
    yield one(
        "float32_rank3",
        "ARG_MAX",
        (T((1, 4, 16), F), scalar(2)),
        T((1, 4), "int32", raw=True),
        "ArgMaxOptions",
        outputType=2,
    )
    for name, options in (("exclusive", {"exclusive": True}), ("reverse", {"reverse": True})):
        yield one(f"float32_{name}", "CUMSUM", (T((1, 16), F), scalar(1)), (1, 16), "CumsumOptions", **options)
    yield one("float32_channels", "CUMSUM", (T(IMAGE, F), scalar(3)), IMAGE, "CumsumOptions")
    yield one("float32_h", "CUMSUM", (T(IMAGE, F), scalar(1)), IMAGE, "CumsumOptions")
    yield one("float32_batch", "CUMSUM", (T((3, 4), F), scalar(0)), (3, 4), "CumsumOptions")


def shapes() -> Iterator[Case]:
    def reshape(name: str, old: tuple[int, ...], new: tuple[int, ...], type: str = F) -> Case:
        return one(name, "RESHAPE", (T(old, type), ints(*new)), new, "ReshapeOptions", newShape=list(new))

    yield reshape("rank1", IMAGE, (256,))
    yield reshape("rank1_to_2", (256,), (1, 256))
    yield reshape("batch_to_h", (4, 8), (1, 4, 8))
    yield reshape("h_to_batch", (1, 4, 8), (4, 8))
    yield reshape("to_rank5", IMAGE, (1, 2, 4, 8, 4))
    yield reshape("from_rank5", (1, 2, 4, 8, 4), IMAGE)
    yield reshape("rank5", (1, 2, 4, 8, 4), (1, 4, 2, 8, 4))
    yield reshape("channels3", (1, 6, 3), (1, 3, 6))
    yield reshape("uint8", IMAGE, (1, 256), "uint8")
    yield reshape("bool", IMAGE, (1, 256), "bool")
    yield one("no_shape", "RESHAPE", (T(IMAGE, F),), (1, 256), "ReshapeOptions", newShape=[1, 256])
    moved = T((2,), "int32", raw=True)
    yield one("moving_shape", "RESHAPE", (T(IMAGE, F), moved), (1, 256), "ReshapeOptions")
    for name, shape, order in (
        *(
            ("channels_first", IMAGE, (0, 3, 1, 2)),
            ("batch_last", (2, 8, 8, 4), (1, 2, 3, 0)),
            ("rank2", (4, 8), (1, 0)),
        ),
        *(
            ("rank3", (1, 4, 8), (0, 2, 1)),
            ("rank3_batch", (2, 4, 8), (1, 0, 2)),
            ("rank5", (1, 2, 3, 4, 5), (0, 2, 1, 3, 4)),
        ),
    ):
        yield one(name, "TRANSPOSE", (T(shape, F), ints(*order)), tuple(shape[at] for at in order), "TransposeOptions")
    yield one("moving_order", "TRANSPOSE", (T((4, 8), F), moved), (8, 4), "TransposeOptions")
    for axis in (0, 1, 2, -1):
        shape = [1, 8, 8, 4]
        shape[axis] *= 2
        yield one(
            f"axis{axis}", "CONCATENATION", (T(IMAGE, F), T(IMAGE, F)), tuple(shape), "ConcatenationOptions", axis=axis
        )
    yield one("batch3", "CONCATENATION", (T((3, 4), F), T((3, 4), F)), (3, 8), "ConcatenationOptions", axis=1)
    yield one("five", "CONCATENATION", (T(IMAGE, F),) * 5, (1, 8, 8, 20), "ConcatenationOptions", axis=3)
    yield one(
        "odd", "CONCATENATION", (T((1, 8, 8, 3), F), T((1, 8, 8, 2), F)), (1, 8, 8, 5), "ConcatenationOptions", axis=3
    )
    yield one(
        "stored",
        "CONCATENATION",
        (T(IMAGE, F), T(IMAGE, F, np.ones(IMAGE))),
        (1, 8, 8, 8),
        "ConcatenationOptions",
        axis=3,
    )
    yield one("rank2", "CONCATENATION", (T((1, 4), F), T((1, 8), F)), (1, 12), "ConcatenationOptions", axis=1)
    yield one("rank1", "CONCATENATION", (T((4,), F), T((8,), F)), (12,), "ConcatenationOptions", axis=0)
    yield one("rank5", "CONCATENATION", (T((1, 2, 2, 2, 4), F),) * 2, (1, 2, 2, 2, 8), "ConcatenationOptions", axis=4)
    yield one(
        "relu",
        "CONCATENATION",
        (T(IMAGE, F), T(IMAGE, F)),
        (1, 8, 8, 8),
        "ConcatenationOptions",
        axis=3,
        fusedActivationFunction=RELU,
    )
    yield one(
        "uint8", "CONCATENATION", (T(IMAGE, "uint8"), T(IMAGE, "uint8")), (1, 8, 8, 8), "ConcatenationOptions", axis=3
    )
    yield one(
        "bool", "CONCATENATION", (T(IMAGE, "bool"), T(IMAGE, "bool")), (1, 8, 8, 8), "ConcatenationOptions", axis=3
    )
    yield one("batch", "PAD", (T(IMAGE, F), pads((1, 1), (0, 0), (0, 0), (0, 0))), (3, 8, 8, 4), "PadOptions")
    yield one("channels", "PAD", (T(IMAGE, F), pads((0, 0), (0, 0), (0, 0), (1, 2))), (1, 8, 8, 7), "PadOptions")
    yield one("rank2", "PAD", (T((4, 8), F), pads((0, 0), (1, 1))), (4, 10), "PadOptions")
    yield one("rank3", "PAD", (T((1, 4, 8), F), pads((0, 0), (1, 1), (0, 0))), (1, 6, 8), "PadOptions")
    yield one(
        "rank5",
        "PAD",
        (T((1, 2, 4, 4, 4), F), pads((0, 0), (1, 1), (0, 0), (0, 0), (0, 0))),
        (1, 4, 4, 4, 4),
        "PadOptions",
    )
    yield one("moving_pads", "PAD", (T((4, 8), F), T((2, 2), "int32", raw=True)), (4, 8), "PadOptions")
    yield one(
        "value2",
        "PADV2",
        (T(IMAGE, F), pads((0, 0), (1, 1), (1, 1), (0, 0)), T((1,), F, [2.0])),
        (1, 10, 10, 4),
        "PadV2Options",
    )
    yield one(
        "int32",
        "PADV2",
        (T(IMAGE, "int32"), pads((0, 0), (1, 1), (1, 1), (0, 0)), T((1,), "int32", [0])),
        (1, 10, 10, 4),
        "PadV2Options",
    )
    yield one(
        "symmetric",
        "MIRROR_PAD",
        (T(IMAGE, F), pads((0, 0), (1, 1), (1, 1), (0, 0))),
        (1, 10, 10, 4),
        "MirrorPadOptions",
        mode=1,
    )
    yield one(
        "channels",
        "MIRROR_PAD",
        (T(IMAGE, F), pads((0, 0), (0, 0), (0, 0), (1, 1))),
        (1, 8, 8, 6),
        "MirrorPadOptions",
        mode=0,
    )
    yield one(
        "symmetric_channels",
        "MIRROR_PAD",
        (T(IMAGE, F), pads((0, 0), (0, 0), (0, 0), (1, 1))),
        (1, 8, 8, 6),
        "MirrorPadOptions",
        mode=1,
    )
    yield one("rank2", "MIRROR_PAD", (T((4, 8), F), pads((0, 0), (1, 1))), (4, 10), "MirrorPadOptions", mode=0)


def slices() -> Iterator[Case]:
    kind = "StridedSliceOptions"
    full = (ints(0, 0, 0, 0), ints(1, 8, 8, 4))

    def strided(
        name: str, steps: T, output: tuple[int, ...], begin: T = full[0], end: T = full[1], **options: int
    ) -> Case:
        return one(name, "STRIDED_SLICE", (T(IMAGE, F), begin, end, steps), output, kind, **options)

    unit = ints(1, 1, 1, 1)
    yield strided("channel_step2", ints(1, 1, 1, 2), (1, 8, 8, 2))
    yield strided("shrink", unit, (1, 8, 4), ints(0, 2, 0, 0), ints(1, 3, 8, 4), shrinkAxisMask=2)
    yield strided("masks", unit, (1, 4, 8, 4), ints(0, 4, 0, 0), ints(0, 0, 0, 0), beginMask=13, endMask=15)
    yield strided("negative_end", unit, (1, 7, 7, 4), ints(0, 0, 0, 0), ints(1, -1, -1, 4))
    yield strided("negative_begin", unit, (1, 2, 8, 4), ints(0, -2, 0, 0), ints(1, 8, 8, 4))
    yield strided("backwards", ints(1, -1, 1, 1), (1, 8, 8, 4), ints(0, 7, 0, 0), ints(1, -9, 8, 4))
    yield one(
        "ellipsis",
        "STRIDED_SLICE",
        (T(IMAGE, F), ints(0, 0), ints(0, 2), ints(1, 1)),
        (1, 8, 8, 2),
        kind,
        ellipsisMask=1,
    )
    yield one("fewer", "STRIDED_SLICE", (T(IMAGE, F), ints(0, 2), ints(1, 6), ints(1, 1)), (1, 4, 8, 4), kind)
    yield one(
        "new_axis",
        "STRIDED_SLICE",
        (T((8, 4), F), ints(0, 0, 0), ints(1, 8, 4), ints(1, 1, 1)),
        (1, 8, 4),
        kind,
        newAxisMask=1,
    )
    yield one("rank2", "STRIDED_SLICE", (T((4, 8), F), ints(1, 0), ints(3, 8), ints(1, 2)), (2, 4), kind)
    yield one("rank1", "STRIDED_SLICE", (T((8,), F), ints(1), ints(5), ints(1)), (4,), kind)
    yield one("rank3", "STRIDED_SLICE", (T((1, 4, 8), F), ints(0, 1, 0), ints(1, 3, 8), ints(1, 1, 1)), (1, 2, 8), kind)
    yield one(
        "rank5",
        "STRIDED_SLICE",
        (T((1, 2, 4, 4, 4), F), ints(0, 0, 0, 0, 0), ints(1, 1, 4, 4, 4), ints(1, 1, 1, 1, 1)),
        (1, 1, 4, 4, 4),
        kind,
    )
    yield one(
        "batch", "STRIDED_SLICE", (T((4, 8, 8, 4), F), ints(1, 0, 0, 0), ints(3, 8, 8, 4), unit), (2, 8, 8, 4), kind
    )
    yield one(
        "moving_begin",
        "STRIDED_SLICE",
        (T((4, 8), F), T((2,), "int32", raw=True), ints(4, 8), ints(1, 1)),
        (4, 8),
        kind,
    )
    yield one("rest", "SLICE", (T(IMAGE, F), ints(0, 1, 1, 0), ints(-1, -1, 4, -1)), (1, 7, 4, 4), "SliceOptions")
    yield one("rank2", "SLICE", (T((4, 8), F), ints(1, 2), ints(2, 4)), (2, 4), "SliceOptions")
    yield one("rank3", "SLICE", (T((1, 4, 8), F), ints(0, 2, 0), ints(1, 2, 8)), (1, 2, 8), "SliceOptions")
    yield one("rank1", "SLICE", (T((8,), F), ints(2), ints(4)), (4,), "SliceOptions")
    yield one("batch", "SLICE", (T((4, 8, 8, 4), F), ints(1, 0, 0, 0), ints(2, 8, 8, 4)), (2, 8, 8, 4), "SliceOptions")
    yield one("channels", "SLICE", (T(IMAGE, F), ints(0, 0, 0, 1), ints(1, 8, 8, 2)), (1, 8, 8, 2), "SliceOptions")
    yield one("moving_begin", "SLICE", (T((4, 8), F), T((2,), "int32", raw=True), ints(2, 4)), (2, 4), "SliceOptions")
    for axis in (0, 2, 3):
        shape = [1, 8, 8, 4] if axis else [4, 8, 8, 4]
        picked = list(shape)
        picked[axis] = 2
        yield one(f"axis{axis}", "GATHER", (T(tuple(shape), F), ints(0, 2)), tuple(picked), "GatherOptions", axis=axis)
    moving = T((2,), "int32", raw=True)
    yield one("moving_indices", "GATHER", (T((4, 8), F), moving), (2, 8), "GatherOptions", axis=0)
    yield one("moving_indices_h", "GATHER", (T(IMAGE, F), moving), (1, 2, 8, 4), "GatherOptions", axis=1)
    yield one("scalar", "GATHER", (T((4, 8), F), scalar(2)), (8,), "GatherOptions", axis=0)
    yield one(
        "rank2_indices",
        "GATHER",
        (T((4, 8), F), T((2, 2), "int32", [[0, 1], [2, 3]], raw=True)),
        (2, 2, 8),
        "GatherOptions",
        axis=0,
    )
    yield one("stored_table", "GATHER", (weight((10, 8), F), moving), T((2, 8), F), "GatherOptions", axis=0)
    yield one(
        "stored_table_rank2",
        "GATHER",
        (weight((10, 8), F), T((1, 4), "int32", raw=True)),
        T((1, 4, 8), F),
        "GatherOptions",
        axis=0,
    )
    yield one("rank2_axis1", "GATHER", (T((1, 16), F), ints(3, 1)), (1, 2), "GatherOptions", axis=1)
    yield one(
        "batch_dims",
        "GATHER",
        (T((2, 8), F), T((2, 1), "int32", [[1], [3]], raw=True)),
        (2, 1),
        "GatherOptions",
        5,
        axis=1,
        batchDims=1,
    )
    for axis in (0, 1, 2):
        shape, half = [2, 8, 8, 4], [2, 8, 8, 4]
        half[axis] //= 2
        yield Case(
            f"SPLIT_axis{axis}",
            "SPLIT",
            (scalar(axis), T(tuple(shape), F)),
            (T(tuple(half), F),) * 2,
            "SplitOptions",
            {"numSplits": 2},
        )
    yield Case(
        "SPLIT_negative",
        "SPLIT",
        (scalar(-1), T(IMAGE, F)),
        (T((1, 8, 8, 1), F),) * 4,
        "SplitOptions",
        {"numSplits": 4},
    )
    yield Case("SPLIT_rank2", "SPLIT", (scalar(1), T((1, 8), F)), (T((1, 4), F),) * 2, "SplitOptions", {"numSplits": 2})
    yield Case(
        "SPLIT_rank3", "SPLIT", (scalar(2), T((1, 4, 8), F)), (T((1, 4, 4), F),) * 2, "SplitOptions", {"numSplits": 2}
    )
    uneven = (T(IMAGE, F), ints(1, 3), scalar(3))
    yield Case(
        "SPLIT_V_channels",
        "SPLIT_V",
        uneven,
        (T((1, 8, 8, 1), F), T((1, 8, 8, 3), F)),
        "SplitVOptions",
        {"numSplits": 2},
    )
    uneven = (T(IMAGE, Q), ints(2, 6), scalar(1))
    yield Case(
        "SPLIT_V_int8_h", "SPLIT_V", uneven, (T((1, 2, 8, 4), Q), T((1, 6, 8, 4), Q)), "SplitVOptions", {"numSplits": 2}
    )
    for axis in (1, 2):
        yield one(
            f"axis{axis}",
            "PACK",
            (T((8, 4), F),) * 2,
            (8, 2, 4) if axis == 1 else (8, 4, 2),
            "PackOptions",
            valuesCount=2,
            axis=axis,
        )
    yield one("rank1", "PACK", (T((4,), F),) * 2, (2, 4), "PackOptions", valuesCount=2, axis=0)
    yield one("rank3", "PACK", (T((1, 4, 8), F),) * 2, (1, 2, 4, 8), "PackOptions", valuesCount=2, axis=1)
    yield one("rank4", "PACK", (T(IMAGE, F),) * 2, (1, 2, 8, 8, 4), "PackOptions", valuesCount=2, axis=1)
    yield Case(
        "UNPACK_axis1", "UNPACK", (T((1, 2, 4), F),), (T((1, 4), F),) * 2, "UnpackOptions", {"num": 2, "axis": 1}
    )
    yield Case("UNPACK_rank2", "UNPACK", (T((2, 4), F),), (T((4,), F),) * 2, "UnpackOptions", {"num": 2, "axis": 0})
    yield Case(
        "UNPACK_rank4", "UNPACK", (T((1, 2, 8, 4), F),), (T((1, 8, 4), F),) * 2, "UnpackOptions", {"num": 2, "axis": 1}
    )
    yield Case(
        "UNPACK_rank4_last",
        "UNPACK",
        (T((1, 8, 8, 2), F),),
        (T((1, 8, 8), F),) * 2,
        "UnpackOptions",
        {"num": 2, "axis": 3},
    )


def resizes() -> Iterator[Case]:
    for op, kind in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    ):
        for name, options in (("aligned", {"alignCorners": True}), ("half", {"halfPixelCenters": True})):
            yield one(name, op, (T(IMAGE, F), ints(12, 12)), (1, 12, 12, 4), kind, 3, **options)
            yield one(f"{name}_16", op, (T(IMAGE, F), ints(16, 16)), (1, 16, 16, 4), kind, 3, **options)
        yield one("down", op, (T(IMAGE, F), ints(3, 5)), (1, 3, 5, 4), kind)
        yield one("batch2", op, (T((2, 8, 8, 4), F), ints(16, 16)), (2, 16, 16, 4), kind)
        yield one("moving_size", op, (T(IMAGE, F), T((2,), "int32", raw=True)), (1, 2, 2, 4), kind)
        yield one("uint8", op, (T(IMAGE, "uint8"), ints(16, 16)), (1, 16, 16, 4), kind)
    for times in ((1, 2, 1, 1), (1, 1, 1, 3), (2, 1, 1, 1)):
        shape = tuple(a * b for a, b in zip(IMAGE, times, strict=True))
        yield one("x".join(map(str, times)), "TILE", (T(IMAGE, F), ints(*times)), shape, "TileOptions")
    yield one("rank1", "TILE", (T((4,), F), ints(3)), (12,), "TileOptions")
    yield one("rank3", "TILE", (T((1, 4, 8), F), ints(1, 3, 1)), (1, 12, 8), "TileOptions")
    yield one("4", "SPACE_TO_DEPTH", (T(IMAGE, F),), (1, 2, 2, 64), "SpaceToDepthOptions", blockSize=4)
    yield one("batch2", "SPACE_TO_DEPTH", (T((2, 8, 8, 4), F),), (2, 4, 4, 16), "SpaceToDepthOptions", blockSize=2)
    yield one("16", "DEPTH_TO_SPACE", (T((1, 4, 4, 16), F),), (1, 8, 8, 4), "DepthToSpaceOptions", blockSize=2)
    yield one("uint8", "DEPTH_TO_SPACE", (T((1, 4, 4, 16), "uint8"),), (1, 8, 8, 4), "DepthToSpaceOptions", blockSize=2)
    for axis in (0, 1, 2, 3):
        yield one(f"axis{axis}", "REVERSE_V2", (T((2, 8, 8, 4), F), ints(axis)), (2, 8, 8, 4), "ReverseV2Options")
    yield one(
        "float32",
        "REVERSE_SEQUENCE",
        (T((2, 4, 8), F), ints(2, 3)),
        (2, 4, 8),
        "ReverseSequenceOptions",
        seqDim=1,
        batchDim=0,
    )


def others() -> Iterator[Case]:
    for name, shape in (
        ("rank3", (1, 4, 16)),
        ("rank3_batch2", (2, 4, 16)),
        ("rank2_batch3", (3, 16)),
        ("channels5", (1, 2, 2, 5)),
        ("rank5", (1, 2, 2, 2, 4)),
    ):
        yield one(name, "SOFTMAX", (T(shape, F),), shape, "SoftmaxOptions", beta=1.0)
    yield one("beta2", "SOFTMAX", (T((1, 16), F),), (1, 16), "SoftmaxOptions", beta=2.0)
    yield one(
        "uint8",
        "SOFTMAX",
        (T((1, 16), "uint8"),),
        T((1, 16), "uint8", scale=1 / 256, zero_point=0),
        "SoftmaxOptions",
        beta=1.0,
    )
    yield one("rank4", "L2_NORMALIZATION", (T(IMAGE, F),), IMAGE, "L2NormOptions")
    yield one("rank4", "LOG_SOFTMAX", (T(IMAGE, F),), IMAGE, "LogSoftmaxOptions")
    yield one(
        "float32",
        "LOCAL_RESPONSE_NORMALIZATION",
        (T(IMAGE, F),),
        IMAGE,
        "LocalResponseNormalizationOptions",
        radius=2,
        bias=1.0,
        alpha=1.0,
        beta=0.5,
    )
    for name, shape in (
        ("whole", (8, 8, 4)),
        ("rank1", (4,)),
        ("pixels", (8, 8, 1)),
        ("single", (1, 1, 1)),
        ("rank0", ()),
    ):
        yield one(f"alpha_{name}", "PRELU", (T(IMAGE, F), weight(shape, F)), IMAGE)
    yield one("alpha_moving", "PRELU", (T(IMAGE, F), T((1, 1, 4), F)), IMAGE)
    yield one("rank2", "PRELU", (T((1, 16), F), weight((16,), F)), (1, 16))
    yield one("rank3", "PRELU", (T((1, 8, 4), F), weight((1, 4), F)), (1, 8, 4))
    for name, shape, type in (
        ("rank4", (1, 2, 2, 16), F),
        ("rank1", (16,), F),
        ("int32", (1, 16), "int32"),
        ("batch3", (3, 16), F),
    ):
        three = (*shape[:-1], 3)
        yield Case(
            f"TOPK_V2_{name}",
            "TOPK_V2",
            (T(shape, type), scalar(3)),
            (T(three, type), T(three, "int32", raw=True)),
            "TopKV2Options",
        )
    two = T((1, 8, 8, 1), "bool")
    yield one("float32_broadcast", "SELECT_V2", (two, T(IMAGE, F), T(IMAGE, F)), T(IMAGE, F), "SelectV2Options")
    yield one(
        "float32_scalars", "SELECT_V2", (T(IMAGE, "bool"), T((), F, 1.0), T((), F, 2.0)), T(IMAGE, F), "SelectV2Options"
    )
    yield one(
        "float32_stored", "SELECT_V2", (T(IMAGE, "bool"), T(IMAGE, F), T((), F, 2.0)), T(IMAGE, F), "SelectV2Options"
    )
    yield one(
        "int32",
        "SELECT_V2",
        (T(IMAGE, "bool"), T(IMAGE, "int32"), T(IMAGE, "int32")),
        T(IMAGE, "int32"),
        "SelectV2Options",
    )
    yield one("rank2", "SELECT_V2", (T((1, 8), "bool"), T((1, 8), F), T((1, 8), F)), T((1, 8), F), "SelectV2Options")
    yield one("float32", "SELECT", (T(IMAGE, "bool"), T(IMAGE, F), T(IMAGE, F)), T(IMAGE, F), "SelectOptions")
    yield one("float32", "WHERE", (T((1, 8), "bool"),), T((8, 2), "int64", raw=True), "WhereOptions")
    yield one("to_uint8", "QUANTIZE", (T(IMAGE, F),), T(IMAGE, "uint8"), "QuantizeOptions")
    yield one("to_int16", "QUANTIZE", (T(IMAGE, F),), T(IMAGE, "int16"), "QuantizeOptions")
    yield one("int8_to_uint8", "QUANTIZE", (T(IMAGE, Q),), T(IMAGE, "uint8"), "QuantizeOptions")
    yield one("uint8", "DEQUANTIZE", (T(IMAGE, "uint8"),), T(IMAGE, F), "DequantizeOptions")
    yield one("float16", "DEQUANTIZE", (T(IMAGE, "float16"),), T(IMAGE, F), "DequantizeOptions")
    for a, b in (
        *((F, "bool"), ("int32", "bool"), ("bool", "int32"), (F, "int64"), ("int64", F), ("int32", "int64")),
        *(
            ("int64", "int32"),
            ("uint8", F),
            (F, "uint8"),
            (F, "int8"),
            (F, "float16"),
            ("float16", F),
            ("int32", "int8"),
        ),
    ):
        options = {"inDataType": CODES[a], "outDataType": CODES[b]}
        yield Case(f"CAST_{a}_{b}", "CAST", (T(IMAGE, a, raw=True),), (T(IMAGE, b, raw=True),), "CastOptions", options)
    rows = T((4,), "int32", raw=True)
    yield one("int8", "EMBEDDING_LOOKUP", (rows, weight((10, 8), Q)), T((4, 8), F))
    yield one("stored", "EMBEDDING_LOOKUP", (ints(1, 3), weight((10, 8), F)), T((2, 8), F))
    hot = (T((4,), "int32", raw=True), scalar(8), T((), F, 1.0), T((), F, 0.0))
    yield one("rank1", "ONE_HOT", hot, T((4, 8), F), "OneHotOptions", axis=-1)
    hot = (T((1, 4), "int32", raw=True), scalar(8), T((), F, 3.0), T((), F, -1.0))
    yield one("values", "ONE_HOT", hot, T((1, 4, 8), F), "OneHotOptions", axis=-1)
    hot = (T((1, 4), "int32", raw=True), scalar(8), scalar(1), scalar(0))
    yield one("int32", "ONE_HOT", hot, T((1, 4, 8), "int32", raw=True), "OneHotOptions", axis=-1)
    yield one("float32", "FILL", (ints(2, 3), T((), F)), T((2, 3), F), "FillOptions")
    yield one("float32", "ZEROS_LIKE", (T(IMAGE, F),), IMAGE, "ZerosLikeOptions")
    yield one("float32", "RANK", (T(IMAGE, F),), T((), "int32", raw=True), "RankOptions")
    yield one(
        "float32",
        "SCATTER_ND",
        (T((2, 1), "int32", [[0], [2]], raw=True), T((2, 8), F), ints(4, 8)),
        (4, 8),
        "ScatterNdOptions",
    )
    yield one(
        "float32", "DYNAMIC_UPDATE_SLICE", (T((4, 8), F), T((2, 8), F), ints(1, 0)), (4, 8), "DynamicUpdateSliceOptions"
    )
    yield one(
        "moving",
        "DYNAMIC_UPDATE_SLICE",
        (T((4, 8), F), T((2, 8), F), T((2,), "int32", raw=True)),
        (4, 8),
        "DynamicUpdateSliceOptions",
    )
    four, kind = T((4,), "int32", raw=True), "DynamicUpdateSliceOptions"
    yield one("moving_rank4", "DYNAMIC_UPDATE_SLICE", (T(IMAGE, F), T((1, 2, 8, 4), F), four), IMAGE, kind)
    three = T((3,), "int32", raw=True)
    yield one("moving_rank3", "DYNAMIC_UPDATE_SLICE", (T((1, 8, 4), F), T((1, 2, 4), F), three), (1, 8, 4), kind)
    yield one("float32_two", "ADD_N", (T(IMAGE, F), T(IMAGE, F)), IMAGE, "AddNOptions")
    for rank in (1, 2, 3):
        shape = (16,) if rank == 1 else (1, 8, 4)[:rank]
        yield one(f"int8_rank{rank}", "DEQUANTIZE", (T(shape, Q),), T(shape, F), "DequantizeOptions")
        yield one(f"float32_rank{rank}", "QUANTIZE", (T(shape, F),), T(shape, Q), "QuantizeOptions")
    yield one("float32", "MATRIX_DIAG", (T((1, 4), F),), (1, 4, 4), "MatrixDiagOptions")
    yield one("float32", "MATRIX_SET_DIAG", (T((1, 4, 4), F), T((1, 4), F)), (1, 4, 4), "MatrixSetDiagOptions")
    yield one("float32", "SEGMENT_SUM", (T((4, 8), F), ints(0, 0, 1, 1)), (2, 8), "SegmentSumOptions")
    yield one("float32_rank4", "BROADCAST_TO", (T((1, 1, 1, 4), F), ints(1, 8, 8, 4)), IMAGE, "BroadcastToOptions", 2)
    yield one("int32", "BITCAST", (T(IMAGE, F),), T(IMAGE, "int32", raw=True), "BitcastOptions")
    yield one("float32", "REAL", (T(IMAGE, F),), IMAGE)
    yield one("float32", "RELU_0_TO_1", (T(IMAGE, F),), IMAGE)
    yield one("float32", "FAKE_QUANT", (T(IMAGE, F),), IMAGE, "FakeQuantOptions", min=-1.0, max=1.0, numBits=8)
    yield one(
        "float32_rank4",
        "GATHER_ND",
        (T(IMAGE, F), T((2, 2), "int32", [[0, 1], [0, 2]], raw=True)),
        (2, 8, 4),
        "GatherNdOptions",
    )


def integers() -> Iterator[Case]:
    """16-bit tensors of different scales, and stored 32-bit integers."""
    wide, out = T(IMAGE, "int16", scale=1 / 1024, zero_point=0), T(IMAGE, "int16", scale=1 / 512, zero_point=0)
    for op in ("ADD", "SUB"):
        yield one("int16_other_scales", op, (T(IMAGE, "int16"), wide), out, BINARY_OPTIONS[op])
    total = T((1, 8, 8, 1), "int16", scale=1 / 1024, zero_point=0)
    yield one("int16_wide", "SUM", (T(IMAGE, "int16"), ints(3)), total, "ReducerOptions", keepDims=True)
    stored, image = T((4,), "int32", [1, 2, 3, 4]), T(IMAGE, "int32")
    for op in ("MAXIMUM", "MINIMUM", "FLOOR_DIV", "FLOOR_MOD", "DIV"):
        yield one("int32_stored", op, (image, stored), IMAGE, BINARY_OPTIONS[op])
        yield one("int32_stored_scalar", op, (image, scalar(2)), IMAGE, BINARY_OPTIONS[op])
    for op in ("ADD", "MUL", "SUB"):
        kind = BINARY_OPTIONS[op]
        yield one("int32_stored_scalar", op, (image, scalar(2)), IMAGE, kind)
        yield one("int32_stored_whole", op, (image, T(IMAGE, "int32", np.full(IMAGE, 2))), IMAGE, kind)
        yield one("int32_broadcast", op, (image, T((1, 1, 1, 4), "int32")), IMAGE, kind)
    for op in ("EQUAL", "LESS"):
        yield one("int32_stored", op, (image, stored), T(IMAGE, "bool"), COMPARISONS[op])
        yield one("int32_stored_scalar", op, (image, scalar(2)), T(IMAGE, "bool"), COMPARISONS[op])
    yield one("int32_stored", "SELECT_V2", (T(IMAGE, "bool"), image, scalar(2)), image, "SelectV2Options")
    ones, both = T(IMAGE, "int32", np.ones(IMAGE)), (1, 8, 8, 8)
    yield one("int32_stored", "CONCATENATION", (image, ones), both, "ConcatenationOptions", axis=3)
    borders = pads((0, 0), (1, 1), (1, 1), (0, 0))
    yield one("uint8", "PAD", (T(IMAGE, "uint8"), borders), (1, 10, 10, 4), "PadOptions")
    yield one("int64", "RESHAPE", (T(IMAGE, "int64"), ints(1, 256)), (1, 256), "ReshapeOptions")
    yield one("int64", "TRANSPOSE", (T(IMAGE, "int64"), ints(0, 2, 1, 3)), IMAGE, "TransposeOptions")


def flattened() -> Iterator[Case]:
    """FULLY_CONNECTED reads its input as rows, whatever its rank."""
    kernel, added = weight((8, 16), F), bias(8, F)
    for name, shape, rows in (
        *(("rank4_point", (1, 1, 1, 16), 1), ("rank3_point", (1, 1, 16), 1), ("rank4_points", (3, 1, 1, 16), 3)),
        *(("rank4_row_flattened", (1, 1, 4, 16), 4), ("rank4_batch_flattened", (1, 2, 4, 16), 8)),
        *(("rank2_split", (2, 32), 4), ("rank3_joined", (1, 2, 8), 1), ("rank3_wide", (1, 2, 32), 4)),
    ):
        yield one(name, "FULLY_CONNECTED", (T(shape, F), kernel, added), (rows, 8), "FullyConnectedOptions")
    given = (T((1, 1, 1, 16), Q), weight((8, 16), Q, 0), bias(8, Q))
    yield one("int8_rank4_point", "FULLY_CONNECTED", given, (1, 8), "FullyConnectedOptions")
    given = (T((1, 2, 2, 4), Q), weight((8, 16), Q, 0), bias(8, Q))
    yield one("int8_rank4_flattened", "FULLY_CONNECTED", given, (1, 8), "FullyConnectedOptions")


def matrices() -> Iterator[Case]:
    kind, a, heads = "BatchMatMulOptions", T((1, 4, 16), F), T((1, 3, 4, 16), F)
    yield one("float32_stored_rank2", "BATCH_MATMUL", (a, weight((16, 8), F)), (1, 4, 8), kind)
    yield one("float32_stored_rank2_heads", "BATCH_MATMUL", (heads, weight((16, 8), F)), (1, 3, 4, 8), kind)
    yield one("float32_stored_broadcast", "BATCH_MATMUL", (T((3, 4, 16), F), weight((1, 16, 8), F)), (3, 4, 8), kind)
    yield one("float32_stored_heads", "BATCH_MATMUL", (heads, weight((1, 3, 16, 8), F)), (1, 3, 4, 8), kind)
    yield one("float32_rank4_broadcast", "BATCH_MATMUL", (heads, T((1, 1, 16, 8), F)), (1, 3, 4, 8), kind)
    yield one("float32_rank4_adj_y", "BATCH_MATMUL", (heads, T((1, 3, 8, 16), F)), (1, 3, 4, 8), kind, adjY=True)
    yield one("float32_first_broadcast", "BATCH_MATMUL", (a, T((3, 16, 8), F)), (3, 4, 8), kind)
    yield one("float32_same_ranks_batch1", "BATCH_MATMUL", (a, T((16, 8), F)), (1, 4, 8), kind)


def batches() -> Iterator[Case]:
    two, wider = T((2, 8, 8, 4), F), pads((1, 1), (0, 0), (0, 0), (0, 0))
    yield one("batch2", "DEPTH_TO_SPACE", (T((2, 4, 4, 16), F),), (2, 8, 8, 4), "DepthToSpaceOptions", blockSize=2)
    yield one("batch", "MIRROR_PAD", (two, pads((1, 1), (0, 0), (0, 0), (0, 0))), (4, 8, 8, 4), "MirrorPadOptions")
    yield one("batch_of_2", "PAD", (two, pads((0, 0), (1, 1), (0, 0), (0, 0))), (2, 10, 8, 4), "PadOptions")
    yield one("rank3_batch", "PAD", (T((1, 4, 8), F), pads((1, 1), (0, 0), (0, 0))), (3, 4, 8), "PadOptions")
    yield one("batch", "PADV2", (T(IMAGE, F), wider, T((1,), F, [2.0])), (3, 8, 8, 4), "PadV2Options")
    yield one("float32_batch3", "CUMSUM", (T((3, 4), F), scalar(1)), (3, 4), "CumsumOptions")
    yield one("float32_w", "CUMSUM", (T(IMAGE, F), scalar(2)), IMAGE, "CumsumOptions")
    yield one(
        "float32_rank1", "ARG_MAX", (T((16,), F), scalar(0)), T((), "int32", raw=True), "ArgMaxOptions", outputType=2
    )
    options = {"padding": SAME, "strideW": 1, "strideH": 1, "depthMultiplier": 1}
    kernel = weight((1, 3, 3, 4), F)
    given, kind = (T(IMAGE, F), kernel, bias(4, F)), "DepthwiseConv2DOptions"
    yield one("float32_tanh", "DEPTHWISE_CONV_2D", given, IMAGE, kind, fusedActivationFunction=4, **options)
    given = (T(IMAGE, F), kernel, T((4,), F))
    yield one("float32_moving_bias", "DEPTHWISE_CONV_2D", given, IMAGE, kind, **options)
    given = (ints(1, 17, 17, 8), T((8, 3, 3, 4), F), T(IMAGE, F))
    options = {"padding": VALID, "strideW": 2, "strideH": 2}
    yield one("float32_moving_weights", "TRANSPOSE_CONV", given, (1, 17, 17, 8), "TransposeConvOptions", **options)


def fours() -> Iterator[Case]:
    """The GPU keeps channels in fours: along the last dimension, what fills the last four must not join in."""
    for channels in (4, 6, 7):
        shape, one_less = (1, 5, 5, channels), (1, 5, 5)
        last, image = f"channels{channels}", T((1, 5, 5, channels), F)
        for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
            yield one(f"{last}_last", op, (image, ints(3)), (*one_less, 1), "ReducerOptions", keepDims=True)
            yield one(f"{last}_whole", op, (image, ints(1, 2, 3)), (1, 1, 1, 1), "ReducerOptions", keepDims=True)
        best = T(one_less, "int32", raw=True)
        yield one(f"{last}_last", "ARG_MAX", (image, scalar(3)), best, "ArgMaxOptions", outputType=2)
        best = T((1, 5, channels), "int32", raw=True)
        yield one(f"{last}_h", "ARG_MAX", (image, scalar(1)), best, "ArgMaxOptions", outputType=2)
        yield one(last, "SOFTMAX", (image,), shape, "SoftmaxOptions", beta=1.0)
        yield one(last, "CUMSUM", (image, scalar(3)), shape, "CumsumOptions")
        yield one(f"{last}_last", "REVERSE_V2", (image, ints(3)), shape, "ReverseV2Options")
        yield one(f"{last}_h", "REVERSE_V2", (image, ints(1)), shape, "ReverseV2Options")
    for size in (8, 7, 10):
        found = (T((1, 3), F), T((1, 3), "int32", raw=True))
        yield Case(f"TOPK_V2_of{size}", "TOPK_V2", (T((1, size), F), scalar(3)), found, "TopKV2Options")
    deep = T((1, 8, 8, 4), F, np.linspace(0, 1, 256))
    yield one("stored_deeper", "ADD", (T((8, 8, 4), F), deep), (1, 8, 8, 4), "AddOptions")
    yield one("rank3_of_2", "PAD", (T((2, 4, 8), F), pads((0, 0), (1, 1), (0, 0))), (2, 6, 8), "PadOptions")
    alpha = weight((8, 8, 4), F)
    yield one("alpha_whole_batch2", "PRELU", (T((2, 8, 8, 4), F), alpha), (2, 8, 8, 4))
    yield one("alpha_whole_rank3", "PRELU", (T((8, 8, 4), F), alpha), (8, 8, 4))


def twins() -> Iterator[Case]:
    """What 8-bit cases without weights are with unsigned bytes, as older models have them."""
    weighted = (
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "TRANSPOSE_CONV",
        "FULLY_CONNECTED",
        "CAST",
        "ELU",
        "LOG",
        "SQRT",
        "RSQRT",
    )
    for name, case in CASES.items():
        unsigned = name.replace("int8", "uint8")
        if name.count("_int8") != 1 or case.op in weighted or unsigned in TAKEN:
            continue
        shifted = [
            tuple(one if one is None else _unsigned(one) for one in side) for side in (case.inputs, case.outputs)
        ]
        yield Case(unsigned, case.op, shifted[0], shifted[1], case.kind, case.options, case.version)


def _unsigned(tensor: T) -> T:
    if tensor.type != "int8":
        return tensor
    zero_point = None if tensor.zero_point is None else tensor.zero_point + 128
    values = None if tensor.values is None else np.asarray(tensor.values) + 128
    return replace(tensor, type="uint8", zero_point=zero_point, values=values)


MAKERS = (
    *(elementwise, binary, integers, convolutions, products, flattened, matrices, pools),
    *(reductions, shapes, slices, resizes, batches, fours, others),
)
TAKEN = {case.name for make in MAKERS for case in make()}
EDGES: dict[str, Case] = {case.name: case for make in (*MAKERS, twins) for case in make()}
