"""Check that a translation keeps words that have an opposite or a neighbour. Used by `fidelity`.

左 and 右, 寒 and 热, 补 and 泻, 生 and 死, the seasons, the colours. A translation may repeat or omit one, but if the
two sequences do not fit into each other, words were swapped or replaced. Poison, organs and routes of administration
are compared as sets.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

_EACH = ("脏腑", "左右")  # every mention counts; of the others a run counts once
_BOTH = (
    "左右",
    "生死",
    "补泻",
    "四季",
    "大便小便",
    "上中下",
    "饭前饭后",
)  # where the source has two, so has the translation
_GIVEN_OUTSIDE = r"[敷傅涂搽擦抹贴薄封掺糁熨洗浴熏渍摩罨吹塞点滴灸刺针]|外用|和涂"
_GIVEN_INSIDE = r"[服饮咽吃]|(?<![忌勿禁得不可])食|[吞煎啖嚼呷含噙饵餐]|[温冷水酒汤米]下|送下|灌|内服|和下|之下|顿"
_OUTSIDE_NOW = r"外敷|外用|涂(?:抹|擦|在|于)|敷(?!衍)|擦(?:在|于|洗)|贴(?:在|于)|外洗|熏洗"
_INSIDE_NOW = r"口服|内服|(?<![克衣舒信佩制征])服(?![从装帖])|服下|喝下|吃下|吞服|送服|饮用|煎服"


@lru_cache
def _known() -> dict[str, Any]:
    return yaml.load((Path(__file__).parent / "opposites.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def find_change(source: str, modern: str, names: re.Pattern[str]) -> str | None:
    """Return which of these words the translation changes, in a few Chinese words; or None. names: skipped."""
    old, new = names.sub("＊", source), names.sub("＊", modern)
    if wrong := _poison(old, new) or _ways(old, new) or _organs(old, new) or _things(old, new):
        return wrong
    for what, pattern_old, pattern_new in _patterns():
        every = what in _EACH
        said, heard = _sequence(pattern_old, old, every), _sequence(pattern_new, new, every)
        if said and not _within(said, heard) and not _within(heard, said):
            return f"{what}颠倒：{'、'.join(said)}译成{'、'.join(heard)}"
        if (
            what in ("左右", "生死", "补泻", "四季", "大便小便", "上中下", "饭前饭后")
            and len(set(said)) > 1
            and set(said) > set(heard)
            and heard
        ):
            return f"{what}漏译：{'、'.join(sorted(set(said) - set(heard)))}"
    if wrong := _nature(old, new):
        return wrong
    for what, brought, reason in _known()["brought_in"]:
        if re.search(brought, new) and not re.search(reason, old):
            return f"多出{what}"
    return None


@lru_cache
def _patterns() -> list[tuple[str, re.Pattern[str], re.Pattern[str]]]:
    made = []
    for what, several in _known()["ordered"].items():
        if several:
            both = [re.compile("|".join(f"(?P<{name}>{ways[n]})" for name, ways in several.items())) for n in (0, 1)]
            made.append((what, both[0], both[1]))
    return made


def _sequence(pattern: re.Pattern[str], text: str, every: bool = False) -> list[str]:
    """Return the words in order; a run of one word once, or every time."""
    found: list[str] = []
    for match in pattern.finditer(text):
        if match.lastgroup and (every or found[-1:] != [match.lastgroup]):
            found.append(match.lastgroup)
    return found


def _within(short: list[str], long: list[str]) -> bool:
    rest = iter(long)
    return all(word in rest for word in short)


def _poison(old: str, new: str) -> str | None:
    said = {kind for kind, (pattern, _) in _known()["sets"]["poison"].items() if re.search(pattern, old)}
    heard = {kind for kind, (_, pattern) in _known()["sets"]["poison"].items() if re.search(pattern, new)}
    for kind in said:
        if kind not in heard:
            return f"毒性不符：{kind}"
    if "无毒" in heard - said or ("有毒" in heard and not said and "毒" not in old):
        return f"毒性不符：多出{'、'.join(sorted(heard - said))}"
    if said and (more := (heard - said - {"有毒"})):
        return f"毒性不符：多出{'、'.join(sorted(more))}"
    return None


def _nature(old: str, new: str) -> str | None:
    """Return a changed taste or nature of a medicine, if both texts state it."""
    if (told := _OLD_NATURE.search(old)) and (now := set("".join(_NATURE.findall(new)))):
        meant = set(told[1]) | set("".join(_NATURE.findall(old)))
        if now - meant - _MILDER.get(told[1], set()):
            return f"性不符：{told[1]}译成{'、'.join(sorted(now - meant))}"
    for what, pattern, kinds in (("味", _TASTE, "甘苦辛酸咸淡涩"), ("性", _NATURE, "寒热温凉平")):
        said, heard = (set("".join(pattern.findall(text))) & set(kinds) for text in (old, new))
        if heard and (more := heard - set(old) - ({"甘"} if "甜" in new else set())):
            return f"{what}不符：多出{'、'.join(sorted(more))}"
        if heard and (said - set(new) - ({"甘"} if "甜" in new else set())):
            return f"{what}不符：漏译{'、'.join(sorted(said - set(new)))}"
    return None


_OLD_NATURE = re.compile(
    r"(?:^|[，。；、])(?:[^，。；、]{1,4}[，、]?)?味?[甘苦辛酸咸淡涩]{1,3}[，、 ]?[大微小]?"
    r"([寒热温凉平])(?=[，。；、无有]|$)"
)
_MILDER = {"寒": {"凉"}, "凉": {"寒"}, "温": {"热"}, "热": {"温"}}
_TASTE = re.compile(r"(?<![一二三四五六七八九十几两])味(?:道)?[又很略微稍是]?([甘苦辛酸咸淡涩、，而又兼带微]{1,8})")
_NATURE = re.compile(r"性(?:质|味)?[又很略稍是]?(?:[大微偏]|[甘苦辛酸咸淡涩、])*([寒热温凉平])")


def find_change_in_clause(pairs: tuple[tuple[str, str], ...], names: re.Pattern[str]) -> str | None:
    """Return the same clause by clause, since in a passage another word may stand in for the lost one."""
    for old, new in pairs:
        bare = names.sub("＊", old), names.sub("＊", new)
        for what, pattern_old, pattern_new in _patterns():
            said, heard = _sequence(pattern_old, bare[0]), _sequence(pattern_new, bare[1])
            if said and heard and not set(said) & set(heard) and what not in _LOOSE:
                return f"{what}颠倒：{'、'.join(said)}译成{'、'.join(heard)}"
            if len(said) == len(heard) == 2 and said == heard[::-1] and said[0] != said[1]:
                return f"{what}颠倒：{'、'.join(said)}译成{'、'.join(heard)}"
    return None


_LOOSE = ("多少", "增减", "颜色", "早晚")  # a clause may say one of these for other reasons


def _things(old: str, new: str) -> str | None:
    for thing, (said, heard) in _known()["sets"]["things"].items():
        if re.search(said, old) and not re.search(heard, new):
            return f"漏译{thing}"
    return None


def _ways(old: str, new: str) -> str | None:
    outside, inside = re.search(_GIVEN_OUTSIDE, old), re.search(_GIVEN_INSIDE, old)
    if (found := re.search(_INSIDE_NOW, new)) and outside and not inside:
        return f"用法不符：多出{found[0]}"
    if (found := re.search(_OUTSIDE_NOW, new)) and inside and not outside:
        return f"用法不符：多出{found[0]}"
    if re.search(r"(?<![每日一二三四五六再])服(?!食)|饮(?!食)|咽(?!喉)", old) and not re.search(
        r"[服饮喝吃咽吞含下]|进食|用[^，。；]{1,8}[汤丸散丹膏饮]", new
    ):
        return "用法不符：漏译服"
    return None


def _organs(old: str, new: str) -> str | None:
    said = {kind for kind, (pattern, _) in _known()["sets"]["organs"].items() if re.search(pattern, old)}
    heard = {kind for kind, (_, pattern) in _known()["sets"]["organs"].items() if re.search(pattern, new)}
    if lost := said - heard:
        return f"脏腑不符：漏译{'、'.join(sorted(lost))}"
    if come := {kind for kind in heard - said if not set(_known()["organs_meant"][kind]) & set(old)}:
        return f"脏腑不符：多出{'、'.join(sorted(come))}"
    return None
