"""Whether a text is modern Chinese, classical Chinese, or no Chinese, by the words that carry its grammar (paper §3.1).

Modern Chinese says 的 了 是 在 这 没有, classical Chinese 之 者 也 曰 矣 乃; each has its weight, the logarithm of how
much more frequent it is in the one than in the other, and a text's weights are added up. A list of herbs or a verse
has few such words: then what is around it decides, the book or the other rows of the file.
"""

import math
import re
from dataclasses import dataclass
from functools import cache
from itertools import repeat

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
LATIN = 0.5  # of a word in Latin letters or a number: modern texts have more
LONGEST_STEP = (
    0.5  # a hundred Chinese characters say no more than fifty times this: one strange passage decides nothing
)
LIKELY = 8.0  # how much a text's own words must weigh before they overrule its book
CHINESE = 0.10  # share of a text's letters below which it is no Chinese text: a drug's name in it is no such text
KANA = 0.15  # share of kana among Han and kana from which a text is Japanese

# runs, not letters: there are fewer of them
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af〇○]+")
_KANA = re.compile("[\u3041-\u30fe\uff66-\uff9d]+")
_LATIN = re.compile(r"[A-Za-z]+|\d+")
_OTHER = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u1fff\uac00-\ud7a3]+")


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
    letters, words, any_word = _weights()
    weight = sum(map(letters.get, text, repeat(0.0))) + sum(map(words.__getitem__, any_word.findall(text)))
    weight -= LATIN * len(_LATIN.findall(text))
    han, kana, other = (sum(map(len, kind.findall(text))) for kind in (_HAN, _KANA, _OTHER))
    return Evidence(han, kana, other, weight)


def language_of(own: Evidence, around: Evidence) -> str:
    """`lzh` or `zh`: by the text's own words where they weigh enough, else by what is around it.

    around: the evidence of its book, or of all rows of its file.
    """
    decides = own if abs(own.weight) >= LIKELY or not around.han else around
    return "lzh" if decides.classical else "zh"


@cache
def _weights() -> tuple[dict[str, float], dict[str, float], re.Pattern[str]]:
    """The weights of characters, of longer words, and what finds those; a modern word takes back what its characters
    counted for the classical side."""
    every = {**CLASSICAL, **{word: -weight for word, weight in MODERN.items()}}
    letters = {word: weight for word, weight in every.items() if len(word) == 1}
    longer = {
        word: weight - sum(max(0.0, letters.get(char, 0.0)) for char in word) if weight < 0 else weight
        for word, weight in every.items()
        if len(word) > 1
    }
    return letters, longer, re.compile("|".join(longer))
