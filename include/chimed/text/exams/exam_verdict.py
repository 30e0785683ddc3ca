"""Decide whether a text contains an exam question, or only shares its words.

All thresholds were set on the medical subjects of CMMLU, planted in other text and searched for in text that has none;
`tests/benchmarks/exams.py` measures them again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from chimed.text.duplicates.variants import are_opposites
from chimed.text.exams.exam_questions import Question

MIN_SHARE_ALONE, MIN_SHARE_WITH_OPTIONS = 0.85, 0.75  # of a stem's letters that must be in the text
MIN_OPTIONS_ASKING, MIN_OPTIONS = 2, 3  # that prove a question, with a stem that asks and with one that does not
# Letters that a stem must have to count …
MIN_LETTERS_WITH_OPTION = 8  # with one option
MIN_LETTERS_NOT_ASKING = 9  # as a sentence of its own, where it asks nothing
MIN_LETTERS_INSIDE = 12  # inside a sentence
MIN_LETTERS_CHANGED = 10  # with letters changed, as a sentence of its own
MIN_LETTERS_CHANGED_INSIDE = 16  # with letters changed, inside a sentence
MIN_STORY_LETTERS = 40  # a patient's story, which another number does not make another question

_ENDS = frozenset("。！？!?；;：:\n…（(")  # behind a sentence of its own, an exam's blank among them
_QUOTES = "“‘\"'《「『（([【·-"  # in front of a word, and no sentence's beginning
_NUMBERS = re.compile(r"[a-z\d]+|[二三四五六七八九十两左右]")
_NEGATIVE = re.compile(r"[不错禁非]|除外|例外")
# What a reader puts behind a stem that breaks off where its options begin: …的是什么药？
_ASKED_ON = re.compile(r"什[么幺]|哪|几|多少|谁|何")  # 么 is 幺 in the form of `letters_alike`
MAX_TAIL_LETTERS = 8  # letters of it
# Letters that make no other word of a word, and those of asking
_SMALL = frozenset("的是了在有和与及而之为于也这那个种项一以上下列述多少几何什么幺哪")


@dataclass(frozen=True)
class Place:
    """Where a text has a stem. said: its letters there. alike: share of the stem's letters. options: how many follow
    it.

    before, behind: the non-letters before the first and after the last letter. then: the few letters up to the next
    non-letters, and those.
    """

    said: str
    alike: float
    options: int
    before: str
    behind: str
    then: tuple[str, str] = ("", "")


def recognize(question: Question, place: Place, pairs: Mapping[str, int]) -> str | None:
    """Return how a question is recognized in a text; None if it is not.

    pairs: how often two letters are adjacent in the exams.
    """
    stem = question.stem
    behind = place.then[1] if question.asks and not place.behind and _ASKED_ON.match(place.then[0]) else place.behind
    alone = bool(place.before.strip(_QUOTES)) and not _ENDS.isdisjoint(behind)
    asks = question.asks or not {"?", "？"}.isdisjoint(behind)
    asks = asks or (len(stem) >= MIN_LETTERS_CHANGED_INSIDE and question.modern and not question.saying)
    enough = place.options >= (MIN_OPTIONS_ASKING if asks else MIN_OPTIONS)
    if place.alike == 1:
        if enough or (place.options and asks and question.modern and len(stem) >= MIN_LETTERS_WITH_OPTION):
            return "with options"
        if alone and (asks or (len(stem) >= MIN_LETTERS_NOT_ASKING and question.modern and not question.saying)):
            return "a sentence of its own"
        return "by its length" if asks and question.modern and len(stem) >= MIN_LETTERS_INSIDE else None
    if len(stem) < MIN_STORY_LETTERS and is_other_question(stem, place.said):
        return None
    if enough and not question.saying:
        return "with options"
    if place.alike < MIN_SHARE_ALONE or not asks:
        return None
    if len(stem) < MIN_STORY_LETTERS and differs_by_word(stem, place.said, pairs, alone):
        return None
    if alone and len(stem) >= MIN_LETTERS_CHANGED:
        return "a sentence of its own"
    return (
        "by its length"
        if question.modern and len(stem) >= MIN_LETTERS_CHANGED_INSIDE and has_same_ends(stem, place.said)
        else None
    )


def is_other_question(stem: str, said: str) -> bool:
    """Return whether two stems differ only in a number or a side, or in what they deny, forbid or except."""
    only_numbers = _NUMBERS.sub("", stem) == _NUMBERS.sub("", said)
    return only_numbers or set(_NEGATIVE.findall(stem)) != set(_NEGATIVE.findall(said))


def differs_by_word(stem: str, said: str, pairs: Mapping[str, int], alone: bool) -> bool:
    """Return whether two stems differ in one place by a word: several letters, an opposite, or a letter that forms a
    word.

    A typing error is one letter that forms no word, or several letters in different places. The last letter asks:
    without it, or with more text after it, the sentence is a statement. alone: whether nothing follows.
    """
    changes = [block for block in Levenshtein.opcodes(stem, said) if block.tag != "equal"]
    if len(changes) > 1:
        return False
    start, end = changes[0].dest_start, changes[0].dest_end
    new, old = said[start:end], stem[changes[0].src_start : changes[0].src_end]
    if are_opposites(old, new):
        return True
    if end == len(said):
        return not (alone and len(new) == len(old) == 1)
    if _SMALL.issuperset(new + old if not new or not old else new):
        return False
    if max(len(new), len(old)) > 1:
        return True
    before, behind = said[max(0, start - 1) : start], said[end : end + 1]
    if not new or not old:
        around = before + new + behind
        return any(around[n : n + 2] in pairs for n in range(len(around) - 1))
    # the letter stood in a word with the neighbour that it is seen beside more often, and so must another word's letter
    left, right = (
        0 if one in _SMALL else pairs.get(pair, 0) for one, pair in ((before, before + old), (behind, old + behind))
    )
    return (left >= right and before + new in pairs) or (right >= left and new + behind in pairs)


def has_same_ends(stem: str, said: str) -> bool:
    """Return whether a stem's beginning and end are both there: at least one of two letters in its place."""
    return any(a == b for a, b in zip(stem[:2], said, strict=False)) and any(
        a == b for a, b in zip(stem[:-3:-1], said[::-1], strict=False)
    )
