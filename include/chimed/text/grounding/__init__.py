"""Find an answer in its document, and check that all of it is there. Used by `generate_qa`.

Ours; the paper only asks the model for it (§3.2, Table 2: 答案必须直接从文档中得出). Answer and document are normalized
by `wording`. Every clause of the answer must then be found, word by word, in one place of the document, or in places
that may be joined (`joining`):

- it may leave out items of a list, and a few words that change nothing; it may join a list from several places;
- it may put clauses in another order, and repeat a sentence's subject before any of its clauses;
- it may restate the document's subject, and open with yes or no if that is the question;
- it may not leave out a qualifier of the words it takes: 不宜 before them, 者禁用 after them, 可能.

What the rules cannot see: true words that answer another question (in part: `questions`), and a document with two
statements that the answer both needs. The second opinion is asked about those.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.text.grounding import joining, questions
from chimed.text.grounding.wording import Words, prohibiting, split_words

MOST_PLACES = 60  # places of one word that are looked at: a hostile document may be one word throughout
_REPLY = re.compile(
    r"\A\s*(?:(?P<no>不(?:能|可以|可|行|是|会|宜|应该?|需要?|必|建议|对)?的?|没有|否|并非如此)"
    r"|(?P<yes>可以|能|可|是|会|有|需要|应该|宜|对|行|属于)的?)\s*[，,。；;：:]"
)
_OF_THE_TEXT = re.compile(
    r"(?:根据|按照|依据|从|据)?(?:上文|上述|以上|本文|文中|该文|文本|文档|文章|原文|材料|资料)(?:内容|所述|可知|提到|中|里|，)?"
)
_PLACEHOLDER = re.compile(r"\[[^\]]{0,30}\]|【(?:答案|回答|问题)】|<[^>]{1,20}>|\.{6,}|…{3,}|_{3,}")
_AMOUNT = re.compile(r"([服用汤剂敷次日天])(的?(?:用量|剂量))(?=[为是]?\s?[\d一二三四五六七八九十半])")  # 煎服用量为6g
_MARKER = re.compile(
    r"(?:(?<=[。；;：:】\n])|^)\s{0,20}(?:\d{1,2}[.、)）](?!\d)|[(（]\d{1,2}[)）])|[①-⑳]", re.MULTILINE
)


@dataclass(frozen=True)
class Alignment:
    """Where an answer is in its document. evidence: spans of characters, in order. fault: what is missing, or None."""

    evidence: tuple[tuple[int, int], ...]
    fault: str | None


def strip_marks(text: str) -> str:
    """Return the text without punctuation and spaces."""
    return re.sub(r"[\W_]", "", text)


def align(answer: str, document: str, question: str = "", title: str = "") -> Alignment:
    """Find every clause of the answer in the document. title: the document's, whose name the answer may restate."""
    if wrong := _shape(answer, document):
        return Alignment((), wrong)
    subjects = questions.find_subjects(document, title)
    text = split_words(_unmarked(document), subjects)
    asked = split_words(question, subjects)
    polarity, said = _reply(_unmarked(answer), question)
    said = re.sub(r"[:：]", " ", said)  # what stands behind a colon is said of what stands before it
    said = _AMOUNT.sub(lambda match: match[0] if match[0] in document else match[1] + " " * len(match[2]), said)
    spoken = split_words(said, subjects)
    wanted = questions.asked_kinds(question)
    inside = questions.find_sections(document, wanted)
    listed = bool(wanted & questions.LISTED) and questions.has_labels(document)
    search = joining.Search(
        text, _places(text, inside), frozenset(asked.value), asked.value, question, document, subjects, listed
    )
    pieces: list[tuple[int, int]] = []
    for low, high in _clauses(spoken):
        found = search.clause(spoken, low, high, asked)
        if found.fault:
            return Alignment(_spans(pieces, text), f"{found.fault}: {said[spoken.start[low] : spoken.end[high - 1]]}")
        pieces += found.pieces
    if not pieces:
        return Alignment((), "says nothing of its own")
    if polarity is not None and polarity != _refuses(text, pieces):
        return Alignment(_spans(pieces, text), f"says {'no' if polarity else 'yes'} where the document does not")
    kinds = questions.kinds_of_places(document, _spans(pieces, text))
    if wanted and kinds and not wanted & kinds:
        return Alignment(
            _spans(pieces, text), f"tells {'、'.join(sorted(kinds))} where {'、'.join(sorted(wanted))} was asked"
        )
    if label := questions.find_other_label(question, document, _spans(pieces, text)):
        return Alignment(_spans(pieces, text), f"not told under {label}")
    at = document.find(answer)  # as it stands, its marks too
    return Alignment(((at, at + len(answer)),) if at >= 0 else _spans(pieces, text), None)


def _shape(answer: str, document: str) -> str | None:
    """Return what the form alone shows to be wrong with an answer; or None."""
    said = strip_marks(answer)
    if not said:
        return "says nothing"
    if (
        not re.search(r"[\u3400-\u9fff]", said)
        and re.search(r"[A-Za-z]{3}", said)
        and said not in strip_marks(document)
    ):
        return "not Chinese"
    if (found := _PLACEHOLDER.search(answer)) and found[0] not in document:
        return f"placeholder: {found[0]}"
    if (found := _OF_THE_TEXT.match(answer.strip())) and not document.strip().startswith(found[0]):
        return f"speaks of the document: {found[0]}"
    return None


def _unmarked(text: str) -> str:
    """Return the text without the numbers of list lines, with the same length."""
    return _MARKER.sub(lambda match: " " * len(match[0]), text)


def _reply(answer: str, question: str) -> tuple[bool | None, str]:
    """Return whether the answer opens with no (True) or yes (False), None if neither; and the rest of it."""
    match = _REPLY.match(answer) if questions.is_yes_or_no(question) else None
    return (match["no"] is not None, answer[match.end() :]) if match else (None, answer)


def _refuses(text: Words, pieces: list[tuple[int, int]]) -> bool:
    refused = prohibiting() | {"不", "没有", "未", "非", "无毒"}
    return any(value in refused for first, last in pieces for value in text.value[first : last + 1])


def _places(text: Words, inside: list[tuple[int, int]] | None) -> dict[str, list[int]]:
    """Return where each word is; inside: the characters to look at, None for all."""
    places: dict[str, list[int]] = defaultdict(list)
    for n, value in enumerate(text.value):
        at = text.start[n]
        if inside is not None and not any(start <= at < end for start, end in inside):
            continue
        if len(places[value]) < MOST_PLACES:
            places[value].append(n)
    return places


def _clauses(spoken: Words) -> Iterator[tuple[int, int]]:
    low = 0
    for n in range(1, len(spoken.value) + 1):
        if n == len(spoken.value) or spoken.clause[n] != spoken.clause[low]:
            yield low, n
            low = n


def _spans(pieces: list[tuple[int, int]], text: Words) -> tuple[tuple[int, int], ...]:
    """Return the pieces' characters, in order; pieces with only marks and function words between them are merged."""
    spans: list[tuple[int, int, int]] = []
    for first, last in sorted(set(pieces)):
        if spans and first <= spans[-1][2] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], text.end[last]), max(spans[-1][2], last))
        else:
            spans.append((text.start[first], text.end[last], last))
    return tuple((start, end) for start, end, _ in spans)
