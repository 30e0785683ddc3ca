"""Read a formula's list of herbs with their doses: 白术9克、茯苓（二两）; 人参、白术各9克 gives both the dose. Ours."""

import re
from collections.abc import Iterator
from dataclasses import replace

from chimed.text.graph.fact import AMOUNT, Fact
from chimed.text.terms import is_herb, split_preparation

_BRACKET = r"[（(][^（()）]{0,30}[）)]"
_SOME = rf"(?:{AMOUNT}|适量|少许|等[分量])"
_REST = rf"(?:{_BRACKET}|先煎|后下|包煎|另煎|烊化|冲服|各?\s{{0,2}}{_SOME}){{0,4}}"
_INGREDIENT = re.compile(rf"(?P<name>[\u3400-\u9fff]{{1,8}}?)(?P<rest>{_REST})")
_BEHIND_A_NAME = re.compile(_REST)
_FIRST_AMOUNT = re.compile(_SOME)
_ANY_AMOUNT = re.compile(AMOUNT)
_AMOUNT_ALONE = re.compile(rf"{_BRACKET}|各?{_SOME}{_REST}")
_NOTE = re.compile(rf"[（(]((?:(?!{_SOME})[^（()）]){{1,30}})[）)]")
_SENTENCE = re.compile(r"[^。\n]+")
_LISTED = re.compile(rf"(?:{_BRACKET}|[^、，,；;（(\s])+")
_NO_HERB = re.compile(
    r"以?上|诸药|共|研|为末|煎|水|酒$|每|加|各$|等$|或|剂|次|日|服|送|调|者$|用|适|克|原方|本方|方中|若|如|去|不|无|"
    r"处方|组成|出自|主治|功效|治疗|其中|味$|余药|药$"
)
_HERB_ALL_THE_SAME = re.compile(  # names with such a word that the term list may lack
    r"水(?:蛭|牛角|红花子|飞蓟|母)|酒大黄|酒军|大腹皮|败酱草|百药煎|乌药|没药|[赤白]芍药|无花果|无名异|不老草|如意草|日本?[\u3400-\u9fff]?草"
)
_ENDS_A_LIST = re.compile(r"以?[上水]|诸药|共|研|煎|为末|水|服|加")
LONGEST_NAME = 8  # characters of a herb's name


def find_ingredients(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield a formula's herbs (relation contains; value: the dose or None), from the first sentence of a field.

    A list that cannot be read to its end gives no fact at all, since half a formula would be another one.
    """
    sentence = _SENTENCE.search(text, start, end)
    found: list[Fact] = []
    read_to = sentence.end() if sentence else end
    waiting: list[int] = []  # items without a dose, until one comes with 各
    for item in _LISTED.finditer(text, *sentence.span()) if sentence else ():
        if found and found[-1].value is None and _AMOUNT_ALONE.fullmatch(item[0]):  # 白术 9克: a space stands between
            waiting = _give_dose(found, waiting, item)
            continue
        name, rest = _split(item[0])
        if name is None:
            if found and _ENDS_A_LIST.match(item[0]):
                read_to = item.start()
                break
            return
        amount, (bare, prepared) = _FIRST_AMOUNT.search(rest), split_preparation(name)
        condition = "，".join(filter(None, [prepared, *_NOTE.findall(rest)])) or None
        found.append(Fact("contains", "herb", bare, amount and amount[0], condition, *item.span()))
        if amount is None:
            waiting.append(len(found) - 1)
        elif "各" in rest:
            for n in waiting:
                found[n] = replace(found[n], value=amount[0])
            waiting = []
        else:
            waiting = []  # an ingredient with a dose of its own stands between: 各 behind it does not speak of them
    if any(_ends_with_herb(text[read_to : match.start()]) for match in _ANY_AMOUNT.finditer(text, read_to, end)):
        return  # herbs with doses stand behind what was read
    if sum(fact.value is not None or is_herb(fact.object or "") for fact in found) * 2 > len(found):
        yield from found


def _give_dose(found: list[Fact], waiting: list[int], item: re.Match[str]) -> list[int]:
    """Give a dose that stands alone to the last herb, and behind 各 to all that wait; return those still waiting."""
    dose = _FIRST_AMOUNT.search(item[0])
    if not dose:  # a note in brackets
        return waiting
    for n in waiting if "各" in item[0] else waiting[-1:]:
        found[n] = replace(found[n], value=dose[0])
    found[-1] = replace(found[-1], end=item.end())
    return []


def _ends_with_herb(text: str) -> bool:
    tail = text.rstrip()[-LONGEST_NAME:]
    return any(is_herb(tail[n:]) for n in range(len(tail)))


def _split(item: str) -> tuple[str | None, str]:
    """Return a listed herb's name and what stands behind it; None for what names no herb.

    A name may end like a number (三七三克): the longest name of the term list goes first.
    """
    for length in range(min(LONGEST_NAME, len(item)), 0, -1):
        if is_herb(item[:length]) and _BEHIND_A_NAME.fullmatch(item, length):
            return item[:length], item[length:]
    match = _INGREDIENT.fullmatch(item)
    if not match or (_NO_HERB.search(match["name"]) and not _HERB_ALL_THE_SAME.search(match["name"])):
        return None, ""
    return match["name"], match["rest"]
