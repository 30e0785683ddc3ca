"""Decode files that were assembled from others in several encodings, each line in its own.

This is a Python codec, so that such a file is read like any other: `chimed_utf_8_gb18030` and `chimed_utf_8_big5hkscs`.
A line that is valid UTF-8 is UTF-8; for another the more probable decoding is chosen. Neither GB18030 nor Big5 has a
line end within a character, so lines are the same in all three.
"""

import codecs
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

OTHERS = ("gb18030", "big5hkscs")
_PREFIX = "chimed_utf_8_"
_LONGEST = 1 << 20  # bytes of a line, beyond which it is decoded in pieces
_WEIGHED = 1_000  # lines that are not UTF-8 of which the probability is computed, whatever they look like
_TORN = 0.25  # share of broken characters in a line read as UTF-8, from which it is none if it is whole in another
_SURE = 25.0  # nats of such a character
_PLAIN = re.compile(rb"[\t -0]")  # a character of its own in every encoding

Probability = Callable[[str], float]


@dataclass(frozen=True)
class LineCounts:
    """Counts over the lines of a file. utf8, other: lines. broken: places that decode in neither encoding.

    margin: by how many nats the least certain line that is not UTF-8 is more probable in the other encoding. won: the
    same for all of them together.
    """

    utf8: int
    other: int
    broken: int
    margin: float
    won: float

    @property
    def certainty(self) -> float:
        """Certainty of the least certain line."""
        return 1 / (1 + math.exp(-min(self.margin, 30)))


def codec_name(other: str) -> str:
    """Return the name of the codec for UTF-8 and another encoding."""
    return f"{_PREFIX}{other}"


def has_both(file: BinaryIO) -> bool:
    """Return whether a file has lines in UTF-8 beyond ASCII and lines that are not UTF-8; a quick check."""
    file.seek(0)
    whole, torn = False, False
    for line in _read_lines(file):
        if not line.isascii():
            try:
                line.decode("utf-8")
                whole = True
            except UnicodeDecodeError:
                torn = True
        if whole and torn:
            break
    file.seek(0)
    return whole and torn


def count_lines(file: BinaryIO, other: str, probability: Probability) -> LineCounts:
    """Return counts of a file's lines in UTF-8 and another encoding; rewind the file."""
    utf8, others, broken, margin, total = 0, 0, 0, math.inf, 0.0
    file.seek(0)
    for line in _read_lines(file):
        if line.isascii():
            continue
        text, won = _decode_line(line, other, probability, quick=utf8 + others > _WEIGHED)
        broken += text.count("\ufffd") if won > -math.inf else 0
        utf8 += won <= 0
        others += won > 0
        margin, total = (min(margin, won), total + won) if won > 0 else (margin, total)
    file.seek(0)
    return LineCounts(utf8, others, broken, margin, total)


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    held = b""
    while piece := file.read(_LONGEST):
        whole, held = _split_whole_lines(held + piece)
        yield from whole.splitlines(keepends=True)
    yield from held.splitlines(keepends=True)


def _split_whole_lines(body: bytes) -> tuple[bytes, bytes]:
    """Return the whole lines, and the rest; a line beyond the limit is cut after a character that is one byte."""
    cut = body.rfind(b"\n") + 1
    if not cut and len(body) > _LONGEST:
        cut = max((match.end() for match in _PLAIN.finditer(body)), default=len(body))
    return body[:cut], body[cut:]


def _decode_line(line: bytes, other: str, probability: Probability, quick: bool = True) -> tuple[str, float]:
    """Return a line's text, and by how many nats the other encoding wins; minus infinity if the line is valid UTF-8.

    quick: skip the probabilities if the line is valid in the other encoding and mostly broken as UTF-8.
    """
    try:
        return line.decode("utf-8"), -math.inf
    except UnicodeDecodeError:
        torn, read = line.decode("utf-8", "replace"), line.decode(other, "replace")
    shreds = torn.count("\ufffd")
    if quick and shreds > _TORN * len(torn) and "\ufffd" not in read:
        return read, _SURE * shreds
    won = probability(read) - probability(torn)
    return (read, won) if won > 0 else (torn, won)


def register(probability: Probability) -> None:
    """Register the codecs with Python. probability: a function that returns the natural logarithm of a text's
    probability.
    """

    class ByLine(codecs.IncrementalDecoder):
        other = ""

        def __init__(self, errors: str = "strict") -> None:
            super().__init__(errors)
            self.held = b""

        def decode(self, body: bytes, final: bool = False) -> str:  # type: ignore[override]
            whole, self.held = (self.held + body, b"") if final else _split_whole_lines(self.held + body)
            return "".join(_decode_line(line, self.other, probability)[0] for line in whole.splitlines(keepends=True))

        def reset(self) -> None:
            self.held = b""

        def getstate(self) -> tuple[bytes, int]:
            return self.held, 0

        def setstate(self, state: tuple[bytes, int]) -> None:
            self.held = state[0]

    def found(name: str) -> codecs.CodecInfo | None:
        other = name.removeprefix(_PREFIX)
        if other == name or other not in OTHERS:
            return None

        def decode(body: bytes, errors: str = "strict") -> tuple[str, int]:
            return decoder(errors).decode(bytes(body), final=True), len(body)

        decoder = type("ByLine", (ByLine,), {"other": other})
        plain = codecs.lookup("utf-8")  # what is written is UTF-8
        return codecs.CodecInfo(
            plain.encode,
            decode,  # type: ignore[arg-type]
            incrementalencoder=plain.incrementalencoder,
            incrementaldecoder=decoder,  # type: ignore[arg-type]
            name=name,
        )

    codecs.register(found)
