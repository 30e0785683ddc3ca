"""dedup, step 3, for each range of keys: pair the rows that share a band of their signatures, so may be similar.

A bucket is the rows of one key. Each row is paired with the preferred row of its bucket, and with the row before it.
Where a bucket holds many variants of one text, neither of the two may be the text that a row duplicates; so the rows of
a bucket that state the same facts (`hash_facts`) form a bucket of their own. The step writes `pairs-<range>`, with a
row group for each range of second rows.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_group, report_of, write_groups
from chimed.stages.dedup_sign import bands_of, rows_of
from chimed.text.duplicates import minhash
from chimed.text.duplicates.shingles import distinct

PAIRS = pa.schema([pa.field("pair", pa.uint64(), False)])  # two ranks, the smaller above
_ODD = np.uint64(0x9E3779B97F4A7C15)


def run(work: StageContext, corpus: Corpus, number: int) -> dict[str, Any]:
    """Pair the rows that share a key, in one range of keys."""
    frames = [_entries(work, corpus, part, number) for part in range(len(corpus.rows))]
    keys, ranks, tells = (np.concatenate(columns) for columns in zip(*frames, strict=True))
    entries = len(keys)
    shared = _in_company(keys)
    keys, ranks, tells = keys[shared], ranks[shared].astype(np.uint64), tells[shared]
    # Key and facts combine into one number, so that the same code finds the smaller buckets. Multiplying by an odd
    # number is a bijection modulo 2**64: facts that differ stay different.
    found = [minhash.alike(keys, ranks), minhash.alike(keys ^ (tells * _ODD), ranks)]
    pairs = distinct(np.concatenate(found))
    write_groups(work.lake, pairs_of(corpus, number), _by_second(pairs, compared(work, corpus), corpus.ranges), PAIRS)
    return {"entries": entries, "pairs": len(pairs)}


def pairs_of(corpus: Corpus, number: int) -> str:
    """Return the path of the pairs of a range of keys."""
    return corpus.path("bucket", f"pairs-{number:05d}.parquet")


def compared(work: StageContext, corpus: Corpus) -> int:
    """Return how many rows are compared: ranks run from 0 up to this number."""
    return (report_of(work, corpus, "exact", 0) or {})["figures"]["compared"]


def _entries(work: StageContext, corpus: Corpus, part: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the keys of a part in a range, with the ranks and facts of their rows; dropped rows are left out."""
    found = read_group(work.lake, bands_of(corpus, part), number)
    rows = found["row"].to_numpy()
    ranks = read_group(work.lake, corpus.path("exact", "ranks.parquet"), part)["rank"]
    tells = read_group(work.lake, rows_of(corpus, part), 0, ["tells"])["tells"].to_numpy()
    there = ranks.is_not_null().to_numpy()[rows]
    rows = rows[there]
    return found["key"].to_numpy()[there], ranks.fill_null(0).to_numpy()[rows], tells[rows]


def _in_company(keys: np.ndarray) -> np.ndarray:
    """Return the positions of keys that occur more than once.

    Most keys occur once. Removing them first keeps the sorts of `minhash.alike`, by two columns, small.
    """
    order = np.argsort(keys)
    same = keys[order[1:]] == keys[order[:-1]]
    shared = np.zeros(len(keys), bool)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    return np.flatnonzero(shared)


def _by_second(pairs: np.ndarray, ranks: int, ranges: int) -> Iterator[pl.DataFrame]:
    """Yield the pairs as frames (`PAIRS`), one for each range of ranks of the second row."""
    # the second, larger rank is the lower half of a pair
    second = pairs & np.uint64(2**32 - 1)
    within = (second * np.uint64(ranges) // np.uint64(max(1, ranks))).astype(np.uint16)
    order = np.argsort(within, kind="stable")  # stable: the pairs stay sorted within a range
    bounds = np.searchsorted(within[order], np.arange(ranges + 1)).tolist()
    for start, end in pairwise(bounds):
        yield pl.DataFrame({"pair": pairs[order[start:end]]}, schema=pl.Schema(PAIRS))
