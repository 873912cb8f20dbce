"""`quantization=auto`: the best artifact within a budget.

First every scheme as it is, the smallest first, until one meets the budget: nothing larger is measured any more.
Then what is smaller and misses it is tried with other algorithms, and with exceptions for the operators that
cost most, as few as will do; last, exceptions that turn out to be needless are taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Quantization
from tflbuild.core.schemes import CALIBRATED
from tflbuild.core.search_result import SEARCH, OperatorCost, SearchResult, SearchTrial
from tflbuild.search.scheme_assignment import Assignment, SchemeOption, SchemeUpgrade, make_chain, upgrade
from tflbuild.search.search_candidates import list_usable_schemes, make_single, vary_single, with_exceptions
from tflbuild.search.trial_builds import TrialBuilds

DYNAMIC = ("dynamic_int8", "dynamic_int4")
FLOAT = ("float16", *DYNAMIC, "weight_only_int8", "weight_only_int4")  # arithmetic is float, so that all of them mix
SIZES = ("bytes", "gzip_bytes")
BORDER_BYTES = 200.0  # a QUANTIZE and a DEQUANTIZE with their tensors, about; an exception between integer operators
MOST_RETRACTIONS = 8
NEARLY = 1e-3  # of a worth: damages hold to three or four digits on every CPU (docs/adr/0018)
COSTLY = 5

Verdict = Literal["meets", "misses", "larger", "failed"]


@dataclass(frozen=True)
class SchemeFamily:
    """Schemes that mix within one model, and what is known of each operator under each of them.

    Where there are `floats`, an operator may also stay float32.
    """

    single: Quantization
    reports: Mapping[str, Mapping[str, Json]]
    floats: bool = True

    @property
    def static(self) -> bool:
        """Whether operators compute in integers, so that exceptions have borders."""
        return self.single.scheme in CALIBRATED

    @property
    def names(self) -> list[str]:
        """Every operator that some scheme says anything of."""
        return list(dict.fromkeys(name for row in self.rows for name in (row["name"], *row["twins"])))

    @property
    def twins(self) -> dict[str, list[str]]:
        """Operator -> those that share its weights, and with them its scheme."""
        return {row["name"]: list(row["twins"]) for row in self.rows}

    @property
    def rows(self) -> list[Json]:
        """What every report says of every operator."""
        return [row for report in self.reports.values() for row in (*report["operators"], *report["left"])]

    @property
    def spared(self) -> list[str]:
        """Kinds of operator that a static scheme has nothing for."""
        left = [report["left"] for report in self.reports.values()] if self.static else []
        return sorted({row["operator"] for rows in left for row in rows})

    def options(self) -> dict[str, list[SchemeOption]]:
        """Operator -> its options, float32 among them."""
        found: dict[str, list[SchemeOption]] = {}
        for scheme, report in self.reports.items():
            for row in report["operators"]:
                if row["operator"] in self.spared:
                    continue
                saved = report["bytes"] - row["bytes"]
                damage = sum(row["noise"][name] / power for name, power in report["powers"].items() if power)
                found.setdefault(row["name"], []).append(SchemeOption(scheme, -float(saved), damage))
        kept = [SchemeOption("none", 0.0, 0.0)] if self.floats else []
        return {name: self.priced([*options, *kept]) for name, options in found.items()}

    def priced(self, options: list[SchemeOption]) -> list[SchemeOption]:
        """Among integer operators, what an operator alone costs in borders says nothing; an exception has them."""
        if not self.static:
            return options
        least = min(option.cost for option in options)
        base = self.single.scheme
        return [
            replace(one, cost=max(0.0, one.cost - least) + (0.0 if one.scheme == base else BORDER_BYTES))
            for one in (replace(option, cost=min(option.cost, 0.0)) for option in options)
        ]


@dataclass
class SchemeSearch:
    """One search. `best` is the best artifact so far."""

    trials: TrialBuilds
    best: SearchTrial | None = None
    reports: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    close_orders: list[CpuDependence] = field(default_factory=list)

    def find(self) -> SearchResult:
        """The whole search."""
        search = self.trials.search
        schemes = list_usable_schemes(search)
        self.take_smallest(self.trials.build([make_single(scheme, search) for scheme in schemes]))
        if not self.is_unmeasurable() and not self.is_hopeless():
            self.refine(schemes)
        return SearchResult(
            objective=search.objective,
            budget=tuple(self.trials.limits),
            trials=tuple(self.trials.tried.values()),
            chosen=self.best,
            costly=self.costly(),
            excluded=tuple(self.trials.excluded.items()),
            ties=self.list_ties(),
        )

    def list_ties(self) -> tuple[CpuDependence, ...]:
        """Return the decisions that another CPU or host may take otherwise: then it may choose another artifact."""
        near = [tie for trial in self.trials.tried.values() for tie in trial.ties]
        timed = (
            ()
            if self.by_size
            else (CpuDependence(SEARCH, "", "its objective is a latency that was measured on this host"),)
        )
        return tuple(sorted({*near, *timed, *self.close_orders}))

    def refine(self, schemes: Sequence[str]) -> None:
        """What whole schemes leave to be won: other algorithms, and exceptions."""
        for scheme in schemes:
            variants = vary_single(scheme, self.trials.search) if self.is_worth(scheme) else []
            self.take_smallest(self.trials.build(variants))
        for group in self.groups(schemes):
            family = self.family(group)
            if family is not None:
                self.mix(family)

    def is_unmeasurable(self) -> bool:
        """Whether what was built and checked could not be measured, none of it: so it would be with all others."""
        tried = self.trials.tried.values()
        return any("check" in trial.facts and trial.failure for trial in tried) and not any(one.gates for one in tried)

    # what is better

    @property
    def by_size(self) -> bool:
        return self.trials.search.objective == "size"

    def is_promising(self, trial: SearchTrial) -> bool:
        """Whether it could still be the best, if it met the budget."""
        return self.best is None or not self.by_size or trial.bytes < self.best.bytes

    def take(self, quantization: Quantization) -> Verdict:
        """Try one. It becomes the best when it is."""
        built = self.trials.build([quantization])
        if not built or built[0].failure is not None:
            return "failed"
        if not built[0].gates and not self.is_promising(built[0]):
            return "larger"
        trial = self.trials.measure(quantization) if self.by_size else self.trials.time(quantization)
        if not trial.meets:
            return "misses"
        if self.best is None or self.value(trial) < self.value(self.best):
            self.best = trial
        return "meets"

    def value(self, trial: SearchTrial) -> tuple[float, float, int, str]:
        """Return what is compared: size or latency, then fidelity; of equals the smaller is better, then by name."""
        size = float(trial.bytes)
        return (size if self.by_size else trial.latency_ms or size, -trial.fidelity, trial.bytes, trial.label)

    def take_smallest(self, built: Sequence[SearchTrial]) -> None:
        """The smallest first; by size, those larger than one that meets the budget are not measured."""
        for trial in sorted(built, key=lambda one: one.bytes):
            if trial.failure is None:
                self.take(trial.quantization)

    def is_hopeless(self) -> bool:
        """Whether the float model itself loses too much, so that nothing made of it will do."""
        unquantized = self.plain("none")
        return unquantized is not None and any(not gate.passed and gate.name not in SIZES for gate in unquantized.gates)

    def is_worth(self, scheme: str) -> bool:
        """Whether another algorithm may help: int8 that misses the budget, int4 where int8 meets it."""
        trial, wider = self.plain(scheme), self.plain(scheme.replace("int4", "int8"))
        missed = trial is not None and bool(trial.gates) and not trial.meets
        return missed and self.trials.left > 0 and (trial is wider or (wider is not None and wider.meets))

    def plain(self, scheme: str) -> SearchTrial | None:
        """What came of a scheme as it is."""
        return self.trials.tried.get(make_single(scheme, self.trials.search))

    # exceptions

    def groups(self, schemes: Sequence[str]) -> list[list[str]]:
        """Schemes that mix within one model."""
        floating = [scheme for scheme in schemes if scheme in (FLOAT if self.by_size else DYNAMIC)]
        static = [scheme for scheme in ("int8", *(() if self.trials.floats else ("int16x8",))) if scheme in schemes]
        able = self.plain("int8") is not None  # the target takes it, and there is data
        return [group for group in (floating if self.trials.floats else [], static if able else []) if group]

    def family(self, group: Sequence[str]) -> SchemeFamily | None:
        """The schemes with the sensitivities of each; None where they cannot be had, or could be no better."""
        if self.trials.left <= 0:
            return None
        singles = [self.best_variation(scheme) for scheme in group]
        built = self.trials.build(singles)
        if not any(self.is_promising(trial) for trial in built if trial.bytes):
            return None
        reports = self.trials.sensitivities(singles)
        self.reports |= reports
        single = singles[0] if group[0] in CALIBRATED else singles[-1]
        return SchemeFamily(single, reports, self.trials.floats) if reports else None

    def best_variation(self, scheme: str) -> Quantization:
        """The scheme with whatever made it most faithful so far."""
        tried = [one for one in self.trials.tried.values() if one.quantization.scheme == scheme and one.gates]
        plain = make_single(scheme, self.trials.search)
        best = min(tried, key=lambda one: (-one.fidelity, one.bytes, one.label), default=None)
        return plain if best is None else best.quantization

    def mix(self, family: SchemeFamily) -> None:
        """The fewest upgrades that meet the budget, by halving; then those that are needless are taken back."""
        start, upgrades = make_chain(family.options())
        names, twins = family.names, family.twins

        def quantization(assignment: Assignment) -> Quantization:
            full = {name: scheme for first, scheme in assignment.items() for name in (first, *twins.get(first, ()))}
            return with_exceptions(family.single, full, names, family.spared)

        low, high = 0, len(upgrades)  # the fewest that will do lie between, ends included
        while low < high and self.trials.left > 0:
            middle = (low + high) // 2
            if self.take(quantization(upgrade(start, upgrades[:middle]))) in ("meets", "larger"):
                high = middle
            else:
                low = middle + 1
        made = upgrades[:high]
        self.note_close_order(upgrades, high)
        if self.take(quantization(upgrade(start, made))) != "meets":
            return
        for one in sorted(made, key=lambda step: step.worth)[:MOST_RETRACTIONS]:
            fewer = [other for other in made if other is not one]
            if self.take(quantization(upgrade(start, fewer))) == "meets":
                made = fewer

    def note_close_order(self, upgrades: Sequence[SchemeUpgrade], count: int) -> None:
        """Take note where the last upgrade that is made and the first that is not are worth nearly the same."""
        if not 0 < count < len(upgrades):
            return
        last, first = upgrades[count - 1], upgrades[count]
        if 0.0 < last.worth - first.worth <= NEARLY * last.worth:
            reason = f"it loses nearly as much for a byte as '{first.operator}', which gets no exception"
            self.close_orders.append(CpuDependence(SEARCH, last.operator, reason))

    def costly(self) -> tuple[OperatorCost, ...]:
        """The operators that lose most under the smallest scheme that was looked into."""
        if not self.reports:
            return ()
        report = min(self.reports.values(), key=lambda one: sum(row["bytes"] for row in one["operators"]))
        return tuple(
            OperatorCost(row["name"], row["operator"], report["scheme"], row["snr_db"])
            for row in report["operators"][:COSTLY]
        )
