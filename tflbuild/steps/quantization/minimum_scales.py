"""Larger scales for tensors whose scale is too small for a kernel, as in a model whose activations vanish.

Where RELU6 is fused, a kernel divides 6 by the output's scale and refuses a quotient that does not fit 32 bits
(`Quantize` of tflite/kernels/kernel_util.cc). SOFTMAX of int8 multiplies its input's scale by 2^26, and ends the
process where the product is not above 1 (`PreprocessSoftmaxScaling` of kernels/internal/quantization_util.cc). Values
below such a scale are noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import write_aligned
from tflbuild.tflite.model_editing import parse_model
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph

# Scheme -> the number of quantization steps in the range of an activation.
STEPS = {"int8": 255, "int4": 255, "int16x8": 32767}
# Activation function -> the value at which it clamps.
CLAMPED = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}
LARGEST_INT32 = 2**31 - 1
# Twice the kernel's limit of 2^-26, for a beta of 1.
SMALLEST_SOFTMAX_SCALE = 2.0**-25
KEEP_SCALES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
# Operators whose output may have any scale, since no other scale depends on it: a bias follows input and weights.
FREE_SCALES = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL")


def enlarge_ranges(model: Model, ranges: Mapping[str, Any], scheme: str) -> dict[str, Any]:
    """Enlarge the ranges of tensors that would otherwise get too small a scale for a kernel.

    Args:
        model: The float model.
        ranges: Tensor name -> {min, max, rank}.
        scheme: The name of a scheme. Only static ones have activations with scales.

    Returns:
        All ranges, the enlarged ones in new dictionaries.
    """
    enlarged = dict(ranges)
    for graph in model.subgraphs if scheme in STEPS else ():
        for index, smallest_scale in _smallest_scales(graph, scheme):
            name = graph.tensors[index].name
            if name in enlarged:
                entry = enlarged[name]
                low, high = min(entry["min"], 0.0), entry["max"]
                enlarged[name] = {**entry, "max": max(high, low + smallest_scale * STEPS[scheme])}
    return enlarged


def _smallest_scales(graph: Subgraph, scheme: str) -> Iterator[tuple[int, float]]:
    """Yield (tensor index, smallest scale that the kernels accept) of a subgraph."""
    producers = {index: op for op in graph.ops for index in op.outputs}
    for op in graph.ops:
        clamp = CLAMPED.get(op.activation) or CLAMPED.get(op.name)
        if clamp:
            yield op.outputs[0], 2 * clamp / LARGEST_INT32
        if op.name == "SOFTMAX" and scheme != "int16x8":
            for index in _follow_back(op, producers):
                yield index, SMALLEST_SOFTMAX_SCALE / min(op.options.get("beta") or 1.0, 1.0)


def _follow_back(op: Operator, producers: Mapping[int, Operator]) -> Iterator[int]:
    """Yield the first input of an operator, and the tensors before it that share its scale."""
    index = op.inputs[0]
    yield index
    while (producer := producers.get(index)) is not None and producer.name in KEEP_SCALES:
        index = producer.inputs[0]
        yield index


def enlarge_softmax_inputs(model: bytes, contents: Model) -> bytes:
    """Enlarge scales of int8 SOFTMAX inputs that the kernel does not accept.

    TFLiteConverter measures its own ranges, so scales are changed after it. A scale is only changed where the operator
    that produces the tensor may write any scale, and nothing else reads the tensor.

    Args:
        model: A quantized .tflite.
        contents: The same model as `tflite_reader` returns it.

    Returns:
        The bytes of the changed model, or `model` if nothing had to change.
    """
    changes = {
        (number, index)
        for number, graph in enumerate(contents.subgraphs)
        for op in graph.ops
        if op.name == "SOFTMAX" and graph.tensors[op.inputs[0]].type == "int8"
        for index in _chain_to_enlarge(op, graph)
    }
    if not changes:
        return model
    root = parse_model(model)
    for number, index in changes:
        quantization: schema.QuantizationParametersT = root.subgraphs[number].tensors[index].quantization
        quantization.scale = np.array([SMALLEST_SOFTMAX_SCALE], np.float32)
        quantization.min = quantization.max = None
    return write_aligned(root, len(model))


def _chain_to_enlarge(softmax: Operator, graph: Subgraph) -> list[int]:
    """Return the tensors before a SOFTMAX whose scale must and can be enlarged, else an empty list."""
    producers = {index: op for op in graph.ops for index in op.outputs}
    chain = list(_follow_back(softmax, producers))
    readers = [index for op in graph.ops for index in op.inputs]
    scales = graph.tensors[chain[0]].scales
    producer = producers.get(chain[-1])
    scale_is_free = producer is not None and producer.name in FREE_SCALES and not producer.activation
    is_only_reader = all(readers.count(index) == 1 and index not in graph.outputs for index in chain)
    return chain if scales and scales[0] < SMALLEST_SOFTMAX_SCALE / 2 and scale_is_free and is_only_reader else []
