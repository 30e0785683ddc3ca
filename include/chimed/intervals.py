"""Compute intervals, a paired test, a correction for many tests, and power for exam results.

Both models answer the same questions, so their answers are paired (Miller 2024, arXiv 2411.00640), and only questions
whose result changed carry information. All tests are exact, because the exams are small.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

ALPHA = 0.05
POWER = 0.8


def wilson(correct: int, questions: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001).

    The plain normal interval has no width at 0 or 100 %, and on small exams covers too rarely; this one does not.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / questions
    middle = share + z * z / (2 * questions)
    half = z * math.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2))
    scale = 1 + z * z / questions
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def mcnemar(gained: int, lost: int) -> float:
    """Return McNemar's exact two-sided p: the chance that a fair coin splits the changed questions this unevenly."""
    changed = gained + lost
    tail = sum(math.comb(changed, count) for count in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)


def newcombe(both: int, gained: int, lost: int, neither: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Newcombe's interval of a paired difference, after minus before.

    From Newcombe 1998, Statistics in Medicine 17:2635, method 10. both: questions right before and after; gained: right
    only after; lost: right only before; neither: wrong in both. The method combines Wilson's intervals of both
    proportions by their correlation, which it corrects for continuity.
    """
    questions = both + gained + lost + neither
    after, before = both + gained, both + lost
    (low_after, high_after), (low_before, high_before) = (
        wilson(after, questions, confidence),
        wilson(before, questions, confidence),
    )
    spread = math.sqrt(after * (questions - after) * before * (questions - before))
    cross = float(both * neither - gained * lost)
    if cross > 0:
        cross = max(cross - questions / 2, 0.0)
    correlation = cross / spread if spread else 0.0
    p, q = after / questions, before / questions

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))

    return p - q - reach(p - low_after, high_before - q), p - q + reach(high_after - p, q - low_before)


def bonett_price(won: int, lost: int, pairs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a paired difference, share won minus share lost; a tie is neither.

    From Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37:479: Wald's interval with one pair
    added to each side. It needs no more than wins, losses and pairs.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    up, down = (won + 1) / (pairs + 2), (lost + 1) / (pairs + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (pairs + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's (1979) adjusted p values, in the order given."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def least_gain(alpha: float = ALPHA) -> int:
    """Return the smallest number of gained questions that can be significant if none is lost."""
    return next(count for count in range(1, 1000) if mcnemar(count, 0) < alpha)


def power(questions: int, gain: float, changed: float, alpha: float = ALPHA) -> float:
    """Return the probability that the exact test detects a true gain.

    gain: share of questions won minus share lost. changed: share won plus share lost; at least `gain`.
    """
    won = (changed + gain) / 2 / changed
    return sum(
        chance * sum(p for count, p in _binomial(discordant, won) if mcnemar(count, discordant - count) < alpha)
        for discordant, chance in _binomial(questions, changed)
        if chance > 1e-9
    )


@lru_cache(maxsize=4096)
def _binomial(trials: int, share: float) -> list[tuple[int, float]]:
    """Return (successes, probability) for every number of successes.

    Computed from logarithms, since the binomial coefficients of a large exam do not fit a float.
    """
    if share >= 1:
        return [(trials, 1.0)]
    if share <= 0:
        return [(0, 1.0)]
    head, tail = math.log(share), math.log1p(-share)
    whole = math.lgamma(trials + 1)
    return [
        (k, math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * head + (trials - k) * tail))
        for k in range(trials + 1)
    ]


def detectable_gain(questions: int, changed: int, alpha: float = ALPHA, wanted: float = POWER) -> int | None:
    """Return the smallest true gain, in questions, that this exam detects with the wanted power; None if it detects
    none.

    changed: how many questions the two models answer differently. A gain larger than that changes as many.
    """
    low, high = least_gain(alpha), questions
    if high < low or power(questions, 1.0, 1.0, alpha) < wanted:
        return None

    def shown(gain: int) -> bool:
        return power(questions, gain / questions, max(changed, gain) / questions, alpha) >= wanted

    while low < high:  # power grows with the gain
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle + 1, high)
    return low
