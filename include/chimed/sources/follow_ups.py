"""Read what asker and doctor said after an answer: 追问, 追答 and 补充 of the two question sites (paper §3.1; ours).

A turn is kept only where the page shows who speaks, and only while the asker and the doctor of the answer speak: from
the first turn of an unknown speaker or of another doctor on, a conversation is left out. It also ends before a turn
whose words are lost, such as a picture or a recording: what follows answers what nobody can read, and without the turn
two questions would stand before one answer. Which lines are words is told by `turn_words`. Pure functions that both
sites' parsers use.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from parsel import Selector, SelectorList

from chimed.roles import ASKER, DOCTOR
from chimed.sources import turn_words
from chimed.sources.parsed import Turn
from chimed.sources.text import lines_within

MAX_TURNS = 100  # after an answer; a page with more is made to be read for hours, and real ones have a dozen
MIN_REPEATED = 8  # letters: a shorter turn that also stands in the question, such as 好的, was said again

OTHER_DOCTOR = "another doctor speaks"
UNKNOWN_SPEAKER = "the page does not show who speaks"
WORDS_LOST = "the words of a turn are lost"

_MEDIA = ("img", "picture", "audio", "video", "object", "embed", "iframe", "canvas", "svg")
_LABEL_MARK = "\ud800"  # begins the line that stands for a label; half a character, which no parsed page has
_SIGNS = re.compile(r"(?:(?![.\-~～/:：%])[\W_]|(?<!\d)[.\-~～/:：%]|[.\-~～/:：](?!\d))+")


@dataclass(frozen=True)
class Conversation:
    """An answer and what was said after it. adopted: whether the asker or the site chose it. ended: why what follows on
    the page was left out; empty if nothing was.
    """

    answer: str
    turns: tuple[Turn, ...]
    adopted: bool
    ended: str = ""


class Said:
    """The conversations of a page as they are read: each answer with its turns, in the order of the page.

    An answer that a page shows twice is one conversation, the longer one; the same words with other turns are two, for
    two doctors wrote them.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[Turn, ...]]] = {}
        self.adopted: set[str] = set()
        self.ended: dict[tuple[str, tuple[Turn, ...]], str] = {}

    def add(self, answer: str, later: "Later", adopted: bool) -> None:
        """Add an answer; one without words is none."""
        if not answer:
            return
        if adopted:
            self.adopted.add(answer)
        turns = later.turns
        self.ended.setdefault((answer, turns), later.ended)
        others = self.answers.setdefault(answer, [])
        if any(one[: len(turns)] == turns for one in others):
            return
        others[:] = [*(one for one in others if turns[: len(one)] != one), turns]

    def conversations(self) -> list[Conversation]:
        """Return the conversations."""
        return [
            Conversation(answer, turns, answer in self.adopted, self.ended[answer, turns])
            for answer, several in self.answers.items()
            for turns in several
        ]


@dataclass(frozen=True)
class Spoken:
    """One part of a box of follow-ups: who speaks by its class (None: unknown), its label's text, its lines.

    Without lines, the words stand in the label, or they are lost.
    """

    role: str | None
    label: str
    lines: list[str]


@dataclass(frozen=True)
class Later:
    """What was said after an answer. ended: why what follows on the page was left out; empty if nothing was."""

    turns: tuple[Turn, ...] = ()
    ended: str = ""


def labelled(boxes: SelectorList[Selector], part: str, labels: dict[str, str], skip: str) -> Iterator[Spoken]:
    """Yield the parts of boxes whose speaker stands in a label before the words.

    part: XPath condition for a part; without any, a box is one. labels: condition for a label → role. skip: condition
    for what is no words. A part that was never closed holds the next ones: each has its own words only.
    """
    for box in boxes:
        parts, instead = _parts(box.root, part, skip)
        for condition, role in labels.items():
            for one in box.root.xpath(f".//*[{condition}]"):
                instead[id(one)] = (one, f"{_LABEL_MARK}{role} {_label_and_words(one, instead)}".rstrip())
        for one in parts:
            told = list(_by_label(lines_within(one, instead)))
            yield from told
            if not told and _has_media(one, instead):
                yield Spoken(None, "", [])


def _label_and_words(label: Any, instead: dict[int, tuple[Any, str]]) -> str:
    """Return a label's text; one that was never closed holds the words, too, which begin lines of their own."""
    lines = lines_within(label, instead)
    return ("\x00" if label.xpath(".//p | .//div") else " ").join(lines)


def _parts(box: Any, part: str, skip: str) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
    """Return a box's parts, and what is no word of any of them: other parts and what is skipped (`lines_within`)."""
    every, skipped = box.xpath(f".//*[{part}]"), box.xpath(f".//*[{skip}]")
    out = {id(one): one for one in skipped}
    # a part, for an element of a skipped one is skipped with it: elements come in the order of the page
    for one in every:
        if id(one) not in out and any(id(above) in out for above in one.iterancestors()):
            out[id(one)] = one
    parts = [one for one in every if id(one) not in out]
    return parts or ([] if every else [box]), {id(one): (one, "") for one in [*every, *skipped]}


def _by_label(lines: list[str]) -> Iterator[Spoken]:
    """Split a part's lines at its labels."""
    spoken = Spoken(None, "", [])
    for line in lines:
        if not line.startswith(_LABEL_MARK):
            spoken.lines.append(line)
            continue
        role, _, label = line[1:].partition(" ")
        if (
            role == spoken.role
            and not spoken.lines
            and not (turn_words.role_in(label) and turn_words.role_in(spoken.label))
        ):
            label = f"{spoken.label} {label}".strip()  # a name or a time beside the label, in an element like it
        elif spoken.lines or spoken.role:
            yield spoken
        spoken = Spoken(role, label, [])
    if spoken.lines or spoken.role:
        yield spoken


def classed(boxes: SelectorList[Selector], part: str, roles: dict[str, str], skip: str) -> Iterator[Spoken]:
    """Yield the parts of boxes whose speaker is told by the class of the words' own element, or by a label in front.

    part, skip: as in `labelled`. roles: condition for an element with words → role. A label's word counts for more than
    a class.
    """
    for box in boxes:
        parts, instead = _parts(box.root, part, skip)
        told = {
            id(one): (one, role) for condition, role in roles.items() for one in box.root.xpath(f".//*[{condition}]")
        }
        pieces: dict[int, list[Any]] = {id(one): [] for one in parts}
        for element in box.root.iter():
            if id(element) in told and id(element) not in instead:
                above = next((one for one in element.iterancestors() if id(one) in pieces or id(one) in instead), None)
                if above is not None and id(above) in pieces:
                    pieces[id(above)].append(element)
        for one in parts:
            if pieces[id(one)]:
                yield from _by_class(one, [(piece, told[id(piece)][1]) for piece in pieces[id(one)]], instead)
            elif (lines := lines_within(one, instead)) or _has_media(one, instead):
                yield Spoken(None, "", lines)


def _by_class(part: Any, pieces: list[tuple[Any, str]], instead: dict[int, tuple[Any, str]]) -> Iterator[Spoken]:
    """Split a part at its pieces, the elements whose class tells who speaks. A label is a piece or stands before one;
    what stands between pieces is read only behind a label that has no piece of its own.
    """
    marks = {id(piece): (piece, f"{_LABEL_MARK}{n}") for n, (piece, _) in enumerate(pieces)}
    beside: dict[int, list[str]] = {}  # the number of a piece → the lines after it
    before: list[str] = []
    after = before
    for line in lines_within(part, marks | instead):
        if line.startswith(_LABEL_MARK):
            after = beside.setdefault(int(line[1:]), [])
        else:
            after.append(line)
    label = before[-1] if before and turn_words.is_label_with_colon(before[-1]) else ""
    for n, (piece, role) in enumerate(pieces):
        lines = lines_within(piece, instead)
        behind = beside.get(n, [])
        if len(lines) == 1 and turn_words.is_label(lines[0]):
            label = lines[0]
            if behind or n + 1 == len(pieces):
                yield Spoken(turn_words.role_in(label) or role, label, behind)
                label = ""
            continue
        yield Spoken(turn_words.role_in(label) or role, label, lines)
        label = behind[-1] if behind and turn_words.is_label_with_colon(behind[-1]) else ""


def _has_media(part: Any, instead: dict[int, tuple[Any, str]]) -> bool:
    """Return whether a part without words has a picture or a recording of its own."""
    for one in part.iter(*_MEDIA):
        around = next((above for above in (one, *one.iterancestors()) if above is part or id(above) in instead), None)
        if around is part:
            return True
    return False


def turns_of(
    parts: Iterable[Spoken], doctor: str, question: str, answer: str, clean: Callable[[str], str] = str.strip
) -> Later:
    """Return the turns of a conversation, at most `MAX_TURNS`, and why it ends before the page does.

    doctor: the name on the answer, if the page shows it. question, answer: a turn that only repeats them leaves. clean:
    returns a line without what the site puts into it.
    """
    turns: list[Turn] = []
    again: list[bool] = []
    known = {ASKER: _bare(question), DOCTOR: _bare(answer)}
    ended = ""
    for spoken in _split_at_leads(parts, doctor):
        label, lines = spoken.label, spoken.lines
        role = spoken.role or (turn_words.role_by_lead(lines[0], doctor) if lines else None)
        if role is None:
            ended = UNKNOWN_SPEAKER if lines else WORDS_LOST
        elif not lines:
            text = turn_words.words_in_label(clean(label), role, doctor)
            ended = _why_ended("", text or label, text, role, doctor)
        else:
            text = turn_words.words([clean(line) for line in lines], role, doctor)
            ended = _why_ended(label, lines[0], text, role, doctor)
        if ended or role is None:
            break
        bare = _bare(text)
        turns.append(Turn(role, text))
        again.append(len(bare) >= MIN_REPEATED and bare in known[role])
        known[role] += f"\0{bare}"
        if len(turns) == MAX_TURNS:
            break
    kept: list[Turn] = []
    for n, turn in enumerate(turns):
        # all that the other side got for an answer stays, though it was said before
        alone = bool(kept) and kept[-1].role != turn.role and (n + 1 == len(turns) or turns[n + 1].role != turn.role)
        if alone or not again[n]:
            kept.append(turn)
    return Later(tuple(kept), ended)


def _split_at_leads(parts: Iterable[Spoken], doctor: str) -> Iterator[Spoken]:
    """Split parts that no element divides where a label before a line (追答：) says that the other side speaks."""
    for spoken in parts:
        role, lines = spoken.role, list[str]()
        for line in spoken.lines if role is None else ():
            speaks = turn_words.role_by_lead(line, doctor) or role
            if lines and speaks != role:
                yield Spoken(None, spoken.label, lines)
                lines = []
            role = speaks
            lines.append(line)
        yield Spoken(None, spoken.label, lines) if lines else spoken


def _why_ended(label: str, line: str, text: str, role: str, doctor: str) -> str:
    """Return why a conversation ends before a turn: its label, its first line and its words; empty if it goes on."""
    if role == DOCTOR and turn_words.is_other_doctor(label, line, doctor):
        return OTHER_DOCTOR
    return "" if _bare(text) else WORDS_LOST


def _bare(text: str) -> str:
    """Return the text without spaces and punctuation, for comparing."""
    return _SIGNS.sub("", text)
