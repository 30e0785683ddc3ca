"""Are two texts that look alike a text and its copy, or two variants that say different things? Used by `dedup` (ours).

Where a dose, a sign, a name, a negation or a side differs both texts stay, however alike. The texts are aligned, and
what stands around every difference is read for its `facts`. A name that no list has is known by how it differs: a word
in place of another, and little else. What says nothing may differ: courtesies, particles, words of one sense, letters
of one sound. Lists in variants.yaml.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import yaml

from chimed.text.duplicates import facts as telling
from chimed.text.duplicates.alignment import Region, regions, where
from chimed.text.duplicates.around import LONGEST as LONGEST_END
from chimed.text.duplicates.around import uncourteous, uncourteous_end, uncourteous_start
from chimed.text.duplicates.facts import Fact, facts

AROUND = 8  # letters on both sides of a difference that are read with it: names and doses reach over its ends
FEW = 2  # unknown words that differ, up to which they are taken for names; texts with more are badly typed copies
SHOWN = 16  # letters around a difference that a person is shown, and of the difference at most twice as many

# letters, without particles and facts, that a fact may stand further on and be said of the same: 连服3天 and 3天连服
MAY_MOVE = {"negation": 0, "side": 0, "sign": 0, "number": 2, "unit": 2, "name": 2}

KINDS = (*(kind for kind in telling.KINDS if kind != "particle"), "opposite", "word")


@dataclass(frozen=True)
class Difference:
    """What makes two texts variants: its kind (of `KINDS`), and the stretch of each around it."""

    kind: str
    one: str
    two: str


def difference(one: str, two: str) -> Difference | None:
    """What makes two texts (as `compared` has them) variants of each other; None where one is a copy of the other."""
    if one == two:
        return None
    unknown: Counter[tuple[str, str]] = Counter()
    first: Region | None = None
    differing = _but_courtesies(regions(one, two), one, two)
    for (i, i_end, j, j_end), within in _windows(differing, len(one), len(two)):
        texts = one[i:i_end], two[j:j_end]
        old, new = map(facts, texts)
        here = [(i1 - i, i2 - i, j1 - j, j2 - j) for i1, i2, j1, j2 in within]
        kind = _critical(old, new, here, texts) or _moved(old, new, here, texts[1])
        if kind:
            return _shown(kind, one, two, within[0])
        for region in within:
            i1, i2, j1, j2 = region
            if _in_facts(i1 - i, i2 - i, old) and _in_facts(j1 - j, j2 - j, new):
                continue  # 三两 and 3两: the same facts, written in another way
            kind = _word(one[i1:i2], two[j1:j2], one[max(0, i1 - 2) : i1], one[i2 : i2 + 2])
            if kind == "word":
                unknown[one[i1:i2], two[j1:j2]] += 1
                first = first or region
            elif kind:
                return _shown(kind, one, two, region)
    if first and (len(unknown) <= FEW or max(unknown.values()) > 1):
        return _shown("word", one, two, first)
    return None


def _but_courtesies(differing: list[Region], one: str, two: str) -> list[Region]:
    """The regions without those at both ends that are only how a writer greets, thanks or signs."""
    ahead, behind = 0, len(differing)
    for n, (_, i2, _, j2) in enumerate(differing):
        if not _courteous(one[:i2]) or not _courteous(two[:j2]) or _says_before(one[:i2], two[:j2]):
            break
        ahead = n + 1
    for n in range(len(differing) - 1, ahead - 1, -1):
        i1, _, j1, _ = differing[n]
        if not _courteous(one[i1:]) or not _courteous(two[j1:]) or _says_behind(one[i1:], two[j1:]):
            break
        behind = n
    return differing[ahead:behind]


def _says_before(one: str, two: str) -> bool:
    """Whether two beginnings each go on behind their greeting, with another word: 请问人[参] and 请问党[参]."""
    old, new = (uncourteous_end(text) for text in (one, two))
    return bool(old and new) and old != new


def _says_behind(one: str, two: str) -> bool:
    """Whether two ends each say another word before they thank or wish: [42]年如有疑问 and [42]个月如有疑问.

    A name of somebody who signs, or of where that is, may be any.
    """
    (old, signs), (new, other_signs) = (uncourteous_start(text) for text in (one, two))
    return bool(old and new) and old != new and not signs and not other_signs


def _courteous(text: str) -> bool:
    """Whether an end of a text is made of courtesies, or an address or signature, and tells nothing else."""
    if len(text) > 2 * LONGEST_END:
        return False
    rest = uncourteous(text.translate(_wording().particles))
    return rest is not None and not facts(rest)


def _windows(differing: list[Region], length_one: int, length_two: int) -> list[tuple[Region, list[Region]]]:
    """Regions with `AROUND` letters on both sides; those that lie near each other together."""
    groups: list[list[Region]] = []
    for region in differing:
        if groups and region[0] - groups[-1][-1][1] < 2 * AROUND:
            groups[-1].append(region)
        else:
            groups.append([region])
    found = []
    for group in groups:
        (i1, _, j1, _), (_, i2, _, j2) = group[0], group[-1]
        left, right = min(AROUND, i1, j1), min(AROUND, length_one - i2, length_two - j2)
        found.append(((i1 - left, i2 + right, j1 - left, j2 + right), group))
    return found


def _critical(old: list[Fact], new: list[Fact], within: list[Region], texts: tuple[str, str]) -> str | None:
    """The first kind of which two windows, that differ in these regions, have other facts or in another order."""
    if [(fact.kind, fact.value) for fact in old] == [(fact.kind, fact.value) for fact in new]:
        return None
    for kind in telling.KINDS:
        said = [[fact.value for fact in side if fact.kind == kind] for side in (old, new)]
        if said[0] == said[1]:
            continue
        went, came = (Counter(said[side]) - Counter(said[1 - side]) for side in (0, 1))
        whole = [
            fact.value
            for side, facts_there in enumerate((old, new))
            for fact in facts_there
            if fact.kind == kind and any(_holds(region, side, fact, texts[side]) for region in within)
        ]
        if kind == "particle":  # 非常 may be there or not; 不同 with a letter less is 同
            if any(value not in whole for value in (*went, *came)):
                return "negation"
        elif kind not in ("use", "name") or bool(went) == bool(came) or whole:
            return kind  # a name that lost a letter is mistyped, one that is not there at all is missing
    return None


def _holds(region: Region, side: int, fact: Fact, text: str) -> bool:
    """Whether a region of one side holds all of a fact.

    What was left out or put in may be read in several ways: where 党参丹参 became 党参, the letters that are gone
    may be 丹参 or 参丹. It holds the fact where it does in one of them.
    """
    start, end = region[2 * side : 2 * side + 2]
    if start <= fact.start and fact.end <= end:
        return True
    if region[2 - 2 * side] < region[3 - 2 * side] or fact.end - fact.start > end - start:
        return False  # a stretch stands for another, or is too short
    if fact.end > end:
        further = fact.end - end
        return text[start : start + further] == text[end : fact.end]
    return text[fact.start : start] == text[end - (start - fact.start) : end]


def _moved(old: list[Fact], new: list[Fact], within: list[Region], text: str) -> str | None:
    """The first kind of which a fact is in both windows, but said of something else: A可用而B不可用, A不可用而B可用.

    text: the second window.
    """
    if len(within) < 2:  # what moved is gone in one place and there in another
        return None
    for kind, farthest in MAY_MOVE.items():
        sides = [[fact for fact in side if fact.kind == kind] for side in (old, new)]
        if [fact.value for fact in sides[0]] != [fact.value for fact in sides[1]]:
            continue
        for one, two in zip(*sides, strict=True):
            start, end = where(one.start, one.end, within)
            passed = range(end, two.start) or range(two.end, start)
            if len(passed) > farthest and _said_besides(passed, text, new) > farthest:
                return kind
    return None


def _said_besides(places: range, text: str, several: list[Fact]) -> int:
    """How many letters at these places are neither particles nor in a fact."""
    particles = _wording().particles
    return sum(ord(text[place]) not in particles and not _in_facts(place, place + 1, several) for place in places)


def _in_facts(start: int, end: int, several: list[Fact]) -> bool:
    """Whether every letter of a stretch is one of a fact's."""
    return all(any(fact.start <= place < fact.end for fact in several) for place in range(start, end))


def _shown(kind: str, one: str, two: str, region: Region) -> Difference:
    i1, i2, j1, j2 = region
    return Difference(
        kind,
        one[max(0, i1 - SHOWN) : min(i2, i1 + 2 * SHOWN) + SHOWN],
        two[max(0, j1 - SHOWN) : min(j2, j1 + 2 * SHOWN) + SHOWN],
    )


# --- words -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wording:
    """variants.yaml: particles for `str.translate`, words of one sense by number, opposites, ends of names."""

    particles: dict[int, None]
    senses: dict[str, int]
    opposites: frozenset[frozenset[str]]
    name: re.Pattern[str]
    no_name: re.Pattern[str]


@cache
def _wording() -> Wording:
    lists = yaml.load((Path(__file__).parent / "variants.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return Wording(
        dict.fromkeys(map(ord, lists["particles"])),
        {word: n for n, words in enumerate(lists["one_sense"]) for word in words.split()},
        frozenset(frozenset(pair) for pair in lists["opposites"].split()),
        re.compile(rf"[一-龥]{{1,7}}(?:{'|'.join(lists['name_ends'].split())})"),
        re.compile("|".join(lists["no_names"].split())),
    )


def opposed(one: str, two: str) -> bool:
    """Whether a letter stands for its opposite, or for another of its row: 高 and 低, 左 and 右, 春 and 夏."""
    return frozenset((one, two)) in _wording().opposites


def _word(one: str, two: str, before: str, behind: str) -> str | None:
    """What kind of difference it makes that one stands for two, between these letters; None where it makes none."""
    wording = _wording()
    if not one or not two:
        said = (one or two).translate(wording.particles)
        is_name = 2 <= len(said) <= 8 and wording.name.fullmatch(said) and not wording.no_name.search(said)
        return "name" if is_name else None
    changed = {frozenset(pair) for pair in zip(one, two, strict=False)} if len(one) == len(two) else set()
    if changed & wording.opposites:
        return "opposite"
    return None if _says_the_same(one, two, before, behind) else "word"


def _says_the_same(one: str, two: str, before: str, behind: str) -> bool:
    wording = _wording()
    bare = one.translate(wording.particles), two.translate(wording.particles)
    if bare[0] == bare[1] or Counter(one) == Counter(two):
        return True
    for old, new in ((one, two), bare):
        if _of_one_sound(old, new):
            return True
        for left in range(3):  # the words may begin before what differs, and end behind it: 怎[么] and 怎[样]
            for right in range(3):
                head, tail = before[len(before) - left :] if left else "", behind[:right]
                sense = wording.senses.get(head + old + tail)
                if sense is not None and sense == wording.senses.get(head + new + tail):
                    return True
    return False


@lru_cache(maxsize=8192)
def _sounds(letter: str) -> frozenset[str]:
    """How a Chinese letter may be read, without its tone."""
    from pypinyin import Style, pinyin  # here: its dictionary takes a while to load, and many corpora need none

    if not "㐀" <= letter <= "鿿":
        return frozenset()
    return frozenset(pinyin(letter, style=Style.NORMAL, heteronym=True)[0])


def _of_one_sound(one: str, two: str) -> bool:
    return len(one) == len(two) and all(a == b or _sounds(a) & _sounds(b) for a, b in zip(one, two, strict=True))
