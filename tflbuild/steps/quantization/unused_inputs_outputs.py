"""Inputs that no operator reads, and outputs that are constants: a quantizer leaves them in float32.

Nothing computes with them, so they only need the declared type and a scale: that of the measured range, or of the
constant's own values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import write_aligned
from tflbuild.tflite.constant_storage import values_of
from tflbuild.tflite.model_editing import add_buffer, has_values, parse_model, scale_parameters

Type = schema.TensorType
TYPES: dict[str, tuple[int, Any]] = {
    "int8": (Type.INT8, np.int8),
    "uint8": (Type.UINT8, np.uint8),
    "int16": (Type.INT16, np.int16),
}
UNMEASURED = (0.0, 1.0)  # for an input of which no sample is known: any scale is right where nothing is computed

Ranges = Mapping[str, tuple[float, float]]


def type_idle_interface(model: bytes, input_type: str, output_type: str, ranges: Ranges) -> bytes:
    """Give unread float32 inputs and constant float32 outputs the declared integer types.

    Args:
        model: A quantized .tflite.
        input_type: int8, uint8 or int16; `float32` leaves inputs as they are.
        output_type: The same of outputs.
        ranges: (least, greatest) value by input tensor or by input name of any signature.

    Returns:
        The bytes of the new model, or those of the given one where nothing was to be done.
    """
    root = parse_model(model)
    changed = False
    for number, graph in enumerate(root.subgraphs):
        signatures = [entry for entry in root.signatureDefs or () if entry.subgraphIndex == number]
        if not signatures and number:
            continue  # the body of a loop or of a branch: its caller decides
        names = {item.tensorIndex: item.name.decode() for entry in signatures for item in entry.inputs or ()}
        read = {int(index) for op in graph.operators for index in op.inputs} | {int(index) for index in graph.outputs}
        for index in map(int, graph.inputs):
            tensor = graph.tensors[index]
            if input_type in TYPES and tensor.type == Type.FLOAT32 and index not in read:
                own = tensor.name.decode("utf-8", "replace")
                set_type(tensor, input_type, ranges.get(own) or ranges.get(names.get(index, own)) or UNMEASURED)
                changed = True
        for index in map(int, graph.outputs):
            if output_type in TYPES and is_idle_constant(root, graph, index):
                store_output(root, graph.tensors[index], output_type)
                changed = True
    return write_aligned(root, len(model)) if changed else model


def is_idle_constant(root: Any, graph: Any, index: int) -> bool:
    """Return whether a tensor is a float32 constant that no operator reads or makes."""
    tensor = graph.tensors[index]
    stored = tensor.type == Type.FLOAT32 and has_values(root, tensor)
    return stored and not any(index in map(int, (*op.inputs, *op.outputs)) for op in graph.operators)


def store_output(root: Any, tensor: Any, type_name: str) -> None:
    """Store a constant output in the declared type, by the range of its own values."""
    values = values_of(root, tensor).astype(np.float64)
    set_type(tensor, type_name, (float(values.min(initial=0.0)), float(values.max(initial=0.0))))
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    kind = TYPES[type_name][1]
    limits = np.iinfo(kind)
    codes = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(kind)
    tensor.buffer = add_buffer(root, codes.tobytes())


def set_type(tensor: Any, type_name: str, measured: tuple[float, float]) -> None:
    """Give a tensor an integer type and the scale of a range, which always holds zero. int16 is symmetric."""
    low, high = min(measured[0], 0.0), max(measured[1], 0.0)
    limits = np.iinfo(TYPES[type_name][1])
    if type_name == "int16":
        scale, zero_point = max(-low, high) / limits.max or 1.0, 0
    else:
        scale = (high - low) / (limits.max - limits.min) or 1.0
        zero_point = int(np.clip(limits.min - np.rint(low / scale), limits.min, limits.max))
    tensor.type = TYPES[type_name][0]
    tensor.quantization = scale_parameters([scale], [zero_point])
