"""The statistics against published and hand-computed values, and against scipy where it is installed."""

import math

import pytest

from chimed.intervals import detectable_gain, holm, least_gain, mcnemar, newcombe, power, wilson


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


def test_the_interval_of_a_paired_difference_is_newcombes() -> None:
    """Method 10 step by step, with Wilson's intervals from scipy."""
    stats = pytest.importorskip("scipy.stats")
    for both, gained, lost, neither in (
        (20, 12, 2, 16),
        (85, 5, 0, 86),
        (36, 0, 0, 14),
        (0, 3, 1, 26),
        (243, 9, 11, 10),
    ):
        n = both + gained + lost + neither
        (l2, u2), (l1, u1) = (
            stats.binomtest(right, n).proportion_ci(method="wilson") for right in (both + gained, both + lost)
        )
        p2, p1 = (both + gained) / n, (both + lost) / n
        margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
        top = both * neither - gained * lost
        phi = (max(top - n / 2, 0) if top > 0 else top) / math.sqrt(margins) if margins else 0
        d1, e1, d2, e2 = p2 - l2, u2 - p2, p1 - l1, u1 - p1
        low = p2 - p1 - math.sqrt(d1**2 - 2 * phi * d1 * e2 + e2**2)
        high = p2 - p1 + math.sqrt(e1**2 - 2 * phi * e1 * d2 + d2**2)
        assert newcombe(both, gained, lost, neither) == pytest.approx((low, high), abs=1e-12)


def test_paired_intervals_keep_their_level() -> None:
    """Exactly, over every outcome: the true difference lies within it about 95 times in a hundred."""
    n, shares = 40, (0.5, 0.2, 0.1, 0.2)  # both, gained, lost, neither
    inside = 0.0
    for both in range(n + 1):
        for gained in range(n + 1 - both):
            for lost in range(n + 1 - both - gained):
                counts = (both, gained, lost, n - both - gained - lost)
                chance = math.exp(
                    math.lgamma(n + 1)
                    + sum(k * math.log(p) - math.lgamma(k + 1) for k, p in zip(counts, shares, strict=True))
                )
                low, high = newcombe(*counts)
                inside += chance * (low <= 0.1 <= high)
    assert 0.94 < inside < 0.98


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


def test_against_statsmodels() -> None:
    """Wilson, McNemar, Holm as statsmodels has them, over a grid; the reference is theirs, not ours again."""
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    multiple = pytest.importorskip("statsmodels.stats.multitest")
    for questions in (7, 49, 176, 273, 498):
        for correct in {0, 1, questions // 3, questions - 1, questions}:
            theirs = proportion.proportion_confint(correct, questions, method="wilson")
            assert wilson(correct, questions) == pytest.approx(theirs, abs=1e-12)
            theirs = proportion.proportion_confint(correct, questions, alpha=0.1, method="wilson")
            assert wilson(correct, questions, 0.9) == pytest.approx(theirs, abs=1e-12)
    for gained in range(0, 30, 3):
        for lost in range(0, 20, 2):
            theirs = tables.mcnemar([[40, lost], [gained, 30]], exact=True).pvalue
            assert mcnemar(gained, lost) == pytest.approx(theirs, abs=1e-12)
    ps = [0.0004, 0.31, 0.013, 0.04, 0.013, 0.9, 0.0499]
    for many in range(1, len(ps) + 1):
        assert holm(ps[:many]) == pytest.approx(multiple.multipletests(ps[:many], method="holm")[1].tolist())


def test_significance_needs_six_questions() -> None:
    assert least_gain() == 6


def test_power_grows_with_the_gain() -> None:
    assert power(176, 0.0, 0.2) < 0.05
    powers = [power(176, gain, 0.2) for gain in (0.02, 0.05, 0.1, 0.15)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99


@pytest.mark.parametrize(("questions", "changed"), [(49, 5), (176, 5), (273, 3), (176, 40)])
def test_the_detectable_gain_is_the_smallest(questions: int, changed: int) -> None:
    gain = detectable_gain(questions, changed)
    assert gain is not None
    assert power(questions, gain / questions, max(gain, changed) / questions) >= 0.8
    less = gain - 1
    assert power(questions, less / questions, max(less, changed) / questions) < 0.8


def test_too_few_questions_show_nothing() -> None:
    assert detectable_gain(5, 2) is None
    assert detectable_gain(6, 0) == 6
    assert math.isclose(power(6, 1.0, 1.0), 1.0)
