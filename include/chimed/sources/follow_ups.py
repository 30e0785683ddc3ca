"""Read what asker and doctor said after an answer: 追问, 追答 and 补充 of the two question sites (paper §3.1; ours).

A turn is kept only where the page shows who speaks, and only while the asker and the doctor of the answer speak: from
the first turn of an unknown speaker or of another doctor on, a conversation is left out. Labels, times, places, names
of doctors and buttons are no words of anybody and leave. Pure functions that both sites' parsers use.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from parsel import Selector, SelectorList

from chimed.roles import ASKER, DOCTOR
from chimed.sources.parsed import Turn
from chimed.sources.text import lines_within

MAX_TURNS = 100  # after an answer; a page with more is made to be read for hours, and real ones have a dozen
MIN_REPEATED = 8  # letters: a shorter turn that also stands in the question, such as 好的, was said again

_TITLES = "医生|医师|大夫|专家|主任|教授|药师"
_ANSWERING = "追答|补充回答|补充回复|回复追问|回复|答复|回答|解答|补充"
_ASKING = "追加提问|补充提问|继续追问|再次追问|追问|提问者|提问|患者|网友|用户"
_NAMES_ROLE = ((re.compile(f"追答|{_TITLES}"), DOCTOR), (re.compile(_ASKING), ASKER), (re.compile(_ANSWERING), DOCTOR))
_PURE_LABEL = re.compile(
    rf"\A(?:(?:{_TITLES}|患者|网友|用户|提问者)?的?(?:{_ANSWERING}|{_ASKING})|{_TITLES})\s{{0,4}}[:：]?\s{{0,4}}\Z"
)
_ASKER_LED = re.compile(rf"\A(?:{_ASKING})(?:补充|追问)?\s{{0,4}}[:：]\s*+")
_DOCTOR_LED = re.compile(rf"\A(?:(?:{_TITLES})?的?(?:{_ANSWERING})|{_TITLES})\s{{0,4}}[:：]\s*+")
_NAMED_DOCTOR = re.compile(rf"\A([\u4e00-\u9fff·]{{2,8}}?)(?:{_TITLES})(?:{_ANSWERING})\s{{0,4}}[:：]\s*+")
_NO_NAME = re.compile(rf"{_TITLES}|{_ANSWERING}|{_ASKING}|[副主治住院]|来自|[^\u4e00-\u9fff]")
_DAY = r"(?:19|20)\d\d[-/年.]\d{1,2}[-/月.]\d{1,2}日?"
_CLOCK = r"\d{1,2}[:：]\d{2}(?:[:：]\d{2})?"
_NO_WORDS = re.compile(
    rf"\A(?:(?:{_ANSWERING}|{_ASKING}|发表)?(?:时间|于)?\s{{0,4}}[:：]?\s{{0,4}}(?:{_DAY}\s{{0,4}}(?:{_CLOCK})?|{_CLOCK})"
    r"|(?:来自|所在地|地区)[:：]?\s*[\u4e00-\u9fff· ]{1,16}"
    r"|(?:(?:我要|继续|再次|点击)?(?:追问|咨询|提问|回复|回答|评价)|[向问][他她]?(?:TA|ta|医生)?提问|找医生|举报|投诉|取消|提交"
    r"|收起|展开|查看(?:更多|全部)[^。？]{0,8}|(?:有用|没用|赞|感谢)[(（]?\d{0,6}[)）]?)[>＞\s]{0,9})\Z"
)
_CLOCK_AT_END = re.compile(rf"(?:(?:{_ANSWERING}|{_ASKING}|发表)于)?\s?{_DAY}\s{_CLOCK}\Z")
_TITLE = re.compile(r"(?:副?主任|主治|住院)?(?:医师|医生|大夫|教授)\Z")
_LABEL_MARK = "\ud800"  # begins the line that stands for a label; half a character, which no parsed page has
_SIGNS = re.compile(r"(?:(?![.\-~～/:：%])[\W_]|(?<!\d)[.\-~～/:：%]|[.\-~～/:：](?!\d))+")


@dataclass(frozen=True)
class Conversation:
    """An answer and what was said after it. adopted: whether the asker or the site chose it."""

    answer: str
    turns: tuple[Turn, ...]
    adopted: bool


class Said:
    """The conversations of a page as they are read: each answer with its turns, in the order of the page.

    An answer that a page shows twice is one conversation, the longer one; the same words with other turns are two, for
    two doctors wrote them.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[Turn, ...]]] = {}
        self.adopted: set[str] = set()

    def add(self, answer: str, turns: tuple[Turn, ...], adopted: bool) -> None:
        """Add an answer; one without words is none."""
        if not answer:
            return
        if adopted:
            self.adopted.add(answer)
        others = self.answers.setdefault(answer, [])
        if any(one[: len(turns)] == turns for one in others):
            return
        others[:] = [*(one for one in others if turns[: len(one)] != one), turns]

    def conversations(self) -> list[Conversation]:
        """Return the conversations."""
        return [
            Conversation(answer, turns, answer in self.adopted)
            for answer, several in self.answers.items()
            for turns in several
        ]


@dataclass(frozen=True)
class Spoken:
    """One part of a box of follow-ups: who speaks by its class (None: unknown), its label's text, its lines."""

    role: str | None
    label: str
    lines: list[str]


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
            yield from _by_label(lines_within(one, instead))


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
        if spoken.lines or spoken.role:
            yield spoken
        role, _, label = line[1:].partition(" ")
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
            if not pieces[id(one)]:
                yield Spoken(None, "", lines_within(one, instead))
            label = ""
            for piece in pieces[id(one)]:
                lines = lines_within(piece, instead)
                if len(lines) == 1 and _PURE_LABEL.match(lines[0]):
                    label = lines[0]
                    continue
                yield Spoken(_role_in(label) or told[id(piece)][1], label, lines)
                label = ""


def _role_in(label: str) -> str | None:
    """Return who speaks by the words of a label; None if they do not say."""
    return next((role for words, role in _NAMES_ROLE if words.search(label)), None)


def turns_of(
    parts: Iterable[Spoken], doctor: str, question: str, answer: str, clean: Callable[[str], str] = str.strip
) -> tuple[Turn, ...]:
    """Return the turns of a conversation, at most `MAX_TURNS`.

    doctor: the name on the answer, if the page shows it. question, answer: a turn that only repeats them leaves. clean:
    returns a line without what the site puts into it.
    """
    turns: list[Turn] = []
    again: list[bool] = []
    known = {ASKER: _bare(question), DOCTOR: _bare(answer)}
    for spoken in parts:
        role, lines = spoken.role, spoken.lines
        if role and not lines:  # the words may stand in the label itself
            lines, label = [_without_lead(spoken.label, role, doctor)], ""
            lines = [] if lines[0] == spoken.label else lines
        else:
            label = spoken.label
        if role is None and lines:
            role = _role_by_lead(lines[0], doctor)
        if not lines:
            continue
        if role is None or (role == DOCTOR and _is_other_doctor(label, lines[0], doctor)):
            break
        text = "\n".join(filter(None, (_words(clean(line), role, doctor) for line in lines)))
        bare = _bare(text)
        if bare:
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
    return tuple(kept)


def _role_by_lead(line: str, doctor: str) -> str | None:
    if _ASKER_LED.match(line):
        return ASKER
    named = doctor and _DOCTOR_LED.match(line.removeprefix(doctor))
    return DOCTOR if named or _DOCTOR_LED.match(line) or _NAMED_DOCTOR.match(line) else None


def _is_other_doctor(label: str, line: str, doctor: str) -> bool:
    """Return whether a label, or the name before a line, names another doctor than the answer's."""
    led = _NAMED_DOCTOR.match(line)
    names = [name for name in (_NO_NAME.sub("", label), led[1] if led else "") if 1 <= len(name) <= 8]
    return bool(doctor) and any(_TITLE.sub("", name) not in doctor for name in names)


def _words(line: str, role: str, doctor: str) -> str:
    """Return a line's words: nothing of a line that only has a label, a name, a time, a place or a button."""
    line = _CLOCK_AT_END.sub("", _without_lead(line, role, doctor)).strip()
    return "" if _NO_WORDS.match(line) or _PURE_LABEL.match(line) or (doctor and line == doctor) else line


def _without_lead(line: str, role: str, doctor: str) -> str:
    """Return a line without the label before its words."""
    if role == ASKER:
        return _ASKER_LED.sub("", line, count=1) if _ASKER_LED.match(line) else line
    rest = line.removeprefix(doctor) if doctor else line
    for lead in (_DOCTOR_LED, _NAMED_DOCTOR):
        if found := lead.match(rest):
            return rest[found.end() :]
    return line


def _bare(text: str) -> str:
    """Return the text without spaces and punctuation, for comparing."""
    return _SIGNS.sub("", text)
