"""Figures to the digits that hold on every CPU."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.core.figure_rounding import (
    NOISE_DB,
    count_digits,
    is_close,
    ratio_step,
    resolution,
    round_cosine,
    round_digits,
    round_metric,
    round_parity,
    round_ratio,
    show_ratio,
)

# the shipped recipe on 200 samples: native (AVX-512, AMD) and qemu Haswell, as measured for docs/adr/0018
INT8 = (
    {"max_abs_error": 0.10281050205230713, "rmse": 0.006143631561723461, "cosine": 0.999800023216366},
    {"max_abs_error": 0.10281038284301758, "rmse": 0.00614362081491592, "cosine": 0.9998000240219412},
)
FLOAT = (
    {"max_abs_error": 8.344650268554688e-07, "rmse": 5.8453080086772735e-08, "cosine": 0.9999999999999822},
    {"max_abs_error": 1.0728836059570312e-06, "rmse": 7.095034711479431e-08, "cosine": 0.9999999999999729},
)


def test_what_two_cpus_measured_is_the_same_to_the_digits_that_hold():
    here, there = (
        round_parity({**one, "snr_db": snr}) for one, snr in zip(INT8, (33.90920599, 33.90922145), strict=True)
    )
    assert here == there == {"max_abs_error": 0.1028, "rmse": 0.006144, "cosine": 0.9998, "snr_db": 33.91}
    here, there = (round_parity({**one, "snr_db": snr}) for one, snr in zip(FLOAT, (134.3416, 132.6586), strict=True))
    assert here == there == {"max_abs_error": 1e-6, "rmse": 1e-7, "cosine": 1.0, "snr_db": 130.0}


@pytest.mark.parametrize(
    ("snr_db", "digits", "step"),
    [(-5, 4, 0.01), (35, 4, 0.01), (60, 3, 0.01), (75, 2, 0.1), (95, 1, 1), (115, 1, 10), (130, 0, 10)],
)
def test_the_nearer_the_noise_the_fewer_digits(snr_db, digits, step):
    assert count_digits(snr_db) == digits and ratio_step(snr_db) == pytest.approx(step)


@given(st.floats(-100, 199))
def test_noise_between_cpus_moves_a_ratio_by_no_more_than_its_step(snr_db):
    """An error of rms e becomes at most e + n: the triangle inequality, with n of NOISE_DB."""
    moved = snr_db - 20 * math.log10(1 + 10 ** ((snr_db - NOISE_DB) / 20))
    assert snr_db - moved <= ratio_step(snr_db) or ratio_step(snr_db) == 10.0


@given(st.floats(-199, 199))
def test_rounding_again_changes_nothing(snr_db):
    assert round_ratio(round_ratio(snr_db), snr_db) == round_ratio(snr_db)


def test_equal_outputs_stay_equal_and_what_is_no_number_stays_so():
    assert round_parity({"max_abs_error": 0.0, "rmse": 0.0, "cosine": 1.0, "snr_db": 200.0})["snr_db"] == 200.0
    assert round_ratio(-200.0) == -200.0 and round_cosine(-0.25, 3.0) == -0.25
    nan = round_parity({"max_abs_error": math.nan, "rmse": math.inf, "cosine": math.nan, "snr_db": math.nan})
    assert math.isnan(nan["snr_db"]) and nan["rmse"] == math.inf


def test_a_weak_channel_has_the_noise_of_its_tensor():
    figures = {"max_abs_error": 0.12345, "snr_db": 35.123456}
    assert round_parity(figures)["max_abs_error"] == 0.1235 or round_parity(figures)["max_abs_error"] == 0.1234
    assert round_parity(figures, lost_db=60.0) == {"max_abs_error": 0.1, "snr_db": 35.0}


def test_a_count_of_the_users_own_is_not_rounded():
    assert round_metric(123457.0) == 123457.0 and round_metric(0.123456) == 0.1235 and round_digits(0.0, 4) == 0.0


def test_a_figure_is_close_to_a_limit_within_its_last_digit():
    figures = {"snr_db": 35.0, "rmse": 0.001234, "top1": 0.93, "outputs.a.snr_db": 90.0, "outputs.a.rmse": 1e-6}
    assert is_close("snr_db", 35.0, 35.01, figures) and not is_close("snr_db", 35.0, 35.02, figures)
    assert is_close("rmse", 0.001234, 0.0012345, figures) and not is_close("rmse", 0.001234, 0.00124, figures)
    assert not is_close("top1", 0.93, 0.93, figures), "samples are counted"
    assert resolution("outputs.a.rmse", 1e-6, figures) == pytest.approx(1e-6)
    assert resolution("metrics.iou", 0.8123, figures) == pytest.approx(1e-4) and not resolution("bytes", 7.0, figures)


def test_a_ratio_is_printed_with_the_digits_that_hold():
    assert [show_ratio(one) for one in (33.91, 75.3, 95.0, 130.0, 200.0, -200.0)] == [
        *("33.9", "75.3", "95", "130", "200.0", "-200.0"),
    ]
