"""A table's rows as they stream by: batches ahead of who uses them, and a part that is split by the rows that leave."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

from chimed.build.ledger import LedgerError, Outcome
from chimed.schema import DROPPED_COLUMNS

MOST_PARTS = 1_000  # a part is a task in Airflow, which maps a task over 1,024 at most ([core] max_map_length)
AT_ONCE = 2  # batches: Polars, Arrow and NumPy leave Python at work, so two threads are worth nearly two cores

LEFT = pl.Schema({"row": pl.UInt32, "fate": pl.String, "reason": pl.String, "detail": pl.String})


Item = TypeVar("Item")
Found = TypeVar("Found")


def ahead(function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """What a function makes of each item, in order; the next `AT_ONCE` are at work while one is used."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting: deque[Future[Found]] = deque()
        for item in items:
            if len(waiting) == AT_ONCE:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()


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
