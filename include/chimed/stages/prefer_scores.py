"""Rate both answers of a pair by the rubric of `rate`, so that a margin has reasons. Used by `prefer`; ours.

A verdict says which answer is better, not whether both are good or what is wrong with the worse one. By the option
`preference_scores` the judge rates both, in the words and with the prompt of `rate`: that stage finds the chosen
answer's reply in the store, should the row be in its sample.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from chimed.build.contract import Answer, Failure, Question
from chimed.rating import judge, rubric
from chimed.schema import table
from chimed.stages.prefer_contest import Contest, Scores, make_record


def ask_for_ratings(contests: Sequence[Contest]) -> list[Question]:
    """Ask for a rating of the chosen and of the rejected answer of each contest that made a pair."""
    return [judge.rate(text) for text in rated_texts([one for one in contests if one.fate is None])]


def rated_texts(contests: Sequence[Contest]) -> list[str]:
    """Return what is rated of these contests: chosen and rejected answer in turn, each with its question."""
    records = [make_record(one) for one in contests]
    both = [one | {"answer": one[name]} for one in records for name in ("answer", "rejected")]
    return table(both).select(judge.rated_text()).to_series().to_list()


def add_scores(contests: Sequence[Contest], ratings: Sequence[Answer[dict[str, int]] | Failure]) -> list[Contest]:
    """Return the contests with the ratings, which come in the order of `ask_for_ratings`, and what they say."""
    made = [one for one in contests if one.fate is None]
    scores = find_scores(rated_texts(made), ratings)
    told = iter(zip(ratings[::2], ratings[1::2], scores[::2], scores[1::2], strict=True))
    found = []
    for contest in contests:
        if contest.fate is None:
            chosen, rejected, *pair = next(told)
            contest = replace(contest, ratings=(chosen, rejected), scores=(pair[0], pair[1]))
        found.append(contest)
    return found


def find_scores(texts: Sequence[str], ratings: Sequence[Answer[dict[str, int]] | Failure]) -> list[Scores | None]:
    """Return the scores of rated texts by criterion, with `quality`, their weighted mean; None without a rating.

    As in `rate`, the judge gives four of them, and how much medicine a text teaches is counted.
    """
    said = rubric.load()
    given = [
        {f"quality_{name}": float(one.value[name]) if isinstance(one, Answer) else None for name in rubric.JUDGED}
        for one in ratings
    ]
    kinds = dict.fromkeys([f"quality_{name}" for name in rubric.JUDGED], pl.Float64)
    told = pl.DataFrame(given, schema=kinds).with_columns(text=pl.Series(texts, dtype=pl.String))
    counted = told.with_columns(quality_teaches=rubric.teaches(rubric.density(pl.col("text")), said))
    rated = counted.with_columns(quality=said.overall())
    rows = rated.select("quality", *(pl.col(f"quality_{name}").alias(name) for name in rubric.CRITERIA)).to_dicts()
    return [row if isinstance(one, Answer) else None for row, one in zip(rows, ratings, strict=True)]
