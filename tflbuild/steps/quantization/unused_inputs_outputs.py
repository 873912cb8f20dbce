"""Types of inputs that no operator reads, and of outputs that are constants. A quantizer leaves both in float32.

No operator computes with them, so they only need the declared type and a scale: that of the measured range, or of the
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
# The range of an input without samples. Any scale is correct, because no operator computes with the input.
UNMEASURED = (0.0, 1.0)

Ranges = Mapping[str, tuple[float, float]]


def type_unused_inputs_outputs(model: bytes, input_type: str, output_type: str, ranges: Ranges) -> bytes:
    """Give unused float32 inputs and constant float32 outputs the declared integer types.

    Args:
        model: A quantized .tflite.
        input_type: int8, uint8 or int16. Any other type leaves inputs unchanged.
        output_type: int8, uint8 or int16. Any other type leaves outputs unchanged.
        ranges: (smallest, largest) value by tensor name, or by input name of any signature.

    Returns:
        The bytes of the new model, or `model` if nothing had to change.
    """
    root = parse_model(model)
    changed = False
    for number, graph in enumerate(root.subgraphs):
        signatures = [entry for entry in root.signatureDefs or () if entry.subgraphIndex == number]
        if not signatures and number:
            # The body of a loop or of a branch has the types of the operator that calls it.
            continue
        names = {item.tensorIndex: item.name.decode() for entry in signatures for item in entry.inputs or ()}
        used_indices = {int(index) for op in graph.operators for index in op.inputs} | {
            int(index) for index in graph.outputs
        }
        for index in map(int, graph.inputs):
            tensor = graph.tensors[index]
            if input_type in TYPES and tensor.type == Type.FLOAT32 and index not in used_indices:
                tensor_name = tensor.name.decode("utf-8", "replace")
                set_type(
                    tensor,
                    input_type,
                    ranges.get(tensor_name) or ranges.get(names.get(index, tensor_name)) or UNMEASURED,
                )
                changed = True
        for index in map(int, graph.outputs):
            if output_type in TYPES and is_unused_constant(root, graph, index):
                store_output(root, graph.tensors[index], output_type)
                changed = True
    return write_aligned(root, len(model)) if changed else model


def is_unused_constant(root: Any, graph: Any, index: int) -> bool:
    """Return whether a tensor is a float32 constant that no operator reads or writes."""
    tensor = graph.tensors[index]
    stored = tensor.type == Type.FLOAT32 and has_values(root, tensor)
    return stored and not any(index in map(int, (*op.inputs, *op.outputs)) for op in graph.operators)


def store_output(root: Any, tensor: Any, type_name: str) -> None:
    """Store a constant output in the declared type, with the scale of its own range."""
    values = values_of(root, tensor).astype(np.float64)
    set_type(tensor, type_name, (float(values.min(initial=0.0)), float(values.max(initial=0.0))))
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    kind = TYPES[type_name][1]
    limits = np.iinfo(kind)
    codes = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(kind)
    tensor.buffer = add_buffer(root, codes.tobytes())


def set_type(tensor: Any, type_name: str, measured: tuple[float, float]) -> None:
    """Give a tensor an integer type and the scale of a range, which is extended to contain zero. int16 is symmetric."""
    low, high = min(measured[0], 0.0), max(measured[1], 0.0)
    limits = np.iinfo(TYPES[type_name][1])
    if type_name == "int16":
        scale, zero_point = max(-low, high) / limits.max or 1.0, 0
    else:
        scale = (high - low) / (limits.max - limits.min) or 1.0
        zero_point = int(np.clip(limits.min - np.rint(low / scale), limits.min, limits.max))
    tensor.type = TYPES[type_name][0]
    tensor.quantization = scale_parameters([scale], [zero_point])
