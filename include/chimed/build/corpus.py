"""Split a corpus that need not fit in memory into kept and dropped rows.

A corpus stage has `select_dropped(parts, work) -> Verdicts`: it names the rows to drop by their number. Splitting,
counting and writing are done here. Memory holds one batch, the rows that wait for their part file, and some bytes a
row.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from chimed.build import ledger
from chimed.build.ledger import LedgerError, Outcome
from chimed.concurrency import MAX_AHEAD
from chimed.schema import DROPPED, DROPPED_COLUMNS, RECORD
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

MAX_PARTS = 256  # each part becomes an Airflow task, and Airflow maps a task at most 1,024 times
WAITING_ROWS = 40_000  # kept rows collected before writing, so that each part file gets thousands at once

LEFT = pl.Schema({"row": pl.UInt32, "fate": pl.String, "reason": pl.String, "detail": pl.String})


@dataclass(frozen=True)
class Parts:
    """A table in part files of a lake, or a frame in memory."""

    lake: Lake | None = None
    paths: tuple[str, ...] = ()
    frame: pl.DataFrame | None = None

    def read(self, columns: list[str]) -> Iterator[pl.DataFrame]:
        """Yield batches of the columns, with `row`, the row's number in the whole table."""
        done = 0
        for batch in self._batches(columns):
            yield batch.with_columns(row=pl.int_range(done, done + len(batch), dtype=pl.UInt32))
            done += len(batch)

    def _batches(self, columns: list[str]) -> Iterator[pl.DataFrame]:
        if self.frame is not None:
            yield self.frame.select(columns)
        for path in self.paths:
            assert self.lake is not None
            yield from lakes.read_batches(self.lake, path, columns, RECORD)


@dataclass(frozen=True)
class Verdicts:
    """left: the rows to drop, each once (`LEFT`). figures: numbers for the report."""

    left: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT))
    figures: Mapping[str, Any] = field(default_factory=dict)


def left(rows: pl.Series, reason: str, detail: pl.Series | None = None) -> pl.DataFrame:
    """Return verdicts (`LEFT`) that drop rows for one reason."""
    frame = rows.cast(pl.UInt32).alias("row").to_frame()
    detail = pl.Series([None] * len(rows), dtype=pl.String) if detail is None else detail
    return frame.with_columns(fate=pl.lit("dropped"), reason=pl.lit(reason), detail=detail).select(LEFT.names())


def split(records: pl.DataFrame, gone: pl.DataFrame, figures: Mapping[str, Any]) -> Outcome:
    """Remove the rows in `gone` (`LEFT`) from a part.

    Raises LedgerError where a verdict names a row that does not exist, or two verdicts name the same row.
    """
    if gone["row"].n_unique() != len(gone) or (gone["row"] >= len(records)).any():
        raise LedgerError(f"{len(gone)} rows leave, some of them twice or none of the {len(records)} rows read")
    numbered = records.with_row_index("row")
    dropped = numbered.join(gone, on="row", how="inner", maintain_order="left")
    kept = numbered.join(gone, on="row", how="anti", maintain_order="left")
    return Outcome(kept.drop("row"), dropped.select(DROPPED_COLUMNS.names()), figures=figures)


def write_split(
    lake: Lake,
    folder: str,
    stage: str,
    parts: Parts,
    verdicts: Verdicts,
    part_rows: int,
    told: dict[str, dict[str, Any]] | None = None,
) -> tuple[pl.DataFrame, int]:
    """Write kept rows in part files of about `part_rows` rows, and the dropped ones; return the counts and parts.

    Rows of one page share a part, because `prefer` needs a question's answers together. Rows keep their order. told:
    filled with each file's rows, bytes and hash (`chimed.storage.contents`). Raises LedgerError if a verdict names no
    row, if two name the same row, or if an id is kept twice.
    """
    places, count = _assign_parts(stage, parts, verdicts.left, part_rows)
    counts = []
    waiting: list[pl.DataFrame] = []
    writing: deque[Future[None]] = deque()
    with ExitStack() as files, ThreadPoolExecutor(MAX_AHEAD) as pool:
        kept_files = [
            files.enter_context(lakes.table_writer(lake, f"{folder}/{layout.kept(n)}", RECORD, told))
            for n in range(count)
        ]
        drop = files.enter_context(lakes.table_writer(lake, f"{folder}/dropped-00000.parquet", DROPPED, told))

        def write_waiting() -> None:  # while the next are read, but never two lots of a file at once
            written()
            by_part = pl.concat(waiting).partition_by("part", as_dict=True)
            writing.extend(pool.submit(kept_files[part[0]], rows) for part, rows in by_part.items())
            waiting.clear()

        def written() -> None:
            while writing:
                writing.popleft().result()

        for batch in parts.read(RECORD.names):
            going = batch.join(verdicts.left, on="row", how="inner", maintain_order="left")
            staying = batch.with_columns(places.gather(batch["row"])).filter(pl.col("part").is_not_null())
            counts += [ledger.count_rows(batch, "read"), ledger.count_rows(staying, "kept"), ledger.count_rows(going)]
            if len(going):
                drop(going)
            if len(staying):
                waiting.append(staying)
            if sum(map(len, waiting)) > WAITING_ROWS:
                write_waiting()
        if waiting:
            write_waiting()
        written()
    return ledger.sum_counts(counts), count


def _assign_parts(stage: str, parts: Parts, left: pl.DataFrame, part_rows: int) -> tuple[pl.Series, int]:
    """Return the part of every row (`part`, null if the row is dropped), and the number of parts.

    Pages are assigned to the parts in turn.
    """
    keys = [batch.select(pl.col("id", "url").hash(seed=0)) for batch in parts.read(["id", "url"])]
    rows = pl.concat(keys) if keys else pl.DataFrame(schema={"id": pl.UInt64, "url": pl.UInt64})
    if left["row"].n_unique() != len(left) or (left["row"] >= len(rows)).any():
        raise LedgerError(f"{stage}: {len(left)} verdicts, some twice on a row or on none of the {len(rows)} rows read")
    ledger.check_reasons(stage, left)
    stays = pl.Series("stays", [True]).new_from_index(0, len(rows)).scatter(left["row"], False)
    kept = rows.filter(stays)
    if kept["id"].n_unique() != len(kept):
        raise LedgerError(f"{stage}: {len(kept) - kept['id'].n_unique()} ids are kept twice")
    count = min(max(1, math.ceil(len(kept) / part_rows)), MAX_PARTS)
    turns = (kept["url"].rank("dense").cast(pl.UInt32) - 1) % count if len(kept) else kept["url"].cast(pl.UInt32)
    part = pl.Series("part", [None], pl.UInt32).new_from_index(0, len(rows))
    return part.scatter(stays.arg_true(), turns), count
