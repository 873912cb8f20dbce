"""Name and show figures: in the heading of a column, in a sentence, at an axis."""

from __future__ import annotations

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.confidence_intervals import margin_digits, show_share
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.gates import ACCURACIES, LATENCIES, SIZE_FIGURES, WORST_OF_OUTPUTS, split_target

HEADINGS = {
    "top1": "top-1",
    "top1_drop": "drop",
    "snr_db": "SNR dB",
    "gzip_bytes": "gzip",
    "latency_ms": "p50 ms",
    "latency_p10_ms": "p10 ms",
    "latency_p90_ms": "p90 ms",
}
PLAIN = {  # in a sentence
    "top1": "top-1",
    "top1_drop": "top-1 drop",
    "snr_db": "SNR",
    "latency_ms": "median latency",
    "latency_p10_ms": "10th percentile of latency",
    "latency_p90_ms": "90th percentile of latency",
    "gzip_bytes": "bytes after gzip",
}
UNITS = {"snr_db": "dB", "latency_ms": "ms", "latency_p10_ms": "ms", "latency_p90_ms": "ms", "top1_drop": "points"}
BYTES = "bytes"
UNITS_OF_TARGETS = {"ms": "ms", "bytes": "bytes", "db": "dB"}  # as they stand in names
CAPITALS = {"sram": "SRAM", "dram": "DRAM", "snr": "SNR", "npu": "NPU", "macs": "MACs"}


def unit(figure: str) -> str:
    """Return the unit of a figure, or "" for counts and fractions."""
    target, own = split_target(figure)
    if not target:
        return BYTES if own in SIZE_FIGURES else UNITS.get(own.rpartition(".")[2], "")
    return next((UNITS_OF_TARGETS[part] for part in own.split("_") if part in UNITS_OF_TARGETS), "")


def name_in_sentence(figure: str) -> str:
    """Return the name of a figure in a sentence: `ethos_u55 inference`, `median latency`."""
    target, own = split_target(figure)
    if not target:
        return PLAIN.get(figure, figure)
    words = [CAPITALS.get(part, part) for part in own.split("_") if part not in UNITS_OF_TARGETS]
    return " ".join([target, *words])


def name_in_heading(figure: str) -> str:
    """Return the name of a figure with its unit, for a heading."""
    # The names of sizes contain the unit.
    shown_unit = unit(figure) if figure not in SIZE_FIGURES else ""
    return f"{name_in_sentence(figure)}, {shown_unit}" if shown_unit else name_in_sentence(figure)


def column_heading(figure: str) -> str:
    """Return a short heading for a figure: `p50 ms`, `tflm arena bytes`."""
    if split_target(figure)[0]:
        return f"{name_in_sentence(figure)} {unit(figure)}".rstrip()
    return HEADINGS.get(figure, figure)


def show_figure(name: str, value: float, margin: float | None = None, mark: str = "+-") -> str:
    """Return a figure as text: bytes and counts in full, fractions in percent, differences of fractions in points.

    A `margin`, half of the width of the 95 % interval, is appended: `93.2 % (+-1.1)`.
    """
    target, own = split_target(name)
    last = own.rpartition(".")[2]
    if last == "snr_db":
        return show_ratio(value) + ("" if margin is None else f" ({mark}{margin:.1f})")
    if unit(name) == BYTES or (target and value == round(value) and not unit(name)):
        return f"{value:,.0f}"
    if name == "top1_drop":
        digits = 2 if margin is None else margin_digits(margin)
        return f"{100 * value:+.{digits}f}" + ("" if margin is None else f" ({mark}{100 * margin:.{digits}f})")
    if name in ACCURACIES:
        return show_share(value, margin, mark)
    return f"{value:.{6 if last == 'cosine' else 4}g}"


def show_tick(figure: str, value: float) -> str:
    """Return a value as text for an axis."""
    if unit(figure) == BYTES:
        return show_bytes(value)
    if figure in ACCURACIES:
        return f"{100 * value:.4g} %"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def is_cost(figure: str) -> bool:
    """Return whether a figure is a size, a time or a count, and not a measure of how accurate the outputs are."""
    target, own = split_target(figure)
    return own not in WORST_OF_OUTPUTS if target else figure in (*SIZE_FIGURES, *LATENCIES)


def is_of_a_host(figure: str) -> bool:
    """Return whether a figure is the latency on this machine, which cannot be compared with that of another."""
    return split_target(figure)[1].startswith("latency_")
