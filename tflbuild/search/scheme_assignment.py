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
class SchemeOption:
    """A scheme that an operator may have: its cost in bytes, and the damage done."""

    scheme: str
    cost: float
    damage: float


@dataclass(frozen=True)
class SchemeUpgrade:
    """A step up for one operator: the scheme it gets, and the damage that this removes for a byte."""

    operator: str
    scheme: str
    worth: float


def list_efficient_options(options: Sequence[SchemeOption]) -> list[SchemeOption]:
    """The options worth having, cheapest first, each next one removing less damage for a byte than the one before."""
    kept: list[SchemeOption] = []
    for option in sorted(options, key=lambda one: (one.cost, one.damage)):
        if kept and option.damage >= kept[-1].damage:
            continue
        while len(kept) > 1 and damage_removed_per_byte(kept[-2], kept[-1]) <= damage_removed_per_byte(
            kept[-2], option
        ):
            kept.pop()
        kept.append(option)
    return kept


def damage_removed_per_byte(low: SchemeOption, high: SchemeOption) -> float:
    """Damage removed for a byte."""
    return (low.damage - high.damage) / max(high.cost - low.cost, 1e-9)


def make_chain(operators: Mapping[str, Sequence[SchemeOption]]) -> tuple[dict[str, str], list[SchemeUpgrade]]:
    """(the cheapest assignment, the upgrades in the order to be made)."""
    hulls = {name: list_efficient_options(options) for name, options in operators.items()}
    start = {name: options[0].scheme for name, options in hulls.items()}
    upgrades = [
        SchemeUpgrade(name, high.scheme, damage_removed_per_byte(low, high))
        for name, options in hulls.items()
        for low, high in pairwise(options)
    ]
    return start, sorted(upgrades, key=lambda one: -one.worth)


def upgrade(start: Assignment, upgrades: Sequence[SchemeUpgrade]) -> dict[str, str]:
    """The assignment after these upgrades."""
    return {**start, **{one.operator: one.scheme for one in upgrades}}
