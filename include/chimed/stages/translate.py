"""Translate classical into modern Chinese by passage, behind a fidelity gate (paper §3.2, Table 2; the gate is ours).

The translation is a new record beside the classical one. If the gate's rules reject a translation, because it loses or
adds a name, a dose, a number or a negation, or is no translation, it is tried once more with its fault named in the
prompt. What the rules accept goes to the judge, if the option `second_opinion` is on. A rejected passage costs only
that passage: the text before and after it become separate records, each with its place in the source, so that no record
reads across a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Failure, ModelStage, Question, Round
from chimed.build.figures import Agreement, TranslateFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts, second_opinion
from chimed.llm.asking import reply_keys
from chimed.llm.shape import read_answer
from chimed.schema import derived, dropped_table, table
from chimed.stages.screen import read_yes_no
from chimed.text import fidelity

LENGTH_WITH_TRANSLATION = 2.8  # characters of a passage and its translation for each of the passage
MAX_PASSAGE = 300  # characters of classical Chinese in one request: a paragraph or two
MIN_STRETCH = 30  # characters; a shorter stretch beside a gap is not worth reading alone
SAMPLING = {"max_tokens": 1024, "temperature": 0.0}
RETRY_SAMPLING = {**SAMPLING, "temperature": 0.7}  # greedy decoding would repeat the mistake
SENTENCE_ENDS = "。！？；"


@dataclass(frozen=True)
class Passage:
    """A stretch of a document's text: the document's number, start, end and text."""

    parent: int
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class PassageResult:
    """What became of a passage. text: its translation, made by prompt and model in the replies of `keys`.

    fate, reason, detail: why it has none; fate is None if it has one.
    """

    passage: Passage
    text: str
    prompt: str
    model: str
    keys: tuple[str, ...]
    fate: str | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Translation:
    """The classical documents of a part, their passages, and what became of each passage.

    again: numbers of the passages to try once more. agreement: how often rules and judge agree; None: it was not asked.
    """

    records: pl.DataFrame
    classics: list[dict[str, Any]]
    passages: list[Passage]
    verdicts: list[PassageResult] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    agreement: Agreement | None = None


def prepare(records: pl.DataFrame, options: Options) -> Translation:
    """Split every classical document into passages."""
    classics = records.filter((pl.col("kind") == "document") & (pl.col("language") == "lzh")).to_dicts()
    passages = [Passage(n, *place) for n, row in enumerate(classics) for place in split(row["text"])]
    return Translation(records, classics, passages)


def first_requests(state: Translation, options: Options) -> list[Question]:
    """Ask for a translation of every passage."""
    return [ask_for_translation(one) for one in state.passages]


def accept_first(state: Translation, answers: Sequence[Answer[str] | Failure]) -> Translation:
    """Check the translations by the rules, and choose those to try once more."""
    verdicts = [check_translation(one, answer) for one, answer in zip(state.passages, answers, strict=True)]
    again = [n for n, one in enumerate(verdicts) if one.fate and one.keys]  # a refused request would be refused again
    return replace(state, verdicts=verdicts, again=again)


def second_requests(state: Translation, options: Options) -> list[Question]:
    """Ask again for what the rules rejected, naming the fault."""
    return [ask_again(state.verdicts[n]) for n in state.again]


def accept_second(state: Translation, answers: Sequence[Answer[str] | Failure]) -> Translation:
    """Check the second translations by the rules."""
    verdicts = list(state.verdicts)
    for n, answer in zip(state.again, answers, strict=True):
        verdicts[n] = check_translation(state.passages[n], answer, verdicts[n])
    return replace(state, verdicts=verdicts)


def judge_requests(state: Translation, options: Options) -> list[Question]:
    """Ask the judge whether a translation is faithful: for all accepted, and a sample of the rejected."""
    asked = [*(state.verdicts[n] for n in _passed(state)), *_refused(state)]
    return [second_opinion.faithful(one.passage.text, one.text) for one in asked]


def accept_opinions(state: Translation, answers: Sequence[Answer[bool] | Failure]) -> Translation:
    """Drop the translations that the judge rejects. Its answers about the sample are only counted."""
    passed, verdicts = _passed(state), list(state.verdicts)
    for n, answer in zip(passed, answers, strict=False):
        said = second_opinion.decide_fate([answer], ["not what the passage says"])
        verdicts[n] = replace(
            verdicts[n], keys=verdicts[n].keys + said.keys, fate=said.fate, reason=said.reason, detail=said.detail
        )
    agreement = second_opinion.count_agreement(answers[: len(passed)], answers[len(passed) :])
    return replace(state, verdicts=verdicts, agreement=agreement)


def _passed(state: Translation) -> list[int]:
    return [n for n, one in enumerate(state.verdicts) if one.fate is None]


def _refused(state: Translation) -> list[PassageResult]:
    refused = [one for one in state.verdicts if one.fate == "dropped" and one.text]
    return second_opinion.sample_rejected(refused, [one.text for one in refused])


def finish(state: Translation, options: Options) -> Outcome:
    """Keep every row; derive a modern record from each stretch of a classical document that passes the gate."""
    made, lost = assemble_records(state.classics, state.verdicts)
    figures: TranslateFigures = {
        "passages": len(state.passages),
        "tried_again": len(state.again),
        "passages_refused": len(lost),
    }
    if state.agreement is not None:
        figures["rules_and_judge"] = state.agreement
    return Outcome(kept=state.records, derived=table(made), derived_dropped=dropped_table(lost), figures=figures)


def ask_for_translation(passage: Passage) -> Question:
    """Fill the paper's prompt with a passage."""
    return asking.make_question(prompts.load("translate"), passage.text, SAMPLING, text=passage.text)


def ask_again(verdict: PassageResult) -> Question:
    """Fill the prompt of the second try, which names the fault of the first translation."""
    text, fault = verdict.passage.text, verdict.detail if verdict.fate == "dropped" else "没有译文"
    return asking.make_question(prompts.load("translate_again"), text, RETRY_SAMPLING, sample=1, text=text, fault=fault)


def check_translation(
    passage: Passage, answer: Answer[str] | Failure, before: PassageResult | None = None
) -> PassageResult:
    """Check a passage's translation by the gate's rules. before: the passage's verdict after its first try."""
    prompt = prompts.load("translate_again" if before else "translate").version
    said = answer.value.strip() if isinstance(answer, Answer) else ""
    mine = PassageResult(
        passage, said, prompt, answer.model, ((before.keys if before else ()) + tuple(reply_keys([answer])))
    )
    if isinstance(answer, Failure):
        return replace(mine, fate="failed", reason=answer.reason, detail=answer.detail)
    fault = fidelity.find_fault(passage.text, said) if answer.whole else "译文不完整"
    return replace(mine, fate="dropped", reason=fault.split("：")[0], detail=fault) if fault else mine


def assemble_records(
    classics: list[dict[str, Any]], verdicts: list[PassageResult]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Join adjacent translated passages into modern records; return the records, and the passages without one.

    A record keeps the source's paragraphs, and its evidence is its place in the source. A stretch beside a gap that is
    too short to be read alone is lost with the gap.
    """
    made: dict[str, dict[str, Any]] = {}
    lost: list[dict[str, Any]] = []
    for parent, own in groupby(verdicts, key=lambda one: one.passage.parent):
        row = classics[parent]
        stretches = [list(several) for _, several in groupby(own, key=lambda one: one.fate is None)]
        for several in stretches:
            if several[0].fate:
                lost += [_record(row, [one]) | {"fate": one.fate, "reason": one.reason, "detail": one.detail}
                         for one in several]  # fmt: skip
                continue
            modern = _record(row, several)
            alone = len(stretches) == 1 or len(modern["text"]) >= MIN_STRETCH
            if alone and modern["id"] not in made:
                made[modern["id"]] = modern
            else:
                why = "the same text twice" if alone else "too short to stand beside a gap"
                lost.append(modern | {"fate": "dropped", "reason": why, "detail": None})
    return list(made.values()), lost


def _record(row: dict[str, Any], several: list[PassageResult]) -> dict[str, Any]:
    """Make a modern record from adjacent passages of a document."""
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
    """Split a text into passages of at most about `MAX_PASSAGE` characters: start, end and text.

    Passages end between paragraphs, or after a sentence in a long paragraph. Only white space between passages is lost.
    """
    passages: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        left = start + len(line) - len(line.lstrip())
        end = start + len(line.rstrip())
        start += len(line) + 1
        if left >= end:
            continue
        if passages and end - passages[-1][0] <= MAX_PASSAGE:
            passages[-1] = (passages[-1][0], end)
            continue
        at = left
        for n, sentence in enumerate(sentences(text[left:end])):
            if n and at + len(sentence) - passages[-1][0] <= MAX_PASSAGE:
                passages[-1] = (passages[-1][0], at + len(sentence))
            else:
                passages.append((at, at + len(sentence)))
            at += len(sentence)
    return [(a, b, text[a:b]) for a, b in passages]


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph into sentences with their closing marks; joined, they are the paragraph."""
    ends = [n + 1 for n, character in enumerate(paragraph) if character in SENTENCE_ENDS]
    bounds = [0, *ends, len(paragraph)]
    return [paragraph[a:b] for a, b in pairwise(bounds) if a < b]


STAGE = ModelStage(
    prepare,
    (
        Round("llm", "generator", first_requests, read_answer, accept_first),
        Round("llm_again", "generator", second_requests, read_answer, accept_second, among=lambda of: len(of.passages)),
        Round(
            "second_opinion",
            "judge",
            judge_requests,
            read_yes_no,
            accept_opinions,
            applies=lambda options: options.second_opinion,
            expected=lambda options: second_opinion.expected_requests("faithful", LENGTH_WITH_TRANSLATION, 0),
        ),
    ),
    finish,
)
