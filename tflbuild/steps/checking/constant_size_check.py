"""Check that each constant above 1 KiB is stored in as few bits as its scheme says, or that there is a reason.

Otherwise, if a scheme does not apply to the one table that makes up most of a model, an artifact of the float model's
size would be delivered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from tflbuild.core.schemes import SCHEMES
from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.rules import INT4_OPERATORS, LOOKUPS, find_declared_scheme
from tflbuild.tflite.tflite_model import FLOATS, Model, Subgraph, Tensor

# Smaller constants are not checked.
SMALLEST_BYTES = 1024
BITS = {
    **dict.fromkeys(("float64", "complex64"), 64),
    "float32": 32,
    **dict.fromkeys(("float16", "bfloat16", "int16"), 16),
    **dict.fromkeys(("int8", "uint8"), 8),
    **dict.fromkeys(("int4", "uint4"), 4),
    "int2": 2,
}
OTHER_BITS = {"int32": 32, "uint32": 32, "int64": 64, "uint64": 64, "bool": 8, "complex128": 128, "uint16": 16}
FLOAT_BITS = 32
# A vector at this input of an operator, or a later one, is a bias.
BIAS_INDEX = 2
# The largest fraction of the float model's constants that may stay float without a reason.
MOST_UNEXPLAINED = 0.1
# The number of values by which two constants are compared.
COMPARED = 4096
# The smallest correlation of two quantizations of the same values. 4 bits and one scale reach 0.995.
ALIKE = 0.99


@dataclass(frozen=True)
class ConstantReader:
    """An operator that reads a constant: its kind, the name of its first output, and the position of the constant."""

    op: str
    name: str
    place: int
    custom: bool = False


@dataclass(frozen=True)
class Constant:
    """A stored tensor and the operators that read it, directly or through a DEQUANTIZE."""

    tensor: Tensor
    readers: tuple[ConstantReader, ...]
    is_output: bool = False

    @property
    def bytes(self) -> int:
        """Return the size in the file."""
        bits = BITS.get(self.tensor.type) or OTHER_BITS.get(self.tensor.type, 8)
        return -(-self.tensor.elements * bits // 8)

    @property
    def bits(self) -> int:
        """Return the bits of a value, or 0 if the values are not real numbers or the constant is an integer bias."""
        real = self.tensor.type in FLOATS or self.tensor.quantized
        return BITS.get(self.tensor.type, 0) if real else 0

    @property
    def is_vector(self) -> bool:
        """Return whether at most one size is above 1."""
        return sum(size > 1 for size in self.tensor.shape) <= 1

    @property
    def operators(self) -> str:
        """Return the kinds of the reading operators as text."""
        return ", ".join(sorted({reader.op for reader in self.readers})) or "no operator"


@dataclass(frozen=True)
class ConstantExemption:
    """A constant that is stored in more bits than the scheme says, and the reason, "" if there is none."""

    constant: Constant
    reason: str = ""
    by_rule: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the exemption as JSON, for the manifest."""
        constant = self.constant
        entry = {"name": constant.tensor.name, "type": constant.tensor.type, "bytes": constant.bytes}
        return entry | {"operators": constant.operators, "reason": self.reason, "by_rule": self.by_rule}


def list_constants(model: Model) -> list[Constant]:
    """Return every constant of more than 1 KiB with the operators that read it, the largest first."""
    constants: dict[int, Constant] = {}
    for graph in model.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            constant = Constant(tensor, tuple(find_readers(graph, index)), is_output=index in graph.outputs)
            if not tensor.constant or constant.bytes <= SMALLEST_BYTES:
                continue
            same_buffer = constants.get(tensor.buffer)
            if same_buffer is not None:
                readers = (*same_buffer.readers, *constant.readers)
                constant = replace(same_buffer, readers=readers, is_output=same_buffer.is_output or constant.is_output)
            constants[tensor.buffer] = constant
    return sorted(constants.values(), key=lambda constant: (-constant.bytes, constant.tensor.name))


def find_readers(graph: Subgraph, index: int) -> Iterator[ConstantReader]:
    """Yield the operators that read a tensor, directly or through a DEQUANTIZE."""
    for op in graph.ops:
        if index not in op.inputs:
            continue
        if op.name == "DEQUANTIZE":
            yield from find_readers(graph, op.outputs[0])
        else:
            name = graph.tensors[op.outputs[0]].name if op.outputs else ""
            yield ConstantReader(op.name, name, op.inputs.index(index), op.custom)


def find_exemptions(constants: Sequence[Constant], params: Mapping[str, Any]) -> list[ConstantExemption]:
    """Return every constant that is stored in more bits than the recipe's scheme says, with the reason.

    Args:
        constants: The result of `list_constants`.
        params: `scheme` and `rules`.
    """
    scheme_bits = SCHEMES[params["scheme"]].weights or FLOAT_BITS
    exemptions = []
    for constant in constants:
        # float16 vectors are factors of rows, and serve as scales.
        is_scale = constant.is_vector and constant.tensor.type == "float16"
        if constant.bits <= scheme_bits or is_scale:
            continue
        declared_bits = [find_declared_bits(reader, params) for reader in constant.readers]
        if declared_bits and constant.bits <= max(declared_bits):
            exemptions.append(
                ConstantExemption(constant, f"a rule leaves {constant.operators} at this width", by_rule=True)
            )
        else:
            exemptions.append(ConstantExemption(constant, find_reason(constant)))
    return exemptions


def find_declared_bits(reader: ConstantReader, params: Mapping[str, Any]) -> int:
    """Return the bits of weights that the recipe declares for an operator."""
    return (
        SCHEMES[find_declared_scheme(params["scheme"], params["rules"], reader.op, reader.name)].weights or FLOAT_BITS
    )


def find_reason(constant: Constant) -> str:
    """Return why a constant may have more bits than the scheme says, "" if there is no reason."""
    if constant.is_vector and not any(reader.op in LOOKUPS and reader.place == 0 for reader in constant.readers):
        is_bias = any(reader.place >= BIAS_INDEX for reader in constant.readers)
        return "a bias, which kernels add as it is" if is_bias else "one value a channel"
    if constant.bits == BITS["int8"]:
        if any(reader.op in (*INT4_OPERATORS, *LOOKUPS) for reader in constant.readers):
            return f"{constant.operators} has no int4 kernel for this shape"
        return f"{constant.operators} has no int4 kernel"
    if constant.tensor.type == "int16":
        return f"{constant.operators} has activations of int16, and this is one"
    if constant.is_output and not constant.readers:
        return "it is an output of the model"
    return ""


def check_budget(exemptions: Sequence[ConstantExemption], float_bytes: int) -> Iterator[Finding]:
    """Yield constants that stay float without a reason, if these are a relevant part of the model.

    Args:
        exemptions: The result of `find_exemptions`.
        float_bytes: The bytes of the float model's constants above 1 KiB.
    """
    unexplained = [
        exemption.constant
        for exemption in exemptions
        if not exemption.reason and exemption.constant.tensor.type in FLOATS
    ]
    if sum(constant.bytes for constant in unexplained) <= MOST_UNEXPLAINED * float_bytes:
        return
    for constant in unexplained:
        share = constant.bytes / float_bytes
        yield Finding(
            "constants",
            f"{constant.tensor.name} stays {constant.tensor.type}: {constant.bytes:,} bytes, {share:.0%} of the float"
            f" model's constants, read by {constant.operators} (a rule of quantization.rules may leave it so)",
            tuple((reader.op, reader.name) for reader in constant.readers if reader.name),
        )


def check_unused(unread: int, known: int) -> Iterator[Finding]:
    """Yield a finding if the artifact has more unused bytes than the float model.

    Args:
        unread: The unused bytes of the artifact.
        known: The unused bytes of the float model.
    """
    if unread - known > SMALLEST_BYTES:
        text = f"{unread - known:,} bytes of the file are read by no operator; the float model has no such bytes"
        yield Finding("constants", text)


def count_unused(model: Model, buffers: Sequence[bytes], named: Set[int]) -> int:
    """Return the bytes of buffers that no operator, output, scale or metadata entry uses.

    Args:
        model: The model.
        buffers: The bytes of its buffers.
        named: The buffers that metadata entries use.
    """
    used = set(named)
    for graph in model.subgraphs:
        indices = {index for op in graph.ops for index in op.inputs} | {*graph.inputs, *graph.outputs}
        indices |= {scales for index in indices if index >= 0 for scales in graph.tensors[index].block_parameters}
        used |= {graph.tensors[index].buffer for index in indices if index >= 0}
    return sum(len(data) for index, data in enumerate(buffers) if index not in used)


def find_copies(constants: Sequence[Constant], buffers: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return constants with the same values in different codes, because different operators read them.

    Returns:
        For each pair the `name`, the `bytes` of the smaller one, and the `kinds` of both.
    """
    copies = []
    by_shape: dict[tuple[int, ...], list[Constant]] = {}
    for constant in constants:
        if 0 < constant.bits < FLOAT_BITS and not constant.is_vector:
            by_shape.setdefault(constant.tensor.shape, []).append(constant)
    for group in by_shape.values():
        samples = [read_first_rows(constant.tensor, buffers[constant.tensor.buffer]) for constant in group]
        for (first, first_values), (second, second_values) in combinations(list(zip(group, samples, strict=True)), 2):
            if are_alike(first_values, second_values):
                kinds = [f"{constant.tensor.type} for {constant.operators}" for constant in (first, second)]
                copies.append({"name": first.tensor.name, "bytes": min(first.bytes, second.bytes), "kinds": kinds})
    return copies


def read_first_rows(tensor: Tensor, data: bytes) -> np.ndarray:
    """Return the real values of a constant's first rows, in float64."""
    width = max(1, tensor.elements // max(1, tensor.shape[0]))
    rows = max(1, min(tensor.shape[0], COMPARED // width))
    if tensor.type in ("int4", "uint4"):
        raw = np.frombuffer(data, np.uint8)[: -(-rows * width // 2)]
        halves = np.stack([raw & 15, raw >> 4], axis=1).ravel().astype(np.int8)[: rows * width]
        codes = np.where(halves > 7, halves - 16, halves) if tensor.type == "int4" else halves
    else:
        dtype = {"float16": np.float16, "int16": np.int16, "uint8": np.uint8}.get(tensor.type, np.int8)
        codes = np.frombuffer(data, dtype, rows * width)
    values = codes.astype(np.float64).reshape(rows, *tensor.shape[1:])
    if len(tensor.scales) <= 1:
        return values - (tensor.zero_points[0] if tensor.zero_points else 0)
    scales = np.array(tensor.scales[:rows] if tensor.axis == 0 else tensor.scales)
    scaled: np.ndarray = values * scales.reshape([-1 if axis == tensor.axis else 1 for axis in range(values.ndim)])
    return scaled


def are_alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two constants have the same values up to rounding and a scale. Constants of one value never do."""
    first, second = first.ravel() - first.mean(), second.ravel() - second.mean()
    norms = float(np.sqrt((first @ first) * (second @ second)))
    return norms > 0 and float(first @ second) / norms > ALIKE


def describe_constants(
    constants: Sequence[Constant], exemptions: Sequence[ConstantExemption], copies: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return constants, exemptions and copies as JSON, for the manifest."""
    return {
        "count": len(constants),
        "bytes": sum(constant.bytes for constant in constants),
        "wider": [exemption.describe() for exemption in exemptions],
        "copies": [dict(copy) for copy in copies],
    }
