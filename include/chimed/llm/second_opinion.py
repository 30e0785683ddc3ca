"""What another model says of what the gates' rules let pass: does the document support it, is it the passage's meaning?

Ours. The paper checks neither answers nor translations; `translate` and `generate_qa` do by rules, and then, unless the
option `second_opinion` is off, they ask the judge, which may say 是 or 否. Its 否 drops the row. So that one can see
how far rules and judge agree, a few of those that the rules refused are put to it as well; that changes no row's fate.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chimed.build.contract import Answer, Expected, Failure, Question
from chimed.build.figures import Agreement
from chimed.llm import asking, prompts
from chimed.llm.asking import YES_NO, YES_NO_SAMPLING

REJECTED_SAMPLE = 0.05  # share of what the rules refused that is put to the judge, to be compared
NO_OPINION = "no second opinion"

T = TypeVar("T")


@dataclass(frozen=True)
class Opinion:
    """fate, reason, detail: what the judge's word does to a row; fate is None where it stays. keys: of its replies."""

    fate: str | None
    reason: str
    detail: str
    keys: tuple[str, ...]


def supports(document: str, question: str, answer: str) -> Question:
    """Ask whether the document supports the answer."""
    prompt = prompts.load("supports")
    return asking.make_question(
        prompt, document, YES_NO_SAMPLING, YES_NO, text=document, question=question, answer=answer
    )


def stands_alone(question: str) -> Question:
    """Ask whether the question is understood without the document."""
    return asking.make_question(prompts.load("stands_alone"), question, YES_NO_SAMPLING, YES_NO, question=question)


def faithful(source: str, modern: str) -> Question:
    """Ask whether the modern text says what the passage says."""
    return asking.make_question(prompts.load("faithful"), source, YES_NO_SAMPLING, YES_NO, text=source, modern=modern)


def expected_requests(name: str, about: float, more: int) -> Expected:
    """Estimate what an answer of the generator will have asked of the judge.

    about: so many times the answer's text, and `more` characters, stand in the messages besides the prompt.
    """
    prompt = prompts.load(name)
    return Expected(prompt.version, "judge", tokens=1, about=about, more=len(prompt.system or "") + more)


def decide_fate(answers: Iterable[Answer[bool] | Failure], reasons: Iterable[str]) -> Opinion:
    """Decide on a row by the judge's words: the first that is no 是 decides. reasons: of each one's 否."""
    keys: list[str] = []
    for answer, reason in zip(answers, reasons, strict=False):
        keys += asking.reply_keys([answer])
        if isinstance(answer, Failure) and answer.reason == asking.NOT_ASKED:
            continue  # where a build is only planned, no row is lost
        if isinstance(answer, Failure):
            return Opinion("failed", NO_OPINION, f"{answer.reason}: {answer.detail}", tuple(keys))
        if not answer.value:
            return Opinion("dropped", reason, f"reply {answer.key}", tuple(keys))
    return Opinion(None, "", "", tuple(keys))


def sample_rejected(refused: Sequence[T], words: Sequence[str]) -> list[T]:
    """Choose those of what the rules refused that are put to the judge too, by the hash of their words."""
    return [
        one
        for one, said in zip(refused, words, strict=True)
        if int(hashlib.sha256(said.encode()).hexdigest()[:8], 16) < REJECTED_SAMPLE * 2**32
    ]


def count_agreement(passed: Iterable[Answer[bool] | Failure], refused: Iterable[Answer[bool] | Failure]) -> Agreement:
    """Count how often the judge says what the rules said: 是 of what they pass, 否 of what they refuse."""
    of_passed, of_refused = ([one.value for one in several if isinstance(one, Answer)] for several in (passed, refused))
    return {
        "both_pass": sum(of_passed),
        "only_rules_pass": len(of_passed) - sum(of_passed),
        "only_judge_passes": sum(of_refused),
        "both_refuse": len(of_refused) - sum(of_refused),
    }
