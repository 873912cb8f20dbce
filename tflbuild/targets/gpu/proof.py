"""The step `prove_gpu`: the artifact runs on LiteRT's own GPU delegate, and is compared with the CPU.

It runs on a GPU if this machine has one, else on software (SwiftShader): the delegate, its shaders and its supported
operators are the same. Software cannot show the speed. If it has no 16-bit floats, it does not show their effect on the
results either. For that the ranges of activations are measured on the CPU.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.verdict import PROVEN, UNPROVEN, Fallback, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.targets.common.cpu_comparison import (
    CpuReference,
    OutputAgreement,
    compare,
    make_trial,
    make_untried_verdict,
    write_verdict,
)
from tflbuild.targets.common.lint import Place, check_operator, largest, lint
from tflbuild.targets.common.rules import SupportTable
from tflbuild.targets.gpu.float16_range import Float16Range, float16_range
from tflbuild.targets.gpu.gpu_delegate import LATE, GpuDevice, GpuJob, GpuJobResult, run_jobs
from tflbuild.targets.gpu.gpu_layers import explain_placement, fallbacks, first_parting, try_alone
from tflbuild.targets.gpu.table import TABLE
from tflbuild.targets.gpu.vulkan import INSTALL, VulkanDrivers, find_drivers
from tflbuild.tflite.operator_slices import KEY, make_product_model
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

# The optimized kernels have all operators, unlike the reference kernels.
KERNELS = "none"
# The square of this number overflows 16-bit floats.
FACTOR = 300.0
MOST_NOTES = 8
LOG_LINES = 3


@dataclass(frozen=True)
class GpuBench:
    """A working device. `float16` says whether it computes in 16-bit floats when it is allowed to."""

    device: GpuDevice
    float16: bool


def run(request: StepRequest) -> Facts:
    """Run the artifact on the GPU delegate, and write verdict.json.

    Args:
        request: `params.target` has `name`, `table`, `version`, `precision` (float16 or float32) and `least_snr_db`.

    Returns:
        The fact `verdict`.
    """
    target = request.params["target"]
    model = read_model(request.inputs["model"])
    table = TABLE
    linted = lint(table, model, target["name"], target["version"])
    drivers = find_drivers()
    bench = _bench(drivers, target["precision"] == "float32", request.folder / "probe") if not drivers.lacks else None
    if bench is None:
        lacks = drivers.lacks or f"none of the Vulkan drivers here has a device that LiteRT takes: {_names(drivers)}"
        return write_verdict(request, replace(linted, to_prove=f"{lacks}; {INSTALL}"))
    try:
        trial = make_trial(request, KERNELS)
    except WorkerError as error:
        return write_verdict(request, make_untried_verdict(linted, error))
    job = GpuJob(request.inputs["model"], trial.key, trial.feeds)
    (outcome,) = run_jobs([job], bench.device, request.folder / "run")
    print(outcome.log)
    held = float16_range(request.inputs["model"], model, trial.key, trial.feeds, KERNELS)
    return write_verdict(request, _Proof(request, model, table, trial, bench, outcome, held).verdict())


def _names(drivers: VulkanDrivers) -> str:
    return ", ".join(driver.name for driver in drivers.candidates)


def _bench(drivers: VulkanDrivers, float32: bool, scratch: Path) -> GpuBench | None:
    """Return the first driver with a device. It multiplies numbers that overflow 16-bit floats."""
    scratch.mkdir(parents=True, exist_ok=True)
    model = scratch / "product.tflite"
    model.write_bytes(make_product_model())
    feed = {name: np.full((1, 1, 1, 8), FACTOR, np.float32) for name in ("in0", "in1")}
    for number, driver in enumerate(drivers.candidates):
        device = GpuDevice(driver, drivers.loader, float32)
        (outcome,) = run_jobs([GpuJob(model, KEY, (feed,), alone=True)], device, scratch / str(number))
        if outcome.full and outcome.outputs:
            return GpuBench(device, not bool(np.isfinite(outcome.outputs[0]["out0"]).all()))
        print(f"{driver.name}: {outcome.ended}\n{outcome.log}")
    return None


@dataclass(frozen=True)
class _Proof:
    """The results of a run, from which the verdict follows."""

    request: StepRequest
    model: Model
    table: SupportTable
    trial: CpuReference
    bench: GpuBench
    outcome: GpuJobResult
    held: Float16Range

    @property
    def total(self) -> int:
        return sum(len(graph.ops) for graph in self.model.subgraphs)

    def verdict(self) -> Verdict:
        """Return the verdict."""
        name = self.request.params["target"]["name"]
        if self.outcome.ended:
            return self._failed(name)
        agreement, apart = self._agreement()
        taken, lost = self._taken()
        good = not apart and not self.outcome.faults
        return Verdict(
            target=name,
            proof=PROVEN if good else UNPROVEN,
            how=self._how(agreement, apart),
            device=self.outcome.device,
            runs=True,
            agrees=good,
            ops=self.total,
            on_delegate=taken,
            partitions=self._partitions(taken),
            fallbacks=tuple(lost),
            figures={**agreement.figures(), **self.held.figures()},
            notes=tuple(self._notes()),
        )

    def _failed(self, name: str) -> Verdict:
        """Return the verdict on an artifact without outputs: that of the support table, and how the run ended.

        Raises:
            WorkerError: The time was too short.
        """
        if self.outcome.ended.startswith(LATE):
            raise WorkerError(
                f"{self._by()} was not done: {self.outcome.ended}",
                kind="environment",
                next_step="build again when the machine has less to do",
                transient=True,
            )
        words = self.outcome.words[-LOG_LINES:]
        linted = lint(self.table, self.model, name, self.request.params["target"]["version"])
        return replace(
            linted,
            proof=UNPROVEN,
            how=f"{self._by()} could not run it: {self.outcome.ended}",
            device=self.outcome.device,
            runs=None if self.outcome.compiled or self.outcome.crashed else False,
            on_delegate=None,
            partitions=None,
            notes=(*(f"the runtime's last words: {line}" for line in words), *self._range_notes()),
            figures=self.held.figures(),
        )

    def _by(self) -> str:
        return f"LiteRT {version('ai-edge-litert')}'s GPU delegate on {self.outcome.device or 'no device'}"

    def _how(self, agreement: OutputAgreement, apart: Sequence[str]) -> str:
        fed = "samples" if self.trial.sampled else "random inputs"
        width = "16-bit" if self.bench.float16 else "32-bit"
        how_far = f"{agreement.calls} calls of {fed}, SNR {show_ratio(agreement.snr_db)} dB"
        told = f"executed by {self._by()}, in {width} floats; {how_far}"
        if not self.outcome.full and not self.outcome.taken:
            told = f"compiled by {self._by()}, which takes none of it: all runs on the CPU; {how_far}"
        faults = [f"the device reports: {fault}" for fault in self.outcome.faults[:1]]
        wrong = "; ".join((*apart, *faults))
        return f"{told}: {wrong}" if wrong else f"{told} to the CPU's outputs"

    def _agreement(self) -> tuple[OutputAgreement, list[str]]:
        """Return the agreement with the CPU's outputs, and texts for the outputs that differ."""
        least = self.request.params["target"]["least_snr_db"]
        found = [self.trial.real(outputs) for outputs in self.outcome.outputs]
        apart = []
        for name in self.trial.expected[0]:
            one = _of_output(self.trial, found, name)
            if not one.finite:
                apart.append(f"output {name} is not finite, where the CPU's is")
            elif one.snr_db < least:
                apart.append(
                    f"output {name} is not the CPU's: SNR {one.snr_db:.1f} dB (at least {least:g} is asked),"
                    f" off by up to {one.max_abs_error:.4g}"
                )
        return compare(self.trial, found), [*apart, *self._where()] if apart else apart

    def _where(self) -> Iterator[str]:
        """Yield the operator that causes the difference, if it is a single one."""
        folder = self.request.folder / "layers"
        path = self.request.inputs["model"]
        parting = first_parting(path, self.model, self.trial.key, self.trial.feeds[0], self.bench.device, folder)
        if parting is not None:
            told = f"it parts at {parting.op} {parting.layer}, SNR {parting.snr_db:.1f} dB by itself"
            judged = check_operator(self.table, parting.view)
            yield f"{told}: {judged.reason}" if judged.taken is False else told
            if judged.fix:
                yield f"try: {judged.fix}"

    def _taken(self) -> tuple[int | None, list[Fallback]]:
        """Return the number of operators on the GPU, and the fallbacks.

        The number is None if only the runtime's first count is known. The runtime counts operators by subgraph and does
        not name them. So each operator is compiled separately, and operators outside of the largest partition are
        determined as the runtime does it. Both must have the same result.
        """
        if self.outcome.full:
            return self.total, []
        path, folder = self.request.inputs["model"], self.request.folder / "alone"
        alone = try_alone(path, self.model, self.bench.device, folder, self.outcome)
        lost = fallbacks(alone, self.table)
        refused = {(one.subgraph, one.index) for one in lost}
        there = {(one.view.subgraph, one.view.index): one.view for one in alone}
        taken = largest(self.model, there.keys() - refused, self.table.most)
        if len(there) < self.total or not self._counted(taken):
            return (self.outcome.taken if len(self.model.subgraphs) == 1 else None), lost
        return len(taken), [
            *lost,
            *(explain_placement(there[place]) for place in sorted(there.keys() - refused - taken)),
        ]

    def _counted(self, taken: Collection[Place]) -> bool:
        """Return whether the runtime counted as many operators in each subgraph that is not completely on the GPU."""
        sizes = [len(graph.ops) for graph in self.model.subgraphs]
        counts = [sum(1 for subgraph, _ in taken if subgraph == number) for number in range(len(sizes))]
        parts = [(count, size - count) for count, size in zip(counts, sizes, strict=True) if count < size]
        return set(parts) == set(self.outcome.counts)

    def _partitions(self, taken: int | None) -> int | None:
        if len(self.model.subgraphs) == 1 and taken is not None:
            return min(1, taken)
        return None

    def _notes(self) -> Iterator[str]:
        if self.outcome.software:
            yield "no time was taken: the device is a program on this host's CPU, and says nothing of a GPU's speed"
        if not self.bench.float16 and self.request.params["target"]["precision"] == "float16":
            yield "this device computes in 32-bit floats; the rounding of 16-bit ones, as on a phone, was not tried"
        yield from self._range_notes()

    def _range_notes(self) -> Iterator[str]:
        if self.request.params["target"]["precision"] == "float16":
            yield from (excess.note() for excess in self.held.excesses[:MOST_NOTES])


def _of_output(trial: CpuReference, found: Sequence[Arrays], name: str) -> OutputAgreement:
    """Return the agreement of one output. An output of another shape does not agree."""
    expected = [{name: one[name]} for one in trial.expected]
    actual: list[dict[str, Any]] = [{name: one[name]} for one in found]
    if any(one[name].size != want[name].size for one, want in zip(actual, expected, strict=True)):
        actual = [{name: np.full(want[name].shape, np.nan)} for want in expected]
    return compare(replace(trial, expected=expected), actual)
