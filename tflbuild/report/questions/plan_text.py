"""Format plan previews as text and JSON: which steps would run, and which part of the cache key made them run."""

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
    """Return step id -> the parts of its cache key that differ from its last result; None without an earlier result."""
    pending = [preview for preview in previews if preview.verdict != "hit"]
    if not pending:
        return {}
    earlier = ActionHistory((record.action, record.created) for record in store.records())
    last = _last_actions(resolved, plan, store)
    changes: dict[str, list[ActionChange] | None] = {}
    for preview in pending:
        before = last.get(preview.step.id) or earlier.nearest(preview.action)
        changes[preview.step.id] = (
            None if before is None else compare_actions(before, preview.action_like(before), ignore=preview.awaits)
        )
    return changes


def _last_actions(resolved: Sequence[ResolvedRecipe], plan: Plan, store: Store) -> dict[str, Mapping[str, Json]]:
    """Return step id -> the action that had its role when the same variant was built last."""
    actions: dict[str, Mapping[str, Json]] = {}
    for variant, goals in zip(resolved, plan.goals, strict=True):
        try:
            steps = last_manifest(variant_folder(variant.recipe))["steps"]
            keys = {role: step["key"] for role, step in steps.items()}
        except (AttributeError, KeyError, TypeError):
            continue
        for role, step_id in goals.items():
            record = store.read(keys[role]) if role in keys else None
            if record is not None and record.action["kind"] == plan.steps[step_id].kind:
                actions.setdefault(step_id, record.action)
    return actions


def describe_changes(preview: StepPreview, changes: list[ActionChange] | None, titles: Mapping[str, str]) -> list[str]:
    """Return the reasons why a step would run as text, the nearest first."""
    if preview.verdict == "hit":
        return []
    if changes is None:
        return ["never run before"]
    reasons = [_input_text(preview, change) for change in changes]
    if preview.verdict == "follows":
        producers = {port.name: titles[port.step_id] for port in preview.step.inputs if isinstance(port, StepInput)}
        reasons += [f"input {name} is made by {producers[name]}, which runs" for name in preview.awaits]
    return reasons or ["its result is no longer in the store"]


def _input_text(preview: StepPreview, change: ActionChange) -> str:
    name = change.leaf.removeprefix("inputs.")
    for port in preview.step.inputs:
        if change.leaf.startswith("inputs.") and port.name == name:
            path = f" ({port.path})" if isinstance(port, FileInput) else ""
            return change.text() + path
    return change.text()


def _titles(previews: Sequence[StepPreview]) -> dict[str, str]:
    """Return step id -> the title of the step."""
    return {preview.step.id: preview.step.title for preview in previews}


def plan_text(previews: Sequence[StepPreview], changes: Mapping[str, list[ActionChange] | None]) -> str:
    """Return a line for each step with its verdict and first reason, and a last line with the numbers of steps."""
    width = max(len(preview.step.title) for preview in previews)
    lines, titles = [], _titles(previews)
    for preview in previews:
        reasons = describe_changes(preview, changes.get(preview.step.id), titles)
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        lines.append(
            f"{preview.step.title:<{width}}  {WORDS[preview.verdict]}  {reasons[0] + more if reasons else ''}".rstrip()
        )
    hits = sum(preview.verdict == "hit" for preview in previews)
    lines.append(f"{len(previews)} steps: {hits} hits, {len(previews) - hits} to run")
    return "\n".join([*lines, *(f"tied to this CPU: {line}" for line in show_ties(list_cpu_dependence(previews)))])


def list_cpu_dependence(previews: Sequence[StepPreview]) -> list[dict[str, Json]]:
    """Return the known CPU dependences of all steps. For a step that has not run, they come from its plan."""
    return ties_json(StepCpuDependence(preview.step.title, tie) for preview in previews for tie in preview.ties)


def explain_text(previews: Sequence[StepPreview], changes: Mapping[str, list[ActionChange] | None]) -> str:
    """Return all reasons of each step that would run, each on a line of its own."""
    lines, titles = [], _titles(previews)
    for preview in previews:
        if preview.verdict != "hit":
            lines.append(preview.step.title)
            lines += [f"  {text}" for text in describe_changes(preview, changes.get(preview.step.id), titles)]
    return "\n".join(lines) if lines else "nothing would run: every step is a hit"


def plan_json(previews: Sequence[StepPreview], found: Mapping[str, list[ActionChange] | None]) -> str:
    """Return the previews as JSON: a list of steps."""
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
