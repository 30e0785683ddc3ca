"""What another model says of what the gates' rules let pass: does the document support it, is it the passage's meaning?

Ours. The paper checks neither answers nor translations; `translate` and `generate_qa` do by rules, and then, unless the
option `second_opinion` is off, they ask the judge, which may say 是 or 否. Its 否 drops the row. So that one can see
how far rules and judge agree, a few of those that the rules refused are put to it as well; that changes no row's fate.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chimed.llm import asking, prompts
from chimed.llm.asking import YES_NO, YES_NO_SAMPLING, Brings, Failed, Question, Said

REFUSED_TOO = 0.05  # share of what the rules refused that is put to the judge, to be compared
UNASKED = "no second opinion"

T = TypeVar("T")


@dataclass(frozen=True)
class Opinion:
    """fate, reason, detail: what the judge's word does to a row; fate is None where it stays. keys: of its replies."""

    fate: str | None
    reason: str
    detail: str
    keys: tuple[str, ...]


def supports(document: str, question: str, answer: str) -> Question:
    """Does the document support the answer?"""
    prompt = prompts.load("supports")
    return asking.question(prompt, document, YES_NO_SAMPLING, YES_NO, text=document, question=question, answer=answer)


def stands_alone(question: str) -> Question:
    """Is the question understood without the document?"""
    return asking.question(prompts.load("stands_alone"), question, YES_NO_SAMPLING, YES_NO, question=question)


def faithful(source: str, modern: str) -> Question:
    """Does the modern text say what the passage says?"""
    return asking.question(prompts.load("faithful"), source, YES_NO_SAMPLING, YES_NO, text=source, modern=modern)


def brings(name: str, about: float, more: int) -> Brings:
    """What an answer of the generator will have asked of the judge, for estimates.

    about: so many times the answer's text, and `more` characters, stand in the messages besides the prompt.
    """
    prompt = prompts.load(name)
    return Brings(prompt.version, "judge", tokens=1, about=about, more=len(prompt.system or "") + more)


def opinion(answers: Iterable[Said[bool] | Failed], reasons: Iterable[str]) -> Opinion:
    """What the judge's words do to a row: the first that is no 是 decides. reasons: of each one's 否."""
    keys: list[str] = []
    for answer, reason in zip(answers, reasons, strict=False):
        keys += asking.keys([answer])
        if isinstance(answer, Failed) and answer.reason == asking.NOT_ASKED:
            continue  # where a build is only planned, no row is lost
        if isinstance(answer, Failed):
            return Opinion("failed", f"{UNASKED}: {answer.reason}", answer.detail, tuple(keys))
        if not answer.value:
            return Opinion("dropped", f"second opinion: {reason}", f"reply {answer.key}", tuple(keys))
    return Opinion(None, "", "", tuple(keys))


def sampled(refused: Sequence[T], words: Sequence[str]) -> list[T]:
    """Those of what the rules refused that are put to the judge too; chosen by the hash of their words."""
    return [
        one
        for one, said in zip(refused, words, strict=True)
        if int(hashlib.sha256(said.encode()).hexdigest()[:8], 16) < REFUSED_TOO * 2**32
    ]


def agreement(passed: Iterable[Said[bool] | Failed], refused: Iterable[Said[bool] | Failed]) -> dict[str, int]:
    """How often the judge says what the rules said: 是 of what they pass, 否 of what they refuse."""
    of_passed, of_refused = ([one.value for one in several if isinstance(one, Said)] for several in (passed, refused))
    return {
        "both pass": sum(of_passed),
        "only the rules pass": len(of_passed) - sum(of_passed),
        "only the judge passes": sum(of_refused),
        "both refuse": len(of_refused) - sum(of_refused),
    }
