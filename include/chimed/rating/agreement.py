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
    same: kappa is then 0 by definition, and nothing can be said of its spread.
    """
    size = MOST - LEAST + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (np.asarray(one, int) - LEAST, np.asarray(other, int) - LEAST), 1)
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

    Keys: those of `kappa` (of the rounded predictions), spearman (None where one side never varies), mean_error (mean
    absolute), error (root of the mean square), constant_error (the same of always saying the judge's mean) and better:
    whether squared errors are smaller than the constant's by more than chance (95 %, of the paired differences).
    Squares, because a cut has to find the few bad rows, which the best constant for absolute errors may all miss.
    """
    truth, guess = judged.to_numpy(), predicted.to_numpy()
    error, constant = (truth - guess) ** 2, (truth - truth.mean()) ** 2
    gain = constant - error
    sure = len(gain) > 1 and gain.mean() - Z * gain.std(ddof=1) / math.sqrt(len(gain)) > 0
    both_vary = judged.n_unique() > 1 and predicted.n_unique() > 1
    rank = pl.select(pl.corr(judged, predicted, method="spearman")).item() if both_vary else None
    return {
        **kappa(truth, np.clip(np.floor(guess + 0.5), LEAST, MOST)),
        "spearman": None if rank is None or math.isnan(rank) else round(rank, 3),
        "mean_error": round(float(np.abs(truth - guess).mean()), 3),
        "error": round(math.sqrt(error.mean()), 3),
        "constant_error": round(math.sqrt(constant.mean()), 3),
        "better": bool(sure),
    }
