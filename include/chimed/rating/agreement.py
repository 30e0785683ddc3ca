"""Measure how far two raters agree: quadratic kappa with its interval, rank correlation, errors. Ours.

Kappa is Cohen's (1968) with quadratic weights; its interval is from the large-sample variance of Fleiss, Cohen and
Everitt (1969), as statsmodels computes it.
"""

import math
from typing import Any

import numpy as np
import polars as pl

from chimed.rating.rubric import LEAST, MOST

Z = 1.959964  # of a 95 % interval


def kappa(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Return the quadratic kappa of two raters' whole scores from 1 to 5, with its 95 % interval.

    Keys: kappa, low, high, of (how many rows). The first three are None where both say the same one score of every row,
    so that chance explains everything, or there is no row; the interval alone where one of the two always says the
    same: kappa is then 0 by definition, and nothing can be said of its spread. A row that one of them has no score for
    (NaN) does not count. Raises ValueError for any other score that is not one of the rubric's, and for two raters with
    different numbers of rows.
    """
    one, other = (np.asarray(scores, float) for scores in (one, other))
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"two raters must rate the same rows, and there are {one.size} and {other.size} scores")
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    wrong = [score for score in (*one, *other) if score not in range(LEAST, MOST + 1)]
    if wrong:
        raise ValueError(f"kappa is of whole scores from {LEAST} to {MOST}, and one of these is {wrong[0]:g}")
    size = MOST - LEAST + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (one.astype(int) - LEAST, other.astype(int) - LEAST), 1)
    rows = int(counts.sum())
    unknown = {"kappa": None, "low": None, "high": None, "of": rows}
    if not rows:
        return unknown
    place = np.arange(size)
    weight = 1 - (place[:, None] - place[None, :]) ** 2 / (size - 1) ** 2
    share = counts / rows
    left, right = share.sum(axis=1), share.sum(axis=0)
    agreed, chance = float((weight * share).sum()), float((weight * np.outer(left, right)).sum())
    if math.isclose(chance, 1.0):
        return unknown
    if rows in (counts.sum(axis=0).max(), counts.sum(axis=1).max()):
        return unknown | {"kappa": 0.0}
    found = (agreed - chance) / (1 - chance)
    by_row, by_column = weight @ right, weight.T @ left
    spread = (share * (weight - (by_row[:, None] + by_column[None, :]) * (1 - found)) ** 2).sum()
    variance = max(0.0, float(spread - (found - chance * (1 - found)) ** 2)) / (rows * (1 - chance) ** 2)
    reach = Z * math.sqrt(variance)
    low, high = max(-1.0, found - reach), min(1.0, found + reach)
    return {"kappa": round(found, 3), "low": round(low, 3), "high": round(high, 3), "of": rows}


def measure(judged: pl.Series, predicted: pl.Series) -> dict[str, Any]:
    """Return how well predictions on held-out rows agree with the judge's whole scores.

    Keys: those of `kappa` (of the rounded predictions), left_out (rows without a finite score on either side, which
    count for nothing below), spearman (None where one side never varies), mean_error (mean absolute), error (root of
    the mean square), constant_error (the same of always saying the judge's mean) and better: whether squared errors are
    smaller than the constant's by more than chance (95 %, of the paired differences). Squares, because a cut has to
    find the few bad rows, which the best constant for absolute errors may all miss. Without any row the errors are
    None, and nothing is better.
    """
    columns = {"truth": judged.cast(pl.Float64), "guess": predicted.cast(pl.Float64)}
    given = pl.DataFrame(columns)
    rated = given.filter(pl.all_horizontal(pl.col("truth", "guess").is_finite()))
    truth, guess = rated["truth"].to_numpy(), rated["guess"].to_numpy()
    told = kappa(truth, np.clip(np.floor(guess + 0.5), LEAST, MOST)) | {"left_out": len(given) - len(rated)}
    if not len(rated):
        nothing = dict.fromkeys(("spearman", "mean_error", "error", "constant_error"))
        return {**told, **nothing, "better": False}
    error, constant = (truth - guess) ** 2, (truth - truth.mean()) ** 2
    gain = constant - error
    sure = len(gain) > 1 and gain.mean() - Z * gain.std(ddof=1) / math.sqrt(len(gain)) > 0
    both_vary = rated["truth"].n_unique() > 1 and rated["guess"].n_unique() > 1
    rank = rated.select(pl.corr("truth", "guess", method="spearman")).item() if both_vary else None
    return {
        **told,
        "spearman": None if rank is None or math.isnan(rank) else round(rank, 3),
        "mean_error": round(float(np.abs(truth - guess).mean()), 3),
        "error": round(math.sqrt(error.mean()), 3),
        "constant_error": round(math.sqrt(constant.mean()), 3),
        "better": bool(sure),
    }
