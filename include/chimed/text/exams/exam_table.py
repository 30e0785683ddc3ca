"""Read the tables that exams come in, CSV and JSON. A broken one is refused by name, with what is wrong with it. Ours.

An exam's file is fetched, unpacked and copied by hand before it gets here: it may be half a file, a web page that says
"not found", a pointer of Git LFS, saved by a spreadsheet in another encoding. Half an exam must not pass for an exam.
"""

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError

MOST_BYTES = 200_000_000  # of one file, unpacked: CMB's training questions, the largest of these, have 150 MB
_END = "\0end of the table"  # a row behind the last one; inside an open quotation it is no row
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = (b"<!doctype html", b"<html", b"<?xml")


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return a file's bytes. Raises UserError for what is no file, cannot be read, or has more bytes than `most`."""
    try:
        # a named pipe would else be waited for until somebody writes into it
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path} is not a file; an exam is a file of questions")
            if status.st_size > most:
                raise UserError(f"{path} has {status.st_size:,} bytes, more than any exam has")
            return file.read(most + 1)
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; an exam is a file of questions") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def check_fetched(content: bytes, where: str) -> None:
    """Raise UserError where a fetch left something else than the file. where: what an error calls the file."""
    if not content.strip():
        raise UserError(f"{where} is empty; fetch it again")
    if content.startswith(_POINTER):
        raise UserError(f"{where} is a pointer of Git LFS, not the file; run git lfs pull in its repository")
    if content.lstrip()[:20].lower().startswith(_PAGE):
        raise UserError(f"{where} is a web page, not the file; download the file itself")


def text_of(content: bytes, where: str) -> str:
    """Return a file's text. Raises UserError for one that is empty, no text, or not the file."""
    check_fetched(content, where)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text (from byte {error.start:,} on); save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{where} holds a NUL character and is no text; fetch it again, or save it as UTF-8")
    return text


def csv_rows(content: bytes, where: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a CSV file, and its rows by column. A column without a name, the number, has none here.

    Raises UserError for a row that is shorter or longer than the columns, and for a quotation that does not end, as in
    a file that was cut short.
    """
    reader = csv.reader(io.StringIO(f"{text_of(content, where)}\n{_END}", newline=""))
    rows: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for row in reader:
            rows.append((before + 1, row))
            before = reader.line_num
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}, is not CSV: {error}") from None
    begun, last = rows.pop()
    if last != [_END]:
        raise UserError(f"{where}, line {begun}: a quotation is opened and never closed; the file may be cut short")
    rows = [(line, row) for line, row in rows if row]
    if not rows:
        raise UserError(f"{where} is empty; fetch it again")
    names = [name.strip() for name in rows[0][1]]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{where} has two columns {twice[0]}; leave one")
    return [name for name in names if name], [_named(names, row, f"{where}, line {line}") for line, row in rows[1:]]


def _named(names: list[str], row: list[str], where: str) -> dict[str, str]:
    """Return a row by its columns; what is empty behind the last of them does not count."""
    more = row[len(names) :]
    if len(row) < len(names) or any(more):
        raise UserError(
            f"{where}: {len(row)} values for {len(names)} columns; a value with a comma or a line end stands in "
            "quotation marks"
        )
    return {name: value for name, value in zip(names, row, strict=False) if name}


def json_rows(content: bytes, where: str) -> list[dict[str, Any]]:
    """Return the rows of a JSON list, or of JSON lines. Raises UserError for anything else, with the broken line."""
    text = text_of(content, where)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    as_list = text.lstrip()[:1] == "["
    found: list[Any] = []
    for number, said in [(1, text)] if as_list else lines:
        try:
            found += json.loads(said) if as_list else [json.loads(said)]
        except json.JSONDecodeError as error:
            line = number + error.lineno - 1
            raise UserError(f"{where}, line {line:,}, is not JSON ({error.msg}); the file may be cut short") from None
        except (ValueError, RecursionError) as error:  # a number of a thousand digits, lists in lists
            raise UserError(f"{where}, line {number:,}, cannot be read: {short(str(error), 100)}") from None
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise UserError(f"{where} does not hold a list of questions: number {number:,} is no object with fields")
    return found
