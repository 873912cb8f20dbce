"""The statistics of a benchmark, held against synthetic series whose truth is known."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.steps.benchmarking.latency_timing import (
    WINDOW,
    Timing,
    TimingEffort,
    centred_ranks,
    drift,
    effective_count,
    half_width,
    interval_of_median,
    measure,
    quantile,
    rank_of_interval,
    serial_correlation,
)

FEW = st.lists(st.floats(0.001, 1000), min_size=1, max_size=60)


class Clock:
    """Goes on by what the next call is said to take; reading it takes nothing. Milliseconds in, nanoseconds out."""

    def __init__(self, durations):
        self.durations, self.now, self.calls = durations, 0, 0

    def __call__(self):
        return self.now

    def work(self):
        self.now += int(next(self.durations) * 1e6)
        self.calls += 1


def effort(**changed):
    return TimingEffort(**{"runs": 20, "warmup": 5, "precision": 0.02, "most_seconds": 60.0, **changed})


def series(count, memory, seed):
    """Lognormal times of which each remembers the one before; the true median is 1."""
    generator, value = random.Random(seed), 0.0
    value = generator.gauss(0, 1)
    for _ in range(count):
        value = memory * value + math.sqrt(1 - memory * memory) * generator.gauss(0, 1)
        yield math.exp(0.3 * value)


@pytest.mark.parametrize(("count", "rank"), [(5, 0), (6, 1), (10, 2), (20, 6), (100, 40), (1000, 469)])
def test_ranks_are_those_of_the_binomial_table(count, rank):
    assert rank_of_interval(count) == rank


def test_many_runs_have_the_rank_of_the_normal_distribution():
    assert rank_of_interval(1001) == pytest.approx(rank_of_interval(1000), abs=1)
    assert rank_of_interval(10_000) == 4902


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("count", [60, 400])
def test_the_interval_covers_the_true_median_as_often_as_it_says(count, memory):
    trials = 300
    hits = 0
    for seed in range(trials):
        low, high = interval_of_median(list(series(count, memory, seed)))
        hits += low <= 1.0 <= high
    assert hits / trials >= 0.92


def test_without_regard_to_memory_it_would_cover_far_less():
    """What the effective number of runs is for: the plain interval misses the median of a series with memory."""
    hits = 0
    for seed in range(300):
        ordered = sorted(series(400, 0.8, seed))
        rank = rank_of_interval(len(ordered))
        hits += ordered[rank - 1] <= 1.0 <= ordered[-rank]
    assert hits / 300 < 0.75


@given(FEW)
def test_the_median_lies_in_its_interval(times):
    low, high = interval_of_median(times)
    assert min(times) <= low <= quantile(sorted(times), 0.5) <= high <= max(times)


@given(FEW, st.floats(0, 1))
def test_quantiles_lie_between_the_ends(times, share):
    ordered = sorted(times)
    assert ordered[0] <= quantile(ordered, share) <= ordered[-1] * (1 + 1e-12)


def test_known_quantiles():
    assert quantile([1, 2, 3, 4, 5], 0.5) == 3
    assert quantile([1, 2, 3, 4, 5], 0.1) == pytest.approx(1.4)
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_too_few_runs_are_never_precise():
    assert half_width([1.0] * 5) == math.inf
    told = Timing((1.0,) * 5, 10, True, 0.02)
    assert told.as_json()["reached_precision"] is None
    assert not told.reached
    assert "not known to ±2.0%" in " ".join(told.notes())


def test_runs_that_remember_count_for_fewer():
    alone, together = list(series(1000, 0.0, 1)), list(series(1000, 0.8, 1))
    assert effective_count(alone) > 800
    assert effective_count(together) < 250
    assert serial_correlation([1, 2, 1, 2, 1, 2]) < -0.5


def test_equal_runs_are_not_taken_for_alike_ones():
    assert serial_correlation([1.0] * 100) == 0.0
    coarse = [float(random.Random(seed).random() < 0.5) for seed in range(1000)]
    assert abs(serial_correlation(coarse)) < 0.1
    assert centred_ranks([5.0, 1.0, 5.0]) == [0.5, -1.0, 0.5]


def test_drift_is_that_of_the_last_half():
    assert drift([1.0] * 10 + [1.2] * 10) == pytest.approx(0.2)
    slower = Timing((1.0,) * 50 + (1.2,) * 50, 10, True, 0.02)
    assert any("20.0% slower" in note and "throttled" in note for note in slower.notes())


def test_it_runs_until_the_median_is_known():
    clock = Clock(series(10**6, 0.0, 3))
    timing = measure(clock.work, effort(), clock)
    assert timing.reached
    assert timing.median == pytest.approx(1.0, rel=0.03)
    assert clock.calls == timing.warmups + len(timing.times)
    loose = measure(clock.work, effort(precision=0.1), clock)
    assert len(loose.times) < len(timing.times)


def test_it_stops_at_the_time_that_it_has_and_says_so():
    clock = Clock(iter(100.0 + 50 * (place % 2) for place in range(10**6)))
    timing = measure(clock.work, effort(most_seconds=8.0), clock)
    assert clock.now <= 8.2e9
    assert not timing.reached
    assert not timing.as_json()["reached"]
    assert "±" in " ".join(timing.notes())


def test_a_call_beyond_all_time_is_timed_twice():
    clock = Clock(iter([5000.0] * 100))
    timing = measure(clock.work, effort(most_seconds=1.0), clock)
    assert len(timing.times) == 2
    assert not timing.steady


def test_at_least_so_many_runs_and_half_a_second():
    clock = Clock(iter([0.5] * 10**6))
    assert len(measure(clock.work, effort(), clock).times) >= 1000
    clock = Clock(iter([50.0] * 10**6))
    assert len(measure(clock.work, effort(runs=40), clock).times) == 40


def test_warming_up_lasts_until_calls_are_steady():
    falling = [10.0 - 0.2 * place for place in range(40)]
    clock = Clock(iter([*falling, *[2.0] * 10**5]))
    timing = measure(clock.work, effort(), clock)
    assert timing.steady
    assert timing.warmups == 40 + 2 * WINDOW
    assert max(timing.times) == pytest.approx(2.0)
