"""Strategy of a search (`quantization=auto`): finds the best artifact within a budget.

First, every scheme is tried for the whole model, the smallest artifact first, until one meets the budget. Larger
artifacts are not measured any more. Then smaller schemes that miss the budget are tried with other algorithms, and with
as few exceptions as possible for the operators that lose most. Finally, unnecessary exceptions are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.gates import SIZE_FIGURES
from tflbuild.core.recipe import Quantization
from tflbuild.core.schemes import CALIBRATED
from tflbuild.core.search_result import SEARCH, OperatorCost, SearchResult, SearchTrial
from tflbuild.search.scheme_assignment import Assignment, SchemeOption, SchemeUpgrade, make_chain, upgrade
from tflbuild.search.search_candidates import list_usable_schemes, make_single, vary_single, with_exceptions
from tflbuild.search.trial_builds import TrialBuilds

DYNAMIC = ("dynamic_int8", "dynamic_int4")
# Schemes with float inputs and outputs of operators, so that one model can mix all of them.
FLOAT = ("float16", *DYNAMIC, "weight_only_int8", "weight_only_int4")
# The approximate size of an exception between integer operators: a QUANTIZE and a DEQUANTIZE with their tensors.
CONVERSION_BYTES = 200.0
# How many exceptions of the result are tried to be removed.
MAX_REMOVALS = 8
# The relative difference below which another CPU may order two upgrades differently. Damages have three or four digits
# that are the same on every CPU (docs/adr/0018).
CLOSE_ORDER = 1e-3
# How many of the operators that lose most are reported.
MAX_COSTLY = 5

TrialOutcome = Literal["meets", "misses", "larger", "failed"]


@dataclass(frozen=True)
class SchemeFamily:
    """Schemes that one model can mix, and the sensitivity of each operator to each of them.

    Attributes:
        single: The quantization without exceptions.
        reports: The facts of the step `sensitivity`, by scheme.
        floats: Operators may also stay in float32.
    """

    single: Quantization
    reports: Mapping[str, Mapping[str, Json]]
    floats: bool = True

    @property
    def static(self) -> bool:
        """Return whether operators compute in integers, so that exceptions need conversions of activations."""
        return self.single.scheme in CALIBRATED

    @property
    def names(self) -> list[str]:
        """Return the name of every operator in the reports."""
        return list(dict.fromkeys(name for row in self.rows for name in (row["name"], *row["twins"])))

    @property
    def shared_weights(self) -> dict[str, list[str]]:
        """Return, for each operator, the operators that share its weights, and so must have the same scheme."""
        return {row["name"]: list(row["twins"]) for row in self.rows}

    @property
    def rows(self) -> list[Json]:
        """Return the rows of all operators of all reports."""
        return [row for report in self.reports.values() for row in (*report["operators"], *report["left"])]

    @property
    def float_operators(self) -> list[str]:
        """Return the kinds of operators that a static scheme does not support."""
        unsupported = [report["left"] for report in self.reports.values()] if self.static else []
        return sorted({row["operator"] for rows in unsupported for row in rows})

    def options(self) -> dict[str, list[SchemeOption]]:
        """Return the options of each operator, including float32 if operators may stay in float."""
        measured: dict[str, list[SchemeOption]] = {}
        for scheme, report in self.reports.items():
            for row in report["operators"]:
                if row["operator"] in self.float_operators:
                    continue
                saved = report["bytes"] - row["bytes"]
                damage = sum(row["noise"][name] / power for name, power in report["powers"].items() if power)
                measured.setdefault(row["name"], []).append(SchemeOption(scheme, -float(saved), damage))
        float_options = [SchemeOption("none", 0.0, 0.0)] if self.floats else []
        return {name: self.correct_costs([*options, *float_options]) for name, options in measured.items()}

    def correct_costs(self, options: list[SchemeOption]) -> list[SchemeOption]:
        """Return the options of an operator with costs that include the conversions of activations where needed.

        The costs were measured with only this operator quantized, so it had conversions around it. Among integer
        operators it needs none, but an exception needs them.
        """
        if not self.static:
            return options
        min_cost = min(option.cost for option in options)
        base = self.single.scheme
        return [
            replace(
                option, cost=max(0.0, option.cost - min_cost) + (0.0 if option.scheme == base else CONVERSION_BYTES)
            )
            for option in (replace(option, cost=min(option.cost, 0.0)) for option in options)
        ]


@dataclass
class SchemeSearch:
    """A running search.

    Attributes:
        trials: The trials.
        best: The best trial so far that meets the budget.
        reports: The facts of the step `sensitivity`, by scheme.
        close_orders: CPU dependences, since another CPU may order two upgrades differently.
    """

    trials: TrialBuilds
    best: SearchTrial | None = None
    reports: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    close_orders: list[CpuDependence] = field(default_factory=list)

    def find(self) -> SearchResult:
        """Run the search and return its result."""
        search = self.trials.search
        schemes = list_usable_schemes(search)
        self.try_smallest_first(self.trials.build([make_single(scheme, search) for scheme in schemes]))
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
        """Return the decisions that may differ on another CPU or host, so that it may choose another artifact."""
        near = [tie for trial in self.trials.tried.values() for tie in trial.ties]
        timed = (
            ()
            if self.by_size
            else (CpuDependence(SEARCH, "", "its objective is a latency that was measured on this host"),)
        )
        return tuple(sorted({*near, *timed, *self.close_orders}))

    def refine(self, schemes: Sequence[str]) -> None:
        """Try other algorithms and calibration methods, and then exceptions."""
        for scheme in schemes:
            variants = vary_single(scheme, self.trials.search) if self.may_improve(scheme) else []
            self.try_smallest_first(self.trials.build(variants))
        for group in self.groups(schemes):
            family = self.family(group)
            if family is not None:
                self.mix(family)

    def is_unmeasurable(self) -> bool:
        """Return whether every trial that was built failed to be measured, so that all others would fail too."""
        trials = self.trials.tried.values()
        failed = any("check" in trial.facts and trial.failure for trial in trials)
        return failed and not any(trial.gates for trial in trials)

    # comparison of trials

    @property
    def by_size(self) -> bool:
        """Return whether the objective is the size; otherwise it is the latency."""
        return self.trials.search.objective == "size"

    def is_promising(self, trial: SearchTrial) -> bool:
        """Return whether a trial would be the best one if it met the budget."""
        return self.best is None or not self.by_size or trial.bytes < self.best.bytes

    def try_quantization(self, quantization: Quantization) -> TrialOutcome:
        """Build and measure a trial, unless it is too large to be the best, and update `best`."""
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
        """Return the sort key of a trial, smaller is better: size or latency, then fidelity, size and description."""
        size = float(trial.bytes)
        return (size if self.by_size else trial.latency_ms or size, -trial.fidelity, trial.bytes, trial.label)

    def try_smallest_first(self, trials: Sequence[SearchTrial]) -> None:
        """Try trials in the order of their sizes. By size, trials larger than `best` are skipped."""
        for trial in sorted(trials, key=lambda trial: trial.bytes):
            if trial.failure is None:
                self.try_quantization(trial.quantization)

    def is_hopeless(self) -> bool:
        """Return whether the float model itself misses a limit on quality, so that no quantization can meet it."""
        trial = self.find_single("none")
        return trial is not None and any(not gate.passed and gate.name not in SIZE_FIGURES for gate in trial.gates)

    def may_improve(self, scheme: str) -> bool:
        """Return whether another algorithm may help: if int8 misses the budget, or int4 misses it and int8 meets it."""
        trial, int8_trial = self.find_single(scheme), self.find_single(scheme.replace("int4", "int8"))
        missed = trial is not None and bool(trial.gates) and not trial.meets
        int8_meets = int8_trial is not None and int8_trial.meets
        return missed and self.trials.left > 0 and (trial is int8_trial or int8_meets)

    def find_single(self, scheme: str) -> SearchTrial | None:
        """Return the trial with one scheme for the whole model, None if it was not built."""
        return self.trials.tried.get(make_single(scheme, self.trials.search))

    # exceptions

    def groups(self, schemes: Sequence[str]) -> list[list[str]]:
        """Return the groups of schemes that one model can mix."""
        floating = [scheme for scheme in schemes if scheme in (FLOAT if self.by_size else DYNAMIC)]
        static = [scheme for scheme in ("int8", *(() if self.trials.floats else ("int16x8",))) if scheme in schemes]
        # Without a trial of int8, the target does not support it, or there is no representative dataset.
        has_int8 = self.find_single("int8") is not None
        return [group for group in (floating if self.trials.floats else [], static if has_int8 else []) if group]

    def family(self, group: Sequence[str]) -> SchemeFamily | None:
        """Return a group of schemes with their sensitivities, None if they cannot be measured or cannot be better."""
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
        """Return the quantization with this scheme that has the highest fidelity so far."""
        trials = [trial for trial in self.trials.tried.values() if trial.quantization.scheme == scheme and trial.gates]
        best = min(trials, key=lambda trial: (-trial.fidelity, trial.bytes, trial.label), default=None)
        return make_single(scheme, self.trials.search) if best is None else best.quantization

    def mix(self, family: SchemeFamily) -> None:
        """Find the fewest upgrades that meet the budget by bisection, and then remove unnecessary ones."""
        start, upgrades = make_chain(family.options())
        names, shared_weights = family.names, family.shared_weights

        def quantization(assignment: Assignment) -> Quantization:
            schemes = {
                name: scheme for first, scheme in assignment.items() for name in (first, *shared_weights.get(first, ()))
            }
            return with_exceptions(family.single, schemes, names, family.float_operators)

        # The smallest sufficient number of upgrades is between `low` and `high`, both included.
        low, high = 0, len(upgrades)
        while low < high and self.trials.left > 0:
            middle = (low + high) // 2
            if self.try_quantization(quantization(upgrade(start, upgrades[:middle]))) in ("meets", "larger"):
                high = middle
            else:
                low = middle + 1
        applied = upgrades[:high]
        self.note_close_order(upgrades, high)
        if self.try_quantization(quantization(upgrade(start, applied))) != "meets":
            return
        for removed in sorted(applied, key=lambda change: change.worth)[:MAX_REMOVALS]:
            fewer = [change for change in applied if change is not removed]
            if self.try_quantization(quantization(upgrade(start, fewer))) == "meets":
                applied = fewer

    def note_close_order(self, upgrades: Sequence[SchemeUpgrade], count: int) -> None:
        """Record a CPU dependence if the last applied upgrade and the next one are worth nearly the same.

        `count` is the number of applied upgrades.
        """
        if not 0 < count < len(upgrades):
            return
        last, first = upgrades[count - 1], upgrades[count]
        if 0.0 < last.worth - first.worth <= CLOSE_ORDER * last.worth:
            reason = f"it loses nearly as much for a byte as '{first.operator}', which gets no exception"
            self.close_orders.append(CpuDependence(SEARCH, last.operator, reason))

    def costly(self) -> tuple[OperatorCost, ...]:
        """Return the operators with the highest sensitivity, for the smallest scheme whose sensitivities are known."""
        if not self.reports:
            return ()
        report = min(self.reports.values(), key=lambda report: sum(row["bytes"] for row in report["operators"]))
        return tuple(
            OperatorCost(row["name"], row["operator"], report["scheme"], row["snr_db"])
            for row in report["operators"][:MAX_COSTLY]
        )
