"""Channels whose weights are about 0, and whose bias therefore does not fit: they get a scale that holds it.

An int32 bias has the scale of the input times that of its channel's weights. Where training left a channel with weights
of 1e-12 and a bias of -0.8, the quantizer takes the scale from the weights, and the bias ends at the limit of int32: a
millionth of what it was. With a wider scale the weights become 0, which they were, and the bias is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.kernel_requirements import FILTERS
from tflbuild.tflite.model_editing import builtin, has_values, parse_model

LIMIT = 2**31 - 1
GREATEST_CODE = 2.0**30  # of a bias that gets a new scale: half of what int32 holds
KINDS = {getattr(schema.BuiltinOperator, name): places for name, places in FILTERS.items()}


def keep_biases(root: Any, source: bytes) -> bool:
    """Widen scales of channels whose bias is cut off at the limit of int32. Return whether there were any.

    Filters of 4 bits and those whose values several tensors share keep their scales.

    Args:
        root: What the LiteRT quantizer made of `source`; tensors keep their names.
        source: The float model.
    """
    cut_off = [
        (graph, op, places)
        for graph in root.subgraphs
        for op in graph.operators
        if (places := KINDS.get(builtin(root, op))) is not None and _is_cut_off(root, graph, op, places.bias)
    ]
    if not cut_off:
        return False
    biases = _float_constants(parse_model(source))
    for graph, op, places in cut_off:
        fed, filter_, bias = (graph.tensors[op.inputs[place]] for place in (places.input, places.filter, places.bias))
        stored = filter_.type == schema.TensorType.INT8 and has_values(root, filter_)
        if stored and bias.name in biases and not _is_shared(root, filter_) and not _is_shared(root, bias):
            _widen(root, fed, filter_, bias, biases[bias.name], places.axis)
    return True


def _is_shared(root: Any, tensor: Any) -> bool:
    return bool(sum(other.buffer == tensor.buffer for graph in root.subgraphs for other in graph.tensors) > 1)


def _is_cut_off(root: Any, graph: Any, op: Any, place: int) -> bool:
    if place >= len(op.inputs) or op.inputs[place] < 0:
        return False
    bias = graph.tensors[op.inputs[place]]
    if bias.type != schema.TensorType.INT32 or bias.quantization is None or not has_values(root, bias):
        return False
    codes = np.frombuffer(bytes(root.buffers[bias.buffer].data), np.int32).astype(np.int64)
    return bool((np.abs(codes) >= LIMIT).any())


def _float_constants(root: Any) -> dict[bytes, np.ndarray]:
    """Return the stored float32 vectors of a model, by name."""
    return {
        tensor.name: np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.float32)
        for graph in root.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.FLOAT32 and len(tensor.shape) <= 1 and has_values(root, tensor)
    }


def _widen(root: Any, fed: Any, filter_: Any, bias: Any, values: np.ndarray, axis: int) -> None:
    """Give the channels of an operator whose bias does not fit a scale at which it does."""
    input_scale = float(fed.quantization.scale[0])
    scales = np.asarray(filter_.quantization.scale, np.float64)
    needed = np.abs(values.astype(np.float64)) / GREATEST_CODE / input_scale
    fits = np.abs(values.astype(np.float64)) < LIMIT * scales * input_scale
    if scales.size == 1:
        widened = np.maximum(scales, needed.max()) if not fits.all() else scales
    else:
        widened = np.where(fits, scales, np.maximum(scales, needed))
    widened = widened.astype(np.float32).astype(np.float64)
    shape = [1] * len(filter_.shape)
    shape[axis] = -1
    ratio = (scales / widened).reshape(shape if scales.size > 1 else [1] * len(shape))
    codes = np.frombuffer(bytes(root.buffers[filter_.buffer].data), np.int8).reshape(filter_.shape)
    _store(root, filter_, np.rint(codes * ratio).astype(np.int8), widened)
    bias_scales = (widened * input_scale).astype(np.float32).astype(np.float64)
    exact = np.clip(np.rint(values / bias_scales), -LIMIT, LIMIT)
    kept = np.frombuffer(bytes(root.buffers[bias.buffer].data), np.int32)
    _store(root, bias, np.where(widened == scales, kept, exact).astype(np.int32), bias_scales)


def _store(root: Any, tensor: Any, codes: np.ndarray, scales: np.ndarray) -> None:
    root.buffers[tensor.buffer].data = np.frombuffer(codes.tobytes(), np.uint8)
    tensor.quantization.scale = scales.astype(np.float32)
    tensor.quantization.min = tensor.quantization.max = None
