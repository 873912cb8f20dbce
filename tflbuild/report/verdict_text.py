"""Verdicts as a person reads them: a row a target, and what falls back and why."""

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

SHOWN = 5  # reasons of a target's fallbacks that are listed
LEAST_ROOM = 40  # characters; a narrower screen folds lines by itself
NAMED = 3  # layers of one reason, or kinds of operators
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
    """The verdicts of a variant's finished steps, in the order of its targets."""
    return [read_verdict(roles[target_role(target.name)].facts["verdict"]) for target in recipe.targets]


def verdicts_in(manifest: Mapping[str, Json]) -> list[Verdict]:
    """What each target says, of a variant that was built."""
    return [read_verdict(one) for one in manifest.get("targets", {}).values()]


def target_gates(recipe: Recipe, verdicts: Sequence[Verdict]) -> list[Gate]:
    """Every limit of every target with what is known."""
    return [
        gate
        for target, verdict in zip(recipe.targets, verdicts, strict=True)
        for gate in evaluate_target_gates(verdict, target.gates)
    ]


def problems(recipe: Recipe, verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Target -> what fails the build there: faults that no limit allows, limits that are missed, what causes them."""
    found: dict[str, list[str]] = {}
    for target, verdict in zip(recipe.targets, verdicts, strict=True):
        wrong = list(list_failures(verdict, must_be_proven=target.must_be_proven))
        missed = [gate.text() for gate in evaluate_target_gates(verdict, target.gates) if not gate.passed]
        causes = fallback_lines(verdict) if missed or verdict.runs is False else ()
        if wrong or missed:
            needs = (f"  {line}" for line in unmet_lines(verdict))
            found[target.name] = [*wrong, *needs, *missed, *(f"  {line}" for line in causes)]
    return found


def fallback_lines(verdict: Verdict) -> Iterator[str]:
    """The operators that the target does not take: operator, layer, reason, fix."""
    yield from _some(verdict.fallbacks)
    unknown = Counter(verdict.unknown)
    for text, count in list(unknown.items())[:SHOWN]:
        yield f"unknown: {text}" + (f" ({count} times)" if count > 1 else "")
    if len(unknown) > SHOWN:
        yield f"and {len(unknown) - SHOWN} kinds more that are unknown"


def unmet_lines(verdict: Verdict) -> Iterator[str]:
    """Where the artifact is not what the profile needs."""
    yield from _some(verdict.unmet)


def _some(found: Sequence[Fallback]) -> Iterator[str]:
    alike: dict[tuple[str, str], list[Fallback]] = {}
    for one in found:
        alike.setdefault((one.reason, one.fix), []).append(one)
    shown = list(alike.values())[:SHOWN]
    yield from map(show_fallbacks, shown)
    if rest := len(found) - sum(map(len, shown)):
        yield f"and {rest} more: --json has all"


def show_fallbacks(alike: Sequence[Fallback]) -> str:
    """`GATHER x12 'head/gather', 'tail/gather' and 10 more: taken only where ...; fix`, of operators of one reason.

    Of several kinds of operators the first layer alone is named.
    """
    kinds = [f"{op} x{count}" if count > 1 else op for op, count in Counter(one.op for one in alike).items()]
    layers = [f"'{shorten(one.layer)}'" for one in alike if one.layer]
    what = _first(kinds, "kinds more")
    if layers:
        what += f" {_first(layers, 'more')}" if len(kinds) == 1 else f", the first {layers[0]}"
    fix = f"; {alike[0].fix}" if alike[0].fix else ""
    return f"{what}: {alike[0].reason}{fix}"


def _first(names: Sequence[str], more: str) -> str:
    rest = f" and {len(names) - NAMED} {more}" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def targets_text(verdicts: Sequence[Verdict], room: int | None = None) -> str:
    """The table, and below it by what each was judged, what falls back and what a person must know.

    Lines are no longer than `room` characters, the table's own aside; None: as long as they are.
    """
    headings = ("target", "verdict", "operators", "partitions", "figures")
    rows = [
        (
            one.target,
            one.proof + (": cannot run" if one.runs is False else ": needs unmet" if one.unmet else ""),
            _operators(one),
            "" if one.partitions is None else str(one.partitions),
            figures_text(one.figures),
        )
        for one in verdicts
    ]
    width = max(len(one.target) for one in verdicts)
    lines = [*align(headings, rows, right=("partitions",)), ""]
    for one in verdicts:
        told = [
            judged_text(one),
            *more_figures(one.figures),
            *(f"unmet need: {line}" for line in unmet_lines(one)),
            *fallback_lines(one),
            *(f"note: {note}" for note in one.notes),
        ]
        told += [f"to prove it: {one.to_prove}"] if one.to_prove else []
        told = [line for text in told for line in _fold(text, room and room - width - 2)]
        lines.append(f"{one.target:<{width}}  {told[0]}")
        lines += [f"{'':<{width}}  {text}" for text in told[1:]]
    return "\n".join(lines)


def _fold(text: str, room: int | None) -> list[str]:
    if room is None or room < LEAST_ROOM:
        return [text]
    return textwrap.wrap(text, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def more_figures(figures: Mapping[str, float]) -> Iterator[str]:
    """What a line of the table has no room for: other numbers of threads, memory, cycles."""
    mark = "latency_p50_ms_threads_"
    threads = sorted((int(name.removeprefix(mark)), value) for name, value in figures.items() if name.startswith(mark))
    if threads:
        yield "p50 with " + ", ".join(f"{count} threads {show_ms(value)}" for count, value in threads)
    rest = (("peak_bytes", "peak memory"), ("cycles_total", "cycles"), ("dram_bytes", "DRAM"), ("macs", "MACs"))
    told = [f"{word} {_show(name, figures[name])}" for name, word in rest if figures.get(name)]
    if told:
        yield ", ".join(told)


def judged_text(verdict: Verdict) -> str:
    """By what it was judged, and on which device its figures were had."""
    device = f"; figures: {verdict.device}" if verdict.device and verdict.device not in verdict.how else ""
    return verdict.how + device


def targets_table(manifest: Mapping[str, Json], room: int | None = None) -> str:
    """The same of a variant that was built, a blank line behind it; "" where it has no targets."""
    verdicts = verdicts_in(manifest)
    return targets_text(verdicts, room) + "\n\n" if verdicts else ""


def _operators(verdict: Verdict) -> str:
    taken = "?" if verdict.on_delegate is None else str(verdict.on_delegate)
    return f"{taken} of {verdict.ops}"


def figures_text(figures: Mapping[str, float]) -> str:
    """The few figures that a person looks for first."""
    return ", ".join(f"{WORDS.get(name, name)} {_show(name, figures[name])}" for name in FIRST if name in figures)


def _show(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return show_bytes(value)
    if name.endswith("_ms"):
        return show_ms(value)
    return f"{show_ratio(value)} dB" if name.endswith("_db") else f"{value:,.10g}"


def verdicts_json(verdicts: Sequence[Verdict]) -> Json:
    """By target, for the manifest."""
    return {one.target: one.as_json() for one in verdicts}


@dataclass(frozen=True)
class ListedTarget:
    """A profile that a recipe may choose, what it is, and what proves it on this machine."""

    text: str
    target: Target
    tool: TargetTool

    @property
    def verdicts(self) -> str:
        """How a verdict on it is had here: `proven`, `linted`, or not at all."""
        if self.tool.present and self.target.runtime != "table":
            return PROVEN
        return LINTED if self.target.table else UNPROVEN


def listing_text(listed: Sequence[ListedTarget]) -> str:
    """A row a profile, and below what a proof needs that is not here."""
    cells = [(one.target.name, one.verdicts, one.text) for one in listed]
    lines = align(("target", "verdicts here", "what it is"), cells)
    lacking = [(one.target.name, one.tool.to_prove) for one in listed if one.tool.to_prove]
    if lacking:
        lines += ["", *align(("for a proof of", "install"), lacking)]
    return "\n".join(lines)


def listing_json(listed: Sequence[ListedTarget]) -> Json:
    """The same as plain JSON."""
    return [
        {"target": one.target.name, "verdicts": one.verdicts, "text": one.text, "to_prove": one.tool.to_prove}
        for one in listed
    ]
