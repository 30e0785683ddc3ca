"""Blank some rows of a corpus file: every other row stays unchanged, byte for byte, in its place.

A row is emptied instead of removed, so that the numbers of the others, which records and releases refer to, stay valid.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from chimed.errors import UserError
from chimed.extraction.corpus_files.columns import plan_for
from chimed.extraction.corpus_files.lines import TooLong, read_lines, split_objects
from chimed.extraction.corpus_files.reading import Survey, file_ending
from chimed.extraction.corpus_files.tables import _HEAD, _WRAPPED, ARROW_TABLES, _rows_of_object, read_separated

EMPTY_ROW = {".csv": '""', ".tsv": '""', ".jsonl": "{}", ".ndjson": "{}"}
WIDE_ENCODINGS = ("utf-16", "utf-32")  # a line end is no byte of its own there


class CannotBlank(UserError):
    """The rows of this form of file cannot be blanked one by one."""


def blank_rows(name: str, body: bytes, known: Survey, rows: set[int]) -> bytes:
    """Return the file with the rows of these numbers (`reading.read_file`) empty. Raises CannotBlank for a book."""
    this = file_ending(name)
    if this in ARROW_TABLES:
        return _blank_arrow(this, body, rows)
    if known.shape is not None or known.encoding is None:
        raise CannotBlank(
            f"{name} is a book, whose chapters cannot be removed one by one; "
            "correct the book and ingest it again, then "
            "take the whole corpus down with --purge"
        )
    text = body.decode(known.encoding.name, errors="replace")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    if this == ".json":
        return _encode_exactly(name, mark + _blank_json(text, rows), mark + text, known.encoding.name, body)
    return _blank_lines(name, this, body, text, mark, known.encoding.name, rows)


# --- lines -------------------------------------------------------------------------------------------------------


def _blank_lines(name: str, this: str, body: bytes, text: str, mark: str, encoding: str, rows: set[int]) -> bytes:
    wide = encoding.lower().replace("_", "-").startswith(WIDE_ENCODINGS)
    every = list(read_lines(io.StringIO(text, newline="")))
    raw = [line.encode(encoding) if isinstance(line, str) else b"" for line in every] if wide else _raw_lines(body)
    if len(raw) != len(every) or (wide and any(isinstance(line, TooLong) for line in every)):
        raise CannotBlank(f"the lines of {name} cannot be separated; take the whole corpus down with --purge")
    place, kept = 0, []
    for number, count in _row_line_counts(this, text):
        some = raw[place : place + count]
        if number in rows:
            last = next((end for end in (b"\r\n", b"\n", b"\r") if some[-1].endswith(end)), b"")
            end = ("\r\n" if "\r" in text[:4096] else "\n").encode(encoding) if wide else last
            some = [EMPTY_ROW[this].encode(encoding if wide else "ascii") + end]
        kept += some
        place += count
    head = mark.encode(encoding) if wide else _byte_order_mark(body)
    return head + b"".join([*kept, *raw[place:]])


def _row_line_counts(this: str, text: str) -> Iterator[tuple[int | None, int]]:
    """Yield, in order, how many lines belong together, and the number of the row they are (None: of no row)."""
    number = 0
    if this in (".csv", ".tsv"):
        for row, given in read_separated(io.StringIO(text, newline=""), this == ".tsv"):
            number += row is not None
            yield (number if row is not None else None), len(given)
        return
    for line in read_lines(io.StringIO(text, newline="")):
        filled = isinstance(line, TooLong) or bool(line.strip())
        number += filled
        yield (number if filled else None), 1


def _raw_lines(body: bytes) -> list[bytes]:
    return body.removeprefix(_byte_order_mark(body)).splitlines(keepends=True)


def _byte_order_mark(body: bytes) -> bytes:
    return b"\xef\xbb\xbf" if body.startswith(b"\xef\xbb\xbf") else b""


# --- JSON --------------------------------------------------------------------------------------------------------


def _blank_json(text: str, rows: set[int]) -> str:
    head = text[:_HEAD]
    wrapped = _WRAPPED.match(head)
    start = wrapped.end() if wrapped else 0
    pieces = list(split_objects(io.StringIO(text[start:])))
    if not wrapped and head.lstrip(" \t\r\n").startswith("{") and len(pieces) == 1:
        return _blank_object(text, pieces[0], rows)
    kept, place = [text[:start]], start
    for number, piece in enumerate(pieces, start=1):
        begin = text.index(piece, place)
        kept += [text[place:begin], "{}" if number in rows else piece]
        place = begin + len(piece)
    return "".join([*kept, text[place:]])


def _blank_object(text: str, piece: str, rows: set[int]) -> str:
    """Return a file that is one object without these rows: a list or a dict a column, a dict a row, or one row."""
    whole: dict[str, Any] = json.loads(piece)
    if len(list(_rows_of_object(iter([whole])))) == 1:
        return text.replace(piece, "{}", 1) if 1 in rows else text
    for number, (name, column) in enumerate(whole.items(), start=1):
        if isinstance(column, list):
            whole[name] = ["" if place in rows else cell for place, cell in enumerate(column, start=1)]
        elif plan_for(whole, {}):  # a dict a column
            gone = [key for place, key in enumerate(column, start=1) if place in rows]
            column.update(dict.fromkeys(gone, ""))
        elif number in rows:
            whole[name] = dict.fromkeys(column, "")
    return text.replace(piece, json.dumps(whole, ensure_ascii=False), 1)


def _encode_exactly(name: str, new: str, old: str, encoding: str, body: bytes) -> bytes:
    if old.encode(encoding, errors="replace") != body:
        raise CannotBlank(f"{name} has bytes that do not decode; take the whole corpus down with --purge")
    return new.encode(encoding)


# --- parquet and Arrow -------------------------------------------------------------------------------------------


def _blank_arrow(this: str, body: bytes, rows: set[int]) -> bytes:
    """Return a Parquet or Arrow file with null in every column of these rows."""
    if this == ".parquet":
        import pyarrow.parquet as pq

        table = _blank_table(pq.ParquetFile(io.BytesIO(body)).read(), rows)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()
    of_file = body.startswith(b"ARROW1")
    reader = pa.ipc.open_file(io.BytesIO(body)) if of_file else pa.ipc.open_stream(io.BytesIO(body))
    table = _blank_table(reader.read_all(), rows)
    sink = io.BytesIO()
    with (pa.ipc.new_file if of_file else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _blank_table(table: pa.Table, rows: set[int]) -> pa.Table:
    places = pa.array([None if n + 1 in rows else n for n in range(len(table))], pa.int64())
    fields = [field.with_nullable(True) for field in table.schema]
    columns = [column.combine_chunks().take(places) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))
