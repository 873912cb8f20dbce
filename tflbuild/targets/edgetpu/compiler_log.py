"""The output of `edgetpu_compiler -s`, and the operators of the model to which it refers.

The compiler names operators by kind and number (`CONV_2D  3  Mapped to Edge TPU`), not which ones they are. The
compiled model shows that: operators of the CPU are still in it, next to its own `edgetpu-custom-op`. If the numbers do
not match, the published rules decide which ones are most likely. If they cannot either, the layer is unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.verdict import Fallback
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.tflite.tflite_model import Model

MAPPED = "Mapped to Edge TPU"
COMPILER = "edgetpu_compiler"
TO_PROVE = (
    "Coral's compiler (x86-64 Debian or Ubuntu): apt-get install edgetpu-compiler, from the repository"
    " packages.cloud.google.com/apt coral-edgetpu-stable"
)
SECOND_SUBGRAPH = "More than one subgraph is not supported"
COMPILED_OP = "edgetpu-custom-op"
# The name of every custom operator in the table.
CUSTOM = "CUSTOM"
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
FIXES = {
    SECOND_SUBGRAPH: "let the operator before it run on the Edge TPU, or target.multiple_subgraphs=true",
    "Operation is working on an unsupported data type": "quantization=int8 with inputs and outputs of int8 or uint8",
    "Tensor has unsupported rank (up to 3 innermost dimensions mapped)": "one sample a call, of 3 dimensions",
}

_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)[ \t]+(\d+)[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_SIZE = r"[ \t]*([\d.]+)[ \t]*([KMG]i)?B"
_FIGURES = {
    "on_chip_bytes": "On-chip memory used for caching model parameters:",
    "on_chip_left_bytes": "On-chip memory remaining for caching model parameters:",
    "off_chip_bytes": "Off-chip memory used for streaming uncached model parameters:",
}
_COUNTS = {"subgraphs": "Number of Edge TPU subgraphs:", "ops": "Total number of operations:"}
_FAILED = re.compile(r"^(Internal compiler error|Model not quantized|Invalid model)(.*)$", re.MULTILINE)
_LATE = re.compile(r"^.*timed out.*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class EdgeTpuLogRow:
    """A row of the table: this number of operators of this name has this status."""

    op: str
    count: int
    status: str


@dataclass(frozen=True)
class EdgeTpuLog:
    """The contents of a log.

    Attributes:
        version: The version of the compiler.
        rows: The table.
        figures: Memory in bytes.
        subgraphs: The number of subgraphs on the Edge TPU, None if the log does not contain it.
        ops: The number of operators, None if the log does not contain it.
        error: The error, "" for none.
        late: Whether the compiler exceeded its time limit.
    """

    version: str
    rows: tuple[EdgeTpuLogRow, ...]
    figures: Mapping[str, float]
    subgraphs: int | None
    ops: int | None
    error: str
    late: bool = False

    @property
    def compiled(self) -> bool:
        """Return whether there is a compiled model."""
        return not self.error and bool(self.rows)

    def on_tpu(self) -> int:
        """Return the number of operators on the Edge TPU."""
        return sum(one.count for one in self.rows if one.status == MAPPED)

    def left(self, name: str) -> list[EdgeTpuLogRow]:
        """Return the rows of operators of this name that stay on the CPU."""
        return [one for one in self.rows if one.op == name and one.status != MAPPED]


def version_of(text: str) -> str:
    """Return the version that the compiler prints, "" if it prints none."""
    found = _VERSION.search(text)
    return found.group(1) if found else ""


def read_log(text: str) -> EdgeTpuLog:
    """Read the output of the compiler. The table may occur twice, and is read once."""
    rows = dict.fromkeys(EdgeTpuLogRow(op, int(count), status) for op, count, status in _ROW.findall(text))
    failed = dict.fromkeys(f"{what}{more}".strip() for what, more in _FAILED.findall(text))
    counts = {name: re.search(re.escape(label) + r"[ \t]*(\d+)", text) for name, label in _COUNTS.items()}
    sizes = {name: re.search(re.escape(label) + _SIZE, text) for name, label in _FIGURES.items()}
    return EdgeTpuLog(
        version=version_of(text),
        rows=tuple(rows),
        figures={
            name: float(round(float(found.group(1)) * UNITS[f"{found.group(2) or ''}B"]))
            for name, found in sizes.items()
            if found
        },
        subgraphs=int(counts["subgraphs"].group(1)) if counts["subgraphs"] else None,
        ops=int(counts["ops"].group(1)) if counts["ops"] else None,
        error="; ".join(failed),
        late=bool(_LATE.search(text)),
    )


def name_layers(
    report: EdgeTpuLog, model: Model, compiled: Model | None, expected: Sequence[Fallback]
) -> list[Fallback]:
    """Return the operators that the compiler left to the CPU. `expected` are those that the published rules exclude."""
    views = list(each_view(model))
    foreseen = {(one.subgraph, one.index): one for one in expected}
    named = _still_there(report, views, compiled)
    found: list[Fallback] = []
    for name in dict.fromkeys(_name(view) for view in views):
        alike, rows = [view for view in views if _name(view) == name], report.left(name)
        count = sum(one.count for one in rows)
        chosen = named.get(name, []) if named is not None else _likely(alike, count, foreseen)
        found += [_fallback(view, rows, foreseen.get((view.subgraph, view.index))) for view in chosen]
        if count and not chosen:
            found.append(_unnamed(name, rows, count, len(alike)))
    return sorted(found, key=lambda one: (one.subgraph, one.index))


def _name(view: OperatorView) -> str:
    return CUSTOM if view.op.custom else view.op.name


def _still_there(
    report: EdgeTpuLog, views: Sequence[OperatorView], compiled: Model | None
) -> dict[str, list[OperatorView]] | None:
    if compiled is None:
        return None
    layers = {(_name(view), view.layer) for view in each_view(compiled) if view.op.name != COMPILED_OP}
    left: dict[str, list[OperatorView]] = {}
    for view in views:
        if (_name(view), view.layer) in layers:
            left.setdefault(_name(view), []).append(view)
    told = Counter({one.op: 0 for one in report.rows})
    for one in report.rows:
        told[one.op] += one.count if one.status != MAPPED else 0
    agree = {name: len(found) for name, found in left.items()} == {name: count for name, count in told.items() if count}
    return left if agree else None


def _likely(
    alike: Sequence[OperatorView], count: int, foreseen: Mapping[tuple[int, int], Fallback]
) -> list[OperatorView]:
    if count == len(alike):
        return list(alike)
    refused = [view for view in alike if (view.subgraph, view.index) in foreseen]
    return refused if len(refused) == count else []


def _fallback(view: OperatorView, rows: Sequence[EdgeTpuLogRow], foreseen: Fallback | None) -> Fallback:
    follows = foreseen is not None and foreseen.reason.startswith("comes after ")
    statuses = list(dict.fromkeys(one.status for one in rows))
    fitting = [one for one in statuses if (one == SECOND_SUBGRAPH) == follows] or statuses
    why = f" ({foreseen.reason})" if foreseen else ""
    return Fallback(
        op=view.op.name,
        layer=view.layer,
        reason=f"edgetpu_compiler: {' or '.join(fitting)}{why}",
        fix=(foreseen.fix if foreseen and foreseen.fix else next((FIXES[one] for one in fitting if one in FIXES), "")),
        index=view.index,
        subgraph=view.subgraph,
    )


def _unnamed(name: str, rows: Sequence[EdgeTpuLogRow], count: int, of: int) -> Fallback:
    statuses = " or ".join(dict.fromkeys(one.status for one in rows))
    return Fallback(
        op=name,
        layer="",
        reason=f"edgetpu_compiler: {statuses} ({count} of {of}; it does not say which)",
        fix=next((FIXES[one.status] for one in rows if one.status in FIXES), ""),
    )
