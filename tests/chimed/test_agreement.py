"""Quadratic kappa against counts done by hand and against two libraries, and what is said where nothing can be."""

import numpy as np
import polars as pl
import pytest

from chimed.rating.agreement import kappa, measure


def test_kappa_of_four_rows_counted_by_hand():
    # scores 1 and 5 only, three of four alike: agreed 3/4; chance 1/2 · 1/4 + 1/2 · 3/4 = 1/2; (3/4 − 1/2) / (1 − 1/2)
    found = kappa(np.array([1, 1, 5, 5]), np.array([1, 5, 5, 5]))
    assert (found["kappa"], found["of"]) == (0.5, 4)
    assert found["low"] < 0.5 < found["high"]


def test_kappa_of_one_step_apart_counted_by_hand():
    # one pair a step apart costs 1/16 of one; chance: every pair of {1, 1, 2} with {1, 2, 2}, 5 of 9 a step apart
    found = kappa(np.array([1, 1, 2]), np.array([1, 2, 2]))
    observed, expected = 1 - 1 / 3 / 16, 1 - 5 / 9 / 16
    assert found["kappa"] == round((observed - expected) / (1 - expected), 3) == 0.4


@pytest.mark.parametrize("seed", range(8))
def test_kappa_is_that_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    dice = np.random.default_rng(seed)
    one = dice.integers(1, 6, 40 + seed * 30)
    other = np.clip(one + dice.integers(-2, 3, len(one)), 1, 5)
    expected = metrics.cohen_kappa_score(one, other, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert kappa(one, other)["kappa"] == pytest.approx(expected, abs=6e-4)


def test_the_interval_is_that_of_statsmodels():
    rater = pytest.importorskip("statsmodels.stats.inter_rater", reason="statsmodels is in the models' environment")
    dice = np.random.default_rng(3)
    one = dice.integers(1, 6, 150)
    other = np.clip(one + dice.integers(-1, 2, 150), 1, 5)
    table = np.zeros((5, 5))
    np.add.at(table, (one - 1, other - 1), 1)
    expected = rater.cohens_kappa(table, wt="quadratic")
    found = kappa(one, other)
    assert found["kappa"] == pytest.approx(expected.kappa, abs=6e-4)
    assert (found["low"], found["high"]) == pytest.approx((expected.kappa_low, expected.kappa_upp), abs=6e-4)


def test_an_interval_as_statsmodels_gave_it():
    """So that it is also held where statsmodels is not installed."""
    one, other = np.array([1, 2, 3, 4, 5] * 6), np.array([1, 2, 3, 4, 5, 2, 2, 4, 4, 4] * 3)
    found = kappa(one, other)
    assert (found["kappa"], found["low"], found["high"]) == (0.914, 0.863, 0.966)


@pytest.mark.parametrize(
    ("one", "other"), [([], []), ([4, 4, 4], [4, 4, 4])], ids=["no row", "the same one score of every row"]
)
def test_no_kappa_where_chance_explains_all(one, other):
    assert kappa(np.array(one), np.array(other)) == {"kappa": None, "low": None, "high": None, "of": len(one)}


def test_one_who_always_says_the_same_has_no_interval():
    assert kappa(np.array([4, 4, 4]), np.array([3, 4, 5])) == {"kappa": 0.0, "low": None, "high": None, "of": 3}


def test_noise_is_not_called_better_than_a_constant():
    dice = np.random.default_rng(5)
    judged = pl.Series(dice.integers(1, 6, 200).astype(float))
    noise, good = pl.Series(dice.uniform(1, 5, 200)), judged * 0.7 + 0.9
    assert not measure(judged, noise)["better"]
    assert abs(measure(judged, noise)["kappa"]) < 0.2
    told = measure(judged, good)
    assert told["better"]
    assert told["spearman"] == 1.0
    assert told["error"] < told["constant_error"]
    assert not measure(pl.Series([4.0] * 9), pl.Series([4.0] * 9))["better"]


@pytest.mark.parametrize(
    ("judged", "predicted", "of", "left_out"),
    [
        ([], [], 0, 0),
        ([None], [3.0], 0, 1),
        ([float("nan")] * 3, [1.0, 2.0, 3.0], 0, 3),
        ([1.0, 2.0, 5.0], [1.2, float("nan"), 4.4], 2, 1),
        ([1.0, 2.0, 5.0], [None, float("inf"), 4.4], 1, 2),
        ([3.0] * 4, [3.0] * 4, 4, 0),
        ([3.0] * 4, [2.0, 3.0, 4.0, 5.0], 4, 0),
        ([1.0, 2.0, 4.0, 5.0], [3.0] * 4, 4, 0),
        ([4.0], [2.0], 1, 0),
    ],
    ids=["empty", "null", "all NaN", "one NaN", "infinite", "one class", "constant judge", "constant guess", "one row"],
)
def test_rows_without_a_score_are_left_out(judged, predicted, of, left_out):
    found = measure(pl.Series(judged, dtype=pl.Float64), pl.Series(predicted, dtype=pl.Float64))
    assert (found["of"], found["left_out"]) == (of, left_out)
    assert (found["error"] is None) == (of == 0)
    assert found["kappa"] is None or -1 <= found["kappa"] <= 1
    assert all(value is None or np.isfinite(value) for value in found.values())


@pytest.mark.parametrize(("one", "other"), [([0], [3]), ([3], [6]), ([2.5], [3]), ([np.inf], [3]), ([1, 2], [1])])
def test_a_score_outside_the_rubric_is_refused(one, other):
    with pytest.raises(ValueError, match="scores"):
        kappa(np.array(one), np.array(other))
