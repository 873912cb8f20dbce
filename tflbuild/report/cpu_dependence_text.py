"""Describe what in an artifact depends on the CPU that built it, for manifests and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tflbuild.core.cpu_dependence import CpuDependence, read_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.step_result import StepResult

# The number of operators of a step that are listed.
LISTED_OPERATORS = 3


@dataclass(frozen=True)
class StepCpuDependence:
    """A CPU dependence, and the step that has it."""

    step: str
    tie: CpuDependence


def collect_cpu_dependence(roles: Mapping[str, StepResult]) -> list[StepCpuDependence]:
    """Return the CPU dependences of a variant's steps. A step with two roles is listed under the first one."""
    first_roles = {result.step_id: role for role, result in reversed(list(roles.items()))}
    return [
        StepCpuDependence(role, tie)
        for role, result in roles.items()
        if first_roles[result.step_id] == role
        for tie in read_cpu_dependence(result.facts)
    ]


def ties_json(ties: Iterable[StepCpuDependence]) -> list[dict[str, Json]]:
    """Return CPU dependences in the form of the manifest: `step`, `operator`, `layer`, `reason`."""
    return [{"step": dependence.step, **asdict(dependence.tie)} for dependence in ties]


def show_ties(ties: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return a line for each step and reason, from CPU dependences in the form of the manifest.

    `convert: 2 operators (Svd at 'w', Lu at 'v'): they are outside the table of exact operators`.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for tie in ties:
        operator = f"{tie['operator']} at '{tie['layer']}'" if tie["layer"] else str(tie["operator"])
        groups.setdefault((tie["step"], tie["reason"]), []).append(operator)
    return [f"{step}: {_list_operators(operators)}: {reason}" for (step, reason), operators in groups.items()]


def _list_operators(operators: Sequence[str]) -> str:
    """Return operators with their layers, and their number if there are several."""
    if len(operators) == 1:
        return operators[0]
    more = f" and {len(operators) - LISTED_OPERATORS} more" if len(operators) > LISTED_OPERATORS else ""
    return f"{len(operators)} operators ({', '.join(operators[:LISTED_OPERATORS])}{more})"


def note_cpu_dependence(manifest: Mapping[str, Json]) -> list[str]:
    """Return a line for each part of an artifact that may differ on another CPU."""
    return [f"tied to this CPU, {manifest['cpu']}: {line}" for line in show_ties(manifest.get("tied_to_cpu") or ())]


def card_section(manifest: Mapping[str, Json]) -> str:
    """Return the section of the card about the CPU, or "" if every CPU makes the same artifact."""
    lines = show_ties(manifest.get("tied_to_cpu") or ())
    if not lines:
        return ""
    listed = "".join(f"- {line}\n" for line in lines)
    return (
        f"\n## Tied to a CPU\n\nBuilt on: {manifest['cpu']}. Another CPU may make a file with other bytes from the same"
        f" recipe, because of:\n\n{listed}"
    )
