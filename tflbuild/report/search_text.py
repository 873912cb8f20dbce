"""Format the result of `quantization=auto`: trials, choice, and the recipe that is equal to it without a search."""

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


def search_text(search: SearchResult) -> str:
    """Return the table of trials, the operators that lose most, and the lines to paste into the recipe."""
    lines = trial_lines(search)
    lines += [f"{name}: left out, {reason}" for name, reason in search.excluded]
    lines += failure_lines(search.trials)
    if search.costly:
        lines += ["", *costly_lines(search.costly)]
    if search.chosen is not None:
        lines += ["", f"chosen  {search.chosen.label}: {explain_choice(search)}", *part_lines(search)]
        lines += ["as a recipe, without the search:"]
        lines += [f"  {line}" for line in recipe_lines(search.chosen.quantization)]
    return "\n".join(lines)


def trial_lines(search: SearchResult) -> list[str]:
    """Return the table of all trials in their order. The figures are those that the budget limits."""
    names = [name for name, _ in search.budget if name != "bytes"]
    headings = ("tried", "bytes", *names, "median ms, this host", "SNR dB", "result")
    rows = []
    for trial in search.trials:
        measured = collect_figures(trial.facts) if trial.gates else {}
        limited_figures = [show_figure(name, measured[figure_name(name)]) if measured else "" for name in names]
        snr = f"{trial.fidelity:.1f}" if measured and "snr_db" not in names else ""
        latency = "" if trial.latency_ms is None else f"{trial.latency_ms:.4g}"
        size = f"{trial.bytes:,}" if trial.bytes else ""
        rows.append((trial.label, size, *limited_figures, latency, snr, describe_trial_status(trial, search.chosen)))
    return align(headings, rows, right=headings[1:-1])


def describe_trial_status(trial: SearchTrial, chosen: SearchTrial | None) -> str:
    """Return the result of a trial in a few words."""
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
    """Return why trials failed: each reason once, by its first line. If all failed, the error of the build says it."""
    labels_by_reason: dict[str, list[str]] = {}
    for trial in trials if any(trial.gates for trial in trials) else ():
        if trial.failure is not None and trial.failure.why:
            labels_by_reason.setdefault(trial.failure.why.split("\n")[0], []).append(trial.label)
    return [
        line
        for reason, labels in labels_by_reason.items()
        for line in wrap(f"{'; '.join(labels)}: {reason}", WIDTH, subsequent_indent="  ")
    ]


def costly_lines(costly: Sequence[OperatorCost]) -> list[str]:
    """Return the table of operators that lose most, each quantized while the others are not."""
    headings = (f"costs most as {costly[0].scheme}", "SNR dB alone", "operator")
    return align(
        headings, [(shorten(cost.name), show_ratio(cost.snr_db), cost.operator) for cost in costly], headings[1:2]
    )


def explain_choice(search: SearchResult) -> str:
    """Return why a trial was chosen."""
    assert search.chosen is not None
    measured = sum(bool(trial.gates) for trial in search.trials)
    meeting = sum(trial.meets for trial in search.trials)
    best = "smallest" if search.objective == "size" else "fastest on this host"
    return f"the {best} of {meeting} that meet the budget, of {measured} measured"


def part_lines(search: SearchResult) -> list[str]:
    """Return which samples the search used, and the figures on the samples that it did not use."""
    part = search.part
    if not part:
        return []
    if "unsplit" in part:
        return [f"selected and reported on the same {part['samples']:,} samples: {part['unsplit']}"]
    figures = ", ".join(f"{gate.name} {show_figure(gate.name, gate.value)}" for gate in search.reported)
    count = f"{part['samples']:,}"
    other_count = part["of"] - part["samples"]
    return [f"selected on {count} samples; on the other {other_count:,}, which the search did not see: {figures}"]


def recipe_lines(quantization: Quantization) -> list[str]:
    """Return the YAML of a recipe that makes the same artifact without a search."""
    body = [
        f"{name}: {getattr(quantization, name)}"
        for name, default in USUAL.items()
        if getattr(quantization, name) != default
    ]
    if quantization.calibration is not None:
        body += [f"input_type: {quantization.input_type}", f"output_type: {quantization.output_type}"]
        body += [
            f"calibration: {{method: {quantization.calibration.method}, kernels: {quantization.calibration.kernels}}}"
        ]
    if quantization.rules:
        body.append("rules:")
    for rule in quantization.rules:
        selection = {name: value for name, value in (("match", rule.match), ("op", rule.op)) if value}
        scheme = "float32" if rule.scheme == "none" else rule.scheme
        text = ", ".join(f"{name}: {json.dumps(value)}" for name, value in selection.items())
        body.append(f"  - {{{text}, scheme: {scheme}}}")
    lines = [f"defaults: [{{override /quantization: {quantization.scheme}}}]"]
    return lines + (["quantization:", *(f"  {line}" for line in body)] if body else [])


def search_json(search: SearchResult) -> Mapping[str, Json]:
    """Return the search as JSON, for the manifest and for `--json`."""
    trials = [
        {
            "label": trial.label,
            "bytes": trial.bytes or None,
            "figures": {gate.name: gate.value for gate in trial.gates},
            "p50_ms": trial.latency_ms,
            "result": describe_trial_status(trial, search.chosen),
            "why": trial.failure.why if trial.failure is not None else "",
        }
        for trial in search.trials
    ]
    return {
        "objective": search.objective,
        "budget": dict(search.budget),
        "chosen": None if search.chosen is None else search.chosen.label,
        "recipe": [] if search.chosen is None else recipe_lines(search.chosen.quantization),
        "part": dict(search.part),
        "reported": [{"name": gate.name, "limit": gate.limit, "value": gate.value} for gate in search.reported],
        "missed": [gate.text() for gate in search.reported if not gate.passed],
        "trials": trials,
        "costly": [vars(cost) for cost in search.costly],
    }
