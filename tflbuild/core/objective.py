"""What a sweep is judged by: figures, and the side of each that is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIRECTIONS = ("min", "max")


@dataclass(frozen=True)
class Objective:
    """A figure as `core.gates` names it, of a target `TARGET.FIGURE`, and `min` or `max`: which values are wanted."""

    figure: str
    direction: str

    @property
    def text(self) -> str:
        """As a recipe has it: `top1:max`."""
        return f"{self.figure}:{self.direction}"

    def cost(self, figures: Mapping[str, float]) -> float | None:
        """The value with its sign such that less is better; None where it was not measured, or is no number."""
        value = figures.get(self.figure)
        if value is None or not math.isfinite(value):
            return None
        return -value if self.direction == "max" else value
