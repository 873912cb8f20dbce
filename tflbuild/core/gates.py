"""Limits, and the figures that are held against them.

A limit is named by what it limits: a figure (`snr_db`, of several outputs the worst), a figure of one output
(`outputs.NAME.snr_db`), or a metric of the user's own (`at_least.NAME`, `at_most.NAME`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json

Limits = Sequence[tuple[str, float]]

AT_LEAST = ("top1", "agreement", "cosine", "snr_db")  # lower limits; the others are upper ones
WORST_OF_OUTPUTS = {"max_abs_error": max, "rmse": max, "cosine": min, "snr_db": min}
OWN = ("at_least", "at_most")


@dataclass(frozen=True)
class Gate:
    """A limit and what was measured against it."""

    name: str
    limit: float
    value: float

    @property
    def is_least(self) -> bool:
        """Whether the limit is a lower one."""
        return self.name.startswith("at_least.") or self.name.rpartition(".")[2] in AT_LEAST

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side, or on the limit itself."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    def text(self) -> str:
        """`top1_drop is 0.0120, at most 0.0050 is allowed`."""
        bound = "at least" if self.is_least else "at most"
        excess = abs(self.value - self.limit)
        verdict = "" if self.passed else f": {excess:.4g} too {'low' if self.is_least else 'high'}"
        name = self.name.partition(".")[2] if self.name.partition(".")[0] in OWN else self.name
        return f"{name} is {self.value:.6g}, {bound} {self.limit:.6g} is allowed{verdict}"


def figure_name(limit: str) -> str:
    """The figure that a limit is about."""
    first, _, rest = limit.partition(".")
    return f"metrics.{rest}" if first in OWN else limit


def evaluate(limits: Limits, facts: Mapping[str, Mapping[str, Json]]) -> list[Gate]:
    """Every limit with its measured value; `facts` are those of the steps, by role.

    Raises KeyError with the figure's name where nothing of that name was measured.
    """
    measured = figures(facts)
    return [Gate(name, limit, measured[figure_name(name)]) for name, limit in limits]


def figures(facts: Mapping[str, Mapping[str, Json]]) -> dict[str, float]:
    """The figures that limits and tables use: of several outputs the worst, and each output's own."""
    found = {name: float(facts["check"][name]) for name in ("bytes", "gzip_bytes") if name in facts["check"]}
    verify = facts.get("verify")
    if verify:
        for name, worst in WORST_OF_OUTPUTS.items():
            found[name] = worst(output[name] for output in verify["outputs"].values())
            found |= {f"outputs.{output}.{name}": values[name] for output, values in verify["outputs"].items()}
        accuracy = verify.get("classification", {})
        found |= {name: value for name, value in accuracy.items() if isinstance(value, float)}
        found |= {f"metrics.{name}": value for name, value in verify.get("metrics", {}).items()}
    return found
