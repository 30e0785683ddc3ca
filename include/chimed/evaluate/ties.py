"""Questions on which several letters are equally likely: there a model does not choose, the order of the letters does.

lm-eval takes the first of them. Beside its figure stands the score in which one of n equally likely letters is right
counts as 1/n, which is what the answers are worth. Ours; bf16 has few digits, so ties are common with small models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from chimed.evaluate.answers import fair_score, tied
from chimed.evaluate.exams import PAPER, in_order
from chimed.evaluate.table import POOLED


@dataclass(frozen=True)
class Tie:
    """A model's ties on one exam. right: by lm-eval; fair: with ties scored as the chance they are; of `questions`."""

    model: str
    task: str
    questions: int
    tied: int
    right: int
    fair: float


def ties(samples: Mapping[str, pl.DataFrame]) -> list[Tie]:
    """Return the ties of every model that has any, exam by exam, and of the paper's exams pooled.

    samples: `answers.SAMPLES` by model. A score of an earlier version keeps no likelihoods, and none of its ties.
    """
    found = []
    for model, answers in samples.items():
        if "scores" not in answers.columns:
            continue
        tasks = {task: [task] for task in in_order(answers["task"].unique())}
        paper = [task for task in tasks if task in PAPER]
        for name, of in (({POOLED: paper} if len(paper) > 1 else {}) | tasks).items():
            part = answers.filter(pl.col("task").is_in(of))
            if count := tied(part["scores"]):
                found.append(Tie(model, name, part.height, count, int(part["correct"].sum()), fair_score(part)))
    return found


def markdown(found: Sequence[Tie]) -> list[str]:
    """Return a line for each model some of whose answers the order of the letters decided, exam by exam."""
    lines = []
    for model in dict.fromkeys(one.model for one in found):
        told = [
            f"{one.task} {one.tied} (lm-eval {one.right} right, as chance {one.fair:.2f})"
            for one in found
            if one.model == model
        ]
        lines.append(
            f"{model}: some answers are ties between letters, of which lm-eval takes the first. They say nothing; "
            f"scored as the chance they are, an exam has as many right answers as in brackets: {'; '.join(told)}.\n"
        )
    return lines
