"""Read how much of a herb is taken, and in which way: 煎服，3～9克. Ours.

An amount that harms (中毒剂量15克), that must not be passed (极量70毫克), or that an animal was given is no dose.
"""

import re
from collections.abc import Iterator

from chimed.text.graph.fact import AMOUNT, Fact
from chimed.text.graph.heads import clauses

MOST_BEHIND = 60  # characters before an amount that are looked at
_WAY = r"成人|小儿|儿童|[鲜生熟炒炙煅制]用|外用|煎服|水煎|煎汤|内服|研末|入丸|含服|冲服|吞服|泡酒|熬膏|鲜品|鲜者|敷|洗"
_WAY_OR_AMOUNT = re.compile(rf"(?P<way>{_WAY})|{AMOUNT}")
_PART = re.compile(r"[^，,]+")
_NO_DOSE_BEHIND = re.compile(r"(?:[\d][-—―〜~～]|公斤|千克|相当于(?:生药)?|[每毎]|体重|第|含|占|浓度|直径|长)约?$")
# before an amount, anywhere in its part of the clause
_HARMS = re.compile(
    r"中毒|致死|致命|死亡|毒性|毒量|误[服食用]|抢救|解救|极量|极限|[不勿莫][^，]{0,4}?[超多大高越]?[过于出]|[超大多高]于|超[过出量]|超$|耐受|[有曾]用[至到过]|过量|逾|≥|[>＞]"
    r"|最[大高多]|上限|限[量用于]|[曾有][有人]|有[一1]?[例人]|报[道告]|某[人患]|患者.{0,6}[服吃]"
)
_SAFE_AGAIN = re.compile(r"(?:常用|治疗|一般|常规)[用剂药]?量?[^，的倍]{0,4}$")
_ON_ANIMALS = re.compile(
    r"[小大][白]?鼠|家兔|豚鼠|动物(?:实验|试验)|(?:实验|试验|给)动物|灌胃|LD|半数致死|[腹静][腔脉]注射|/\s?kg|体外"
    r"|[兔猫犬狗猴鸽蛙鼠](?:灌|喂|口服|注射|腹腔|静脉|皮下|每)"
)
# behind an amount
_HARMS_BEHIND = re.compile(
    r"(?:以上|及以上)?(?:(?![解治救])[^，,。；;]){0,12}?(?:[中致]毒(?!剂?量)|致死(?!剂?量)|死亡|毙命|致命|危险|[可会易即有现生]不良反应|有毒|出现|[致出引][起现]?[^，,。；;]{0,4}(?:呕吐|昏迷|抽搐))"
    r"|[^，,。；;]{0,6}以[内下]|[^，,。；;]{0,6}为(?:限|极量|上限|极限|最大)|(?:为|是)?(?:其)?(?:极量|上限|最大量)"
    r"|[/每](?:kg|公斤|千克)"
)
_HARMS_NEXT = re.compile(
    r"(?:以上|左右)?[，,]\s?(?![过超误久多大]|否则|不)(?:[即则便就可会易能常有已]|可能|出现|引起|导致|发生|造成|产生|立即|随即|数?[分小]?[钟时日天]?[内后]?){0,4}[^，,。；;]{0,3}?"
    r"(?:[中致]毒(?!抢|剂?量)|致死(?!剂?量)|死亡|毙命|昏迷|抽搐|休克)"
)
_HARMED = re.compile(r"(?:中毒抢救|抢救.{0,4}中毒|解救?.{0,6}中毒|过量|极量|中毒量?|误服)(?:时|者|后)?$")
_HEAD = re.compile(r"[：:]")


def find_doses(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield doses (relation has_dose), each with the way it is taken that stands before it in its clause."""
    for low, high, head in clauses(text, start, end):
        way, harm_goes_on = head, False
        for part in _PART.finditer(text, low, high):
            for match in _WAY_OR_AMOUNT.finditer(text, *part.span()):
                before = text[max(part.start(), match.start() - MOST_BEHIND) : match.start()]
                if match["way"]:
                    way = match["way"] if head in (None, "内服") else head
                elif not harm_goes_on and not _is_no_dose(text, before, match):
                    yield Fact("has_dose", None, None, match[0], way, *match.span())
            harm_goes_on = _goes_on(part[0], harm_goes_on)


def _goes_on(part: str, harm_before: bool) -> bool:
    """Whether the amounts of the next part are no doses either: 中毒剂量：成人15克，小儿5克; 小鼠灌胃5克，连续7天."""
    colon = _HEAD.search(part)
    return (
        harm_before
        or _ON_ANIMALS.search(part) is not None
        or (colon is not None and _HARMS.search(part[: colon.start()]) is not None)
        or _HARMED.search(part) is not None
    )


def _is_no_dose(text: str, before: str, match: re.Match[str]) -> bool:
    """Whether what stands before or behind an amount says that nobody is given it."""
    if _NO_DOSE_BEHIND.search(before[-8:]) or _ON_ANIMALS.search(before):
        return True
    harms = max(_HARMS.finditer(before), key=lambda one: one.end(), default=None)  # the last one
    if harms and not _SAFE_AGAIN.search(before[harms.end() :]):
        return True
    return bool(_HARMS_BEHIND.match(text, match.end()) or _HARMS_NEXT.match(text, match.end()))
