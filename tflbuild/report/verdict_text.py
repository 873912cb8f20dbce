"""Format verdicts for the user: a row for each target, its fallbacks and their reasons."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Recipe, Target
from tflbuild.core.step_result import StepResult
from tflbuild.core.target_gates import evaluate_target_gates, list_failures
from tflbuild.core.verdict import LINTED, PROVEN, UNPROVEN, Fallback, Verdict, read_verdict
from tflbuild.plan.target_steps import target_role
from tflbuild.report.benchmark_text import show_ms
from tflbuild.report.text_table import align, shorten
from tflbuild.resolve.target_tools import TargetTool

# The number of reasons for fallbacks of a target that are listed.
LISTED_REASONS = 5
# The minimum width, in characters, to which lines are folded. A narrower screen folds lines by itself.
MIN_WIDTH = 40
# The number of layers of one reason, or of kinds of operators, that are named.
NAMED = 3
FIRST = ("latency_p50_ms", "latency_p90_ms", "inference_ms", "arena_bytes", "sram_bytes", "flash_bytes", "snr_db")
WORDS = {
    "latency_p50_ms": "p50",
    "latency_p90_ms": "p90",
    "inference_ms": "inference",
    "arena_bytes": "arena",
    "sram_bytes": "SRAM",
    "flash_bytes": "flash",
    "snr_db": "SNR",
    "on_chip_bytes": "on chip",
}


def verdicts_of(recipe: Recipe, roles: Mapping[str, StepResult]) -> list[Verdict]:
    """Return the verdicts of the finished steps of a variant, in the order of its targets."""
    return [read_verdict(roles[target_role(target.name)].facts["verdict"]) for target in recipe.targets]


def verdicts_in(manifest: Mapping[str, Json]) -> list[Verdict]:
    """Return the verdicts in the manifest of a variant."""
    return [read_verdict(verdict) for verdict in manifest.get("targets", {}).values()]


def target_gates(recipe: Recipe, verdicts: Sequence[Verdict]) -> list[Gate]:
    """Return the gates of all targets, evaluated."""
    return [
        gate
        for target, verdict in zip(recipe.targets, verdicts, strict=True)
        for gate in evaluate_target_gates(verdict, target.gates)
    ]


def problems(recipe: Recipe, verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Return target -> what fails the build: unsupported operators, unmet requirements, missed limits, causes."""
    faults_by_target: dict[str, list[str]] = {}
    for target, verdict in zip(recipe.targets, verdicts, strict=True):
        wrong = list(list_failures(verdict, must_be_proven=target.must_be_proven))
        missed = [gate.text() for gate in evaluate_target_gates(verdict, target.gates) if not gate.passed]
        causes = fallback_lines(verdict) if missed or verdict.runs is False else ()
        if wrong or missed:
            needs = (f"  {line}" for line in unmet_lines(verdict))
            faults_by_target[target.name] = [*wrong, *needs, *missed, *(f"  {line}" for line in causes)]
    return faults_by_target


def fallback_lines(verdict: Verdict) -> Iterator[str]:
    """Yield lines about the operators that the target does not support: operator, layer, reason, fix."""
    yield from _summarize(verdict.fallbacks)
    unknown = Counter(verdict.unknown)
    for text, count in list(unknown.items())[:LISTED_REASONS]:
        yield f"unknown: {text}" + (f" ({count} times)" if count > 1 else "")
    if len(unknown) > LISTED_REASONS:
        yield f"and {len(unknown) - LISTED_REASONS} kinds more that are unknown"


def unmet_lines(verdict: Verdict) -> Iterator[str]:
    """Yield lines about the requirements of the profile that the artifact does not meet."""
    yield from _summarize(verdict.unmet)


def _summarize(fallbacks: Sequence[Fallback]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Fallback]] = {}
    for fallback in fallbacks:
        groups.setdefault((fallback.reason, fallback.fix), []).append(fallback)
    listed = list(groups.values())[:LISTED_REASONS]
    yield from map(show_fallbacks, listed)
    if rest := len(fallbacks) - sum(map(len, listed)):
        yield f"and {rest} more: --json has all"


def show_fallbacks(alike: Sequence[Fallback]) -> str:
    """Return a line about operators with one reason: `GATHER x12 'head/gather' and 10 more: REASON; FIX`.

    If there are several kinds of operators, only the first layer is named.
    """
    kinds = [f"{op} x{count}" if count > 1 else op for op, count in Counter(fallback.op for fallback in alike).items()]
    layers = [f"'{shorten(fallback.layer)}'" for fallback in alike if fallback.layer]
    subject = _first(kinds, "kinds more")
    if layers:
        subject += f" {_first(layers, 'more')}" if len(kinds) == 1 else f", the first {layers[0]}"
    fix = f"; {alike[0].fix}" if alike[0].fix else ""
    return f"{subject}: {alike[0].reason}{fix}"


def _first(names: Sequence[str], more: str) -> str:
    rest = f" and {len(names) - NAMED} {more}" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def targets_text(verdicts: Sequence[Verdict], room: int | None = None) -> str:
    """Return the table of verdicts, and below it how each was obtained, its fallbacks and its notes.

    Args:
        verdicts: The verdicts.
        room: The maximum length of the lines below the table, in characters. None means no limit.
    """
    headings = ("target", "verdict", "operators", "partitions", "figures")
    rows = [
        (
            verdict.target,
            verdict.proof + (": cannot run" if verdict.runs is False else ": needs unmet" if verdict.unmet else ""),
            _operators(verdict),
            "" if verdict.partitions is None else str(verdict.partitions),
            figures_text(verdict.figures),
        )
        for verdict in verdicts
    ]
    width = max(len(verdict.target) for verdict in verdicts)
    lines = [*align(headings, rows, right=("partitions",)), ""]
    for verdict in verdicts:
        lines_of_target = [
            source_text(verdict),
            *more_figures(verdict.figures),
            *(f"unmet need: {line}" for line in unmet_lines(verdict)),
            *fallback_lines(verdict),
            *(f"note: {note}" for note in verdict.notes),
        ]
        lines_of_target += [f"to prove it: {verdict.to_prove}"] if verdict.to_prove else []
        lines_of_target = [line for text in lines_of_target for line in _fold(text, room and room - width - 2)]
        lines.append(f"{verdict.target:<{width}}  {lines_of_target[0]}")
        lines += [f"{'':<{width}}  {text}" for text in lines_of_target[1:]]
    return "\n".join(lines)


def _fold(text: str, width: int | None) -> list[str]:
    if width is None or width < MIN_WIDTH:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def more_figures(figures: Mapping[str, float]) -> Iterator[str]:
    """Yield lines with figures that are not in the table: latency by numbers of threads, memory, cycles."""
    prefix = "latency_p50_ms_threads_"
    threads = sorted(
        (int(name.removeprefix(prefix)), value) for name, value in figures.items() if name.startswith(prefix)
    )
    if threads:
        yield "p50 with " + ", ".join(f"{count} threads {show_ms(value)}" for count, value in threads)
    rest = (("peak_bytes", "peak memory"), ("cycles_total", "cycles"), ("dram_bytes", "DRAM"), ("macs", "MACs"))
    texts = [f"{word} {_show(name, figures[name])}" for name, word in rest if figures.get(name)]
    if texts:
        yield ", ".join(texts)


def source_text(verdict: Verdict) -> str:
    """Return how a verdict was obtained, and the device of its figures."""
    device = f"; figures: {verdict.device}" if verdict.device and verdict.device not in verdict.how else ""
    return verdict.how + device


def targets_table(manifest: Mapping[str, Json], room: int | None = None) -> str:
    """Return the verdicts of a manifest as text, with a blank line after it; "" without targets."""
    verdicts = verdicts_in(manifest)
    return targets_text(verdicts, room) + "\n\n" if verdicts else ""


def _operators(verdict: Verdict) -> str:
    supported = "?" if verdict.on_delegate is None else str(verdict.on_delegate)
    return f"{supported} of {verdict.ops}"


def figures_text(figures: Mapping[str, float]) -> str:
    """Return the most important figures of a verdict."""
    return ", ".join(f"{WORDS.get(name, name)} {_show(name, figures[name])}" for name in FIRST if name in figures)


def _show(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return show_bytes(value)
    if name.endswith("_ms"):
        return show_ms(value)
    return f"{show_ratio(value)} dB" if name.endswith("_db") else f"{value:,.10g}"


def verdicts_json(verdicts: Sequence[Verdict]) -> Json:
    """Return the verdicts by target, for the manifest."""
    return {verdict.target: verdict.as_json() for verdict in verdicts}


@dataclass(frozen=True)
class ListedTarget:
    """A profile that a recipe may choose, its description, and the tool that proves it."""

    text: str
    target: Target
    tool: TargetTool

    @property
    def verdicts(self) -> str:
        """Return the verdict that is possible on this machine: `proven`, `linted` or `unproven`."""
        if self.tool.present and self.target.runtime != "table":
            return PROVEN
        return LINTED if self.target.table else UNPROVEN


def listing_text(listed: Sequence[ListedTarget]) -> str:
    """Return a row for each profile, and below the packages that are missing for proofs."""
    cells = [(listed_target.target.name, listed_target.verdicts, listed_target.text) for listed_target in listed]
    lines = align(("target", "verdicts here", "what it is"), cells)
    lacking = [
        (listed_target.target.name, listed_target.tool.to_prove)
        for listed_target in listed
        if listed_target.tool.to_prove
    ]
    if lacking:
        lines += ["", *align(("for a proof of", "install"), lacking)]
    return "\n".join(lines)


def listing_json(listed: Sequence[ListedTarget]) -> Json:
    """Return the listed profiles as JSON."""
    return [
        {
            "target": listed_target.target.name,
            "verdicts": listed_target.verdicts,
            "text": listed_target.text,
            "to_prove": listed_target.tool.to_prove,
        }
        for listed_target in listed
    ]
