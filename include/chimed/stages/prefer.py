"""Two answers to one question, judged by another model in both orders (paper §3.2, fourth stage; Table 2's prompts).

The paper's judge sees A then B once. A judge with a taste for the first place would decide by place, so ours sees both
orders and a pair stays only where the verdict survives the swap (arXiv 2305.17926); `judge_order: once` is the paper's.
"""

from collections.abc import Iterable

import polars as pl

from chimed import llm, prompts
from chimed.build import Work
from chimed.cost import cost
from chimed.ledger import Outcome
from chimed.records import derived, dropped_table, table
from chimed.stages import identifiers
from chimed.stages.loops import loop

LONGEST = 100  # 字, Table 2: 限制在100字以内
SHORTEST = 6  # characters: less is no advice
ANSWER = {"max_tokens": 200, "temperature": 0.9, "top_p": 0.95}  # two samples must differ; the paper gives no sampling
VERDICT = {"max_tokens": 4, "temperature": 0.0}


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a preference from each chosen question whose verdict survives the swap."""
    rows = asked(records, work.options.prefer_share).to_dicts()
    ask_prompt, judge_prompt = prompts.load("answer"), prompts.load("judge")
    writer, referee = llm.generator(work), llm.judge(work)
    answers = llm.ask(
        [
            llm.Request(
                ask_prompt.version, prompts.messages(ask_prompt, question=row["question"]), ANSWER, sample=sample
            )
            for row in rows
            for sample in (0, 1)
        ],
        writer,
        work,
    )
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    faults = [unfit(*pair) for pair in pairs]
    judged = [n for n, fault in enumerate(faults) if fault is None]

    each = 2 if work.options.judge_order == "both" else 1
    verdicts = llm.ask(
        [
            llm.Request(
                judge_prompt.version,
                prompts.messages(judge_prompt, question=rows[n]["question"], answer1=_text(a), answer2=_text(b)),
                VERDICT,
                {"choice": ["A", "B"]},
            )
            for n in judged
            for a, b in (pairs[n], pairs[n][::-1])[:each]
        ],
        referee,
        work,
    )
    both = {n: tuple(verdicts[each * k : each * (k + 1)]) for k, n in enumerate(judged)}
    made, lost = [], []

    def lengths(of: Iterable[int], times: int) -> list[int]:
        return [len(rows[n]["question"]) for n in of for _ in range(times)]

    for n, row in enumerate(rows):
        winner = survivor(*both[n]) if n in both else None
        first, second = pairs[n] if winner != "B" else pairs[n][::-1]
        record = derived(
            row,
            kind="preference",
            answer=_text(first),
            rejected=_text(second),
            prompt=ask_prompt.version,
            model=writer.model,
            replies=[reply.key for reply in (*pairs[n], *both.get(n, ()))],
        )
        if winner in ("A", "B"):
            made.append(record)
        else:
            fate, reason, detail = faults[n] or ("dropped", winner or "", " ".join(_text(one) for one in both[n]))
            lost.append({**record, "fate": fate, "reason": reason, "detail": detail})
    return Outcome(
        kept=records,
        derived=table(made),
        derived_dropped=dropped_table(lost),
        figures=_figures(rows, made, both)
        | {
            "writer": cost(answers, lengths(range(len(rows)), 2), work),
            "judge": cost(verdicts, lengths(judged, each), work),
        },
    )


def asked(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """The questions that get two answers: each question once, `share` of them, chosen by their ids' own hash."""
    questions = records.filter(pl.col("kind") == "qa").sort("id").unique("question", keep="first", maintain_order=True)
    return questions.filter(pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32)


def unfit(one: llm.Reply | llm.Refused, two: llm.Reply | llm.Refused) -> tuple[str, str, str] | None:
    """Why two answers cannot be a pair (fate, reason, detail), or None."""
    for reply in (one, two):
        if isinstance(reply, llm.Refused):
            return "failed", "request refused", reply.reason
        text = reply.text.strip()
        if reply.finish_reason != "stop" or len(text) > LONGEST:
            return "dropped", f"answer over {LONGEST} characters", str(len(text))
        if len(text) < SHORTEST:
            return "dropped", "answer too short", text
        if piece := loop(text):
            return "dropped", "answer repeats itself", piece
        if found := identifiers.find(text):
            return "dropped", "identifier in an answer", found[0].kind
    if _text(one) == _text(two):
        return "dropped", "the same answer twice", ""
    return None


def survivor(straight: llm.Reply | llm.Refused, swapped: llm.Reply | llm.Refused | None = None) -> str:
    """A or B of the straight order where both orders agree, or where there is but one; else the reason."""
    first, second = _text(straight)[:1], _text(swapped)[:1] if swapped else None
    if first not in ("A", "B") or second not in ("A", "B", None):
        return "no verdict"
    return first if first != second else "verdict did not survive the swap"


def _text(reply: llm.Reply | llm.Refused) -> str:
    return reply.text.strip() if isinstance(reply, llm.Reply) else ""


def _figures(rows: list[dict], made: list[dict], both: dict[int, tuple]) -> dict:
    """What the judge was like. A tie: the same place preferred in both orders. Shares of 0.5 are no bias."""
    said = [tuple(_text(one)[:1] for one in verdicts) for verdicts in both.values()]
    places = [place for several in said for place in several if place in ("A", "B")]
    ties = sum(len(several) == 2 and several[0] == several[1] for several in said)
    unlike = [row for row in made if len(row["answer"]) != len(row["rejected"])]
    return {
        "questions": len(rows),
        "judged": len(both),
        "verdict survived the swap": len(made),
        "consistency": _share(len(made), len(both)),
        "tie share": _share(ties, len(both)),
        "first place preferred": _share(places.count("A"), len(places)),
        "longer preferred": _share(sum(len(row["answer"]) > len(row["rejected"]) for row in unlike), len(unlike)),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
