"""Find what the facts of all entries allow to be asked over two steps, each with one right answer. Ours.

A question "which herb of the formula …" has one answer only if all herbs of the formula are known (`known`): each has
an entry, and tells what is asked about; none has two entries that contradict each other, and no other herb comes near
the property (`properties`), not even under a condition or somewhere else in its entry. What is stated with a condition
or doubt (`doubt`) is no answer. What holds for a herb as such need not hold for the roasted one, so a preparation is
none, either. Formulas of the same name with other herbs are not asked about, nor is one of which an entry could not be
read to its end.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from chimed.text.fidelity.doses import parse_number
from chimed.text.graph.fact import Fact
from chimed.text.terms import other_names
from chimed.text.two_steps.doubt import agree, is_certain, tells_care
from chimed.text.two_steps.known import Formula, Herb, Told, agreeing, aliases, by_name, with_herbs
from chimed.text.two_steps.point import Point
from chimed.text.two_steps.properties import (
    CLASSICAL_CHANNELS,
    CLAUSE,
    DEGREE,
    FAMILIES,
    POISONOUS,
    comes_near,
    items_of,
    takes_care,
    who_takes_care,
    words_of,
)

MOST_OF_A_FORMULA = 3  # questions about one formula, so that none is asked about too often
LONGEST_SAID = 24  # characters of a taboo that is asked about
_TOLD = ("has_effect", "enters_channel", "has_nature")  # what is asked of the largest ingredient
_ONE_DOSE = re.compile(
    r"(\d{1,5}(?:\.\d{1,3})?|[一二三四五六七八九十百]{1,4})\s?([^\d\s一二三四五六七八九十百半]{1,2})"
)


def find_points(formulas: Iterable[Told], herbs: Iterable[Told]) -> list[Point]:
    """Return what may be asked, in the order of the formulas' names; at most a few about each formula.

    herbs: of all entries of herbs at least those in `herbs_of`, with their texts.
    """
    known = by_name(herbs)
    named = by_name(formulas)
    called = {name for told in agreeing(named) for name in aliases(told.entry)}
    found: list[Point] = []
    for told in agreeing(named):
        if told.entry.name not in called and (formula := with_herbs(told, known)):
            found += _points(formula)
    return found


# --- what is asked of a formula ------------------------------------------------------------------------------------


def _points(formula: Formula) -> list[Point]:
    """Return the first point of each kind, what a patient's safety hangs on first."""
    kinds = [_largest(formula)]
    if formula.is_known:
        kinds = [
            _taboos(formula), _poisonous(formula), _not_given_with(formula), *kinds, _effects(formula),
            _natures(formula), _channels(formula),
        ]  # fmt: skip
    first = [next(kind, None) for kind in kinds]
    return [point for point in first if point][:MOST_OF_A_FORMULA]


def _largest(formula: Formula) -> Iterator[Point]:
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
        unread = relation == "enters_channel" and _any_says([herb], CLASSICAL_CHANNELS)
        for told in herb.entries if _undisputed(herb, relation) and not unread else ():
            if facts := [fact for fact in told.entry.facts if fact.relation == relation]:
                yield formula.point(herb, told.row, relation, facts, asks="largest", about=None)


def _dose(fact: Fact) -> tuple[float, str] | None:
    match = _ONE_DOSE.fullmatch(fact.value or "")
    amount = parse_number(match[1]) if match else None
    return (float(amount), match[2]) if match and amount else None


def _undisputed(herb: Herb, relation: str) -> bool:
    """Whether nothing of this holds only under a condition, and all its entries that state it state the same.

    Of effects an entry names some and not all, so two entries need not name the same.
    """
    facts = herb.facts(relation)
    of_entries = ([fact.object for fact in told.entry.facts if fact.relation == relation] for told in herb.entries)
    different = {frozenset(said) for said in of_entries if said}
    return not any(fact.condition for fact in facts) and (relation == "has_effect" or len(different) == 1)


_Stated = tuple[Herb, Told, Fact, list[Herb]]  # a herb, its entry, what that states, and the formula's other herbs


def _stated(formula: Formula, relation: str) -> Iterator[_Stated]:
    """Yield every fact of the herbs that may be an answer."""
    for herb in formula.herbs:
        others = [one for one in formula.herbs if one is not herb]
        for told in herb.entries if herb.answers else ():
            yield from ((herb, told, fact, others) for fact in told.entry.facts if fact.relation == relation)


def _all_have(formula: Formula, relation: str) -> bool:
    """Whether this is stated of every herb. Roasting changes a nature, so then none may be a preparation."""
    changes = relation == "has_nature"
    return all(herb.facts(relation) and not (changes and herb.prepared) for herb in formula.herbs)


def _sure(formula: Formula, relation: str) -> Iterator[_Stated]:
    return (one for one in _stated(formula, relation) if _undisputed(one[0], relation))


def _natures(formula: Formula) -> Iterator[Point]:
    """Yield natures such that no other herb is of that family: of 温 and 微温 nobody can say which one is asked for."""
    for herb, told, fact, others in _sure(formula, "has_nature") if _all_have(formula, "has_nature") else ():
        family = next((one for one in FAMILIES if fact.object in one), frozenset())
        if not any(other.object in family for one in others for other in one.facts("has_nature")):
            yield formula.point(herb, told.row, "has_nature", [fact])


def _channels(formula: Formula) -> Iterator[Point]:
    """Yield channels that no other herb enters; the answer tells all that it enters, as the entry lists them.

    Where an entry names channels as the classics do (足厥阴经, 通行十二经), nobody can say which are meant.
    """
    if not _all_have(formula, "enters_channel") or _any_says(formula.herbs, CLASSICAL_CHANNELS):
        return
    for herb, told, fact, others in _sure(formula, "enters_channel"):
        entered = any(other.object == fact.object for one in others for other in one.facts("enters_channel"))
        if not entered and not _any_says(others, rf"[归入走行][^。；;\n]{{0,20}}{fact.object}|{fact.object}[经脏]"):
            every = [one for one in told.entry.facts if one.relation == "enters_channel"]
            yield formula.point(herb, told.row, "enters_channel", every, about=fact.object)


def _poisonous(formula: Formula) -> Iterator[Point]:
    """Yield a toxicity of which all words of the herb's entries agree, and no other herb's entry tells any."""
    for herb, told, fact, others in _sure(formula, "has_toxicity") if _all_have(formula, "has_nature") else ():
        degrees = {match[0] for one in herb.entries for match in DEGREE.finditer(one.text)}
        if fact.object != "无毒" and degrees <= {fact.object} and not _any_says(others, POISONOUS):
            yield formula.point(herb, told.row, "has_toxicity", [fact])


def _effects(formula: Formula) -> Iterator[Point]:
    """Yield effects that no other herb has in part, by another word, or near it."""
    for herb, told, fact, others in _sure(formula, "has_effect") if _all_have(formula, "has_effect") else ():
        effect = fact.object or ""
        near = any(comes_near(effect, other.object or "") for one in others for other in one.facts("has_effect"))
        if not near and not _any_says(others, "|".join(map(re.escape, words_of(effect)))):
            yield formula.point(herb, told.row, "has_effect", [fact])


def _taboos(formula: Formula) -> Iterator[Point]:
    """Yield who must take care of one herb of the formula, and of no other, which tell who must take care of them."""
    for herb, told, fact, others in _stated(formula, "has_taboo") if _all_have(formula, "has_taboo") else ():
        for match in CLAUSE.finditer(fact.value or ""):
            for who, form in takes_care().items():
                said = form.fullmatch(match[0]) if len(match[0]) <= LONGEST_SAID else None
                start = fact.start + match.start()
                place = replace(fact, start=start, end=start + len(match[0]))
                if said and _is_the_only(herb, told, place, said, who, others):
                    yield formula.point(herb, told.row, "has_taboo", [place], says=(said["who"],), about=said["who"])


def _is_the_only(herb: Herb, told: Told, place: Fact, said: re.Match[str], who: str, others: list[Herb]) -> bool:
    """Whether a clause holds without doubt, the herb's entries agree, and nobody that it names comes near another."""
    if not is_certain(place, told.text) or not agree(
        who_takes_care()[who].anywhere, said[0], (one.text for one in herb.entries)
    ):
        return False
    cares = "\n".join(tells_care(one.text) for other in others for one in other.entries)
    for item in items_of(said[0], said["care"]):
        persons = [known for known in who_takes_care().values() if re.search(f"{known.named}|{known.anywhere}", item)]
        near = [words for known in persons for words in (known.anywhere, known.cared_for)]
        near += [re.escape(item[n : n + 2]) for n in range(max(1, len(item) - 1))]
        if re.search("|".join(near), cares) or any(_any_says(others, known.anywhere) for known in persons):
            return False
    return True


def _not_given_with(formula: Formula) -> Iterator[Point]:
    """Yield with what one herb may not be given, where all herbs tell whom or what they are not for."""
    names = {name for herb in formula.herbs for name in (herb.name, *other_names(herb.name))}
    for herb, told, fact, others in _stated(formula, "not_given_with") if _all_have(formula, "has_taboo") else ():
        against = fact.object or ""
        same = "|".join(map(re.escape, sorted({against, *other_names(against)})))
        certain = is_certain(fact, told.text) and _all_agree(herb, told, fact, same)
        if certain and against not in names and not _any_says(others, same):
            yield formula.point(herb, told.row, "not_given_with", [fact], says=(against,), about=against)


def _all_agree(herb: Herb, told: Told, fact: Fact, words: str) -> bool:
    """Whether the herb's entries all forbid what one of them forbids."""
    low = max(told.text.rfind(mark, 0, fact.start) for mark in "，,。；;：:\n】") + 1
    ends = [at for mark in "，,。；;\n" if (at := told.text.find(mark, fact.end)) >= 0]
    clause = told.text[low : min(ends, default=len(told.text))]
    return agree(words, clause, (one.text for one in herb.entries))


def _any_says(herbs: Iterable[Herb], words: str) -> bool:
    """Whether an entry of one of these herbs has such words anywhere, also where no fact was read."""
    return any(re.search(words, told.text) for herb in herbs for told in herb.entries)
