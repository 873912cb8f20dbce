"""Assignment of schemes to operators, from the cheapest for all, upgrade by upgrade, to the most precise for all.

Each operator has options with a cost in bytes and a damage. The damage is the power of the noise relative to the power
of the outputs, measured with only this operator quantized. Damages are assumed to add up, as independent noise does.
Upgrades that remove the most damage per byte come first. Along the lower convex hull of each operator's options, this
is the order in which a decreasing Lagrange multiplier selects them (Everett 1963). The result is always measured, and
never predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Assignment = Mapping[str, str]


@dataclass(frozen=True)
class SchemeOption:
    """A scheme that an operator may have, with its cost in bytes and its damage."""

    scheme: str
    cost: float
    damage: float


@dataclass(frozen=True)
class SchemeUpgrade:
    """An upgrade of an operator to a more precise scheme. `worth` is the damage that it removes per byte."""

    operator: str
    scheme: str
    worth: float


def list_efficient_options(options: Sequence[SchemeOption]) -> list[SchemeOption]:
    """Return the options on the lower convex hull of cost and damage, the cheapest first.

    Each option removes less damage per byte than the one before it.
    """
    hull: list[SchemeOption] = []
    for option in sorted(options, key=lambda option: (option.cost, option.damage)):
        if hull and option.damage >= hull[-1].damage:
            continue
        while len(hull) > 1 and damage_removed_per_byte(hull[-2], hull[-1]) <= damage_removed_per_byte(
            hull[-2], option
        ):
            hull.pop()
        hull.append(option)
    return hull


def damage_removed_per_byte(low: SchemeOption, high: SchemeOption) -> float:
    """Return the damage that an upgrade from `low` to `high` removes per byte."""
    return (low.damage - high.damage) / max(high.cost - low.cost, 1e-9)


def make_chain(operators: Mapping[str, Sequence[SchemeOption]]) -> tuple[dict[str, str], list[SchemeUpgrade]]:
    """Return the cheapest assignment, and all upgrades, the most worthwhile first.

    Args:
        operators: The options of each operator, by its name.
    """
    hulls = {name: list_efficient_options(options) for name, options in operators.items()}
    start = {name: options[0].scheme for name, options in hulls.items()}
    upgrades = [
        SchemeUpgrade(name, high.scheme, damage_removed_per_byte(low, high))
        for name, options in hulls.items()
        for low, high in pairwise(options)
    ]
    return start, sorted(upgrades, key=lambda upgrade: -upgrade.worth)


def upgrade(start: Assignment, upgrades: Sequence[SchemeUpgrade]) -> dict[str, str]:
    """Return an assignment with these upgrades applied in their order."""
    return {**start, **{change.operator: change.scheme for change in upgrades}}
