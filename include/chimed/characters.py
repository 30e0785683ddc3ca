"""Which characters may stand in a text: what a store or a file refuses, and what a terminal would obey.

The one place that makes foreign text safe. Ours; the paper tells none of it. SQLite, PostgreSQL, parquet and JSON
differ in what they refuse (a lone surrogate, U+0000); what is `storable` here all four take and give back unchanged.
"""

import re

LOST = "\ufffd"  # stands where a character could not be kept
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# no text: control characters but tab and line ends, surrogates, noncharacters of every plane, tags (letters that nobody
# sees), and what stands for a lost character
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff\U000e0000-\U000e007f"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
# what a terminal obeys or is fooled by: control characters but tab and line ends, and marks that turn the direction
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with U+FFFD where a store would refuse a character."""
    return _UNSTORABLE.sub(LOST, text)


def strange(text: str) -> str | None:
    """The first character that is no text, as U+D835; None where all of it is text."""
    found = _NO_TEXT.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def printable(text: str) -> str:
    """The text as a terminal may show it: what it would obey is written out, as ⟨U+001B⟩. Line ends stay."""
    return _OBEYED.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def one_line(text: str) -> str:
    """The text as a terminal may show it on one line, so that nothing in it can pass for a line of ours."""
    return printable(text.replace("\r\n", "\n")).replace("\n", "⏎")


def short(text: str, most: int) -> str:
    """The text on one line of at most `most` characters, safe to show."""
    line = " ".join(text[: 4 * most].split())
    return printable(line if len(line) <= most else f"{line[: most - 1]}…")
