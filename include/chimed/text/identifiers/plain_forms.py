"""Undo obfuscation: ①③⑧, 一三八, １３８ and 138 with keycaps are one number, V❤ is V心.

Ours, used by `identifiers` before its rules. A letter becomes one letter or nothing, and every plain letter knows its
place in the original, so that a span found here is a span there.
"""

import re
import unicodedata
from dataclasses import dataclass

_DASHES = "—–‐‑‒−﹣－─ー"
_DOTS = "•・‧∙⋅●"
_HEARTS = "❤♥♡❥💓💔💕💖💗💘💙💚💛💜💝💞🖤🤍🤎🧡🩷🩵🩶"
_SAME = (
    {0x3000: " ", 0xA0: " ", 0x09: " ", ord("➕"): "+", ord("🐧"): "鹅", ord("∶"): ":", ord("︰"): ":", ord("﹕"): ":"}
    | {ord(one): "-" for one in _DASHES}
    | {ord(one): "·" for one in _DOTS}
    | {ord(one): "心" for one in _HEARTS}
)
# Letters of other alphabets that look like Latin ones
_ALIKE = dict(
    zip(
        map(ord, "АВЕЅКМНОРСТХУІЈаеорсхуіјѕԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"),
        "ABESKMHOPCTXYIJaeopcxyijsqwABEZHIKMNOPTYXo",
        strict=True,
    )
)
# Circled and bracketed digits; 0 to 9 stand in several rows of Unicode. Superscripts stay: 10⁹ is no 109.
_ROUND = {
    0x24EA: "0", 0x24FF: "0", 0x1F10B: "0", 0x1F10C: "0",
    **{row + n: str(n + 1) for row in (0x2460, 0x2474, 0x2488, 0x24F5, 0x2776, 0x2780, 0x278A) for n in range(9)},
}  # fmt: skip
_ROUND_LETTERS = {
    row + n: chr(ord("A" if row != 0x24D0 and row != 0x249C else "a") + n)
    for row in (0x24B6, 0x24D0, 0x249C, 0x1F110, 0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
    for n in range(26)
}


def _mathematical() -> dict[int, str]:
    """Return 𝟏 𝗩 and the like, bold, italic and double-struck letters and digits, with their plain forms."""
    forms = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0x1D400, 0x1D800)}
    return {code: plain for code, plain in forms.items() if plain.isascii() and len(plain) == 1}


_PLAIN = (
    {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | _SAME
    | _ALIKE
    | _ROUND
    | _ROUND_LETTERS
    | _mathematical()
)
# What shows nothing or only dresses the letter before it: zero-width and format characters, keycaps, strokes across
_NOTHING = re.compile(
    "[\u00ad\u0300-\u036f\u061c\u115f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20dd-\u20e3\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]"
)
_WORDS_OF_DIGITS = "零〇○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖弌弍弎"
_CHINESE_DIGITS = str.maketrans(_WORDS_OF_DIGITS, "0001234567891123456789123")
_MIXED_RUN = re.compile(rf"[0-9{_WORDS_OF_DIGITS}](?:[- .·_*/~]{{0,2}}[0-9{_WORDS_OF_DIGITS}]){{6,40}}")
_WHOLE_NUMBER = re.compile(r"(?:\d[- .·_*/~]{0,2}){9}\d")


@dataclass(frozen=True)
class Plain:
    """A text in plain form. places: of each of its letters, and of its end, in the original;

    None if they are the same.
    """

    text: str
    places: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where [start, end) of the plain text is in the original."""
        if self.places is None or start == end:
            return start, end
        return self.places[start], self.places[end]  # what dresses the last letter belongs to it


def to_plain_form(text: str) -> Plain:
    """Return the text in plain form. Chinese digits become digits only in a run of seven or more."""
    places = None
    if _NOTHING.search(text):
        places = [place for place, letter in enumerate(text) if not _NOTHING.match(letter)]
        places.append(len(text))
        text = _NOTHING.sub("", text)
    return Plain(_MIXED_RUN.sub(_digits, text.translate(_PLAIN)), places)


def _digits(run: re.Match[str]) -> str:
    """Return a run with its Chinese digits as digits; after a whole number 一 is a word: 13800138000一天."""
    return run[0] if _WHOLE_NUMBER.search(run[0]) else run[0].translate(_CHINESE_DIGITS)
