"""Limits, and the figures that are held against them.

A limit is named by what it limits: a figure (`snr_db`, of several outputs the worst), a figure of one output
(`outputs.NAME.snr_db`), or a metric of the user's own (`at_least.NAME`, `at_most.NAME`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.confidence_intervals import Interval, paired_interval, wilson
from tflbuild.core.digest import Json

Limits = Sequence[tuple[str, float]]

AT_LEAST = ("top1", "agreement", "cosine", "snr_db")  # lower limits; the others are upper ones
WORST_OF_OUTPUTS = {"max_abs_error": max, "rmse": max, "cosine": min, "snr_db": min}
RATIOS = ("cosine", "snr_db")  # the others are in the output's unit, and so hold for every channel as they are
OWN = ("at_least", "at_most")
WHOLE = ("bytes", "gzip_bytes")
ACCURACIES = ("top1", "top1_source", "top1_drop", "topk", "topk_source", "agreement")  # shares, of labelled samples
GATED_ACCURACIES = ("top1", "top1_drop", "agreement")  # those that can be gated: what `gates.confidence` applies to
ELSEWHERE = ("outputs", "metrics")  # what begins so is no target's
LATENCIES = {"latency_ms": "p50_ms", "latency_p10_ms": "p10_ms", "latency_p90_ms": "p90_ms"}  # as `benchmark` has them


class NotMeasuredError(KeyError):
    """A limit on what was not measured; `outputs` are the names of those that were."""

    def __init__(self, limit: str, outputs: Sequence[str]) -> None:
        super().__init__(limit)
        self.limit = limit
        self.outputs = outputs


@dataclass(frozen=True)
class Gate:
    """A limit and what was measured against it; a `value` that is not known is none, and no limit allows it.

    With `confidence`, `bound` is the worse end of the value's interval, and it is what is compared.
    """

    name: str
    limit: float
    value: float | None
    bound: float | None = None
    confidence: float | None = None

    @property
    def is_least(self) -> bool:
        """Whether the limit is a lower one."""
        return is_lower_limit(self.name)

    @property
    def passed(self) -> bool:
        """Whether the value, or its bound where there is one, is on the right side or on the limit itself."""
        compared = self.value if self.bound is None else self.bound
        if compared is None:
            return False
        return compared >= self.limit if self.is_least else compared <= self.limit

    def text(self) -> str:
        """`top1_drop is 0.0120, at most 0.0050 is allowed`."""
        bound = "at least" if self.is_least else "at most"
        if self.value is None:
            return f"{self.name} is not known, {bound} {show_figure(self.name, self.limit, 6)} is allowed"
        compared = self.value if self.bound is None else self.bound
        excess = show_figure(self.name, abs(compared - self.limit))
        verdict = "" if self.passed else f": {excess} too {'low' if self.is_least else 'high'}"
        name = self.name.partition(".")[2] if self.name.partition(".")[0] in OWN else self.name
        value, limit = show_figure(self.name, self.value, 6), show_figure(self.name, self.limit, 6)
        if self.bound is not None and self.confidence is not None:
            end = f"{'down' if self.is_least else 'up'} to {show_figure(self.name, self.bound)}"
            value = f"{value} ({100 * self.confidence:g} % interval: {end})"
        return f"{name} is {value}, {bound} {limit} is allowed{verdict}"


def is_lower_limit(name: str) -> bool:
    """Whether a limit of this name is a lower one. What is called `at_most.NAME` is not, whatever its own name."""
    side, _, rest = name.partition(".")
    return side == "at_least" or (side != "at_most" and (rest or side).rpartition(".")[2] in AT_LEAST)


def show_figure(name: str, value: float | None, digits: int = 4) -> str:
    """Bytes in full, anything else to so many digits; what is not known is said to be so."""
    if value is None:
        return "unknown"
    whole = name in WHOLE or name.endswith("_bytes")
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"


def merge_limits(*several: Limits) -> tuple[tuple[str, float], ...]:
    """All limits, sorted; of two on one figure the one that allows less."""
    found: dict[str, float] = {}
    for name, limit in (one for limits in several for one in limits):
        found[name] = (max if is_lower_limit(name) else min)(found.get(name, limit), limit)
    return tuple(sorted(found.items()))


def figure_name(limit: str) -> str:
    """The figure that a limit is about."""
    first, _, rest = limit.partition(".")
    return f"metrics.{rest}" if first in OWN else limit


def split_target(figure: str) -> tuple[str, str]:
    """(target, what it is called there) of `TARGET.FIGURE`; ("", figure) of what is no target's."""
    target, _, own = figure.partition(".")
    return (target, own) if own and target not in ELSEWHERE else ("", figure)


def evaluate(limits: Limits, facts: Mapping[str, Mapping[str, Json]], confidence: float | None = None) -> list[Gate]:
    """Return every limit with its measured value; `facts` are those of the steps, by role.

    With a `confidence`, limits on accuracies are compared with the bound of the two-sided interval of that confidence.

    Raises:
        NotMeasuredError: for a limit where nothing of that name was measured.
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
        bounds = {name: found.low if is_lower_limit(name) else found.high for name, found in intervals.items()}
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
    """Return the figures that limits and tables use: of several outputs the worst, and each output's own.

    Where an output's channels are told apart, its SNR and its cosine are those of the worst channel: an average over
    the whole tensor would hide that a channel is lost.
    """
    found = {name: float(facts["check"][name]) for name in ("bytes", "gzip_bytes") if name in facts["check"]}
    verify = facts.get("verify")
    if verify:
        outputs = {output: output_figures(values) for output, values in verify["outputs"].items()}
        for name, worst in WORST_OF_OUTPUTS.items():
            found[name] = worst(values[name] for values in outputs.values())
            found |= {f"outputs.{output}.{name}": values[name] for output, values in outputs.items()}
        accuracy = verify.get("classification", {})
        found |= {name: accuracy[name] for name in ACCURACIES if name in accuracy}
        found |= {f"metrics.{name}": value for name, value in verify.get("metrics", {}).items()}
    if benchmark := facts.get("benchmark"):
        found |= {name: float(benchmark[told]) for name, told in LATENCIES.items()}
    return found


def collect_margins(facts: Mapping[str, Mapping[str, Json]]) -> dict[str, float]:
    """Return half the width of the 95 % interval of each figure that has one, named as in `figures`."""
    verify = facts.get("verify", {})
    intervals = dict(verify.get("classification", {}).get("intervals", {}))
    found = collect_figures(facts)
    for output, values in verify.get("outputs", {}).items():
        interval = values.get("snr_db_interval")
        if interval and found[f"outputs.{output}.snr_db"] == values["snr_db"]:  # not of a single channel
            intervals[f"outputs.{output}.snr_db"] = interval
            if found["snr_db"] == values["snr_db"]:
                intervals["snr_db"] = interval
    return {name: (one["high"] - one["low"]) / 2 for name, one in intervals.items() if name in found}


def output_figures(values: Mapping[str, Json]) -> dict[str, float]:
    """Return an output's figures, those of its worst channel where they are worse."""
    channel = (values.get("channels") or {}).get("worst", {})
    whole = {name: float(values[name]) for name in WORST_OF_OUTPUTS}
    return {
        name: min(value, float(channel.get(name, value))) if name in RATIOS else value for name, value in whole.items()
    }
