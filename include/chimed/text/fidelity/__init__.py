"""Does a modern text say what the classical one says? The rules of `translate`'s gate.

Ours: the paper takes translations as they are. Both texts are first written one way (`writing`); then, in this order:
the reply's form (`chatter`), a copy (`copies`), length, names, doses, words and their contraries (`opposites`),
negations lost and added, contraries clause by clause (`contraries`), what depends on what (`relations`), sentences lost
and added (`coverage`). The faults are Chinese because they are named to the
model on its second try; the part before ： is the ledger's reason. What the rules cannot see, a wrong symptom or who
does what to whom, the second opinion is asked about.
"""

import re
from functools import lru_cache

from chimed.text import terms
from chimed.text.fidelity import chatter, contraries, copies, coverage, negations, opposites, relations
from chimed.text.fidelity.doses import COUNTED, DOSE, WEIGHED, find_doses, number, of_herbs, ordered, spelled, told
from chimed.text.terms import names, same
from chimed.text.writing import plain

__all__ = ["fault", "find_doses", "names", "number"]

RATIO = (0.75, 4.5)  # a modern text's length to its source's: classical Chinese is about half as long
_NEAR = re.compile(r"[加去用与及配佐合减入，、。以或并同代]")
_FORMULA = re.compile(
    r"([\u3400-\u9fff]{2,7}(?:汤|散|丸|丹|饮子|膏)|[\u3400-\u9fff]{2,7}饮(?=主|治))(?=主之|亦?主|治|亦|最|来|也|[，。；、]|$)"
)
_NO_FORMULA = re.compile(
    r"(?:[为作和炼蜜入捣如成做制研末服煎煮药糊水面酒醋粥的大小调加熬热冷温清米盐汁淡滚沸开白未不消发耗辛涣疏解聚离驱能易则石睾气风寒投走飘四扩吹饮喝啜布宣弥挥一二三五六七八九十百几]|膏药|丸药|这[个种]|该|此|本|上|下|诸|等|种|类|方)(?:汤|散|丸|丹|饮子?|膏)$"
)


def fault(source: str, modern: str) -> str | None:
    """What the modern text gets wrong that can be seen without a model, in a few Chinese words; or None."""
    modern = plain(modern).strip()
    source = plain(source).strip()
    if not modern:
        return "译文为空"
    if wrong := chatter.fault(source, modern):
        return wrong
    if copies.copied(source, modern, _kept()) or copies.tail(source, modern, _kept()):
        return "照抄原文"
    ratio = len(modern) / max(1, len(source))
    if not RATIO[0] <= ratio <= RATIO[1]:
        return f"长度不合：译文是原文的{ratio:.1f}倍"
    return (
        _names_fault(source, modern)
        or _doses_fault(spelled(source), spelled(modern))
        or opposites.changed(source, modern, terms.pattern(*terms.GROUPS))
        or contraries.pulses(source, modern)
        or _said("漏译否定", negations.lost(source, modern))
        or _said("多出否定", negations.added(source, modern))
        or _care_fault(source, modern)
        or opposites.changed_in_a_clause(negations.groups(source, modern), terms.pattern(*terms.GROUPS))
        or contraries.turned(negations.groups(source, modern))
        or relations.changed(source, modern, negations.groups(source, modern))
        or _said("漏译", coverage.missing(source, modern, negations.groups(source, modern)))
        or _said("漏译", coverage.left_out(negations.groups(source, modern), modern))
        or _said("多出内容", coverage.added(source, modern))
    )


def _said(what: str, where: str | None) -> str | None:
    return f"{what}：{where}" if where else None


@lru_cache
def _kept() -> re.Pattern:
    return re.compile(f"{terms.pattern(*terms.GROUPS).pattern}|{DOSE.pattern}")


def _care_fault(source: str, modern: str) -> str | None:
    """慎 of the source must be care of some kind in the modern text."""
    if re.search(r"慎(?![终独微])", source) and not re.search(
        r"[慎谨]|小心|当心|注意|留意|千万|务必|切|一定|轻易|轻率|随便|不[要可宜应能得]", modern
    ):
        return "漏译慎：慎"
    return None


def _names_fault(source: str, modern: str) -> str | None:
    said = set(names(modern))
    missing = [name for name in names(source) if name not in modern and not _found(name, modern, said)]
    if missing:
        return f"漏译药名或方名：{'、'.join(missing)}"
    pricked = re.search(r"[针灸刺穴]", source + modern)  # else 眼睛明亮 names no acupoint
    strange = [
        name for name in said if not _comes_from(name, source) and (pricked or name not in terms.groups()["acupoints"])
    ]
    if strange:
        return f"多出药名或方名：{'、'.join(sorted(strange))}"
    one, two = (_order(text, source, modern) for text in (source, modern))
    if one != two and len(one) == len(two):
        return f"药名或方名颠倒：{'、'.join(one)}译成{'、'.join(two)}"
    return _formulas_fault(source, modern)


def _order(text: str, source: str, modern: str) -> list[str]:
    """Names that both texts have as they are, in the order of their first mention."""
    return [name for name in names(text) if name in source and name in modern]


def _found(name: str, modern: str, said: set[str]) -> bool:
    if bool(same(name) & said) or any(other in modern for other in same(name)):
        return True
    return name in terms.groups()["formulas"] and f"{name[:-1]}加" in modern  # 白虎汤加人参: 白虎加人参汤


def _formulas_fault(source: str, modern: str) -> str | None:
    """Names that end as formulas do and that no list has: the end of each must be in the other text."""
    for match in _FORMULA.finditer(source):
        name = match[1]
        if _NO_FORMULA.search(name) or len(name) < 3:
            continue
        short = name[-3:] if not name.endswith("饮子") else name[-4:]
        if short not in modern and not any(other[-3:] in modern for other in same(name)):
            if any(name.endswith(known) for known in names(name)):
                continue
            return f"漏译药名或方名：{short}"
    for match in _FORMULA.finditer(modern):
        name = match[1]
        if _NO_FORMULA.search(name) or len(name) < 3:
            continue
        if name[-3:] in source or name[-3:-1] in source or any(name.endswith(known) for known in names(name)):
            continue
        if re.match("[喝饮服用吃]", name[-3:]) and name[-2:] in source:
            continue  # 喝葱汤: 饮葱汤
        if len(name) > 3 and name[-4:-2] in source:
            continue
        return f"多出药名或方名：{name[-3:]}"
    return None


def _comes_from(name: str, source: str) -> bool:
    """Whether the source can mean this name: it has it, another name of it, or short for it (参术苓草, 白虎, 麻桂)."""
    if name in source or any(other in source for other in same(name)):
        return True
    if len(name) > 2 and (name[:-1] in source or name[:2] in source):
        return True
    if len(name) > 3 and any(name[k : k + 2] in source for k in range(len(name) - 2)):
        return True
    if set(name) & set(terms.groups()["rare"]) & set(source):
        return True
    short = terms.groups()["abbreviated"]
    for n, character in enumerate(source):
        if character in name and character in short:
            before, after = source[n - 1 : n], source[n + 1 : n + 2]
            if (before and (before in short or _NEAR.match(before))) or (after and after in short):
                return True
    return "　" in source or bool(re.search(rf"{name[0]}\s", source))  # a character the page could not show


def _doses_fault(source: str, modern: str) -> str | None:
    herb, every = terms.pattern("herbs"), terms.pattern(*terms.GROUPS)
    one, two = (of_herbs(text, herb) for text in (source, modern))
    wrong = {
        name + dose
        for name, dose in one
        if not _ONE.fullmatch(dose) and not any((other, dose) in two for other in {name, *same(name)})
    }
    if wrong:
        return f"剂量不符：{'、'.join(sorted(wrong))}"
    old, new = (ordered(every.sub("＊", text)) for text in (source, modern))
    in_order = tuple([dose for dose in several if dose[1] != "味"] for several in (old, new))  # 四味药 may come first
    bare = re.sub("四(?=[肢体末方海])", "", DOSE.sub("", source))
    multiplied = re.search("[二三四五六七八九][七八九]", bare)  # 二七, 七七: ages
    gone = [dose for dose in old if dose not in new and (dose[1] in WEIGHED or dose[0] != 1)]
    come = [dose for dose in new if dose not in old and dose[1] in WEIGHED and dose != (10, "分")]
    units = {unit for number, unit in set(new) - set(old) if number <= MOST_OF_ONE and unit in _OF_ONE}
    if others := [
        dose for dose in old if dose[0] == 1 and dose not in new and dose[1] in _OF_ONE and _other(dose, units)
    ]:
        return f"剂量不符：{told(others)}"
    if not multiplied:
        said = _numbers(bare)
        come += [d for d in new if d not in old and d[1] in COUNTED and d[0] > 2 and d[0] not in said]
    if gone or come:
        told_all = [told([dose]) for dose in sorted(set(gone))] + [f"多出{told([dose])}" for dose in sorted(set(come))]
        return f"剂量不符：{'、'.join(told_all)}"
    if in_order[0] != in_order[1] and sorted(old) == sorted(new):
        return f"剂量颠倒：{told(old)}译成{told(new)}"
    lost = [number for number in _numbers(bare) if number > 2 and number not in _numbers(modern)]
    if lost and not multiplied:
        return f"数字不符：{'、'.join(f'{number:g}' for number in lost)}"
    return None


MOST_OF_ONE = 12  # one month may have become so many years, one piece so many, and it is no other thing that is counted
_TIMES = ("日", "月", "年", "夜", "时")
_OF_ONE = (*_TIMES, "个", "碗", "匕", "撮", "握", "寸", "尺")


def _other(dose: tuple[float, str], units: set[str]) -> bool:
    """Whether one of a thing has become several of it, or one month one year."""
    return dose[1] in units or (dose[1] in _TIMES and bool(units & set(_TIMES)))


_ONE = re.compile(r"1(?:味|个|次|日|成)")  # 一味, 一种: no dose


def _numbers(text: str) -> list[float]:
    """Every number of a text, each of its digits too: 三五日 speaks of three and of five. Not 百 and 千 of 百病."""
    found = re.findall(r"\d+(?:\.\d+)?|[〇零一二三四五六七八九十廿卅百千两半双]+", text)
    whole = [number(one) for one in found if len(one) > 1 and not re.match("[百千]", one)]
    return whole + [number(digit) for one in found for digit in one if digit not in ".百千"]
