"""Remove a passage from a document: find where it ends, and adjust the document and the places in it."""

import re
from collections.abc import Iterable
from typing import Any

PASSAGE = "passage with an exam question"  # why it left, in the ledger

Span = tuple[int, int]

_END = re.compile(r"[。！？!?；;\n]+[”’\"』」）)】]*")
_MAX_SENTENCE = 300  # characters looked through for a sentence's end; a text that has none is cut there
# What belongs to a question behind it: an option with its letter, the answer, the explanation
_GOES_ON = re.compile(
    r"\s{0,50}(?:[(（]?[A-HＡ-Ｈ]\s{0,8}[.．、,，:：)）]|[(（【\[]?(?:参考|參考|正确|正確|标准|標準|本题|本題)?"
    r"(?:答案|解析|解答|考点|考點|点评|點評)|[答分析解][:：]|故选|故選|本题选|本題選)"
)
_MAX_QUESTION_LINES = 12  # of options, answer and explanation


def passage_around(text: str, start: int, end: int) -> Span:
    """Return the sentences around a range of a text, with the options, the answer and the explanation after them."""
    before = [match.end() for match in _END.finditer(text, max(0, start - _MAX_SENTENCE), start)]
    start = before[-1] if before else 0 if start <= _MAX_SENTENCE else start
    end = _sentence_end(text, end)
    for _ in range(_MAX_QUESTION_LINES):
        if not _GOES_ON.match(text, end):
            break
        line = text.find("\n", end + 1, end + _MAX_SENTENCE)
        end = line + 1 if line >= 0 else _sentence_end(text, min(end + 2, len(text)))
    return start, end


def _sentence_end(text: str, at: int) -> int:
    """Return the end of the sentence that contains a place, or that has just ended there."""
    found = _END.search(text, max(0, at - 1), at + _MAX_SENTENCE)
    if found:
        return found.end()
    return len(text) if len(text) <= at + _MAX_SENTENCE else at


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, with touching ones merged."""
    together: list[Span] = []
    for start, end in sorted(spans):
        if together and start <= together[-1][1]:
            together[-1] = together[-1][0], max(end, together[-1][1])
        else:
            together.append((start, end))
    return together


def remove_spans(text: str, spans: list[Span]) -> str:
    """Return the text without these spans, which are in order and do not touch."""
    bounds = [0, *(place for span in spans for place in span), len(text)]
    return "".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))


def shift_places(places: list[dict[str, Any]], spans: list[Span]) -> list[dict[str, Any]] | None:
    """Return places in a text (`evidence`) as they are without these spans; None if a span overlaps one of them."""
    found = []
    for place in places:
        if any(start < place["end"] and place["start"] < end for start, end in spans):
            return None
        shift = sum(end - start for start, end in spans if end <= place["start"])
        found.append({"start": place["start"] - shift, "end": place["end"] - shift})
    return found
