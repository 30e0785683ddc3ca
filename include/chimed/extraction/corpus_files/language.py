"""Detect modern Chinese, classical Chinese or another language by function words (paper §3.1).

Modern Chinese uses 的 了 是 在 这 没有, classical Chinese 之 者 也 曰 矣 乃.

Each word has a weight: the logarithm of how much more frequent it is in one than in the other. The sum of the weights
is the log-likelihood ratio of a naive Bayes classifier. A list of herbs or a verse has few such words: then the context
decides, the book or the file's other rows.
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
WEIGHT_SCALE = 10  # weights are summed as integers in tenths, so that sums are exact
LATIN_WEIGHT = 5  # tenths, of a Latin word or a number: modern texts have more of them
# nats per Chinese character: limits what one strange passage can decide, since its words are not independent
MAX_WEIGHT_PER_CHARACTER = 0.5
MIN_OWN_WEIGHT = 8.0  # nats from which a text's own words overrule its book
MIN_CHINESE_SHARE = 0.10  # of letters; below it the text is not Chinese, even if it names a drug in Chinese
MAX_KANA_SHARE = 0.15  # of Han and kana; above it the text is Japanese


@dataclass(frozen=True)
class Evidence:
    """Evidence for a text's language; the evidence of several texts adds up.

    han, kana, other: numbers of letters. weight: log-likelihood ratio of classical over modern Chinese.
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
        return self.kana <= MAX_KANA_SHARE * (self.han + self.kana) and self.han >= MIN_CHINESE_SHARE * letters

    @property
    def classical(self) -> bool:
        """Whether classical Chinese is more likely than modern."""
        return self.weight > 0

    @property
    def certainty(self) -> float:
        """Certainty of that, from 0.5 to 1; limited, because words near each other are not independent."""
        most = MAX_WEIGHT_PER_CHARACTER * max(self.han, 10)
        return 1 / (1 + math.exp(-min(abs(self.weight) / 2, most, 30)))


def weigh_text(text: str) -> Evidence:
    """Return the evidence of a text's letters and words."""
    return weigh_texts([text])[0]


def weigh_texts(texts: Sequence[str]) -> list[Evidence]:
    """Return the evidence of each of many texts, computed on one array of code points."""
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
        weights -= inside * LATIN_WEIGHT
    places, more = _weigh_pairs(letters, kinds, signs)
    weights[places] += more
    weighed = np.add.reduceat(weights, starts, dtype=np.int64).tolist()
    han, kana, other = (
        np.add.reduceat((kinds & kind) != 0, starts, dtype=np.int64).tolist() for kind in (_HAN, _KANA, _OTHER)
    )
    return [Evidence(h, k, o, weight / WEIGHT_SCALE) for h, k, o, weight in zip(han, kana, other, weighed, strict=True)]


def _weigh_pairs(letters: np.ndarray, kinds: np.ndarray, signs: "_Signs") -> tuple[np.ndarray, np.ndarray]:
    """Return the places and weights of two-character words; of two overlapping words the first counts."""
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


def decide_language(own: Evidence, around: Evidence) -> str:
    """Return `lzh` or `zh`: by the text's own words if they weigh enough, else by its context.

    around: the evidence of its book, or of all rows of its file.
    """
    decides = own if abs(own.weight) >= MIN_OWN_WEIGHT or not around.han else around
    return "lzh" if decides.classical else "zh"


# --- what each character says ------------------------------------------------------------------------------------

_HAN, _KANA, _OTHER, _LATIN, _DIGIT, _BEGINS = 1, 2, 4, 8, 16, 32  # bits; the last: a word of two characters
_SIZE = 0x323B1  # code points up to the last Han character; all behind them say nothing


@dataclass(frozen=True)
class _Signs:
    """Character classes and weights by code point; two-character words, sorted, and their weights."""

    kinds: np.ndarray
    weights: np.ndarray
    pairs: np.ndarray
    pair_weights: np.ndarray


@cache
def _signs() -> _Signs:
    """Return all weights, scaled to integers; a modern word cancels the classical weights of its characters."""
    every = {**CLASSICAL, **{word: -weight for word, weight in MODERN.items()}}
    letters = {word: round(weight * WEIGHT_SCALE) for word, weight in every.items() if len(word) == 1}
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
            longer[int(_pair(ord(word[0]), ord(word[1])))] = round(weight * WEIGHT_SCALE) - taken_back
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
