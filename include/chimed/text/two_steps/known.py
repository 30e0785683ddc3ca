"""What the entries of herbs and formulas let us know of a formula: its herbs, and the entries of each. Ours.

A formula is known if its entries agree and name each herb once, without another that may stand for it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from chimed.text.graph.fact import Fact
from chimed.text.graph.facts import Entry, read_entry
from chimed.text.graph.fields import read_fields
from chimed.text.graph.ingredients import find_alternates, find_ingredients_of
from chimed.text.terms import other_names
from chimed.text.two_steps.point import Point, place_of

MOST_HERBS = 20  # of a formula that is asked about; a longer list is an index or was read wrongly
RELATIONS = frozenset(
    ["contains", "also_called", "has_nature", "has_toxicity", "has_effect", "enters_channel", "has_taboo",
     "not_given_with"]
)  # fmt: skip
# In a condition: another medicine than the entry's
_PREPARATION = re.compile(r"[炙炒制煅炮煨焦酒醋盐蜜姜熟生烧蒸炭霜]|炼")


@dataclass(frozen=True)
class Told:
    """An entry and the id of its row. text: of a herb's entry, the whole; of a formula's it is not looked at."""

    row: str
    entry: Entry
    text: str = ""


@dataclass(frozen=True)
class Herb:
    """An ingredient with the entries of its name.

    Entries of a name that the formula writes in another way count only as those of another herb.
    """

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
class Formula:
    """A formula of which all entries agree."""

    name: str
    told: Told
    herbs: tuple[Herb, ...] = field(default=())

    @property
    def is_known(self) -> bool:
        """Whether every herb has an entry."""
        return all(herb.entries for herb in self.herbs)

    def point(self, herb: Herb, row: str, relation: str, facts: list[Fact], **more: object) -> Point:
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

    A formula that lists a herb twice has no list here: the facts tell each herb once, so its doses would be wrong. Nor
    has one that names another herb for one of them: 人参（或党参）.
    """
    entry = read_entry(title, text)
    if entry is None:
        return None
    listed = find_ingredients_of(text, read_fields(text)) if entry.kind == "formula" else []
    unsure = len({fact.object for fact in listed}) < len(listed) or any(map(find_alternates, listed))
    wanted = RELATIONS - {"contains"} if unsure else RELATIONS
    return replace(entry, facts=tuple(fact for fact in entry.facts if fact.relation in wanted))


def herbs_of(formulas: Iterable[Told]) -> set[str]:
    """Return the names that the ingredients of these formulas may have in an entry of their own."""
    named = {fact.object for told in formulas for fact in told.entry.facts if fact.relation == "contains"}
    return {other for name in named if name for other in (name, *other_names(name))}


def by_name(several: Iterable[Told]) -> dict[str, list[Told]]:
    """Return entries by name, both in a fixed order."""
    named: dict[str, list[Told]] = defaultdict(list)
    for told in several:
        named[told.entry.name].append(told)
    return {name: sorted(named[name], key=lambda told: told.row) for name in sorted(named)}


def aliases(entry: Entry) -> set[str]:
    """Return the other names that an entry gives."""
    return {fact.value for fact in entry.facts if fact.relation == "also_called" and fact.value}


def _ingredients(entry: Entry) -> list[Fact]:
    return [fact for fact in entry.facts if fact.relation == "contains"]


def agreeing(named: Mapping[str, list[Told]]) -> Iterator[Told]:
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


def with_herbs(told: Told, known: Mapping[str, list[Told]]) -> Formula | None:
    """Return a formula with what is known of its herbs; None where one is named twice, or there is only one."""
    facts = _ingredients(told.entry)
    names = [fact.object or "" for fact in facts]
    every = [name for one in names for name in {one, *other_names(one)} & {*names}]
    if not 2 <= len(names) <= MOST_HERBS or len(every) > len(names) or told.entry.name in names:
        return None
    return Formula(told.entry.name, told, tuple(_herb(fact, known) for fact in facts))


def _herb(fact: Fact, known: Mapping[str, list[Told]]) -> Herb:
    """Return an ingredient with its entries; of another name only where that entry itself says that it is this herb."""
    name = fact.object or ""
    prepared = _PREPARATION.search(fact.condition or "") is not None
    if name in known:
        return Herb(name, fact, tuple(known[name]), its_own=True, prepared=prepared)
    others = [
        other for other in sorted(other_names(name))
        if other in known and (name.endswith(other) or any(name in aliases(told.entry) for told in known[other]))
    ]  # fmt: skip
    prepared |= any(name.endswith(other) for other in others)  # 炙甘草 by the entry of 甘草
    return Herb(name, fact, tuple(known[others[0]]) if len(others) == 1 else (), prepared=prepared)
