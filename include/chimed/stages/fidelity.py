"""Does a modern text say what the classical one says? Names, doses, numbers and negations must survive.

Used by `translate`. Ours: the paper takes translations as they are. The faults are Chinese because they are named to
the model on its second try; the part before ： is the ledger's reason. What the gate cannot see: a wrong symptom, a
name that `terms.yaml` does not have, a number without a unit, who does what to whom.
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from chimed.stages import negations
from chimed.stages.doses import DOSE, WEIGHED, doses, number, of_herbs, told

__all__ = ["doses", "fault", "names", "number"]

RATIO = (0.8, 4.0)  # a modern text's length to its source's: classical Chinese is about half as long
COPIED = 0.9  # share of the source's letters found in their order: a copy
SHORT = 16  # letters besides names and doses; with fewer a formula's list reads the same in both languages
_COMMON = frozenset("子花草根皮仁叶白大生黄参苓石木香天地")  # characters of many names: sharing one says nothing


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
    if wrong := _names_fault(source, modern) or _doses_fault(source, modern):
        return wrong
    clause = negations.lost(source, modern)
    return f"漏译否定：{clause}" if clause else None


def _names_fault(source: str, modern: str) -> str | None:
    said = set(names(modern))
    missing = [name for name in names(source) if name not in modern and not _same(name) & said]
    if missing:
        return f"漏译药名或方名：{'、'.join(missing)}"
    strange = [name for name in said if not _comes_from(name, source)]
    if strange:
        return f"多出药名或方名：{'、'.join(sorted(strange))}"
    return None


def _comes_from(name: str, source: str) -> bool:
    """Whether the source can mean this name: it has it, another name of it, or short for it (参术苓草)."""
    if name in source or any(other in source for other in _same(name)):
        return True
    return any(character in source for character in set(name) - _COMMON) or name[0] in source


def _doses_fault(source: str, modern: str) -> str | None:
    herb = _herbs()
    one, two = (of_herbs(text, herb) for text in (source, modern))
    wrong = {name + dose for name, dose in one if not any((other, dose) in two for other in {name, *_same(name)})}
    if wrong:
        return f"剂量不符：{'、'.join(sorted(wrong))}"
    old, new = (doses(_terms().sub("＊", text)) for text in (source, modern))
    gone = [dose for dose in old if dose not in new and (dose[1] in WEIGHED or dose[0] != 1)]
    come = [dose for dose in new if dose not in old and dose[1] in WEIGHED and dose != (10, "分")]
    if gone or come:
        said = [told([dose]) for dose in sorted(gone)] + [f"多出{told([dose])}" for dose in sorted(come)]
        return f"剂量不符：{'、'.join(said)}"
    return None


@lru_cache
def _groups() -> dict[str, list]:
    return yaml.safe_load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"))


def _pattern(*groups: str) -> re.Pattern:
    every = {name for group in groups for name in _groups()[group]} | {n for same in _groups()["same"] for n in same}
    return re.compile("|".join(map(re.escape, sorted(every, key=lambda name: (-len(name), name)))))


@lru_cache
def _terms() -> re.Pattern:
    return _pattern("herbs", "formulas", "acupoints")


@lru_cache
def _herbs() -> re.Pattern:
    return _pattern("herbs")


@lru_cache(maxsize=4096)
def _same(name: str) -> frozenset[str]:
    """The other names of a thing, as `terms.yaml` knows them."""
    return frozenset(other for same in _groups()["same"] if name in same for other in same) - {name}


def names(text: str) -> list[str]:
    """Herbs, formulas and acupoints of `terms.yaml` in the text, longest match first, each once."""
    return list(dict.fromkeys(_terms().findall(text)))


def _copied(source: str, modern: str) -> bool:
    """Whether the source stands in the translation almost unchanged; names and doses aside, which must."""
    one, two = (re.sub(r"[^\w]", "", text) for text in (source, modern))
    if len(two) > len(one) + 1:
        one, two = (re.sub(r"[^\w]", "", DOSE.sub("", _terms().sub("", text))) for text in (source, modern))
        if len(one) < SHORT:
            return False
    rest = iter(two)
    return len(two) < 1.15 * len(one) and sum(character in rest for character in one) >= COPIED * len(one)
