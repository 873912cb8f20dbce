"""The Pareto front: what nothing else is better than, by several objectives at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.objective import Objective

Costs = tuple[float, ...]


def dominates(one: Costs, other: Costs) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better. Less is better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def find_pareto_front(costs: Sequence[Costs | None]) -> frozenset[int]:
    """The places of those that none dominates. Equal ones are on the front together; None is on no front."""
    known = {one for one in costs if one is not None}
    best = {one for one in known if not any(dominates(other, one) for other in known)}
    return frozenset(place for place, one in enumerate(costs) if one in best)


def costs_of(figures: Mapping[str, float], objectives: Sequence[Objective]) -> Costs | None:
    """What a variant costs by each objective, None where one of them was not measured."""
    costs = [objective.cost(figures) for objective in objectives]
    return tuple(cost for cost in costs if cost is not None) if None not in costs else None


def choose_default_objectives(measured: Sequence[Mapping[str, float]]) -> tuple[Objective, ...]:
    """Accuracy, by labels if any variant has it so, else by the outputs' noise; then size."""
    accuracy = next((name for name in ("top1", "snr_db") if any(name in figures for figures in measured)), None)
    size = Objective("bytes", "min")
    return (size,) if accuracy is None else (Objective(accuracy, "max"), size)
