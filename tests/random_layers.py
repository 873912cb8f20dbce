"""Drawers of convolutions, products, pools and recurrent layers, and of all operators together: see random_ops.py."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from one_op import SAME, VALID, Case, T
from random_ops import ELEMENTS, Draw, Drawer, Shape, draw_some
from random_shapes import SHAPES
from random_sums import SUMS

LAYER = ("float32", "int8", "int8", "int16")


def window(draw: Draw, size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """How many places a window has; 0 for none."""
    span = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == SAME else max(0, -(-(size - span + 1) // stride))


def weights(draw: Draw, shape: Shape, type: str, channels: int | None) -> T:
    """Stored mostly; of 8 bits with integers mostly, now and then with floats."""
    kind = type
    if type in ("int8", "int16"):
        kind = "int4" if draw.chance(0.05) else "int8"
    elif type == "float32" and draw.chance(0.1):
        kind = "int8"
    if kind == "int4":
        count = -(-int(np.prod(shape)) // 2)
        return T(shape, kind, draw.generator.integers(-128, 128, count), 1 / 512, 0, channels)
    if kind not in ("int8", "uint8"):
        return T(shape, kind, None if draw.chance(0.04) else draw.generator.integers(-3, 4, shape), raw=True)
    zero_point = 128 if kind == "uint8" else 0
    values = None if draw.chance(0.04) else draw.generator.integers(zero_point - 127, zero_point + 128, shape)
    return T(shape, kind, values, 1 / 512, zero_point, channels)


def bias(draw: Draw, count: int, given: T, channels: bool = False) -> T | None:
    if draw.chance(0.12):
        return None
    kinds = {"float32": "float32", "int16": "int32" if draw.chance(0.25) else "int64"}
    kind = kinds.get(given.type, "int32")
    values = None if draw.chance(0.03) else np.zeros(count)
    if kind == "float32":
        return T((count,), kind, values)
    return T((count,), kind, values, (given.scale or 1) / 512, 0, 0 if channels else None)


def without(draw: Draw, inputs: list[T | None]) -> list[T | None]:
    """An optional last one that is missing may be named as missing, or not at all."""
    return inputs[:-1] if inputs[-1] is None and draw.chance(0.5) else inputs


def image(draw: Draw) -> Shape:
    shape = draw.shape(4, 4)
    return shape if draw.chance(0.7) else (shape[0], *draw.pick(((16, 16), (1, 20), (9, 13))), draw.between(1, 8))


def strides(draw: Draw, across: int, down: int, **more: Any) -> dict[str, Any]:
    return {"strideW": across, "strideH": down, **more}


def conv_2d(draw: Draw) -> Case:
    shape, type = image(draw), draw.type(LAYER, ("uint8", "int32", "float16"), 0.1)
    down, across = draw.pick(((1, 1), (1, 1), (2, 2), (3, 3), (1, 2), (4, 4), (2, 1), (5, 3)))
    dilation = draw.pick((1, 1, 1, 2, 3))
    rows, columns = draw.pick(((1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (2, 4), (7, 1)))
    sides = ((shape[1], rows, down), (shape[2], columns, across))
    padding = draw.pick((SAME, VALID))
    if padding == VALID and min(window(draw, *side, dilation, padding) for side in sides) < 1:
        padding = SAME
    groups = draw.pick([1] * 8 + [number for number in (2, 3, shape[3]) if shape[3] % number == 0])
    count = draw.between(1, 5) * groups
    given = draw.tensor(shape, type)
    channels = 0 if draw.chance(0.6) else None
    kernel = weights(draw, (count, rows, columns, shape[3] // groups), type, channels)
    made = (shape[0], *(window(draw, *side, dilation, padding) for side in sides), count)
    options = {"padding": padding, "dilationWFactor": dilation, "dilationHFactor": dilation}
    options["fusedActivationFunction"] = draw.fused()
    inputs = without(draw, [given, kernel, bias(draw, count, given, channels == 0)])
    return draw.case(
        "CONV_2D", inputs, [draw.tensor(made, type)], "Conv2DOptions", **strides(draw, across, down, **options)
    )


def depthwise(draw: Draw) -> Case:
    shape, type = image(draw), draw.type(LAYER, ("uint8", "int32", "float16"), 0.1)
    stride = draw.pick(((1, 1), (1, 1), (2, 2), (3, 3), (1, 2), (4, 4)))
    dilation, multiplier = draw.pick((1, 1, 1, 2)), draw.pick((1, 1, 1, 2, 3))
    rows, columns = draw.pick(((1, 1), (3, 3), (3, 3), (5, 5), (1, 3)))
    sides = ((shape[1], rows, stride[0]), (shape[2], columns, stride[1]))
    padding = draw.pick((SAME, VALID))
    if padding == VALID and min(window(draw, *side, dilation, padding) for side in sides) < 1:
        padding = SAME
    given, count = draw.tensor(shape, type), shape[3] * multiplier
    channels = 3 if draw.chance(0.6) else None
    kernel = weights(draw, (1, rows, columns, count), type, channels)
    made = (shape[0], *(window(draw, *side, dilation, padding) for side in sides), count)
    options = {"padding": padding, "dilationWFactor": dilation, "dilationHFactor": dilation}
    options |= {"fusedActivationFunction": draw.fused(), "depthMultiplier": multiplier}
    inputs = without(draw, [given, kernel, bias(draw, count, given, channels is not None)])
    found = strides(draw, stride[1], stride[0], **options)
    return draw.case("DEPTHWISE_CONV_2D", inputs, [draw.tensor(made, type)], "DepthwiseConv2DOptions", **found)


def transpose_conv(draw: Draw) -> Case:
    shape, type = image(draw), draw.type(LAYER, ("uint8", "float16"), 0.08)
    down, across = draw.pick(((1, 1), (2, 2), (2, 2), (3, 3), (1, 2), (2, 1)))
    rows, columns = draw.pick(((1, 1), (2, 2), (3, 3), (4, 4), (1, 3)))
    count, padding = draw.between(1, 6), draw.pick((SAME, VALID))
    sides = ((shape[1], rows, down), (shape[2], columns, across))
    grown = [size * step + (max(0, kernel - step) if padding == VALID else 0) for size, kernel, step in sides]
    made = (shape[0], *grown, count)
    given = draw.tensor(shape, type)
    kernel = weights(draw, (count, rows, columns, shape[3]), type, 0 if draw.chance(0.6) else None)
    inputs = [draw.ints(made, long=0, moving=0.04), kernel, given, bias(draw, count, given, kernel.channels == 0)]
    if inputs[-1] is None:
        inputs = inputs[:-1]
    options = strides(
        draw, across, down, padding=padding, fusedActivationFunction=draw.fused() if draw.chance(0.3) else 0
    )
    version = 4 if options["fusedActivationFunction"] else 3
    return draw.case(
        "TRANSPOSE_CONV", inputs, [draw.tensor(made, type)], "TransposeConvOptions", version=version, **options
    )


def fully_connected(draw: Draw) -> Case:
    shape, type = draw.shape(1, 5), draw.type(LAYER, ("uint8", "int32", "float16"), 0.1)
    given, count = draw.tensor(shape, type), draw.size()
    kernel = weights(draw, (count, shape[-1]), type, 0 if draw.chance(0.4) else None)
    keep = len(shape) != 2 and draw.chance(0.6)
    made = (*shape[:-1], count) if keep else (int(np.prod(shape[:-1])), count)
    inputs = without(draw, [given, kernel, bias(draw, count, given)])
    options = {"keepNumDims": keep, "fusedActivationFunction": draw.fused()}
    return draw.case("FULLY_CONNECTED", inputs, [draw.tensor(made, type)], "FullyConnectedOptions", **options)


def batch_matmul(draw: Draw) -> Case:
    lead = draw.shape(1, 3)[: draw.between(0, 3)]
    rows, inner, columns = draw.size(), draw.size(), draw.size()
    type = draw.type(("float32", "int8", "int16"), ("uint8", "int32"), 0.08)
    turned, turned_too = draw.chance(0.2), draw.chance(0.3)
    first, second = lead, lead
    if draw.chance(0.15):
        second = tuple(1 for _ in lead)
    elif draw.chance(0.1):
        second = lead[1:]
    a = draw.tensor((*first, *((inner, rows) if turned else (rows, inner))), type)
    shape = (*second, *((columns, inner) if turned_too else (inner, columns)))
    kind = "int8" if type == "float32" and draw.chance(0.1) else type
    b = draw.stored(shape, kind) if draw.chance(0.3) else draw.tensor(shape, kind)
    options = {"adjX": turned, "adjY": turned_too}
    return draw.case(
        "BATCH_MATMUL", [a, b], [draw.tensor((*lead, rows, columns), type)], "BatchMatMulOptions", **options
    )


def pool(op: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        shape = image(draw)
        rows, columns = draw.pick(((2, 2), (2, 2), (3, 3), (1, 2), (8, 8), (9, 9), (shape[1], shape[2])))
        down, across = draw.pick(((1, 1), (2, 2), (2, 2), (3, 3), (4, 4), (rows, columns)))
        sides = ((shape[1], rows, down), (shape[2], columns, across))
        padding = draw.pick((SAME, VALID))
        if padding == VALID and min(window(draw, *side, 1, padding) for side in sides) < 1:
            padding = SAME
        given = draw.tensor(shape, draw.type())
        made = (shape[0], *(window(draw, *side, 1, padding) for side in sides), shape[3])
        options = strides(draw, across, down, padding=padding, filterWidth=columns, filterHeight=rows)
        options["fusedActivationFunction"] = draw.fused()
        return draw.case(op, [given], [draw.tensor(made, given.type, like=given)], "Pool2DOptions", **options)

    return drawn


def svdf(draw: Draw) -> Case:
    batch, size, units = draw.between(1, 3), draw.between(1, 8), draw.between(1, 6)
    rank, memory = draw.between(1, 2), draw.between(2, 6)
    type = draw.pick(("float32", "float32", "int8", "int8", "int16"))
    filters = units * rank
    quantized = type != "float32"
    given = T((batch, size), type, scale=1 / 32 if quantized else None, zero_point=0 if quantized else None)
    feature = draw.pick(("int8", "int8", "float32")) if not quantized and draw.chance(0.2) else type
    time = draw.pick(("int16", "int8")) if quantized else "float32"
    state = time if quantized and draw.chance(0.9) else "float32" if not quantized else draw.pick(("int8", "int16"))
    kernel, past = draw.stored((filters, memory), time), draw.tensor((batch, memory * filters), state)
    scale = (kernel.scale or 1) * (past.scale or 1) if draw.chance(0.9) else 1e-3
    inputs: list[T | None] = [
        given,
        draw.stored((filters, size), "int8" if feature == "int16" else feature),
        kernel,
        None
        if draw.chance(0.2)
        else T((units,), "int32" if quantized else "float32", np.zeros(units), scale if quantized else None, 0),
        replace(past, state=draw.chance(0.95)),
    ]
    options = {"rank": rank, "fusedActivationFunction": draw.pick((0, 0, 1))}
    return draw.case("SVDF", inputs, [draw.tensor((batch, units), type)], "SVDFOptions", **options)


def lstm(draw: Draw) -> Case:
    """24 inputs: weights and recurrent weights of four gates, peepholes, biases, projection, two states, norms."""
    batch, steps, size, units = draw.between(1, 2), draw.between(1, 4), draw.between(1, 6), draw.between(1, 6)
    type = draw.pick(("float32", "float32", "int8", "int8", "int16"))
    quantized, major = type != "float32", draw.chance(0.4)
    lead = (steps, batch) if major else (batch, steps)
    kind = "int8" if quantized or draw.chance(0.1) else "float32"

    def gate(shape: Shape) -> T:
        values = draw.generator.integers(-3, 4, shape)
        return T(shape, kind, values, 1 / 512 if kind == "int8" else None, 0 if kind == "int8" else None)

    def one_bias() -> T:
        wide = "int32" if type == "int8" else "int64" if quantized else "float32"
        return T((units,), wide, np.zeros(units), 1e-4 if quantized else None, 0 if quantized else None)

    states = ((type, 1 / 128), ("int16" if quantized else type, 1 / 2048))
    held = [
        T((batch, units), one, scale=scale if quantized else None, zero_point=0 if quantized else None, state=True)
        for one, scale in states
    ]
    inputs: list[T | None] = [T((*lead, size), type, scale=1 / 32 if quantized else None, zero_point=0)]
    inputs += [*(gate((units, size)) for _ in range(4)), *(gate((units, units)) for _ in range(4)), *[None] * 3]
    inputs += [*(one_bias() for _ in range(4)), None, None, *held, *[None] * 4]
    if draw.chance(0.12):
        inputs[1] = inputs[5] = inputs[12] = None  # the input gate is the forget gate's rest
    elif draw.chance(0.1):
        inputs[9 if inputs[1] else 10] = gate((units,))
    between = tuple(T((0,), "int16", scale=1 / 4096, zero_point=0) for _ in range(4 if quantized else 0))
    between += (T((0,), "int8", scale=1 / 128, zero_point=0),) if quantized else ()
    options = {"fusedActivationFunction": 4, "timeMajor": major, "cellClip": draw.pick((0.0, 10.0))}
    found = draw.case(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        [T((*lead, units), type, scale=1 / 128 if quantized else None, zero_point=0 if quantized else None)],
        "UnidirectionalSequenceLSTMOptions",
        **options,
    )
    return replace(found, intermediates=between)


def circular_buffer(draw: Draw) -> Case:
    depth, cycles = draw.between(1, 6), draw.between(1, 5)
    type = draw.type(("int8",), ("float32", "int16"), 0.3)
    given = draw.tensor((1, 1, 1, depth) if draw.chance(0.9) else (1, 2, 2, depth), type)
    options = bytes(flexbuffers.Dumps({"cycles_max": cycles})) if draw.chance(0.7) else b""
    out = draw.tensor((1, cycles, 1, depth), type, like=given)
    return Case(f"CIRCULAR_BUFFER_{draw.name}", "CIRCULAR_BUFFER", (given,), (out,), custom=options)


def detection(draw: Draw) -> Case:
    boxes, classes, most = draw.between(2, 20), draw.between(1, 5), draw.between(1, 5)
    type = draw.pick(("float32", "float32", "uint8", "int8"))
    quantized = {"scale": 1 / 32, "zero_point": 0} if type != "float32" else {}
    anchors = T((boxes, 4), type, np.ones((boxes, 4)), **quantized)
    background = draw.between(0, 1)
    inputs = (T((1, boxes, 4), type, **quantized), T((1, boxes, classes + background), type, **quantized), anchors)
    count = most * draw.pick((1, 1, 2))
    outs = [T(shape, "float32") for shape in ((1, count, 4), (1, count), (1, count), (1,))]
    options: dict[str, Any] = {
        "max_detections": most,
        "max_classes_per_detection": count // most,
        "num_classes": classes,
    }
    options |= {"detections_per_class": 10, "use_regular_nms": draw.chance(0.4)}
    options |= {"nms_score_threshold": 0.1, "nms_iou_threshold": 0.5}
    options |= {f"{side}_scale": 5.0 for side in ("x", "y", "w", "h")}
    name = "TFLite_Detection_PostProcess"
    return Case(f"{name}_{draw.name}", name, inputs, tuple(outs), custom=bytes(flexbuffers.Dumps(options)))


LAYERS: dict[str, Drawer] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "BATCH_MATMUL": batch_matmul,
    **{op: pool(op) for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")},
    "SVDF": svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "CIRCULAR_BUFFER": circular_buffer,
    "TFLite_Detection_PostProcess": detection,
}
DRAWERS: dict[str, Drawer] = {**ELEMENTS, **SHAPES, **SUMS, **LAYERS}


def draw_cases(seed: int, count: int, ops: Container[str] = DRAWERS, floats: float = 1.0) -> dict[str, Case]:
    """So many cases, by name, of these operators; `floats` is the share of float32 that is not drawn as integers."""
    drawers = {op: draw for op, draw in DRAWERS.items() if op in ops}
    return {case.name: case for case in draw_some(seed, count, drawers, floats)}
