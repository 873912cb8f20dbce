"""What `quantization=auto` tried, chose and why, and the recipe that says the same without a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from textwrap import wrap

from tflbuild.core.digest import Json
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.gates import collect_figures, figure_name, show_figure
from tflbuild.core.recipe import Quantization
from tflbuild.core.search_result import OperatorCost, SearchResult, SearchTrial
from tflbuild.report.text_table import align, shorten

WIDTH = 120
USUAL = {"algorithm": "min_max", "granularity": "per_channel", "symmetric": False}


def search_text(found: SearchResult) -> str:
    """The table of trials, the operators that cost most, and what to paste into the recipe."""
    lines = trial_lines(found)
    lines += [f"{name}: left out, {why}" for name, why in found.excluded]
    lines += failure_lines(found.trials)
    if found.costly:
        lines += ["", *costly_lines(found.costly)]
    if found.chosen is not None:
        lines += ["", f"chosen  {found.chosen.label}: {explain_choice(found)}", *part_lines(found)]
        lines += ["as a recipe, without the search:"]
        lines += [f"  {line}" for line in recipe_lines(found.chosen.quantization)]
    return "\n".join(lines)


def trial_lines(found: SearchResult) -> list[str]:
    """Every trial, in the order in which they were made; figures are those that the budget limits."""
    names = [name for name, _ in found.budget if name != "bytes"]
    headings = ("tried", "bytes", *names, "median ms, this host", "SNR dB", "result")
    rows = []
    for trial in found.trials:
        measured = collect_figures(trial.facts) if trial.gates else {}
        told = [show_figure(name, measured[figure_name(name)]) if measured else "" for name in names]
        snr = f"{trial.fidelity:.1f}" if measured and "snr_db" not in names else ""
        latency = "" if trial.latency_ms is None else f"{trial.latency_ms:.4g}"
        size = f"{trial.bytes:,}" if trial.bytes else ""
        rows.append((trial.label, size, *told, latency, snr, describe_trial_status(trial, found.chosen)))
    return align(headings, rows, right=headings[1:-1])


def describe_trial_status(trial: SearchTrial, chosen: SearchTrial | None) -> str:
    """What came of a trial."""
    if trial.failure is not None:
        return trial.failure.what
    if chosen is not None and trial.quantization == chosen.quantization:
        return "chosen"
    if not trial.gates:
        return "larger than what meets" if chosen is not None else "not measured"
    if trial.collapse and all(gate.passed for gate in trial.gates):
        return "collapsed"
    return "meets" if trial.meets else "misses"


def failure_lines(trials: Sequence[SearchTrial]) -> list[str]:
    """Why some trials failed: each reason once, by its first line. Where all did, the error says it."""
    befell: dict[str, list[str]] = {}
    for trial in trials if any(trial.gates for trial in trials) else ():
        if trial.failure is not None and trial.failure.why:
            befell.setdefault(trial.failure.why.split("\n")[0], []).append(trial.label)
    return [
        line
        for why, names in befell.items()
        for line in wrap(f"{'; '.join(names)}: {why}", WIDTH, subsequent_indent="  ")
    ]


def costly_lines(costly: Sequence[OperatorCost]) -> list[str]:
    """The operators that lose most, each alone quantized."""
    headings = (f"costs most as {costly[0].scheme}", "SNR dB alone", "operator")
    return align(headings, [(shorten(one.name), show_ratio(one.snr_db), one.operator) for one in costly], headings[1:2])


def explain_choice(found: SearchResult) -> str:
    """Why this one."""
    assert found.chosen is not None
    measured = sum(bool(trial.gates) for trial in found.trials)
    meeting = sum(trial.meets for trial in found.trials)
    least = "smallest" if found.objective == "size" else "fastest on this host"
    return f"the {least} of {meeting} that meet the budget, of {measured} measured"


def part_lines(found: SearchResult) -> list[str]:
    """Return what the figures of the search are of, and those that it did not see."""
    part = found.part
    if not part:
        return []
    if "unsplit" in part:
        return [f"selected and reported on the same {part['samples']:,} samples: {part['unsplit']}"]
    told = ", ".join(f"{gate.name} {show_figure(gate.name, gate.value)}" for gate in found.reported)
    other = part["of"] - part["samples"]
    return [f"selected on {part['samples']:,} samples; on the other {other:,}, which the search did not see: {told}"]


def recipe_lines(quantization: Quantization) -> list[str]:
    """YAML that makes the same artifact."""
    body = [
        f"{name}: {getattr(quantization, name)}"
        for name, usual in USUAL.items()
        if getattr(quantization, name) != usual
    ]
    if quantization.calibration is not None:
        body += [f"input_type: {quantization.input_type}", f"output_type: {quantization.output_type}"]
        body += [
            f"calibration: {{method: {quantization.calibration.method}, kernels: {quantization.calibration.kernels}}}"
        ]
    if quantization.rules:
        body.append("rules:")
    for rule in quantization.rules:
        told = {name: value for name, value in (("match", rule.match), ("op", rule.op)) if value}
        scheme = "float32" if rule.scheme == "none" else rule.scheme
        text = ", ".join(f"{name}: {json.dumps(value)}" for name, value in told.items())
        body.append(f"  - {{{text}, scheme: {scheme}}}")
    lines = [f"defaults: [{{override /quantization: {quantization.scheme}}}]"]
    return lines + (["quantization:", *(f"  {line}" for line in body)] if body else [])


def search_json(found: SearchResult) -> Mapping[str, Json]:
    """The same for programs and for the manifest."""
    trials = [
        {
            "label": trial.label,
            "bytes": trial.bytes or None,
            "figures": {gate.name: gate.value for gate in trial.gates},
            "p50_ms": trial.latency_ms,
            "result": describe_trial_status(trial, found.chosen),
            "why": trial.failure.why if trial.failure is not None else "",
        }
        for trial in found.trials
    ]
    return {
        "objective": found.objective,
        "budget": dict(found.budget),
        "chosen": None if found.chosen is None else found.chosen.label,
        "recipe": [] if found.chosen is None else recipe_lines(found.chosen.quantization),
        "part": dict(found.part),
        "reported": [{"name": one.name, "limit": one.limit, "value": one.value} for one in found.reported],
        "missed": [gate.text() for gate in found.reported if not gate.passed],
        "trials": trials,
        "costly": [vars(one) for one in found.costly],
    }
