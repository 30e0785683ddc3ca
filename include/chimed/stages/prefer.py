"""Generate answers to a question and let another model choose, in both orders (paper §3.2, stage 4; Table 2).

The paper's judge sees A then B once. A judge that prefers the first place would decide by place, so ours sees both
orders, and a pair is kept only if the verdict is the same (arXiv 2305.17926). `judge_order: once` is the paper's
method. Where the settings name several generators, they write the candidates in turn (`chimed.llm.generators`). With
more than two candidates the judge compares every two of them (`chimed.llm.comparisons`), and the pair with the largest
margin is taken. By option a share of the pairs gets a rejected answer that is the chosen one with one dangerous change
(`chimed.text.spoiling`), and the judge rates both answers by the rubric (`prefer_scores`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Round
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.llm.comparisons import Pairing, pair_up, read_verdict
from chimed.llm.shape import read_answer
from chimed.rating.judge import parse_rating
from chimed.rating.rubric import PROMPT
from chimed.schema import dropped_table, table
from chimed.stages import prefer_figures, prefer_scores
from chimed.stages.prefer_contest import Contest, decide, find_fit_candidates, make_record, spoil_rejected

ANSWER_SAMPLING = {
    "max_tokens": 200,
    "temperature": 0.9,
    "top_p": 0.95,
}  # two samples must differ; the paper gives no sampling
VERDICT_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
RATING_TOKENS = 120  # of a rating, about: four scores, each with a sentence why


@dataclass(frozen=True)
class Preferences:
    """The chosen questions, and what became of each."""

    records: pl.DataFrame
    rows: list[dict[str, Any]]
    options: Options
    contests: list[Contest] = field(default_factory=list)


def prepare(records: pl.DataFrame, options: Options) -> Preferences:
    """Choose the questions."""
    return Preferences(records, select_questions(records, options.preference_share).to_dicts(), options)


def _orders(options: Options) -> int:
    return 2 if options.judge_order == "both" else 1


def build_requests(state: Preferences, options: Options) -> list[Question]:
    """Ask the generators, in turn, for so many answers to each question."""
    samples = range(options.preference_candidates)
    return [ask_for_answer(row["question"], sample, turn_of(row)) for row in state.rows for sample in samples]


def turn_of(row: dict[str, Any]) -> int:
    """Return with which generator a question's turn begins, by the hash in its id.

    So with an odd number of candidates each generator writes as many, and none always has the first place.
    """
    return int(row["id"][12:16], 16)


def accept_answers(state: Preferences, answers: Sequence[Answer[str] | Failure]) -> Preferences:
    """Choose the candidates that can be compared; a question with fewer than two of them is not judged."""
    ratio = state.options.preference_length_ratio
    both = zip(state.rows, _grouped(answers, state.options.preference_candidates), strict=True)
    contests = [find_fit_candidates(Contest(row, candidates), ratio) for row, candidates in both]
    return replace(state, contests=contests)


def judge_requests(state: Preferences, options: Options) -> list[Question]:
    """Ask the judge to compare every two candidates of a question, in each order."""
    orders = (False, True)[: _orders(options)]
    return [
        compare_answers(contest, pairing, swapped)
        for contest in state.contests
        for pairing in pair_up(contest.fit)
        for swapped in orders
    ]


def accept_verdicts(state: Preferences, answers: Sequence[Answer[str] | Failure]) -> Preferences:
    """Choose each question's pair by its verdicts, and spoil the rejected answers that are to be spoilt."""
    said = iter(_grouped(answers, _orders(state.options)))
    contests = []
    for contest in state.contests:
        heard = replace(contest, verdicts={pairing: next(said) for pairing in pair_up(contest.fit)})
        decided = decide(heard, state.options.preference_length_ratio)
        contests.append(spoil_rejected(decided, state.options.preference_spoilt))
    return replace(state, contests=contests)


def rating_requests(state: Preferences, options: Options) -> list[Question]:
    """Ask the judge to rate both answers of each pair."""
    return prefer_scores.ask_for_ratings(state.contests)


def accept_ratings(state: Preferences, answers: Sequence[Answer[dict[str, int]] | Failure]) -> Preferences:
    """Put the scores beside the answers; a pair whose rating cannot be read has none, and stays."""
    return replace(state, contests=prefer_scores.add_scores(state.contests, answers))


def _expected_verdicts(options: Options) -> Expected:
    prompt = prompts.load("judge")
    times = _orders(options) * (options.preference_candidates - 1) / 2  # for each answer
    return Expected(prompt.version, "judge", tokens=2, more=len(prompt.user) + 200, times=times)


def _expected_ratings(options: Options) -> Expected:
    prompt = prompts.load(PROMPT)
    times = 2 / options.preference_candidates  # for each answer
    return Expected(prompt.version, "judge", RATING_TOKENS, more=len(prompt.system or "") + 120, times=times)


def finish(state: Preferences, options: Options) -> Outcome:
    """Keep every row; derive a preference from each chosen question whose verdict is consistent."""
    made = [make_record(contest) for contest in state.contests if contest.fate is None]
    lost = [
        make_record(contest) | {"fate": contest.fate, "reason": contest.reason, "detail": contest.detail}
        for contest in state.contests
        if contest.fate
    ]
    return Outcome(
        kept=state.records,
        derived=table(made),
        derived_dropped=dropped_table(lost),
        figures=prefer_figures.measure(state.contests, len(state.rows)),
    )


def _grouped(answers: Sequence[Any], each: int) -> list[tuple[Any, ...]]:
    return [tuple(answers[n : n + each]) for n in range(0, len(answers), each)]


def select_questions(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """Select the questions that get answers: each question once, `share` of them, by the hash in their ids."""
    questions = records.filter(pl.col("kind") == "qa").sort("id").unique("question", keep="first", maintain_order=True)
    return questions.filter(pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32)


def ask_for_answer(text: str, sample: int, turn: int = 0) -> Question:
    """Fill Table 2's prompt for one of the answers."""
    question = asking.make_question(prompts.load("answer"), text, ANSWER_SAMPLING, sample=sample, question=text)
    return replace(question, turn=turn)


def compare_answers(contest: Contest, pairing: Pairing, swapped: bool) -> Question:
    """Fill Table 2's judge prompt with two candidates, in order or swapped."""
    one, two = pairing[::-1] if swapped else pairing
    return asking.make_question(
        prompts.load("judge"),
        contest.row["question"],
        VERDICT_SAMPLING,
        {"choice": ["A", "B"]},
        question=contest.row["question"],
        answer1=contest.text(one),
        answer2=contest.text(two),
    )


STAGE = ModelStage(
    prepare,
    (
        Round("writer", "generators", build_requests, read_answer, accept_answers),
        Round("judge", "judge", judge_requests, read_verdict, accept_verdicts, expected=_expected_verdicts),
        Round(
            "rating",
            "judge",
            rating_requests,
            parse_rating,
            accept_ratings,
            applies=lambda options: options.preference_scores,
            expected=_expected_ratings,
        ),
    ),
    finish,
)
