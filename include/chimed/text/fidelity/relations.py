"""Check that a translation keeps relations: if and then, except, first and later, who said it.

Used by `fidelity`. The pairs are aligned clauses (`negations.group_clauses`).
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from chimed.text import terms

Pairs = tuple[tuple[str, str], ...]

_EXCEPTING = re.compile(r"(?:^|，)[惟唯独](?![一恐有]?[，。])(?=[\u3400-\u9fff]{2,10}[者则，])")
_EXCEPTED = re.compile(r"[只唯惟仅独除但却另然单]|不过|至于|如果|若|特别|尤其|的(?:话|人|，|女|男|患)")
_IF = re.compile(
    r"(?:^|，)(?:若|如|倘|设|假令|苟)(?![此是何之故同])(?=[\u3400-\u9fff]{1,10}(?:，|$))(?![\u3400-\u9fff]{0,8}(?:状|样|形|大|常|故|法|前|初|上|色|者[，$]))"
)
_IFS = re.compile(
    r"[如若倘假设要果凡遇]|一旦|万一|只要|的话|时|的，|的(?:人|患者|病人|情况|就|则|可)|者|(?:以)?后|当|每|逢|才|有些|有的|或"
)
_THEN = re.compile(r"([\u3400-\u9fff]{2,8})则([\u3400-\u9fff]{2,8})")
_BECAUSE = re.compile(r"因为|由于|原因|之所以|缘故|是因|在于|造成|导致|引起|源于")
_FIRST = re.compile(r"先(?:[下入内纳]?[煎煮熬])[^，。；]{0,8}")
_THEN_LATER = re.compile(
    r"先(?:以|用|将|取|服|进|与|投|煎|煮)?([\u3400-\u9fff]{2,4})[^。；]{0,12}?(?:次|后|再|继|然后)(?:以|用|将|取|服|进|与|投|入|下)?([\u3400-\u9fff]{2,4})"
)
_STEP = frozenset("用以取服进与投煎煮水汤散丸丹浸拌洗")
_SMALL = frozenset("之者也矣则而其以不为于其亦必自即又乃")
_NUMBERS = frozenset("一二三四五六七八九十百千诸各不无非未")
_REST = re.compile(r"其[余他它]|别的|剩下")


@lru_cache
def _authorities() -> tuple[dict[str, list[str]], ...]:
    """Return the names of physicians and books, and what else a classical text may call them."""
    known = yaml.load((Path(__file__).parent / "authorities.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return (*known["people"], *known["books"])


@lru_cache
def _authority() -> re.Pattern[str]:
    return re.compile(
        "|".join(sorted({name for line in _authorities() for name in line["names"]}, key=len, reverse=True))
    )


def find_change(source: str, modern: str, pairs: Pairs) -> str | None:
    """Return which relation differs between source and modern text, in a few Chinese words; or None."""
    return _said_by(source, modern) or _turned(pairs) or _first(source, modern) or _condition(pairs)


def _said_by(source: str, modern: str) -> str | None:
    """Return a physician or book that the modern text names and the source, by none of its names, does not."""
    for name in dict.fromkeys(_authority().findall(modern)):
        lines = [line for line in _authorities() if name in line["names"]]
        others = {other for line in lines for other in (*line["names"], *line.get("also", ()))}
        if not any(other in source for other in others) and name[-2:] not in source and name[:2] not in source:
            return f"出处不符：多出{name}"
    return None


def _turned(pairs: Pairs) -> str | None:
    """Return a 甲则乙 that became 乙则甲: the consequence stands before the condition."""
    for old, new in pairs:
        if _BECAUSE.search(new):
            continue
        for match in _THEN.finditer(old):
            cause, effect = (set(part) - _SMALL for part in match.groups())
            one, two = (
                [new.find(c) for c in part - other if c in new] for part, other in ((cause, effect), (effect, cause))
            )
            first, then = (next((c for c in part if c not in _SMALL), "") for part in match.groups())
            heads = all(new.count(head) == 1 and head not in _NUMBERS for head in (first, then)) and first != then
            if (len(one) >= 2 and len(two) >= 2 and min(one) > max(two)) or (
                heads and new.find(first) > new.find(then)
            ):
                return f"因果颠倒：{match[0]}"
    return None


def _first(source: str, modern: str) -> str | None:
    """Return a 先煮 of one herb that became 先煮 of another, or 先以甲，次以乙 that became 先以乙，次以甲."""
    for match in _THEN_LATER.finditer(source):
        one, two = (set(part) - _SMALL - _STEP for part in match.groups())
        places = [[modern.find(c) for c in part if modern.count(c) == 1] for part in (one - two, two - one)]
        if all(places) and sum(map(len, places)) >= 3 and min(places[0]) > max(places[1]):
            return f"先后颠倒：{match[0][:20]}"
    told, heard = _FIRST.search(source), _FIRST.search(modern)
    if not told or not heard or len(_FIRST.findall(source)) > 1:
        return None
    mine = terms.find_names(told[0], "herbs")
    others = _REST.search(heard[0]) or terms.find_names(heard[0], "herbs")
    kept = any(one in heard[0] for name in mine for one in (name, *terms.other_names(name)))
    return f"先后颠倒：{told[0]}" if mine and others and not kept else None


def _condition(pairs: Pairs) -> str | None:
    """Return a clause with a condition or exception that the modern text does not have."""
    for n, (old, _) in enumerate(pairs):
        near = "，".join(new for _, new in pairs[max(0, n - 1) : n + 2])
        if (found := _EXCEPTING.search(old)) and not _EXCEPTED.search(near):
            return f"漏译条件：{old[found.start() :].strip('，')[:20]}"
        if (found := _IF.search(old)) and not _IFS.search(near):
            return f"漏译条件：{old[found.start() :].strip('，')[:20]}"
    return None
