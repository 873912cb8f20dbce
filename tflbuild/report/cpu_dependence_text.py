"""What of an artifact depends on the CPU that built it: in manifests, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tflbuild.core.cpu_dependence import CpuDependence, read_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.step_result import StepResult

SHOWN = 3  # operators of a step


@dataclass(frozen=True)
class StepCpuDependence:
    """A tie, and the step that has it."""

    step: str
    tie: CpuDependence


def collect_cpu_dependence(roles: Mapping[str, StepResult]) -> list[StepCpuDependence]:
    """Return the ties of a variant's steps; a step that plays two roles is listed under the first."""
    first_roles = {result.step_id: role for role, result in reversed(list(roles.items()))}
    return [
        StepCpuDependence(role, tie)
        for role, result in roles.items()
        if first_roles[result.step_id] == role
        for tie in read_cpu_dependence(result.facts)
    ]


def ties_json(ties: Iterable[StepCpuDependence]) -> list[dict[str, Json]]:
    """Return ties as the manifest has them: `step`, `operator`, `layer`, `reason`."""
    return [{"step": one.step, **asdict(one.tie)} for one in ties]


def show_ties(ties: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return a line for each step and reason of ties as the manifest has them.

    `convert: 2 operators (Svd at 'w', Lu at 'v'): they are outside the table of exact operators`.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for tie in ties:
        place = f"{tie['operator']} at '{tie['layer']}'" if tie["layer"] else str(tie["operator"])
        groups.setdefault((tie["step"], tie["reason"]), []).append(place)
    return [f"{step}: {_list_places(places)}: {reason}" for (step, reason), places in groups.items()]


def _list_places(places: Sequence[str]) -> str:
    """Return operators with their layers, counted where there are several."""
    if len(places) == 1:
        return places[0]
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return f"{len(places)} operators ({', '.join(places[:SHOWN])}{more})"


def note_cpu_dependence(manifest: Mapping[str, Json]) -> list[str]:
    """Return a line for each thing in an artifact that may come out otherwise on another CPU."""
    return [f"tied to this CPU, {manifest['cpu']}: {line}" for line in show_ties(manifest.get("tied_to_cpu") or ())]


def card_section(manifest: Mapping[str, Json]) -> str:
    """Return the section of the card about the CPU, "" where the artifact is the same on every one."""
    lines = show_ties(manifest.get("tied_to_cpu") or ())
    if not lines:
        return ""
    listed = "".join(f"- {line}\n" for line in lines)
    return (
        f"\n## Tied to a CPU\n\nBuilt on: {manifest['cpu']}. Another CPU may make a file with other bytes from the same"
        f" recipe, because of:\n\n{listed}"
    )
