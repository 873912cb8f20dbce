"""The operators that a delegate runs, read from an allocated interpreter.

The runtime lists the model's own operators unchanged, and after them one DELEGATE operator for each partition. It does
not list the operators of a partition. They are found by following tensors from its outputs back to its inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class DelegatePlacement:
    """The operators of a subgraph by the place where they run, as indices.

    Attributes:
        pieces: The operators of each partition, in the order in which partitions run.
        left: The operators that kernels of the CPU run.
        unknown: Operators whose results are unused, so that it is not known where they run.
    """

    pieces: tuple[tuple[int, ...], ...]
    left: tuple[int, ...]
    unknown: tuple[int, ...]

    @property
    def taken(self) -> int:
        """Return the number of operators that the delegate runs."""
        return sum(len(piece) for piece in self.pieces)


def place(details: Sequence[Mapping[str, Any]], outputs: Collection[int]) -> DelegatePlacement:
    """Assign the operators of a subgraph to partitions.

    Args:
        details: The operators as the interpreter lists them: `index`, `op_name`, `inputs`, `outputs`.
        outputs: The indices of the subgraph's outputs.
    """
    operators = [detail for detail in details if detail["op_name"] != DELEGATE]
    producers = {int(tensor): int(detail["index"]) for detail in operators for tensor in detail["outputs"]}
    inputs = {int(detail["index"]): [int(tensor) for tensor in detail["inputs"]] for detail in operators}
    pieces = tuple(
        walk_back(detail["outputs"], {int(tensor) for tensor in detail["inputs"]}, producers, inputs)
        for detail in details
        if detail["op_name"] == DELEGATE
    )
    taken = {index for piece in pieces for index in piece}
    rest = [int(detail["index"]) for detail in operators if int(detail["index"]) not in taken]
    if not pieces:
        return DelegatePlacement((), tuple(rest), ())
    dead = unused(operators, outputs)
    return DelegatePlacement(
        pieces,
        tuple(detail for detail in rest if detail not in dead),
        tuple(detail for detail in rest if detail in dead),
    )


def walk_back(
    outputs: Collection[int], stops: Collection[int], producers: Mapping[int, int], inputs: Mapping[int, Sequence[int]]
) -> tuple[int, ...]:
    """Return the operators between the outputs of a partition and its inputs `stops`, in their order."""
    operators: set[int] = set()
    pending = [int(tensor) for tensor in outputs]
    while pending:
        tensor = pending.pop()
        index = producers.get(tensor)
        if tensor in stops or index is None or index in operators:
            continue
        operators.add(index)
        pending += inputs[index]
    return tuple(sorted(operators))


def unused(operators: Sequence[Mapping[str, Any]], outputs: Collection[int]) -> set[int]:
    """Return the operators whose results do not contribute to the outputs of the subgraph."""
    used = {int(tensor) for tensor in outputs}
    unused_operators: set[int] = set()
    # Operators are listed in the order in which they run, so all readers of a tensor have been visited before.
    for detail in reversed(operators):
        if used & {int(tensor) for tensor in detail["outputs"]}:
            used |= {int(tensor) for tensor in detail["inputs"]}
        else:
            unused_operators.add(int(detail["index"]))
    return unused_operators
