"""The tables as pages of docs/targets/, and what there is of each target as its index.

`python -m tflbuild.config.reference --write` writes them, with everything else that is generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tflbuild.targets.common.rules import OperatorSupport, SupportRule, SupportTable
from tflbuild.targets.npu.profile import VENDORS, NpuVendor
from tflbuild.targets.support_tables import TABLES
from tflbuild.targets.table_agreement import DISAGREEMENTS, FOUND, PREDICTED

WRITTEN = "by `python -m tflbuild.config.reference --write`"
UNCHECKED = "nothing that is noted"


def table_page(table: SupportTable) -> str:
    """docs/targets/<name>.md."""
    lines = [f"# {table.title}", "", f"Written from the table `{table.name}` {WRITTEN}.", "", *_facts(table)]
    if table.everywhere:
        lines += ["", "## Of every operator", "", *(_listed(rule) for rule in table.everywhere)]
    lines += ["", "## Operators", "", *_operators(table.rows)]
    other = "is not taken" if table.complete else "is unknown: the rules say nothing about it"
    lines += ["", f"An operator that is not listed {other}."]
    if table.fixes:
        lines += ["", "## Instead of what it does not take", "", *_pairs("operator", "instead", table.fixes)]
    differ = DISAGREEMENTS.get(table.name)
    if differ is not None:
        lines += ["", "## Cases in which these rules and the real thing differ", ""]
        lines += _pairs("case", "what was found", differ) if differ else ["None of those that were tried."]
    for heading, cases in FOUND.get(table.name, ()):
        lines += ["", f"## {heading}", "", *_pairs("case", "what was found", cases)]
    return "\n".join(lines) + "\n"


def _facts(table: SupportTable) -> list[str]:
    facts = [
        f"Rules from: {table.source}.",
        f"Held against: {table.checked or UNCHECKED}.",
        _predicted(table.name),
        f"Version that is meant where a recipe says none: {table.version}." if table.version else "",
        "What it does not take runs on the CPU."
        if table.sheds
        else "A model with an operator that it lacks cannot run.",
        "It makes one partition: what depends on an operator that stays on the CPU stays there too"
        f"{_passing(table.passes)}."
        if table.one_partition
        else "",
        f"A partition of less than {table.fewest} operators stays on the CPU." if table.fewest > 1 else "",
        f"Of its partitions the {table.most} largest are taken." if table.most else "",
        "Weights that are stored as float16 and dequantized in the model count as stored."
        if table.float16_weights
        else "",
        *(f"{note[0].upper()}{note[1:]}." for note in table.notes),
    ]
    return [f"- {_cell(fact)}" for fact in facts if fact]


def _predicted(name: str) -> str:
    if name not in PREDICTED:
        return ""
    right, count = PREDICTED[name]
    told = f"of {count:,} models of one operator that were drawn at random, and that no rule was written from"
    return f"Held out: {told}, it judged {right} as the real thing did (unknown counts as wrong)."


def _passing(names: Iterable[str]) -> str:
    told = ", ".join(names)
    return f" ({told} before the first partition does not count)" if told else ""


def _operators(rows: Mapping[str, OperatorSupport]) -> list[str]:
    lines = ["| operator | taken where | else | since |", "| --- | --- | --- | --- |"]
    for name, row in sorted(rows.items()):
        several = len(row.rules) > 1
        where = [f"{at}. {_text(rule)}" if several else _text(rule) for at, rule in enumerate(row.rules, 1)]
        fixes = [f"{at}. {rule.fix}" if several else rule.fix for at, rule in enumerate(row.rules, 1) if rule.fix]
        told = (_cell("<br>".join(cell)) for cell in (where or ["always"], fixes))
        lines.append(f"| {name} | {' | '.join(told)} | {row.since} |")
    return lines


def _text(rule: SupportRule) -> str:
    bounds = [f"from {rule.since}" if rule.since else "", f"before {rule.until}" if rule.until else ""]
    told = ", ".join(bound for bound in (*bounds, "or the whole model fails" if rule.fatal else "") if bound)
    return f"{rule.text} ({told})" if told else rule.text


def _listed(rule: SupportRule) -> str:
    return f"- {_cell(_text(rule))}" + (f"; else: {_cell(rule.fix)}" if rule.fix else "")


def _pairs(left: str, right: str, told: Mapping[str, str]) -> list[str]:
    rows = (f"| {_cell(name)} | {_cell(text)} |" for name, text in sorted(told.items()))
    return [f"| {left} | {right} |", "| --- | --- |", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def index_page(tables: Iterable[SupportTable], vendors: Iterable[NpuVendor]) -> str:
    """docs/targets/README.md."""
    lines = [
        "# Targets",
        "",
        f"What is known of the operators that each target takes. Written from `tflbuild/targets/` {WRITTEN}.",
        "",
        "| target | operators | rules from | held against | cases that differ |",
        "| --- | ---: | --- | --- | ---: |",
        *(
            f"| [{table.title}]({table.name}.md) | {len(table.rows)} | {_cell(table.source)} |"
            f" {_cell(table.checked or UNCHECKED)} | {_differing(table)} |"
            for table in tables
        ),
        "",
        "## NPUs without a table",
        "",
        "Their makers publish no list of operators. LiteRT compiles for them ahead of time, with a plugin of its own",
        "and the maker's SDK; without the SDK nothing is claimed of an artifact.",
        "",
        "| maker | chips | package |",
        "| --- | --- | --- |",
        *(f"| {one.title} | {', '.join(one.socs)} | `{one.sdk}` |" for one in vendors),
    ]
    return "\n".join(lines) + "\n"


def _differing(table: SupportTable) -> str:
    differ = DISAGREEMENTS.get(table.name)
    return "" if differ is None else str(len(differ))


def pages(folder: Path) -> dict[Path, str]:
    """Every page below a folder, and its text."""
    tables = [TABLES[name] for name in sorted(TABLES)]
    files = {folder / f"{table.name}.md": table_page(table) for table in tables}
    return files | {folder / "README.md": index_page(tables, VENDORS.values())}
