"""Read lines and JSON values of a text as a stream, none longer than `MAX_CELL_LENGTH`, so that memory is limited."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
        if cut is None or restarts > _MAX_RESTARTS:
            yield from _split_torn(held[start:])
            held = ""
        else:
            yield held[start : cut.start()].rstrip(", \r\n\t")
            held = held[cut.end() :]


def _bare_value(text: TextIO, held: str) -> tuple[str, str]:
    """Return a value without braces, which ends at the next comma or line, and the text read after it."""
    while (end := _BARE_END.search(held)) is None and len(held) <= MAX_CELL_LENGTH:
        if not (piece := text.read(_PIECE)):
            break
        held += piece
    stop = end.start() if end else len(held)
    return held[:stop], held[stop:]


def _closed(text: TextIO, held: str, start: int) -> tuple[str, int | None]:
    """Return the text once the object that begins at `start` is read, and its end; None if its braces do not close."""
    braces = _Braces(start)
    end = braces.end(held)
    while end is None and len(held) - start <= MAX_CELL_LENGTH and (piece := text.read(_PIECE)):
        held += piece
        end = braces.end(held) if len(held) - start <= MAX_CELL_LENGTH else None
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


def _split_torn(piece: str) -> Iterator[str]:
    """Yield a piece whose braces do not close, split wherever an object may begin."""
    place = 0
    for cut in _NEXT_VALUE.finditer(piece):
        yield piece[place : cut.start()].rstrip(", \r\n\t")
        place = cut.end()
    yield piece[place:]
