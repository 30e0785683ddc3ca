"""Decide which names of a release's entries are one herb or one formula. Ours.

Names are one entity where the list of terms has them in one line (川芎, 芎䓖), or where one entry alone gives a name as
its other name. They stay apart where that is not safe:

- a name that may be two things: 芍药 is 白芍 or 赤芍, in the list or among the entries' other names;
- names that have entries of their own, unless one of these entries gives the other name;
- trade names of another plant or product (`APART`), such as 关木通 beside 木通; parts of a plant, such as 归尾;
- formulas of another form: 理中丸 is not 理中汤.

A preparation is no other herb: 炙甘草 is 甘草 under the condition 炙, unless it has an entry of its own. What the
pharmacopoeia has as a medicine of its own (生姜, 熟地黄) stays one.
"""

import re
from collections.abc import Callable, Iterable

from chimed.text.terms import is_herb, load_terms

# another plant or product than the name that the list of terms has beside it, and not always as harmless
_APART = (  # noqa: SIM905
    "关木通 川木通 京大戟 红大戟 红芽大戟 青木香 土木香 川木香 川牛膝 土牛膝 朴硝 玄明粉 "
    "元明粉 马牙硝 风化硝 桂皮 官桂 川乌 川乌头 草乌 广藿香 土藿香 甜葶苈 土贝母 赤茯苓 "
    "茯神 朱茯神 荆三棱 京三棱 广防己 汉防己 木防己 北豆根 山豆根 广豆根 番红花 水半夏 "
    "旱半夏 九节菖蒲 铁皮石斛 霍山石斛 野山参 红参 高丽参 阿胶珠 枯矾 生姜 干姜 炮姜 "
    "生地 生地黄 熟地 熟地黄 干地黄 天龙虫 千里光石 接骨草根 婆罗门参 竹叶柴胡 银州柴胡 "
    "油当归 建曲 牙皂 猪牙皂"
).split()
APART = frozenset(_APART)
_OWN_MEDICINE = frozenset(["生姜", "鲜姜", "炮姜", "干姜", "生地", "生地黄", "熟地", "熟地黄", "干地黄"])
_PREPARED = re.compile(
    r"^(?P<how>蜜炙|酒炒|醋炒|盐炒|土炒|麸炒|清炒|酒炙|醋炙|盐炙|姜炙|炙|炒|制|生|煅|焦|鲜|醋|酒|盐|蜜|煨|炮|熟|姜)(?P<bare>.{2,})$"
)
_SHORT = re.compile(r"^([炙炒焦生熟酒醋盐姜制煅鲜蜜]).$")  # 炙芪, 酒军
_PART = re.compile(r"(?:身|尾|梢|须|头|节|炭|霜|曲|珠|片|心|皮|叶|茎|根|花|子|仁|芽|实|穗|络|藤)$")
_FORM = "汤散丸膏丹饮煎酒露片"

Settled = tuple[str, str | None]  # the entity's name, and the preparation or None


def settle_names(entries: Iterable[tuple[str, str, Iterable[str]]]) -> Callable[[str, str], Settled]:
    """Return a function that tells an entity's name and a preparation by kind and name.

    entries: kind (herb or formula), name and other names of each entry of the release.
    """
    own: dict[str, dict[str, set[str]]] = {"herb": {}, "formula": {}}
    for kind, name, others in entries:
        own[kind].setdefault(name, set()).update(others)
    chosen = {kind: _choose(kind, told) for kind, told in own.items()}

    def settled(kind: str, name: str) -> Settled:
        if kind not in chosen:
            return name, None
        known = chosen[kind]
        if name in known:
            short = _SHORT.match(name) if kind == "herb" else None
            return known[name], short[1] if short and not known[name].startswith(short[1]) else None
        prepared = _PREPARED.match(name) if kind == "herb" and name not in _OWN_MEDICINE else None
        if prepared and name not in own[kind] and is_herb(prepared["bare"]):
            return known.get(prepared["bare"], prepared["bare"]), prepared["how"]
        return name, None

    return settled


def _choose(kind: str, own: dict[str, set[str]]) -> dict[str, str]:
    """Return name → the name of its entity, for names that are settled to be another's."""
    found: dict[str, str] = {}
    lines = _lines(kind)
    for line in lines:
        entered = [name for name in line if name in own]
        first = entered[0] if entered else line[0]
        for name in line:
            if name != first and (name not in own or name in own[first] or first in own[name]):
                found[name] = first
    listed = {name for line in load_terms()["same"] for name in line} | set(load_terms()["herbs"])
    claims: dict[str, set[str]] = {}
    for name, others in own.items():
        for other in others:
            claims.setdefault(other, set()).add(found.get(name, name))
    for other, names in claims.items():
        safe = len(names) == 1 and other not in own and other not in listed and other not in APART
        if safe and not (kind == "formula" and other[-1] in _FORM and other[-1] != min(names)[-1]):
            found.setdefault(other, min(names))
    return {name: first for name, first in found.items() if name != first}


def _lines(kind: str) -> list[list[str]]:
    """Return the lines of synonyms of this kind, without the names that are not safe."""
    terms = load_terms()
    names = set(terms["herbs" if kind == "herb" else "formulas"])
    lines = [line for line in terms["same"] if names & set(line)]
    count: dict[str, int] = {}
    for line in terms["same"]:
        for name in line:
            count[name] = count.get(name, 0) + 1
    safe = []
    for line in lines:
        first = line[0]
        kept = [first]
        for name in line[1:]:
            if count[name] > 1 or name in APART or (kind == "herb" and not _is_safe_herb(name, first)):
                continue
            if kind == "formula" and name[-1] in _FORM and name[-1] != first[-1]:
                continue
            kept.append(name)
        if count[first] == 1 and len(kept) > 1:
            safe.append(kept)
    return safe


def _is_safe_herb(name: str, first: str) -> bool:
    """Return whether a synonym is neither a preparation nor a part of the herb."""
    prepared = _PREPARED.match(name)
    if prepared and (is_herb(prepared["bare"]) or (name[0] != first[0] and prepared["bare"][0] in first)):
        return False
    end = _PART.search(name)
    return not end or end[0] == first[-1] or end[0] in first
