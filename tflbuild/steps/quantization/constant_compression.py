"""Constants that a quantizer leaves in float32, stored as the scheme says and widened where they are read.

A table that a lookup reads is looked up in its codes, and the rows are widened behind the lookup. Every other constant
is widened by a DEQUANTIZE before its reader, which the runtime runs once. Only schemes that leave activations in float
need this: integer operators take no float32 constant.
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

LEAST_BYTES = 1024  # what is smaller costs about as much as the operator that would widen it
LOOKUPS = (Builtin.GATHER, Builtin.GATHER_ND)
CONVERSIONS = (Builtin.QUANTIZE, Builtin.DEQUANTIZE)
FIRST_BIAS_PLACE = 2  # a vector at this input or behind it is a bias, which kernels add in float32
# Operator -> the axis of its filter that counts output channels (tensorflow/lite/kernels: conv.cc, conv3d.cc, ...).
CHANNEL_AXES = {
    **{getattr(Builtin, name): places.axis for name, places in FILTERS.items()},
    Builtin.CONV_3D: 4,
    Builtin.CONV_3D_TRANSPOSE: 3,
}
GREATEST = {8: 127, 4: 7}
CODES = {16: Type.FLOAT16, 8: Type.INT8, 4: Type.INT4}
GATHER_VERSIONS = {8: 2, 4: 7}  # the first that take int8 and int4
LEAST_ROW_FACTOR = 2.0**-14  # the smallest normal float16
ROW_FACTOR_BYTES = 2

CHUNK = 2**20  # values that are widened to float64 at a time

Wanted = Callable[[str, str], str]


@dataclass(frozen=True)
class ConstantUse:
    """A float32 constant of a size that matters, and the input of an operator that reads it."""

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
        """Return what a row of the table takes in codes."""
        return float(math.prod(self.tensor.shape[1:]) * self.bits / 8)

    @property
    def by_rows(self) -> bool:
        """Return whether the lookup takes whole rows along the first axis."""
        options = self.op.builtinOptions
        return self.kind == Builtin.GATHER and not options.axis and not options.batchDims and len(self.tensor.shape) > 1


def narrow_constants(model: bytes, wanted: Wanted, granularity: str = "per_channel") -> bytes:
    """Store every float32 constant above 1 KiB as its operator's scheme says, and equal constants once.

    Args:
        model: A .tflite, behind a quantizer.
        wanted: Gives the scheme of an operator, by its kind and the name of its first output.
        granularity: `per_tensor` gives every constant one scale.

    Returns:
        The bytes of the new model, or those of the given one where nothing was to be done.
    """
    root = parse_model(model)
    uses = list(find_uses(root, wanted))
    made: dict[Any, int] = {}
    for use in uses:
        if use.looked_up and use.bits < 16:
            look_up_codes(root, use, granularity, made)
        else:
            widen_before(root, use, granularity, made)
    shared = share_buffers(root, LEAST_BYTES)
    if not uses and not shared:
        return model
    drop_unused(root)
    return write_aligned(root, len(model))


def find_uses(root: Any, wanted: Wanted) -> Iterator[ConstantUse]:
    """Yield every float32 constant that the scheme narrows, with each operator that reads it."""
    names = {value: name for name, value in vars(Builtin).items() if isinstance(value, int)}
    for graph in root.subgraphs:
        for op in graph.operators:
            kind = builtin(root, op)
            name = graph.tensors[op.outputs[0]].name.decode("utf-8", "replace") if len(op.outputs) else ""
            scheme = SCHEMES[wanted(names.get(kind, ""), name)]
            if kind == Builtin.CUSTOM or kind in CONVERSIONS or scheme.mode == "static" or not scheme.weights:
                continue
            for place, index in enumerate(op.inputs):
                use = ConstantUse(graph, op, kind, place, scheme.weights)
                if index >= 0 and is_wide(root, use.tensor) and not is_parameter(use):
                    yield replace(use, bits=stored_bits(use))


def is_wide(root: Any, tensor: Any) -> bool:
    """Return whether a tensor is a float32 constant of more than 1 KiB."""
    data = root.buffers[tensor.buffer].data
    return tensor.type == Type.FLOAT32 and data is not None and len(data) > LEAST_BYTES and not tensor.isVariable


def is_parameter(use: ConstantUse) -> bool:
    """Return whether a constant holds one value a channel: a bias, or at 8 bits and less any vector but a table."""
    if use.looked_up or sum(size > 1 for size in use.tensor.shape) > 1:
        return False
    return use.bits < 16 or use.place >= FIRST_BIAS_PLACE


def stored_bits(use: ConstantUse) -> int:
    """Return the width of the codes. int4 is for rows that fill whole bytes: GATHER reads others wrongly."""
    if use.bits != 4:
        return use.bits
    return 4 if use.looked_up and use.by_rows and math.prod(use.tensor.shape[1:]) % 2 == 0 else 8


def widen_before(root: Any, use: ConstantUse, granularity: str, made: dict[Any, int]) -> None:
    """Have the operator read the constant through a DEQUANTIZE, which other readers of it share."""
    axis = CHANNEL_AXES.get(use.kind) if use.place == 1 and granularity != "per_tensor" else None
    key = (id(use.graph), int(use.op.inputs[use.place]), use.bits, axis)
    if key not in made:
        made[key] = add_dequantize(root, use.graph, store(root, use, axis), use.tensor)
    use.op.inputs = replaced(use.op.inputs, use.place, made[key])


def store(root: Any, use: ConstantUse, axis: int | None) -> int:
    """Return the index of a new tensor that holds a constant in fewer bits."""
    values = values_of(root, use.tensor)
    if use.bits == 16:
        # float32 to float16 rounds to the nearest on every CPU.
        with np.errstate(over="ignore"):  # `check` names what overflows
            return add_stored(root, use.graph, use.tensor, StoredConstant(Type.FLOAT16, values.astype(np.float16)))
    others = None if axis is None else tuple(place for place in range(values.ndim) if place != axis)
    scales = find_scales(np.abs(values).max(axis=others, keepdims=True), use.bits)
    stored = StoredConstant(CODES[use.bits], find_codes(values, scales, use.bits), scales.ravel(), axis or 0)
    return add_stored(root, use.graph, use.tensor, stored)


def find_codes(values: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    """Return the nearest codes of values as int8, computed in float64; `scales` broadcasts against the values."""
    codes = np.empty(values.shape, np.int8)
    limit, rows = GREATEST[bits], max(1, CHUNK * len(values) // values.size)
    for start in range(0, len(values), rows):
        some = slice(start, start + rows)
        steps = values[some] / (scales[some] if len(scales) > 1 else scales)
        codes[some] = np.clip(np.rint(steps), -limit, limit)
    return codes


def find_scales(peaks: np.ndarray, bits: int) -> np.ndarray:
    """Return symmetric scales for these greatest magnitudes, as float32 values in float64; 1 where all values are 0."""
    scales = (peaks.astype(np.float64) / GREATEST[bits]).astype(np.float32).astype(np.float64)
    return np.where(scales > 0, scales, 1.0)


def look_up_codes(root: Any, use: ConstantUse, granularity: str, made: dict[Any, int]) -> None:
    """Rewrite [table, GATHER] as [codes, GATHER, DEQUANTIZE], times a factor for each row where rows differ."""
    graph, op = use.graph, use.op
    rows = graph.tensors[op.outputs[0]]
    key = (id(graph), int(op.inputs[0]), use.bits, "table")
    if key not in made:
        made[key], factors = store_table(root, use, granularity)
        made[(*key, "factors")] = -1 if factors is None else store_factors(root, use, factors)
    indices, factors_at = int(op.inputs[1]), made[(*key, "factors")]
    table = graph.tensors[made[key]]
    name = rows.name
    codes = add_tensor(graph, name, rows.shape, rows.shapeSignature, table.type, table.quantization)
    op.opcodeIndex, op.inputs = opcode(root, use), replaced(op.inputs, 0, made[key])
    real, place = int(op.outputs[0]), graph.operators.index(op) + 1
    op.outputs = np.array([codes], np.int32)
    rows.name = name + b"_dequant"
    if factors_at < 0:
        add_operator(root, graph, place, Builtin.DEQUANTIZE, [codes], [real])
        return
    shape, free = (one_value_a_row(sizes, use) for sizes in (rows.shape, rows.shapeSignature))
    plain = add_tensor(graph, name + b"_codes", rows.shape, rows.shapeSignature, Type.FLOAT32)
    factor = add_tensor(graph, name + b"_factor", shape, free, Type.FLOAT32)
    add_operator(root, graph, place, Builtin.DEQUANTIZE, [codes], [plain])
    add_operator(root, graph, place + 1, Builtin.GATHER, [factors_at, indices], [factor], schema.GatherOptionsT())
    add_operator(root, graph, place + 2, Builtin.MUL, [plain, factor], [real], schema.MulOptionsT())


def opcode(root: Any, use: ConstantUse) -> int:
    """Return the lookup's operator code, of a version that takes the codes."""
    was = root.operatorCodes[use.op.opcodeIndex].version
    return find_opcode(root, use.kind, max(was, GATHER_VERSIONS[use.bits] if use.kind == Builtin.GATHER else 1))


def one_value_a_row(sizes: Any, use: ConstantUse) -> Any:
    """Return the shape of looked up factors: that of the looked up rows, with 1 for the sizes of a row."""
    if sizes is None or not len(sizes):
        return sizes
    width = len(use.tensor.shape) - 1
    return np.array([*list(sizes)[: len(sizes) - width], *[1] * width], np.int32)


def store_table(root: Any, use: ConstantUse, granularity: str) -> tuple[int, np.ndarray | None]:
    """(the index of a new tensor with the table's codes, a factor for each row or None where all rows have one scale).

    A table whose codes another operator has already, with a scale for each row, shares them.
    """
    values = values_of(root, use.tensor)
    flat = values.reshape(len(values), -1)
    ready = find_stored(root, use.tensor, values, CODES[use.bits]) if use.by_rows else None
    peaks = np.abs(flat).max(axis=1, keepdims=True)
    scales = find_scales(peaks, use.bits) if ready is None else ready.scales.reshape(-1, 1)
    if ready is None and not (use.by_rows and granularity != "per_tensor" and rows_differ(scales, use)):
        scale = find_scales(peaks.max(keepdims=True), use.bits)
        codes = find_codes(flat, scale, use.bits).reshape(values.shape)
        return add_stored(root, use.graph, use.tensor, StoredConstant(CODES[use.bits], codes, scale.ravel())), None
    greatest = scales.max()
    factors = np.maximum(scales / greatest, LEAST_ROW_FACTOR).astype(np.float16)
    if ready is not None:
        stored = replace(ready, scales=np.array([greatest]))
    else:
        codes = find_codes(flat, factors.astype(np.float64) * greatest, use.bits).reshape(values.shape)
        stored = StoredConstant(CODES[use.bits], codes, np.array([greatest]))
    return add_stored(root, use.graph, use.tensor, stored), factors


def rows_differ(scales: np.ndarray, use: ConstantUse) -> bool:
    """Return whether a scale for each row halves the noise, for at most a quarter more bytes.

    The noise goes with the mean of the squared scales. `fsum` is exact, so that no CPU decides otherwise.
    """
    mean = math.fsum((scales.ravel() ** 2).tolist()) / scales.size
    return mean < float(scales.max()) ** 2 / 2 and use.row_bytes >= 4 * ROW_FACTOR_BYTES


def store_factors(root: Any, use: ConstantUse, factors: np.ndarray) -> int:
    """Return the index of a tensor with the factors as float32, stored as float16."""
    shape = (len(factors), *[1] * (len(use.tensor.shape) - 1))
    like = schema.TensorT()
    like.name, like.shape, like.hasRank = use.tensor.name + b"_factors", np.array(shape, np.int32), True
    stored = add_stored(root, use.graph, like, StoredConstant(Type.FLOAT16, factors.reshape(shape)))
    return add_dequantize(root, use.graph, stored, like)


def replaced(indices: Any, place: int, index: int) -> np.ndarray:
    """Return an operator's inputs with another tensor in one place."""
    changed = np.array(indices, np.int32)
    changed[place] = index
    return changed
