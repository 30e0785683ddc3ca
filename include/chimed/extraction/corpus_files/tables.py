"""Read the rows of a table as a stream: CSV, TSV, JSON lines, a JSON array, Parquet, Arrow (Hugging Face's folders).

A row is a dict of its cells by column, or a miss: a broken row gets a reason, and the rest is read.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO, TypeGuard

import pyarrow as pa

from chimed.errors import UserError
from chimed.extraction.corpus_files.columns import plan_for
from chimed.extraction.corpus_files.lines import (
    MAX_CELL_LENGTH,
    NOT_JSON,
    TOO_LONG,
    TooLong,
    parse_json,
    read_lines,
    split_objects,
)
from chimed.sources.page import Miss

TEXT_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
ARROW_TABLES = (".parquet", ".arrow")
UNCLOSED = "quotes or cells do not close"
TOO_MANY_CELLS = "more cells than columns"
NO_OBJECT = "no JSON object"

Row = dict[str, object] | Miss

_BATCH = 256  # rows decoded at once of parquet and Arrow
_HEAD = 64 * 1024
_DELIMITERS = ",\t;|"
_SAID_DELIMITER = re.compile(r"\ufeff?\s{0,9}\"?sep=(.)\"?\s{0,9}", re.I)
# {"version": 1, "data": [ … ]}: the rows are in the list
_WRAPPED = re.compile(
    r'\A\s*\{(?:\s*"[^"\\]{1,64}"\s*:\s*(?:"[^"\\]{0,1000}"|[-+.\w]{1,40})\s*,)*'
    r'\s*"(?:data|rows|train|examples|records|items)"\s*:\s*(?=\[)'
)


def read_text_rows(ending: str, text: TextIO) -> Iterator[Row]:
    """Return the rows of a text table. Raises UserError for a .csv or .tsv without a header."""
    if ending in (".csv", ".tsv"):
        return _read_separated_rows(text, ending == ".tsv")
    if ending == ".json":
        head = text.read(_HEAD)
        wrapped = _WRAPPED.match(head)
        rows = map(_parse_object, split_objects(text, head[wrapped.end() :] if wrapped else head))
        return rows if wrapped or not head.lstrip("\ufeff \t\r\n").startswith("{") else _rows_of_object(rows)
    return (_parse_object(line) for line in read_lines(text) if isinstance(line, TooLong) or line.strip())


def _parse_object(piece: str | TooLong) -> Row:
    if isinstance(piece, TooLong) or len(piece) > MAX_CELL_LENGTH:
        return Miss(TOO_LONG)
    try:
        value = parse_json(piece)
    except ValueError:
        return Miss(NOT_JSON)
    return value if isinstance(value, dict) else Miss(NO_OBJECT)


def _rows_of_object(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows of a file that is one object: a list per column, or pandas' dict per column or dict per row.

    If other objects follow, each is a row.
    """
    first, second = next(rows, None), next(rows, None)
    if first is None:
        return
    if second is not None:
        yield from (first, second)
        yield from rows
        return
    if isinstance(first, Miss):
        yield first
        return
    lists = [one for one in first.values() if _is_column(one)]
    dicts = [one for one in first.values() if isinstance(one, dict) and one]
    if len(lists) == len(first) > 1 and len(set(map(len, lists))) == 1:
        yield from (dict(zip(first, row, strict=True)) for row in zip(*lists, strict=True))
    elif len(dicts) == len(first) > 1 and len(set(map(frozenset, dicts))) == 1 and plan_for(first, {}):
        yield from ({name: column[key] for name, column in zip(first, dicts, strict=True)} for key in dicts[0])
    elif dicts and len(dicts) == len(first) and all(plan_for(one, {}) for one in dicts):
        yield from dicts
    else:
        yield first


def _is_column(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) > 1 and not any(isinstance(one, list | dict) for one in value)


# --- separated values --------------------------------------------------------------------------------------------


class LineFeed:
    """Lines for a csv reader that can be pushed back: those of a record that does not close are read again."""

    def __init__(self, text: TextIO) -> None:
        self.source = read_lines(text)
        self.back: list[str | TooLong] = []
        self.given: list[str | TooLong] = []

    def __iter__(self) -> "LineFeed":
        return self

    def __next__(self) -> str:
        line = self.back.pop() if self.back else next(self.source)
        self.given.append(line)
        if isinstance(line, TooLong):
            raise csv.Error(TOO_LONG)
        return line

    def take_back(self) -> str | TooLong:
        """Push back all lines of the record but the first, which is returned."""
        first, *rest = self.given
        self.back += reversed(rest)
        return first


def _read_separated_rows(text: TextIO, tabs: bool) -> Iterator[Row]:
    return (row for row, _ in read_separated(text, tabs) if row is not None)


def read_separated(text: TextIO, tabs: bool) -> Iterator[tuple[Row | None, list[str | TooLong]]]:
    """Yield groups of lines with the row they make; None for the header and for empty lines."""
    csv.field_size_limit(MAX_CELL_LENGTH)
    feed = LineFeed(text)
    filled = (line for line in feed if line.strip())
    head = next(filled, "")
    if said := _SAID_DELIMITER.fullmatch(head):  # Excel's first line: sep=;
        delimiter, head = said[1], next(filled, "")
    else:
        delimiter = "\t" if tabs else max(_DELIMITERS, key=head.count)
    header = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
    repeated = {name for name, columns in Counter(header).items() if columns > 1}
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        yield None, list(feed.given)  # of no row: the header, and lines behind the last row that were empty
        feed.given.clear()
        cells: list[str] | Miss
        try:
            cells = next(reader)
        except StopIteration:
            if feed.given:
                yield None, list(feed.given)
            return
        except csv.Error:
            first = feed.take_back()
            feed.given = [first]
            cells = _parse_single_line(first, delimiter, len(header))
        given, feed.given = feed.given, []
        if isinstance(cells, Miss):
            yield cells, given
        elif len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            yield Miss(TOO_MANY_CELLS), given
        elif cells:
            cells += [""] * (len(header) - len(cells))
            row: dict[str, object] = dict(zip(header, cells, strict=False))
            for name in repeated:  # columns of one name: all of them are kept
                row[name] = [cell for column, cell in zip(header, cells, strict=False) if column == name and cell]
            yield row, given
        else:
            yield None, given


def _parse_single_line(line: str | TooLong, delimiter: str, columns: int) -> list[str] | Miss:
    """Return the cells of the first line of a record whose quotes do not close, if it has a cell for every column."""
    if isinstance(line, TooLong):
        return Miss(TOO_LONG)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, quoting=quoting), [])
        except csv.Error:
            continue
        if len(cells) == columns and not any("\n" in cell or "\r" in cell for cell in cells):
            return cells
    return Miss(UNCLOSED)


# --- parquet and Arrow -------------------------------------------------------------------------------------------


def read_arrow_rows(name: str, ending: str, file: BinaryIO) -> Iterator[Row]:
    """Yield the rows of a Parquet or Arrow file; nested columns as lists and dicts.

    Raises UserError if it is neither.
    """
    try:
        for batch in _read_batches(ending, file):
            for start in range(0, len(batch), _BATCH):
                yield from _dicts(_decode_bytes(batch.slice(start, _BATCH)))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{name} is not {ending.removeprefix('.')}, or is damaged: {str(error)[:200]}") from None


def _read_batches(ending: str, file: BinaryIO) -> Iterator[pa.RecordBatch]:
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


def _decode_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with byte columns as text, or null if they are not text (images, sound)."""
    columns = []
    for column in batch.columns:
        if _is_binary(column.type):
            try:
                column = column.cast(pa.binary()).cast(pa.string())
            except pa.ArrowInvalid:
                column = pa.nulls(len(batch), pa.string())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _dicts(batch: pa.RecordBatch) -> Iterator[Row]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # strings that are not UTF-8: only the rows that have them are lost
        for n in range(len(batch)):
            try:
                yield batch.slice(n, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield Miss("not UTF-8")


def _is_binary(kind: pa.DataType) -> bool:
    """Return whether a column has bytes, which may be text or an image."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
