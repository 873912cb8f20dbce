"""The pages of docs/targets/: one for each support table, and an index.

`python -m tflbuild.config.reference --write` writes them with all other generated pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tflbuild.targets.common.rules import OperatorSupport, SupportRule, SupportTable
from tflbuild.targets.npu.profile import VENDORS, NpuVendor
from tflbuild.targets.support_tables import TABLES
from tflbuild.targets.table_agreement import DISAGREEMENTS, FOUND, PREDICTED

WRITTEN = "by `python -m tflbuild.config.reference --write`"
UNCHECKED = "nothing"


def table_page(table: SupportTable) -> str:
    """Return the text of docs/targets/<name>.md."""
    lines = [f"# {table.title}", "", f"Written from the table `{table.name}` {WRITTEN}.", "", *_facts(table)]
    if table.everywhere:
        lines += ["", "## Every operator", "", *(_listed(rule) for rule in table.everywhere)]
    lines += ["", "## Operators", "", *_operators(table.rows)]
    other = "is not supported" if table.complete else "is unknown: the rules do not mention it"
    lines += ["", f"An operator that is not listed {other}."]
    if table.fixes:
        lines += ["", "## Replacements of unsupported operators", "", *_pairs("operator", "instead", table.fixes)]
    differ = DISAGREEMENTS.get(table.name)
    if differ is not None:
        lines += ["", "## Cases in which these rules and the device or its compiler differ", ""]
        lines += _pairs("case", "result", differ) if differ else ["None of the tested cases."]
    for heading, cases in FOUND.get(table.name, ()):
        lines += ["", f"## {heading}", "", *_pairs("case", "result", cases)]
    return "\n".join(lines) + "\n"


def _facts(table: SupportTable) -> list[str]:
    facts = [
        f"Rules from: {table.source}.",
        f"Compared with: {table.checked or UNCHECKED}.",
        _predicted(table.name),
        f"Default version: {table.version}." if table.version else "",
        "The CPU runs unsupported operators." if table.sheds else "A model with an unsupported operator cannot run.",
        "It has one partition: an operator that depends on an operator of the CPU stays on the CPU too"
        f"{_passing(table.passes)}."
        if table.one_partition
        else "",
        f"A partition of fewer than {table.fewest} operators stays on the CPU." if table.fewest > 1 else "",
        f"Number of partitions that it runs: at most {table.most}, the largest first." if table.most else "",
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
    sample = f"{count:,} random models of one operator that were not used to write the rules"
    return (
        f"Accuracy: for {right} of {sample}, the rules agree with the device or its compiler (unknown counts as wrong)."
    )


def _passing(names: Iterable[str]) -> str:
    operators = ", ".join(names)
    return f" ({operators} before the first partition does not count)" if operators else ""


def _operators(rows: Mapping[str, OperatorSupport]) -> list[str]:
    lines = ["| operator | supported if | otherwise | since |", "| --- | --- | --- | --- |"]
    for name, row in sorted(rows.items()):
        several = len(row.rules) > 1
        where = [f"{number}. {_text(rule)}" if several else _text(rule) for number, rule in enumerate(row.rules, 1)]
        fixes = [
            f"{number}. {rule.fix}" if several else rule.fix for number, rule in enumerate(row.rules, 1) if rule.fix
        ]
        cells = (_cell("<br>".join(cell)) for cell in (where or ["always"], fixes))
        lines.append(f"| {name} | {' | '.join(cells)} | {row.since} |")
    return lines


def _text(rule: SupportRule) -> str:
    bounds = [f"from {rule.since}" if rule.since else "", f"before {rule.until}" if rule.until else ""]
    conditions = ", ".join(bound for bound in (*bounds, "or the whole model fails" if rule.fatal else "") if bound)
    return f"{rule.text} ({conditions})" if conditions else rule.text


def _listed(rule: SupportRule) -> str:
    return f"- {_cell(_text(rule))}" + (f"; else: {_cell(rule.fix)}" if rule.fix else "")


def _pairs(left: str, right: str, texts: Mapping[str, str]) -> list[str]:
    rows = (f"| {_cell(name)} | {_cell(text)} |" for name, text in sorted(texts.items()))
    return [f"| {left} | {right} |", "| --- | --- |", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def index_page(tables: Iterable[SupportTable], vendors: Iterable[NpuVendor]) -> str:
    """Return the text of docs/targets/README.md."""
    lines = [
        "# Targets",
        "",
        f"The supported operators of each target. Written from `tflbuild/targets/` {WRITTEN}.",
        "",
        "| target | operators | rules from | compared with | cases that differ |",
        "| --- | ---: | --- | --- | ---: |",
        *(
            f"| [{table.title}]({table.name}.md) | {len(table.rows)} | {_cell(table.source)} |"
            f" {_cell(table.checked or UNCHECKED)} | {_differing(table)} |"
            for table in tables
        ),
        "",
        "## NPUs without a table",
        "",
        "Their vendors publish no list of supported operators. LiteRT compiles for them ahead of time, with its own",
        "plugin and the vendor's SDK. Without the SDK an artifact is unproven.",
        "",
        "| vendor | chips | package |",
        "| --- | --- | --- |",
        *(f"| {vendor.title} | {', '.join(vendor.socs)} | `{vendor.sdk}` |" for vendor in vendors),
    ]
    return "\n".join(lines) + "\n"


def _differing(table: SupportTable) -> str:
    differ = DISAGREEMENTS.get(table.name)
    return "" if differ is None else str(len(differ))


def pages(folder: Path) -> dict[Path, str]:
    """Return the path and the text of every page in a folder."""
    tables = [TABLES[name] for name in sorted(TABLES)]
    files = {folder / f"{table.name}.md": table_page(table) for table in tables}
    return files | {folder / "README.md": index_page(tables, VENDORS.values())}
