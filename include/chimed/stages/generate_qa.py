"""One question and answer from each document, by chapter and paragraph, with its evidence (paper §3.2, Table 2).

The paper asks the model to take the answer from the document; we look. The grounding gate finds the answer's words in
the document by character alignment, stores where they stand, and drops what is not there. With `qa_answer: span` the
server is also held to an answer that is a span of the document, for models too small to copy.
"""

import re
from dataclasses import dataclass

import polars as pl

from chimed import asking, prompts
from chimed.asking import Failed, Question, Round, Rounds, Said, Unusable, keys, put
from chimed.build import Work
from chimed.ledger import Outcome
from chimed.options import Options
from chimed.records import derived, dropped_table, table
from chimed.stages import grounding, questions
from chimed.stages.loops import loop
from chimed.stages.shape import answered
from chimed.stages.translate import sentences

CHUNK = 1_500  # characters of a document in one request; about a chapter's section, well inside the model's window
LEAST = 40  # characters a document must have for a question to be worth asking
SAMPLING = {"max_tokens": 512, "temperature": 0.0}
FORMAT = r"问题：[^\n]{4,200}\n?答案：[^\n]{2,1500}"  # Table 2's output format
PARSE = re.compile(r"\s*问题[：:]\s*(?P<question>.+?)\s*答案[：:]\s*(?P<answer>.+?)\s*", re.DOTALL)
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
class Grounded:
    """Where a pair's answer stands in its chunk, and why the pair does not pass (reason is None where it does)."""

    evidence: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    detail: str | None = None


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a qa record from each chunk of each modern document that passes the gate."""
    return asking.outcome("generate_qa", rounds(records, work.options), work)


def rounds(records: pl.DataFrame, options: Options) -> Rounds:
    """One round: every chunk of every modern document."""
    documents = records.filter((pl.col("kind") == "document") & (pl.col("language") == "zh")).to_dicts()
    chunks = [Chunk(row, start, text) for row in documents for start, text in split(row["text"]) if len(text) >= LEAST]
    answers = yield from put(
        Round("llm", "generator", [question(chunk.text, options.qa_answer) for chunk in chunks], read)
    )
    made: dict[str, dict] = {}
    lost: list[dict] = []
    for chunk, answer in zip(chunks, answers, strict=True):
        record, fate, reason, detail = accept(chunk, answer)
        if fate is None and record["id"] not in made:
            made[record["id"]] = record
        else:
            lost.append(record | {"fate": fate or "dropped", "reason": reason or "same pair twice", "detail": detail})
    figures = {"documents": len(documents), "chunks": len(chunks)}
    return Outcome(
        kept=records, derived=table(list(made.values())), derived_dropped=dropped_table(lost), figures=figures
    )


def question(chunk: str, answer: str) -> Question:
    """Table 2's prompt about a chunk; `answer`: the option `qa_answer`."""
    return asking.question(prompts.load("generate_qa"), chunk, SAMPLING, constraint(chunk, answer), text=chunk)


def read(text: str) -> Pair:
    """The pair that a reply in Table 2's format says. Raises Unusable."""
    match = PARSE.fullmatch(answered(text))
    if not match:
        raise Unusable("unparsed reply: not 问题：…答案：…")
    return Pair(match["question"].strip("[] \n"), match["answer"].strip("[] \n"))


def accept(chunk: Chunk, answer: Said[Pair] | Failed) -> tuple[dict, str | None, str | None, str | None]:
    """The record that an answer makes, and fate, reason and detail where it does not pass."""
    pair = answer.value if isinstance(answer, Said) else None
    result = (
        ground(chunk.text, pair, answer.whole, chunk.row["title"] or "")
        if pair and isinstance(answer, Said)
        else Grounded()
    )
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
        return record, "failed", answer.reason, answer.detail
    return record, result.reason and "dropped", result.reason, result.detail


def ground(chunk: str, pair: Pair, whole: bool = True, title: str = "") -> Grounded:
    """The rules of the grounding gate: a whole reply, a question that stands alone and does not give its answer away,
    an answer found in the chunk. title: the document's."""
    found = grounding.align(pair.answer, chunk, pair.question, title)
    if not whole:
        return Grounded(found.evidence, "cut off", "length")
    if piece := loop(pair.question):
        return Grounded(found.evidence, "question repeats itself", piece)
    if wrong := questions.fault(pair.question, chunk, title):
        return Grounded(found.evidence, "question cannot stand alone", wrong)
    if found.fault:
        return Grounded(found.evidence, "answer not in the document", found.fault)
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
