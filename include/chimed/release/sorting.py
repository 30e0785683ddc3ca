"""The rows of a release in their order: by table, then by id, in whatever parts a build has them (paper §3.3).

What fits into one lot is sorted in memory. More is sorted lot by lot into runs, files that lie beside the release while
it is made, and the runs are merged as they are read: of each a row group is held. So memory is bounded by a lot and by
a row group of every run, whatever the size of the corpus. Ours.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow.parquet as pq

from chimed.release import TABLES
from chimed.release.rows import COLUMNS, measured, tables_of
from chimed.release.tables import files_in, read_batches
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

LOT = 64 << 20  # bytes of rows that are sorted at once, as their parquet files tell them before compression
ROW = 400  # bytes that a row takes in memory besides: of its two dozen columns, whatever is in them
MOST_LOTS = 400  # a corpus with more gets larger lots: each run is an open file while all are merged
MERGING = 128 << 20  # bytes of the runs' row groups that are held while they are merged
LARGEST_GROUP = 2 << 20  # bytes of one row group of a run


@dataclass(frozen=True)
class Size:
    """How large a table is. bytes: of the words that a model learns from, in UTF-8."""

    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Rows:
    """The rows of a release, in order.

    key: a hash of what they are made of, equal where the rows are; None: not known, so nothing that an earlier attempt
    left is used. prepare: does what must be done before they can be read, with files in the given folder of the lake if
    it needs some, and returns the size of each table. read: a table's rows with a larger id than the given one, a batch
    at a time.
    """

    key: str | None
    prepare: Callable[[str], dict[str, Size]]
    read: Callable[[str, str | None], Iterator[pl.DataFrame]]


# --- rows that are in order already -------------------------------------------------------------------------------


def of_tables(tables: dict[str, pl.DataFrame]) -> Rows:
    """Return the rows of tables in memory (`rows.tables_of`)."""

    def read(table: str, after: str | None) -> Iterator[pl.DataFrame]:
        yield tables[table] if after is None else tables[table].filter(pl.col("id") > after)

    return Rows(None, lambda _: {name: _size(rows, name) for name, rows in tables.items()}, read)


def of_release(lake: Lake, folder: str, without: pl.Expr, key: str) -> Rows:
    """Return the rows of a release's folder but for some. key: of the release and of what is left out."""
    files = files_in(lake, folder)

    def read(table: str, after: str | None) -> Iterator[pl.DataFrame]:
        for path in files[table]:
            for batch in read_batches(lake, path, table.split("/")[0], after=after):
                yield batch.filter(~without)

    def prepare(_: str) -> dict[str, Size]:
        return {table: _sum(_size(batch, table) for batch in read(table, None)) for table in TABLES}

    return Rows(hashlib.sha256(key.encode()).hexdigest(), prepare, read)


def _size(rows: pl.DataFrame, table: str) -> Size:
    words = rows.select(size_of_rows(table)).to_series()
    return Size(len(rows), int(words.sum()))


def size_of_rows(table: str) -> pl.Expr:
    """Return the bytes of each row's words."""
    return measured(lambda text: text.str.len_bytes(), table.split("/")[0])


def _sum(sizes: Iterator[Size]) -> Size:
    rows = size = 0
    for one in sizes:
        rows, size = rows + one.rows, size + one.bytes
    return Size(rows, size)


# --- a build's rows -----------------------------------------------------------------------------------------------


@dataclass
class _Sorted:
    """What `prepare` made of a build's rows: the whole tables, or where each table's runs lie."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)


def of_build(lake: Lake, paths: tuple[str, ...], gone: pl.Expr, key: str | None) -> Rows:
    """Return the rows of a build's part files but for what is gone.

    key: of the files' bytes and of the rows that are gone. Part files are read whole, several at a time where they are
    small: what is held is a lot.
    """
    made = _Sorted()
    lots = plan_lots(lake, paths)

    def prepare(folder: str) -> dict[str, Size]:
        if len(lots) <= 1:
            made.tables = tables_of(_read_lot(lake, lots[0] if lots else [], gone))
            return {name: _size(rows, name) for name, rows in made.tables.items()}
        several = [_sort_lot(lake, lot, gone, f"{folder}/run-{n:05d}", len(lots)) for n, lot in enumerate(lots)]
        made.runs = {
            table: [_run(f"{folder}/run-{n:05d}", table) for n, sizes in enumerate(several) if sizes[table].rows]
            for table in TABLES
        }
        return {table: _sum(sizes[table] for sizes in several) for table in TABLES}

    def read(table: str, after: str | None) -> Iterator[pl.DataFrame]:
        if not made.runs:
            yield from of_tables(made.tables).read(table, after)
            return
        subset = table.split("/")[0]
        yield from merged([read_batches(lake, path, subset, after=after) for path in made.runs[table]])

    return Rows(key, prepare, read)


def plan_lots(lake: Lake, paths: tuple[str, ...]) -> list[list[str]]:
    """Return the part files that are sorted at once: at most `LOT` bytes, but for a part that is larger by itself."""
    sizes = [_plain_bytes(lake, path) for path in paths]
    most = max(LOT, -(-sum(sizes) // MOST_LOTS))
    lots: list[list[str]] = []
    room = 0
    for path, size in zip(paths, sizes, strict=True):
        if size > room:
            lots.append([])
            room = most
        lots[-1].append(path)
        room -= size
    return lots


def _plain_bytes(lake: Lake, path: str) -> int:
    """About how many bytes a parquet file's rows take in memory, by its footer."""
    with lakes.open_file(lake, path) as file, lakes.parquet_errors(path):
        about = pq.ParquetFile(file).metadata
        groups = range(about.num_row_groups)
        return about.num_rows * ROW + sum(about.row_group(group).total_byte_size for group in groups)


def _read_lot(lake: Lake, lot: list[str], gone: pl.Expr) -> pl.DataFrame:
    empty = pl.DataFrame(schema=pl.Schema(RECORD))
    return pl.concat([empty, *(lakes.read_table(lake, path, schema=RECORD).filter(~gone) for path in lot)])


def _run(run: str, table: str) -> str:
    return f"{run}.{table.replace('/', '.')}.parquet"


def _sort_lot(lake: Lake, lot: list[str], gone: pl.Expr, run: str, runs: int) -> dict[str, Size]:
    """Write a lot's tables, each sorted, and then how large they are; a lot that was sorted before is left alone."""
    if lakes.exists(lake, f"{run}.json"):
        return {table: Size(*said) for table, said in lakes.read_json(lake, f"{run}.json").items()}
    tables = tables_of(_read_lot(lake, lot, gone))
    group = min(LARGEST_GROUP, MERGING // runs)
    for table, rows in tables.items():
        if len(rows):
            each = max(1, rows.estimated_size() // len(rows))
            with lakes.file_writer(lake, _run(run, table)) as file:
                schema = COLUMNS[table.split("/")[0]]
                with pq.ParquetWriter(file, schema, compression="lz4") as writer:
                    writer.write_table(rows.to_arrow().cast(schema), row_group_size=max(1, group // each))
    sizes = {table: _size(rows, table) for table, rows in tables.items()}
    lakes.write_json(lake, f"{run}.json", {table: [size.rows, size.bytes] for table, size in sizes.items()})
    return sizes


# --- merging ------------------------------------------------------------------------------------------------------


def merged(streams: list[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Sorted streams as one, by the column `id`: of each one batch is held."""
    held = [(head, stream) for stream in streams if (head := _next(stream)) is not None]
    while held:
        bound = min(head["id"][-1] for head, _ in held)  # up to here no stream can bring another row
        ready, later = [], []
        for head, stream in held:
            count = int((head["id"] <= bound).sum())
            ready.append(head.head(count))
            rest = head.slice(count) if count < len(head) else _next(stream)
            if rest is not None:
                later.append((rest, stream))
        yield pl.concat(ready).sort("id", maintain_order=True)
        held = later


def _next(stream: Iterator[pl.DataFrame]) -> pl.DataFrame | None:
    """Return a stream's next batch with rows; None at its end."""
    return next((batch for batch in stream if len(batch)), None)
