"""Let the generator think before it answers, and keep the thought where the answer can be checked. Ours.

The paper's rows hold answers without a reason. Two kinds of questions have an answer that can be checked: exam
questions of an ingested corpus, by their key, and questions made from a document, by the grounding gate. (Exam
questions that models are measured on leave in `decontaminate`, with what was made of them.) Each is asked several
times; a try counts if its answer is right and its reasoning passes the rules of `chimed.text.reasoning`, and of those
the shortest is kept: a model that learns from long-winded thoughts writes them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.figures import ReasonFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.llm.asking import reply_keys
from chimed.llm.shape import read_answer
from chimed.schema import derived, dropped_table, table
from chimed.stages import generate_qa
from chimed.text import echoes, reasoning
from chimed.text.exams.options import read_choice

SAMPLING = {"max_tokens": 1_536, "temperature": 0.7, "top_p": 0.95}  # tries must differ
# How long a thought may be is for the rules: a server takes seconds to compile a bound of a thousand
THOUGHT = rf"思考：[^\n]{{{reasoning.LENGTHS[0]},}}\n答案："
ANSWER = r"[^\n]{2,600}"
WRONG, ANOTHER, CUT_OFF = "wrong answer", "answer from another place", "cut off"
NO_DEPARTMENT = "none"
_REPLY = re.compile(r"\A\s*思考[：:](?P<thought>.+)答案[：:](?P<answer>.+)\Z", re.DOTALL)  # the last 答案 counts


@dataclass(frozen=True)
class Thought:
    """What a model thought, and its answer, as read from a reply."""

    reasoning: str
    answer: str


@dataclass(frozen=True)
class Checkable:
    """A question with a known answer. row: the record that the reasoning is made from, an exam question or a document.

    options, right: of an exam question, its options and the right letters. chunk, start: of a question made from a
    document, the stretch that it was asked about, and where that begins; known: where the known answer stands in it.
    """

    row: dict[str, Any]
    question: str
    department: str | None
    options: dict[str, str] | None = None
    right: str = ""
    chunk: str = ""
    start: int = 0
    known: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Try:
    """A try at a question. fault: why it is rejected, with a detail, or None. right: whether its answer was right."""

    answer: Answer[Thought] | Failure
    fault: tuple[str, str] | None
    right: bool = False
    evidence: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Reasons:
    """The questions that are asked, and the tries at each."""

    records: pl.DataFrame
    asked: list[Checkable]
    options: Options
    tries: tuple[tuple[Try, ...], ...] = ()


def prepare(records: pl.DataFrame, options: Options) -> Reasons:
    """Choose the questions whose answer can be checked."""
    return Reasons(records, [*exam_questions(records), *grounded_questions(records, options.reason_share)], options)


def exam_questions(records: pl.DataFrame) -> list[Checkable]:
    """Return the records that are exam questions: their question lists options, and their answer is some of these."""
    asked = records.filter(pl.col("kind") == "qa", pl.col("question").str.contains(r"\nA\. ?\S"))
    found = []
    for row in asked.sort("id").to_dicts():
        if choice := read_choice(row["question"], row["answer"]):
            found.append(Checkable(row, row["question"], row["department"], *choice))
    return found


def grounded_questions(records: pl.DataFrame, share: float) -> list[Checkable]:
    """Return `share` of the questions that were made from a document of this part, by the hash in their ids."""
    made = records.filter(
        pl.col("kind") == "qa", pl.col("evidence").list.len() > 0,
        pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32,
    )  # fmt: skip
    wanted = made["parent"].unique().implode()
    documents = {row["id"]: row for row in records.filter(pl.col("id").is_in(wanted)).to_dicts() if row["text"]}
    found = []
    for row in made.sort("id").to_dicts():
        if document := documents.get(row["parent"]):
            places = tuple((span["start"], span["end"]) for span in row["evidence"])
            for start, chunk in generate_qa.split(document["text"]):
                if start <= places[0][0] < start + len(chunk):
                    found.append(
                        Checkable(document, row["question"], row["department"], None, "", chunk, start, places)
                    )
    return found


def build_requests(state: Reasons, options: Options) -> list[Question]:
    """Ask each question several times."""
    return [ask(one, sample, options.qa_answer) for one in state.asked for sample in range(options.reason_tries)]


def ask(one: Checkable, sample: int, qa_answer: str = "free") -> Question:
    """Fill the prompt for a question. qa_answer: the option of that name, for answers from a document."""
    if one.options:
        letters = "".join(one.options)
        form = rf"{THOUGHT}[{letters}]{{1,{len(letters)}}}"
        return asking.make_question(
            prompts.load("reason_choice"), one.question, SAMPLING, {"regex": form}, sample, question=one.question
        )
    spans = generate_qa.spans_of(one.chunk) if qa_answer == "span" else ""
    form = f"{THOUGHT}(?:{spans})" if spans else THOUGHT + ANSWER
    fields = {"text": one.chunk, "question": one.question}
    return asking.make_question(prompts.load("reason"), one.chunk, SAMPLING, {"regex": form}, sample, **fields)


def parse_reply(text: str) -> Thought:
    """Read a thought and its answer from a reply. Raises UnusableReply."""
    match = _REPLY.fullmatch(read_answer(text))
    thought, answer = (match["thought"].strip(), match["answer"].strip()) if match else ("", "")
    if not (thought and answer):
        raise UnusableReply("not 思考：…答案：…")
    return Thought(thought.strip("[]"), answer.strip("[] \n"))


def accept_tries(state: Reasons, answers: Sequence[Answer[Thought] | Failure]) -> Reasons:
    """Check every try."""
    each = state.options.reason_tries
    groups = [answers[n : n + each] for n in range(0, len(answers), each)]
    tries = tuple(tuple(check(one, answer) for answer in group) for one, group in zip(state.asked, groups, strict=True))
    return replace(state, tries=tries)


def check(one: Checkable, answer: Answer[Thought] | Failure) -> Try:
    """Check a try: the answer first, then the reasoning."""
    if isinstance(answer, Failure):
        return Try(answer, (answer.reason, answer.detail))
    if not answer.whole:
        return Try(answer, (CUT_OFF, "length"))
    thought = answer.value
    if one.options:
        if reasoning.read_choice(thought.answer, one.options) != one.right:
            return Try(answer, (WRONG, f"answers {thought.answer[:20]}, not {one.right}"))
        named = "、".join(one.options[letter] for letter in one.right)
        fault = (
            reasoning.find_fault(thought.reasoning)
            or reasoning.find_other_choice(thought.reasoning, one.right, one.options)
            or echoes.find_echo(thought.reasoning, one.question, named)
        )
        return Try(answer, fault, right=True)
    grounded = generate_qa.ground(
        one.chunk, generate_qa.Pair(one.question, thought.answer), title=one.row["title"] or ""
    )
    evidence = tuple((one.start + start, one.start + end) for start, end in grounded.evidence)
    if grounded.reason:
        return Try(answer, (grounded.reason, grounded.detail or ""))
    if not any(start < high and low < end for start, end in evidence for low, high in one.known):
        return Try(answer, (ANOTHER, thought.answer[:40]))
    fault = (
        reasoning.find_fault(thought.reasoning)
        or reasoning.find_mention(thought.reasoning)
        or reasoning.find_other_subject(thought.reasoning, one.question)
        or reasoning.find_strange_quantity(thought.reasoning, (one.chunk, one.question, one.row["title"] or ""))
        or reasoning.find_contradiction(thought.reasoning, one.question, thought.answer)
        or echoes.find_echo(thought.reasoning, one.question, thought.answer, one.chunk)
    )
    return Try(answer, fault, right=True, evidence=evidence)


def finish(state: Reasons, options: Options) -> Outcome:
    """Keep every row; derive a reasoning from each question with a try that passes, the shortest of them."""
    made: dict[str, dict[str, Any]] = {}
    lost = []
    for one, tries in zip(state.asked, state.tries, strict=True):
        best = choose(tries)
        record = _record(one, best)
        if best.fault:
            fate = "failed" if isinstance(best.answer, Failure) else "dropped"
            lost.append(record | {"fate": fate, "reason": best.fault[0], "detail": best.fault[1]})
        elif record["id"] in made:
            lost.append(record | {"fate": "dropped", "reason": "same pair twice", "detail": None})
        else:
            made[record["id"]] = record
    return Outcome(
        kept=state.records,
        derived=table(list(made.values())),
        derived_dropped=dropped_table(lost),
        figures=_figures(state, options),
    )


def choose(tries: Sequence[Try]) -> Try:
    """Return the passing try with the shortest reasoning; if none passes, the first that was right, else the first."""
    passing = {
        number: len(one.answer.value.reasoning)
        for number, one in enumerate(tries)
        if _passes(one) and isinstance(one.answer, Answer)
    }
    if passing:
        return tries[min(passing, key=lambda number: passing[number])]
    return next((one for one in tries if one.right), tries[0])


def _passes(one: Try) -> bool:
    return one.fault is None


def _record(one: Checkable, best: Try) -> dict[str, Any]:
    thought = best.answer.value if isinstance(best.answer, Answer) else None
    said = thought.answer if thought else None
    if one.options and best.right:
        said = "\n".join(f"{letter}. {one.options[letter]}" for letter in one.right)
    return derived(
        one.row,
        kind="reasoning",
        text=None,
        question=one.question,
        answer=said,
        reasoning=thought.reasoning if thought else None,
        department=one.department,
        evidence=[{"start": start, "end": end} for start, end in best.evidence] or None,
        prompt=prompts.load("reason_choice" if one.options else "reason").version,
        model=best.answer.model,
        replies=reply_keys([best.answer]),
    )


def _figures(state: Reasons, options: Options) -> ReasonFigures:
    by_department: dict[str, dict[str, int]] = {}
    rejected: Counter[str] = Counter()
    for one, tries in zip(state.asked, state.tries, strict=True):
        counts = by_department.setdefault(one.department or NO_DEPARTMENT, {"questions": 0, "kept": 0})
        counts["questions"] += 1
        counts["kept"] += any(map(_passes, tries))
        rejected.update(each.fault[0] for each in tries if each.fault)
    every = [each for tries in state.tries for each in tries]
    return {
        "questions": len(state.asked),
        "exam_questions": sum(one.options is not None for one in state.asked),
        "reasoned": sum(counts["kept"] for counts in by_department.values()),
        "tries": len(every),
        "right_tries": sum(each.right for each in every),
        "rejected_tries": dict(rejected.most_common()),
        "by_department": dict(sorted(by_department.items())),
    }


STAGE = ModelStage(
    prepare,
    (Round("thinker", "generator", build_requests, parse_reply, accept_tries),),
    finish,
)
