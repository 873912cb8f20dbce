"""CPU dependences: parts of a step's result that depend on the CPU that computed it.

A step reports its CPU dependences in the fact `tied`, or they are known when it is planned. The cache key of a
CPU-dependent result contains the CPU, so it is not a cache hit on another CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from tflbuild.core.digest import Json


@dataclass(frozen=True, order=True)
class CpuDependence:
    """An operator whose result differs between CPUs, the layer it belongs to ("" for the whole model), and why."""

    operator: str
    layer: str
    reason: str


def read_cpu_dependence(facts: Mapping[str, Json]) -> tuple[CpuDependence, ...]:
    """Return the CPU dependences in a step's facts, sorted."""
    return tuple(sorted({CpuDependence(**tie) for tie in facts.get("tied") or ()}))


def add_cpu_dependence(facts: Mapping[str, Json], ties: Iterable[CpuDependence]) -> dict[str, Json]:
    """Return facts with more CPU dependences. Without any CPU dependence there is no fact `tied`."""
    united = sorted({*read_cpu_dependence(facts), *ties})
    others = {name: value for name, value in facts.items() if name != "tied"}
    return {**others, "tied": [asdict(tie) for tie in united]} if united else others
