"""Gates: limits on the figures of an artifact.

The name of a limit is the name of its figure: of the worst output (`snr_db`), of one output (`outputs.NAME.snr_db`),
or of a metric of the user (`at_least.NAME`, `at_most.NAME`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.confidence_intervals import Interval, paired_interval, wilson
from tflbuild.core.digest import Json

Limits = Sequence[tuple[str, float]]

# Figures whose limits are lower limits. Limits on all other figures are upper limits.
AT_LEAST = ("top1", "agreement", "cosine", "snr_db")
# Figures of which each output has its own, with the function that selects the worst output.
WORST_OF_OUTPUTS = {"max_abs_error": max, "rmse": max, "cosine": min, "snr_db": min}
# Figures that are relative to the values of a channel. The other figures are in the unit of the output, so a figure of
# the whole output also limits every channel.
RATIOS = ("cosine", "snr_db")
# The first words of limits on metrics of the user.
METRIC_SIDES = ("at_least", "at_most")
SIZE_FIGURES = ("bytes", "gzip_bytes")
# Figures that are fractions of the labelled samples, and those of them for which there are gates.
ACCURACIES = ("top1", "top1_source", "top1_drop", "topk", "topk_source", "agreement")
GATED_ACCURACIES = ("top1", "top1_drop", "agreement")
# The first words of dotted figure names that are not names of targets.
RESERVED_PREFIXES = ("outputs", "metrics")
# The fact of the step `benchmark` for each latency figure.
LATENCIES = {"latency_ms": "p50_ms", "latency_p10_ms": "p10_ms", "latency_p90_ms": "p90_ms"}


class NotMeasuredError(KeyError):
    """A limit on a figure that was not measured. `outputs` are the names of the outputs that were measured."""

    def __init__(self, limit: str, outputs: Sequence[str]) -> None:
        super().__init__(limit)
        self.limit = limit
        self.outputs = outputs


@dataclass(frozen=True)
class Gate:
    """A limit and the measured figure.

    Attributes:
        name: The name of the limit.
        limit: The limit.
        value: The figure, None if it is unknown. A limit on an unknown figure fails.
        bound: The worse bound of the figure's confidence interval. If it is set, it is compared instead of the figure.
        confidence: The confidence of that interval.
    """

    name: str
    limit: float
    value: float | None
    bound: float | None = None
    confidence: float | None = None

    @property
    def is_least(self) -> bool:
        """Return whether the limit is a lower limit."""
        return is_lower_limit(self.name)

    @property
    def passed(self) -> bool:
        """Return whether the figure, or its bound if there is one, is within the limit or equal to it."""
        compared = self.value if self.bound is None else self.bound
        if compared is None:
            return False
        return compared >= self.limit if self.is_least else compared <= self.limit

    def text(self) -> str:
        """Return the comparison as text, such as `top1_drop is 0.0120, at most 0.0050 is allowed`."""
        bound = "at least" if self.is_least else "at most"
        if self.value is None:
            return f"{self.name} is not known, {bound} {show_figure(self.name, self.limit, 6)} is allowed"
        compared = self.value if self.bound is None else self.bound
        excess = show_figure(self.name, abs(compared - self.limit))
        verdict = "" if self.passed else f": {excess} too {'low' if self.is_least else 'high'}"
        name = self.name.partition(".")[2] if self.name.partition(".")[0] in METRIC_SIDES else self.name
        value, limit = show_figure(self.name, self.value, 6), show_figure(self.name, self.limit, 6)
        if self.bound is not None and self.confidence is not None:
            end = f"{'down' if self.is_least else 'up'} to {show_figure(self.name, self.bound)}"
            value = f"{value} ({100 * self.confidence:g} % interval: {end})"
        return f"{name} is {value}, {bound} {limit} is allowed{verdict}"


def is_lower_limit(name: str) -> bool:
    """Return whether a limit of this name is a lower limit. `at_most.NAME` never is, whatever NAME is."""
    side, _, rest = name.partition(".")
    return side == "at_least" or (side != "at_most" and (rest or side).rpartition(".")[2] in AT_LEAST)


def show_figure(name: str, value: float | None, digits: int = 4) -> str:
    """Return a figure as text: bytes in full, other figures with `digits` significant digits, None as `unknown`."""
    if value is None:
        return "unknown"
    is_whole = name in SIZE_FIGURES or name.endswith("_bytes")
    return f"{value:,.0f}" if is_whole else f"{value:.{digits}g}"


def merge_limits(*groups: Limits) -> tuple[tuple[str, float], ...]:
    """Return all limits, sorted by name. Of several limits on a figure, the strictest is returned."""
    merged: dict[str, float] = {}
    for name, limit in (entry for limits in groups for entry in limits):
        merged[name] = (max if is_lower_limit(name) else min)(merged.get(name, limit), limit)
    return tuple(sorted(merged.items()))


def figure_name(limit: str) -> str:
    """Return the name of the figure that a limit is about."""
    first, _, rest = limit.partition(".")
    return f"metrics.{rest}" if first in METRIC_SIDES else limit


def split_target(figure: str) -> tuple[str, str]:
    """Return `TARGET.FIGURE` as (target, name of the figure), and ("", figure) for a figure of no target."""
    target, _, name = figure.partition(".")
    return (target, name) if name and target not in RESERVED_PREFIXES else ("", figure)


def evaluate(limits: Limits, facts: Mapping[str, Mapping[str, Json]], confidence: float | None = None) -> list[Gate]:
    """Return every limit with its measured figure.

    Args:
        limits: (name, limit) of each limit.
        facts: The facts of the variant's steps, by role.
        confidence: If set, limits on accuracies are compared with a bound of the two-sided interval of this confidence.

    Raises:
        NotMeasuredError: The figure of a limit was not measured.
    """
    measured = collect_figures(facts)
    for name, _ in limits:
        if figure_name(name) not in measured:
            raise NotMeasuredError(name, list(facts.get("verify", {}).get("outputs", ())))
    bounds: dict[str, float] = {}
    if confidence is not None:
        verify = facts.get("verify", {})
        intervals = {
            name: accuracy_interval(name, verify, confidence) for name, _ in limits if name in GATED_ACCURACIES
        }
        bounds = {name: range_.low if is_lower_limit(name) else range_.high for name, range_ in intervals.items()}
    return [
        Gate(name, limit, measured[figure_name(name)], bounds.get(name), confidence if name in bounds else None)
        for name, limit in limits
    ]


def accuracy_interval(name: str, verify: Mapping[str, Json], confidence: float) -> Interval:
    """Return the interval of an accuracy, or of `top1_drop`, from the facts of `verify`."""
    accuracy, samples = verify["classification"], int(verify["samples"])
    if name == "top1_drop":
        return paired_interval(int(accuracy["lost"]), int(accuracy["gained"]), samples, confidence)
    return wilson(round(accuracy[name] * samples), samples, confidence)


def collect_figures(facts: Mapping[str, Mapping[str, Json]]) -> dict[str, float]:
    """Return the figures that limits and tables use: those of each output, and those of the worst output.

    If the channels of an output were measured, its SNR and cosine are those of the worst channel. An average over the
    whole tensor would hide a channel whose values are lost.

    Args:
        facts: The facts of the variant's steps, by role.
    """
    figures = {name: float(facts["check"][name]) for name in ("bytes", "gzip_bytes") if name in facts["check"]}
    verify = facts.get("verify")
    if verify:
        outputs = {output: output_figures(values) for output, values in verify["outputs"].items()}
        for name, worst in WORST_OF_OUTPUTS.items():
            figures[name] = worst(values[name] for values in outputs.values())
            figures |= {f"outputs.{output}.{name}": values[name] for output, values in outputs.items()}
        accuracy = verify.get("classification", {})
        figures |= {name: accuracy[name] for name in ACCURACIES if name in accuracy}
        figures |= {f"metrics.{name}": value for name, value in verify.get("metrics", {}).items()}
    if benchmark := facts.get("benchmark"):
        figures |= {name: float(benchmark[fact]) for name, fact in LATENCIES.items()}
    return figures


def collect_margins(facts: Mapping[str, Mapping[str, Json]]) -> dict[str, float]:
    """Return half the width of the 95 % interval of each figure that has one, by its name in `collect_figures`."""
    verify = facts.get("verify", {})
    intervals = dict(verify.get("classification", {}).get("intervals", {}))
    figures = collect_figures(facts)
    for output, values in verify.get("outputs", {}).items():
        interval = values.get("snr_db_interval")
        # The interval is that of the whole output, so it is left out if the figure is that of a channel.
        if interval and figures[f"outputs.{output}.snr_db"] == values["snr_db"]:
            intervals[f"outputs.{output}.snr_db"] = interval
            if figures["snr_db"] == values["snr_db"]:
                intervals["snr_db"] = interval
    return {name: (range_["high"] - range_["low"]) / 2 for name, range_ in intervals.items() if name in figures}


def output_figures(values: Mapping[str, Json]) -> dict[str, float]:
    """Return the figures of an output. A figure of the worst channel replaces that of the output if it is worse."""
    channel = (values.get("channels") or {}).get("worst", {})
    whole = {name: float(values[name]) for name in WORST_OF_OUTPUTS}
    return {
        name: min(value, float(channel.get(name, value))) if name in RATIOS else value for name, value in whole.items()
    }
