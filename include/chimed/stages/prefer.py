"""Generate two answers to a question and let another model choose, in both orders (paper §3.2, stage 4; Table 2).

The paper's judge sees A then B once. A judge that prefers the first place would decide by place, so ours sees both
orders, and a pair is kept only if the verdict is the same (arXiv 2305.17926). `judge_order: once` is the paper's
method.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.figures import PreferFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.llm.asking import reply_keys
from chimed.llm.shape import read_answer
from chimed.schema import derived, dropped_table, table
from chimed.text import identifiers
from chimed.text.repetition import find_loop

MAX_ANSWER = 100  # 字, Table 2: 限制在100字以内
MIN_ANSWER = 6  # characters; a shorter answer is no advice
ANSWER_SAMPLING = {
    "max_tokens": 200,
    "temperature": 0.9,
    "top_p": 0.95,
}  # two samples must differ; the paper gives no sampling
VERDICT_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
# A verdict names a letter and does not argue: A, **A**, 回答A, 答案是 A。, Ａ; never 我认为A和B各有优劣.
_VERDICT = re.compile(r"(?:答案|选择|输出|结果|结论|ANSWER|VERDICT)?(?:是|为|IS)?(?:回答|答案|选项)?(?P<letter>[AB])")
_MARKS = re.compile(r"[\s*_`#.,:!()\[\]\"'。，：！“”‘’「」『』【】（）]+")
_WIDTH = str.maketrans("ＡＢａｂ", "ABab")


@dataclass(frozen=True)
class JudgedPair:
    """A question with its two answers and the verdicts on them: in order and, if asked for, swapped.

    fate, reason, detail: why it makes no pair; fate is None if nothing speaks against it.
    """

    row: dict[str, Any]
    answers: tuple[Answer[str] | Failure, Answer[str] | Failure]
    fate: str | None = None
    reason: str = ""
    detail: str = ""
    verdicts: tuple[Answer[str] | Failure, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """The chosen questions, their pairs of answers, and the numbers of the pairs that the judge compares."""

    records: pl.DataFrame
    rows: list[dict[str, Any]]
    orders: int  # requests to the judge for each pair
    pairs: list[JudgedPair] = field(default_factory=list)
    fit: list[int] = field(default_factory=list)


def prepare(records: pl.DataFrame, options: Options) -> Preferences:
    """Choose the questions."""
    rows = select_questions(records, options.preference_share).to_dicts()
    return Preferences(records, rows, _orders(options))


def _orders(options: Options) -> int:
    return 2 if options.judge_order == "both" else 1


def build_requests(state: Preferences, options: Options) -> list[Question]:
    """Ask the generator for two answers to each question."""
    return [ask_for_answer(row["question"], sample) for row in state.rows for sample in (0, 1)]


def accept_answers(state: Preferences, answers: Sequence[Answer[str] | Failure]) -> Preferences:
    """Make pairs of the answers; pairs with an unusable answer are not judged."""
    both = zip(state.rows, _grouped(answers, 2), strict=True)
    pairs = [JudgedPair(row, pair, *(find_pair_fault(*pair) or ())) for row, pair in both]
    return replace(state, pairs=pairs, fit=[n for n, pair in enumerate(pairs) if pair.fate is None])


def judge_requests(state: Preferences, options: Options) -> list[Question]:
    """Ask the judge to compare each pair, in each order."""
    return [compare_answers(state.pairs[n], swapped) for n in state.fit for swapped in (False, True)[: state.orders]]


def accept_verdicts(state: Preferences, answers: Sequence[Answer[str] | Failure]) -> Preferences:
    """Keep the pairs whose verdict is the same in both orders."""
    pairs = list(state.pairs)
    for n, said in zip(state.fit, _grouped(answers, state.orders), strict=True):
        pairs[n] = decide_pair(replace(pairs[n], verdicts=said))
    return replace(state, pairs=pairs)


def _expected_verdicts(options: Options) -> Expected:
    prompt = prompts.load("judge")
    return Expected(prompt.version, "judge", tokens=2, more=len(prompt.user) + 200, times=_orders(options) / 2)


def finish(state: Preferences, options: Options) -> Outcome:
    """Keep every row; derive a preference from each chosen question whose verdict is consistent."""
    made = [_record(pair) for pair in state.pairs if pair.fate is None]
    lost = [
        _record(pair) | {"fate": pair.fate, "reason": pair.reason, "detail": pair.detail}
        for pair in state.pairs
        if pair.fate
    ]
    figures = _figures(made, [pair for pair in state.pairs if pair.verdicts], len(state.rows))
    return Outcome(kept=state.records, derived=table(made), derived_dropped=dropped_table(lost), figures=figures)


def _grouped(answers: Sequence[Any], each: int) -> list[tuple[Any, ...]]:
    return [tuple(answers[n : n + each]) for n in range(0, len(answers), each)]


def select_questions(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """Select the questions that get two answers: each question once, `share` of them, by the hash in their ids."""
    questions = records.filter(pl.col("kind") == "qa").sort("id").unique("question", keep="first", maintain_order=True)
    return questions.filter(pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32)


def ask_for_answer(text: str, sample: int) -> Question:
    """Fill Table 2's prompt for one of the two answers."""
    return asking.make_question(prompts.load("answer"), text, ANSWER_SAMPLING, sample=sample, question=text)


def find_pair_fault(one: Answer[str] | Failure, two: Answer[str] | Failure) -> tuple[str, str, str] | None:
    """Return why two answers cannot be a pair (fate, reason, detail), or None if they can."""
    for answer in (one, two):
        if isinstance(answer, Failure):
            return "failed", answer.reason, answer.detail
        text = answer.value
        if not answer.whole or len(text) > MAX_ANSWER:
            return "dropped", f"answer over {MAX_ANSWER} characters", str(len(text))
        if len(text) < MIN_ANSWER:
            return "dropped", "answer too short", text
        if piece := find_loop(text):
            return "dropped", "answer repeats itself", piece
        if found := identifiers.find_identifiers(text):
            return "dropped", "identifier in an answer", found[0].kind
    return ("dropped", "the same answer twice", "") if _text(one) == _text(two) else None


def compare_answers(pair: JudgedPair, swapped: bool) -> Question:
    """Fill Table 2's judge prompt with a pair, in order or swapped."""
    one, two = pair.answers[::-1] if swapped else pair.answers
    return asking.make_question(
        prompts.load("judge"),
        pair.row["question"],
        VERDICT_SAMPLING,
        {"choice": ["A", "B"]},
        question=pair.row["question"],
        answer1=_text(one),
        answer2=_text(two),
    )


def read_verdict(text: str) -> str:
    """Read A or B from a reply that names one of them and says nothing else. Raises UnusableReply."""
    found = _VERDICT.fullmatch(_MARKS.sub("", text.translate(_WIDTH)).upper())
    if not found:
        raise UnusableReply("neither A nor B")
    return found["letter"]


def decide_pair(pair: JudgedPair) -> JudgedPair:
    """Decide on a pair by its verdicts: it is kept if they agree on an answer, or if there is only one.

    If B won, the answers are swapped, so that the first is always the chosen one.
    """
    for said in pair.verdicts:
        if isinstance(said, Failure):
            return replace(pair, fate="failed", reason="no verdict", detail=f"{said.reason}: {said.detail}")
    straight, *swapped = [_text(said) for said in pair.verdicts]
    if straight in swapped:  # the same place in both orders means different answers
        return replace(pair, fate="dropped", reason="verdict did not survive the swap", detail=straight)
    return replace(pair, answers=pair.answers[::-1]) if straight == "B" else pair


def _text(answer: Answer[str] | Failure) -> str:
    return answer.value if isinstance(answer, Answer) else ""


def _record(pair: JudgedPair) -> dict[str, Any]:
    chosen, rejected = pair.answers
    return derived(
        pair.row,
        kind="preference",
        answer=_text(chosen),
        rejected=_text(rejected),
        prompt=prompts.load("answer").version,
        model=_models(pair),
        replies=reply_keys([*pair.answers, *pair.verdicts]),
    )


def _models(pair: JudgedPair) -> str:
    """Return who wrote the two answers, and who judged them."""
    chosen, rejected = (answer.model for answer in pair.answers)
    written = f"{chosen} (both answers)" if chosen == rejected else f"{chosen} (chosen); {rejected} (rejected)"
    return "; ".join([written, *{f"{said.model} (judge)" for said in pair.verdicts}])


def _figures(made: list[dict[str, Any]], judged: list[JudgedPair], questions: int) -> PreferFigures:
    """Measure the judge's consistency and biases; 0.5 means no bias. A tie: the same place preferred in both orders."""
    said = [[_text(one) for one in pair.verdicts] for pair in judged]
    places = [place for several in said for place in several if place]
    ties = sum(len(several) == 2 and several[0] == several[1] != "" for several in said)
    unlike = [row for row in made if len(row["answer"]) != len(row["rejected"])]
    return {
        "questions": questions,
        "judged": len(judged),
        "verdict_survived_swap": len(made),
        "consistency": _share(len(made), len(judged)),
        "tie_share": _share(ties, len(judged)),
        "first_place_preferred": _share(places.count("A"), len(places)),
        "longer_preferred": _share(sum(len(row["answer"]) > len(row["rejected"]) for row in unlike), len(unlike)),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


STAGE = ModelStage(
    prepare,
    (
        Round("writer", "generator", build_requests, read_answer, accept_answers),
        Round("judge", "judge", judge_requests, read_verdict, accept_verdicts, expected=_expected_verdicts),
    ),
    finish,
)
