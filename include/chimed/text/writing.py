"""Normalize spelling variants: traditional script, full width, compatibility forms.

Used by the gates of `translate` and `generate_qa` before they compare two texts. Every character becomes exactly one
character, so that places in the result are places in the original.
"""

import unicodedata
from functools import lru_cache

_HAN = range(0x3400, 0xA000)
_MARKS = "，。；：？！（）、"  # stay as Chinese writes them
_COMPATIBLE = (*range(0x00A0, 0x0180), *range(0x2000, 0x3400), *range(0xF900, 0xFB00), *range(0xFE30, 0xFFF0))


@lru_cache
def _table() -> dict[int, str]:
    """Return the translation table: OpenCC's traditional to simplified, and Unicode's compatibility forms."""
    from opencc import OpenCC  # here: the models' environment has none, and reads only the prompts' forms

    han = "\n".join(map(chr, _HAN))
    table = {ord(old): new for old, new in zip(han, OpenCC("t2s").convert(han), strict=True) if old != new}
    for code in _COMPATIBLE:
        new = unicodedata.normalize("NFKC", chr(code))
        if len(new) == 1 and new != chr(code):
            table[code] = table.get(ord(new), new)
    return {code: new for code, new in table.items() if chr(code) not in _MARKS}


def simplify(text: str) -> str:
    """Return the text in simplified script and half width, with the same length."""
    return text.translate(_table())
