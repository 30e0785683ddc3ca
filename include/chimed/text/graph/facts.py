"""Read what an entry states of a herb or a formula, as facts that can be looked up and counted. Ours.

Of a herb: its other names, nature, flavours, channels, toxicity, effects, doses, taboos, and the herbs that it may not
be given with. Of a formula: its herbs with their doses, its effects and taboos. Of both: the ailments they treat.
Nothing is concluded: a fact is words of the text, in plain width (9克 for ９克), and says where they stand. What a rule
cannot read with certainty gives no fact.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from chimed.text.graph.ailments import find_ailments
from chimed.text.graph.fact import AMOUNT, Fact
from chimed.text.graph.fields import LABELS, Field, kind_of, read_fields
from chimed.text.graph.heads import read_head
from chimed.text.graph.ingredients import find_ingredients_of
from chimed.text.terms import is_herb

MOST_FACTS = 500  # of one entry; a hostile page may list without end
OF_NATURE = ("has_nature", "has_flavour", "has_toxicity")
NATURES = ("大寒", "微寒", "寒", "凉", "平", "微温", "温", "大温", "大热", "热")
CHANNELS = ("三焦", "心包", "大肠", "小肠", "膀胱", "心", "肝", "脾", "肺", "肾", "胃", "胆")  # as textbooks count them

_PLAIN = {
    wide: wide - 0xFEE0 for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), 0xFF0E)
}
_NOT_BEHIND_HAN, _NOT_BEFORE_HAN = r"(?<![\u4e00-\u9fff])", r"(?![\u4e00-\u9fff])"
_NATURE = re.compile(rf"(?:(?<=[性者用品])|{_NOT_BEHIND_HAN})({'|'.join(NATURES)}){_NOT_BEFORE_HAN}")
_FLAVOURS = re.compile(rf"(?:(?<=[味者用品])|{_NOT_BEHIND_HAN})([微极甚略]?)([辛甘酸苦咸淡涩]{{1,3}}){_NOT_BEFORE_HAN}")
_TOXICITY = re.compile(rf"{_NOT_BEHIND_HAN}有?(大毒|小毒|毒|(?<!有)无毒){_NOT_BEFORE_HAN}")
_PREPARED = re.compile(r"[生熟鲜干炒炙煅制酒醋](?:用|品|者|则)|[鲜生熟炒炙煅制][\u4e00-\u9fff]{0,2}(?=[性味])")
_ANY_CHANNEL = "|".join(CHANNELS)
_CHANNEL = re.compile(_ANY_CHANNEL)
_INTO = re.compile(rf"[归入][手足]?((?:{_ANY_CHANNEL})(?:(?:{_ANY_CHANNEL})|[、，,和及与 \u3000二三四五经]){{0,60}})")
_CLAUSE = re.compile(r"[^。；;！!\n]+")
_BETWEEN_COMMAS = re.compile(r"[^，,]+")
_ITEM = re.compile(r"[^、，,。；;\s]+")
_EFFECT = re.compile(r"[\u3400-\u9fff]{2,10}")
_CLASS = re.compile(r"^属|下属|分类|药$")  # 属清热药 is the class of a herb and no effect
_USED = re.compile(r"[生熟鲜炒炙制煅炮酒醋盐蜜]{1,2}[用品者则]|外用|内服")  # 生用清热 is 清热 under a condition
_WAY = r"成人|小儿|儿童|[鲜生熟炒炙煅制]用|外用|煎服|水煎|煎汤|内服|研末|入丸|含服|冲服|吞服|泡酒|熬膏|鲜品|鲜者|敷|洗"
_WAY_OR_AMOUNT = re.compile(rf"(?P<way>{_WAY})|{AMOUNT}")
_NO_DOSE_BEHIND = re.compile(
    r"(?:[\d][-—―〜~～]|中毒量?|致死量?|误服|[不勿]宜?[超多]过?[过于]?|公斤|千克|相当于(?:生药)?|每|体重|第|含|占|浓度|直径|长|每日总量不)约?$"
)
_TABOO = re.compile(r"忌|禁|慎|不宜|不可|不得|不能|勿|避免|(?<!无)毒")
_SAYS_NOTHING = re.compile(r"尚不明确|不详|暂无|未见|无特殊|谨慎用药|无(?:明显|绝对)?(?:使用)?禁忌|无此忌")
_NOT_WITH = re.compile(
    r"(?:不宜|不可|不能|忌|禁)[与同](?P<herbs>[\u3400-\u9fff、，,]{1,80}?)(?:同用|配伍|合用|并用|同服|一起)"
    r"|(?<!不)[反畏恶](?P<bare>[\u3400-\u9fff、]{2,40})"
)
_OF_SYMPTOMS = re.compile(r"用于|主治|治|适用")  # what begins so is no effect
_NO_NAME = re.compile(r"(?:又名|亦称|亦名|俗称|别名|暂缺|不详|无)")
LONGEST_TABOO = 200  # characters; a longer clause is no statement of an entry
_BETWEEN_HERBS = re.compile(r"[^、和及，,]+")
_NAME = re.compile(r"[\u3400-\u9fff·]{1,12}")


@dataclass(frozen=True)
class Entry:
    """A herb or a formula with all that its text states. facts: in the order of the text, each once."""

    kind: str
    name: str
    facts: tuple[Fact, ...]


def read_entry(title: str | None, text: str) -> Entry | None:
    """Return what the entry of a herb or a formula states.

    None for a text that is no such entry, that has no name, or that states nothing.
    """
    text = text.translate(_PLAIN)
    fields = read_fields(text)
    kind = kind_of(fields)
    if kind is None or not (name := _name(kind, title, fields, text)):
        return None
    found: dict[tuple[str, str | None, str | None], Fact] = {}
    for field in fields:
        for fact in _facts(kind, field, fields, text):
            about = fact.value if fact.object is None else fact.object
            if about != name:
                found.setdefault((fact.relation, about, fact.condition), fact)
            if len(found) == MOST_FACTS:
                break
    ordered = sorted(_without_contradictions(found.values()), key=lambda fact: (fact.start, fact.end))
    return Entry(kind, name, tuple(ordered[:MOST_FACTS])) if ordered else None


def _without_contradictions(facts: Collection[Fact]) -> list[Fact]:
    """Leave out nature, flavours and toxicity where one entry states two natures without saying when each holds.

    鲜地黄甘、苦，寒；熟地黄甘，微温 speaks of two medicines, and a rule cannot tell which words belong to which.
    """
    natures = {fact.object for fact in facts if fact.relation == "has_nature" and fact.condition is None}
    unsure = OF_NATURE if len(natures) > 1 else ()
    return [fact for fact in facts if fact.relation not in unsure or fact.condition is not None]


def _name(kind: str, title: str | None, fields: list[Field], text: str) -> str | None:
    """Return the entry's name: what its own field says, else the title."""
    for field in fields:
        if field.label in LABELS[kind] and (match := _NAME.match(text[field.start : field.end].strip())):
            return match[0]
    match = _NAME.fullmatch((title or "").strip())
    return match[0] if match else None


def _facts(kind: str, field: Field, fields: list[Field], text: str) -> Iterator[Fact]:
    """Read a field by what its label says that it tells."""
    readers = [("alias", _other_names), ("effect", _effects), ("taboo", _taboos)]
    if kind == "herb":
        readers += [("nature", _natures), ("channel", _channels), ("dose", _doses)]
    elif field == next((one for one in fields if one.label in LABELS["contains"]), None):
        yield from find_ingredients_of(text, fields)
    for topic, reader in readers:
        if field.label in LABELS[topic]:
            yield from reader(text, field.start, field.end)
    of_ailments, both = field.label in LABELS["ailment"], field.label in LABELS["effect and ailment"]
    if both:
        of_ailments = any(one.label in LABELS["effect"] for one in fields)  # the effects stand in a field of their own
        if not of_ailments:
            yield from _effects(text, field.start, field.end, both=True)
    if of_ailments or both or field.label in LABELS["use"]:
        yield from find_ailments(text, field.start, field.end, named=of_ailments, led=both)


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int, str | None]]:
    """Yield where each clause is, without the spaces around it, and the condition that stands at its head."""
    for match in _CLAUSE.finditer(text, start, end):
        inner = match[0].strip()
        if inner:
            low = match.start() + match[0].index(inner)
            head, begin = read_head(text, low, low + len(inner))
            yield begin, low + len(inner), head


def _other_names(text: str, start: int, end: int) -> Iterator[Fact]:
    for item in _ITEM.finditer(text, start, end):
        if _NAME.fullmatch(item[0]) and len(item[0]) > 1 and not _NO_NAME.match(item[0]):
            yield Fact("also_called", None, None, item[0], None, *item.span())


def _natures(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield nature, flavours and toxicity. 生用性寒 holds under the condition 生用.

    In 生用性寒，熟用性温，味甘 nobody can say what 味甘 holds for, so it gives no fact.
    """
    for low, high, head in _clauses(text, start, end):
        if head:
            yield from _natures_of(text, low, high, head)
            continue
        conditional = _PREPARED.search(text, low, high) is not None
        for part in _BETWEEN_COMMAS.finditer(text, low, high):
            prepared = _PREPARED.search(text, *part.span())
            if bool(prepared) == conditional:
                yield from _natures_of(text, *part.span(), prepared[0] if prepared else None)


def _natures_of(text: str, low: int, high: int, when: str | None) -> Iterator[Fact]:
    for match in _NATURE.finditer(text, low, high):
        yield Fact("has_nature", "nature", match[1], None, when, *match.span(1))
    for match in _FLAVOURS.finditer(text, low, high):
        for flavour in match[2]:
            yield Fact("has_flavour", "flavour", flavour, match[1] or None, when, match.start(1), match.end(2))
    for match in _TOXICITY.finditer(text, low, high):
        degree = "有毒" if match[1] == "毒" else match[1]
        yield Fact("has_toxicity", "toxicity", degree, None, when, *match.span())


def _channels(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield the channels behind 归 or 入; 归于下焦 and the like give none."""
    for low, high, head in _clauses(text, start, end):
        for into in _INTO.finditer(text, low, high):
            if "经" in into[1] or into.end() >= high:
                for match in _CHANNEL.finditer(text, *into.span(1)):
                    yield Fact("enters_channel", "channel", match[0], None, head, *match.span())


def _effects(text: str, start: int, end: int, both: bool = False) -> Iterator[Fact]:
    """Yield the effects that a field lists, such as 清热解毒, up to its first clause that is no list.

    both: whether it tells ailments, too; then only where a word such as 用于 says where these begin.
    """
    for low, high, head in _clauses(text, start, end):
        items = [item for item in _ITEM.finditer(text, low, high) if not _CLASS.search(item[0])]
        symptoms = next((n for n, item in enumerate(items) if _OF_SYMPTOMS.match(item[0])), None)
        listed = items[:symptoms]
        if both and symptoms is None and not _OF_SYMPTOMS.search(text, high, end):
            break  # nobody can say where the ailments begin
        if not items or any(not _EFFECT.fullmatch(_bare_effect(item)) for item in listed):
            break
        for item in listed:
            if made := _USED.match(item[0]):
                head = made[0]
            words = _bare_effect(item)
            yield Fact("has_effect", "effect", words, None, head, item.end() - len(words), item.end())
        if symptoms is not None:
            break


def _bare_effect(item: re.Match[str]) -> str:
    return _USED.sub("", item[0])


def _doses(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield doses, each with the way it is taken that stands before it in its clause."""
    for low, high, head in _clauses(text, start, end):
        way = head
        for match in _WAY_OR_AMOUNT.finditer(text, low, high):
            if match["way"]:
                way = match["way"] if head in (None, "内服") else head
            elif not _NO_DOSE_BEHIND.search(text[max(low, match.start() - 8) : match.start()]):
                yield Fact("has_dose", None, None, match[0], way, *match.span())


def _taboos(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield who must not take it, in the text's own clauses, and the herbs that it must not be given with."""
    for low, high, head in _clauses(text, start, end):
        clause = text[low:high]
        if _SAYS_NOTHING.search(clause) or not (_TABOO.search(clause) or _NOT_WITH.search(clause)):
            continue
        if against := _NOT_WITH.search(text, low, high):
            group = "herbs" if against["herbs"] else "bare"
            for item in _BETWEEN_HERBS.finditer(text, *against.span(group)):
                if is_herb(item[0]):
                    yield Fact("not_given_with", "herb", item[0], None, head, *item.span())
        if len(clause) <= LONGEST_TABOO:
            yield Fact("has_taboo", None, None, clause, head, low, high)
