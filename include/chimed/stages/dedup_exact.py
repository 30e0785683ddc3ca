"""dedup, step 2, once: drop exact duplicates, and rank the other rows in the order of preference.

Of rows with the same URL (paper §3.2) the newest fetch is kept. Of rows with the same text, whose titles do not name
different herbs or medicines, the adopted answer is kept, then the longest, then the oldest, then the first by source
and id, whatever the order and the parts in which the rows come. Memory: some hundred bytes a row.

The step writes `copies` (the dropped rows), `order` (the other rows by preference, and the position of their letters)
and `ranks` (each row's rank in that order, a row group for each part; null for a row that was dropped, or is too short
to be compared).
"""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.ledger import LedgerError
from chimed.build.steps import Corpus, read_whole, write_groups
from chimed.stages.dedup_sign import LEAST, rows_of
from chimed.storage import lake as lakes

SAME_URL, SAME_TEXT = "same URL, older fetch", "same text"
_COLUMNS = ["number", "url", "page", "fetched", "published", "adopted", "rank", "text", "length", "named"]
_LETTERS = ["start", "first", "second"]

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
    rows = _rows(work, corpus, _COLUMNS).with_row_index("row")
    copies = same_url(rows)
    rest = by_preference(rows.join(copies, on="row", how="anti"))
    del rows
    copies = pl.concat([copies, same_text(rest)])
    rest = rest.join(copies, on="row", how="anti", maintain_order="left")
    if rest["number"].n_unique() != len(rest):
        raise LedgerError(f"dedup: {len(rest) - rest['number'].n_unique()} ids are kept twice")
    rest = rest.filter(pl.col("length") >= LEAST).select("row", pl.col("named").fill_null(0))
    write_groups(work.lake, corpus.path("exact", "copies.parquet"), [copies], COPIES)
    # the inverse of `order`: the rank of each row of the table; `len(rest)`, which is no rank, becomes null
    ranks = np.full(sum(corpus.rows), len(rest), np.uint32)
    ranks[rest["row"].to_numpy()] = np.arange(len(rest), dtype=np.uint32)
    shown = pl.Series("rank", ranks).to_frame().select(pl.when(pl.col("rank") < len(rest)).then("rank"))
    parts = zip(corpus.starts, corpus.rows, strict=False)
    write_groups(work.lake, corpus.path("exact", "ranks.parquet"), (shown.slice(*part) for part in parts), RANKS)
    letters = _rows(work, corpus, _LETTERS)[rest["row"]]
    with lakes.table_writer(work.lake, corpus.path("exact", "order.parquet"), ORDER) as write:
        write(pl.concat([rest, letters], how="horizontal"))
    same = copies.filter(pl.col("reason") == SAME_URL)
    return {SAME_URL: len(same), SAME_TEXT: len(copies) - len(same), "rows": sum(corpus.rows), "compared": len(rest)}


def _rows(work: StageContext, corpus: Corpus, columns: list[str]) -> pl.DataFrame:
    return pl.concat(
        [read_whole(work.lake, rows_of(corpus, part), columns) for part in range(len(corpus.rows))], rechunk=True
    )


def by_preference(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows by preference: adopted answers first, then the longest, the oldest, the paper's order of sources, id.

    The id makes the order total, so that the same rows are kept however they were split into parts.
    """
    return rows.sort(
        "adopted", "length", "published", "fetched", "rank", "number",
        descending=[True, True, False, False, False, False], nulls_last=True,
    )  # fmt: skip


def same_url(rows: pl.DataFrame) -> pl.DataFrame:
    """Find rows of a page that was fetched again later, changed or not: row, of (a row that is kept), reason."""
    newest = rows.sort("fetched", "page", "number", descending=[True, False, False]).unique(
        "url", keep="first", maintain_order=True
    )
    joined = rows.join(newest.select("url", newest="page", of="row"), on="url", maintain_order="left")
    older = joined.filter(pl.col("page") != pl.col("newest"))
    return older.select("row", "of", reason=pl.lit(SAME_URL))


def same_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Find rows with the same letters and signs as a row before them: row, of (the first such row), reason.

    The titles of both must name the same herb or medicine, or none.
    """
    marked = rows.with_columns(of=pl.col("row").first().over("text", "named"))
    copies = marked.filter((pl.col("row") != pl.col("of")) & (pl.col("length") > 0))
    return copies.select("row", "of", reason=pl.lit(SAME_TEXT))
