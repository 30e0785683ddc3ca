"""Spoil an answer on purpose: a wrong dose or a lost warning, which a gate of the project refuses. Used by `prefer`.

Ours; the paper's rejected answers are only what a judge likes less. An answer that differs from a good one in a single
dangerous place teaches what a judge of style never marks. The change is made by rule, in exactly one place:

- a dose becomes ten times as large, the commonest grave error in prescribing (Lesar, Ann Pharmacother 2002);
- a prohibition becomes a permission (不宜空腹服用 → 宜空腹服用), where `prohibitions` finds one that is meant;
- a sentence that warns, or sends to a doctor, is left out.

A change counts only if the gate sees it: `grounding` for the first two, with the good answer as the document, and the
rules of `fidelity` for a sentence that is missing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from chimed.text import grounding
from chimed.text.fidelity import coverage, negations
from chimed.text.fidelity.doses import parse_number
from chimed.text.prohibitions import find_prohibitions

Kind = Literal["dose", "warning"]
LEAST_LEFT = 12  # characters that an answer without its warning still has
TENFOLD = 10

_NUMBER = r"\d{1,5}(?:\.\d{1,3})?|[一二三四五六七八九十两半]{1,3}"
_DOSE = re.compile(
    rf"(?<![\d./／~～\-–—－至到一二三四五六七八九十百第])(?P<low>{_NUMBER})(?:(?P<to>[~～\-–—－至到])(?P<high>{_NUMBER}))?"
    r"(?P<unit>\s?(?:毫克|微克|毫升|千克|mg|ml|mL|μg|ug|iu|IU|万?单位|g|克|片|粒|丸|袋|支|滴|钱|两|勺|枚|颗|包)(?![a-zA-Z/／剂状骨尿式装])(?!\s?[~～\-–—－至到]|[^，。；]{0,4}水))"
)
# What makes a number with a unit the dose of something that is taken, in the clause that holds it
_TAKEN = re.compile(r"[服用吃饮喝煎注滴敷涂补含冲泡]|[每一]次|[每一]日|[每一]天|剂量|[取加放]")
_ENDS = "，,。；;！!？?\n：:"

_WARNS = re.compile(
    r"(?:及时|立即|立刻|尽[快早]|马上|赶紧)[^，。；]{0,6}(?:就[医诊]|医院|医生|医师|检查|急诊)|遵医嘱|医[生师][^，。；]{0,4}指导下"
    r"|(?:孕妇|哺乳|过敏)[^，。；]{0,12}(?:[禁忌慎]|(?<![能可])不[宜能可要])|警惕|当心|(?:立即|立刻|马上|及时|应)停药"
)


@dataclass(frozen=True)
class Spoilt:
    """A spoilt answer. kind: what is wrong with it. change: the words before and after, for people to read."""

    text: str
    kind: Kind
    change: str


def spoil(answer: str, question: str = "") -> Spoilt | None:
    """Return the answer with one dangerous change that a gate refuses; None if it has no place for one.

    A dose comes first, then a prohibition, then a sentence that warns. An answer that the gate refuses as it stands
    (it repeats itself, or points nowhere) is not spoilt, for then the refusal would say nothing.
    """
    if grounding.align(answer, answer, question).fault is None:
        for one in (*_wrong_doses(answer), *_permissions(answer)):
            if grounding.align(one.text, answer, question).fault is not None:
                return one
    return next((one for one in _without_warning(answer) if _is_missed(answer, one.text)), None)


def _wrong_doses(answer: str) -> Iterator[Spoilt]:
    for match in _DOSE.finditer(answer):
        if "水" in answer[max(0, match.start() - 2) : match.start()]:  # 用温水200ml送服: no dose of a medicine
            continue
        low, high = tenfold(match["low"]), match["high"] and tenfold(match["high"])
        if low is None or (match["high"] and high is None) or not _TAKEN.search(_clause_around(answer, match.start())):
            continue
        changed = f"{low}{match['to'] or ''}{high or ''}{match['unit']}"
        yield _changed(answer, match.span(), changed, "dose")


def tenfold(number: str) -> str | None:
    """Return ten times a number as it is written, in digits or in Chinese: 0.5 → 5, 三 → 三十, 半 → 五; or None."""
    value = parse_number(number) * TENFOLD
    if number[0].isdigit():
        return f"{value:g}" if value < 1_000_000 else None
    if value == 5:
        return "五"
    digits = "零一二三四五六七八九"
    hundreds, rest = divmod(round(value), 100)
    if hundreds > 9 or rest % 10:
        return None
    if not hundreds:
        return f"{digits[rest // 10] if rest > 10 else ''}十"
    return f"{digits[hundreds]}百" + (digits[rest // 10] + "十" if rest else "")


def _permissions(answer: str) -> Iterator[Spoilt]:
    for start, end, instead in find_prohibitions(answer):
        yield _changed(answer, (start, end), instead, "warning")


def _without_warning(answer: str) -> Iterator[Spoilt]:
    sentences = list(re.finditer(r"[^。！？；\n]+[。！？；\n]?", answer))
    for match in reversed(sentences):
        left = answer[: match.start()] + answer[match.end() :]
        if (_WARNS.search(match[0]) or find_prohibitions(match[0])) and len(left.strip()) >= LEAST_LEFT:
            left = re.sub(r"[；，]\s*$", "。", left.strip())
            yield Spoilt(left, "warning", f"{match[0].strip()} → ")


def _is_missed(answer: str, left: str) -> bool:
    """Return whether the rules of `fidelity` see that a sentence of the answer is missing in what is left of it."""
    groups = negations.group_clauses(answer, left)
    return bool(
        negations.find_lost(answer, left)
        or coverage.find_missing_sentence(answer, left, groups)
        or coverage.find_missing_clause(groups, left)
    )


def _changed(answer: str, span: tuple[int, int], instead: str, kind: Kind) -> Spoilt:
    start, end = span
    before, after = (
        answer[max(0, start - 6) : end + 6],
        f"{answer[max(0, start - 6) : start]}{instead}{answer[end : end + 6]}",
    )
    return Spoilt(f"{answer[:start]}{instead}{answer[end:]}", kind, f"{before} → {after}")


def _clause_around(text: str, at: int) -> str:
    start = max(text.rfind(mark, 0, at) for mark in _ENDS) + 1
    end = min((place for mark in _ENDS if (place := text.find(mark, at)) >= 0), default=len(text))
    return text[start:end]
