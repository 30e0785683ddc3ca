"""The rows of a table as it streams by: CSV, TSV, JSON lines, a JSON array, parquet, Arrow (Hugging Face's folders).

A row is a dict of its cells by column, or the miss that it is: a broken row is named, and the rest is read.
"""

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO, TextIO

import pyarrow as pa

from chimed.errors import UserError
from chimed.sources.corpus.lines import CELL, NOT_JSON, TOO_LONG, TooLong, lines, parsed, values
from chimed.sources.page import Miss

TEXT_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
ARROW_TABLES = (".parquet", ".arrow")
TORN = "quotes or cells do not close"
TOO_MANY = "more cells than columns"
NO_OBJECT = "no JSON object"

Row = dict[str, object] | Miss

_BATCH = 256  # rows decoded at once of parquet and Arrow
_HEAD = 64 * 1024
_DELIMITERS = ",\t;|"
# {"version": 1, "data": [ … ]}: the rows are in the list
_WRAPPED = re.compile(
    r'\s*\{(?:\s*"[^"\\]{1,64}"\s*:\s*(?:"[^"\\]{0,1000}"|[-+.\w]{1,40})\s*,)*'
    r'\s*"(?:data|rows|train|examples|records|items)"\s*:\s*(?=\[)'
)


def text_rows(ending: str, text: TextIO) -> Iterator[Row]:
    """The rows of a table that is text. Raises UserError for a .csv or .tsv without a header."""
    if ending in (".csv", ".tsv"):
        return _separated(text, ending == ".tsv")
    if ending == ".json":
        head = text.read(_HEAD)
        wrapped = _WRAPPED.match(head)
        return map(_object, values(text, head[wrapped.end() :] if wrapped else head))
    return (_object(line) for line in lines(text) if isinstance(line, TooLong) or line.strip())


def _object(piece: str | TooLong) -> Row:
    if isinstance(piece, TooLong) or len(piece) > CELL:
        return Miss(TOO_LONG)
    try:
        value = parsed(piece)
    except ValueError:
        return Miss(NOT_JSON)
    return value if isinstance(value, dict) else Miss(NO_OBJECT)


# --- separated values --------------------------------------------------------------------------------------------


class _Feed:
    """Lines for a csv reader, which can be given back: those of a record that does not close are read anew."""

    def __init__(self, text: TextIO) -> None:
        self.source = lines(text)
        self.back: list[str | TooLong] = []
        self.given: list[str | TooLong] = []

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self.back.pop() if self.back else next(self.source)
        self.given.append(line)
        if isinstance(line, TooLong):
            raise csv.Error(TOO_LONG)
        return line

    def take_back(self) -> str | TooLong:
        """Gives back all lines of the record but the first, which is returned."""
        first, *rest = self.given
        self.back += reversed(rest)
        return first


def _separated(text: TextIO, tabs: bool) -> Iterator[Row]:
    csv.field_size_limit(CELL)
    feed = _Feed(text)
    head = next((line for line in feed if line.strip()), "")
    delimiter = "\t" if tabs else max(_DELIMITERS, key=head.count)
    header = next(csv.reader([head], delimiter=delimiter), [])
    header = [name.strip() for name in header]
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.given.clear()
        cells: list[str] | Miss
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = _alone(feed.take_back(), delimiter, len(header))
        if isinstance(cells, Miss):
            yield cells
        elif len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            yield Miss(TOO_MANY)
        elif cells:
            yield dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False))


def _alone(line: str | TooLong, delimiter: str, columns: int) -> list[str] | Miss:
    """The cells of a record whose quotes do not close: its first line by itself, if it has a cell for every column."""
    if isinstance(line, TooLong):
        return Miss(TOO_LONG)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, quoting=quoting), [])
        except csv.Error:
            continue
        if len(cells) == columns and not any("\n" in cell or "\r" in cell for cell in cells):
            return cells
    return Miss(TORN)


# --- parquet and Arrow -------------------------------------------------------------------------------------------


def arrow_rows(name: str, ending: str, file: BinaryIO) -> Iterator[Row]:
    """The rows of a parquet or Arrow file; nested columns as lists and dicts. Raises UserError where it is none."""
    try:
        for batch in _batches(ending, file):
            kept = [field.name for field in batch.schema if not _binary(field.type)]
            for start in range(0, len(batch), _BATCH):
                yield from _dicts(batch.select(kept).slice(start, _BATCH))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{name} is not {ending.removeprefix('.')}, or is damaged: {str(error)[:200]}") from None


def _batches(ending: str, file: BinaryIO) -> Iterator[pa.RecordBatch]:
    if ending == ".parquet":
        import pyarrow.parquet as pq

        yield from pq.ParquetFile(file).iter_batches(_BATCH)
        return
    start = file.read(6)
    file.seek(0)
    if start == b"ARROW1":
        whole = pa.ipc.open_file(file)
        yield from (whole.get_batch(n) for n in range(whole.num_record_batches))
    else:  # what save_to_disk writes
        yield from pa.ipc.open_stream(file)


def _dicts(batch: pa.RecordBatch) -> Iterator[Row]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # strings that are not UTF-8: only the rows that have them are lost
        for n in range(len(batch)):
            try:
                yield batch.slice(n, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield Miss("not UTF-8")


def _binary(kind: pa.DataType) -> bool:
    """Pictures and other bytes: no text."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
