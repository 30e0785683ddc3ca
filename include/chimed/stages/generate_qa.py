"""Generate a question and answer from each document, with the answer's evidence (paper §3.2, Table 2).

The paper asks the model to take the answer from the document; we check that it does. The grounding gate's rules find
the answer's words in the document, store where they are, and reject what is not there. What the rules accept goes to
the judge, if the option `second_opinion` is on. With `qa_answer: span` the server may only answer with a span of the
document, for models too small to copy one. With `hops: 2` questions over two entries are asked, too
(`generate_qa_two_steps`): what they ask comes from steps that know all entries.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import Answer, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.figures import Agreement, GenerateFigures, TwoStepFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts, second_opinion
from chimed.llm.asking import reply_keys
from chimed.llm.shape import read_answer
from chimed.schema import derived, dropped_table, table
from chimed.stages import generate_qa_points, generate_qa_two_steps
from chimed.stages.generate_qa_chunks import Chunk, constraint, split
from chimed.stages.generate_qa_two_steps import Askable, TwoSteps, read_askable
from chimed.stages.screen import read_yes_no
from chimed.text import grounding
from chimed.text.grounding import questions
from chimed.text.repetition import find_loop

PAIR_CHARACTERS = 120  # typical characters of a question and its answer, for estimates
MIN_CHUNK = 40  # characters; shorter documents are not worth a question
REJECTIONS = ("the document does not support the answer", "the question does not stand alone")
SAMPLING = {"max_tokens": 512, "temperature": 0.0}
REPLY_FORMAT = re.compile(r"\A\s*问题[：:](?P<question>.+?)答案[：:](?P<answer>.+)", re.DOTALL)


@dataclass(frozen=True)
class Pair:
    """A question and answer, as read from a reply."""

    question: str
    answer: str


@dataclass(frozen=True)
class Result:
    """The record made from a chunk's pair. fate, reason, detail: why it is rejected; fate is None if it is accepted.

    The chunk of a question over two steps holds the words of both rows.
    """

    chunk: Chunk
    record: dict[str, Any]
    fate: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Grounded:
    """Where a pair's answer is in its chunk, and why the pair is rejected (reason is None if it is accepted)."""

    evidence: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Generation:
    """The documents of a part, their chunks, and what became of each chunk.

    askable: the questions over two steps, whose results come after those of the chunks.
    first: the judge's answers about the pairs, in the order of `_to_judge`. alone: its answers about the questions of
    the pairs it accepted (`_supported`).
    """

    records: pl.DataFrame
    documents: int
    chunks: list[Chunk]
    askable: Askable = field(default_factory=Askable)
    results: list[Result] = field(default_factory=list)
    first: Sequence[Answer[bool] | Failure] | None = None
    alone: Sequence[Answer[bool] | Failure] = ()


def prepare(records: pl.DataFrame, options: Options) -> Generation:
    """Split every modern document into chunks that are long enough for a question."""
    documents = records.filter((pl.col("kind") == "document") & (pl.col("language") == "zh")).to_dicts()
    chunks = [
        Chunk(row, start, text) for row in documents for start, text in split(row["text"]) if len(text) >= MIN_CHUNK
    ]
    return Generation(records, len(documents), chunks)


def build_requests(state: Generation, options: Options) -> list[Question]:
    """Ask for a question and answer about every chunk."""
    return [ask_for_pair(chunk.text, options.qa_answer) for chunk in state.chunks]


def accept_pairs(state: Generation, answers: Sequence[Answer[Pair] | Failure]) -> Generation:
    """Check the pairs by the rules."""
    results = [accept(chunk, answer) for chunk, answer in zip(state.chunks, answers, strict=True)]
    return replace(state, results=results)


def add_askable(state: Generation, work: StageContext) -> Generation:
    """Add the questions over two steps that the steps found for this part."""
    return replace(state, askable=read_askable(state.records, work))


def two_step_requests(state: Generation, options: Options) -> list[Question]:
    """Ask for the wording of every question over two steps."""
    return [generate_qa_two_steps.ask(one, options.qa_answer) for one in state.askable.asked]


def accept_two_steps(state: Generation, answers: Sequence[Answer[Pair] | Failure]) -> Generation:
    """Check the pairs over two steps by their rules."""
    both = zip(state.askable.asked, answers, strict=True)
    return replace(state, results=[*state.results, *(_accept_two_steps(one, answer) for one, answer in both)])


def _accept_two_steps(one: TwoSteps, answer: Answer[Pair] | Failure) -> Result:
    pair = answer.value if isinstance(answer, Answer) else Pair("", "")
    record, checked = generate_qa_two_steps.judge(one, pair.question or None, pair.answer or None, answer)
    chunk = Chunk(one.row, 0, one.text)
    if isinstance(answer, Failure):
        return Result(chunk, record, "failed", answer.reason, answer.detail)
    return Result(chunk, record, checked.reason and "dropped", checked.reason, checked.detail)


def support_requests(state: Generation, options: Options) -> list[Question]:
    """Ask the judge whether the document supports the answer: for all accepted pairs, and a sample of the rejected."""
    passed, refused = _to_judge(state)
    asked = [*(state.results[n] for n in passed), *refused]
    return [second_opinion.supports(one.chunk.text, one.record["question"], one.record["answer"]) for one in asked]


def accept_support(state: Generation, answers: Sequence[Answer[bool] | Failure]) -> Generation:
    """Store the judge's answers about the pairs; `finish` decides."""
    return replace(state, first=answers)


def alone_requests(state: Generation, options: Options) -> list[Question]:
    """Ask the judge whether the question can be understood alone, for the pairs it accepted."""
    return [second_opinion.stands_alone(state.results[n].record["question"]) for n in _supported(state)]


def accept_alone(state: Generation, answers: Sequence[Answer[bool] | Failure]) -> Generation:
    """Store the judge's answers about the questions."""
    return replace(state, alone=answers)


def _to_judge(state: Generation) -> tuple[list[int], list[Result]]:
    """Return the numbers of the accepted results, each pair once, and a sample of those that the rules rejected."""
    passed = list({one.record["id"]: n for n, one in enumerate(state.results) if one.fate is None}.values())
    refused = [one for one in state.results if one.fate == "dropped" and one.record["answer"]]
    return passed, second_opinion.sample_rejected(refused, [one.record["answer"] for one in refused])


def _supported(state: Generation) -> list[int]:
    passed, _ = _to_judge(state)
    both = zip(passed, state.first or (), strict=False)
    return [n for n, answer in both if isinstance(answer, Answer) and answer.value]


def finish(state: Generation, options: Options) -> Outcome:
    """Keep every row; derive a qa record from each chunk whose pair passes the gate."""
    results, agreed = _judged(state)
    made: dict[str, dict[str, Any]] = {}
    lost: list[dict[str, Any]] = []
    for result in results:
        if result.fate is None and result.record["id"] not in made:
            made[result.record["id"]] = result.record
        else:
            why = {"fate": result.fate or "dropped", "reason": result.reason or "same pair twice"}
            lost.append(result.record | why | {"detail": result.detail})
    figures: GenerateFigures = {"documents": state.documents, "chunks": len(state.chunks)}
    if agreed is not None:
        figures["rules_and_judge"] = agreed
    if options.hops > 1:
        figures["two_steps"] = _count_two_steps(state, list(made.values()), lost)
    return Outcome(
        kept=state.records, derived=table(list(made.values())), derived_dropped=dropped_table(lost), figures=figures
    )


def _count_two_steps(state: Generation, made: list[dict[str, Any]], lost: list[dict[str, Any]]) -> TwoStepFigures:
    return {
        "allowed": state.askable.allowed,
        "asked": len(state.askable.asked),
        "made": sum(row["also_from"] is not None for row in made),
        "rejected": dict(Counter(row["reason"] for row in lost if row["also_from"] is not None).most_common()),
    }


def _judged(state: Generation) -> tuple[list[Result], Agreement | None]:
    """Return the results after the judge's answers, and how often judge and rules agree (None if it was not asked)."""
    if state.first is None:
        return state.results, None
    passed, _ = _to_judge(state)
    words = {n: [answer] for n, answer in zip(passed, state.first, strict=False)}
    for n, answer in zip(_supported(state), state.alone, strict=True):
        words[n].append(answer)
    after = list(state.results)
    for n, several in words.items():
        said = second_opinion.decide_fate(several, REJECTIONS)
        record = after[n].record | {"replies": [*after[n].record["replies"], *said.keys]}
        after[n] = Result(after[n].chunk, record, said.fate, said.reason or None, said.detail or None)
    agreement = second_opinion.count_agreement(state.first[: len(passed)], state.first[len(passed) :])
    return after, agreement


def ask_for_pair(chunk: str, answer: str) -> Question:
    """Fill Table 2's prompt with a chunk. answer: the option `qa_answer`."""
    return asking.make_question(prompts.load("generate_qa"), chunk, SAMPLING, constraint(chunk, answer), text=chunk)


def parse_reply(text: str) -> Pair:
    """Read the pair from a reply in Table 2's format. Raises UnusableReply."""
    match = REPLY_FORMAT.fullmatch(read_answer(text))
    asked, said = (match["question"].strip(), match["answer"].strip()) if match else ("", "")
    if not (asked and said):
        raise UnusableReply("not 问题：…答案：…")
    return Pair(asked.strip("[] \n"), said.strip("[] \n"))


def accept(chunk: Chunk, answer: Answer[Pair] | Failure) -> Result:
    """Check a chunk's pair by the rules and make its record."""
    pair = answer.value if isinstance(answer, Answer) else None
    whole = isinstance(answer, Answer) and answer.whole
    result = ground(chunk.text, pair, whole, chunk.row["title"] or "") if pair else Grounded()
    record = derived(
        chunk.row,
        kind="qa",
        text=None,
        question=pair and pair.question,
        answer=pair and pair.answer,
        evidence=[{"start": chunk.start + a, "end": chunk.start + b} for a, b in result.evidence],
        prompt=prompts.load("generate_qa").version,
        model=answer.model,
        replies=reply_keys([answer]),
    )
    if isinstance(answer, Failure):
        return Result(chunk, record, "failed", answer.reason, answer.detail)
    return Result(chunk, record, result.reason and "dropped", result.reason, result.detail)


def ground(chunk: str, pair: Pair, whole: bool = True, title: str = "") -> Grounded:
    """Apply the grounding gate's rules to a pair. title: the document's title.

    The reply must be complete, the question must be understandable alone and must not give its answer away, and the
    answer must be found in the chunk.
    """
    found = grounding.align(pair.answer, chunk, pair.question, title)
    if not whole:
        return Grounded(found.evidence, "cut off", "length")
    if piece := find_loop(pair.question):
        return Grounded(found.evidence, "question repeats itself", piece)
    if (piece := find_loop(pair.answer)) and not find_loop(chunk):
        return Grounded(found.evidence, "answer repeats itself", piece)
    if wrong := questions.find_question_fault(pair.question, chunk, title):
        return Grounded(found.evidence, "question cannot stand alone", wrong)
    if found.fault:
        return Grounded(found.evidence, "answer not in the document", found.fault)
    if lacking := questions.find_unanswered(pair.question, pair.answer):
        return Grounded(found.evidence, "answer to another question", f"does not give {lacking}")
    given = grounding.strip_marks(pair.answer) in grounding.strip_marks(pair.question)
    if given and not questions.is_yes_or_no(pair.question):
        return Grounded(found.evidence, "question gives the answer away")
    return Grounded(found.evidence)


STAGE = ModelStage(
    prepare,
    (
        Round("llm", "generator", build_requests, parse_reply, accept_pairs),
        Round(
            "llm_two_steps",
            "generator",
            two_step_requests,
            parse_reply,
            accept_two_steps,
            applies=lambda options: options.hops > 1,
            opens=True,
        ),
        Round(
            "second_opinion",
            "judge",
            support_requests,
            read_yes_no,
            accept_support,
            applies=lambda options: options.second_opinion,
            expected=lambda options: second_opinion.expected_requests("supports", 1.0, PAIR_CHARACTERS),
        ),
        Round(
            "second_opinion_on_questions",
            "judge",
            alone_requests,
            read_yes_no,
            accept_alone,
            applies=lambda options: options.second_opinion,
            expected=lambda options: second_opinion.expected_requests("stands_alone", 0.0, PAIR_CHARACTERS // 4),
        ),
    ),
    finish,
    steps={"points": generate_qa_points.run},
    add_known=add_askable,
)
