"""Files that were put together of others in several encodings: every line is decoded in its own.

A codec for Python, so that such a file is read as any other: `chimed_utf_8_gb18030` and `chimed_utf_8_big5hkscs`. A
line that is whole UTF-8 is UTF-8; of another the likelier reading is taken. Neither GB18030 nor Big5 has a line end
within a character, so lines are the same in all three.
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
class Lines:
    """What the lines of a file are. utf8, other: how many. broken: places that are no character in a line's encoding.

    margin: nats by which the least certain line that is not UTF-8 is likelier to be of the other encoding. won: by
    which all of them are, together.
    """

    utf8: int
    other: int
    broken: int
    margin: float
    won: float

    @property
    def certainty(self) -> float:
        """Of the least certain line."""
        return 1 / (1 + math.exp(-min(self.margin, 30)))


def codec_name(other: str) -> str:
    """What Python knows the codec of UTF-8 and another encoding by."""
    return f"{_PREFIX}{other}"


def has_both(file: BinaryIO) -> bool:
    """Whether a file has lines that are UTF-8 beyond ASCII and lines that are not; a quick look, from its start."""
    file.seek(0)
    whole, torn = False, False
    for line in _pieces(file):
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


def looked_through(file: BinaryIO, other: str, probability: Probability) -> Lines:
    """What the lines of a file are, in UTF-8 or another encoding; leaves it at its start."""
    utf8, others, broken, margin, total = 0, 0, 0, math.inf, 0.0
    file.seek(0)
    for line in _pieces(file):
        if line.isascii():
            continue
        text, won = _likelier(line, other, probability, quick=utf8 + others > _WEIGHED)
        broken += text.count("\ufffd") if won > -math.inf else 0
        utf8 += won <= 0
        others += won > 0
        margin, total = (min(margin, won), total + won) if won > 0 else (margin, total)
    file.seek(0)
    return Lines(utf8, others, broken, margin, total)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    held = b""
    while piece := file.read(_LONGEST):
        whole, held = _cut(held + piece)
        yield from whole.splitlines(keepends=True)
    yield from held.splitlines(keepends=True)


def _cut(body: bytes) -> tuple[bytes, bytes]:
    """The whole lines, and what is left; of a line beyond all bounds what ends with a character of its own."""
    cut = body.rfind(b"\n") + 1
    if not cut and len(body) > _LONGEST:
        cut = max((match.end() for match in _PLAIN.finditer(body)), default=len(body))
    return body[:cut], body[cut:]


def _likelier(line: bytes, other: str, probability: Probability, quick: bool = True) -> tuple[str, float]:
    """A line's text, and by how many nats the other encoding wins; minus infinity where it is whole UTF-8.

    quick: does without the probabilities where the line is whole in the other encoding and in shreds as UTF-8.
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
    """Makes the codecs known to Python. probability: the natural logarithm of how probable a text is."""

    class ByLine(codecs.IncrementalDecoder):
        other = ""

        def __init__(self, errors: str = "strict") -> None:
            super().__init__(errors)
            self.held = b""

        def decode(self, body: bytes, final: bool = False) -> str:  # type: ignore[override]
            whole, self.held = (self.held + body, b"") if final else _cut(self.held + body)
            return "".join(_likelier(line, self.other, probability)[0] for line in whole.splitlines(keepends=True))

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
