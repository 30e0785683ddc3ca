"""The statistics against published and hand-computed values, and against scipy where it is installed."""

import math

import pytest

from chimed.evaluate.statistics import detectable_gain, holm, least_gain, mcnemar, power, wilson


@pytest.mark.parametrize(
    ("correct", "questions", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(correct: int, questions: int, low: float, high: float) -> None:
    assert wilson(correct, questions) == pytest.approx((low, high), abs=5e-5)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(6, 0) == pytest.approx(2 / 2**6)
    assert mcnemar(1, 8) == mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(4, 4) == 1


def test_holm_by_hand() -> None:
    # Holm's steps: 4 x 0.005, 3 x 0.01, 2 x 0.03, and what comes after is never smaller
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for correct, questions in ((85, 176), (167, 273), (49, 49), (0, 3)):
        theirs = stats.binomtest(correct, questions).proportion_ci(method="wilson")
        assert wilson(correct, questions) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    for gained, lost in ((3, 1), (20, 7), (0, 9), (50, 61)):
        assert mcnemar(gained, lost) == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)
    ps = [0.001, 0.2, 0.013, 0.04]
    assert max(holm(ps)) == pytest.approx(0.2)
    # power, the long way round: every split of the changed questions
    questions, gain, changed = 30, 0.3, 0.4
    slow = sum(
        stats.binom.pmf(d, questions, changed) * stats.binom.pmf(k, d, (changed + gain) / 2 / changed)
        for d in range(1, questions + 1)
        for k in range(d + 1)
        if stats.binomtest(k, d).pvalue < 0.05
    )
    assert power(questions, gain, changed) == pytest.approx(slow, abs=1e-7)


def test_six_questions_are_the_least_that_can_be_significant() -> None:
    assert least_gain() == 6


def test_power_grows_with_the_gain_and_keeps_the_level() -> None:
    assert power(176, 0.0, 0.2) < 0.05
    powers = [power(176, gain, 0.2) for gain in (0.02, 0.05, 0.1, 0.15)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99


@pytest.mark.parametrize(("questions", "changed"), [(49, 5), (176, 5), (273, 3), (176, 40)])
def test_the_gain_that_could_be_shown_is_the_smallest(questions: int, changed: int) -> None:
    gain = detectable_gain(questions, changed)
    assert gain is not None
    assert power(questions, gain / questions, max(gain, changed) / questions) >= 0.8
    less = gain - 1
    assert power(questions, less / questions, max(less, changed) / questions) < 0.8


def test_too_few_questions_show_nothing() -> None:
    assert detectable_gain(5, 2) is None
    assert detectable_gain(6, 0) == 6
    assert math.isclose(power(6, 1.0, 1.0), 1.0)
