"""Decide whether two similar texts are copies, or variants that say different things. Used by `dedup` (ours).

If a dose, a sign, a name, a negation or a side differs, both texts stay, however similar. The texts are aligned, and
the letters around each difference are searched for `facts`. A name that is in no list is recognized by how it differs:
one word replaced, and little else. Courtesies, particles, synonyms and homophones may differ. Word lists in
variants.yaml.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import yaml

from chimed.text.duplicates import facts as telling
from chimed.text.duplicates.alignment import Region, find_differing_regions, map_range
from chimed.text.duplicates.around import MAX_END_LENGTH as LONGEST_END
from chimed.text.duplicates.around import remove_courtesies, text_after_courtesy, text_before_courtesy
from chimed.text.duplicates.facts import Fact, find_facts

CONTEXT_LETTERS = 8  # on both sides of a difference: names and doses extend beyond it
MAX_UNKNOWN_WORDS = 2  # differing words up to which they count as names; more are bad typing
SHOWN_LETTERS = 16  # around a difference that is shown to a person; of the difference itself at most twice as many

# letters, without particles and facts, that a fact may stand further on and be said of the same: 连服3天 and 3天连服
MAX_MOVE = {"negation": 0, "side": 0, "sign": 0, "number": 2, "unit": 2, "name": 2}

KINDS = (*(kind for kind in telling.KINDS if kind != "particle"), "opposite", "word")


@dataclass(frozen=True)
class Difference:
    """What makes two texts variants: its kind (of `KINDS`), and the text around it on both sides."""

    kind: str
    one: str
    two: str


def find_difference(one: str, two: str) -> Difference | None:
    """Return what makes two texts (as `compared` has them) variants; None if one is a copy of the other."""
    if one == two:
        return None
    unknown: Counter[tuple[str, str]] = Counter()
    first: Region | None = None
    differing = _without_courtesies(find_differing_regions(one, two), one, two)
    for (i, i_end, j, j_end), within in _windows(differing, len(one), len(two)):
        texts = one[i:i_end], two[j:j_end]
        old, new = map(find_facts, texts)
        here = [(i1 - i, i2 - i, j1 - j, j2 - j) for i1, i2, j1, j2 in within]
        kind = _changed_kind(old, new, here, texts) or _moved_kind(old, new, here, texts[1])
        if kind:
            return _show_difference(kind, one, two, within[0])
        for region in within:
            i1, i2, j1, j2 = region
            if _in_facts(i1 - i, i2 - i, old) and _in_facts(j1 - j, j2 - j, new):
                continue  # 三两 and 3两: the same facts, written in another way
            kind = _classify_word(one[i1:i2], two[j1:j2], one[max(0, i1 - 2) : i1], one[i2 : i2 + 2])
            if kind == "word":
                unknown[one[i1:i2], two[j1:j2]] += 1
                first = first or region
            elif kind:
                return _show_difference(kind, one, two, region)
    if first and (len(unknown) <= MAX_UNKNOWN_WORDS or max(unknown.values()) > 1):
        return _show_difference("word", one, two, first)
    return None


def _without_courtesies(differing: list[Region], one: str, two: str) -> list[Region]:
    """Return the regions without those at both ends that only differ in greetings, thanks or signatures."""
    ahead, behind = 0, len(differing)
    for n, (_, i2, _, j2) in enumerate(differing):
        if not _is_courtesy(one[:i2]) or not _is_courtesy(two[:j2]) or _differs_after_greeting(one[:i2], two[:j2]):
            break
        ahead = n + 1
    for n in range(len(differing) - 1, ahead - 1, -1):
        i1, _, j1, _ = differing[n]
        if not _is_courtesy(one[i1:]) or not _is_courtesy(two[j1:]) or _differs_before_thanks(one[i1:], two[j1:]):
            break
        behind = n
    return differing[ahead:behind]


def _differs_after_greeting(one: str, two: str) -> bool:
    """Return whether two beginnings continue differently after their greeting: 请问人[参] and 请问党[参]."""
    old, new = (text_after_courtesy(text) for text in (one, two))
    return bool(old and new) and old != new


def _differs_before_thanks(one: str, two: str) -> bool:
    """Return whether two ends differ before their thanks or wishes: [42]年如有疑问 and [42]个月如有疑问.

    In a signature, the name of a person or place may differ.
    """
    (old, signs), (new, other_signs) = (text_before_courtesy(text) for text in (one, two))
    return bool(old and new) and old != new and not signs and not other_signs


def _is_courtesy(text: str) -> bool:
    """Return whether an end of a text consists of courtesies, an address or a signature, and states no fact."""
    if len(text) > 2 * LONGEST_END:
        return False
    rest = remove_courtesies(text.translate(_wording().particles))
    return rest is not None and not find_facts(rest)


def _windows(differing: list[Region], length_one: int, length_two: int) -> list[tuple[Region, list[Region]]]:
    """Return regions with `CONTEXT_LETTERS` letters on both sides; those near each other share a window."""
    groups: list[list[Region]] = []
    for region in differing:
        if groups and region[0] - groups[-1][-1][1] < 2 * CONTEXT_LETTERS:
            groups[-1].append(region)
        else:
            groups.append([region])
    found = []
    for group in groups:
        (i1, _, j1, _), (_, i2, _, j2) = group[0], group[-1]
        left, right = min(CONTEXT_LETTERS, i1, j1), min(CONTEXT_LETTERS, length_one - i2, length_two - j2)
        found.append(((i1 - left, i2 + right, j1 - left, j2 + right), group))
    return found


def _changed_kind(old: list[Fact], new: list[Fact], within: list[Region], texts: tuple[str, str]) -> str | None:
    """Return the first kind of fact that differs between two windows; None if there is none."""
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
            if fact.kind == kind and any(_contains_fact(region, side, fact, texts[side]) for region in within)
        ]
        if kind == "particle":  # 非常 may be there or not; 不同 with a letter less is 同
            if any(value not in whole for value in (*went, *came)):
                return "negation"
        elif kind not in ("use", "name") or bool(went) == bool(came) or whole:
            return kind  # a name that lost a letter is mistyped, one that is not there at all is missing
    return None


def _contains_fact(region: Region, side: int, fact: Fact, text: str) -> bool:
    """Return whether a region of one side contains a whole fact.

    An insertion or deletion can be aligned in several ways: where 党参丹参 became 党参, the missing letters may be 丹参
    or 参丹. It contains the fact if it does so in one of the alignments.
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


def _moved_kind(old: list[Fact], new: list[Fact], within: list[Region], text: str) -> str | None:
    """Return the first kind of fact that is in both windows but about something else (A可用而B不可用, A不可用而B可用).

    text: the second window.
    """
    if len(within) < 2:  # what moved is gone in one place and there in another
        return None
    for kind, farthest in MAX_MOVE.items():
        sides = [[fact for fact in side if fact.kind == kind] for side in (old, new)]
        if [fact.value for fact in sides[0]] != [fact.value for fact in sides[1]]:
            continue
        for one, two in zip(*sides, strict=True):
            start, end = map_range(one.start, one.end, within)
            passed = range(end, two.start) or range(two.end, start)
            if len(passed) > farthest and _count_other_letters(passed, text, new) > farthest:
                return kind
    return None


def _count_other_letters(places: range, text: str, several: list[Fact]) -> int:
    """Return how many letters at these places are neither particles nor part of a fact."""
    particles = _wording().particles
    return sum(ord(text[place]) not in particles and not _in_facts(place, place + 1, several) for place in places)


def _in_facts(start: int, end: int, several: list[Fact]) -> bool:
    """Return whether every letter of a range is part of a fact."""
    return all(any(fact.start <= place < fact.end for fact in several) for place in range(start, end))


def _show_difference(kind: str, one: str, two: str, region: Region) -> Difference:
    i1, i2, j1, j2 = region
    return Difference(
        kind,
        one[max(0, i1 - SHOWN_LETTERS) : min(i2, i1 + 2 * SHOWN_LETTERS) + SHOWN_LETTERS],
        two[max(0, j1 - SHOWN_LETTERS) : min(j2, j1 + 2 * SHOWN_LETTERS) + SHOWN_LETTERS],
    )


# --- words -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wording:
    """The lists of variants.yaml: particles for `str.translate`, synonyms by number, opposites, ends of names."""

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


def are_opposites(one: str, two: str) -> bool:
    """Return whether a letter is the opposite of another, or in the same series: 高 and 低, 左 and 右, 春 and 夏."""
    return frozenset((one, two)) in _wording().opposites


def _classify_word(one: str, two: str, before: str, behind: str) -> str | None:
    """Return the kind of difference between two words in this context; None if there is none."""
    wording = _wording()
    if not one or not two:
        said = (one or two).translate(wording.particles)
        is_name = 2 <= len(said) <= 8 and wording.name.fullmatch(said) and not wording.no_name.search(said)
        return "name" if is_name else None
    changed = {frozenset(pair) for pair in zip(one, two, strict=False)} if len(one) == len(two) else set()
    if changed & wording.opposites:
        return "opposite"
    return None if _means_the_same(one, two, before, behind) else "word"


def _means_the_same(one: str, two: str, before: str, behind: str) -> bool:
    wording = _wording()
    bare = one.translate(wording.particles), two.translate(wording.particles)
    if bare[0] == bare[1] or Counter(one) == Counter(two):
        return True
    for old, new in ((one, two), bare):
        if _sound_alike(old, new):
            return True
        for left in range(3):  # the words may begin before what differs, and end behind it: 怎[么] and 怎[样]
            for right in range(3):
                head, tail = before[len(before) - left :] if left else "", behind[:right]
                sense = wording.senses.get(head + old + tail)
                if sense is not None and sense == wording.senses.get(head + new + tail):
                    return True
    return False


@lru_cache(maxsize=8192)
def _readings(letter: str) -> frozenset[str]:
    """Return the readings of a Chinese character, without tones."""
    from pypinyin import Style, pinyin  # here: its dictionary takes a while to load, and many corpora need none

    if not "㐀" <= letter <= "鿿":
        return frozenset()
    return frozenset(pinyin(letter, style=Style.NORMAL, heteronym=True)[0])


def _sound_alike(one: str, two: str) -> bool:
    return len(one) == len(two) and all(a == b or _readings(a) & _readings(b) for a, b in zip(one, two, strict=True))
