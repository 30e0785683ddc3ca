"""Read lines and JSON values of a text as a stream, none longer than `MAX_CELL_LENGTH`, so that memory is limited."""

import json
import re
from collections.abc import Iterator
from typing import TextIO

MAX_CELL_LENGTH = 16 * 1024 * 1024  # characters of a line, a row, a chapter; what is longer is a named miss
TOO_LONG = "longer than 16 M characters"
NOT_JSON = "not JSON"

_PIECE = 64 * 1024
_STRUCTURE = re.compile(r'["\\{}]')
_MAX_RESTARTS = 100  # broken objects of a file behind which the next one is looked for with care
_SOMETHING = re.compile(r"[^\s,\[\]}]")
_BARE_END = re.compile(r"[,\]\n]")
_NEXT_VALUE = re.compile(r"(?<=[,\n])\s{0,100}(?=\{)")


class TooLong:
    """A placeholder for something longer than `MAX_CELL_LENGTH`; its characters were not kept."""


def read_lines(text: TextIO) -> Iterator[str | TooLong]:
    """Yield lines with their ends (\\n, \\r\\n or \\r); a line that is too long is skipped and replaced by TooLong."""
    while line := text.readline(MAX_CELL_LENGTH + 1):
        if len(line) <= MAX_CELL_LENGTH:
            yield line
            continue
        while line and line[-1] not in "\r\n":
            line = text.readline(_PIECE)
        yield TooLong()


def parse_json(value: str) -> object:
    """Return a JSON value. Raise ValueError if it is invalid, or nested too deeply."""
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def split_objects(text: TextIO, held: str = "") -> Iterator[str]:
    """Yield the objects of a JSON array, or of a sequence of objects, each as text.

    held: the part of the text that was read already. A piece is what a pair of braces encloses, valid JSON or not. If
    braces do not close, the piece ends before what looks like the next object, and reading continues there. Anything
    else between two objects is a piece too: nothing is skipped.
    """
    place, start, depth, quoted, escaped, restarts = 0, None, 0, False, False, 0
    while True:
        piece = text.read(_PIECE) if place >= len(held) else ""
        if place >= len(held) and start is None:
            held, place = "", 0
        held += piece
        if start is not None and (len(held) - start > MAX_CELL_LENGTH or place >= len(held)):  # it does not close
            restarts += 1
            cut = _NEXT_VALUE.search(held, start + 1)
            if cut is None or restarts > _MAX_RESTARTS:
                yield from _split_torn(held[start:])
                held = ""
            else:
                yield held[start : cut.start()].rstrip(", \r\n\t")
                held = held[cut.end() :]
            place, start, depth, quoted, escaped = 0, None, 0, False, False
            continue
        if place >= len(held):
            return
        if start is None:  # between objects
            found = _SOMETHING.search(held, place)
            if found is None:
                place = len(held)
                continue
            start = place = found.start()
            if held[start] != "{":  # a bare value ends at the next comma or line
                while (end := _BARE_END.search(held, start)) is None and len(held) - start <= MAX_CELL_LENGTH:
                    if not (piece := text.read(_PIECE)):
                        break
                    held += piece
                stop = end.start() if end else len(held)
                yield held[start:stop]
                held, place, start = held[stop:], 0, None
                continue
        if escaped:
            place, escaped = place + 1, False
            continue
        sign = _STRUCTURE.search(held, place)
        if sign is None:
            place = len(held)
            continue
        place = sign.end()
        match sign.group():
            case "\\" if quoted:
                escaped = True
            case '"':
                quoted = not quoted
            case "{" if not quoted:
                depth += 1
            case "}" if not quoted:
                depth -= 1
                if depth == 0:
                    yield held[start:place]
                    held, place, start = held[place:], 0, None


def _split_torn(piece: str) -> Iterator[str]:
    """Yield a piece whose braces do not close, split wherever an object may begin."""
    place = 0
    for cut in _NEXT_VALUE.finditer(piece):
        yield piece[place : cut.start()].rstrip(", \r\n\t")
        place = cut.end()
    yield piece[place:]
