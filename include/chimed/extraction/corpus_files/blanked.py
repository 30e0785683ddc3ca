"""A corpus's file without the words of some of its rows: every other row stays as it is, byte for byte, in its place.

A row is emptied and not cut out, so that the numbers of the others, by which records and releases name them, stay.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from chimed.errors import UserError
from chimed.extraction.corpus_files.columns import plan_for
from chimed.extraction.corpus_files.lines import TooLong, lines, values
from chimed.extraction.corpus_files.reading import Survey, ending
from chimed.extraction.corpus_files.tables import _HEAD, _WRAPPED, ARROW_TABLES, _turned, separated

EMPTY = {".csv": '""', ".tsv": '""', ".jsonl": "{}", ".ndjson": "{}"}
WIDE = ("utf-16", "utf-32")  # a line end is no byte of its own there


class CannotBlank(UserError):
    """A file of a form whose rows cannot be emptied one by one."""


def blanked(name: str, body: bytes, known: Survey, rows: set[int]) -> bytes:
    """The file with the rows of these numbers (`reading.read_file`) empty. Raises CannotBlank for a book."""
    this = ending(name)
    if this in ARROW_TABLES:
        return _arrow(this, body, rows)
    if known.shape is not None or known.encoding is None:
        raise CannotBlank(
            f"{name} is a book, whose chapters cannot be taken out one by one; mend the book and ingest it again, then "
            "take the whole corpus down with --purge"
        )
    text = body.decode(known.encoding.name, errors="replace")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    if this == ".json":
        return _encoded(name, mark + _json(text, rows), mark + text, known.encoding.name, body)
    return _by_line(name, this, body, text, mark, known.encoding.name, rows)


# --- lines -------------------------------------------------------------------------------------------------------


def _by_line(name: str, this: str, body: bytes, text: str, mark: str, encoding: str, rows: set[int]) -> bytes:
    wide = encoding.lower().replace("_", "-").startswith(WIDE)
    every = list(lines(io.StringIO(text, newline="")))
    raw = [line.encode(encoding) if isinstance(line, str) else b"" for line in every] if wide else _raw_lines(body)
    if len(raw) != len(every) or (wide and any(isinstance(line, TooLong) for line in every)):
        raise CannotBlank(f"the lines of {name} cannot be told apart; take the whole corpus down with --purge")
    place, kept = 0, []
    for number, count in _stretches(this, text):
        some = raw[place : place + count]
        if number in rows:
            last = next((end for end in (b"\r\n", b"\n", b"\r") if some[-1].endswith(end)), b"")
            end = ("\r\n" if "\r" in text[:4096] else "\n").encode(encoding) if wide else last
            some = [EMPTY[this].encode(encoding if wide else "ascii") + end]
        kept += some
        place += count
    head = mark.encode(encoding) if wide else _mark(body)
    return head + b"".join([*kept, *raw[place:]])


def _stretches(this: str, text: str) -> Iterator[tuple[int | None, int]]:
    """The lines of a file in order: how many belong together, and the number of the row they are (None: of none)."""
    number = 0
    if this in (".csv", ".tsv"):
        for row, given in separated(io.StringIO(text, newline=""), this == ".tsv"):
            number += row is not None
            yield (number if row is not None else None), len(given)
        return
    for line in lines(io.StringIO(text, newline="")):
        filled = isinstance(line, TooLong) or bool(line.strip())
        number += filled
        yield (number if filled else None), 1


def _raw_lines(body: bytes) -> list[bytes]:
    return body.removeprefix(_mark(body)).splitlines(keepends=True)


def _mark(body: bytes) -> bytes:
    return b"\xef\xbb\xbf" if body.startswith(b"\xef\xbb\xbf") else b""


# --- JSON --------------------------------------------------------------------------------------------------------


def _json(text: str, rows: set[int]) -> str:
    head = text[:_HEAD]
    wrapped = _WRAPPED.match(head)
    start = wrapped.end() if wrapped else 0
    pieces = list(values(io.StringIO(text[start:])))
    if not wrapped and head.lstrip(" \t\r\n").startswith("{") and len(pieces) == 1:
        return _one_object(text, pieces[0], rows)
    kept, place = [text[:start]], start
    for number, piece in enumerate(pieces, start=1):
        begin = text.index(piece, place)
        kept += [text[place:begin], "{}" if number in rows else piece]
        place = begin + len(piece)
    return "".join([*kept, text[place:]])


def _one_object(text: str, piece: str, rows: set[int]) -> str:
    """A file that is one object: a list a column, a dict a column, a dict a row, or one row."""
    whole: dict[str, Any] = json.loads(piece)
    if len(list(_turned(iter([whole])))) == 1:
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


def _encoded(name: str, new: str, old: str, encoding: str, body: bytes) -> bytes:
    if old.encode(encoding, errors="replace") != body:
        raise CannotBlank(f"{name} has bytes that are no characters; take the whole corpus down with --purge")
    return new.encode(encoding)


# --- parquet and Arrow -------------------------------------------------------------------------------------------


def _arrow(this: str, body: bytes, rows: set[int]) -> bytes:
    """A table whose rows of these numbers are null in every column."""
    if this == ".parquet":
        import pyarrow.parquet as pq

        table = _emptied(pq.ParquetFile(io.BytesIO(body)).read(), rows)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()
    of_file = body.startswith(b"ARROW1")
    reader = pa.ipc.open_file(io.BytesIO(body)) if of_file else pa.ipc.open_stream(io.BytesIO(body))
    table = _emptied(reader.read_all(), rows)
    sink = io.BytesIO()
    with (pa.ipc.new_file if of_file else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _emptied(table: pa.Table, rows: set[int]) -> pa.Table:
    places = pa.array([None if n + 1 in rows else n for n in range(len(table))], pa.int64())
    fields = [field.with_nullable(True) for field in table.schema]
    columns = [column.combine_chunks().take(places) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))
