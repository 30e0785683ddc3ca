"""dedup, step 2, once: drop exact duplicates, and rank the other rows in the order of preference.

Of rows with the same URL (paper §3.2) the newest fetch is kept. Of rows with the same text, whose titles do not name
different herbs or medicines, the adopted answer is kept, then the longest, then the oldest, then the first by source
and id, whatever the order and the parts in which the rows come.

Rows are compared in ranges: of URLs, then of texts, then of the order of preference, so that what is held is the rows
of one range and some five bytes for each row of the corpus. Each range reads all parts anew and keeps what is its own.

The step writes `copies` (the dropped rows), `order` (the other rows by preference, and the position of their letters)
and `ranks` (each row's rank in that order, a row group for each part; null for a row that was dropped, or is too short
to be compared).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.ledger import LedgerError
from chimed.build.steps import Corpus, read_whole, write_groups
from chimed.stages.dedup_sign import LEAST, rows_of
from chimed.storage import lake as lakes
from chimed.text.duplicates import minhash

SAME_URL, SAME_TEXT = "same URL, older fetch", "same text"
ROWS_AT_ONCE = 500_000  # of a range: some 300 bytes each while they are sorted
MOST_RANGES = 24  # each reads a few columns of the whole corpus; from 12 M rows on ranges grow instead
SAMPLED = 100_000  # rows that tell where to divide the order of preference

# the order of preference; the id makes it total, so that the same rows are kept however they were split into parts
_PREFERENCE = {"adopted": True, "length": True, "published": False, "fetched": False, "rank": False, "number": False}

# row, of: numbers in the whole table, of a row that leaves and of the one that it copies
COPIES = pa.schema(
    [pa.field("row", pa.uint32(), False), pa.field("of", pa.uint32(), False), pa.field("reason", pa.string(), False)]
)
ORDER = pa.schema(
    [
        pa.field("row", pa.uint32(), False),
        pa.field("start", pa.uint64(), False),
        pa.field("first", pa.uint32(), False),
        pa.field("second", pa.uint32(), False),
        # hash of what a document's title names; 0: nothing
        pa.field("named", pa.uint64(), False),
    ]
)
RANKS = pa.schema([pa.field("rank", pa.uint32())])


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Drop exact duplicates and rank the other rows by preference. Raises LedgerError if an id would be kept twice."""
    count = sum(corpus.rows)
    ranges = max(1, min(-(-count // ROWS_AT_ONCE), MOST_RANGES))
    gone = np.zeros(count, bool)  # rows that were found to be copies
    of_url = list(_copies(work, corpus, ranges, gone, "url", ["url", "page", "fetched", "number"], same_url))
    of_text = list(_copies(work, corpus, ranges, gone, "text", ["text", "named", *_PREFERENCE], same_text))
    write_groups(work.lake, corpus.path("exact", "copies.parquet"), [*of_url, *of_text], COPIES)
    twice = sum(len(rows) - rows["number"].n_unique() for rows in _by_hash(work, corpus, ranges, gone, "number", []))
    if twice:
        raise LedgerError(f"dedup: {twice} ids are kept twice")
    ranks, compared = _ranked(work, corpus, ranges, gone)
    parts = zip(corpus.starts, corpus.rows, strict=False)
    shown = (_nulls_for_none(ranks[start : start + rows]) for start, rows in parts)
    write_groups(work.lake, corpus.path("exact", "ranks.parquet"), shown, RANKS)
    found = {SAME_URL: sum(map(len, of_url)), SAME_TEXT: sum(map(len, of_text))}
    return found | {"rows": count, "compared": compared}


# --- which rows are copies ----------------------------------------------------------------------------------------


def _copies(
    work: StageContext,
    corpus: Corpus,
    ranges: int,
    gone: np.ndarray,
    key: str,
    columns: list[str],
    find: Callable[[pl.DataFrame], pl.DataFrame],
) -> Iterator[pl.DataFrame]:
    """Yield the copies among the rows that are not `gone`, a range of a hash at a time, and note them there."""
    for rows in _by_hash(work, corpus, ranges, gone, key, columns):
        copies = find(rows)
        gone[copies["row"].to_numpy()] = True
        yield copies


def same_url(rows: pl.DataFrame) -> pl.DataFrame:
    """Find rows of a page that was fetched again later, changed or not: row, of (a row that is kept), reason."""
    newest = rows.sort("fetched", "page", "number", descending=[True, False, False]).unique(
        "url", keep="first", maintain_order=True
    )
    joined = rows.join(newest.select("url", newest="page", of="row"), on="url", maintain_order="left")
    older = joined.filter(pl.col("page") != pl.col("newest"))
    return older.select("row", "of", reason=pl.lit(SAME_URL))


def same_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Find rows with the same letters and signs as a preferred row: row, of (the row that is kept), reason.

    The titles of both must name the same herb or medicine, or none.
    """
    marked = by_preference(rows.filter(pl.col("length") > 0))
    marked = marked.with_columns(of=pl.col("row").first().over("text", "named"))
    return marked.filter(pl.col("row") != pl.col("of")).select("row", "of", reason=pl.lit(SAME_TEXT))


# --- the order of preference --------------------------------------------------------------------------------------


def by_preference(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows by preference: adopted answers, then the longest, the oldest, the paper's order of sources, the id."""
    return rows.sort(*_PREFERENCE, descending=list(_PREFERENCE.values()), nulls_last=True)


def _ranked(work: StageContext, corpus: Corpus, ranges: int, gone: np.ndarray) -> tuple[np.ndarray, int]:
    """Write `order`, a range at a time. Returns each row's rank (the largest number: none), and how many have one."""
    ranks, compared = np.full(len(gone), _NONE, np.uint32), 0
    bounds = _bounds(work, corpus, ranges)
    columns = [*_PREFERENCE, "start", "first", "second", "named"]
    with lakes.table_writer(work.lake, corpus.path("exact", "order.parquet"), ORDER) as write:
        for number in range(ranges):

            def is_here(rows: pl.DataFrame, number: int = number) -> np.ndarray:
                places = rows.select(_place()).to_series().to_numpy()
                here = np.searchsorted(bounds, places, side="right") == number
                return here & (rows["length"].to_numpy() >= LEAST)

            rows = by_preference(_rows(work, corpus, gone, columns, is_here))
            ranks[rows["row"].to_numpy()] = np.arange(compared, compared + len(rows), dtype=np.uint32)
            compared += len(rows)
            write(rows.select(pl.col(name).fill_null(0) for name in ORDER.names))
    return ranks, compared


_NONE = np.uint32(2**32 - 1)


def _nulls_for_none(ranks: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"rank": ranks}).select(pl.when(pl.col("rank") != _NONE).then("rank"))


def _place() -> pl.Expr:
    """Return a number that grows along the order of preference: of its first three columns, so many rows share one."""
    day = (pl.col("published").cast(pl.Int64) + 2**23).clip(0, 2**24 - 1).fill_null(2**24 - 1)
    shorter = (2**32 - 1 - pl.col("length").cast(pl.Int64)) * 2**24
    return ((~pl.col("adopted")).cast(pl.Int64) * 2**56 + shorter + day).alias("place")


def _bounds(work: StageContext, corpus: Corpus, ranges: int) -> np.ndarray:
    """Return where the order of preference is divided, by a sample of the rows: about as many rows to a range."""
    if ranges == 1:
        return np.empty(0, np.int64)
    every = max(1, sum(corpus.rows) // SAMPLED)
    columns = ["adopted", "length", "published"]
    parts = (read_whole(work.lake, rows_of(corpus, part), columns) for part in range(len(corpus.rows)))
    places = np.sort(np.concatenate([rows.gather_every(every).select(_place()).to_series() for rows in parts]))
    return places[[len(places) * number // ranges for number in range(1, ranges)]]


# --- reading ------------------------------------------------------------------------------------------------------


def _by_hash(
    work: StageContext, corpus: Corpus, ranges: int, gone: np.ndarray, key: str, columns: list[str]
) -> Iterator[pl.DataFrame]:
    """Yield the rows that are not `gone`, a range of a column of hashes at a time: the column, `columns`, row."""
    wanted = list(dict.fromkeys([key, *columns]))
    for number in range(ranges):

        def is_here(rows: pl.DataFrame, number: int = number) -> np.ndarray:
            return minhash.range_of(rows[key].to_numpy(), ranges) == number

        yield _rows(work, corpus, gone, wanted, is_here)


def _rows(
    work: StageContext,
    corpus: Corpus,
    gone: np.ndarray,
    columns: list[str],
    wanted: Callable[[pl.DataFrame], np.ndarray],
) -> pl.DataFrame:
    """Read the wanted rows of all parts that are not `gone`: columns, and row, the number in the whole table."""
    found = []
    for part, start in zip(range(len(corpus.rows)), corpus.starts, strict=False):
        rows = read_whole(work.lake, rows_of(corpus, part), columns).with_row_index("row", offset=start)
        here = wanted(rows) & ~gone[start : start + len(rows)]
        found.append(rows if here.all() else rows.filter(pl.Series(here)))
    return pl.concat(found, rechunk=True)
