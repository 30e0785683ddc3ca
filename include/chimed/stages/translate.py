"""Classical into modern Chinese, by passage, behind a fidelity gate (paper §3.2, Table 2's prompt; the gate is ours).

The modern text is a new record beside the classical one. A translation that loses a herb, a formula, a dose, a number
or a negation, that is far too short or long, or that only copies the source, is tried once more with its fault named
in the prompt, then dropped with the reason.
"""

from itertools import pairwise

import polars as pl

from chimed import llm, prompts
from chimed.build import Work
from chimed.cost import cost
from chimed.ledger import Outcome
from chimed.records import derived, dropped_table, table
from chimed.stages import fidelity

PASSAGE = 300  # characters of classical Chinese in one request: a paragraph or two
SAMPLING = {"max_tokens": 1024, "temperature": 0.0}


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a modern record from each classical document whose passages all pass the gate."""
    classics = records.filter((pl.col("kind") == "document") & (pl.col("language") == "lzh")).to_dicts()
    passages = [(n, passage) for n, row in enumerate(classics) for passage in split(row["text"])]
    first_prompt, second_prompt = prompts.load("translate"), prompts.load("translate_again")
    server = llm.generator(work)
    lengths = [len(said) for _, said in passages]
    first = llm.ask(
        [
            llm.Request(first_prompt.version, prompts.messages(first_prompt, text=said), SAMPLING)
            for _, said in passages
        ],
        server,
        work,
    )
    faults = [_fault(said, reply) for (_, said), reply in zip(passages, first, strict=True)]
    again = [n for n, fault in enumerate(faults) if fault and isinstance(first[n], llm.Reply)]
    second = llm.ask(
        [
            llm.Request(
                second_prompt.version,
                prompts.messages(second_prompt, text=passages[n][1], fault=faults[n] or ""),
                {**SAMPLING, "temperature": 0.7},  # greedy decoding would make the same mistake again
                sample=1,
            )
            for n in again
        ],
        server,
        work,
    )
    final, used = list(first), [first_prompt.version] * len(first)
    for n, reply in zip(again, second, strict=True):
        final[n], faults[n], used[n] = reply, _fault(passages[n][1], reply), second_prompt.version
    made, lost = [], []
    for n, row in enumerate(classics):
        own = [k for k, (parent, _) in enumerate(passages) if parent == n]
        replies = [final[k] for k in own]
        fault = next((faults[k] for k in own if faults[k]), None)
        modern = derived(
            row,
            text="\n".join(reply.text.strip() for reply in replies if isinstance(reply, llm.Reply)),
            language="zh",
            prompt=used[own[-1]] if own else first_prompt.version,
            model=server.model,
            replies=[reply.key for reply in replies],
        )
        if fault is None:
            made.append(modern)
        else:
            lost.append({**modern, "fate": "dropped", "reason": fault.split("：")[0], "detail": fault})
    return Outcome(
        kept=records,
        derived=table(made),
        derived_dropped=dropped_table(lost),
        figures={
            "passages": len(passages),
            "tried again": len(again),
            "llm": cost([*first, *second], lengths + [lengths[n] for n in again], work),
        },
    )


def split(text: str) -> list[str]:
    """Passages of at most `PASSAGE` characters, broken between paragraphs, else after a sentence's end."""
    pieces: list[str] = []
    for paragraph in filter(None, (line.strip() for line in text.split("\n"))):
        for sentence in sentences(paragraph):
            if pieces and len(pieces[-1]) + len(sentence) <= PASSAGE:
                pieces[-1] += sentence
            else:
                pieces.append(sentence)
    return pieces


def sentences(paragraph: str) -> list[str]:
    """Sentences with their closing marks; nothing is lost: joined they are the paragraph."""
    ends = [n + 1 for n, character in enumerate(paragraph) if character in "。！？；"]
    bounds = [0, *ends, len(paragraph)]
    return [paragraph[a:b] for a, b in pairwise(bounds) if a < b]


def _fault(source: str, reply: llm.Reply | llm.Refused) -> str | None:
    if isinstance(reply, llm.Refused):
        return f"request refused：{reply.reason}"
    if reply.finish_reason != "stop":
        return "译文不完整"
    return fidelity.fault(source, reply.text)
