"""Check whether a modern text says what the classical one says: the rules of `translate`'s gate.

Ours: the paper takes translations as they are. Both texts are first normalized (`writing`). Then these are checked, in
this order: the reply's form (`chatter`), a copy (`copies`), length, names, doses, words and their opposites
(`opposites`), lost and added negations (`negations`), opposites clause by clause (`contraries`), conditions and order
(`relations`), lost and added sentences (`coverage`). Faults are in Chinese, because the model is told them on its
second try; the part before ： is the ledger's reason. The rules cannot see everything, such as a wrong symptom or who
does what to whom; the second opinion is asked about that.
"""

import re
from functools import lru_cache

from chimed.text import terms
from chimed.text.fidelity import chatter, contraries, copies, coverage, negations, opposites, relations
from chimed.text.fidelity.doses import (
    COUNTED,
    DOSE,
    WEIGHED,
    doses_of_herbs,
    find_doses,
    format_doses,
    list_doses,
    parse_number,
    spell_out,
)
from chimed.text.terms import find_names, other_names
from chimed.text.writing import simplify

__all__ = ["find_doses", "find_fault", "find_names", "parse_number"]

RATIO = (0.75, 4.5)  # a modern text's length to its source's: classical Chinese is about half as long
_NEAR = re.compile(r"[加去用与及配佐合减入，、。以或并同代]")
_FORMULA = re.compile(
    r"([\u3400-\u9fff]{2,7}(?:汤|散|丸|丹|饮子|膏)|[\u3400-\u9fff]{2,7}饮(?=主|治))(?=主之|亦?主|治|亦|最|来|也|[，。；、]|$)"
)
_NO_FORMULA = re.compile(
    r"(?:[为作和炼蜜入捣如成做制研末服煎煮药糊水面酒醋粥的大小调加熬热冷温清米盐汁淡滚沸开白未不消发耗辛涣疏解聚离驱能易则石睾气风寒投走飘四扩吹饮喝啜布宣弥挥一二三五六七八九十百几]|膏药|丸药|这[个种]|该|此|本|上|下|诸|等|种|类|方)(?:汤|散|丸|丹|饮子?|膏)$"
)


def find_fault(source: str, modern: str) -> str | None:
    """Return what the modern text visibly gets wrong, in a few Chinese words; None if nothing."""
    modern = simplify(modern).strip()
    source = simplify(source).strip()
    if not modern:
        return "译文为空"
    if wrong := chatter.find_fault(source, modern):
        return wrong
    if copies.is_copied(source, modern, _kept()) or copies.ends_copied(source, modern, _kept()):
        return "照抄原文"
    ratio = len(modern) / max(1, len(source))
    if not RATIO[0] <= ratio <= RATIO[1]:
        return f"长度不合：译文是原文的{ratio:.1f}倍"
    return (
        _names_fault(source, modern)
        or _doses_fault(spell_out(source), spell_out(modern))
        or opposites.find_change(source, modern, terms.names_pattern(*terms.GROUPS))
        or contraries.find_added_pulse(source, modern)
        or _said("漏译否定", negations.find_lost(source, modern))
        or _said("多出否定", negations.find_added(source, modern))
        or _care_fault(source, modern)
        or opposites.find_change_in_clause(negations.group_clauses(source, modern), terms.names_pattern(*terms.GROUPS))
        or contraries.find_reversal(negations.group_clauses(source, modern))
        or relations.find_change(source, modern, negations.group_clauses(source, modern))
        or _said("漏译", coverage.find_missing_sentence(source, modern, negations.group_clauses(source, modern)))
        or _said("漏译", coverage.find_missing_clause(negations.group_clauses(source, modern), modern))
        or _said("多出内容", coverage.find_added(source, modern))
    )


def _said(what: str, where: str | None) -> str | None:
    return f"{what}：{where}" if where else None


@lru_cache
def _kept() -> re.Pattern[str]:
    return re.compile(f"{terms.names_pattern(*terms.GROUPS).pattern}|{DOSE.pattern}")


def _care_fault(source: str, modern: str) -> str | None:
    """Return a fault if 慎 in the source has no word for care in the modern text."""
    if re.search(r"慎(?![终独微])", source) and not re.search(
        r"[慎谨]|小心|当心|注意|留意|千万|务必|切|一定|轻易|轻率|随便|不[要可宜应能得]", modern
    ):
        return "漏译慎：慎"
    return None


def _names_fault(source: str, modern: str) -> str | None:
    said = set(find_names(modern))
    missing = [name for name in find_names(source) if name not in modern and not _found(name, modern, said)]
    if missing:
        return f"漏译药名或方名：{'、'.join(missing)}"
    pricked = re.search(r"[针灸刺穴]", source + modern)  # else 眼睛明亮 names no acupoint
    strange = [
        name
        for name in said
        if not _comes_from(name, source) and (pricked or name not in terms.load_terms()["acupoints"])
    ]
    if strange:
        return f"多出药名或方名：{'、'.join(sorted(strange))}"
    one, two = (_order(text, source, modern) for text in (source, modern))
    if one != two and len(one) == len(two):
        return f"药名或方名颠倒：{'、'.join(one)}译成{'、'.join(two)}"
    return _formulas_fault(source, modern)


def _order(text: str, source: str, modern: str) -> list[str]:
    """Return the names that both texts have unchanged, in the order of their first mention."""
    return [name for name in find_names(text) if name in source and name in modern]


def _found(name: str, modern: str, said: set[str]) -> bool:
    if bool(other_names(name) & said) or any(other in modern for other in other_names(name)):
        return True
    return name in terms.load_terms()["formulas"] and f"{name[:-1]}加" in modern  # 白虎汤加人参: 白虎加人参汤


def _formulas_fault(source: str, modern: str) -> str | None:
    """Return a fault if a name that ends like a formula's and is in no list has no counterpart in the other text."""
    for match in _FORMULA.finditer(source):
        name = match[1]
        if _NO_FORMULA.search(name) or len(name) < 3:
            continue
        short = name[-3:] if not name.endswith("饮子") else name[-4:]
        if short not in modern and not any(other[-3:] in modern for other in other_names(name)):
            if any(name.endswith(known) for known in find_names(name)):
                continue
            return f"漏译药名或方名：{short}"
    for match in _FORMULA.finditer(modern):
        name = match[1]
        if _NO_FORMULA.search(name) or len(name) < 3:
            continue
        if name[-3:] in source or name[-3:-1] in source or any(name.endswith(known) for known in find_names(name)):
            continue
        if re.match("[喝饮服用吃]", name[-3:]) and name[-2:] in source:
            continue  # 喝葱汤: 饮葱汤
        if len(name) > 3 and name[-4:-2] in source:
            continue
        return f"多出药名或方名：{name[-3:]}"
    return None


def _comes_from(name: str, source: str) -> bool:
    """Return whether the source can mean this name: it has it, a synonym, or an abbreviation (参术苓草, 白虎, 麻桂)."""
    if name in source or any(other in source for other in other_names(name)):
        return True
    if len(name) > 2 and (name[:-1] in source or name[:2] in source):
        return True
    if len(name) > 3 and any(name[k : k + 2] in source for k in range(len(name) - 2)):
        return True
    if set(name) & set(terms.load_terms()["rare"]) & set(source):
        return True
    short = terms.load_terms()["abbreviated"]
    for n, character in enumerate(source):
        if character in name and character in short:
            before, after = source[n - 1 : n], source[n + 1 : n + 2]
            if (before and (before in short or _NEAR.match(before))) or (after and after in short):
                return True
    return "　" in source or bool(re.search(rf"{name[0]}\s", source))  # a character the page could not show


def _doses_fault(source: str, modern: str) -> str | None:
    herb, every = terms.names_pattern("herbs"), terms.names_pattern(*terms.GROUPS)
    one, two = (doses_of_herbs(text, herb) for text in (source, modern))
    wrong = {
        name + dose
        for name, dose in one
        if not _ONE.fullmatch(dose) and not any((other, dose) in two for other in {name, *other_names(name)})
    }
    if wrong:
        return f"剂量不符：{'、'.join(sorted(wrong))}"
    old, new = (list_doses(every.sub("＊", text)) for text in (source, modern))
    in_order = tuple([dose for dose in several if dose[1] != "味"] for several in (old, new))  # 四味药 may come first
    bare = re.sub("四(?=[肢体末方海])", "", DOSE.sub("", source))
    multiplied = re.search("[二三四五六七八九][七八九]", bare)  # 二七, 七七: ages
    gone = [dose for dose in old if dose not in new and (dose[1] in WEIGHED or dose[0] != 1)]
    come = [dose for dose in new if dose not in old and dose[1] in WEIGHED and dose != (10, "分")]
    units = {unit for number, unit in set(new) - set(old) if number <= MOST_OF_ONE and unit in _OF_ONE}
    if others := [
        dose for dose in old if dose[0] == 1 and dose not in new and dose[1] in _OF_ONE and _other(dose, units)
    ]:
        return f"剂量不符：{format_doses(others)}"
    if not multiplied:
        said = _numbers(bare)
        come += [d for d in new if d not in old and d[1] in COUNTED and d[0] > 2 and d[0] not in said]
    if gone or come:
        told_all = [format_doses([dose]) for dose in sorted(set(gone))] + [
            f"多出{format_doses([dose])}" for dose in sorted(set(come))
        ]
        return f"剂量不符：{'、'.join(told_all)}"
    if in_order[0] != in_order[1] and sorted(old) == sorted(new):
        return f"剂量颠倒：{format_doses(old)}译成{format_doses(new)}"
    lost = [number for number in _numbers(bare) if number > 2 and number not in _numbers(modern)]
    if lost and not multiplied:
        return f"数字不符：{'、'.join(f'{number:g}' for number in lost)}"
    return None


MOST_OF_ONE = 12  # one month may have become so many years, one piece so many, and it is no other thing that is counted
_TIMES = ("日", "月", "年", "夜", "时")
_OF_ONE = (*_TIMES, "个", "碗", "匕", "撮", "握", "寸", "尺")


def _other(dose: tuple[float, str], units: set[str]) -> bool:
    """Return whether one of a unit became several of it, or one month one year."""
    return dose[1] in units or (dose[1] in _TIMES and bool(units & set(_TIMES)))


_ONE = re.compile(r"1(?:味|个|次|日|成)")  # 一味, 一种: no dose


def _numbers(text: str) -> list[float]:
    """Return every number of a text, and each of its digits: 三五日 means three and five. Not 百 and 千 of 百病."""
    found = re.findall(r"\d+(?:\.\d+)?|[〇零一二三四五六七八九十廿卅百千两半双]+", text)
    whole = [parse_number(one) for one in found if len(one) > 1 and not re.match("[百千]", one)]
    return whole + [parse_number(digit) for one in found for digit in one if digit not in ".百千"]
