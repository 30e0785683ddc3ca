"""One question and answer from each document, by chapter and paragraph, with its evidence (paper §3.2, Table 2).

The paper asks the model to take the answer from the document; we look. The grounding gate's rules find the answer's
words in the document, store where they stand, and drop what is not there; what they pass is put to the judge, unless
the option `second_opinion` is off. With `qa_answer: span` the server is also held to an answer that is a span of the
document, for models too small to copy.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts, second_opinion
from chimed.llm.asking import Brings, Failed, Question, Round, Rounds, Said, Unusable, keys, put
from chimed.llm.shape import answered
from chimed.schema import derived, dropped_table, table
from chimed.stages.screen import yes_no
from chimed.stages.translate import sentences
from chimed.text import grounding
from chimed.text.grounding import questions
from chimed.text.repetition import loop

CHUNK = 1_500  # characters of a document in one request; about a chapter's section, well inside the model's window
PAIR = 120  # characters of a question and its answer, about
LEAST = 40  # characters a document must have for a question to be worth asking
NO = ("the document does not support the answer", "the question does not stand alone")
SAMPLING = {"max_tokens": 512, "temperature": 0.0}
FORMAT = r"问题：[^\n]{4,200}\n?答案：[^\n]{2,1500}"  # Table 2's output format
PARSE = re.compile(r"\A\s*问题[：:](?P<question>.+?)答案[：:](?P<answer>.+)", re.DOTALL)
SPAN = (6, 120)  # characters of a span the server may choose as an answer
MOST_SPANS = 40  # spans offered in one request, so that the constraint stays small


@dataclass(frozen=True)
class Chunk:
    """A stretch of a document: its row, where it starts, its words."""

    row: dict
    start: int
    text: str


@dataclass(frozen=True)
class Pair:
    """What a reply says."""

    question: str
    answer: str


@dataclass(frozen=True)
class Result:
    """The record that a chunk's pair makes. fate, reason, detail: why it does not pass; fate is None where it does."""

    chunk: Chunk
    record: dict
    fate: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Grounded:
    """Where a pair's answer stands in its chunk, and why the pair does not pass (reason is None where it does)."""

    evidence: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    detail: str | None = None


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a qa record from each chunk of each modern document that passes the gate."""
    return asking.outcome("generate_qa", rounds(records, work.options), work)


def rounds(records: pl.DataFrame, options: Options) -> Rounds:
    """Every chunk of every modern document; then, unless the option is off, the judge on the pairs that rules pass."""
    documents = records.filter((pl.col("kind") == "document") & (pl.col("language") == "zh")).to_dicts()
    chunks = [Chunk(row, start, text) for row in documents for start, text in split(row["text"]) if len(text) >= LEAST]
    asked = [question(chunk.text, options.qa_answer) for chunk in chunks]
    answers = yield from put(Round("llm", "generator", asked, read, brings() if options.second_opinion else ()))
    results = [accept(chunk, answer) for chunk, answer in zip(chunks, answers, strict=True)]
    agreed: dict = {}
    if options.second_opinion:
        results, agreed = yield from _judged(results)
    made: dict[str, dict] = {}
    lost: list[dict] = []
    for result in results:
        if result.fate is None and result.record["id"] not in made:
            made[result.record["id"]] = result.record
        else:
            why = {"fate": result.fate or "dropped", "reason": result.reason or "same pair twice"}
            lost.append(result.record | why | {"detail": result.detail})
    figures = {"documents": len(documents), "chunks": len(chunks), **agreed}
    return Outcome(
        kept=records, derived=table(list(made.values())), derived_dropped=dropped_table(lost), figures=figures
    )


def brings() -> tuple[Brings, ...]:
    """What a pair will have asked of the judge."""
    return second_opinion.brings("supports", 1.0, PAIR), second_opinion.brings("stands_alone", 0.0, PAIR // 4)


def _judged(results: list[Result]) -> Generator[Round, list, tuple[list[Result], dict]]:
    """The results after the judge's word: does the document support the answer, does the question stand alone.

    The second is asked of those only for which it says 是 to the first.
    """
    passed = list({one.record["id"]: n for n, one in enumerate(results) if one.fate is None}.values())
    refused = [one for one in results if one.fate == "dropped" and one.record["answer"]]
    refused = second_opinion.sampled(refused, [one.record["answer"] for one in refused])
    asked = [*(results[n] for n in passed), *refused]
    answers = yield from put(
        Round(
            "second opinion",
            "judge",
            [second_opinion.supports(one.chunk.text, one.record["question"], one.record["answer"]) for one in asked],
            yes_no,
        )
    )
    supported = [n for n, answer in zip(passed, answers, strict=False) if isinstance(answer, Said) and answer.value]
    alone = yield from put(
        Round(
            "second opinion on questions",
            "judge",
            [second_opinion.stands_alone(results[n].record["question"]) for n in supported],
            yes_no,
        )
    )
    words = {n: [answer] for n, answer in zip(passed, answers, strict=False)}
    for n, answer in zip(supported, alone, strict=True):
        words[n].append(answer)
    after = list(results)
    for n, several in words.items():
        said = second_opinion.opinion(
            several, ["the document does not support the answer", "the question does not stand alone"]
        )
        record = results[n].record | {"replies": [*results[n].record["replies"], *said.keys]}
        after[n] = Result(results[n].chunk, record, said.fate, said.reason or None, said.detail or None)
    return after, {"rules and judge": second_opinion.agreement(answers[: len(passed)], answers[len(passed) :])}


def question(chunk: str, answer: str) -> Question:
    """Table 2's prompt about a chunk; `answer`: the option `qa_answer`."""
    return asking.question(prompts.load("generate_qa"), chunk, SAMPLING, constraint(chunk, answer), text=chunk)


def read(text: str) -> Pair:
    """The pair that a reply in Table 2's format says. Raises Unusable."""
    match = PARSE.fullmatch(answered(text))
    asked, said = (match["question"].strip(), match["answer"].strip()) if match else ("", "")
    if not (asked and said):
        raise Unusable("unparsed reply: not 问题：…答案：…")
    return Pair(asked.strip("[] \n"), said.strip("[] \n"))


def accept(chunk: Chunk, answer: Said[Pair] | Failed) -> Result:
    """What becomes of an answer by the rules."""
    pair = answer.value if isinstance(answer, Said) else None
    whole = isinstance(answer, Said) and answer.whole
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
        replies=keys([answer]),
    )
    if isinstance(answer, Failed):
        return Result(chunk, record, "failed", answer.reason, answer.detail)
    return Result(chunk, record, result.reason and "dropped", result.reason, result.detail)


def ground(chunk: str, pair: Pair, whole: bool = True, title: str = "") -> Grounded:
    """The rules of the grounding gate: a whole reply, a question that stands alone and does not give its answer away,
    an answer found in the chunk. title: the document's."""
    found = grounding.align(pair.answer, chunk, pair.question, title)
    if not whole:
        return Grounded(found.evidence, "cut off", "length")
    if piece := loop(pair.question):
        return Grounded(found.evidence, "question repeats itself", piece)
    if (piece := loop(pair.answer)) and not loop(chunk):
        return Grounded(found.evidence, "answer repeats itself", piece)
    if wrong := questions.fault(pair.question, chunk, title):
        return Grounded(found.evidence, "question cannot stand alone", wrong)
    if found.fault:
        return Grounded(found.evidence, "answer not in the document", found.fault)
    if lacking := questions.unanswered(pair.question, pair.answer):
        return Grounded(found.evidence, "answer to another question", f"does not give {lacking}")
    given = grounding.letters(pair.answer) in grounding.letters(pair.question)
    if given and not questions.yes_or_no(pair.question):
        return Grounded(found.evidence, "question gives the answer away")
    return Grounded(found.evidence)


def split(text: str) -> list[tuple[int, str]]:
    """Chunks of at most `CHUNK` characters with their offsets, broken between paragraphs, else after a sentence."""
    chunks: list[tuple[int, str]] = []
    start = end = 0
    for paragraph in re.findall(r"[^\n]*\n|[^\n]+$", text):
        for piece in sentences(paragraph) if len(paragraph) > CHUNK else [paragraph]:
            if end > start and end + len(piece) - start > CHUNK:
                chunks.append((start, text[start:end]))
                start = end
            end += len(piece)
    return [*chunks, (start, text[start:end])] if end > start else chunks


def constraint(chunk: str, answer: str) -> dict:
    """What the server may say: the paper's format, its answer free or one of the document's own spans."""
    if answer == "free":
        return {"regex": FORMAT}
    spans = [span.strip() for line in chunk.split("\n") for span in sentences(line)]
    offered = [span for span in dict.fromkeys(spans) if SPAN[0] <= len(span) <= SPAN[1]][:MOST_SPANS]
    if not offered:
        return {"regex": FORMAT}
    return {"regex": r"问题：[\u4e00-\u9fff，、]{4,30}？答案：(" + "|".join(map(_literal, offered)) + ")"}


def _literal(span: str) -> str:
    """A span as a regular expression of itself; only what every dialect reads as special is escaped."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", span)
