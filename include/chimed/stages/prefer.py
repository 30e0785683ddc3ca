"""Two answers to one question, judged by another model in both orders (paper §3.2, fourth stage; Table 2's prompts).

The paper's judge sees A then B once. A judge with a taste for the first place would decide by place, so ours sees both
orders and a pair stays only where the verdict survives the swap (arXiv 2305.17926); `judge_order: once` is the paper's.
"""

import re
from dataclasses import dataclass, replace

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.llm.asking import Brings, Failed, Question, Round, Rounds, Said, Unusable, keys, put
from chimed.llm.shape import answered
from chimed.schema import derived, dropped_table, table
from chimed.text import identifiers
from chimed.text.repetition import loop

LONGEST = 100  # 字, Table 2: 限制在100字以内
SHORTEST = 6  # characters: less is no advice
ANSWER = {"max_tokens": 200, "temperature": 0.9, "top_p": 0.95}  # two samples must differ; the paper gives no sampling
VERDICT = {"max_tokens": 4, "temperature": 0.0}
# A verdict names a letter and does not argue: A, **A**, 回答A, 答案是 A。, Ａ; never 我认为A和B各有优劣.
_VERDICT = re.compile(r"(?:答案|选择|输出|结果|结论|ANSWER|VERDICT)?(?:是|为|IS)?(?:回答|答案|选项)?(?P<letter>[AB])")
_MARKS = re.compile(r"[\s*_`#.,:!()\[\]\"'。，：！“”‘’「」『』【】（）]+")
_WIDTH = str.maketrans("ＡＢａｂ", "ABab")


@dataclass(frozen=True)
class Judged:
    """A question with its two answers and the verdicts on them, straight and, where asked, swapped.

    fate, reason, detail: why it makes no pair; fate is None while nothing speaks against it.
    """

    row: dict
    answers: tuple[Said[str] | Failed, Said[str] | Failed]
    fate: str | None = None
    reason: str = ""
    detail: str = ""
    verdicts: tuple[Said[str] | Failed, ...] = ()


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps every row; derives a preference from each chosen question whose verdict survives the swap."""
    return asking.outcome("prefer", rounds(records, work.options), work)


def rounds(records: pl.DataFrame, options: Options) -> Rounds:
    """Two rounds: two answers to each question by the generator; the judge's verdict on each pair, in each order."""
    rows = asked(records, options.prefer_share).to_dicts()
    each = 2 if options.judge_order == "both" else 1
    brings = Brings(prompts.load("judge").version, "judge", tokens=2, more=len(prompts.load("judge").user) + 200,
                    times=each / 2)  # fmt: skip
    samples = [question(row["question"], sample) for row in rows for sample in (0, 1)]
    answers = yield from put(Round("writer", "generator", samples, answered, (brings,)))
    pairs = [Judged(row, both, *(unfit(*both) or ())) for row, both in zip(rows, _in(answers, 2), strict=True)]

    fit = [n for n, pair in enumerate(pairs) if pair.fate is None]
    questions = [verdict(pairs[n], swapped) for n in fit for swapped in (False, True)[:each]]
    verdicts = yield from put(Round("judge", "judge", questions, read_verdict))
    for n, said in zip(fit, _in(verdicts, each), strict=True):
        pairs[n] = accept(replace(pairs[n], verdicts=said))

    made = [_record(pair) for pair in pairs if pair.fate is None]
    lost = [
        _record(pair) | {"fate": pair.fate, "reason": pair.reason, "detail": pair.detail} for pair in pairs if pair.fate
    ]
    figures = _figures(made, [pair for pair in pairs if pair.verdicts], len(rows))
    return Outcome(kept=records, derived=table(made), derived_dropped=dropped_table(lost), figures=figures)


def _in(answers: list, each: int) -> list[tuple]:
    return [tuple(answers[n : n + each]) for n in range(0, len(answers), each)]


def asked(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """The questions that get two answers: each question once, `share` of them, chosen by their ids' own hash."""
    questions = records.filter(pl.col("kind") == "qa").sort("id").unique("question", keep="first", maintain_order=True)
    return questions.filter(pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32)


def question(text: str, sample: int) -> Question:
    """Table 2's prompt for one of the two answers."""
    return asking.question(prompts.load("answer"), text, ANSWER, sample=sample, question=text)


def unfit(one: Said[str] | Failed, two: Said[str] | Failed) -> tuple[str, str, str] | None:
    """Why two answers cannot be a pair (fate, reason, detail), or None."""
    for answer in (one, two):
        if isinstance(answer, Failed):
            return "failed", answer.reason, answer.detail
        text = answer.value
        if not answer.whole or len(text) > LONGEST:
            return "dropped", f"answer over {LONGEST} characters", str(len(text))
        if len(text) < SHORTEST:
            return "dropped", "answer too short", text
        if piece := loop(text):
            return "dropped", "answer repeats itself", piece
        if found := identifiers.find(text):
            return "dropped", "identifier in an answer", found[0].kind
    return ("dropped", "the same answer twice", "") if _text(one) == _text(two) else None


def verdict(pair: Judged, swapped: bool) -> Question:
    """Table 2's prompt for the judge about a pair, in one order or the other."""
    one, two = pair.answers[::-1] if swapped else pair.answers
    return asking.question(
        prompts.load("judge"),
        pair.row["question"],
        VERDICT,
        {"choice": ["A", "B"]},
        question=pair.row["question"],
        answer1=_text(one),
        answer2=_text(two),
    )


def read_verdict(text: str) -> str:
    """A or B, of a reply that names one of them and says nothing else. Raises Unusable."""
    found = _VERDICT.fullmatch(_MARKS.sub("", text.translate(_WIDTH)).upper())
    if not found:
        raise Unusable("unparsed reply: neither A nor B")
    return found["letter"]


def accept(pair: Judged) -> Judged:
    """The pair with its verdicts: it stays where they agree on an answer, or where there is but one of them.

    Where B won, the answers change places, so that the first is always the chosen one.
    """
    for said in pair.verdicts:
        if isinstance(said, Failed):
            return replace(pair, fate="failed", reason=f"no verdict: {said.reason}", detail=said.detail)
    straight, *swapped = [_text(said) for said in pair.verdicts]
    if straight in swapped:  # the same place twice is not the same answer
        return replace(pair, fate="dropped", reason="verdict did not survive the swap", detail=straight)
    return replace(pair, answers=pair.answers[::-1]) if straight == "B" else pair


def _text(answer: Said[str] | Failed) -> str:
    return answer.value if isinstance(answer, Said) else ""


def _record(pair: Judged) -> dict:
    chosen, rejected = pair.answers
    return derived(
        pair.row,
        kind="preference",
        answer=_text(chosen),
        rejected=_text(rejected),
        prompt=prompts.load("answer").version,
        model=_models(pair),
        replies=keys([*pair.answers, *pair.verdicts]),
    )


def _models(pair: Judged) -> str:
    """Who wrote the two answers, and who judged them."""
    chosen, rejected = (answer.model for answer in pair.answers)
    written = f"{chosen} (both answers)" if chosen == rejected else f"{chosen} (chosen); {rejected} (rejected)"
    return "; ".join([written, *{f"{said.model} (judge)" for said in pair.verdicts}])


def _figures(made: list[dict], judged: list[Judged], questions: int) -> dict:
    """What the judge was like. A tie: the same place preferred in both orders. Shares of 0.5 are no bias."""
    said = [[_text(one) for one in pair.verdicts] for pair in judged]
    places = [place for several in said for place in several if place]
    ties = sum(len(several) == 2 and several[0] == several[1] != "" for several in said)
    unlike = [row for row in made if len(row["answer"]) != len(row["rejected"])]
    return {
        "questions": questions,
        "judged": len(judged),
        "verdict survived the swap": len(made),
        "consistency": _share(len(made), len(judged)),
        "tie share": _share(ties, len(judged)),
        "first place preferred": _share(places.count("A"), len(places)),
        "longer preferred": _share(sum(len(row["answer"]) > len(row["rejected"]) for row in unlike), len(unlike)),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
