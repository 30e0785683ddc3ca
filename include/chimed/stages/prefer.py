"""Generate answers to a question and let another model choose, in both orders (paper §3.2, stage 4; Table 2).

The paper's judge sees A then B once. A judge that prefers the first place would decide by place, so ours sees both
orders, and a pair is kept only if the verdict is the same (arXiv 2305.17926). `judge_order: once` is the paper's
method. With more than two candidates the judge compares every two of them (`chimed.llm.comparisons`), and the pair with
the largest margin is taken. By option a share of the pairs gets a rejected answer that is the chosen one with one
dangerous change (`chimed.text.spoiling`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Round
from chimed.build.figures import PreferFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, comparisons, prompts
from chimed.llm.asking import reply_keys
from chimed.llm.comparisons import Pairing, pair_up, read_verdict
from chimed.llm.shape import read_answer
from chimed.schema import derived, dropped_table, table
from chimed.text import identifiers
from chimed.text.repetition import find_loop
from chimed.text.spoiling import Spoilt, spoil

MAX_ANSWER = 100  # 字, Table 2: 限制在100字以内
MIN_ANSWER = 6  # characters; a shorter answer is no advice
ANSWER_SAMPLING = {
    "max_tokens": 200,
    "temperature": 0.9,
    "top_p": 0.95,
}  # two samples must differ; the paper gives no sampling
VERDICT_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
SWAPPED = "verdict did not survive the swap"
UNLIKE = "answers of unlike length"

Fault = tuple[str, str, str]  # fate, reason, detail


@dataclass(frozen=True)
class Contest:
    """A question, its candidates, and the verdicts on every two of those that can be compared.

    fit: the numbers of the candidates that are compared. chosen, rejected: the texts of the pair, and margin: by how
    much the chosen one is better. spoilt: what was changed in the chosen answer to make the rejected one. fate, reason,
    detail: why it makes no pair; fate is None if nothing speaks against it.
    """

    row: dict[str, Any]
    candidates: tuple[Answer[str] | Failure, ...]
    fit: tuple[int, ...] = ()
    verdicts: dict[Pairing, tuple[Answer[str] | Failure, ...]] = field(default_factory=dict)
    choice: comparisons.Choice | None = None
    wants_spoilt: bool = False
    spoilt: Spoilt | None = None
    fate: str | None = None
    reason: str = ""
    detail: str = ""

    def text(self, number: int) -> str:
        """Return a candidate's text; empty where there is none."""
        return _text(self.candidates[number])

    def letters(self) -> dict[Pairing, list[str]]:
        """Return the verdicts as letters; empty where there is none."""
        return {pairing: [_text(one) for one in said] for pairing, said in self.verdicts.items()}


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
    """Ask the generator for so many answers to each question."""
    samples = range(options.preference_candidates)
    return [ask_for_answer(row["question"], sample) for row in state.rows for sample in samples]


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


def _expected_verdicts(options: Options) -> Expected:
    prompt = prompts.load("judge")
    times = _orders(options) * (options.preference_candidates - 1) / 2  # for each answer
    return Expected(prompt.version, "judge", tokens=2, more=len(prompt.user) + 200, times=times)


def finish(state: Preferences, options: Options) -> Outcome:
    """Keep every row; derive a preference from each chosen question whose verdict is consistent."""
    made = [_record(contest) for contest in state.contests if contest.fate is None]
    lost = [
        _record(contest) | {"fate": contest.fate, "reason": contest.reason, "detail": contest.detail}
        for contest in state.contests
        if contest.fate
    ]
    return Outcome(
        kept=state.records,
        derived=table(made),
        derived_dropped=dropped_table(lost),
        figures=_figures(state.contests, len(state.rows)),
    )


def _grouped(answers: Sequence[Any], each: int) -> list[tuple[Any, ...]]:
    return [tuple(answers[n : n + each]) for n in range(0, len(answers), each)]


def select_questions(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """Select the questions that get answers: each question once, `share` of them, by the hash in their ids."""
    questions = records.filter(pl.col("kind") == "qa").sort("id").unique("question", keep="first", maintain_order=True)
    return questions.filter(pl.col("id").str.slice(0, 8).str.to_integer(base=16) < share * 2**32)


def ask_for_answer(text: str, sample: int) -> Question:
    """Fill Table 2's prompt for one of the answers."""
    return asking.make_question(prompts.load("answer"), text, ANSWER_SAMPLING, sample=sample, question=text)


def find_fit_candidates(contest: Contest, ratio: float | None = None) -> Contest:
    """Set aside the candidates that cannot be in a pair: unusable ones, and those that say the same as another.

    ratio: how many times as long as the other one answer of a pair may be. Where fewer than two are left, or no two of
    them are so alike in length, the question makes no pair, and the first fault says why.
    """
    fit: dict[str, int] = {}
    faults: list[Fault] = []
    for number, answer in enumerate(contest.candidates):
        if fault := find_fault(answer):
            faults.append(fault)
        elif fit.setdefault(_text(answer), number) != number:
            faults.append(("dropped", "the same answer twice", ""))
    numbers = tuple(fit.values())
    if len(numbers) < 2:
        return _lost(contest, *faults[0])
    if not any(_is_alike(contest, ratio, *pairing) for pairing in pair_up(numbers)):
        return _lost(contest, "dropped", UNLIKE, "/".join(str(len(contest.text(number))) for number in numbers))
    return replace(contest, fit=numbers)


def _lost(contest: Contest, fate: str, reason: str, detail: str) -> Contest:
    return replace(contest, fate=fate, reason=reason, detail=detail)


def _is_alike(contest: Contest, ratio: float | None, one: int, two: int) -> bool:
    shorter, longer = sorted(len(contest.text(number)) for number in (one, two))
    return ratio is None or longer <= ratio * shorter


def find_fault(answer: Answer[str] | Failure) -> Fault | None:
    """Return why an answer cannot be in a pair, or None if it can."""
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
    return None


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


def decide(contest: Contest, ratio: float | None = None) -> Contest:
    """Choose a question's pair by its verdicts; it makes none if no two answers were always judged the same way."""
    if contest.fate is not None:
        return contest
    letters = contest.letters()
    choice = comparisons.choose(letters, lambda one, two: _is_alike(contest, ratio, one, two))
    if choice:
        return replace(contest, choice=choice)
    for said in contest.verdicts.values():
        for one in said:
            if isinstance(one, Failure):
                return _lost(contest, "failed", "no verdict", f"{one.reason}: {one.detail}")
    if any(comparisons.winner(pairing, said) is not None for pairing, said in letters.items()):
        return _lost(contest, "dropped", UNLIKE, "/".join(str(len(contest.text(number))) for number in contest.fit))
    return _lost(contest, "dropped", SWAPPED, next(iter(letters.values()))[0])


def spoil_rejected(contest: Contest, share: float) -> Contest:
    """Replace the rejected answer of a share of the pairs, by the hash in their ids, by the chosen one, spoilt."""
    wants = contest.choice is not None and int(contest.row["id"][8:16], 16) < share * 2**32
    if not wants or contest.choice is None:
        return contest
    spoilt = spoil(contest.text(contest.choice.chosen), contest.row["question"])
    return replace(contest, wants_spoilt=True, spoilt=spoilt)


def _text(answer: Answer[str] | Failure) -> str:
    return answer.value if isinstance(answer, Answer) else ""


def _record(contest: Contest) -> dict[str, Any]:
    """Return the preference that a contest made, or of one that made none its first two candidates."""
    choice, spoilt = contest.choice, contest.spoilt
    chosen, rejected = (choice.chosen, choice.rejected) if choice else (0, 1)
    verdicts = [one for said in contest.verdicts.values() for one in said]
    written = [contest.candidates[chosen], *([] if spoilt else [contest.candidates[rejected]])]
    return derived(
        contest.row,
        kind="preference",
        answer=contest.text(chosen),
        rejected=spoilt.text if spoilt else contest.text(rejected),
        margin=choice.margin if choice and not spoilt else None,
        rejected_by=(spoilt.kind if spoilt else "judge") if choice else None,
        prompt=prompts.load("answer").version,
        model=_models(contest, chosen, rejected, verdicts),
        replies=reply_keys([*written, *verdicts]),
    )


def _models(contest: Contest, chosen: int, rejected: int, verdicts: list[Answer[str] | Failure]) -> str:
    """Return who wrote the two answers, and who judged them."""
    one, two = (contest.candidates[number].model for number in (chosen, rejected))
    if contest.spoilt:
        written = f"{one} (chosen); a rule (rejected)"
    else:
        written = f"{one} (both answers)" if one == two else f"{one} (chosen); {two} (rejected)"
    return "; ".join([written, *{f"{said.model} (judge)" for said in verdicts}])


def _figures(contests: list[Contest], questions: int) -> PreferFigures:
    """Measure the judge's consistency and biases; 0.5 means no bias. A tie: the same place preferred in both orders."""
    judged = [(pairing, said) for contest in contests for pairing, said in contest.letters().items()]
    survived = sum(comparisons.winner(*one) is not None for one in judged)
    places = [place for _, several in judged for place in several if place]
    ties = sum(len(several) == 2 and several[0] == several[1] != "" for _, several in judged)
    decided = [(contest, contest.choice) for contest in contests if contest.choice]
    lengths = [(len(one.text(choice.chosen)), len(one.text(choice.rejected))) for one, choice in decided]
    unlike = [chosen > rejected for chosen, rejected in lengths if chosen != rejected]
    margins = [choice.margin for _, choice in decided]
    spoilt = Counter(one.spoilt.kind for one, _ in decided if one.spoilt)
    return {
        "questions": questions,
        "judged": len(judged),
        "verdict_survived_swap": survived,
        "consistency": _share(survived, len(judged)),
        "tie_share": _share(ties, len(judged)),
        "first_place_preferred": _share(places.count("A"), len(places)),
        "longer_preferred": _share(sum(unlike), len(unlike)),
        "pairs": len(decided),
        "mean_margin": round(sum(margins) / len(margins), 4) if margins else None,
        "unlike_length": sum(one.reason == UNLIKE for one in contests),
        "spoilt_dose": spoilt["dose"],
        "spoilt_warning": spoilt["warning"],
        "nothing_to_spoil": sum(one.wants_spoilt and one.spoilt is None for one, _ in decided),
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
