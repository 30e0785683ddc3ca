"""Count the pairs of letters in texts, weigh them, and reduce them to a few numbers a row. Ours.

Numbers of a row depend on that row alone, to the last bit: every sum over a row runs in the order of its features, and
coordinates are rounded to whole numbers, so that later products are exact in any order. A row has the same cluster in
whatever part, batch or machine it is read.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BITS = 16  # 65,536 hashed pairs of letters; with four times as many, departments come out no better
READ = 2_000  # characters of a title, a text, a question, an answer that are read: a huge row costs no more
AXES = 64  # numbers of a row; with 128 departments come out no better
STEPS = 4096  # to which a coordinate between -1 and 1 is rounded
_LAST_POINT = 0x110000
_LOGS = np.log1p(np.arange(256))  # a table: a logarithm may differ in its last bit by its place in an array


def topic() -> pl.Expr:
    """Return an expression for what a row is about: title and question, or title and text, the beginning of each.

    Answers are left out where there is a question: many sites' doctors answer everything with the same sentences.
    """
    said = pl.coalesce("question", "text", "answer")
    both = (pl.col("title").str.slice(0, READ), said.str.slice(0, READ))
    return pl.concat_str(*both, separator="\n", ignore_nulls=True).fill_null("")


def count_pairs(texts: pl.Series) -> "csr_matrix":
    """Return how often each hashed pair of letters or digits occurs in each text (no nulls), in any case."""
    from scipy.sparse import csr_matrix  # here, not above: it takes long to load

    lower = texts.str.to_lowercase()
    lengths = lower.str.len_chars().to_numpy().astype(np.int64)
    points = np.frombuffer("".join(lower.to_list()).encode("utf-32-le"), np.uint32)
    ends = np.cumsum(lengths)
    is_letter = _letters()[points]
    pairs = is_letter[:-1] & is_letter[1:]
    inner = ends[:-1]
    pairs[inner[(inner > 0) & (inner < len(points))] - 1] = False  # the last letter of a text and the first of the next
    at = np.flatnonzero(pairs)
    mixed = points[at].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ points[at + 1].astype(np.uint64)
    mixed = mixed * np.uint64(0xD6E8FEB86659FD93)
    hashed = (mixed >> np.uint64(64 - BITS)).astype(np.int32)
    bounds = np.searchsorted(at, np.concatenate([np.zeros(1, np.int64), ends]))
    found = csr_matrix((np.ones(len(at)), hashed, bounds), shape=(len(texts), 1 << BITS))
    found.sum_duplicates()
    return found


@cache
def _letters() -> np.ndarray:
    return np.array([chr(code).isalnum() for code in range(_LAST_POINT)])


def rarity(counts: "csr_matrix") -> np.ndarray:
    """Return how much each pair tells: the logarithm of all texts over those that have it (inverse document frequency).

    A pair that no text has tells as much as one of a single text.
    """
    has = np.bincount(counts.indices, minlength=counts.shape[1])
    found: np.ndarray = np.log((1 + counts.shape[0]) / (1 + np.maximum(has, 1)))
    return found.astype(np.float32).astype(np.float64)  # as it is stored


def weigh(counts: "csr_matrix", rare: np.ndarray) -> "csr_matrix":
    """Return counts as vectors of length 1 (TF-IDF); a text without a pair that tells anything stays empty."""
    found = counts.copy()
    found.data = _LOGS[np.minimum(counts.data, 255).astype(np.int64)] * rare[counts.indices]
    squares = found.multiply(found).tocsr() @ np.ones(found.shape[1])
    lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
    found.data /= np.repeat(lengths, np.diff(found.indptr))
    return found


def place(weighed: "csr_matrix", axes: np.ndarray) -> np.ndarray:
    """Return the coordinates of rows on axes (features, `AXES`): whole numbers, vectors of length `STEPS`, about."""
    found = weighed @ axes
    squares = np.zeros(len(found))
    for column in found.T:  # one after the other: a sum whose order depends on nothing
        squares += column * column
    lengths = np.sqrt(np.where(squares > 1e-12, squares, 1.0))
    rounded: np.ndarray = np.rint(found / lengths[:, None] * STEPS)
    return rounded
