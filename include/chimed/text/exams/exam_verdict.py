"""Whether a text asks what an exam asks, or only shares its words.

Every number here was set on the medical subjects of CMMLU, planted in other text and looked for in text that holds
none; `tests/benchmarks/exams.py` measures them again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from chimed.text.duplicates.variants import opposed
from chimed.text.exams.exam_questions import Question

SURE, ALIKE = 0.85, 0.75  # share of a stem's letters that the text has: by itself, with options
SOME, MANY = 2, 3  # options that are enough with a stem that asks, and with one that does not
# Letters of a stem from which it is enough …
ONE_OPTION = 8  # with one option
TERM = 9  # as a sentence of its own, where it asks nothing
INSIDE = 12  # inside a sentence
CHANGED = 10  # with letters changed, as a sentence of its own
CHANGED_INSIDE = 16  # with letters changed, inside a sentence
STORY = 40  # a patient's story, which another number does not make another question

_ENDS = frozenset("。！？!?；;：:\n…（(")  # behind a sentence of its own, an exam's blank among them
_QUOTES = "“‘\"'《「『（([【·-"  # in front of a word, and no sentence's beginning
_NUMBERS = re.compile(r"[a-z\d]+|[二三四五六七八九十两左右]")
_NEGATIVE = re.compile(r"[不错禁非]|除外|例外")
# What a reader puts behind a stem that breaks off where its options begin: …的是什么药？
_ASKED_ON = re.compile(r"什[么幺]|哪|几|多少|谁|何")  # 么 is 幺 in the form of `letters_alike`
ASKED_ON = 8  # letters of it
# Letters that make no other word of a word, and those of asking
_SMALL = frozenset("的是了在有和与及而之为于也这那个种项一以上下列述多少几何什么幺哪")


@dataclass(frozen=True)
class Place:
    """Where a text has a stem. said: its letters there. alike: share of the stem's. options: how many stand behind.

    before, behind: what is no letter before the first and behind the last one. then: the few letters up to the next
    place where there is none, and what stands there.
    """

    said: str
    alike: float
    options: int
    before: str
    behind: str
    then: tuple[str, str] = ("", "")


def told_by(question: Question, place: Place, pairs: Mapping[str, int]) -> str | None:
    """What tells a question in a text from other text; None where nothing does.

    pairs: how often two letters stand side by side in the exams.
    """
    stem = question.stem
    behind = place.then[1] if question.asks and not place.behind and _ASKED_ON.match(place.then[0]) else place.behind
    alone = bool(place.before.strip(_QUOTES)) and not _ENDS.isdisjoint(behind)
    asks = question.asks or not {"?", "？"}.isdisjoint(behind)
    asks = asks or (len(stem) >= CHANGED_INSIDE and question.modern and not question.saying)
    enough = place.options >= (SOME if asks else MANY)
    if place.alike == 1:
        if enough or (place.options and asks and question.modern and len(stem) >= ONE_OPTION):
            return "with options"
        if alone and (asks or (len(stem) >= TERM and question.modern and not question.saying)):
            return "a sentence of its own"
        return "by its length" if asks and question.modern and len(stem) >= INSIDE else None
    if len(stem) < STORY and another_question(stem, place.said):
        return None
    if enough and not question.saying:
        return "with options"
    if place.alike < SURE or not asks:
        return None
    if len(stem) < STORY and another_word(stem, place.said, pairs, alone):
        return None
    if alone and len(stem) >= CHANGED:
        return "a sentence of its own"
    return "by its length" if question.modern and len(stem) >= CHANGED_INSIDE and same_ends(stem, place.said) else None


def another_question(stem: str, said: str) -> bool:
    """Whether two stems differ in nothing but a number or a side, or in what they deny, forbid or except."""
    only_numbers = _NUMBERS.sub("", stem) == _NUMBERS.sub("", said)
    return only_numbers or set(_NEGATIVE.findall(stem)) != set(_NEGATIVE.findall(said))


def another_word(stem: str, said: str, pairs: Mapping[str, int], alone: bool) -> bool:
    """Whether two stems differ in one place, by a word: several letters, an opposite, or a letter that makes a word.

    A slip of the pen is one letter that makes no word, or several of them here and there. The letter at the end is what
    asks: without it, or with another and more behind it, it is a statement. alone: whether nothing is behind it.
    """
    changes = [block for block in Levenshtein.opcodes(stem, said) if block.tag != "equal"]
    if len(changes) > 1:
        return False
    start, end = changes[0].dest_start, changes[0].dest_end
    new, old = said[start:end], stem[changes[0].src_start : changes[0].src_end]
    if opposed(old, new):
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


def same_ends(stem: str, said: str) -> bool:
    """Whether a stem's beginning and its asking end are there: one of two letters in its place."""
    return any(a == b for a, b in zip(stem[:2], said, strict=False)) and any(
        a == b for a, b in zip(stem[:-3:-1], said[::-1], strict=False)
    )
