"""Classical into modern Chinese, by passage, behind a fidelity gate (paper §3.2, Table 2's prompt; the gate is ours).

The modern text is a new record beside the classical one. A translation that the gate's rules refuse, because it loses
a name, a dose, a number or a negation, adds one, or is none, is tried once more with its fault named in the prompt.
What they pass is put to the judge, unless the option `second_opinion` is off. A passage that is refused costs that
passage: what stands before and behind it are records of their own, each with its place in the source, so that no
sentence of a record stands beside a gap.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts, second_opinion
from chimed.llm.asking import Failed, Question, Round, Rounds, Said, keys, put
from chimed.llm.shape import answered
from chimed.schema import derived, dropped_table, table
from chimed.stages.screen import yes_no
from chimed.text import fidelity

MODERN = 2.8  # characters of a passage and its translation, to one of the passage
PASSAGE = 300  # characters of classical Chinese in one request: a paragraph or two
LEAST = 30  # characters that a stretch beside a gap must have to be worth reading alone
SAMPLING = {"max_tokens": 1024, "temperature": 0.0}
AGAIN = {**SAMPLING, "temperature": 0.7}  # greedy decoding would make the same mistake again
ENDS = "。！？；"


@dataclass(frozen=True)
class Passage:
    """A stretch of a document's text: the document's number, and where it starts and ends."""

    parent: int
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """What became of a passage. text: its translation, which prompt and model made in the replies of `keys`.

    fate, reason, detail: why it has none; fate is None where it has.
    """

    passage: Passage
    text: str
    prompt: str
    model: str
    keys: tuple[str, ...]
    fate: str | None = None
    reason: str = ""
    detail: str = ""


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a modern record from each stretch of a classical document that passes the gate."""
    return asking.outcome("translate", rounds(records, work.options), work)


def rounds(records: pl.DataFrame, options: Options) -> Rounds:
    """Every passage; those that the rules refuse, with what is wrong named; the judge on those that they pass."""
    classics = records.filter((pl.col("kind") == "document") & (pl.col("language") == "lzh")).to_dicts()
    passages = [Passage(n, *place) for n, row in enumerate(classics) for place in split(row["text"])]
    brings = (second_opinion.brings("faithful", MODERN, 0),) if options.second_opinion else ()
    first = yield from put(Round("llm", "generator", [question(one) for one in passages], answered, brings))
    verdicts = [accept(one, answer) for one, answer in zip(passages, first, strict=True)]

    again = [n for n, one in enumerate(verdicts) if one.fate and one.keys]  # refused requests would be refused again
    questions = [question_again(verdicts[n]) for n in again]
    second = yield from put(Round("llm again", "generator", questions, answered, among=len(passages)))
    for n, answer in zip(again, second, strict=True):
        verdicts[n] = accept(passages[n], answer, verdicts[n])

    agreed: dict = {}
    if options.second_opinion:
        verdicts, agreed = yield from _judged(verdicts)
    made, lost = assembled(classics, verdicts)
    figures = {"passages": len(passages), "tried again": len(again), "passages refused": len(lost), **agreed}
    return Outcome(kept=records, derived=table(made), derived_dropped=dropped_table(lost), figures=figures)


def _judged(verdicts: list[Verdict]) -> Generator[Round, list, tuple[list[Verdict], dict]]:
    """The verdicts after the judge's word on those that stand, and how far it agrees with the rules."""
    passed = [n for n, one in enumerate(verdicts) if one.fate is None]
    refused = [one for one in verdicts if one.fate == "dropped" and one.text]
    refused = second_opinion.sampled(refused, [one.text for one in refused])
    asked = [*(verdicts[n] for n in passed), *refused]
    questions = [second_opinion.faithful(one.passage.text, one.text) for one in asked]
    answers = yield from put(Round("second opinion", "judge", questions, yes_no))
    after = list(verdicts)
    for n, answer in zip(passed, answers, strict=False):
        said = second_opinion.opinion([answer], ["not what the passage says"])
        after[n] = replace(
            verdicts[n], keys=verdicts[n].keys + said.keys, fate=said.fate, reason=said.reason, detail=said.detail
        )
    return after, {"rules and judge": second_opinion.agreement(answers[: len(passed)], answers[len(passed) :])}


def question(passage: Passage) -> Question:
    """The paper's prompt about a passage."""
    return asking.question(prompts.load("translate"), passage.text, SAMPLING, text=passage.text)


def question_again(verdict: Verdict) -> Question:
    """The same, and what was wrong with the first translation."""
    text, fault = verdict.passage.text, verdict.detail if verdict.fate == "dropped" else "没有译文"
    return asking.question(prompts.load("translate_again"), text, AGAIN, sample=1, text=text, fault=fault)


def accept(passage: Passage, answer: Said[str] | Failed, before: Verdict | None = None) -> Verdict:
    """What becomes of a passage: a failure stays one, a translation goes through the gate; `before`: its first try."""
    prompt = prompts.load("translate_again" if before else "translate").version
    said = answer.value.strip() if isinstance(answer, Said) else ""
    mine = Verdict(passage, said, prompt, answer.model, ((before.keys if before else ()) + tuple(keys([answer]))))
    if isinstance(answer, Failed):
        return replace(mine, fate="failed", reason=answer.reason, detail=answer.detail)
    fault = fidelity.fault(passage.text, said) if answer.whole else "译文不完整"
    return replace(mine, fate="dropped", reason=fault.split("：")[0], detail=fault) if fault else mine


def assembled(classics: list[dict], verdicts: list[Verdict]) -> tuple[list[dict], list[dict]]:
    """The modern records and the passages that have none, of documents whose passages come in their order.

    Passages that follow each other are one record, paragraphs as in the source, with the place in the source as its
    evidence. A stretch beside a gap that is too short to be read alone is lost with it.
    """
    made: dict[str, dict] = {}
    lost: list[dict] = []
    for parent, own in groupby(verdicts, key=lambda one: one.passage.parent):
        row = classics[parent]
        stretches = [list(several) for _, several in groupby(own, key=lambda one: one.fate is None)]
        for several in stretches:
            if several[0].fate:
                lost += [_record(row, [one]) | {"fate": one.fate, "reason": one.reason, "detail": one.detail}
                         for one in several]  # fmt: skip
                continue
            modern = _record(row, several)
            alone = len(stretches) == 1 or len(modern["text"]) >= LEAST
            if alone and modern["id"] not in made:
                made[modern["id"]] = modern
            else:
                why = "the same text twice" if alone else "too short to stand beside a gap"
                lost.append(modern | {"fate": "dropped", "reason": why, "detail": None})
    return list(made.values()), lost


def _record(row: dict, several: list[Verdict]) -> dict:
    """Passages of a document that follow each other, as one modern record."""
    text, end = "", several[0].passage.start
    for one in several:
        text += "\n" if text and "\n" in row["text"][end : one.passage.start] else ""
        text += one.text
        end = one.passage.end
    return derived(
        row,
        text=text,
        language="zh",
        evidence=[{"start": several[0].passage.start, "end": end}],
        prompt=max((one.prompt for one in several), key=lambda version: version.startswith("translate_again")),
        model=several[0].model,
        replies=[key for one in several for key in one.keys],
    )


def split(text: str) -> list[tuple[int, int, str]]:
    """Passages of at most about `PASSAGE` characters: start, end and words.

    They break between paragraphs, and inside of those that are longer after a sentence's end. Nothing is lost but
    space between them.
    """
    passages: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        left = start + len(line) - len(line.lstrip())
        end = start + len(line.rstrip())
        start += len(line) + 1
        if left >= end:
            continue
        if passages and end - passages[-1][0] <= PASSAGE:
            passages[-1] = (passages[-1][0], end)
            continue
        at = left
        for n, sentence in enumerate(sentences(text[left:end])):
            if n and at + len(sentence) - passages[-1][0] <= PASSAGE:
                passages[-1] = (passages[-1][0], at + len(sentence))
            else:
                passages.append((at, at + len(sentence)))
            at += len(sentence)
    return [(a, b, text[a:b]) for a, b in passages]


def sentences(paragraph: str) -> list[str]:
    """Sentences with their closing marks; nothing is lost: joined they are the paragraph."""
    ends = [n + 1 for n, character in enumerate(paragraph) if character in ENDS]
    bounds = [0, *ends, len(paragraph)]
    return [paragraph[a:b] for a, b in pairwise(bounds) if a < b]
