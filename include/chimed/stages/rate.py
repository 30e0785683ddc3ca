"""Rate every row by the rubric, and drop those with the lowest rating if the build says so. Ours.

The paper cuts by perplexity and length, which say how strange a text is, not how good. Here the judge rates a sample by
the rubric (`llm/prompts/rate.yaml`), a small classifier learns its ratings (`rate_learn`) and rates every row
(`rate_score`), those that were generated too: the stage stands behind all that write. The option `quality_cut` drops a
share of each kind of record (`rate_threshold`); it is off, and the report shows what it would take.
"""

from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import SteppedStage
from chimed.build.corpus import left, split
from chimed.build.figures import RateFigures
from chimed.build.ledger import LedgerError, Outcome
from chimed.build.steps import corpus_of, read_whole
from chimed.llm.asking import join_replies
from chimed.rating import judge, ranking
from chimed.schema import QUALITY
from chimed.stages import rate_learn, rate_score, rate_threshold
from chimed.storage import lake as lakes

LOW = "low rating"
SHOWN_CHARACTERS = 120


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Give a part's rows the ratings that the steps found, and remove what the cut takes.

    A row that the judge rated has the key of that reply among its replies. What is known of the whole corpus is in the
    figures of the first part.
    """
    corpus = corpus_of(work, "rate")
    scores = read_whole(work.lake, corpus.path("score", rate_score.scores_file(work.part)))
    if not scores["id"].equals(records["id"]):
        raise LedgerError(f"rate: the ratings of part {work.part} are not of its rows; remove steps/{work.build}/rate")
    judged = read_whole(work.lake, corpus.path("learn", "judged.parquet"))
    learned = lakes.read_json(work.lake, corpus.path("learn", "learn.json"))
    found = lakes.read_json(work.lake, corpus.path("threshold", "threshold.json"))
    asked = records.join(judged, on="id", how="left", maintain_order="left").with_columns(
        keys=pl.concat_list("reply").list.drop_nulls()
    )
    replies = pl.when(pl.col("reply").is_null()).then("replies").otherwise(join_replies("keys"))
    rated = asked.with_columns(*(scores[name] for name in QUALITY), replies=replies).select(records.columns)
    gone = rated.with_row_index("row").filter(ranking.is_cut(found["cuts"]))
    of_corpus: dict[str, Any] = {name: learned[name] for name in ("rubric", "judge", "agreement") if name in learned}
    of_corpus |= {name: found[name] for name in ("would_take", "cuts")}
    figures: RateFigures = {
        "judged": int(asked["reply"].is_not_null().sum()),
        "ratings": _ratings(rated),
        "taken": _taken(rated, gone),
        "shown": {name: _examples(rated, ids) for name, ids in found["shown"].items()},
        **(of_corpus if not work.part else {}),  # type: ignore[typeddict-item]
    }
    return split(rated, left(gone["row"], LOW, gone.select(pl.format("{}", "quality")).to_series()), figures)


def _ratings(rated: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return by source how many rows of the part are rated, and the sum of each of their ratings."""
    groups = (
        rated.filter(pl.col("quality").is_not_null()).group_by("source").agg(pl.len().alias("rows"), pl.sum(*QUALITY))
    )
    return {row.pop("source"): {k: round(v, 2) for k, v in row.items()} for row in groups.sort("source").to_dicts()}


def _taken(rated: pl.DataFrame, gone: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the rows of the part by source: rows read, and rows that the cut takes."""
    read, low = (dict(frame.group_by("source").len().iter_rows()) for frame in (rated, gone))
    return {source: {"read": rows, LOW: low.get(source, 0)} for source, rows in sorted(read.items())}


def _examples(rated: pl.DataFrame, ids: list[str]) -> list[dict[str, Any]]:
    """Return those of these rows that are in the part, with the beginning of their text."""
    shown = rated.filter(pl.col("id").is_in(ids)).sort("quality", "id")
    text = judge.rated_text().str.slice(0, SHOWN_CHARACTERS).alias("text")
    return shown.select("id", "kind", "source", *QUALITY, text).to_dicts()


STAGE = SteppedStage(
    run,
    steps={"learn": rate_learn.run, "score": rate_score.run, "threshold": rate_threshold.run},
    asks=judge.JUDGE,
)
