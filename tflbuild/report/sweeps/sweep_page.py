"""The page of a sweep, or of several: one HTML file with all that it needs, and nothing from the net."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from html import escape

from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.objective import Objective
from tflbuild.locations import ASSETS
from tflbuild.report.figure_text import is_cost, is_of_a_host, name_in_heading, name_in_sentence, show_figure
from tflbuild.report.svg_charts import STYLE, VIEWPORT, document
from tflbuild.report.sweeps.pareto_front import choose_default_objectives
from tflbuild.report.sweeps.ranking import (
    RankedVariant,
    RankingColumn,
    columns_of,
    count_text,
    describe_ranking,
    find_objectives,
    hosts_of,
    is_comparable,
    rank_variants,
)
from tflbuild.report.sweeps.scatter_plot import NARROW, WIDE, ScatterView, draw_scatter, draw_trend
from tflbuild.report.sweeps.step_sharing import summarize_sharing
from tflbuild.report.sweeps.sweep_record import SensitivityTable, SweepEntry, SweepRecord, VariantError
from tflbuild.report.text_table import shorten

TOLD_FIGURES = ("bytes", "gzip_bytes", "top1", "top1_drop", "agreement", "snr_db", "cosine", "rmse", "latency_ms")
SHOWN_LAYERS = 10
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def sweep_page(sweeps: Sequence[SweepRecord]) -> str:
    """Return the page of sweeps as HTML.

    Args:
        sweeps: At least one sweep, in the order of their times or of their commits.
    """
    ranking, objectives = rank_variants(sweeps), find_objectives(sweeps)
    title = f"Sweep {sweeps[0].id}" if len(sweeps) == 1 else f"{len(sweeps)} sweeps"
    body = [
        f"<h1>{escape(title)}</h1>",
        *lead(sweeps),
        *scatter_section(ranking, objectives),
        *trend_section(sweeps, ranking, objectives),
        *table_section(sweeps, ranking, objectives),
        *shared_section([variant.entry for variant in ranking]),
        *failed_section(ranking),
        *warnings_section(ranking),
        *layers_section(ranking),
        '<div id="told" role="status" hidden></div>',
    ]
    script = (ASSETS / "report" / "sweep.js").read_text(encoding="utf-8")
    trusted = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{trusted}'"
    head = [
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        VIEWPORT,
        '<link rel="icon" href="data:,">',
    ]
    style = STYLE + (ASSETS / "report" / "sweep.css").read_text(encoding="utf-8")
    return document(title, style, [*body, f"<script>{script}</script>"], head)


def paragraph(words: str) -> str:
    """Return text as a paragraph."""
    return f"<p>{escape(words)}</p>"


def lead(sweeps: Sequence[SweepRecord]) -> list[str]:
    """Return the first paragraphs: recipes, results, time, machine and packages."""
    entries = [entry for sweep in sweeps for entry in sweep.variants]
    recipes = ", ".join(dict.fromkeys(entry.recipe for entry in entries if entry.recipe))
    parts = [paragraph(f"{recipes}: {len(entries)} variants, {count_text(entries)}.")]
    for sweep in sweeps:
        git = "no git repository" if sweep.git is None else f"commit {sweep.git.short}"
        machine = f"{sweep.host.get('platform', '')}, Python {sweep.host.get('python', '')}"
        text = f"{sweep.created}, {git}, tflbuild {sweep.tflbuild}, on {machine}."
        parts.append(paragraph(text if len(sweeps) == 1 else f"{sweep.id}: {text}"))
    if any(sweep.git is not None and sweep.git.dirty for sweep in sweeps):
        parts.append(paragraph("A commit with + stands for files that differed from it."))
    hosts = hosts_of(sweeps)
    if len(hosts) == 1:
        parts.append(paragraph(f"Latency is that of one host, {hosts.pop()}, and says nothing about another device."))
    elif hosts:
        parts.append(paragraph(f"Latency was measured on {len(hosts)} hosts, so it is neither drawn nor an objective."))
    commands = "".join(f"<pre>tflbuild {escape(shlex.join(sweep.command))}</pre>" for sweep in sweeps)
    tools = ", ".join(f"{name} {version}" for name, version in sorted(sweeps[-1].toolchain.items()))
    parts.append(f"<details><summary>Command and packages</summary>{commands}{paragraph(tools)}</details>")
    return parts


def views_of(ranking: Sequence[RankedVariant], objectives: Sequence[Objective]) -> list[ScatterView]:
    """Return the views of the scatter plot.

    Each cost, of the objectives or usual, is drawn against the first figure that is not a cost. Then the first cost of
    the objectives is drawn against their other costs.
    """
    entries = [variant.entry for variant in ranking]
    figures = [entry.figures for entry in entries]
    candidates = [
        objective
        for objective in (*objectives, *choose_default_objectives(figures))
        if any(objective.figure in found for found in figures)
    ]
    up = next((objective for objective in candidates if not is_cost(objective.figure)), None)
    costs = [objective for objective in objectives if is_cost(objective.figure)]
    packed = any(entry.artifact is not None and entry.artifact.optimized for entry in entries)
    usual = ["bytes", *(["gzip_bytes"] if packed else [])]
    usual += ["latency_ms"] if is_comparable("latency_ms", entries) else []
    across = [
        *costs,
        *(Objective(name, "min") for name in usual if name not in [objective.figure for objective in costs]),
    ]
    views = [ScatterView(objective, up) for objective in across] if up is not None else []
    views += [ScatterView(costs[0], other) for other in costs[1:]]
    return [one for one in views if any(one.x.figure in found and one.y.figure in found for found in figures)]


def scatter_section(ranking: Sequence[RankedVariant], objectives: Sequence[Objective]) -> list[str]:
    """Return the scatter plot, with buttons if there are several views, and the description of each point."""
    views = views_of(ranking, objectives)
    parts = ["<h2>Pareto front</h2>"]
    if not views:
        return [*parts, paragraph("Nothing was verified, so there is no accuracy to draw.")]
    words = "Filled red: on the front. Blue: passed. Hollow: missed a gate. "
    if any(one.entry.collapsed for one in ranking):
        words += "Dashed circle: not on the front, since its outputs have collapsed. "
    words += "The dashed line joins the variants that no other one beats"
    parts.append(
        paragraph(f"{words} in the two figures drawn. Point at a circle, or go to it with Tab, for its recipe.")
    )
    names = [one.x.figure if one.y == views[0].y else f"{one.x.figure} {one.y.figure}" for one in views]
    if len(views) > 1:
        buttons = [
            f'<button type="button" data-view="{escape(name)}" aria-pressed="{str(not place).lower()}">'
            f"{escape(view_title(view, views[0]))}</button>"
            for place, (name, view) in enumerate(zip(names, views, strict=True))
        ]
        parts.append(f'<p class="views">Across: {" ".join(buttons)}</p>')
    for place, (name, view) in enumerate(zip(names, views, strict=True)):
        hidden = " hidden" if place else ""
        wide, narrow = (draw_scatter(view, ranking, size) for size in (WIDE, NARROW))
        parts.append(f'<div data-plot="{escape(name)}"{hidden}>{pair_widths(wide, narrow)}</div>')
    differing = differences([one.entry for one in ranking])
    figures = list(dict.fromkeys([*(aim.figure for aim in objectives), *TOLD_FIGURES]))
    descriptions = [entry_html(place, one, differing[place], figures) for place, one in enumerate(ranking)]
    return [*parts, f"<div hidden>{''.join(descriptions)}</div>"]


def view_title(view: ScatterView, first: ScatterView) -> str:
    """Return the figure on the x axis, and the one on the y axis if it differs from the first view."""
    return name_in_sentence(view.x.figure) + (
        "" if view.y == first.y else f", upwards {name_in_sentence(view.y.figure)}"
    )


def pair_widths(wide: str, narrow: str) -> str:
    """Return a picture for wide windows and one for narrow windows."""
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def differences(entries: Sequence[SweepEntry]) -> list[list[str]]:
    """Return the overrides of each variant that not all variants have."""
    common = set.intersection(*(set(entry.overrides) for entry in entries)) if entries else set()
    return [[text.lstrip("+") for text in entry.overrides if text not in common] for entry in entries]


def entry_html(index: int, variant: RankedVariant, differing: Sequence[str], figures: Sequence[str]) -> str:
    """Return the description of a variant: how it differs from the others, and its figures."""
    entry = variant.entry
    diff = "".join(f"<li>{escape(text)}</li>" for text in differing)
    rows = [
        (name_in_heading(name), show_figure(name, entry.figures[name], entry.margins.get(name), PLUS_MINUS))
        for name in figures
        if name in entry.figures
    ]
    rows += [("targets", entry.targets)] if entry.targets else []
    rows += [("tied to a CPU", "; ".join(entry.tied))] if entry.tied else []
    rows += [("sweep", variant.sweep.id), *([("commit", variant.sweep.git.short)] if variant.sweep.git else [])]
    definitions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in rows)
    front = ", on the front" if variant.best else ", collapsed" if entry.collapsed else ""
    return (
        f'<div class="entry" id="entry-{index}"><b>{escape(variant.label)}</b> {escape(entry.verdict + front)}'
        f"{f'<ul>{diff}</ul>' if diff else ''}<dl>{definitions}</dl></div>"
    )


def trend_section(
    sweeps: Sequence[SweepRecord], ranking: Sequence[RankedVariant], objectives: Sequence[Objective]
) -> list[str]:
    """Return plots of each variant that was built at several commits."""
    commits = list(dict.fromkeys(sweep.git.short for sweep in sweeps if sweep.git is not None))
    if len(commits) < 2:
        return []
    positions = {commit: place for place, commit in enumerate(commits)}
    values: dict[str, dict[str, dict[int, float]]] = {}
    labels = {(one.entry.recipe, one.entry.name): one.label for one in ranking}
    # Of several sweeps at one commit, the last one is drawn.
    for sweep in sweeps:
        for entry in sweep.variants if sweep.git is not None else ():
            label = labels[entry.recipe, entry.name]
            for figure, value in entry.figures.items():
                values.setdefault(figure, {}).setdefault(label, {})[positions[sweep.git.short]] = value  # type: ignore[union-attr]
    candidates = [
        *(objective.figure for objective in objectives),
        *(view.y.figure for view in views_of(ranking, objectives)),
    ]
    figures = dict.fromkeys(["bytes", *(figure for figure in candidates if not is_of_a_host(figure))])
    parts = ["<h2>Over commits</h2>"]
    for figure in figures:
        lines = [(label, sorted(points.items())) for label, points in values.get(figure, {}).items() if len(points) > 1]
        if lines:
            parts.append(pair_widths(*(draw_trend(figure, lines, commits, size) for size in (WIDE, NARROW))))
    return parts if len(parts) > 1 else [*parts, paragraph("No variant was built at more than one commit.")]


def table_section(
    sweeps: Sequence[SweepRecord], ranking: Sequence[RankedVariant], objectives: Sequence[Objective]
) -> list[str]:
    """Return the table of all variants, which can be sorted by any column."""
    columns = columns_of(ranking, objectives)
    if len(sweeps) > 1:
        columns.append(RankingColumn("sweep", lambda one: one.sweep.id))
        columns.append(RankingColumn("commit", lambda one: one.sweep.git.short if one.sweep.git else ""))
    cells = [[column.words(one) for column in columns] for one in ranking]
    used = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    columns = [columns[place] for place in used]
    head = "".join(
        f'<th scope="col"{number(column)}><button type="button">{escape(column.heading)}</button></th>'
        for column in columns
    )
    rows = [table_row(place, one, columns) for place, one in enumerate(ranking)]
    body = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    explanations = [paragraph(typeset(words) + ".") for words in describe_ranking(ranking, objectives)]
    return ["<h2>Variants</h2>", f'<div class="box">{body}</div>', *explanations]


def typeset(words: str) -> str:
    """Return text of the screen with the characters of a page."""
    return words.replace("+-", PLUS_MINUS)


def number(column: RankingColumn) -> str:
    """Return the HTML class of a column of figures."""
    return ' class="number"' if column.value is not None else ""


def table_row(index: int, variant: RankedVariant, columns: Sequence[RankingColumn]) -> str:
    """Return the row of a variant. `data-value` has the value by which a cell is sorted, and is empty without one."""
    cells = []
    for column in columns:
        words = column.words(variant)
        value = None if column.value is None else column.value(variant)
        key = words if column.value is None else "" if value is None else repr(float(value))
        cells.append(f'<td{number(column)} data-value="{escape(key)}">{escape(typeset(words))}</td>')
    best = ' class="best"' if variant.best else ""
    return f'<tr data-entry="{index}"{best} title="{escape(" ".join(variant.entry.overrides))}">{"".join(cells)}</tr>'


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    """Return a table of HTML cells. The columns in `numbers` are aligned to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [' class="number"' if place in numbers else "" for place in range(len(row))]
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="box"><table><thead><tr>{cells("th", headings)}</tr></thead><tbody>{body}</tbody></table></div>'


def shared_section(entries: Sequence[SweepEntry]) -> list[str]:
    """Return the table of shared steps by role, with the seconds that sharing and the store saved."""
    shared = summarize_sharing(entries)
    if not shared:
        return []
    counts = ["asked", "steps", "ran", "hits", *(["failed"] if any(one.failed for one in shared) else [])]
    rows = [
        [escape(one.role), *(str(getattr(one, name)) for name in counts), f"{one.spent:.2f}", f"{one.saved:.2f}"]
        for one in shared
    ]
    spent, saved = sum(one.spent for one in shared), sum(one.saved for one in shared)
    words = (
        f"The steps took {spent:.1f} s together; every variant built by itself, with an empty store, would have taken"
        f" {saved:.1f} s more. Wall times as measured when each step ran, here or in an earlier build; steps that ran"
        " side by side count in full, and trials of quantization=auto are not counted."
    )
    headings_of_counts = ["variants", "different", "ran", "from the store", "failed"][: len(counts)]
    headings = ["step", *headings_of_counts, "took, s", "saved, s"]
    return ["<h2>What was shared</h2>", paragraph(words), plain_table(headings, rows, range(1, len(headings)))]


def failed_section(ranking: Sequence[RankedVariant]) -> list[str]:
    """Return each error once, with the variants that have it, and the place of its first occurrence."""
    groups: dict[tuple[str, ...], list[tuple[RankedVariant, VariantError]]] = {}
    for variant in ranking:
        if (trouble := variant.entry.trouble) is not None:
            reason = (trouble.kind, trouble.what, trouble.why, trouble.next_step)
            groups.setdefault(reason, []).append((variant, trouble))
    parts = ["<h2>What failed</h2>"] if groups else []
    for group in groups.values():
        names = ", ".join(f"{variant.label} ({variant.entry.verdict})" for variant, _ in group)
        first = group[0][1]
        details = (("where", first.where), ("why", first.why), ("next", first.next_step))
        lines = "".join(f"<dt>{name}</dt><dd><pre>{escape(words)}</pre></dd>" for name, words in details if words)
        summary = f"<p><b>{escape(names)}</b><br>{escape(first.what)}</p>"
        parts.append(f'<div class="entry">{summary}<dl>{lines}</dl></div>')
    return parts


def warnings_section(ranking: Sequence[RankedVariant]) -> list[str]:
    """Return each warning once, with the variants that it is about."""
    labels_by_warning: dict[str, list[str]] = {}
    for variant in ranking:
        for text in variant.entry.warnings:
            labels_by_warning.setdefault(text, []).append(variant.label)
    built = sum(variant.entry.artifact is not None for variant in ranking)
    rows = [
        f"<li><b>{escape('all' if len(labels) == built else ', '.join(labels))}</b>: {escape(typeset(text))}</li>"
        for text, labels in labels_by_warning.items()
    ]
    return ["<h2>Warnings</h2>", f"<ul>{''.join(rows)}</ul>"] if rows else []


def layers_section(ranking: Sequence[RankedVariant]) -> list[str]:
    """Return the sensitivities of the variants on the front, or how to measure them. Equal ones are shown together."""
    groups: dict[str, list[RankedVariant]] = {}
    for variant in ranking:
        if variant.best and variant.entry.scheme not in ("", "none"):
            groups.setdefault(variant.entry.sensitivity or variant.label, []).append(variant)
    parts = []
    for group in groups.values():
        parts.append(f"<h3>{escape(', '.join(dict.fromkeys(variant.label for variant in group)))}</h3>")
        parts += layers_of(group[0])
    words = "What each operator costs when it alone is quantized, for the variants on the front that are quantized."
    return ["<h2>Error by layer</h2>", paragraph(words), *parts] if parts else []


def layers_of(variant: RankedVariant) -> list[str]:
    """Return the sensitivities of a variant, or how to measure them."""
    entry = variant.entry
    if entry.layers is not None:
        return layers_html(entry.layers)
    if entry.sensitivity:
        lines = [
            shlex.join(("tflbuild", "sensitivity", *(entry.alone or entry.overrides))),
            f"tflbuild report {variant.sweep.id}",
        ]
        commands = "\n".join(lines)
        return ["<p>Not measured. To measure it, and then make this page again:</p>", f"<pre>{escape(commands)}</pre>"]
    lacks = "" if entry.samples else " It takes evaluation data (verify=parity or verify=classification)."
    return [paragraph(f"Not measured.{lacks}")]


def layers_html(layers: SensitivityTable) -> list[str]:
    """Return the table of the operators that lose most, with a bar for the noise of each."""
    worst = layers.operators[:SHOWN_LAYERS]
    noise = [10 ** (-layer.snr_db / 10) for layer in layers.operators]
    rows = [
        [
            escape(shorten(layer.name)),
            escape(layer.operator),
            show_ratio(layer.snr_db),
            f'<span class="bar" style="width:{6 * power / max(noise):.2f}em"></span>',
        ]
        for layer, power in zip(worst, noise, strict=False)
    ]
    is_complete = layers.samples is not None  # a search tells of the worst alone
    description = (
        f"{len(worst)} worst of {len(layers.operators)} operators" if is_complete else f"{len(worst)} worst operators"
    )
    samples = "" if layers.samples is None else f" on {layers.samples:,} evaluation samples"
    words = f"The {description} as {layers.scheme}, measured by {layers.source}{samples}."
    return [paragraph(words), plain_table(("operator", "kind", "SNR dB alone", "noise"), rows, (2,))]
