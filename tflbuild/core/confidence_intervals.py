"""Confidence intervals and tests for accuracies, in pure Python.

Every reported accuracy (top-1, top-k, agreement) is `count` of `samples`, and has a Wilson interval. The difference of
two accuracies on the same samples depends only on the discordant pairs: `lost` samples that only the source classifies
correctly, and `gained` samples that only the artifact classifies correctly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# The confidence of every reported interval.
CONFIDENCE = 0.95
# Within this many standard deviations, the probability is 1 in the precision of a float.
MOST_DEVIATIONS = 9.0
# The number of bisections of an interval of width 2, after which its width is far below the precision of a float.
HALVINGS = 80


@dataclass(frozen=True)
class Interval:
    """An interval with both bounds included."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Return half the distance between the bounds, which is printed after `+-`."""
        return (self.high - self.low) / 2

    def holds(self, value: float) -> bool:
        """Return whether a value is within the bounds."""
        return self.low <= value <= self.high


def two_sided_z(confidence: float) -> float:
    """Return the number of standard deviations within which a normal distribution has this probability (0.95: 1.96)."""
    # `statistics` has this, but a file of that name in the current folder would be imported in its place.
    low, high = 0.0, MOST_DEVIATIONS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle / math.sqrt(2)) < confidence else (low, middle)
    return high


def wilson(count: int, samples: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a share, `count` of `samples`.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927). Without samples
    anything is possible: 0 to 1.
    """
    if samples <= 0:
        return Interval(0.0, 1.0)
    z = two_sided_z(confidence)
    share, weight = count / samples, z * z / samples
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / samples + weight / (4 * samples)) / (1 + weight)
    low = 0.0 if count == 0 else max(0.0, middle - half)
    high = 1.0 if count == samples else min(1.0, middle + half)
    return Interval(low, high)


def paired_interval(lost: int, gained: int, samples: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a difference of paired shares, (lost - gained) / samples.

    Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample design,
    Statistics in Medicine 17 (1998): all differences whose score test does not reject the counts. It has a width
    even where no pair is discordant.
    """
    if samples <= 0:
        return Interval(-1.0, 1.0)
    z = two_sided_z(confidence)
    difference = (lost - gained) / samples

    def exceeds(limit: float) -> Callable[[float], bool]:
        return lambda value: paired_score(lost, gained, samples, value) > limit

    low = -1.0 if gained == samples else _last(exceeds(z), -1.0, difference)
    high = 1.0 if lost == samples else _last(exceeds(-z), difference, 1.0)
    return Interval(low, high)


def paired_score(lost: int, gained: int, samples: int, difference: float) -> float:
    """Return the score statistic of a true `difference`: standard normal if it is true. It falls with `difference`."""
    excess = lost - gained - samples * difference
    a = 2 * samples
    b = -lost - gained + (2 * samples - lost + gained) * difference
    c = -gained * difference * (1 - difference)
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # of gained pairs, were the difference true
    variance = samples * (2 * share + difference * (1 - difference))
    if variance <= 0.0:
        return 0.0 if excess == 0.0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `holds`, true at `low` and false at `high`, changes."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: both kinds of discordant pairs are equally likely.

    McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12 (1947).
    """
    pairs, fewer = lost + gained, min(lost, gained)
    return min(1.0, 2 * (1 - binomial_tail(fewer + 1, pairs, 0.5))) if pairs else 1.0


def binomial_tail(count: int, samples: int, share: float) -> float:
    """Return the probability of at least `count` successes in `samples` independent trials of probability `share`."""
    if count <= 0 or share >= 1.0:
        return 1.0
    if count > samples or share <= 0.0:
        return 0.0
    high_side = count > samples * share  # sum the smaller tail: its complement would lose all digits
    terms = range(count, samples + 1) if high_side else range(count)
    total = math.fsum(math.exp(_log_probability(k, samples, share)) for k in terms)
    return min(1.0, total if high_side else 1.0 - total)


def _log_probability(count: int, samples: int, share: float) -> float:
    choices = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
    return choices + count * math.log(share) + (samples - count) * math.log1p(-share)


def samples_to_show_share(limit: float, confidence: float = CONFIDENCE) -> int | None:
    """Return the fewest samples that show a share of at least `limit` when all are right; None for a limit of 1."""
    if limit >= 1.0:
        return None
    return max(1, math.ceil(two_sided_z(confidence) ** 2 * limit / (1 - limit)))


def samples_to_show_drop(lost: int, gained: int, samples: int, limit: float, confidence: float = CONFIDENCE) -> int:
    """Return about how many samples give a paired interval whose half width is `limit`, at these discordant shares."""
    z = two_sided_z(confidence)
    by_zero = z * z * (1 - limit) / limit  # without any discordant pair
    by_pairs = z * z * ((lost + gained) / samples - ((lost - gained) / samples) ** 2) / (limit * limit)
    return math.ceil(max(by_zero, by_pairs))


def show_share(share: float, half_width: float | None, mark: str = "+-") -> str:
    """Return a share in percent with its margin, in decimals that the margin gives a meaning: `93.2 % (+-1.1)`."""
    if half_width is None:
        return f"{100 * share:.2f} %"
    digits = margin_digits(half_width)
    return f"{100 * share:.{digits}f} % ({mark}{100 * half_width:.{digits}f})"


def margin_digits(half_width: float) -> int:
    """Return how many decimals of a percentage a margin gives a meaning: two figures of the margin, one at least."""
    points = 100 * half_width
    return 1 if points >= 0.95 else 2 if points >= 0.095 else 3
