"""What grpo rewards: answers whose worth a program can check. No model judges another here.

Each function has TRL's form: completions and the columns of their rows in, a number for each out, None where a row is
of another kind. The names are those of the figures in the report.
"""

import re
from functools import lru_cache
from typing import Any

from chimed.text.grounding import align

# A reply to an item: the letters alone, or behind 答案. Linear: bounded repeats, no nesting.
_LETTERS = re.compile(
    r"\A\s{0,20}(?:答案)?(?:是|为)?[:：]?\s{0,5}([A-H](?:[,，、\s]{0,3}[A-H]){0,7})\s{0,5}[.。]?\s{0,20}\Z"
)
# The first thing that reads as an answer in a longer reply
_SOMEWHERE = re.compile(
    r"(?:答案|选项?)(?:是|为)?[:：]?\s{0,5}([A-H]{1,8})(?![A-Za-z])|\A\s{0,20}([A-H]{1,8})(?![A-Za-z])"
)
MOST = 4_000  # characters of a reply that are looked at


def right_letter(completions: list[Any], answer: list[str | None], **_: Any) -> list[float | None]:
    """Return 1 for the item's right letters and no other, wherever in the reply they stand."""
    return [
        None if not right else float(letters(text) == right)
        for text, right in zip(map(said, completions), answer, strict=True)
    ]


def in_form(completions: list[Any], answer: list[str | None], **_: Any) -> list[float | None]:
    """Return 1 for a reply to an item that is letters and nothing else, as it was asked for."""
    return [
        None if not right else float(bool(_LETTERS.match(text)))
        for text, right in zip(map(said, completions), answer, strict=True)
    ]


def grounded(
    completions: list[Any], document: list[str | None], question: list[str | None], title: list[str | None], **_: Any
) -> list[float | None]:
    """Return 1 for an answer of which every clause stands in the document, as `generate_qa` checks it."""
    return [
        None if not text else float(stands(reply, text, asked or "", name or ""))
        for reply, text, asked, name in zip(map(said, completions), document, question, title, strict=True)
    ]


REWARDS = (right_letter, in_form, grounded)


@lru_cache(maxsize=4096)
def stands(reply: str, document: str, question: str, title: str) -> bool:
    """Tell whether a reply says something, and nothing that the document does not say."""
    return bool(reply.strip()) and align(reply, document, question, title).fault is None


def said(completion: Any) -> str:
    """Return the text of a completion in either of TRL's forms, bounded, without an empty thinking block."""
    text = completion if isinstance(completion, str) else completion[-1]["content"]
    return str(text)[:MOST].removeprefix("<think>\n\n</think>\n\n")


def letters(text: str) -> str | None:
    """Return the letters that a reply gives as its answer, sorted; None where it gives none."""
    found = _LETTERS.match(text) or _SOMEWHERE.search(text)
    if not found:
        return None
    return "".join(sorted(set(re.sub(r"[^A-H]", "", next(group for group in found.groups() if group)))))
