"""Define which characters are allowed in a text: what a store or file rejects, and what a terminal would interpret.

The one place that makes foreign text safe. Ours; the paper does not cover it. SQLite, PostgreSQL, Parquet and JSON
reject different characters (a lone surrogate, U+0000); all four accept a `storable` text and return it unchanged.
"""

import re

REPLACEMENT = "\ufffd"  # stands where a character could not be kept
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# no text: control characters but tab and line ends, surrogates, noncharacters of every plane, tags (letters that nobody
# sees), and what stands for a lost character
_INVALID = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff\U000e0000-\U000e007f"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
# what a terminal obeys or is fooled by: control characters but tab and line ends, and marks that turn the direction
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with U+FFFD for every character that a store would reject."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def first_invalid_character(text: str) -> str | None:
    """Return the first character that is not text, as U+D835; None if there is none."""
    found = _INVALID.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def printable(text: str) -> str:
    """Return the text as a terminal may show it: control characters are written out, as ⟨U+001B⟩. Line ends stay."""
    return _OBEYED.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def one_line(text: str) -> str:
    """Return the text for a terminal on one line, so that no part of it can look like a line of our own output."""
    return printable(text.replace("\r\n", "\n")).replace("\n", "⏎")


def short(text: str, most: int) -> str:
    """Return the text on one line of at most `most` characters, safe to show."""
    line = " ".join(text[: 4 * most].split())
    return printable(line if len(line) <= most else f"{line[: most - 1]}…")
