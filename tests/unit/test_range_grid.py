"""The grid of ranges: what rounding costs, and that noise within its limit changes nothing that is called sure."""

import numpy as np
import pytest

from tflbuild.steps.calibration.range_grid import OVERSHOOT, find_span, round_noisy, round_range

RANDOM = np.random.default_rng(0)
LOWS = -(10.0 ** RANDOM.uniform(-4, 3, 4000)) * (RANDOM.uniform(size=4000) > 0.3)
HIGHS = 10.0 ** RANDOM.uniform(-4, 3, 4000)


@pytest.mark.parametrize("bounds", [(0.0, 6.0), (0.0, 1.0), (-1.0, 1.0), (-0.375, 5.5), (0.0, 20.0), (0.0, 0.0)])
def test_bounds_that_models_reach_exactly_stay_and_are_sure(bounds):
    noise = 1e-5 * find_span(*bounds)
    assert round_noisy(*bounds, (noise, noise)) == (bounds, (True, True))


def test_a_bound_just_short_of_a_line_goes_to_that_line():
    assert round_range(0.0, 5.9999) == round_range(-1e-7, 6.0001) == (0.0, 6.0)


def test_a_range_grows_by_a_256th_at_most_and_loses_a_16th_of_a_step():
    for low, high in zip(LOWS, HIGHS, strict=True):
        rounded, span = round_range(low, high), find_span(low, high)
        step = span / 256
        assert low - step <= rounded[0] <= low + OVERSHOOT * step
        assert high - OVERSHOOT * step <= rounded[1] <= high + step
        assert np.float32(rounded[0]) == rounded[0] and np.float32(rounded[1]) == rounded[1]


def test_noise_changes_no_sure_range_and_few_are_unsure():
    unsure = 0
    for low, high in zip(LOWS, HIGHS, strict=True):
        noise = 1e-5 * find_span(low, high)
        rounded, bounds = round_noisy(low, high, (noise, noise))
        sure = all(bounds)
        unsure += not sure
        moved = RANDOM.uniform(-noise, noise, (20, 2)) + np.array([low, high])
        assert not sure or all(round_range(*bounds) == rounded for bounds in moved)
    assert 0 < unsure < len(LOWS) * 0.02


@pytest.mark.parametrize("side", [-1, 1])
def test_where_rounding_changes_a_bound_is_unsure(side):
    boundary = 5.0 + OVERSHOOT * 2.0**-6
    assert round_range(0.0, boundary - 1e-6) != round_range(0.0, boundary + 1e-6)
    assert round_noisy(0.0, boundary + side * 4e-5, (5e-5, 5e-5))[1] == (True, False)
    assert round_noisy(0.0, boundary + side * 6e-5, (5e-5, 5e-5))[1] == (True, True)
    assert round_noisy(0.0, boundary + side * 4e-5, (5e-5, 0.0))[1] == (True, True)


def test_a_span_near_a_power_of_two_is_unsure_only_where_its_grids_differ():
    assert round_noisy(0.0, 4.0, (1e-4, 1e-4)) == ((0.0, 4.0), (True, True))
    low = -(1.0 + 1.5 * 2.0**-7)
    assert not all(round_noisy(low, 3.0 - 1.5 * 2.0**-7, (1e-4, 1e-4))[1])


def test_noise_as_wide_as_the_range_leaves_nothing_sure():
    assert round_noisy(-1e-9, 1e-9, (1e-9, 1e-9))[1] == (False, False)


def test_no_bound_leaves_float32():
    greatest = float(np.finfo(np.float32).max)
    assert round_range(-greatest, 3.0)[0] == -greatest
    assert np.isfinite(np.float32(round_range(0.0, greatest)[1]))
