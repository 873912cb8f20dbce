"""Find the Pareto front: the variants that no other variant dominates in several objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.objective import Objective

Costs = tuple[float, ...]


def dominates(costs: Costs, other: Costs) -> bool:
    """Return whether `costs` are at most `other` in every objective and smaller in one. Smaller is better."""
    return all(cost <= other_cost for cost, other_cost in zip(costs, other, strict=True)) and costs != other


def find_pareto_front(variant_costs: Sequence[Costs | None]) -> frozenset[int]:
    """Return the indices of the costs that no other costs dominate.

    Equal costs are on the front together. A variant without costs is not on the front.
    """
    distinct = {costs for costs in variant_costs if costs is not None}
    front = {costs for costs in distinct if not any(dominates(other, costs) for other in distinct)}
    return frozenset(index for index, costs in enumerate(variant_costs) if costs in front)


def costs_of(figures: Mapping[str, float], objectives: Sequence[Objective]) -> Costs | None:
    """Return the cost of a variant for each objective; None if a figure was not measured."""
    costs = [objective.cost(figures) for objective in objectives]
    return tuple(cost for cost in costs if cost is not None) if None not in costs else None


def choose_default_objectives(measured: Sequence[Mapping[str, float]]) -> tuple[Objective, ...]:
    """Return accuracy and size as objectives. Accuracy is top-1 if any variant has it, else SNR, if any has it."""
    accuracy = next((name for name in ("top1", "snr_db") if any(name in figures for figures in measured)), None)
    size = Objective("bytes", "min")
    return (size,) if accuracy is None else (Objective(accuracy, "max"), size)
