"""Which operators a delegate took, read from an interpreter that has been allocated.

The runtime lists the model's own operators, untouched, and behind them one DELEGATE operator for each piece that a
delegate took. It does not say which are in a piece: they are found by walking from its outputs back to its inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class DelegatePlacement:
    """Operators by their index in the subgraph.

    `pieces` are those of each partition, in the order that partitions run; `left` those on the CPU's own kernels.
    `unknown` cannot be told: nothing that is used comes from them, so that no walk reaches them.
    """

    pieces: tuple[tuple[int, ...], ...]
    left: tuple[int, ...]
    unknown: tuple[int, ...]

    @property
    def taken(self) -> int:
        """How many operators the delegate took."""
        return sum(len(piece) for piece in self.pieces)


def place(details: Sequence[Mapping[str, Any]], outputs: Collection[int]) -> DelegatePlacement:
    """`details` are what the interpreter lists (index, op_name, inputs, outputs), `outputs` the subgraph's tensors."""
    own = [one for one in details if one["op_name"] != DELEGATE]
    maker = {int(tensor): int(one["index"]) for one in own for tensor in one["outputs"]}
    inputs = {int(one["index"]): [int(tensor) for tensor in one["inputs"]] for one in own}
    pieces = tuple(
        walk_back(one["outputs"], {int(tensor) for tensor in one["inputs"]}, maker, inputs)
        for one in details
        if one["op_name"] == DELEGATE
    )
    taken = {index for piece in pieces for index in piece}
    rest = [int(one["index"]) for one in own if int(one["index"]) not in taken]
    if not pieces:
        return DelegatePlacement((), tuple(rest), ())
    dead = unused(own, outputs)
    return DelegatePlacement(
        pieces, tuple(one for one in rest if one not in dead), tuple(one for one in rest if one in dead)
    )


def walk_back(
    outputs: Collection[int], stops: Collection[int], maker: Mapping[int, int], inputs: Mapping[int, Sequence[int]]
) -> tuple[int, ...]:
    """The operators between a piece's outputs and its inputs, `stops`, in order."""
    found: set[int] = set()
    todo = [int(tensor) for tensor in outputs]
    while todo:
        tensor = todo.pop()
        index = maker.get(tensor)
        if tensor in stops or index is None or index in found:
            continue
        found.add(index)
        todo += inputs[index]
    return tuple(sorted(found))


def unused(own: Sequence[Mapping[str, Any]], outputs: Collection[int]) -> set[int]:
    """Operators from which nothing flows to the subgraph's outputs, or that have none: a walk cannot tell of them."""
    used = {int(tensor) for tensor in outputs}
    dead: set[int] = set()
    for one in reversed(own):  # in the order they run, so a later one's inputs are known to be used
        if used & {int(tensor) for tensor in one["outputs"]}:
            used |= {int(tensor) for tensor in one["inputs"]}
        else:
            dead.add(int(one["index"]))
    return dead
