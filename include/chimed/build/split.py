"""A part of a table that is split by the rows that leave."""

import polars as pl

from chimed.build.ledger import LedgerError, Outcome
from chimed.schema import DROPPED_COLUMNS

LEFT = pl.Schema({"row": pl.UInt32, "fate": pl.String, "reason": pl.String, "detail": pl.String})


def left(rows: pl.Series, reason: str, detail: pl.Series | None = None) -> pl.DataFrame:
    """Rows that are dropped for one reason (`LEFT`)."""
    frame = rows.cast(pl.UInt32).alias("row").to_frame()
    detail = pl.Series([None] * len(rows), dtype=pl.String) if detail is None else detail
    return frame.with_columns(fate=pl.lit("dropped"), reason=pl.lit(reason), detail=detail).select(LEFT.names())


def split(records: pl.DataFrame, gone: pl.DataFrame, figures: dict) -> Outcome:
    """A part without the rows that leave (`LEFT`). Raises LedgerError where a verdict is on no row, or two on one."""
    if gone["row"].n_unique() != len(gone) or (gone["row"] >= len(records)).any():
        raise LedgerError(f"{len(gone)} rows leave, some of them twice or none of the {len(records)} rows read")
    numbered = records.with_row_index("row")
    dropped = numbered.join(gone, on="row", how="inner", maintain_order="left")
    kept = numbered.join(gone, on="row", how="anti", maintain_order="left")
    return Outcome(kept.drop("row"), dropped.select(DROPPED_COLUMNS.names()), figures=figures)
