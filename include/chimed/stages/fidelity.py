"""Does a modern text say what the classical one says? Names, doses, numbers and negations must survive.

Used by `translate`. Ours: the paper takes translations as they are. The faults are Chinese because they are named to
the model on its second try; the part before ： is the ledger's reason.
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

RATIO = (0.8, 4.0)  # a modern text's length to its source's: classical Chinese is about half as long
COPIED = 0.9  # share of the source's letters found in their order: a copy
NEGATIONS_OLD = re.compile(r"[不勿无毋莫弗未非忌禁]")
NEGATIONS_NEW = re.compile(r"[不勿无没未非忌禁别莫]|避免")
_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0, "半": 0.5}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_WEIGHTS = "两|钱|分|斤|升|合|斗|枚|个|片|粒|丸|剂|服|日|次|克|铢|寸|壮"
_DOSE = re.compile(rf"([零〇一二三四五六七八九十百千两半]+|\d+(?:\.\d+)?)\s*({_WEIGHTS})")


def fault(source: str, modern: str) -> str | None:
    """What the modern text gets wrong that can be seen without a model, in a few Chinese words; or None."""
    modern = modern.strip()
    if not modern:
        return "译文为空"
    if _copied(source, modern):
        return "照抄原文"
    ratio = len(modern) / len(source)
    if not RATIO[0] <= ratio <= RATIO[1]:
        return f"长度不合：译文是原文的{ratio:.1f}倍"
    lost = [name for name in names(source) if name not in modern]
    if lost:
        return f"漏译药名或方名：{'、'.join(lost)}"
    gone = doses(source) - doses(modern)
    if gone:
        return "剂量不符：" + "、".join(sorted(f"{number:g}{unit}" for number, unit in gone))
    if NEGATIONS_OLD.search(source) and not NEGATIONS_NEW.search(modern):
        return "漏译否定"
    return None


@lru_cache
def _terms() -> re.Pattern:
    terms = yaml.safe_load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"))
    every = sorted({name for group in terms.values() for name in group}, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, every)))


def names(text: str) -> list[str]:
    """Herbs, formulas and acupoints of `terms.yaml` in the text, longest match first, each once."""
    return list(dict.fromkeys(_terms().findall(text)))


def doses(text: str) -> set[tuple[float, str]]:
    """Numbers with their units, Chinese and Arabic digits alike: 三两, 3 两 → (3.0, 两)."""
    return {(number(match[1]), match[2]) for match in _DOSE.finditer(text)}


def number(text: str) -> float:
    """The value of an Arabic number, or of a Chinese one below ten thousand (二十四, 一百零五, 半)."""
    if text[0].isascii():
        return float(text)
    total, digit = 0.0, 0.0
    for character in text:
        if character in _UNITS:
            total, digit = total + (digit or 1) * _UNITS[character], 0.0
        else:
            digit = _DIGITS[character] if character != "半" else digit + 0.5
    return total + digit


def _copied(source: str, modern: str) -> bool:
    """Whether the source stands in the translation almost unchanged, punctuation aside."""
    one, two = (re.sub(r"[^\w]", "", text) for text in (source, modern))
    rest = iter(two)
    return len(two) < 1.15 * len(one) and sum(character in rest for character in one) >= COPIED * len(one)
