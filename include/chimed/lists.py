"""Read settings and options that list things, written with the commas of any keyboard: 甲，乙、丙 is 甲,乙,丙. Ours."""

import re

_MARKS = re.compile(r"[,;，；、\n]")
_MARKS_OR_BLANKS = re.compile(r"[,;，；、\s]")  # \s has the full-width space too


def entries(said: str) -> list[str]:
    """Return the entries of a list, parted by commas, semicolons, 、 or new lines; an entry may hold blanks."""
    return [one.strip() for one in _MARKS.split(said) if one.strip()]


def words(said: str) -> list[str]:
    """Return the words of a list, parted by blanks too."""
    return [one for one in _MARKS_OR_BLANKS.split(said) if one]
