"""Ranges that every CPU finds: noise is simulated, and decides nothing; what it could decide is settled or reported."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.calibration import activation_observer as observing
from tflbuild.steps.calibration.activation_observer import FLOAT64, Activation, Observer
from tflbuild.steps.calibration.range_grid import OVERSHOOT, round_range
from tflbuild.steps.calibration.reproducible_ranges import UNSETTLED, decide_ranges
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

BOUNDARY = 5.0 + OVERSHOOT * 2.0**-6  # where the rounding of the range 0 to 5 changes
VALUES = np.random.default_rng(0).uniform(-1, 5, (20, 400))
METHODS = {
    "min_max": {},
    "moving_average": {"smoothing": 0.9},
    "percentile": {"percentile": 99.0},
    "mse": {},
}


@dataclass(frozen=True)
class Simulated(Observer):
    """Shows one activation, "y", whose values carry the noise of the kernels. `noise` is what float32 may add."""

    values: np.ndarray = field(default_factory=lambda: VALUES)
    noise: float = 0.0
    lacking: tuple = ()
    asked: list = field(default_factory=list)

    def count(self):
        return len(self.values)

    def open(self):
        if self.kernels in self.lacking:
            raise WorkerError("no kernel", why="Didn't find op for builtin opcode 'CONV_2D' version '1'")
        scale = {"xnnpack": 1.0, "none": 0.5, "reference": 0.1, FLOAT64: 0.0}[self.kernels]

        def values_of(call):
            self.asked.append((self.kernels, call))
            for activation in self.activations:
                exact = self.values[call]
                shift = scale * self.noise * np.sin(np.arange(exact.size) + call)
                yield activation, exact + shift if scale else exact

        return values_of


def model(*ops):
    names = ("x", "w", "y")
    tensors = tuple(Tensor(name, "float32", (1, 4), 4, name == "w", (), (), 0, buffer=1) for name in names)
    made = tuple(Operator(name, 1, False, (0, 1), (2,)) for name in ops)
    graph = Subgraph("main", tensors, made, (0,), (2,))
    return Model(0, (graph,), (SignatureDef("serve", 0, {"x": tensors[0]}, {"y": tensors[2]}),))


def simulate(values=VALUES, noise=0.0, op="CONV_2D", kernels="xnnpack", lacking=(), method="min_max"):
    watched = Simulated(
        *(Path("none"), {"key": "serve", "inputs": []}, {}, kernels, [Activation("y", 2, 2)]),
        values=values,
        noise=noise,
        lacking=lacking,
    )
    return decide_ranges(model(op), watched, {"method": method, **METHODS[method]}), watched


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    for module in ("activation_observer", "calibration_methods", "reproducible_ranges"):
        monkeypatch.setattr(
            f"tflbuild.steps.calibration.{module}.map_shards", lambda work, count, parts=1: [work(range(count))]
        )


@pytest.mark.parametrize("method", METHODS)
def test_noise_within_its_limit_changes_no_range(method):
    span = 6.0
    ranges = [simulate(noise=sign * 1e-6 * span, method=method)[0] for sign in (-1, 0, 1)]
    assert ranges[0].ranges == ranges[1].ranges == ranges[2].ranges
    assert not any(each.ties for each in ranges)


@pytest.mark.parametrize("method", METHODS)
def test_kernels_choose_the_speed_and_not_the_range(method):
    fast, slow = (simulate(noise=4e-6, kernels=kernels, method=method)[0] for kernels in ("xnnpack", "reference"))
    assert fast.ranges == slow.ranges


def at_boundary(beyond):
    values = np.clip(VALUES, 0.0, 4.0)
    values[7, 3] = BOUNDARY + beyond
    return values


@pytest.mark.parametrize("beyond", [-1e-9, 1e-9])
def test_a_value_at_a_boundary_is_settled_in_float64_on_the_call_that_attains_it(beyond):
    settlement, watched = simulate(at_boundary(beyond), noise=5e-6)
    assert settlement.ranges["y"] == round_range(0.0, BOUNDARY + beyond)
    assert settlement.settled == {"y"} and not settlement.ties
    assert [asked for asked in watched.asked if asked[0] == FLOAT64] == [(FLOAT64, 7)]


def test_what_float64_lacks_is_settled_by_the_reference_kernels():
    settlement, watched = simulate(at_boundary(2e-5), noise=1e-6, op="WHILE")
    assert settlement.ranges["y"] == round_range(0.0, BOUNDARY + 2e-5) and settlement.settled == {"y"}
    assert ("reference", 7) in watched.asked and not settlement.ties


def test_what_cannot_be_settled_is_reported_as_tied():
    settlement, _ = simulate(at_boundary(1e-9), noise=5e-6, op="WHILE")
    assert settlement.ties == [CpuDependence("WHILE", "y", UNSETTLED)]
    assert not settlement.settled


def test_an_exact_activation_keeps_its_own_bounds():
    values = at_boundary(1e-9)
    settlement, _ = simulate(values, op="MUL")
    assert settlement.ranges["y"] == (0.0, values.max()) and not settlement.ties


def test_an_activation_that_kernels_compute_differently_is_not_exact():
    values = at_boundary(1e-9)
    settlement, _ = simulate(values, noise=5e-6, op="MUL")
    assert settlement.ranges["y"] == round_range(0.0, values.max()) and settlement.settled == {"y"}


def test_a_noisier_activation_gets_a_wider_limit():
    settlement, _ = simulate(at_boundary(1e-4), noise=1e-4, op="WHILE")
    assert settlement.ties


def test_what_no_second_kind_of_kernels_runs_is_reported():
    settlement, _ = simulate(lacking=("reference", "none"))
    assert [(tie.operator, tie.layer) for tie in settlement.ties] == [("CONV_2D", "y")]


def test_optimized_kernels_show_the_noise_where_reference_ones_lack_an_operator_and_settle_nothing():
    assert not simulate(lacking=("reference",))[0].ties
    settlement, _ = simulate(at_boundary(2e-5), noise=1e-6, op="WHILE", lacking=("reference",))
    assert [tie.reason for tie in settlement.ties] == [UNSETTLED]


def test_an_operator_that_jumps_is_reported():
    tensors = tuple(Tensor(name, "float32", (1, 4), 4, False, (), (), 0) for name in ("x", "h", "y"))
    ops = (Operator("CONV_2D", 1, False, (0,), (1,)), Operator("FLOOR", 1, False, (1,), (2,)))
    jumping = Model(0, (Subgraph("main", tensors, ops, (0,), (2,)),), (SignatureDef("serve", 0, {}, {}),))
    watched = Simulated(Path("none"), {"key": "serve", "inputs": []}, {}, "xnnpack", [Activation("y", 2, 2)])
    ties = decide_ranges(jumping, watched, {"method": "min_max"}).ties
    assert [(tie.operator, tie.layer) for tie in ties] == [("FLOOR", "y")]


@dataclass(frozen=True)
class Surprising(Simulated):
    """One kind of kernels finds a greater value in another call: the limit of noise did not hold."""

    surprise: str = ""

    def open(self):
        run = super().open()
        if self.kernels != self.surprise:
            return run
        return lambda call: ((each, found + 0.5 * (call in (7, 11))) for each, found in run(call))


def surprise(kernels, op):
    values = at_boundary(1e-9)
    watched = Surprising(
        *(Path("none"), {"key": "serve", "inputs": []}, {}, "xnnpack", [Activation("y", 2, 2)]),
        values=values,
        surprise=kernels,
    )
    return decide_ranges(model(op), watched, {"method": "min_max"}), watched.asked


def test_reference_kernels_far_from_the_fast_ones_run_all_calls():
    settlement, asked = surprise("reference", "WHILE")
    assert settlement.ranges["y"][1] >= 5.5
    assert {call for kernels, call in asked if kernels == "reference"} == set(range(20))


def test_float64_far_from_the_kernels_decides_nothing():
    settlement, asked = surprise(FLOAT64, "CONV_2D")
    assert settlement.ranges["y"][1] < 5.5 and settlement.ties
    assert ("reference", 7) in asked


def test_ties_are_listed_once_and_in_order():
    ties = [CpuDependence(name, "y", "r") for name in ("B", "A", "B")]
    assert [tie["operator"] for tie in add_cpu_dependence({}, ties)["tied"]] == ["A", "B"]


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_shards_leave_no_trace(monkeypatch, parts):
    for method in METHODS:
        once = simulate(noise=4e-6, method=method)[0].ranges
        for module in ("activation_observer", "calibration_methods", "reproducible_ranges"):
            shards = lambda work, count, _=None: map_shards(work, count, parts)  # noqa: E731
            monkeypatch.setattr(f"tflbuild.steps.calibration.{module}.map_shards", shards)
        assert simulate(noise=4e-6, method=method)[0].ranges == once
    assert observing.KERNELS["fast"] == "xnnpack"


def test_a_percentile_of_few_values_is_sure():
    """The share of values that may be cut is a whole number of them as often as not: such a count is no near miss."""
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(20, 100))
        settlement, _ = simulate(values, noise=1e-7, op="WHILE", method="percentile")
        assert not settlement.ties
