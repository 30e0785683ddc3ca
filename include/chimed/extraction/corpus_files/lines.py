"""Lines and JSON values of a text as it streams by, none longer than `CELL`: what is held at once is one of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
    """Yield the objects of a JSON array, or those that follow each other, each as its own piece of text.

    held: what was read of the text already.

    A piece is what its braces hold, whether it is JSON or not; where the braces of one do not close, it ends before
    what looks like the next one, and reading goes on from there. Whatever else stands between two objects is a piece
    too: nothing is passed over.
    """
    restarts = 0
    while True:
        found = _SOMETHING.search(held)
        if found is None:
            if not (held := text.read(_PIECE)):
                return
            continue
        start = found.start()
        if held[start] != "{":
            value, held = _bare_value(text, held[start:])
            yield value
            continue
        held, end = _closed(text, held, start)
        if end is not None:
            yield held[start:end]
            held = held[end:]
            continue
        restarts += 1
        cut = _NEXT_VALUE.search(held, start + 1)
        if cut is None or restarts > _RESTARTS:
            yield from _torn(held[start:])
            held = ""
        else:
            yield held[start : cut.start()].rstrip(", \r\n\t")
            held = held[cut.end() :]


def _bare_value(text: TextIO, held: str) -> tuple[str, str]:
    """A value without braces, which ends at the next comma or line, and what was read behind it."""
    while (end := _BARE_END.search(held)) is None and len(held) <= CELL:
        if not (piece := text.read(_PIECE)):
            break
        held += piece
    stop = end.start() if end else len(held)
    return held[:stop], held[stop:]


def _closed(text: TextIO, held: str, start: int) -> tuple[str, int | None]:
    """What is read once the object that begins at `start` is, and its end; None where its braces do not close."""
    braces = _Braces(start)
    end = braces.end(held)
    while end is None and len(held) - start <= CELL and (piece := text.read(_PIECE)):
        held += piece
        end = braces.end(held) if len(held) - start <= CELL else None
    return held, end


@dataclass
class _Braces:
    """How far the braces of an object were followed; braces within its strings do not count."""

    place: int
    depth: int = 0
    quoted: bool = False
    escaped: bool = False

    def end(self, held: str) -> int | None:
        """Go on to where the outermost brace closes and return the place behind it; None where `held` ends before."""
        while self.place < len(held):
            if self.escaped:
                self.place, self.escaped = self.place + 1, False
                continue
            sign = _STRUCTURE.search(held, self.place)
            self.place = sign.end() if sign else len(held)
            if sign and self._closes(sign.group()):
                return self.place
        return None

    def _closes(self, sign: str) -> bool:
        match sign:
            case "\\" if self.quoted:
                self.escaped = True
            case '"':
                self.quoted = not self.quoted
            case "{" if not self.quoted:
                self.depth += 1
            case "}" if not self.quoted:
                self.depth -= 1
                return self.depth == 0
        return False


def _torn(piece: str) -> Iterator[str]:
    """A piece whose braces do not close, cut wherever an object may begin."""
    place = 0
    for cut in _NEXT_VALUE.finditer(piece):
        yield piece[place : cut.start()].rstrip(", \r\n\t")
        place = cut.end()
    yield piece[place:]
