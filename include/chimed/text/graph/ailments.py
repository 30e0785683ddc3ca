"""Read what a herb or a formula is said to treat: 主治外感风寒，恶寒发热. Ours.

Ailments are diseases, syndromes and symptoms in the text's own words. Signs of the tongue and the pulse are none.
"""

import re
from collections.abc import Iterator

from chimed.text.graph.fact import Fact

_TREATS = re.compile(
    r"(?P<outside>外用|外敷|外洗)?(?:可|常|多|亦|又|善|能|适)?(?:主治疗?|用治|用于治疗|用于|治疗|适用于|(?<![不主防难])治(?!法|则|愈|病求本))"
)
_SENTENCE = re.compile(r"[^。\n]+")
_ITEM = re.compile(r"[^、，,；;：:\s或及和与]+|[与和及]")
_LED = re.compile(
    r"^(?:[^\u3400-\u9fff]*(?:主治疗?|用治|用于治疗|用于|治疗|适用于|(?:善|可|能|又|亦|兼)?治(?!法|则))|[\u3400-\u9fff]{2,10}(?:所见|所致|引起)的?|症见|证见|也有用治|以及|兼见|兼有|并治|因|如|对|或)+"
)
_TRAILS = re.compile(r"(?:等[证症病]?[候状]?|诸[证症]|之[证症]|者|属[^，。]{1,8}者)$")
_AILMENT = re.compile(r"[\u3400-\u9fff·]{2,12}")
_NONE = re.compile(
    r"[可宜忌服煎敷克研]|^(?:舌|苔|脉|本品|常|配|多|单用|外用|内服|其|也|均|有|无|不宜|若|为|以|用|与|同|能|对)|^[^\u4e00-\u9fff]"
    r"|用量|适量|[中西本]药|药物|药$|方[中剂]?$|[散汤丸]$|作用|有效|治疗|疗效|主要|偏于|长于|擅长|善于|引起|所致|所见|为主|后[期者]?$|本方"
)
MOST_AILMENTS = 100  # of one field


def find_ailments(text: str, start: int, end: int, named: bool) -> Iterator[Fact]:
    """Yield what a field says that it treats (relation treats).

    named: whether the whole field is about ailments; else they follow a word that says so, to the end of its sentence.
    """
    count = 0
    for sentence in _SENTENCE.finditer(text, start, end):
        begin = _TREATS.search(text, *sentence.span())
        if not begin and not named:
            continue
        low = begin.end() if begin else sentence.start()
        condition = begin["outside"] if begin else None
        for item in _ITEM.finditer(text, low, sentence.end()):
            if not named and item.start() > low and text[item.start() - 1] in "：:":
                break  # a recipe for what stands before the colon
            if found := _ailment(item[0]):
                at = item.start() + item[0].index(found)
                yield Fact("treats", "ailment", found, None, condition, at, at + len(found))
                count += 1
            elif not named and item[0] not in "与和及" and not _LED.match(item[0]) and _ENDS_A_LIST.search(item[0]):
                break
            if count == MOST_AILMENTS:
                return
        named = named and bool(_GOES_ON.search(sentence[0]) or not begin)


_ENDS_A_LIST = re.compile(r"配|煎|研|克|\d|外用|内服|常|本品|单用")
_GOES_ON = re.compile(r"[证症]$")


def _ailment(item: str) -> str | None:
    words = _LED.sub("", item).strip()
    words = _TRAILS.sub("", _TRAILS.sub("", words))
    words = words.removesuffix("等")
    return words if _AILMENT.fullmatch(words) and not _NONE.search(words) else None
