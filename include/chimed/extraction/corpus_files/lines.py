"""Lines and JSON values of a text as it streams by, none longer than `CELL`: what is held at once is one of them."""

import json
import re
from collections.abc import Iterator
from typing import TextIO

CELL = 16 * 1024 * 1024  # characters of a line, a row, a chapter; what is longer is a named miss
TOO_LONG = "longer than 16 M characters"
NOT_JSON = "not JSON"

_PIECE = 64 * 1024
_STRUCTURE = re.compile(r'["\\{}]')
_RESTARTS = 100  # broken objects of a file behind which the next one is looked for with care
_SOMETHING = re.compile(r"[^\s,\[\]}]")
_BARE_END = re.compile(r"[,\]\n]")
_NEXT_VALUE = re.compile(r"(?<=[,\n])\s{0,100}(?=\{)")


class TooLong:
    """Stands for what was longer than `CELL`; its characters were let go."""


def lines(text: TextIO) -> Iterator[str | TooLong]:
    """The lines with their ends (\\n, \\r\\n or \\r); one that is too long is read past and not held."""
    while line := text.readline(CELL + 1):
        if len(line) <= CELL:
            yield line
            continue
        while line and line[-1] not in "\r\n":
            line = text.readline(_PIECE)
        yield TooLong()


def parsed(value: str) -> object:
    """A JSON value. Raises ValueError where it is none, or nested or numbered beyond reason."""
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def values(text: TextIO, held: str = "") -> Iterator[str]:
    """The objects of a JSON array, or those that follow each other, each as its own piece of text.

    held: what was read of the text already.

    A piece is what its braces hold, whether it is JSON or not; where the braces of one do not close, it ends before
    what looks like the next one, and reading goes on from there. Whatever else stands between two objects is a piece
    too: nothing is passed over.
    """
    place, start, depth, quoted, escaped, restarts = 0, None, 0, False, False, 0
    while True:
        piece = text.read(_PIECE) if place >= len(held) else ""
        if place >= len(held) and start is None:
            held, place = "", 0
        held += piece
        if start is not None and (len(held) - start > CELL or place >= len(held)):  # it does not close
            restarts += 1
            cut = _NEXT_VALUE.search(held, start + 1)
            if cut is None or restarts > _RESTARTS:
                yield from _torn(held[start:])
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
                while (end := _BARE_END.search(held, start)) is None and len(held) - start <= CELL:
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


def _torn(piece: str) -> Iterator[str]:
    """A piece whose braces do not close, cut wherever an object may begin."""
    place = 0
    for cut in _NEXT_VALUE.finditer(piece):
        yield piece[place : cut.start()].rstrip(", \r\n\t")
        place = cut.end()
    yield piece[place:]
