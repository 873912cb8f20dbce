"""Previews -> text and JSON: what would run, and which leaf made it so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.step import FileInput, Plan, StepInput
from tflbuild.execute.plan_preview import StepPreview
from tflbuild.plan.action_difference import ActionChange, ActionHistory, compare_actions
from tflbuild.report.cpu_dependence_text import StepCpuDependence, show_ties, ties_json
from tflbuild.report.output_files import last_manifest, variant_folder
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.storage.store import Store

WORDS = {"hit": "hit", "run": "run", "follows": "run"}


def find_changes(
    resolved: Sequence[ResolvedRecipe], plan: Plan, previews: Sequence[StepPreview], store: Store
) -> dict[str, list[ActionChange] | None]:
    """Step id -> the leaves that differ from the step's last result; None where there is no earlier one."""
    pending = [one for one in previews if one.verdict != "hit"]
    if not pending:
        return {}
    earlier = ActionHistory((record.action, record.created) for record in store.records())
    last = _last_actions(resolved, plan, store)
    found: dict[str, list[ActionChange] | None] = {}
    for one in pending:
        before = last.get(one.step.id) or earlier.nearest(one.action)
        found[one.step.id] = (
            None if before is None else compare_actions(before, one.action_like(before), ignore=one.awaits)
        )
    return found


def _last_actions(resolved: Sequence[ResolvedRecipe], plan: Plan, store: Store) -> dict[str, Mapping[str, Json]]:
    """Step id -> the action that played its role when the same variant was built last."""
    actions: dict[str, Mapping[str, Json]] = {}
    for one, goals in zip(resolved, plan.goals, strict=True):
        try:
            steps = last_manifest(variant_folder(one.recipe))["steps"]
            keys = {role: step["key"] for role, step in steps.items()}
        except (AttributeError, KeyError, TypeError):
            continue
        for role, step_id in goals.items():
            record = store.read(keys[role]) if role in keys else None
            if record is not None and record.action["kind"] == plan.steps[step_id].kind:
                actions.setdefault(step_id, record.action)
    return actions


def describe_changes(one: StepPreview, changes: list[ActionChange] | None, titles: Mapping[str, str]) -> list[str]:
    """The reasons in words, the nearest first."""
    if one.verdict == "hit":
        return []
    if changes is None:
        return ["never run before"]
    told = [_input_text(one, change) for change in changes]
    if one.verdict == "follows":
        makers = {port.name: titles[port.step_id] for port in one.step.inputs if isinstance(port, StepInput)}
        told += [f"input {name} is made by {makers[name]}, which runs" for name in one.awaits]
    return told or ["its result is no longer in the store"]


def _input_text(one: StepPreview, change: ActionChange) -> str:
    name = change.leaf.removeprefix("inputs.")
    for port in one.step.inputs:
        if change.leaf.startswith("inputs.") and port.name == name:
            place = f" ({port.path})" if isinstance(port, FileInput) else ""
            return change.text() + place
    return change.text()


def _titles(previews: Sequence[StepPreview]) -> dict[str, str]:
    """Step id -> what a person calls it."""
    return {one.step.id: one.step.title for one in previews}


def plan_text(previews: Sequence[StepPreview], found: Mapping[str, list[ActionChange] | None]) -> str:
    """A line a step: verdict and first reason; a last line that counts."""
    width = max(len(one.step.title) for one in previews)
    lines, titles = [], _titles(previews)
    for one in previews:
        told = describe_changes(one, found.get(one.step.id), titles)
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        lines.append(f"{one.step.title:<{width}}  {WORDS[one.verdict]}  {told[0] + more if told else ''}".rstrip())
    hits = sum(one.verdict == "hit" for one in previews)
    lines.append(f"{len(previews)} steps: {hits} hits, {len(previews) - hits} to run")
    return "\n".join([*lines, *(f"tied to this CPU: {line}" for line in show_ties(list_cpu_dependence(previews)))])


def list_cpu_dependence(previews: Sequence[StepPreview]) -> list[dict[str, Json]]:
    """Return what is known to depend on the CPU, of all steps; of one that has not run, what its plan says."""
    return ties_json(StepCpuDependence(one.step.title, tie) for one in previews for tie in one.ties)


def explain_text(previews: Sequence[StepPreview], found: Mapping[str, list[ActionChange] | None]) -> str:
    """For each step that runs, every reason on a line of its own."""
    lines, titles = [], _titles(previews)
    for one in previews:
        if one.verdict != "hit":
            lines.append(one.step.title)
            lines += [f"  {text}" for text in describe_changes(one, found.get(one.step.id), titles)]
    return "\n".join(lines) if lines else "nothing would run: every step is a hit"


def plan_json(previews: Sequence[StepPreview], found: Mapping[str, list[ActionChange] | None]) -> str:
    """The same as JSON: a list of steps."""
    rows, titles = [], _titles(previews)
    for one in previews:
        changes = found.get(one.step.id)
        rows.append(
            {
                "step": one.step.title,
                "kind": one.step.kind,
                "id": one.step.id,
                "key": one.key or None,
                "verdict": WORDS[one.verdict],
                "awaits": list(one.awaits),
                "changes": [{"leaf": c.leaf, "before": c.before, "after": c.after} for c in changes or ()],
                "why": describe_changes(one, changes, titles),
                "tied_to_cpu": [asdict(tie) for tie in one.ties],
            }
        )
    return json.dumps(rows, indent=2)
