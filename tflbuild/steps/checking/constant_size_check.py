"""The budget of constants: each above 1 KiB is as narrow as its scheme says, or the report names it with the reason.

Otherwise a scheme that misses the one table that makes up a model would be delivered at the float model's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from tflbuild.core.schemes import SCHEMES
from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.rules import INT4_OPERATORS, LOOKUPS, find_asked_scheme
from tflbuild.tflite.tflite_model import FLOATS, Model, Subgraph, Tensor

LEAST_BYTES = 1024
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
BIAS_PLACE = 2  # a vector at this input of an operator, or behind it, is a bias
MOST_UNEXPLAINED = 0.1  # of the float model's constants: more that stays float32 for no reason is a failure
COMPARED = 4096  # values by which two constants are taken for the same
ALIKE = 0.99  # correlation of two quantizations of the same values; 4 bits and one scale reach 0.995


@dataclass(frozen=True)
class ConstantReader:
    """An operator that reads a constant, by the name of its first output, and at which input."""

    op: str
    name: str
    place: int
    custom: bool = False


@dataclass(frozen=True)
class Constant:
    """A stored tensor and who reads it, seen through the DEQUANTIZE that widens it."""

    tensor: Tensor
    readers: tuple[ConstantReader, ...]
    is_output: bool = False

    @property
    def bytes(self) -> int:
        """Return what it takes in the file."""
        bits = BITS.get(self.tensor.type) or OTHER_BITS.get(self.tensor.type, 8)
        return -(-self.tensor.elements * bits // 8)

    @property
    def bits(self) -> int:
        """Return the width of a value; 0 where the values are no real numbers, or a bias in integers."""
        real = self.tensor.type in FLOATS or self.tensor.quantized
        return BITS.get(self.tensor.type, 0) if real else 0

    @property
    def is_vector(self) -> bool:
        """Return whether only one size is above 1."""
        return sum(size > 1 for size in self.tensor.shape) <= 1

    @property
    def operators(self) -> str:
        """Return the kinds of its readers, for a person."""
        return ", ".join(sorted({reader.op for reader in self.readers})) or "no operator"


@dataclass(frozen=True)
class ConstantExemption:
    """A constant that is wider than the recipe's scheme says, and why; without a reason where it should not be."""

    constant: Constant
    reason: str = ""
    by_rule: bool = False

    def describe(self) -> dict[str, Any]:
        """Return this as JSON, for the manifest."""
        constant = self.constant
        found = {"name": constant.tensor.name, "type": constant.tensor.type, "bytes": constant.bytes}
        return found | {"operators": constant.operators, "reason": self.reason, "by_rule": self.by_rule}


def list_constants(model: Model) -> list[Constant]:
    """Return every stored buffer of more than 1 KiB with all that read it, the largest first."""
    found: dict[int, Constant] = {}
    for graph in model.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            constant = Constant(tensor, tuple(find_readers(graph, index)), is_output=index in graph.outputs)
            if not tensor.constant or constant.bytes <= LEAST_BYTES:
                continue
            known = found.get(tensor.buffer)
            if known is not None:
                readers = (*known.readers, *constant.readers)
                constant = replace(known, readers=readers, is_output=known.is_output or constant.is_output)
            found[tensor.buffer] = constant
    return sorted(found.values(), key=lambda constant: (-constant.bytes, constant.tensor.name))


def find_readers(graph: Subgraph, index: int) -> Iterator[ConstantReader]:
    """Yield the operators that read a tensor, or what a DEQUANTIZE makes of it."""
    for op in graph.ops:
        if index not in op.inputs:
            continue
        if op.name == "DEQUANTIZE":
            yield from find_readers(graph, op.outputs[0])
        else:
            name = graph.tensors[op.outputs[0]].name if op.outputs else ""
            yield ConstantReader(op.name, name, op.inputs.index(index), op.custom)


def find_exemptions(constants: Sequence[Constant], params: Mapping[str, Any]) -> list[ConstantExemption]:
    """Return every constant that is wider than the recipe's scheme says, with the reason."""
    wanted = SCHEMES[params["scheme"]].weights or FLOAT_BITS
    found = []
    for constant in constants:
        factors = constant.is_vector and constant.tensor.type == "float16"  # one of each row, as a scale would be
        if constant.bits <= wanted or factors:
            continue
        asked_bits = [bits_asked(reader, params) for reader in constant.readers]
        if asked_bits and constant.bits <= max(asked_bits):
            found.append(ConstantExemption(constant, f"a rule leaves {constant.operators} at this width", by_rule=True))
        else:
            found.append(ConstantExemption(constant, find_reason(constant)))
    return found


def bits_asked(reader: ConstantReader, params: Mapping[str, Any]) -> int:
    """Return the width of weights that the recipe asks of an operator."""
    return SCHEMES[find_asked_scheme(params["scheme"], params["rules"], reader.op, reader.name)].weights or FLOAT_BITS


def find_reason(constant: Constant) -> str:
    """Return why a constant may be wider than the scheme says, "" where nothing excuses it."""
    if constant.is_vector and not any(reader.op in LOOKUPS and reader.place == 0 for reader in constant.readers):
        bias = any(reader.place >= BIAS_PLACE for reader in constant.readers)
        return "a bias, which kernels add as it is" if bias else "one value a channel"
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
    """Yield constants that stay float for no reason, where they matter.

    Args:
        exemptions: What `find_exemptions` found.
        float_bytes: The bytes of the float model's constants above 1 KiB.
    """
    silent = [one.constant for one in exemptions if not one.reason and one.constant.tensor.type in FLOATS]
    if sum(constant.bytes for constant in silent) <= MOST_UNEXPLAINED * float_bytes:
        return
    for constant in silent:
        share = constant.bytes / float_bytes
        yield Finding(
            "constants",
            f"{constant.tensor.name} stays {constant.tensor.type}: {constant.bytes:,} bytes, {share:.0%} of the float"
            f" model's constants, read by {constant.operators} (a rule of quantization.rules may leave it so)",
            tuple((reader.op, reader.name) for reader in constant.readers if reader.name),
        )


def check_unread(unread: int, known: int) -> Iterator[Finding]:
    """Bytes of the artifact that nothing uses (`unread`), beyond those of the float model (`known`)."""
    if unread - known > LEAST_BYTES:
        text = f"{unread - known:,} bytes of the file are read by no operator; the float model has no such bytes"
        yield Finding("constants", text)


def count_unread(model: Model, buffers: Sequence[bytes], named: Set[int]) -> int:
    """Return the bytes of buffers that nothing uses: no operator, output or scale, and no metadata entry (`named`)."""
    used = set(named)
    for graph in model.subgraphs:
        indices = {index for op in graph.ops for index in op.inputs} | {*graph.inputs, *graph.outputs}
        indices |= {scales for index in indices if index >= 0 for scales in graph.tensors[index].block_parameters}
        used |= {graph.tensors[index].buffer for index in indices if index >= 0}
    return sum(len(data) for index, data in enumerate(buffers) if index not in used)


def find_copies(constants: Sequence[Constant], buffers: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return constants that hold the same values in codes of their own, since different operators read them."""
    found = []
    by_shape: dict[tuple[int, ...], list[Constant]] = {}
    for constant in constants:
        if 0 < constant.bits < FLOAT_BITS and not constant.is_vector:
            by_shape.setdefault(constant.tensor.shape, []).append(constant)
    for same in by_shape.values():
        some = [read_some(constant.tensor, buffers[constant.tensor.buffer]) for constant in same]
        for (one, values), (other, others) in combinations(list(zip(same, some, strict=True)), 2):
            if are_alike(values, others):
                kinds = [f"{constant.tensor.type} for {constant.operators}" for constant in (one, other)]
                found.append({"name": one.tensor.name, "bytes": min(one.bytes, other.bytes), "kinds": kinds})
    return found


def read_some(tensor: Tensor, data: bytes) -> np.ndarray:
    """Return the real values of a constant's first rows, in float64."""
    width = max(1, tensor.elements // max(1, tensor.shape[0]))
    rows = max(1, min(tensor.shape[0], COMPARED // width))
    if tensor.type in ("int4", "uint4"):
        raw = np.frombuffer(data, np.uint8)[: -(-rows * width // 2)]
        halves = np.stack([raw & 15, raw >> 4], axis=1).ravel().astype(np.int8)[: rows * width]
        codes = np.where(halves > 7, halves - 16, halves) if tensor.type == "int4" else halves
    else:
        kind = {"float16": np.float16, "int16": np.int16, "uint8": np.uint8}.get(tensor.type, np.int8)
        codes = np.frombuffer(data, kind, rows * width)
    values = codes.astype(np.float64).reshape(rows, *tensor.shape[1:])
    if len(tensor.scales) <= 1:
        return values - (tensor.zero_points[0] if tensor.zero_points else 0)
    scales = np.array(tensor.scales[:rows] if tensor.axis == 0 else tensor.scales)
    scaled: np.ndarray = values * scales.reshape([-1 if axis == tensor.axis else 1 for axis in range(values.ndim)])
    return scaled


def are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two constants hold the same values, up to rounding and a scale; those of one value never do."""
    one, other = one.ravel() - one.mean(), other.ravel() - other.mean()
    norms = float(np.sqrt((one @ one) * (other @ other)))
    return norms > 0 and float(one @ other) / norms > ALIKE


def describe_constants(
    constants: Sequence[Constant], exemptions: Sequence[ConstantExemption], copies: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return this as JSON, for the manifest."""
    return {
        "count": len(constants),
        "bytes": sum(constant.bytes for constant in constants),
        "wider": [one.describe() for one in exemptions],
        "copies": [dict(copy) for copy in copies],
    }
