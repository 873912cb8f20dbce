"""Trials and the result of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.figure_rounding import is_close
from tflbuild.core.figure_warnings import find_collapse
from tflbuild.core.gates import Gate, collect_figures, figure_name
from tflbuild.core.recipe import Quantization
from tflbuild.core.step_result import Failure

SEARCH = "quantization=auto"


@dataclass(frozen=True)
class SearchTrial:
    """A trial of a search.

    Attributes:
        label: The description of the quantization.
        quantization: The quantization.
        facts: The facts of its steps, by role.
        gates: The limits with the measured figures. Empty if the trial failed, or was too large to be the best.
        failure: The failure of its first failed step.
    """

    label: str
    quantization: Quantization
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    failure: Failure | None = None

    @property
    def meets(self) -> bool:
        """Return whether the trial was measured, is within the budget and has not collapsed."""
        return bool(self.gates) and all(gate.passed for gate in self.gates) and not self.collapse

    @property
    def collapse(self) -> str:
        """Return why a search must not choose the trial although its gates pass, "" if it may."""
        return find_collapse(self.facts["verify"], [gate.name for gate in self.gates]) if "verify" in self.facts else ""

    @property
    def bytes(self) -> int:
        """Return the size of the artifact in bytes, 0 if there is none."""
        return next((int(self.facts[role]["bytes"]) for role in ("check", "quantize") if role in self.facts), 0)

    @property
    def latency_ms(self) -> float | None:
        """Return the median latency on this host in ms, None if it was not measured."""
        return float(self.facts["benchmark"]["p50_ms"]) if "benchmark" in self.facts else None

    @property
    def fidelity(self) -> float:
        """Return the signal-to-noise ratio of the worst output in dB, which ranks trials of equal size."""
        return collect_figures(self.facts)["snr_db"] if "verify" in self.facts else float("-inf")

    @property
    def ties(self) -> tuple[CpuDependence, ...]:
        """Return the gates whose figure is so close to the limit that the decision may differ on another CPU."""
        known = [gate for gate in self.gates if gate.value is not None and gate.bound is None]
        measured = collect_figures(self.facts) if known else {}
        return tuple(
            CpuDependence(SEARCH, self.label, f"its {gate.text()}, which is too near to be the same on every CPU")
            for gate in known
            if is_close(figure_name(gate.name), float(gate.value or 0.0), gate.limit, measured)
        )


@dataclass(frozen=True)
class OperatorCost:
    """The sensitivity of an operator: the SNR of the worst output in dB if only this operator has the scheme."""

    name: str
    operator: str
    scheme: str
    snr_db: float


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        objective: `size` or `latency`.
        budget: (figure, limit) of each limit.
        trials: All trials in their order.
        chosen: The best trial, None if no trial meets the budget.
        costly: The operators with the highest sensitivity.
        excluded: (description, reason) of each quantization that was not tried.
        confidence: The confidence of the intervals with whose bounds accuracies are compared.
        reported: The limits with the figures on samples that the search did not use. Empty until they are measured.
        ties: The decisions that may differ on another CPU or host.
    """

    objective: str
    budget: tuple[tuple[str, float], ...]
    trials: tuple[SearchTrial, ...]
    chosen: SearchTrial | None
    costly: tuple[OperatorCost, ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()
    confidence: float | None = None
    reported: tuple[Gate, ...] = ()
    ties: tuple[CpuDependence, ...] = ()

    @property
    def part(self) -> Mapping[str, Json]:
        """Return the facts about the part of the evaluation samples that trials use: `samples`, `of`, `unsplit`."""
        for trial in self.trials:
            verify = trial.facts.get("verify", {})
            if "part" in verify:
                return {"samples": verify["samples"], **verify["part"]}
        return {}
