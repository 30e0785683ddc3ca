"""One question and answer from each document, by chapter and paragraph, with its evidence (paper §3.2, Table 2).

The paper asks the model to take the answer from the document; we look. The grounding gate finds the answer's words in
the document by character alignment, stores where they stand, and drops what is not there. With `qa_answer: span` the
server is also held to an answer that is a span of the document, for models too small to copy.
"""

import re
from dataclasses import dataclass

import polars as pl

from chimed import llm, prompts
from chimed.build import Work
from chimed.cost import cost
from chimed.ledger import Outcome
from chimed.records import derived, dropped_table, table
from chimed.stages import grounding
from chimed.stages.loops import loop
from chimed.stages.translate import sentences

CHUNK = 1_500  # characters of a document in one request; about a chapter's section, well inside the model's window
LEAST = 40  # characters a document must have for a question to be worth asking
SAMPLING = {"max_tokens": 512, "temperature": 0.0}
FORMAT = r"问题：[^\n]{4,200}\n?答案：[^\n]{2,1500}"  # Table 2's output format
PARSE = re.compile(r"\s*问题[：:]\s*(?P<question>.+?)\s*答案[：:]\s*(?P<answer>.+?)\s*", re.DOTALL)
SPAN = (6, 120)  # characters of a span the server may choose as an answer
MOST_SPANS = 40  # spans offered in one request, so that the constraint stays small


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a qa record from each chunk of each modern document that passes the gate."""
    documents = records.filter((pl.col("kind") == "document") & (pl.col("language") == "zh")).to_dicts()
    chunks = [(row, start, chunk) for row in documents for start, chunk in split(row["text"]) if len(chunk) >= LEAST]
    prompt = prompts.load("generate_qa")
    server = llm.generator(work)
    requests = [
        llm.Request(
            prompt.version, prompts.messages(prompt, text=chunk), SAMPLING, constraint(chunk, work.options.qa_answer)
        )
        for _, _, chunk in chunks
    ]
    replies = llm.ask(requests, server, work)
    made: dict[str, dict] = {}
    lost: list[dict] = []
    for (row, start, chunk), reply in zip(chunks, replies, strict=True):
        result = ground(chunk, reply)
        pair = derived(
            row,
            kind="qa",
            text=None,
            question=result.question,
            answer=result.answer,
            evidence=[{"start": start + a, "end": start + b} for a, b in result.evidence],
            prompt=prompt.version,
            model=server.model,
            replies=[reply.key],
        )
        if result.reason is None and pair["id"] not in made:
            made[pair["id"]] = pair
        else:
            lost.append(
                {**pair, "fate": result.fate, "reason": result.reason or "same pair twice", "detail": result.detail}
            )
    return Outcome(
        kept=records,
        derived=table(list(made.values())),
        derived_dropped=dropped_table(lost),
        figures={
            "documents": len(documents),
            "chunks": len(chunks),
            "llm": cost(replies, [len(chunk) for *_, chunk in chunks], work),
        },
    )


@dataclass(frozen=True)
class Grounded:
    """What a reply says, where its answer stands in the chunk, and why it does not pass (None where it does)."""

    question: str | None = None
    answer: str | None = None
    evidence: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    detail: str | None = None
    fate: str = "dropped"


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


def ground(chunk: str, reply: llm.Reply | llm.Refused) -> Grounded:
    """The grounding gate: format, completeness, a question that says something, answer found in the chunk and not given
    away by the question."""
    if isinstance(reply, llm.Refused):
        return Grounded(reason="request refused", detail=reply.reason, fate="failed")
    match = PARSE.fullmatch(reply.text)
    if not match:
        return Grounded(reason="unparsed reply", detail=reply.text[:2000], fate="failed")
    question, answer = match["question"].strip("[] \n"), match["answer"].strip("[] \n")
    found = grounding.align(answer, chunk, question)
    if reply.finish_reason != "stop":
        return Grounded(question, answer, found.evidence, "cut off", reply.finish_reason)
    if piece := loop(question):
        return Grounded(question, answer, found.evidence, "question repeats itself", piece)
    if found.fault:
        return Grounded(question, answer, found.evidence, "answer not in the document", found.fault)
    if grounding.letters(answer) in grounding.letters(question):
        return Grounded(question, answer, found.evidence, "question gives the answer away")
    return Grounded(question, answer, found.evidence)
