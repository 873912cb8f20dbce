"""Scales that are too small for a kernel, as of a model whose activations vanish: they are widened.

Where RELU6 is fused, a kernel divides 6 by the output's scale and refuses what does not fit 32 bits (`Quantize` of
tflite/kernels/kernel_util.cc). SOFTMAX of int8 multiplies its input's scale by 2^26, and ends the process where that is
not above 1 (`PreprocessSoftmaxScaling` of kernels/internal/quantization_util.cc). Values below such a scale are noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import write_aligned
from tflbuild.tflite.model_editing import parse_model
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph

STEPS = {"int8": 255, "int4": 255, "int16x8": 32767}
CLAMPED = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}
GREATEST = 2**31 - 1
LEAST_SOFTMAX_SCALE = 2.0**-25  # twice the limit, for a beta of 1
KEEP_SCALES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
# operators whose output's scale is theirs alone: a bias follows input and weights
FREE_SCALES = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL")


def widen_ranges(model: Model, ranges: Mapping[str, Any], scheme: str) -> dict[str, Any]:
    """Return ranges, tensor -> {min, max, rank}, with those widened that would get too small a scale."""
    widened = dict(ranges)
    for graph in model.subgraphs if scheme in STEPS else ():
        for index, least in _least_scales(graph, scheme):
            name = graph.tensors[index].name
            if name in widened:
                entry = widened[name]
                low, high = min(entry["min"], 0.0), entry["max"]
                widened[name] = {**entry, "max": max(high, low + least * STEPS[scheme])}
    return widened


def _least_scales(graph: Subgraph, scheme: str) -> Iterator[tuple[int, float]]:
    makers = {index: op for op in graph.ops for index in op.outputs}
    for op in graph.ops:
        clamp = CLAMPED.get(op.activation) or CLAMPED.get(op.name)
        if clamp:
            yield op.outputs[0], 2 * clamp / GREATEST
        if op.name == "SOFTMAX" and scheme != "int16x8":
            for index in _follow_back(op, makers):
                yield index, LEAST_SOFTMAX_SCALE / min(op.options.get("beta") or 1.0, 1.0)


def _follow_back(op: Operator, makers: Mapping[int, Operator]) -> Iterator[int]:
    """Yield the first input of an operator, and the tensors before it that have its scale."""
    index = op.inputs[0]
    yield index
    while (maker := makers.get(index)) is not None and maker.name in KEEP_SCALES:
        index = maker.inputs[0]
        yield index


def widen_softmax_inputs(model: bytes, contents: Model) -> bytes:
    """Return a quantized model whose int8 SOFTMAX operators take scales that their kernel takes.

    TFLiteConverter measures its own ranges, so its scales are changed afterwards: where an operator makes the tensor
    whose output may have any scale, and nothing else reads it.
    """
    changes = {
        (number, index)
        for number, graph in enumerate(contents.subgraphs)
        for op in graph.ops
        if op.name == "SOFTMAX" and graph.tensors[op.inputs[0]].type == "int8"
        for index in _chain_to_widen(op, graph)
    }
    if not changes:
        return model
    root = parse_model(model)
    for number, index in changes:
        quantization: schema.QuantizationParametersT = root.subgraphs[number].tensors[index].quantization
        quantization.scale = np.array([LEAST_SOFTMAX_SCALE], np.float32)
        quantization.min = quantization.max = None
    return write_aligned(root, len(model))


def _chain_to_widen(softmax: Operator, graph: Subgraph) -> list[int]:
    makers = {index: op for op in graph.ops for index in op.outputs}
    chain = list(_follow_back(softmax, makers))
    readers = [index for op in graph.ops for index in op.inputs]
    scales = graph.tensors[chain[0]].scales
    maker = makers.get(chain[-1])
    free = maker is not None and maker.name in FREE_SCALES and not maker.activation
    alone = all(readers.count(index) == 1 and index not in graph.outputs for index in chain)
    return chain if scales and scales[0] < LEAST_SOFTMAX_SCALE / 2 and free and alone else []
