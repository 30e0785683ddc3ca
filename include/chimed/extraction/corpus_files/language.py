"""Whether a text is modern Chinese, classical Chinese, or no Chinese, by the words that carry its grammar (paper §3.1).

Modern Chinese says 的 了 是 在 这 没有, classical Chinese 之 者 也 曰 矣 乃; each has its weight, the logarithm of how
much more frequent it is in the one than in the other, and a text's weights are added up. A list of herbs or a verse
has few such words: then what is around it decides, the book or the other rows of the file.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

# weights: natural logarithm of the word's frequency in classical over that in modern Chinese, from counts in texts of
# both, rounded; a word of one character counts wherever it stands, so the longer ones take back what it overcounts
CLASSICAL = {
    **dict.fromkeys("曰矣焉哉兮欤歟乎耶耳豈岂孰弗奚烏", 3.5),
    **dict.fromkeys("乃亦皆盖蓋凡於夫遂辄輒俱咸俾哉悉", 2.5),
    **dict.fromkeys("之则則故若钱錢", 1.8),
    **dict.fromkeys("其也者而何勿莫谓謂未必", 1.0),
    **dict.fromkeys("两兩升斤钟枚匕", 0.6),
    "服之": 1.5, "主之": 1.5, "为末": 1.5, "為末": 1.5, "㕮咀": 3.0, "每服": 1.0, "右为": 2.5, "右為": 2.5, "不可": 0.5,
}  # fmt: skip
MODERN = {
    **dict.fromkeys("的们們这這你您吗嗎呢吧很没沒啊哪她它", 3.5),
    **dict.fromkeys("了是在和个個就都被把得着还還", 1.4),
    **dict.fromkeys("么麼能到说說给給从從让讓", 0.8),
    **dict.fromkeys(
        ("可以", "进行", "進行", "治疗", "治療", "患者", "引起", "症状", "症狀", "用于", "具有", "主要"), 3.0
    ),
    **dict.fromkeys(
        ("检查", "檢查", "医院", "醫院", "医生", "醫生", "如果", "因为", "因為", "但是", "所以", "导致"), 3.0
    ),
    **dict.fromkeys(
        ("手术", "手術", "药物", "藥物", "或者", "以及", "之间", "之後", "之后", "其他", "而且", "含有"), 3.0
    ),
    **dict.fromkeys(
        ("厘米", "毫米", "毫升", "毫克", "温度", "植物", "作用", "细胞", "研究", "科植", "需要", "建议"), 3.0
    ),
    **dict.fromkeys(("这个", "什么", "怎么", "情况", "问题", "临床", "血压", "常用", "本品", "呈"), 2.0),
}
TENTHS = 10  # weights are added up in tenths: no rounding
LATIN = 5  # tenths of a word in Latin letters or a number: modern texts have more
LONGEST_STEP = (
    0.5  # a hundred Chinese characters say no more than fifty times this: one strange passage decides nothing
)
LIKELY = 8.0  # how much a text's own words must weigh before they overrule its book
CHINESE = 0.10  # share of a text's letters below which it is no Chinese text: a drug's name in it is no such text
KANA = 0.15  # share of kana among Han and kana from which a text is Japanese


@dataclass(frozen=True)
class Evidence:
    """What a text says of its language; several texts' evidence adds up.

    han, kana, other: its letters. weight: how much its words speak for classical Chinese, less what they speak for
    modern.
    """

    han: int = 0
    kana: int = 0
    other: int = 0
    weight: float = 0.0

    def __add__(self, more: "Evidence") -> "Evidence":
        return Evidence(self.han + more.han, self.kana + more.kana, self.other + more.other, self.weight + more.weight)

    @property
    def chinese(self) -> bool:
        """Whether it is Chinese at all, by its letters."""
        letters = self.han + self.kana + self.other
        if not self.han:
            return False
        return self.kana <= KANA * (self.han + self.kana) and self.han >= CHINESE * letters

    @property
    def classical(self) -> bool:
        """Whether classical Chinese is the likelier."""
        return self.weight > 0

    @property
    def certainty(self) -> float:
        """From 0.5 to 1 how certain that is: words near each other are not independent, hence the bound."""
        most = LONGEST_STEP * max(self.han, 10)
        return 1 / (1 + math.exp(-min(abs(self.weight) / 2, most, 30)))


def evidence_in(text: str) -> Evidence:
    """What a text's letters and words say of its language."""
    return evidence_of([text])[0]


def evidence_of(texts: Sequence[str]) -> list[Evidence]:
    """What the letters and words of each of many texts say, all of them weighed at once."""
    if not texts:
        return []
    signs = _signs()
    letters = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    letters = np.minimum(letters, _SIZE - 1)
    starts = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])])
    kinds = signs.kinds[letters]
    weights = signs.weights[letters]
    for kind in (_LATIN, _DIGIT):  # a word or a number counts once, where it begins
        inside = (kinds & kind) != 0
        inside[1:] &= ~inside[:-1]
        weights -= inside * LATIN
    places, more = _longer(letters, kinds, signs)
    weights[places] += more
    weighed = np.add.reduceat(weights, starts, dtype=np.int64).tolist()
    han, kana, other = (
        np.add.reduceat((kinds & kind) != 0, starts, dtype=np.int64).tolist() for kind in (_HAN, _KANA, _OTHER)
    )
    return [Evidence(h, k, o, weight / TENTHS) for h, k, o, weight in zip(han, kana, other, weighed, strict=True)]


def _longer(letters: np.ndarray, kinds: np.ndarray, signs: "_Signs") -> tuple[np.ndarray, np.ndarray]:
    """Where words of two characters stand, and what they weigh; of two that share a character the first counts."""
    begins = np.flatnonzero(kinds[:-1] & _BEGINS)
    pairs = _pair(letters[begins], letters[begins + 1])
    found = np.minimum(np.searchsorted(signs.pairs, pairs), len(signs.pairs) - 1)
    hits = signs.pairs[found] == pairs
    places, found = begins[hits], found[hits]
    if not len(places):
        return places, signs.pair_weights[found]
    firsts = np.concatenate(([True], np.diff(places) != 1))  # of words that follow each other by one character
    order = np.arange(len(places))
    counted = (order - np.maximum.accumulate(np.where(firsts, order, 0))) % 2 == 0
    return places[counted], signs.pair_weights[found[counted]]


def language_of(own: Evidence, around: Evidence) -> str:
    """`lzh` or `zh`: by the text's own words where they weigh enough, else by what is around it.

    around: the evidence of its book, or of all rows of its file.
    """
    decides = own if abs(own.weight) >= LIKELY or not around.han else around
    return "lzh" if decides.classical else "zh"


# --- what each character says ------------------------------------------------------------------------------------

_HAN, _KANA, _OTHER, _LATIN, _DIGIT, _BEGINS = 1, 2, 4, 8, 16, 32  # bits; the last: a word of two characters
_SIZE = 0x323B1  # code points up to the last Han character; all behind them say nothing


@dataclass(frozen=True)
class _Signs:
    """By code point the kinds and the weight of a character; words of two characters, sorted, and their weights."""

    kinds: np.ndarray
    weights: np.ndarray
    pairs: np.ndarray
    pair_weights: np.ndarray


@cache
def _signs() -> _Signs:
    """All weights, in tenths; a modern word takes back what its characters counted for the classical side."""
    every = {**CLASSICAL, **{word: -weight for word, weight in MODERN.items()}}
    letters = {word: round(weight * TENTHS) for word, weight in every.items() if len(word) == 1}
    kinds, weights = np.zeros(_SIZE, np.uint8), np.zeros(_SIZE, np.int32)
    for char, tenths in letters.items():
        weights[ord(char)] = tenths
    for kind, ranges in _RANGES.items():
        for first, last in ranges:
            kinds[first : last + 1] |= kind
    digits = [match.start() for match in re.finditer(r"\d", "".join(map(chr, range(0x20000))))]
    kinds[digits] |= _DIGIT
    longer = {}
    for word, weight in every.items():
        if len(word) == 2:
            taken_back = sum(max(0, letters.get(char, 0)) for char in word) if weight < 0 else 0
            longer[int(_pair(ord(word[0]), ord(word[1])))] = round(weight * TENTHS) - taken_back
            kinds[ord(word[0])] |= _BEGINS
    pairs = sorted(longer)
    return _Signs(kinds, weights, np.array(pairs, np.uint64), np.array([longer[pair] for pair in pairs], np.int32))


_RANGES = {
    _HAN: ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF), (0x3007, 0x3007), (0x25CB, 0x25CB)),  # 〇 ○
    _KANA: ((0x3041, 0x30FE), (0xFF66, 0xFF9D)),
    _OTHER: ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x370, 0x1FFF), (0xAC00, 0xD7A3)),
    _LATIN: ((0x41, 0x5A), (0x61, 0x7A)),
}


def _pair(first: np.ndarray | int, second: np.ndarray | int) -> np.ndarray:
    return np.left_shift(np.asarray(first, np.uint64), np.uint64(21)) | np.asarray(second, np.uint64)
