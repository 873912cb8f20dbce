"""A .tflite model as values: operators, tensors, signatures. `tflite.tflite_reader` reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLEX_PREFIX = "Flex"
# Steps between the least and the greatest value of a quantized type.
STEPS = {"int8": 255, "uint8": 255, "int16": 65535}
FLOATS = (
    *("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("complex64", "complex128"),
)


@dataclass(frozen=True)
class Tensor:
    """A tensor as stored. `scales` and `zero_points` are empty when it is not quantized.

    `shape` has -1 where a size is free; `elements` counts the stored shape. `state`: its value lives on
    from one call to the next. `buffer` is where its values lie: tensors may share them. `values` are
    those of a constant of numbers that is small enough to be a parameter (an axis, a padding), flat.
    `block`: so many elements share a scale, which lie in a tensor of their own, and `scales` is empty; 0 where not so.
    `block_parameters` are the indices, within the subgraph, of the tensors of scales and zero points of such blocks.
    `sparse`: zeros are left out of the buffer.
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
        """Whether its integers stand for real values."""
        return bool(self.scales or self.block)


@dataclass(frozen=True)
class Operator:
    """An operator: its builtin name, or the custom one; indices into its subgraph's tensors.

    `variable` is the name that a VAR_HANDLE shares with others, `initial` the subgraph that a CALL_ONCE runs,
    `table` the number of a HASHTABLE. `activation` is what it applies to its output, "" for nothing.
    `options` are its builtin options by the schema's names (`strideW`, `padding`), enumerations as numbers.
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
    """Operators in the order they run."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class SignatureDef:
    """An entry point: its inputs' and outputs' tensors by name."""

    key: str
    subgraph: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True)
class Model:
    """The whole file. `min_runtime` is what its converter wrote there, "" when nothing.

    `buffers_behind`: values of tensors lie behind the flatbuffer, where old runtimes do not look.
    """

    bytes: int
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[SignatureDef, ...]
    min_runtime: str = field(default="")
    buffers_behind: bool = False

    def op_counts(self) -> dict[str, int]:
        """Operators by name, over all subgraphs."""
        return dict(sorted(Counter(op.name for graph in self.subgraphs for op in graph.ops).items()))

    def custom_ops(self) -> list[str]:
        """Names of custom operators that are not Flex."""
        return sorted(name for name in self._custom() if not name.startswith(FLEX_PREFIX))

    def flex_ops(self) -> list[str]:
        """Names of TensorFlow (Flex) operators."""
        return sorted(name for name in self._custom() if name.startswith(FLEX_PREFIX))

    def _custom(self) -> set[str]:
        return {op.name for graph in self.subgraphs for op in graph.ops if op.custom}

    def type_counts(self) -> dict[str, int]:
        """Tensors by element type, over all subgraphs."""
        return dict(sorted(Counter(tensor.type for graph in self.subgraphs for tensor in graph.tensors).items()))
