"""Which scheme each operator gets: from the cheapest for all, upgrade by upgrade, to the safest for all.

Each operator has options with a cost (bytes) and a damage (noise over the power of the outputs, measured with
it alone quantized). Damages are taken to add up, as independent noise does. The upgrades that remove most damage
for a byte come first: along the lower convex hull of each operator's options this order is the one that a
Lagrange multiplier sweeps out (Everett 1963). What an assignment truly loses is measured, never predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Assignment = Mapping[str, str]


@dataclass(frozen=True)
class Option:
    """A scheme that an operator may have: its cost in bytes, and the damage done."""

    scheme: str
    cost: float
    damage: float


@dataclass(frozen=True)
class Upgrade:
    """A step up for one operator: the scheme it gets, and the damage that this removes for a byte."""

    operator: str
    scheme: str
    worth: float


def hull(options: Sequence[Option]) -> list[Option]:
    """The options worth having, cheapest first, each next one removing less damage for a byte than the one before."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda one: (one.cost, one.damage)):
        if kept and option.damage >= kept[-1].damage:
            continue
        while len(kept) > 1 and worth(kept[-2], kept[-1]) <= worth(kept[-2], option):
            kept.pop()
        kept.append(option)
    return kept


def worth(low: Option, high: Option) -> float:
    """Damage removed for a byte."""
    return (low.damage - high.damage) / max(high.cost - low.cost, 1e-9)


def make_chain(operators: Mapping[str, Sequence[Option]]) -> tuple[dict[str, str], list[Upgrade]]:
    """(the cheapest assignment, the upgrades in the order to be made)."""
    hulls = {name: hull(options) for name, options in operators.items()}
    start = {name: options[0].scheme for name, options in hulls.items()}
    upgrades = [
        Upgrade(name, high.scheme, worth(low, high))
        for name, options in hulls.items()
        for low, high in pairwise(options)
    ]
    return start, sorted(upgrades, key=lambda one: -one.worth)


def upgrade(start: Assignment, upgrades: Sequence[Upgrade]) -> dict[str, str]:
    """The assignment after these upgrades."""
    return {**start, **{one.operator: one.scheme for one in upgrades}}
