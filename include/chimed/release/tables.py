"""Reads a release's tables, a row group at a time, whatever files they lie in (`file_names`). Ours."""

from collections.abc import Callable, Iterator

import polars as pl
import pyarrow.parquet as pq

from chimed.release import TABLES
from chimed.release.file_names import parquet_name, table_files
from chimed.release.rows import COLUMNS, WORDS
from chimed.release.statistics import COUNTED, Counter, Counts
from chimed.schema import name_in
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake


def files_in(lake: Lake, folder: str) -> dict[str, list[str]]:
    """Return the paths of every table's parquet files in a release's folder, in order.

    Raises FileNotFoundError where a table has rows by the release's statistics and no file.
    """
    rows = lakes.read_json(lake, f"{folder}/{layout.STATISTICS}")["splits"]
    found = table_files(lakes.files(lake, folder))
    for table in TABLES:
        if rows.get(table) and not found[table]:
            raise FileNotFoundError(f"{folder}/{parquet_name(table)}")
    return {table: [f"{folder}/{name}" for name in found[table] if rows.get(table)] for table in TABLES}


def read_batches(
    lake: Lake, path: str, subset: str, columns: list[str] | None = None, after: str | None = None
) -> Iterator[pl.DataFrame]:
    """Return the rows of one file of a subset's table in order, a row group at a time; a column that it lacks is null.

    columns: all by default, as they are called now. after: only rows with a larger id.
    """
    schema = COLUMNS[subset]
    wanted = schema.names if columns is None else columns
    kinds = pl.Schema(schema)
    with lakes.open_file(lake, path) as file, lakes.parquet_errors(path):
        table = pq.ParquetFile(file)
        there = table.schema_arrow.names
        held = {own: name for name in wanted if (own := name_in(there, name)) in there}
        young = [pl.lit(None, kinds[name]).alias(name) for name in wanted if name not in held.values()]
        for group in range(table.num_row_groups):
            if after is None or _last_id(table, group) > after:
                rows = pl.DataFrame(table.read_row_group(group, columns=[*held])).rename(held)
                rows = rows.with_columns(young).select(wanted)
                yield rows if after is None else rows.filter(pl.col("id") > after)


def _last_id(table: pq.ParquetFile, group: int) -> str:
    """Return the largest id of a row group, by its statistics; behind all others where it has none."""
    column = next(n for n in range(table.metadata.num_columns) if table.schema.column(n).path == "id")
    bounds = table.metadata.row_group(group).column(column).statistics
    return bounds.max if bounds is not None and bounds.has_min_max else "\U0010ffff"


def rows_in(
    lake: Lake, folder: str, columns: Callable[[str], list[str] | None] = lambda _: None
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Batches of every table in a release's folder, each with the table it is of (`<subset>/<split>`).

    columns: those of a subset that are wanted; None: all.
    """
    for table, paths in files_in(lake, folder).items():
        subset = table.split("/")[0]
        for path in paths:
            for batch in read_batches(lake, path, subset, columns(subset)):
                yield table, batch


def counted(lake: Lake, folder: str) -> Counts:
    """Return the sums over the rows of a release's folder."""
    counter = Counter()
    for table, rows in rows_in(lake, folder, lambda subset: [*WORDS[subset], *COUNTED]):
        counter.add(table, rows)
    return counter.counts()
