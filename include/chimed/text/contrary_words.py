"""Find where a reasoning ends with the contrary of what the answer says: 左 and 右, 饭前 and 饭后, 宜 and 忌.

Ours. The words are in `contrary_words.yaml`. A text asserts a word unless it denies it (不是寒证), supposes it
(若为寒证) or sets it aside (与寒证不同). One that asserts both of a pair compares them: then `conditions` asks which of
them it pairs with which time or condition.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from chimed.text.conditions import are_complements, find_exchange, find_turned_condition
from chimed.text.terms import names_pattern

_CLAUSE = re.compile(r"[^，。；！？,;!?\n]+")
_NOT_SAID = re.compile(  # a clause that begins so asserts nothing
    r"若|如果|如(?=[为是系见误果在])|假如|倘若|要是|虽|尽管|即使|有人|误以?为|容易误|相比|比起|除非|假设|有的|本来|原本|起初|一开始|乍看"
    r"|题目|选项|问题问"
)
_SUPPOSED = re.compile(r"若|如果|如(?=[为是系见误果在])|假如|倘若|要是|假设")
_CONCLUDED = re.compile(r"(?:那么|则|就|应|需|建议|可|宜|要|所以|因此|故|本例|该患者|才|但)|.{1,12}则")
_SET_ASIDE = re.compile(r"不同|区别|鉴别|相反|混淆|排除|相对|误用|误认|混为")
_DENIED = re.compile(
    r"(?:不是|并非|而非|绝非|非|不属于?|不宜|不可|不应该?|不能|不得|不要|不会|不必|不用|不在|不|忌|勿|避免|没有|无|未见?|禁|否认|防止|预防|缺乏|而不|还是|或是?|以免)"
    r"(?:[^，。；、而但]{0,6})$"
)
_DENIED_BEHIND = re.compile(r"^[^，。；、]{0,4}(?:不对|不妥|不当|不宜|不可|错误|不符|者?除外|则?不然|禁用|忌用|不成立)")
_AROUND = 10  # characters in front of a word that may deny it
_FILLER = re.compile(
    r"(?:[会可能将应当]|明显|显著|逐渐|持续|有所|异常|进一步|的|了|也|都|而|则|被|水平|含量|数量?){1,6}$"
)
_ONLY_NAMED = re.compile(r"时|者|后|会|可|则|容易|引起|导致|说明|提示|的(?=[\u4e00-\u9fff])")  # 血压升高会损伤血管
_THING = re.compile(r"[\u4e00-\u9fff]{2,}")
_ALLOWED = re.compile(r"[\u4e00-\u9fff]+")
_FORBIDS = re.compile(
    r"(?:不宜|不可以?|不能|不得|不要|不应该?|忌|禁|慎|勿|避免)(?:[食用服吃喝饮]|使用|食用|服用|同|与|过食)?"
)
_ALLOWS = re.compile(
    r"(?<![不适便合])(?:宜|可以|可(?![能见知是])|能够|适合|适宜|推荐|应多?)(?:多?[食用服吃喝饮]|使用|食用|服用)?"
)
_BETWEEN = re.compile(r"[、和与及或]|以及|等")


def find_contrary(end: str, answer: str, reasoning: str = "") -> str | None:
    """Return how the end of a reasoning is the contrary of an answer, such as 饭前 ≠ 饭后; None if it is not.

    reasoning: the whole, which is asked about what `throughout` names and the end does not say.
    """
    sides = [list(_asserted(text)) for text in (end, answer, reasoning)]
    for name, ways in _ways():
        one, other, before = (_answers(clauses, ways) for clauses in sides)
        one = one or (before if name in _known()["throughout"] else set())
        if one and other and not one & other:
            return f"{'、'.join(sorted(one))} ≠ {'、'.join(sorted(other))}"
    for verbs in _same_about():
        first, second = (_about(clauses, verbs) for clauses in sides[:2])
        rise = (first[0] - first[1]) & (second[1] - second[0])
        fall = (first[1] - first[0]) & (second[0] - second[1])
        if both := rise | fall:
            return f"{min(both)}：说法相反"
    allowed, forbidden = zip(*(_permissions(clauses) for clauses in sides[:2]), strict=True)
    for n in () if are_complements(end, answer) else (0, 1):
        if both := (allowed[n] - forbidden[n]) & (forbidden[1 - n] - allowed[1 - n]):
            return f"{min(both)}：宜忌相反"
    return find_exchange(end, answer) or find_turned_condition(*("，".join(clauses) for clauses in sides[:2]))


def _hide_long(match: re.Match[str]) -> str:
    """Return a sign for a name whose parts must not be read, such as 左归丸; a short one may be another word, too."""
    return "＊" if len(match[0]) > 2 else match[0]


def _asserted(text: str) -> Iterator[str]:
    """Yield the clauses of a text that assert what they say.

    A supposition goes on in the next clause (如果肝功能异常，病毒阳性), unless one of the two draws its conclusion.
    """
    supposed = False
    for match in _CLAUSE.finditer(names_pattern("herbs", "formulas").sub(_hide_long, text)):
        clause = match[0].strip()
        if _NOT_SAID.search(clause[:8]):
            supposed = _SUPPOSED.search(clause[:8]) is not None and not _CONCLUDED.search(clause)
        elif not (supposed and not _CONCLUDED.match(clause)) and not _SET_ASIDE.search(clause):
            supposed = False
            yield clause
        else:
            supposed = False


def _is_denied(clause: str, start: int, end: int) -> bool:
    return bool(
        _DENIED.search(clause[max(0, start - _AROUND) : start]) or _DENIED_BEHIND.match(clause[end : end + _AROUND])
    )


def _answers(clauses: list[str], ways: tuple[tuple[str, re.Pattern[str]], ...]) -> set[str]:
    """Return which of several ways the clauses assert."""
    return {
        name
        for name, pattern in ways
        for clause in clauses
        for match in pattern.finditer(clause)
        if not _is_denied(clause, *match.span())
    }


def _about(clauses: list[str], verbs: tuple[re.Pattern[str], re.Pattern[str]]) -> tuple[set[str], set[str]]:
    """Return of what the clauses assert a verb, and of what its contrary: the two characters beside it, on either side.

    血压升高 and 升高血压 are about 血压.
    """
    things: tuple[set[str], set[str]] = set(), set()
    for clause in clauses:
        for n, pattern in enumerate(verbs):
            for match in pattern.finditer(clause):
                if _is_denied(clause, *match.span()) or _ONLY_NAMED.match(clause, match.end()):
                    continue
                before = _FILLER.sub("", clause[max(0, match.start() - 2 * _AROUND) : match.start()])[-2:]
                behind = clause[match.end() : match.end() + _AROUND].lstrip("了的")[:2]
                things[n].update(thing for thing in (before, behind) if _THING.fullmatch(thing))
    return things


def _permissions(clauses: list[str]) -> tuple[set[str], set[str]]:
    """Return what clauses allow and what they forbid, each as the words behind the verb."""
    allowed: set[str] = set()
    forbidden: set[str] = set()
    for clause in clauses:
        if found := _FORBIDS.search(clause):
            forbidden.update(_things(clause[found.end() :]))
        elif found := _ALLOWS.search(clause):
            allowed.update(_things(clause[found.end() :]))
    return allowed, forbidden


def _things(words: str) -> set[str]:
    return {one for one in _BETWEEN.split(words) if _ALLOWED.fullmatch(one)}


@lru_cache
def _known() -> dict[str, Any]:
    return yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@lru_cache
def _ways() -> list[tuple[str, tuple[tuple[str, re.Pattern[str]], ...]]]:
    """Return each question with its answers and their patterns."""
    known = _known()
    listed = [
        (question, tuple((name, re.compile(pattern)) for name, pattern in one.items()))
        for question, one in known["ways"].items()
    ]
    paired = [
        (behind, tuple((word + behind, re.compile(f"(?<![降减升增提偏]){word}{behind}")) for word in (one, other)))
        for one, other, several in known["same_behind"]
        for behind in several.split("|")
    ]
    return listed + paired


@lru_cache
def _same_about() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    return [(re.compile(one), re.compile(other)) for one, other in _known()["same_about"]]
