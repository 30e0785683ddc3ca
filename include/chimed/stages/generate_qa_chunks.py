"""What `generate_qa` asks about: documents cut into stretches of a request's length, and the spans an answer may be."""

import re
from dataclasses import dataclass
from typing import Any

from chimed.llm import asking
from chimed.stages.translate import sentences

MAX_CHUNK = 1_500  # characters in one request: about a section of a chapter, well within the model's context
FORMAT = r"问题：[^\n]{4,200}\n?答案：[^\n]{2,1500}"  # Table 2's output format
SPAN_CHARACTERS = (6, 120)  # characters of a span that may be chosen as an answer
MAX_SPANS = 40  # spans offered in one request, so that the constraint stays small


@dataclass(frozen=True)
class Chunk:
    """A stretch of a document: its row, where it starts, its text."""

    row: dict[str, Any]
    start: int
    text: str


def split(text: str) -> list[tuple[int, str]]:
    """Split a text into chunks of at most `MAX_CHUNK` characters with offsets, between paragraphs or sentences."""
    chunks: list[tuple[int, str]] = []
    start = end = 0
    for paragraph in re.findall(r"[^\n]*\n|[^\n]+$", text):
        for piece in sentences(paragraph) if len(paragraph) > MAX_CHUNK else [paragraph]:
            if end > start and end + len(piece) - start > MAX_CHUNK:
                chunks.append((start, text[start:end]))
                start = end
            end += len(piece)
    return [*chunks, (start, text[start:end])] if end > start else chunks


def constraint(chunk: str, answer: str) -> dict[str, Any]:
    """Return the constraint on the reply: the paper's format, with a free answer or one of the document's spans."""
    spans = spans_of(chunk) if answer == "span" else ""
    return {"regex": r"问题：[\u4e00-\u9fff，、]{4,30}？答案：(" + spans + ")" if spans else FORMAT}


def spans_of(chunk: str) -> str:
    """Return a regular expression of the spans of a document that may be chosen as an answer; empty if it has none."""
    spans = [span.strip() for line in chunk.split("\n") for span in sentences(line)]
    offered = [span for span in dict.fromkeys(spans) if SPAN_CHARACTERS[0] <= len(span) <= SPAN_CHARACTERS[1]]
    return "|".join(map(asking.literal, offered[:MAX_SPANS]))
