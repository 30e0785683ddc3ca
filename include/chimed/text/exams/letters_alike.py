"""Normalize the letters of texts to flat arrays, to compare exam questions with texts.

Traditional and simplified characters, full and half width, and upper and lower case are equal (OpenCC's dictionary,
Unicode's NFKC). Other characters than letters and digits are removed; the places of the rest are kept.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np

BREAK = 0xFFFF  # the code of a NUL, which stands between two texts: no letter has it
_RARE = np.arange(0x20000, 0x33480)  # characters that need more than 16 bits share the codes of the private area
_PRIVATE, _PRIVATE_END = 0xE000, 0xF900


@dataclass(frozen=True)
class Letters:
    """Normalized letters. codes: of each letter (uint16). places: of each letter in the text, in characters (int32)."""

    codes: np.ndarray
    places: np.ndarray


def normalize_letters(text: str) -> Letters:
    """Return the letters and digits of a text, and a `BREAK` for every NUL in it."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = _table()[points]
    places = np.flatnonzero(codes).astype(np.int32)
    return Letters(codes[places], places)


def as_text(codes: np.ndarray) -> str:
    """Return codes as a string with one character each."""
    return codes.tobytes().decode("utf-16-le")


@cache
def _table() -> np.ndarray:
    """Return the code of every character; 0 if it is neither a letter nor a digit."""
    from opencc import OpenCC  # here: who only asks for a stage's help needs no dictionary

    points = np.array([point for point in range(0x21, 0x10000) if not 0xD800 <= point < _PRIVATE_END])
    characters = [chr(point) for point in points]
    folded = [unicodedata.normalize("NFKC", character).lower() for character in characters]
    single = [one if len(one) == 1 else character for one, character in zip(folded, characters, strict=True)]
    said = "\n".join(single)
    for script in ("hk2s", "tw2s"):  # each knows some characters of its own, and those of all
        said = OpenCC(script).convert(said)
    simple = said.split("\n")
    table = np.zeros(0x110000, np.uint16)
    table[_RARE] = _PRIVATE + _RARE % (_PRIVATE_END - _PRIVATE)
    for point, character in zip(points, simple, strict=True):
        if character.isalnum():
            table[point] = table[ord(character)] if ord(character) >= _RARE[0] else ord(character)
    table[0] = BREAK
    return table
