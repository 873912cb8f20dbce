"""Rank the variants of sweeps and mark the Pareto front, in columns for the screen and the page."""

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
    """A variant in a ranking. `best`: it is on the Pareto front."""

    label: str
    entry: SweepEntry
    sweep: SweepRecord
    best: bool


@dataclass(frozen=True)
class RankingColumn:
    """A column of a ranking: its text, "" for an empty cell, and its value for sorting."""

    heading: str
    words: Callable[[RankedVariant], str]
    value: Callable[[RankedVariant], float | None] | None = None


def find_objectives(sweeps: Sequence[SweepRecord]) -> tuple[Objective, ...]:
    """Return the objectives of the newest sweep, or the default ones. There is at least one.

    Latency is left out if several hosts measured it.
    """
    objectives = max(sweeps, key=lambda sweep: sweep.created).effective_objectives
    entries = [entry for sweep in sweeps for entry in sweep.variants]
    comparable = tuple(objective for objective in objectives if is_comparable(objective.figure, entries))
    return comparable or choose_default_objectives([entry.figures for entry in entries])


def is_comparable(figure: str, entries: Sequence[SweepEntry]) -> bool:
    """Return whether a figure can be compared between variants. Latency can if one host measured all of it."""
    target = split_target(figure)[0]
    return not is_of_a_host(figure) or len(devices_of(target, entries) if target else benchmarked_on(entries)) < 2


def benchmarked_on(entries: Sequence[SweepEntry]) -> set[str]:
    """Return the hosts on which a benchmark measured variants."""
    return {entry.latency_host for entry in entries if entry.latency_host}


def devices_of(target: str, entries: Sequence[SweepEntry]) -> list[str]:
    """Return the devices on which the figures of a target were measured, or the tools that estimated them."""
    return list(dict.fromkeys(entry.devices[target] for entry in entries if target in entry.devices))


def hosts_of(sweeps: Sequence[SweepRecord]) -> set[str]:
    """Return the hosts on which a benchmark measured the variants of sweeps."""
    return benchmarked_on([entry for sweep in sweeps for entry in sweep.variants])


def rank_variants(sweeps: Sequence[SweepRecord]) -> list[RankedVariant]:
    """Return all variants of sweeps, best first. All of them together have one Pareto front."""
    pairs = [(sweep, entry) for sweep in sweeps for entry in sweep.variants]
    entries = [entry for _, entry in pairs]
    objectives = find_objectives(sweeps)
    front, labels = find_front(entries, objectives), label_variants(entries)
    ranking = []
    for index in rank_entries(entries, objectives):
        sweep, entry = pairs[index]
        ranking.append(RankedVariant(labels[index], entry, sweep, index in front))
    return ranking


def figure_column(name: str) -> RankingColumn:
    """Return the column of a figure."""

    def show(variant: RankedVariant) -> str:
        entry = variant.entry
        return show_figure(name, entry.figures[name], entry.margins.get(name)) if name in entry.figures else ""

    return RankingColumn(column_heading(name), show, lambda variant: variant.entry.figures.get(name))


def share_of_float(variant: RankedVariant) -> float | None:
    """Return the size of the artifact divided by the size of the float model."""
    artifact = variant.entry.artifact
    return None if artifact is None or not artifact.float_bytes else artifact.bytes / artifact.float_bytes


def zeros(variant: RankedVariant) -> float | None:
    """Return the fraction of zero weights of a pruned model."""
    return None if variant.entry.artifact is None else variant.entry.artifact.zeros


def percent(read_share: Callable[[RankedVariant], float | None]) -> Callable[[RankedVariant], str]:
    """Return a function that shows a fraction as `50.0%`."""

    def show(variant: RankedVariant) -> str:
        share = read_share(variant)
        return "" if share is None else f"{share:.1%}"

    return show


def columns_of(ranking: Sequence[RankedVariant], objectives: Sequence[Objective]) -> list[RankingColumn]:
    """Return the columns of a ranking: the usual ones and those of the objectives.

    Sizes after gzip are shown if a model was trained for them.
    """
    packed = any(variant.entry.artifact is not None and variant.entry.artifact.optimized for variant in ranking)
    sha = RankingColumn(
        "sha256", lambda variant: variant.entry.artifact.sha256[:SHOWN_SHA] if variant.entry.artifact else ""
    )
    columns = [
        RankingColumn("variant", lambda variant: variant.label),
        RankingColumn("result", lambda variant: variant.entry.verdict),
        RankingColumn("front", lambda variant: MARK if variant.best else COLLAPSED if variant.entry.collapsed else ""),
    ]
    usual = ("top1", "top1_drop", "snr_db", "latency_ms")
    shown = {"bytes", *usual, *(("gzip_bytes",) if packed else ())}
    columns += [figure_column(objective.figure) for objective in objectives if objective.figure not in shown]
    columns += [figure_column("bytes"), RankingColumn("of float", percent(share_of_float), share_of_float)]
    columns += [figure_column("gzip_bytes"), RankingColumn("zeros", percent(zeros), zeros)] if packed else []
    columns += [figure_column(name) for name in usual]
    targets = [] if common_targets(ranking) else [RankingColumn("targets", lambda variant: variant.entry.targets)]
    return [*columns, *targets, sha]


def common_targets(ranking: Sequence[RankedVariant]) -> str:
    """Return the short verdicts of all built variants if they are equal, otherwise "".

    Equal verdicts need no column.
    """
    texts = {variant.entry.targets for variant in ranking if variant.entry.artifact is not None}
    return texts.pop() if len(texts) == 1 else ""


def sweep_table(sweep: SweepRecord) -> str:
    """Return the table of a sweep, best variant first, and lines that explain the order and the mark."""
    objectives, ranking = find_objectives([sweep]), rank_variants([sweep])
    columns = columns_of(ranking, objectives)
    cells = [tuple(column.words(variant) for column in columns) for variant in ranking]
    headings = [column.heading for column in columns]
    right = [column.heading for column in columns if column.value is not None]
    return "\n".join([*align(headings, cells, right=right), *describe_ranking(ranking, objectives)])


def describe_ranking(ranking: Sequence[RankedVariant], objectives: Sequence[Objective]) -> list[str]:
    """Return the lines below a table: the meaning of the order and the mark, or why no variant has it, and devices."""
    passed = [variant.entry for variant in ranking if variant.entry.passed]
    lines = [describe_front_mark(objectives)] if any(variant.best for variant in ranking) else []
    collapsed = [variant for variant in passed if variant.collapsed]
    if passed and not lines:
        figures = ", ".join(objective.figure for objective in objectives)
        lines = [f"no Pareto front: no variant that passed has all of {figures}"]
        lines = ["no Pareto front: all variants that passed have collapsed"] if len(collapsed) == len(passed) else lines
    if any(variant.entry.collapsed for variant in ranking):
        lines.append(f"{COLLAPSED} not on the front, because its outputs have collapsed: see the warnings")
    if any(variant.entry.margins for variant in ranking):
        lines.append("+- is half the width of the 95 % interval; drop is paired with the source, in points")
    lines += (
        [f"targets, the same for all variants that were built: {same}"] if (same := common_targets(ranking)) else []
    )
    return [
        *lines,
        *describe_figure_sources(
            [variant.entry for variant in ranking], [split_target(objective.figure)[0] for objective in objectives]
        ),
    ]


def describe_figure_sources(entries: Sequence[SweepEntry], targets: Sequence[str]) -> list[str]:
    """Return a line for each target: the devices on which its figures were measured, or who estimated them."""
    devices_by_target = {target: devices_of(target, entries) for target in targets if target}
    return [f"{target}: {merge_similar_texts(devices)}" for target, devices in devices_by_target.items() if devices]


def merge_similar_texts(texts: Sequence[str]) -> str:
    """Merge texts that differ in single words: `for ethos-u55-64 / ethos-u55-128, 500 MHz`. Join other texts."""
    words = [text.split(" ") for text in texts]
    if len({len(text_words) for text_words in words}) > 1:
        return "; ".join(texts)
    columns = zip(*words, strict=True)
    return " ".join(" / ".join(dict.fromkeys(column)).replace(", /", " /") for column in columns)


def describe_front_mark(objectives: Sequence[Objective]) -> str:
    """Return the meaning of the mark of the Pareto front."""
    names = [
        f"{'most' if objective.direction == 'max' else 'least'} {name_in_sentence(objective.figure)}"
        for objective in objectives
    ]
    if len(names) == 1:
        return f"{MARK} the best: {names[0]}"
    criteria = f"{', '.join(names[:-1])} and {names[-1]}"
    return (
        f"{MARK} Pareto front by {criteria}: no other variant is at least as good in every objective and better in"
        " one; sorted by the first"
    )


def count_text(entries: Sequence[SweepEntry]) -> str:
    """Return the number of variants for each result, passed variants first: `7 ok, 1 gate failed`."""
    counts = Counter(entry.verdict for entry in sorted(entries, key=lambda entry: not entry.passed))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
