"""One question's candidates, and the pair that is made of them. Used by `prefer` (paper §3.2, stage 4; Table 2).

A contest goes one way: unusable candidates are set aside, every two of the others are compared, the pair with the
largest margin is taken, and by option its rejected answer becomes the chosen one with one dangerous change
(`chimed.text.spoiling`). What speaks against a pair on the way ends it, with a reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from chimed.build.contract import Answer, Failure
from chimed.llm import comparisons, prompts
from chimed.llm.asking import reply_keys
from chimed.llm.comparisons import Pairing, pair_up
from chimed.schema import derived
from chimed.text import identifiers
from chimed.text.repetition import find_loop
from chimed.text.spoiling import Spoilt, spoil

MAX_ANSWER = 100  # 字, Table 2: 限制在100字以内
MIN_ANSWER = 6  # characters; a shorter answer is no advice
SWAPPED = "verdict did not survive the swap"
UNLIKE = "answers of unlike length"

Fault = tuple[str, str, str]  # fate, reason, detail
Scores = dict[str, float]  # by the columns of `schema.SCORES`


@dataclass(frozen=True)
class Contest:
    """A question, its candidates, and the verdicts on every two of those that can be compared.

    fit: the numbers of the candidates that are compared. choice: the numbers of the pair, and by how much the chosen
    answer is better. spoilt: what was changed in the chosen answer to make the rejected one. ratings: the judge's
    ratings of the chosen and of the rejected answer, and scores what they say, None for one that could not be read.
    fate, reason, detail: why it makes no pair; fate is None if nothing speaks against it.
    """

    row: dict[str, Any]
    candidates: tuple[Answer[str] | Failure, ...]
    fit: tuple[int, ...] = ()
    verdicts: dict[Pairing, tuple[Answer[str] | Failure, ...]] = field(default_factory=dict)
    choice: comparisons.Choice | None = None
    wants_spoilt: bool = False
    spoilt: Spoilt | None = None
    ratings: tuple[Answer[dict[str, int]] | Failure, ...] = ()
    scores: tuple[Scores | None, Scores | None] = (None, None)
    fate: str | None = None
    reason: str = ""
    detail: str = ""

    def text(self, number: int) -> str:
        """Return a candidate's text; empty where there is none."""
        return text_of(self.candidates[number])

    def letters(self) -> dict[Pairing, list[str]]:
        """Return the verdicts as letters; empty where there is none."""
        return {pairing: [text_of(one) for one in said] for pairing, said in self.verdicts.items()}

    def pair(self) -> tuple[str, str]:
        """Return the chosen and the rejected answer; of a contest without a pair its first two candidates."""
        chosen, rejected = self._numbers()
        return self.text(chosen), self.spoilt.text if self.spoilt else self.text(rejected)

    def authors(self) -> tuple[str, str | None]:
        """Return the models that wrote the chosen and the rejected answer; None where a rule wrote the second."""
        chosen, rejected = self._numbers()
        return self.candidates[chosen].model, None if self.spoilt else self.candidates[rejected].model

    def rejected_by(self) -> str | None:
        """Return what is against the rejected answer: judge, dose or warning; None where there is no pair."""
        return (self.spoilt.kind if self.spoilt else "judge") if self.choice else None

    def replies(self) -> Iterator[Answer[Any] | Failure]:
        """Yield the replies behind the pair: who wrote it, the verdicts, the ratings."""
        chosen, rejected = self._numbers()
        yield self.candidates[chosen]
        if not self.spoilt:
            yield self.candidates[rejected]
        yield from self._verdicts()
        yield from self.ratings

    def judges(self) -> list[str]:
        """Return the models that gave verdicts."""
        return sorted({said.model for said in self._verdicts()})

    def _verdicts(self) -> list[Answer[str] | Failure]:
        return [one for said in self.verdicts.values() for one in said]

    def _numbers(self) -> tuple[int, int]:
        return (self.choice.chosen, self.choice.rejected) if self.choice else (0, 1)


def text_of(answer: Answer[str] | Failure) -> str:
    """Return an answer's text; empty where there is none."""
    return answer.value if isinstance(answer, Answer) else ""


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
        elif fit.setdefault(text_of(answer), number) != number:
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


def make_record(contest: Contest) -> dict[str, Any]:
    """Return the preference that a contest made, or of one that made none its first two candidates."""
    choice, spoilt = contest.choice, contest.spoilt
    answer, rejected = contest.pair()
    chosen_model, rejected_model = contest.authors()
    return derived(
        contest.row,
        kind="preference",
        answer=answer,
        rejected=rejected,
        chosen_model=chosen_model,
        rejected_model=rejected_model,
        preference_margin=choice.margin if choice and not spoilt else None,
        rejected_by=contest.rejected_by(),
        chosen_scores=contest.scores[0],
        rejected_scores=contest.scores[1],
        prompt=prompts.load("answer").version,
        model=_models(contest),
        replies=reply_keys(contest.replies()),
    )


def _models(contest: Contest) -> str:
    """Return who wrote the two answers, and who judged them."""
    one, two = contest.authors()
    if two is None:
        written = f"{one} (chosen); a rule (rejected)"
    else:
        written = f"{one} (both answers)" if one == two else f"{one} (chosen); {two} (rejected)"
    return "; ".join([written, *(f"{said} (judge)" for said in contest.judges())])
