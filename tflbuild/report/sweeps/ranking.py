"""Variants held against each other: ranked, the Pareto front marked, in columns that the screen and the page share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tflbuild.core.gates import split_target
from tflbuild.core.objective import Objective
from tflbuild.report.figure_text import column_heading, is_of_a_host, name_in_sentence, show_figure
from tflbuild.report.sweeps.pareto_front import choose_default_objectives
from tflbuild.report.sweeps.sweep_record import SweepEntry, SweepRecord, find_front, rank_entries
from tflbuild.report.text_table import align
from tflbuild.report.variant_summary import SHOWN_SHA, label_variants

MARK = "*"
COLLAPSED = "!"


@dataclass(frozen=True)
class RankedVariant:
    """A variant among those it is held against; `best`: it is on the front."""

    label: str
    entry: SweepEntry
    sweep: SweepRecord
    best: bool


@dataclass(frozen=True)
class RankingColumn:
    """What is said of every variant: in words, "" where there is nothing to say, and as a value to sort by."""

    heading: str
    words: Callable[[RankedVariant], str]
    value: Callable[[RankedVariant], float | None] | None = None


def find_objectives(sweeps: Sequence[SweepRecord]) -> tuple[Objective, ...]:
    """The objectives of the newest sweep, but for latency where it was measured on several hosts; never none."""
    aims = max(sweeps, key=lambda one: one.created).aims
    entries = [entry for sweep in sweeps for entry in sweep.variants]
    comparable = tuple(one for one in aims if is_comparable(one.figure, entries))
    return comparable or choose_default_objectives([entry.figures for entry in entries])


def is_comparable(figure: str, entries: Sequence[SweepEntry]) -> bool:
    """Whether it can be held against that of another variant: latency only where one host has measured it."""
    target = split_target(figure)[0]
    return not is_of_a_host(figure) or len(devices_of(target, entries) if target else benchmarked_on(entries)) < 2


def benchmarked_on(entries: Sequence[SweepEntry]) -> set[str]:
    """The hosts that a benchmark timed variants on."""
    return {entry.latency_host for entry in entries if entry.latency_host}


def devices_of(target: str, entries: Sequence[SweepEntry]) -> list[str]:
    """Where a target's figures were had, or by whose estimate."""
    return list(dict.fromkeys(entry.devices[target] for entry in entries if target in entry.devices))


def hosts_of(sweeps: Sequence[SweepRecord]) -> set[str]:
    """Where latency was measured, by a benchmark."""
    return benchmarked_on([entry for sweep in sweeps for entry in sweep.variants])


def rank_variants(sweeps: Sequence[SweepRecord]) -> list[RankedVariant]:
    """Every variant of these sweeps, best first; the front is that of all of them together."""
    pairs = [(sweep, entry) for sweep in sweeps for entry in sweep.variants]
    entries = [entry for _, entry in pairs]
    aims = find_objectives(sweeps)
    front, told = find_front(entries, aims), label_variants(entries)
    return [RankedVariant(told[place], *pairs[place][::-1], place in front) for place in rank_entries(entries, aims)]


def figure_column(name: str) -> RankingColumn:
    """A figure as a column."""

    def words(one: RankedVariant) -> str:
        entry = one.entry
        return show_figure(name, entry.figures[name], entry.margins.get(name)) if name in entry.figures else ""

    return RankingColumn(column_heading(name), words, lambda one: one.entry.figures.get(name))


def share_of_float(one: RankedVariant) -> float | None:
    """The artifact's size beside the float model's."""
    made = one.entry.artifact
    return None if made is None or not made.float_bytes else made.bytes / made.float_bytes


def zeros(one: RankedVariant) -> float | None:
    """The share of zero weights where the model was pruned."""
    return None if one.entry.artifact is None else one.entry.artifact.zeros


def percent(take: Callable[[RankedVariant], float | None]) -> Callable[[RankedVariant], str]:
    """A share as `50.0%`."""

    def words(one: RankedVariant) -> str:
        share = take(one)
        return "" if share is None else f"{share:.1%}"

    return words


def columns_of(standings: Sequence[RankedVariant], aims: Sequence[Objective]) -> list[RankingColumn]:
    """What tells of them: objectives of their own, the usual, sizes after gzip where a model was trained for them."""
    packed = any(one.entry.artifact is not None and one.entry.artifact.optimized for one in standings)
    sha = RankingColumn("sha256", lambda one: one.entry.artifact.sha256[:SHOWN_SHA] if one.entry.artifact else "")
    columns = [
        RankingColumn("variant", lambda one: one.label),
        RankingColumn("result", lambda one: one.entry.verdict),
        RankingColumn("front", lambda one: MARK if one.best else COLLAPSED if one.entry.collapsed else ""),
    ]
    usual = ("top1", "top1_drop", "snr_db", "latency_ms")
    shown = {"bytes", *usual, *(("gzip_bytes",) if packed else ())}
    columns += [figure_column(aim.figure) for aim in aims if aim.figure not in shown]
    columns += [figure_column("bytes"), RankingColumn("of float", percent(share_of_float), share_of_float)]
    columns += [figure_column("gzip_bytes"), RankingColumn("zeros", percent(zeros), zeros)] if packed else []
    columns += [figure_column(name) for name in usual]
    targets = [] if common_targets(standings) else [RankingColumn("targets", lambda one: one.entry.targets)]
    return [*columns, *targets, sha]


def common_targets(standings: Sequence[RankedVariant]) -> str:
    """What targets say of all that was built, where that is the same: a line, and no column; else ""."""
    told = {one.entry.targets for one in standings if one.entry.artifact is not None}
    return told.pop() if len(told) == 1 else ""


def sweep_table(sweep: SweepRecord) -> str:
    """All variants, best first, figures to the right, and a line that says what the order and the mark mean."""
    aims, standings = find_objectives([sweep]), rank_variants([sweep])
    columns = columns_of(standings, aims)
    cells = [tuple(column.words(one) for column in columns) for one in standings]
    headings = [column.heading for column in columns]
    right = [column.heading for column in columns if column.value is not None]
    return "\n".join([*align(headings, cells, right=right), *describe_ranking(standings, aims)])


def describe_ranking(standings: Sequence[RankedVariant], aims: Sequence[Objective]) -> list[str]:
    """Below a table: what the order and the mark mean, or why none has it; where the figures of targets were had."""
    passed = [one.entry for one in standings if one.entry.passed]
    told = [describe_front_mark(aims)] if any(one.best for one in standings) else []
    collapsed = [one for one in passed if one.collapsed]
    if passed and not told:
        told = [f"no Pareto front: no variant that passed has all of {', '.join(aim.figure for aim in aims)}"]
        told = ["no Pareto front: the figures of all variants are doubtful"] if len(collapsed) == len(passed) else told
    if any(one.entry.collapsed for one in standings):
        told.append(f"{COLLAPSED} on no front, because its figures are doubtful: see the warnings")
    if any(one.entry.margins for one in standings):
        told.append("+- is half the width of the 95 % interval; drop is paired with the source, in points")
    told += [f"targets, the same of all that was built: {same}"] if (same := common_targets(standings)) else []
    return [
        *told,
        *describe_figure_sources([one.entry for one in standings], [split_target(aim.figure)[0] for aim in aims]),
    ]


def describe_figure_sources(entries: Sequence[SweepEntry], targets: Sequence[str]) -> list[str]:
    """Where the figures of these targets were had; what a compiler works out is called an estimate there."""
    told = {target: devices_of(target, entries) for target in targets if target}
    return [f"{target}: {merge_similar_texts(devices)}" for target, devices in told.items() if devices]


def merge_similar_texts(texts: Sequence[str]) -> str:
    """Texts that differ in single words as one: `for ethos-u55-64 / ethos-u55-128, 500 MHz`; else all, one by one."""
    words = [text.split(" ") for text in texts]
    if len({len(one) for one in words}) > 1:
        return "; ".join(texts)
    return " ".join(" / ".join(dict.fromkeys(place)).replace(", /", " /") for place in zip(*words, strict=True))


def describe_front_mark(aims: Sequence[Objective]) -> str:
    """What `*` means."""
    names = [f"{'most' if aim.direction == 'max' else 'least'} {name_in_sentence(aim.figure)}" for aim in aims]
    if len(names) == 1:
        return f"{MARK} the best: {names[0]}"
    wanted = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{MARK} Pareto front by {wanted}: no other is as good in all of them and better in one; sorted by the first"


def count_text(entries: Sequence[SweepEntry]) -> str:
    """`7 ok, 1 gate failed`: the results, what passed first."""
    counts = Counter(entry.verdict for entry in sorted(entries, key=lambda one: not one.passed))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
