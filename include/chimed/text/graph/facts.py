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
from chimed.text.graph.doses import find_doses
from chimed.text.graph.fact import Fact
from chimed.text.graph.fields import LABELS, Field, kind_of, read_fields
from chimed.text.graph.heads import clauses
from chimed.text.graph.ingredients import find_ingredients_of
from chimed.text.graph.taboos import find_taboos

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
_BETWEEN_COMMAS = re.compile(r"[^，,]+")
_ITEM = re.compile(r"[^、，,。；;\s]+")
_EFFECT = re.compile(r"[\u3400-\u9fff]{2,10}")
_CLASS = re.compile(r"^属|下属|分类|药$")  # 属清热药 is the class of a herb and no effect
_USED = re.compile(r"[生熟鲜炒炙制煅炮酒醋盐蜜]{1,2}[用品者则]|外用|内服")  # 生用清热 is 清热 under a condition
_OF_SYMPTOMS = re.compile(r"用于|主治|治|适用")  # what begins so is no effect
_NOT_THE_SAME = re.compile(
    r"不是|并非|而非|^非(?!洲)|不同|有别|区别|误[作称用认以名]|混[淆用同]|易混|[不勿][可能得叫称作等应宜]|冒充|伪品|代用品"
)
_NO_NAME = re.compile(r"(?:又名|亦称|亦名|俗称|别名|暂缺|不详|无)")
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
    readers = [("alias", _other_names), ("effect", _effects), ("taboo", find_taboos)]
    if kind == "herb":
        readers += [("nature", _natures), ("channel", _channels), ("dose", find_doses)]
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


def _other_names(text: str, start: int, end: int) -> Iterator[Fact]:
    denied = start
    for item in _ITEM.finditer(text, start, end):
        if item.start() < denied:
            continue
        if _NOT_THE_SAME.search(item[0]):  # 不是紫丁香、白丁香: to the end of the sentence
            denied = next((at for at in range(item.end(), end) if text[at] in "。；;\n"), end)
            continue
        if _NAME.fullmatch(item[0]) and len(item[0]) > 1 and not _NO_NAME.match(item[0]):
            yield Fact("also_called", None, None, item[0], None, *item.span())


def _natures(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield nature, flavours and toxicity. 生用性寒 holds under the condition 生用.

    In 生用性寒，熟用性温，味甘 nobody can say what 味甘 holds for, so it gives no fact.
    """
    for low, high, head in clauses(text, start, end):
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
    for low, high, head in clauses(text, start, end):
        for into in _INTO.finditer(text, low, high):
            if "经" in into[1] or into.end() >= high:
                for match in _CHANNEL.finditer(text, *into.span(1)):
                    yield Fact("enters_channel", "channel", match[0], None, head, *match.span())


def _effects(text: str, start: int, end: int, both: bool = False) -> Iterator[Fact]:
    """Yield the effects that a field lists, such as 清热解毒, up to its first clause that is no list.

    both: whether it tells ailments, too; then only where a word such as 用于 says where these begin.
    """
    for low, high, head in clauses(text, start, end):
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
