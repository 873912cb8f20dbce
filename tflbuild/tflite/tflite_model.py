"""The contents of a .tflite model as values: operators, tensors, signatures. `tflite.tflite_reader` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLEX_PREFIX = "Flex"
# The number of steps between the smallest and the largest code of a quantized type.
STEPS = {"int8": 255, "uint8": 255, "int16": 65535}
FLOATS = (
    *("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("complex64", "complex128"),
)


@dataclass(frozen=True)
class Tensor:
    """A tensor as stored in the file.

    Attributes:
        name: The name.
        type: The element type, such as `int8`.
        shape: The sizes, with -1 for dynamic dimensions.
        elements: The number of elements of the stored shape.
        constant: Whether the file contains its values.
        scales: The scales, empty if it is not quantized or quantized in blocks.
        zero_points: The zero points, one for each scale.
        axis: The axis along which scales differ.
        state: Whether its value is kept from call to call.
        buffer: The index of the buffer with its values, which tensors may share.
        values: The values of a small constant of numbers (an axis, a padding), flat.
        block: The number of elements that share a scale, 0 if it is not quantized in blocks.
        block_parameters: The indices of the tensors with the scales and zero points of blocks, in the same subgraph.
        sparse: Whether the buffer omits zeros.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    elements: int
    constant: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    state: bool = False
    buffer: int = 0
    values: tuple[Any, ...] = ()
    block: int = 0
    block_parameters: tuple[int, ...] = ()
    sparse: bool = False

    @property
    def quantized(self) -> bool:
        """Return whether its integers represent real values."""
        return bool(self.scales or self.block)


@dataclass(frozen=True)
class Operator:
    """An operator. Its tensors are indices into those of the subgraph.

    Attributes:
        name: The builtin name, or the name of a custom operator.
        version: The version that the file states.
        custom: Whether it is a custom or TensorFlow operator.
        inputs: The input tensors, -1 for an omitted one.
        outputs: The output tensors.
        variable: The name that the VAR_HANDLE operators of a variable share.
        initial: The subgraph that a CALL_ONCE runs.
        table: The number of a HASHTABLE.
        activation: The fused activation, "" for none.
        options: The builtin options by the names of the schema (`strideW`, `padding`), with enumerations as numbers.
    """

    name: str
    version: int
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variable: str = ""
    initial: int | None = None
    table: int | None = None
    activation: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Subgraph:
    """A list of tensors, and operators in the order in which they run."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class SignatureDef:
    """A signature: its name, its subgraph, and the tensors of inputs and outputs by name."""

    key: str
    subgraph: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True)
class Model:
    """The contents of a file.

    Attributes:
        bytes: The size of the file.
        subgraphs: The subgraphs, the main one first.
        signatures: The signatures.
        min_runtime: The minimum runtime that the converter wrote, "" if there is none.
        buffers_behind: Whether values of tensors are after the flatbuffer, where old runtimes do not find them.
    """

    bytes: int
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[SignatureDef, ...]
    min_runtime: str = field(default="")
    buffers_behind: bool = False

    def op_counts(self) -> dict[str, int]:
        """Return the number of operators by name, over all subgraphs."""
        return dict(sorted(Counter(op.name for graph in self.subgraphs for op in graph.ops).items()))

    def custom_ops(self) -> list[str]:
        """Return the names of custom operators, without TensorFlow operators."""
        return sorted(name for name in self._custom() if not name.startswith(FLEX_PREFIX))

    def flex_ops(self) -> list[str]:
        """Return the names of TensorFlow (Flex) operators."""
        return sorted(name for name in self._custom() if name.startswith(FLEX_PREFIX))

    def _custom(self) -> set[str]:
        return {op.name for graph in self.subgraphs for op in graph.ops if op.custom}

    def type_counts(self) -> dict[str, int]:
        """Return the number of tensors by element type, over all subgraphs."""
        return dict(sorted(Counter(tensor.type for graph in self.subgraphs for tensor in graph.tensors).items()))
