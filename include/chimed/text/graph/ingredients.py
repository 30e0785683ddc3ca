"""Read a formula's list of herbs with their doses: 白术9克、茯苓（二两）; 人参、白术各9克 gives both the dose. Ours."""

import re
from collections.abc import Iterator
from dataclasses import replace

from chimed.text.graph.fact import AMOUNT, Fact
from chimed.text.graph.fields import LABELS, Field
from chimed.text.terms import find_names, is_herb, other_names, split_preparation

_BRACKET = r"[（(][^（()）]{0,30}[）)]"
_SOME = rf"(?:{AMOUNT}|适量|少许|等[分量])"
_REST = rf"(?:{_BRACKET}|先煎|后下|包煎|另煎|烊化|冲服|各?\s{{0,2}}{_SOME}){{0,4}}"
_INGREDIENT = re.compile(rf"(?P<name>[\u3400-\u9fff]{{1,8}}?)(?P<rest>{_REST})")
_BEHIND_A_NAME = re.compile(_REST)
_FIRST_AMOUNT = re.compile(_SOME)
_ANY_AMOUNT = re.compile(AMOUNT)
_AMOUNT_ALONE = re.compile(rf"{_BRACKET}|各?{_SOME}{_REST}")
_NOTE = re.compile(r"[（(]([^（()）]{1,30})[）)]")
_COUNTED = re.compile(r"[一二三四五六七八九十百半两\d][两钱分斤克升枚厘]|分之")  # in a name: an amount
_INSTEAD = re.compile(r"或|代|替|[可亦宜改换现今]用|用.{1,6}亦可|如?无则|缺则|易[以为]|[一又]作|原[方用]")
_UNLISTED = re.compile(
    r"(?:或用?|[可改换]用|代以)([\u4e00-\u9fff]{2,8})$|^([\u4e00-\u9fff]{2,8}?)(?:代|代替|代用|亦可)$"
)
_NO_OTHER = re.compile(r"[生鲜]用|[煎服酌量包焙去冲化研打碎捣切加减]|后下|适当")
_MADE_WITH = re.compile(r"[炙炒制煅炮煨浸洗拌煮蒸渍淬飞]")  # 甘草水制 names a herb, too
_SENTENCE = re.compile(r"[^。\n]+")
_ABOUT_AN_AMOUNT = re.compile(r"约|每[日次剂]|原方|[今现]用|后下|先煎|包煎|另煎|烊化|冲服|大者|[大小]的")
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
        bare, prepared = split_preparation(name)
        amount, notes = _read_rest(bare, rest)
        condition = "，".join(filter(None, [prepared, *notes])) or None
        found.append(Fact("contains", "herb", bare, amount, condition, *item.span()))
        if amount is None:
            waiting.append(len(found) - 1)
        elif "各" in rest:
            for n in waiting:
                found[n] = replace(found[n], value=amount)
            waiting = []
        else:
            waiting = []  # an ingredient with a dose of its own stands between: 各 behind it does not speak of them
    if any(_ends_with_herb(text[read_to : match.start()]) for match in _ANY_AMOUNT.finditer(text, read_to, end)):
        return  # herbs with doses stand behind what was read
    if sum(fact.value is not None or is_herb(fact.object or "") for fact in found) * 2 > len(found):
        yield from found


def find_ingredients_of(text: str, fields: list[Field]) -> list[Fact]:
    """Return the herbs of a formula whose entry may have several lists (组成 and 处方); the first list's words.

    No herb at all where the lists differ, or where one that names herbs cannot be read: nobody can say which is meant.
    Lists of the same herbs are one formula, though one may give old doses and the other new ones.
    """
    lists = [
        list(find_ingredients(text, field.start, field.end))
        for field in fields
        if field.label in LABELS["contains"] and find_names(text[field.start : field.end], "herbs")
    ]
    herbs = {frozenset(fact.object for fact in one) for one in lists}
    if len(herbs) != 1:
        return []
    return lists[0]


def find_alternates(fact: Fact) -> list[str]:
    """Return the other herbs that may stand for an ingredient, as its condition tells: 或党参, 水牛角代.

    What a herb is prepared with (甘草水制) and another name of the herb itself are none.
    """
    name = fact.object or ""
    found: list[str] = []
    for note in _FIRST_AMOUNT.sub("", fact.condition or "").split("，"):
        if _INSTEAD.search(note) or not _MADE_WITH.search(note):
            named = find_names(note, "herbs")
            if not named and (match := _UNLISTED.search(note)) and not _NO_OTHER.search(note):
                named = [match[1] or match[2]]
            found += [one for one in named if one != name and one not in other_names(name)]
    return found


def _read_rest(name: str, rest: str) -> tuple[str | None, list[str]]:
    """Return the dose behind a herb's name, and its notes: （可用党参30克代）9克 is 9克 and 可用党参30克代.

    What stands in brackets is the dose only where none stands outside, and never where it names another herb.
    """
    outside = _FIRST_AMOUNT.search(_NOTE.sub("，", rest))
    amount = outside[0] if outside else None
    notes: list[str] = []
    for match in _NOTE.finditer(rest):
        inside = _FIRST_AMOUNT.search(match[1])
        words = match[1]
        if inside and not find_alternates(Fact("contains", "herb", name, None, words, 0, 0)):
            amount = amount or inside[0]
            words = _ABOUT_AN_AMOUNT.sub("", _FIRST_AMOUNT.sub("", words)).strip("，,、；; 各")
        if words:
            notes.append(words)
    return amount, notes


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
    if match and _COUNTED.search(match["name"]):
        return None, ""
    if not match or (_NO_HERB.search(match["name"]) and not _HERB_ALL_THE_SAME.search(match["name"])):
        return None, ""
    return match["name"], match["rest"]
