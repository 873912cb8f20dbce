"""Constants that a quantizer leaves in float32, stored in fewer bits as the scheme says.

A lookup reads the codes of its table, and the rows are dequantized after it. Every other constant is dequantized by a
DEQUANTIZE before its reader, which the runtime runs once. Only schemes with float activations need this: integer
operators do not accept a float32 constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.core.schemes import SCHEMES
from tflbuild.tflite.buffer_placement import write_aligned
from tflbuild.tflite.constant_storage import (
    StoredConstant,
    add_dequantize,
    add_stored,
    drop_unused,
    find_stored,
    share_buffers,
    values_of,
)
from tflbuild.tflite.kernel_requirements import FILTERS
from tflbuild.tflite.model_editing import add_operator, add_tensor, builtin, find_opcode, parse_model

Builtin = schema.BuiltinOperator
Type = schema.TensorType

# A smaller constant takes about as many bytes as the operator that would dequantize it.
SMALLEST_BYTES = 1024
LOOKUPS = (Builtin.GATHER, Builtin.GATHER_ND)
CONVERSIONS = (Builtin.QUANTIZE, Builtin.DEQUANTIZE)
# A vector at this input or a later one is a bias, which kernels add in float32.
FIRST_BIAS_INDEX = 2
# Operator -> the axis of its filter that counts output channels (tensorflow/lite/kernels: conv.cc, conv3d.cc, ...).
CHANNEL_AXES = {
    **{getattr(Builtin, name): places.axis for name, places in FILTERS.items()},
    Builtin.CONV_3D: 4,
    Builtin.CONV_3D_TRANSPOSE: 3,
}
LARGEST_CODES = {8: 127, 4: 7}
CODES = {16: Type.FLOAT16, 8: Type.INT8, 4: Type.INT4}
# The first versions of GATHER that support int8 and int4.
GATHER_VERSIONS = {8: 2, 4: 7}
# The smallest normal float16.
SMALLEST_ROW_FACTOR = 2.0**-14
ROW_FACTOR_BYTES = 2

# Number of values that are converted to float64 at a time, to limit memory.
CHUNK = 2**20

# (operator, name of its first output) -> name of its scheme
SchemeOf = Callable[[str, str], str]


@dataclass(frozen=True)
class ConstantUse:
    """A float32 constant of more than 1 KiB, and the operator that reads it: `op.inputs[place]`."""

    graph: Any
    op: Any
    kind: int
    place: int
    bits: int

    @property
    def tensor(self) -> Any:
        """Return the constant, as the schema's object."""
        return self.graph.tensors[self.op.inputs[self.place]]

    @property
    def looked_up(self) -> bool:
        """Return whether the constant is the table of a lookup."""
        return self.kind in LOOKUPS and self.place == 0

    @property
    def row_bytes(self) -> float:
        """Return the number of bytes that the codes of a row of the table need."""
        return float(math.prod(self.tensor.shape[1:]) * self.bits / 8)

    @property
    def by_rows(self) -> bool:
        """Return whether the lookup selects whole rows along the first axis."""
        options = self.op.builtinOptions
        return self.kind == Builtin.GATHER and not options.axis and not options.batchDims and len(self.tensor.shape) > 1


def compress_constants(model: bytes, scheme_of: SchemeOf, granularity: str = "per_channel") -> bytes:
    """Store every float32 constant above 1 KiB as its operator's scheme says, and equal constants only once.

    Args:
        model: A .tflite from a quantizer.
        scheme_of: Returns the scheme of an operator, from its kind and the name of its first output.
        granularity: `per_tensor` gives every constant one scale. Otherwise filters have a scale for each channel.

    Returns:
        The bytes of the new model, or `model` if nothing had to change.
    """
    root = parse_model(model)
    uses = list(find_uses(root, scheme_of))
    new_tensors: dict[Any, int] = {}
    for use in uses:
        if use.looked_up and use.bits < 16:
            look_up_codes(root, use, granularity, new_tensors)
        else:
            dequantize_before(root, use, granularity, new_tensors)
    shared = share_buffers(root, SMALLEST_BYTES)
    if not uses and not shared:
        return model
    drop_unused(root)
    return write_aligned(root, len(model))


def find_uses(root: Any, scheme_of: SchemeOf) -> Iterator[ConstantUse]:
    """Yield the uses of float32 constants that the scheme stores in fewer bits, one for each reading operator."""
    names = {value: name for name, value in vars(Builtin).items() if isinstance(value, int)}
    for graph in root.subgraphs:
        for op in graph.operators:
            kind = builtin(root, op)
            name = graph.tensors[op.outputs[0]].name.decode("utf-8", "replace") if len(op.outputs) else ""
            scheme = SCHEMES[scheme_of(names.get(kind, ""), name)]
            if kind == Builtin.CUSTOM or kind in CONVERSIONS or scheme.mode == "static" or not scheme.weights:
                continue
            for position, tensor_index in enumerate(op.inputs):
                use = ConstantUse(graph, op, kind, position, scheme.weights)
                if tensor_index >= 0 and is_large_float(root, use.tensor) and not is_parameter(use):
                    yield replace(use, bits=stored_bits(use))


def is_large_float(root: Any, tensor: Any) -> bool:
    """Return whether a tensor is a float32 constant of more than 1 KiB."""
    data = root.buffers[tensor.buffer].data
    return tensor.type == Type.FLOAT32 and data is not None and len(data) > SMALLEST_BYTES and not tensor.isVariable


def is_parameter(use: ConstantUse) -> bool:
    """Return whether a constant is a bias, or any other vector except a table if the scheme has 8 bits or fewer."""
    if use.looked_up or sum(size > 1 for size in use.tensor.shape) > 1:
        return False
    return use.bits < 16 or use.place >= FIRST_BIAS_INDEX


def stored_bits(use: ConstantUse) -> int:
    """Return the bit width of the codes. int4 is only for rows that fill whole bytes: GATHER misreads others."""
    if use.bits != 4:
        return use.bits
    return 4 if use.looked_up and use.by_rows and math.prod(use.tensor.shape[1:]) % 2 == 0 else 8


def dequantize_before(root: Any, use: ConstantUse, granularity: str, new_tensors: dict[Any, int]) -> None:
    """Insert a DEQUANTIZE between the constant and its operator, or reuse that of another reader."""
    axis = CHANNEL_AXES.get(use.kind) if use.place == 1 and granularity != "per_tensor" else None
    key = (id(use.graph), int(use.op.inputs[use.place]), use.bits, axis)
    if key not in new_tensors:
        new_tensors[key] = add_dequantize(root, use.graph, store(root, use, axis), use.tensor)
    use.op.inputs = replaced(use.op.inputs, use.place, new_tensors[key])


def store(root: Any, use: ConstantUse, axis: int | None) -> int:
    """Add a tensor that contains the constant in fewer bits, and return its index.

    Args:
        root: The ModelT.
        use: The constant and its reader.
        axis: The axis along which scales differ, None for one scale.
    """
    values = values_of(root, use.tensor)
    if use.bits == 16:
        # float32 to float16 rounds to the nearest on every CPU.
        # The step `check` reports values that overflow.
        with np.errstate(over="ignore"):
            return add_stored(root, use.graph, use.tensor, StoredConstant(Type.FLOAT16, values.astype(np.float16)))
    other_axes = None if axis is None else tuple(other for other in range(values.ndim) if other != axis)
    scales = find_scales(np.abs(values).max(axis=other_axes, keepdims=True), use.bits)
    stored = StoredConstant(CODES[use.bits], find_codes(values, scales, use.bits), scales.ravel(), axis or 0)
    return add_stored(root, use.graph, use.tensor, stored)


def find_codes(values: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    """Return the nearest codes of values, computed in float64.

    Args:
        values: float32 values of any shape.
        scales: float64, broadcastable to `values`.
        bits: 8 or 4.

    Returns:
        int8 codes in the shape of `values`.
    """
    codes = np.empty(values.shape, np.int8)
    limit, rows = LARGEST_CODES[bits], max(1, CHUNK * len(values) // values.size)
    for start in range(0, len(values), rows):
        chunk = slice(start, start + rows)
        steps = values[chunk] / (scales[chunk] if len(scales) > 1 else scales)
        codes[chunk] = np.clip(np.rint(steps), -limit, limit)
    return codes


def find_scales(peaks: np.ndarray, bits: int) -> np.ndarray:
    """Return symmetric scales for the largest magnitudes `peaks`.

    Scales are float32 values in float64. The scale is 1 where all values are 0.
    """
    scales = (peaks.astype(np.float64) / LARGEST_CODES[bits]).astype(np.float32).astype(np.float64)
    return np.where(scales > 0, scales, 1.0)


def look_up_codes(root: Any, use: ConstantUse, granularity: str, new_tensors: dict[Any, int]) -> None:
    """Rewrite [table, GATHER] as [codes, GATHER, DEQUANTIZE].

    Where the scales of rows differ, the result is multiplied by a looked-up factor for each row.
    """
    graph, op = use.graph, use.op
    rows = graph.tensors[op.outputs[0]]
    key = (id(graph), int(op.inputs[0]), use.bits, "table")
    if key not in new_tensors:
        new_tensors[key], factors = store_table(root, use, granularity)
        new_tensors[(*key, "factors")] = -1 if factors is None else store_factors(root, use, factors)
    indices, factors_tensor = int(op.inputs[1]), new_tensors[(*key, "factors")]
    table = graph.tensors[new_tensors[key]]
    name = rows.name
    codes = add_tensor(graph, name, rows.shape, rows.shapeSignature, table.type, table.quantization)
    op.opcodeIndex, op.inputs = find_lookup_opcode(root, use), replaced(op.inputs, 0, new_tensors[key])
    real_rows, position = int(op.outputs[0]), graph.operators.index(op) + 1
    op.outputs = np.array([codes], np.int32)
    rows.name = name + b"_dequant"
    if factors_tensor < 0:
        add_operator(root, graph, position, Builtin.DEQUANTIZE, [codes], [real_rows])
        return
    shape, shape_signature = (one_value_a_row(sizes, use) for sizes in (rows.shape, rows.shapeSignature))
    unscaled = add_tensor(graph, name + b"_codes", rows.shape, rows.shapeSignature, Type.FLOAT32)
    factor = add_tensor(graph, name + b"_factor", shape, shape_signature, Type.FLOAT32)
    add_operator(root, graph, position, Builtin.DEQUANTIZE, [codes], [unscaled])
    add_operator(
        root, graph, position + 1, Builtin.GATHER, [factors_tensor, indices], [factor], schema.GatherOptionsT()
    )
    add_operator(root, graph, position + 2, Builtin.MUL, [unscaled, factor], [real_rows], schema.MulOptionsT())


def find_lookup_opcode(root: Any, use: ConstantUse) -> int:
    """Return the index of an operator code for the lookup, of a version that supports the codes."""
    old_version = root.operatorCodes[use.op.opcodeIndex].version
    return find_opcode(root, use.kind, max(old_version, GATHER_VERSIONS[use.bits] if use.kind == Builtin.GATHER else 1))


def one_value_a_row(sizes: Any, use: ConstantUse) -> Any:
    """Return the shape of the looked-up factors: that of the looked-up rows, with 1 for the sizes of a row."""
    if sizes is None or not len(sizes):
        return sizes
    width = len(use.tensor.shape) - 1
    return np.array([*list(sizes)[: len(sizes) - width], *[1] * width], np.int32)


def store_table(root: Any, use: ConstantUse, granularity: str) -> tuple[int, np.ndarray | None]:
    """Store the codes of a lookup table, and compute the factors of its rows.

    A table shares codes that another operator already has, if those have a scale for each row.

    Returns:
        The index of the new tensor, and float16 factors [rows, 1], or None where all rows have one scale.
    """
    values = values_of(root, use.tensor)
    flat = values.reshape(len(values), -1)
    existing = find_stored(root, use.tensor, values, CODES[use.bits]) if use.by_rows else None
    peaks = np.abs(flat).max(axis=1, keepdims=True)
    scales = find_scales(peaks, use.bits) if existing is None else existing.scales.reshape(-1, 1)
    if existing is None and not (use.by_rows and granularity != "per_tensor" and rows_differ(scales, use)):
        scale = find_scales(peaks.max(keepdims=True), use.bits)
        codes = find_codes(flat, scale, use.bits).reshape(values.shape)
        return add_stored(root, use.graph, use.tensor, StoredConstant(CODES[use.bits], codes, scale.ravel())), None
    largest_scale = scales.max()
    factors = np.maximum(scales / largest_scale, SMALLEST_ROW_FACTOR).astype(np.float16)
    if existing is not None:
        stored = replace(existing, scales=np.array([largest_scale]))
    else:
        codes = find_codes(flat, factors.astype(np.float64) * largest_scale, use.bits).reshape(values.shape)
        stored = StoredConstant(CODES[use.bits], codes, np.array([largest_scale]))
    return add_stored(root, use.graph, use.tensor, stored), factors


def rows_differ(scales: np.ndarray, use: ConstantUse) -> bool:
    """Return whether a scale for each row halves the noise, for at most a quarter more bytes.

    The power of the noise is proportional to the mean of the squared scales. `fsum` is exact, so that all CPUs decide
    equally.
    """
    mean = math.fsum((scales.ravel() ** 2).tolist()) / scales.size
    return mean < float(scales.max()) ** 2 / 2 and use.row_bytes >= 4 * ROW_FACTOR_BYTES


def store_factors(root: Any, use: ConstantUse, factors: np.ndarray) -> int:
    """Store the factors of rows as float16, and return the index of their dequantized float32 tensor."""
    shape = (len(factors), *[1] * (len(use.tensor.shape) - 1))
    like = schema.TensorT()
    like.name, like.shape, like.hasRank = use.tensor.name + b"_factors", np.array(shape, np.int32), True
    stored = add_stored(root, use.graph, like, StoredConstant(Type.FLOAT16, factors.reshape(shape)))
    return add_dequantize(root, use.graph, stored, like)


def replaced(indices: Any, position: int, index: int) -> np.ndarray:
    """Return the inputs of an operator with the one at `position` replaced by tensor `index`."""
    changed = np.array(indices, np.int32)
    changed[position] = index
    return changed
