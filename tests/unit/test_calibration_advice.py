"""Whether calibration samples are enough: what is measured, and what is said of it."""

import numpy as np
import pytest
from frozen import int8, recipe

from tflbuild.core.recipe import Dataset
from tflbuild.report.questions.calibration_advice import (
    advice_text,
    count_growing_ranges,
    estimate_sample_count,
    evaluate_samples,
    worst_first,
)
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.steps.calibration import range_growth
from tflbuild.steps.calibration.activation_observer import Activation
from tflbuild.steps.calibration.litert_advise import (
    BINS,
    count_outside,
    find_core,
    find_stable_count,
    measure_range_use,
)
from tflbuild.steps.calibration.range_growth import list_counts, measure_growth


class Watched:
    """Shows tensors, an array of calls each."""

    def __init__(self, **tensors):
        self.tensors = tensors

    def count(self):
        return len(next(iter(self.tensors.values())))

    def watch(self, calls, show):
        for call in calls:
            for name, values in self.tensors.items():
                show(Activation(name, 0, 1), values[call])


def uniform(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def test_counts_are_round_and_hold_every_halving():
    assert list_counts(1) == [1]
    assert list_counts(8) == [1, 2, 4, 5, 8]
    assert list_counts(256) == [1, 2, 5, 10, 20, 32, 50, 64, 100, 128, 200, 256]


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_growth_is_that_of_the_seeded_order_however_it_is_shared(monkeypatch, parts):
    monkeypatch.setattr(range_growth, "map_shards", lambda work, count: map_shards(work, count, parts))
    values = uniform(40, 6)
    counts, growth = measure_growth(Watched(x=values))
    ordered = values[np.random.default_rng(range_growth.SEED).permutation(40)]
    assert list(growth["x"].low) == [ordered[:count].min() for count in counts]
    assert list(growth["x"].high) == [ordered[:count].max() for count in counts]
    lacking = (growth["x"].high[-1] - growth["x"].high) + (growth["x"].low - growth["x"].low[-1])
    np.testing.assert_allclose(growth["x"].gaps(), lacking / np.ptp(values), rtol=1e-6)


def test_a_range_that_is_all_above_zero_is_measured_from_zero():
    _, growth = measure_growth(Watched(x=np.array([[10.0], [9.0]], np.float32)))
    assert max(growth["x"].gaps()) <= 0.1


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_tensor_that_never_changes_is_told(monkeypatch, parts):
    monkeypatch.setattr(range_growth, "map_shards", lambda work, count: map_shards(work, count, parts))
    fixed = np.tile(uniform(1, 6), (10, 1))
    late = fixed.copy()
    late[7, 3] += 1
    _, growth = measure_growth(Watched(fixed=fixed, late=late, zero=np.zeros((10, 2), np.float32)))
    assert {name: one.constant for name, one in growth.items()} == {"fixed": True, "late": False, "zero": True}
    assert max(growth["zero"].gaps()) == 0


def test_nan_is_not_lost_on_the_way():
    values = uniform(9, 3)
    values[4, 1] = np.nan
    _, growth = measure_growth(Watched(x=values))
    assert np.isnan(growth["x"].high[-1])


def test_when_it_settled_and_what_the_last_half_added():
    assert find_stable_count([1, 2, 5, 10, 20], [0.5, 0.3, 0.1, 0.02, 0.0]) == {"settled": 10, "grew": 0.02}
    assert find_stable_count([1], [0.0]) == {"settled": 1, "grew": 0.0}


def test_outliers_cost_bits():
    bins = np.zeros(BINS, np.int64)
    bins[: BINS // 8] = 1000
    bins[-1] = 1
    core = find_core(bins, (0.0, 8.0))
    assert core == (0.0, 1.0)
    assert measure_range_use(core, (0.0, 8.0)) == {"used": 0.125, "bits_lost": 3.0}
    assert measure_range_use((0.0, 0.0), (0.0, 0.0)) == {"used": 1.0, "bits_lost": 0.0}


def test_values_beyond_the_range_are_counted():
    found = count_outside(Watched(x=np.array([[0.0, 3.0], [-1.0, 1.0], [0.5, -2.0]])), {"x": (-1.0, 1.0)})
    assert list(found["x"]) == [2, 6]


def row(name, gaps, **changes):
    usual = {"operator": "CONV_2D", "signature": "main", "low": 0.0, "high": 1.0, "constant": False}
    usual |= {"used": 0.9, "bits_lost": 0.15, "outside": 0.0}
    pairs = [list(pair) for pair in zip((1, 2, 4, 8, 16), gaps, strict=True)]
    return {**usual, "name": name, "gaps": pairs, **find_stable_count(*zip(*pairs, strict=True)), **changes}


SETTLED = row("calm", (0.5, 0.2, 0.01, 0.0, 0.0))
GROWING = row("restless", (0.6, 0.5, 0.4, 0.2, 0.0))


def found(*rows):
    return {"tolerance": 0.02, "core": 0.999, "samples": {"main": 16}, "evaluated": {"main": 5}, "tensors": list(rows)}


def verdict(*rows, **changes):
    return evaluate_samples(found(*rows), recipe(**changes), "tflbuild +recipe=net")


def test_settled_ranges_are_enough():
    said = verdict(SETTLED)
    assert said.enough and said.next_step == ""
    assert said.text == "enough: from 4 of 16 samples on, all 1 ranges were within 2%"


def test_ranges_that_grow_are_not_enough():
    unseen = {**GROWING, "outside": None}
    said = verdict(SETTLED, unseen)
    assert not said.enough
    assert said.text.startswith("not enough: 1 of 2 ranges still grew by more than 2% with the last half of the 16")
    assert said.next_step.startswith("more samples")
    counted = Dataset(kind="npz", path="train.npz", count=16)
    assert verdict(unseen, dataset=counted).next_step.startswith("a greater dataset.count")


def test_growth_that_evaluation_hardly_sees_is_told_from_growth_that_it_sees():
    rare, common = verdict({**GROWING, "outside": 2e-5}), verdict({**GROWING, "outside": 0.01})
    assert not rare.enough and rare.text.endswith("at most 20 ppm of the evaluation samples' values lie outside")
    assert "tflbuild +recipe=net -m quantization.calibration.method=min_max,percentile,mse" in rare.next_step
    assert not common.enough and common.next_step.startswith("more samples")


def test_one_sample_says_nothing():
    assert not evaluate_samples({**found(SETTLED), "samples": {"main": 1}}, recipe(), "").enough


def test_outliers_are_followed_by_what_may_cut_them_off():
    said = verdict({**SETTLED, "bits_lost": 2.0})
    assert (
        said.enough and "tflbuild +recipe=net -m quantization.calibration.method=min_max,percentile" in said.next_step
    )
    cut = int8(calibration={"method": "percentile"})
    assert verdict({**SETTLED, "bits_lost": 2.0}, quantization=cut).next_step == ""


def test_doublings_are_counted_and_followed_only_where_they_slow_down():
    assert count_growing_ranges([SETTLED, GROWING], 0.02) == [2, 1, 1]
    assert estimate_sample_count([8, 4, 2], 100).endswith("give about 400")
    assert estimate_sample_count([9, 3, 1], 100).endswith("give about 200")
    for grew in ([1, 0, 2], [2, 3, 2], [9, 8, 7]):
        assert estimate_sample_count(grew, 100).endswith("give 200 at least, and ask again")


def test_the_table_has_the_worst_first_and_every_remark():
    dead = {**SETTLED, "name": "dead", "constant": True, "bits_lost": 1.5}
    cut = {**SETTLED, "name": "cut", "outside": 0.25}
    rows = [SETTLED, cut, dead, GROWING]
    assert [one["name"] for one in worst_first(found(*rows))] == ["restless", "dead", "cut", "calm"]
    said = verdict(*rows)
    assert advice_text(found(*rows), said).splitlines() == [
        " grew  settled  used  bits lost  outside  operator  name",
        "20.0%       16   90%        0.1    0.00%  CONV_2D   restless",
        " 0.0%        4   90%        1.5    0.00%  CONV_2D   dead",
        " 0.0%        4   90%        0.1   25.00%  CONV_2D   cut",
        " 0.0%        4   90%        0.1    0.00%  CONV_2D   calm",
        "grew: with the last half of the samples; settled: samples until 2% was lacking;"
        " used: by 99.9% of the values; outside: of 5 evaluation samples' values",
        "outliers: 0.1% of the values cost a bit or more in 1 of 4 ranges, at most 1.5",
        "the same for every sample: 1 of 4 ranges: dead",
        "cut off: more than 0.1% of the evaluation samples' values in 1 of 4 ranges, at most 25.00% (cut)",
        said.text,
        f"next: {said.next_step}",
    ]
