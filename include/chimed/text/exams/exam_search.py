"""Where texts hold an exam question: runs of four letters find the places, an alignment and the options decide.

A question that stands there letter by letter is told from other text by being a sentence of its own or by its length,
one with letters changed by its length, a short one by the options behind it. A saying that an exam quotes, and another
question that differs in a number or in one word, are none.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq, Levenshtein
from rapidfuzz.process import cdist

from chimed.text.exams.exam_questions import Grams, Question, four_letters, index_grams
from chimed.text.exams.exam_verdict import MAX_TAIL_LETTERS, MIN_SHARE_WITH_OPTIONS, Place, recognize
from chimed.text.exams.letters_alike import BREAK, Letters, as_text, normalize_letters

CHANGED = 3 / 20  # share of a stem's letters that may be changed
SHIFT = 4  # letters that may be put in or left out
CHANGED_FROM = 7  # letters of a stem; a shorter one with a letter changed has no run of four left
OPTION_CHANGED_FROM = 5  # letters of an option that is found with letters changed
OPTION_ALIKE = 80  # of 100
BETWEEN = 40  # letters between a stem and its options: "A.", "单选题", the blank's unit

_MIX, _BITS = np.uint64(0x9E3779B97F4A7C15), 22  # Fibonacci hashing of runs, into a table that is nearly empty
_FAR = 1 << 12  # letters: more than a stem has
_AT_ONCE = 50_000  # candidates: a hostile text has as many as it has letters
_QUESTION = 40  # bits below a question's number
_LABELS = ("a", "h")


@dataclass(frozen=True)
class Found:
    """A question in a text.

    start, end: of the stem. last: the end of its last option, or of the stem; all are places in the text. alike: share
    of the stem's letters. options: how many stand behind it. why: what tells it from other text; None if nothing does.
    """

    question: Question
    start: int
    end: int
    last: int
    alike: float
    options: int
    why: str | None


class Search:
    """All questions, made ready to be looked for in many texts."""

    def __init__(self, questions: list[Question]) -> None:
        self.questions = questions
        self.grams = index_grams(questions)
        self.runs, firsts, counts = np.unique(self.grams.keys, return_index=True, return_counts=True)
        self.firsts, self.counts = firsts.astype(np.int32), counts.astype(np.int32)
        self.lengths = np.array([len(one.stem) for one in questions])
        self.stems = np.frombuffer("".join(one.stem for one in questions).encode("utf-16-le"), np.uint16)
        self.starts = np.cumsum(self.lengths) - self.lengths
        may_change = np.where(self.lengths < CHANGED_FROM, 0, np.ceil(self.lengths * CHANGED)).astype(int)
        self.needed = np.maximum(1, self.lengths - 3 - 4 * may_change)  # one letter is in four runs
        # places of a text that this takes at the least: one where a run is that a stem has twice agrees twice
        self.places_needed = (-(-self.needed // _most_alike(self.grams, len(questions)))).astype(np.int32)
        self.reach = (self.lengths + SHIFT).astype(np.int32)
        self.known = np.zeros(1 << _BITS, bool)
        self.known[_slots(self.grams.keys)] = True
        said = [words for one in questions for words in (one.stem, *one.options)]
        self.pairs = Counter(words[n : n + 2] for words in said for n in range(len(words) - 1))

    def find(self, text: str) -> Iterator[Found]:
        """Every place of a text that may hold a question, with the verdict on it. A NUL stands between two texts."""
        letters = normalize_letters(text)
        breaks = np.flatnonzero(letters.codes == BREAK)
        for number, begin in zip(*candidates(letters.codes, self), strict=True):
            after = np.searchsorted(breaks, begin + self.lengths[number] // 2)
            low = int(breaks[after - 1]) + 1 if after else 0
            high = int(breaks[after]) if after < len(breaks) else len(letters.codes)
            found = judged(self, self.questions[number], int(begin), _Text(text, letters, low, high))
            if found:
                yield found


def _most_alike(grams: Grams, questions: int) -> np.ndarray:
    """How often each question has the run that it has most often."""
    alike = (np.diff(grams.keys) == 0) & (np.diff(grams.question) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~alike]))
    most = np.ones(questions, np.int64)
    np.maximum.at(most, grams.question[starts], np.diff(starts, append=len(grams.keys)))
    return most


def _slots(keys: np.ndarray) -> np.ndarray:
    return (keys * _MIX) >> np.uint64(64 - _BITS)


# --- candidates -------------------------------------------------------------------------------------------------


def candidates(codes: np.ndarray, search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Questions, and where their first letter would stand, where as many runs of four agree as changes may leave."""
    runs = four_letters(codes)
    hits = np.flatnonzero(search.known[_slots(runs)])
    which = np.searchsorted(search.runs, runs[hits])
    there = search.runs[np.minimum(which, len(search.runs) - 1)] == runs[hits]
    hits, which = hits[there], which[there]
    first, several = search.firsts[which], search.counts[which]
    ends = np.cumsum(several, dtype=np.int32)  # all places and numbers fit in 32 bits, which are moved twice as fast
    entries = np.arange(several.sum(), dtype=np.int32) + np.repeat(first - ends + several, several)
    question = search.grams.question[entries]
    begins = np.repeat(hits.astype(np.int32), several) - search.grams.place[entries]
    # most runs stand alone: where too few of any question are near no question can be
    before = np.zeros(len(codes) + 1, np.int32)
    before[hits + 1] = 1
    np.cumsum(before, out=before)
    start, end = begins - np.int32(SHIFT), begins + search.reach[question]
    places = before[np.minimum(end, np.int32(len(codes)))] - before[np.maximum(start, np.int32(0))]
    near = np.flatnonzero(places >= search.places_needed[question])
    # a number a run: its question, then where that would begin; sorted, the runs that agree stand together
    found = (question[near].astype(np.int64) << _QUESTION) + begins[near] + _FAR
    found.sort()
    last = np.arange(len(found)) + search.needed[found >> _QUESTION] - 1  # the place of the last that must agree
    enough = np.flatnonzero(last < len(found))
    enough = enough[found[last[enough]] <= found[enough] + SHIFT]
    agree = np.searchsorted(found, found[enough] + SHIFT, side="right") - enough
    found = found[enough]
    apart = np.concatenate([[True], np.diff(found) > SHIFT])[: len(found)]
    best = np.lexsort((-agree, np.cumsum(apart)))[np.flatnonzero(apart)]
    question, begins = found[best] >> _QUESTION, (found[best] & ((1 << _QUESTION) - 1)) - _FAR
    likely = np.flatnonzero(_share_in_place(codes, search, question, begins) >= MIN_SHARE_WITH_OPTIONS)
    return question[likely], begins[likely]


def _share_in_place(codes: np.ndarray, search: Search, question: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Share of each stem's letters that stand within `SHIFT` letters of their place: no alignment finds more."""
    shares = [np.empty(0)]
    for first in range(0, len(question), _AT_ONCE):
        some = question[first : first + _AT_ONCE]
        lengths = search.lengths[some]
        begin = np.cumsum(lengths) - lengths
        within = np.arange(lengths.sum()) - np.repeat(begin, lengths)
        wanted = search.stems[np.repeat(search.starts[some], lengths) + within]
        places = np.repeat(begins[first : first + _AT_ONCE], lengths) + within
        there = np.zeros(len(wanted), bool)
        for shift in range(-SHIFT, SHIFT + 1):
            there |= codes[np.clip(places + shift, 0, len(codes) - 1)] == wanted
        shares.append(np.add.reduceat(there, begin, dtype=np.int64) / lengths)
    return np.concatenate(shares)


# --- verdicts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """One of the texts: its letters are those from `low` to `high`."""

    whole: str
    letters: Letters
    low: int
    high: int

    def said(self, start: int, end: int) -> str:
        """Return the letters from `start` up to `end`, cut off at the ends of the text."""
        return as_text(self.letters.codes[max(self.low, start) : min(self.high, end)])

    def gap(self, letter: int) -> str:
        """Return the characters between a letter and the one before it; a newline at either end of the text."""
        if letter <= self.low or letter >= self.high:
            return "\n"
        return self.whole[self.place(letter - 1) + 1 : self.place(letter)]

    def place(self, letter: int) -> int:
        """Where a letter stands, in characters."""
        return int(self.letters.places[letter])

    def is_label(self, letter: int) -> bool:
        """Whether a letter may name an option."""
        return self.low <= letter < self.high and _LABELS[0] <= chr(self.letters.codes[letter]) <= _LABELS[1]


def judged(search: Search, question: Question, begin: int, text: _Text) -> Found | None:
    """Align a question with the text near `begin` and say why it is a match or not; None where it is too dissimilar."""
    start, end, alike = aligned(question.stem, begin, text)
    if alike < MIN_SHARE_WITH_OPTIONS:
        return None
    options, last = options_behind(question, end, text)
    place = Place(text.said(start, end), alike, options, text.gap(start), text.gap(end), _then(end, text))
    why = recognize(question, place, search.pairs)
    return Found(question, text.place(start), text.place(end - 1) + 1, text.place(last - 1) + 1, alike, options, why)


def _then(end: int, text: _Text) -> tuple[str, str]:
    """Return the letters between the end of a stem and the next gap, and that gap; empty where the gap is too far."""
    for letter in range(end + 1, min(text.high, end + MAX_TAIL_LETTERS) + 1):
        if gap := text.gap(letter):
            return text.said(end, letter), gap
    return "", ""


def aligned(stem: str, begin: int, text: _Text) -> tuple[int, int, float]:
    """First letter, the one behind the last, and the share of letters alike, where a stem fits best."""
    low = max(text.low, begin - 2 * SHIFT)
    window = text.said(low, begin + len(stem) + 2 * SHIFT)
    exact = window.find(stem)
    if exact >= 0:
        return low + exact, low + exact + len(stem), 1.0
    if len(window) <= len(stem):
        return low, low + len(window), Levenshtein.normalized_similarity(stem, window)
    # no stretch has more of the letters in order than the window, nor a larger share of a longer whole
    most = LCSseq.similarity(stem, window) / len(stem)
    if most < MIN_SHARE_WITH_OPTIONS:
        return low, low + len(window), most
    near = fuzz.partial_ratio_alignment(stem, window)
    assert near is not None  # without a cut-off there always is one
    starts = range(max(0, near.dest_start - SHIFT), near.dest_start + SHIFT + 1)
    last = min(len(window), near.dest_end + SHIFT)
    bounds = [(start, end) for start in starts for end in range(max(start + 1, near.dest_end - SHIFT), last + 1)]
    said = [window[a:b] for a, b in bounds]
    shares = cdist([stem], said, scorer=Levenshtein.normalized_similarity, dtype=np.float64)[0]
    alike = shares.max()
    _, start, end = max((b - a, a, b) for a, b in map(bounds.__getitem__, np.flatnonzero(shares == alike).tolist()))
    return low + start, low + end, float(alike)


def options_behind(question: Question, end: int, text: _Text) -> tuple[int, int]:
    """How many of its options stand behind a stem, each by itself, and the letter behind the last of them."""
    window = text.said(end, end + 2 * sum(map(len, question.options)) + BETWEEN)
    count, last = 0, end
    for option in question.options:
        at = window.find(option)
        while at >= 0 and not _by_itself(end + at, end + at + len(option), end, text):
            at = window.find(option, at + 1)
        if at < 0 and len(option) >= OPTION_CHANGED_FROM:
            near = fuzz.partial_ratio_alignment(option, window, score_cutoff=OPTION_ALIKE)
            at = near.dest_start if near and len(window) >= len(option) else -1
        if at >= 0:
            count, last = count + 1, max(last, end + at + len(option))
    return count, min(last, text.high)


def _by_itself(start: int, end: int, stem_end: int, text: _Text) -> bool:
    before = start == stem_end or bool(text.gap(start)) or text.is_label(start - 1)
    return before and (bool(text.gap(end)) or text.is_label(end))
