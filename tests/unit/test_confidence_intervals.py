"""Intervals and tests of shares, against published values and against what defines them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.core.confidence_intervals import (
    Interval,
    binomial_tail,
    mcnemar,
    paired_interval,
    paired_score,
    samples_to_show_drop,
    samples_to_show_share,
    two_sided_z,
    wilson,
)

COUNTS = st.integers(1, 3000).flatmap(lambda samples: st.tuples(st.integers(0, samples), st.just(samples)))
PAIRS = st.integers(1, 2000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda lost: st.tuples(st.just(lost), st.integers(0, n - lost), st.just(n)))
)


@pytest.mark.parametrize(
    ("count", "samples", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_published(count, samples, low, high):
    found = wilson(count, samples)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_paired_interval_is_the_one_published():
    # airway hyper-responsiveness, in Fagerland, Lydersen and Laake, Recommended tests and confidence intervals for
    # paired binomial proportions, Statistics in Medicine 33 (2014): -0.517 to -0.026
    found = paired_interval(1, 7, 21)
    assert (round(found.low, 3), round(found.high, 3)) == (-0.517, -0.026)


def test_exact_p_values_of_discordant_pairs():
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(12, 2) == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1.0
    assert mcnemar(0, 2000) < 1e-300**0.5


def test_a_binomial_tail_is_the_sum_of_its_terms():
    assert binomial_tail(3, 5, 0.6) == pytest.approx(sum(math.comb(5, k) * 0.6**k * 0.4 ** (5 - k) for k in (3, 4, 5)))
    assert binomial_tail(0, 5, 0.0) == 1.0 and binomial_tail(1, 5, 0.0) == 0.0 and binomial_tail(5, 5, 1.0) == 1.0
    assert binomial_tail(6, 5, 0.9) == 0.0
    assert binomial_tail(1800, 2000, 0.1) < 1e-300


def test_confidences_are_two_sided():
    assert two_sided_z(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_without_samples_anything_is_possible():
    assert wilson(0, 0) == Interval(0.0, 1.0) and paired_interval(0, 0, 0) == Interval(-1.0, 1.0)


@given(COUNTS)
def test_a_wilson_interval_holds_its_share_and_mirrors(counts):
    count, samples = counts
    found, mirrored = wilson(count, samples), wilson(samples - count, samples)
    assert 0.0 <= found.low <= count / samples <= found.high <= 1.0
    assert found.low == pytest.approx(1 - mirrored.high) and found.half_width > 0.0
    z = two_sided_z(0.95)
    for bound in (found.low, found.high):  # what defines the interval: the score test is just at its limit
        if 0.0 < bound < 1.0:
            score = (count / samples - bound) / math.sqrt(bound * (1 - bound) / samples)
            assert abs(score) == pytest.approx(z, rel=1e-6)


@given(COUNTS, st.floats(0.5, 0.98))
def test_more_confidence_is_a_wider_interval(counts, confidence):
    inner, outer = wilson(*counts, confidence), wilson(*counts, 0.99)
    assert outer.low <= inner.low and inner.high <= outer.high


@given(PAIRS)
def test_a_paired_interval_holds_its_difference_and_mirrors(pairs):
    lost, gained, samples = pairs
    found, mirrored = paired_interval(lost, gained, samples), paired_interval(gained, lost, samples)
    assert -1.0 <= found.low <= (lost - gained) / samples + 1e-12 <= found.high + 2e-12 <= 1.0 + 2e-12
    assert found.low == pytest.approx(-mirrored.high, abs=1e-9) and found.half_width > 0.0
    for bound in (found.low, found.high):
        if abs(bound) < 1.0 - 1e-9:
            assert abs(paired_score(lost, gained, samples, bound)) == pytest.approx(two_sided_z(0.95), rel=1e-3)


@given(st.floats(0.01, 0.999))
def test_as_many_samples_as_are_said_to_be_needed_show_a_share(limit):
    needed = samples_to_show_share(limit)
    assert wilson(needed, needed).low >= limit - 1e-9
    assert needed == 1 or wilson(needed - 1, needed - 1).low < limit
    assert samples_to_show_share(1.0) is None


@pytest.mark.parametrize(
    ("lost", "gained", "samples", "limit"), [(0, 0, 100, 0.001), (5, 3, 100, 0.02), (9, 0, 60, 0.05)]
)
def test_as_many_samples_as_are_said_to_be_needed_show_a_drop(lost, gained, samples, limit):
    needed = samples_to_show_drop(lost, gained, samples, limit)
    assert paired_interval(lost, gained, samples).half_width > limit
    then = paired_interval(lost * needed // samples, gained * needed // samples, needed)
    assert then.half_width == pytest.approx(limit, rel=0.1)
