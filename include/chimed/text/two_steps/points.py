"""Find what the facts of all entries allow to be asked over two steps, each with one right answer. Ours.

A question "which herb of the formula …" has one answer only if all herbs of the formula are known: each has an entry,
none of them two that contradict each other, and no other herb comes near the property, not even under a condition or
somewhere else in its entry. What holds for a herb as such need not hold for the roasted one, so a preparation is no
answer. Formulas of the same name with other herbs are not asked about, nor is one of
which an entry could not be read to its end.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from chimed.text.fidelity.doses import parse_number
from chimed.text.graph.fact import Fact
from chimed.text.graph.facts import Entry, read_entry
from chimed.text.graph.fields import LABELS, read_fields
from chimed.text.graph.ingredients import find_ingredients
from chimed.text.terms import other_names
from chimed.text.two_steps.point import Point, place_of
from chimed.text.two_steps.properties import CLAUSE, FAMILIES, POISONOUS, TAKES_CARE, WHO, pieces_of

MOST_OF_A_FORMULA = 3  # questions about one formula, so that none is asked about too often
MOST_HERBS = 20  # of a formula that is asked about; a longer list is an index or was read wrongly
LONGEST_SAID = 24  # characters of a taboo that is asked about
RELATIONS = frozenset(
    ["contains", "also_called", "has_nature", "has_toxicity", "has_effect", "enters_channel", "has_taboo",
     "not_given_with"]
)  # fmt: skip
_TOLD = ("has_effect", "enters_channel", "has_nature")  # what is asked of the largest ingredient
_PREPARATION = re.compile(
    r"[炙炒制煅炮煨焦酒醋盐蜜姜熟生烧蒸炭霜]|炼"
)  # in a condition: another medicine than the entry's
_ONE_DOSE = re.compile(
    r"(\d{1,5}(?:\.\d{1,3})?|[一二三四五六七八九十百]{1,4})\s?([^\d\s一二三四五六七八九十百半]{1,2})"
)


@dataclass(frozen=True)
class Told:
    """An entry and the id of its row. text: of a herb's entry, the whole; of a formula's it is not looked at."""

    row: str
    entry: Entry
    text: str = ""


@dataclass(frozen=True)
class _Herb:
    """An ingredient with the entries of its name. Entries of a name that the formula writes in another way count only
    as those of another herb."""

    name: str
    fact: Fact
    entries: tuple[Told, ...] = ()
    its_own: bool = False
    prepared: bool = False

    def facts(self, relation: str) -> list[Fact]:
        """Return what all its entries state, under a condition too."""
        return [fact for told in self.entries for fact in told.entry.facts if fact.relation == relation]

    @property
    def answers(self) -> bool:
        """Whether it may be an answer: named as its entry is, and not prepared."""
        return self.its_own and not self.prepared


@dataclass(frozen=True)
class _Formula:
    """A formula of which all entries agree."""

    name: str
    told: Told
    herbs: tuple[_Herb, ...] = field(default=())

    @property
    def is_known(self) -> bool:
        """Whether every herb has an entry."""
        return all(herb.entries for herb in self.herbs)

    def point(self, herb: _Herb, row: str, relation: str, facts: list[Fact], **more: object) -> Point:
        """Return what is asked of one of its herbs."""
        others = tuple(one.name for one in self.herbs if one is not herb)
        place = (herb.fact.start, herb.fact.end)
        words = tuple(fact.object for fact in facts)
        said: dict[str, object] = {"asks": "which", "about": words[0], "says": words, **more}
        return Point(
            formula=self.name, herb=herb.name, others=others, relation=relation, formula_row=self.told.row,
            herb_row=row, in_formula=place, in_herb=place_of(facts), **said,  # type: ignore[arg-type]
        )  # fmt: skip


def read_told(title: str | None, text: str) -> Entry | None:
    """Return a text's entry with the facts that points are made of; None for a text that is none.

    A formula that lists a herb twice has no list here: the facts tell each herb once, so its doses would be wrong.
    """
    entry = read_entry(title, text)
    if entry is None:
        return None
    fields = [one for one in read_fields(text) if entry.kind == "formula" and one.label in LABELS["contains"]]
    listed = [fact.object for one in fields for fact in find_ingredients(text, one.start, one.end)]
    wanted = RELATIONS - {"contains"} if len(set(listed)) < len(listed) else RELATIONS
    return replace(entry, facts=tuple(fact for fact in entry.facts if fact.relation in wanted))


def herbs_of(formulas: Iterable[Told]) -> set[str]:
    """Return the names that the ingredients of these formulas may have in an entry of their own."""
    named = {fact.object for told in formulas for fact in told.entry.facts if fact.relation == "contains"}
    return {other for name in named if name for other in (name, *other_names(name))}


def find_points(formulas: Iterable[Told], herbs: Iterable[Told]) -> list[Point]:
    """Return what may be asked, in the order of the formulas' names; at most a few about each formula.

    herbs: of all entries of herbs at least those in `herbs_of`, with their texts.
    """
    known = _by_name(herbs)
    named = _by_name(formulas)
    called = {name for told in _agreeing(named) for name in _aliases(told.entry)}
    found: list[Point] = []
    for told in _agreeing(named):
        if told.entry.name not in called and (formula := _with_herbs(told, known)):
            found += _points(formula)
    return found


def _by_name(several: Iterable[Told]) -> dict[str, list[Told]]:
    named: dict[str, list[Told]] = defaultdict(list)
    for told in several:
        named[told.entry.name].append(told)
    return {name: sorted(named[name], key=lambda told: told.row) for name in sorted(named)}


def _aliases(entry: Entry) -> set[str]:
    return {fact.value for fact in entry.facts if fact.relation == "also_called" and fact.value}


def _ingredients(entry: Entry) -> list[Fact]:
    return [fact for fact in entry.facts if fact.relation == "contains"]


def _agreeing(named: Mapping[str, list[Told]]) -> Iterator[Told]:
    """Yield one entry of each formula whose entries all name the same herbs in the same doses."""
    for several in named.values():
        lists = {
            tuple(
                sorted((fact.object or "", fact.value or "", fact.condition or "") for fact in _ingredients(told.entry))
            )
            for told in several
        }
        if len(lists) == 1 and next(iter(lists)):
            yield several[0]


def _with_herbs(told: Told, known: Mapping[str, list[Told]]) -> _Formula | None:
    """Return a formula with what is known of its herbs; None where one is named twice, or there is only one."""
    facts = _ingredients(told.entry)
    names = [fact.object or "" for fact in facts]
    every = [name for one in names for name in {one, *other_names(one)} & {*names}]
    if not 2 <= len(names) <= MOST_HERBS or len(every) > len(names) or told.entry.name in names:
        return None
    return _Formula(told.entry.name, told, tuple(_herb(fact, known) for fact in facts))


def _herb(fact: Fact, known: Mapping[str, list[Told]]) -> _Herb:
    """Return an ingredient with its entries; of another name only where that entry itself says that it is this herb."""
    name = fact.object or ""
    prepared = _PREPARATION.search(fact.condition or "") is not None
    if name in known:
        return _Herb(name, fact, tuple(known[name]), its_own=True, prepared=prepared)
    others = [
        other for other in sorted(other_names(name))
        if other in known and (name.endswith(other) or any(name in _aliases(told.entry) for told in known[other]))
    ]  # fmt: skip
    prepared |= any(name.endswith(other) for other in others)  # 炙甘草 by the entry of 甘草
    return _Herb(name, fact, tuple(known[others[0]]) if len(others) == 1 else (), prepared=prepared)


# --- what is asked of a formula ------------------------------------------------------------------------------------


def _points(formula: _Formula) -> list[Point]:
    """Return the first point of each kind, what a patient's safety hangs on first."""
    kinds = [_largest(formula)]
    if formula.is_known:
        kinds = [
            _taboos(formula), _poisonous(formula), _not_given_with(formula), *kinds, _effects(formula),
            _natures(formula), _channels(formula),
        ]  # fmt: skip
    first = [next(kind, None) for kind in kinds]
    return [point for point in first if point][:MOST_OF_A_FORMULA]


def _largest(formula: _Formula) -> Iterator[Point]:
    """Yield what the entry of the herb with the largest dose says, if all doses can be compared."""
    doses = [_dose(herb.fact) for herb in formula.herbs]
    if None in doses or len({one[1] for one in doses if one}) != 1:
        return
    amounts = [one[0] for one in doses if one]
    most = max(amounts)
    herb = formula.herbs[amounts.index(most)]
    if amounts.count(most) > 1 or not herb.answers:
        return
    turn = zlib.crc32(formula.name.encode()) % len(_TOLD)  # so that not all formulas are asked about the same
    for relation in (*_TOLD[turn:], *_TOLD[:turn]):
        for told in herb.entries if _undisputed(herb, relation) else ():
            if facts := [fact for fact in told.entry.facts if fact.relation == relation]:
                yield formula.point(herb, told.row, relation, facts, asks="largest", about=None)


def _dose(fact: Fact) -> tuple[float, str] | None:
    match = _ONE_DOSE.fullmatch(fact.value or "")
    amount = parse_number(match[1]) if match else None
    return (float(amount), match[2]) if match and amount else None


def _undisputed(herb: _Herb, relation: str) -> bool:
    """Whether nothing of this holds only under a condition, and all its entries that state it state the same.

    Of effects an entry names some and not all, so two entries need not name the same.
    """
    facts = herb.facts(relation)
    of_entries = ([fact.object for fact in told.entry.facts if fact.relation == relation] for told in herb.entries)
    different = {frozenset(said) for said in of_entries if said}
    return not any(fact.condition for fact in facts) and (relation == "has_effect" or len(different) == 1)


_Stated = tuple[_Herb, Told, Fact, list[_Herb]]  # a herb, its entry, what that states, and the formula's other herbs


def _stated(formula: _Formula, relation: str) -> Iterator[_Stated]:
    """Yield every fact of the herbs that may be an answer."""
    for herb in formula.herbs:
        others = [one for one in formula.herbs if one is not herb]
        for told in herb.entries if herb.answers else ():
            yield from ((herb, told, fact, others) for fact in told.entry.facts if fact.relation == relation)


def _all_have(formula: _Formula, relation: str) -> bool:
    """Whether this is stated of every herb. Roasting changes a nature, so then none may be a preparation."""
    changes = relation == "has_nature"
    return all(herb.facts(relation) and not (changes and herb.prepared) for herb in formula.herbs)


def _sure(formula: _Formula, relation: str) -> Iterator[_Stated]:
    return (one for one in _stated(formula, relation) if _undisputed(one[0], relation))


def _natures(formula: _Formula) -> Iterator[Point]:
    """Yield natures such that no other herb is of that family: of 温 and 微温 nobody can say which one is asked for."""
    for herb, told, fact, others in _sure(formula, "has_nature") if _all_have(formula, "has_nature") else ():
        family = next((one for one in FAMILIES if fact.object in one), frozenset())
        if not any(other.object in family for one in others for other in one.facts("has_nature")):
            yield formula.point(herb, told.row, "has_nature", [fact])


def _channels(formula: _Formula) -> Iterator[Point]:
    """Yield channels that no other herb enters; the answer tells all that it enters, as the entry lists them."""
    for herb, told, fact, others in _sure(formula, "enters_channel") if _all_have(formula, "enters_channel") else ():
        if not any(other.object == fact.object for one in others for other in one.facts("enters_channel")):
            every = [one for one in told.entry.facts if one.relation == "enters_channel"]
            yield formula.point(herb, told.row, "enters_channel", every, about=fact.object)


def _poisonous(formula: _Formula) -> Iterator[Point]:
    for herb, told, fact, others in _sure(formula, "has_toxicity") if _all_have(formula, "has_nature") else ():
        if fact.object != "无毒" and not _any_says(others, POISONOUS):
            yield formula.point(herb, told.row, "has_toxicity", [fact])


def _effects(formula: _Formula) -> Iterator[Point]:
    """Yield effects that no other herb has in part or by another word."""
    for herb, told, fact, others in _sure(formula, "has_effect") if _all_have(formula, "has_effect") else ():
        pieces = pieces_of(fact.object or "")
        near = any(pieces & pieces_of(other.object or "") for one in others for other in one.facts("has_effect"))
        if not near and not _any_says(others, re.escape(fact.object or "")):
            yield formula.point(herb, told.row, "has_effect", [fact])


def _taboos(formula: _Formula) -> Iterator[Point]:
    """Yield who must take care of one herb of the formula, and of no other."""
    for herb, told, fact, others in _stated(formula, "has_taboo"):
        for match in CLAUSE.finditer(fact.value or ""):
            for who, form in TAKES_CARE.items():
                said = form.fullmatch(match[0]) if len(match[0]) <= LONGEST_SAID else None
                if said and not _any_says(others, WHO[who][1]):
                    start = fact.start + match.start()
                    place = replace(fact, start=start, end=start + len(match[0]))
                    yield formula.point(herb, told.row, "has_taboo", [place], says=(said["who"],), about=said["who"])


def _not_given_with(formula: _Formula) -> Iterator[Point]:
    names = {name for herb in formula.herbs for name in (herb.name, *other_names(herb.name))}
    for herb, told, fact, others in _stated(formula, "not_given_with"):
        against = fact.object or ""
        if against not in names and not _any_says(others, re.escape(against)):
            yield formula.point(herb, told.row, "not_given_with", [fact], says=(against,), about=against)


def _any_says(herbs: list[_Herb], words: str) -> bool:
    """Whether an entry of one of these herbs has such words anywhere, also where no fact was read."""
    return any(re.search(words, told.text) for herb in herbs for told in herb.entries)
