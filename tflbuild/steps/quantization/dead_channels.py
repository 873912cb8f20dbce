"""Larger scales for channels whose weights are about 0, and whose bias therefore does not fit.

The scale of an int32 bias is the scale of the input times that of its channel's weights. Training may leave a channel
with weights of 1e-12 and a bias of -0.8. The quantizer takes the scale from the weights, and the bias is cut off at the
limit of int32, a millionth of its value. With a larger scale the weights become 0, which they practically were, and the
bias is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.kernel_requirements import FILTERS
from tflbuild.tflite.model_editing import builtin, has_values, parse_model

LIMIT = 2**31 - 1
# The largest code of a bias that gets a new scale: half of the range of int32.
LARGEST_CODE = 2.0**30
KINDS = {getattr(schema.BuiltinOperator, name): places for name, places in FILTERS.items()}


def keep_biases(root: Any, source: bytes) -> bool:
    """Enlarge the scales of channels whose bias is cut off at the limit of int32, and return whether there were any.

    Filters of 4 bits and filters or biases that share their buffer keep their scales.

    Args:
        root: The ModelT that the LiteRT quantizer made from `source`. It is changed in place. Tensors keep their names.
        source: The bytes of the float model.
    """
    cut_off = [
        (graph, op, operands)
        for graph in root.subgraphs
        for op in graph.operators
        if (operands := KINDS.get(builtin(root, op))) is not None and _is_cut_off(root, graph, op, operands.bias)
    ]
    if not cut_off:
        return False
    biases = _float_constants(parse_model(source))
    for graph, op, operands in cut_off:
        input_, filter_, bias = (
            graph.tensors[op.inputs[index]] for index in (operands.input, operands.filter, operands.bias)
        )
        is_stored_int8 = filter_.type == schema.TensorType.INT8 and has_values(root, filter_)
        if is_stored_int8 and bias.name in biases and not _is_shared(root, filter_) and not _is_shared(root, bias):
            _enlarge_scales(root, input_, filter_, bias, biases[bias.name], operands.axis)
    return True


def _is_shared(root: Any, tensor: Any) -> bool:
    """Return whether several tensors have the buffer of this one."""
    return bool(sum(other.buffer == tensor.buffer for graph in root.subgraphs for other in graph.tensors) > 1)


def _is_cut_off(root: Any, graph: Any, op: Any, index: int) -> bool:
    """Return whether the input `index` of `op` is an int32 bias with a code at the limit of int32."""
    if index >= len(op.inputs) or op.inputs[index] < 0:
        return False
    bias = graph.tensors[op.inputs[index]]
    if bias.type != schema.TensorType.INT32 or bias.quantization is None or not has_values(root, bias):
        return False
    codes = np.frombuffer(bytes(root.buffers[bias.buffer].data), np.int32).astype(np.int64)
    return bool((np.abs(codes) >= LIMIT).any())


def _float_constants(root: Any) -> dict[bytes, np.ndarray]:
    """Return the stored float32 vectors and scalars of a model by tensor name."""
    return {
        tensor.name: np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.float32)
        for graph in root.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.FLOAT32 and len(tensor.shape) <= 1 and has_values(root, tensor)
    }


def _enlarge_scales(root: Any, input_: Any, filter_: Any, bias: Any, values: np.ndarray, axis: int) -> None:
    """Set the filter's scales so that the bias of every channel fits, and store the codes for these scales.

    Args:
        root: The quantized ModelT.
        input_: The input tensor.
        filter_: The int8 filter, with one scale or one for each channel.
        bias: The int32 bias.
        values: The float32 values of the bias [channels].
        axis: The axis of the filter that counts channels.
    """
    input_scale = float(input_.quantization.scale[0])
    scales = np.asarray(filter_.quantization.scale, np.float64)
    needed = np.abs(values.astype(np.float64)) / LARGEST_CODE / input_scale
    fits = np.abs(values.astype(np.float64)) < LIMIT * scales * input_scale
    if scales.size == 1:
        enlarged = np.maximum(scales, needed.max()) if not fits.all() else scales
    else:
        enlarged = np.where(fits, scales, np.maximum(scales, needed))
    enlarged = enlarged.astype(np.float32).astype(np.float64)
    shape = [1] * len(filter_.shape)
    shape[axis] = -1
    ratio = (scales / enlarged).reshape(shape if scales.size > 1 else [1] * len(shape))
    codes = np.frombuffer(bytes(root.buffers[filter_.buffer].data), np.int8).reshape(filter_.shape)
    _store(root, filter_, np.rint(codes * ratio).astype(np.int8), enlarged)
    bias_scales = (enlarged * input_scale).astype(np.float32).astype(np.float64)
    new_codes = np.clip(np.rint(values / bias_scales), -LIMIT, LIMIT)
    old_codes = np.frombuffer(bytes(root.buffers[bias.buffer].data), np.int32)
    _store(root, bias, np.where(enlarged == scales, old_codes, new_codes).astype(np.int32), bias_scales)


def _store(root: Any, tensor: Any, codes: np.ndarray, scales: np.ndarray) -> None:
    """Write codes and scales of a tensor."""
    root.buffers[tensor.buffer].data = np.frombuffer(codes.tobytes(), np.uint8)
    tensor.quantization.scale = scales.astype(np.float32)
    tensor.quantization.min = tensor.quantization.max = None
