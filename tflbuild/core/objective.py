"""Objectives by which the variants of a sweep are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIRECTIONS = ("min", "max")


@dataclass(frozen=True)
class Objective:
    """A figure and a direction.

    `figure` is a name as in `core.gates`, or `TARGET.FIGURE`. `direction` is `min` if smaller values are better, else
    `max`.
    """

    figure: str
    direction: str

    @property
    def text(self) -> str:
        """Return the objective as in a recipe, such as `top1:max`."""
        return f"{self.figure}:{self.direction}"

    def cost(self, figures: Mapping[str, float]) -> float | None:
        """Return the figure, negated for `max`, so that smaller is better. None if it is unknown or not finite."""
        value = figures.get(self.figure)
        if value is None or not math.isfinite(value):
            return None
        return -value if self.direction == "max" else value
