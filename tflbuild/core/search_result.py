"""What a search tried, and what came of it."""

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
    """A quantization that was built. `facts` are those of its steps by role, `gates` the budget with what was measured.

    Without `gates` it was not measured: it failed, or it could not be the best any more.
    """

    label: str
    quantization: Quantization
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    failure: Failure | None = None

    @property
    def meets(self) -> bool:
        """Return whether it was measured, is within the budget and has not collapsed."""
        return bool(self.gates) and all(gate.passed for gate in self.gates) and not self.collapse

    @property
    def collapse(self) -> str:
        """Return why a search must not choose it although its gates pass, "" where nothing is against it."""
        return find_collapse(self.facts["verify"], [gate.name for gate in self.gates]) if "verify" in self.facts else ""

    @property
    def bytes(self) -> int:
        """Size of the artifact, found good or not; 0 when there is none."""
        return next((int(self.facts[role]["bytes"]) for role in ("check", "quantize") if role in self.facts), 0)

    @property
    def latency_ms(self) -> float | None:
        """The median on this host, None when it was not timed."""
        return float(self.facts["benchmark"]["p50_ms"]) if "benchmark" in self.facts else None

    @property
    def fidelity(self) -> float:
        """The worst output's SNR in dB: what tells two apart that both miss, or both meet, the budget."""
        return collect_figures(self.facts)["snr_db"] if "verify" in self.facts else float("-inf")

    @property
    def ties(self) -> tuple[CpuDependence, ...]:
        """Return the gates whose figure is so near its limit that another CPU may decide otherwise."""
        known = [gate for gate in self.gates if gate.value is not None and gate.bound is None]
        measured = collect_figures(self.facts) if known else {}
        return tuple(
            CpuDependence(SEARCH, self.label, f"its {gate.text()}, which is too near to be the same on every CPU")
            for gate in known
            if is_close(figure_name(gate.name), float(gate.value or 0.0), gate.limit, measured)
        )


@dataclass(frozen=True)
class OperatorCost:
    """An operator, and the worst output's SNR in dB when it alone has the scheme."""

    name: str
    operator: str
    scheme: str
    snr_db: float


@dataclass(frozen=True)
class SearchResult:
    """The end of a search: everything tried in order, the best (None when nothing meets the budget), and what costs.

    `reported` is the budget with what was measured on samples that the search did not see, empty until it was. `ties`
    are the decisions that another CPU, or another host, may take otherwise.
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
        """Return the facts of the part of the evaluation samples that was selected on: `samples`, `of`, `unsplit`."""
        for trial in self.trials:
            verify = trial.facts.get("verify", {})
            if "part" in verify:
                return {"samples": verify["samples"], **verify["part"]}
        return {}
