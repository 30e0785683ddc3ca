"""rate, step 1 of 3, once: the judge rates a sample of the corpus by the rubric, and a classifier learns its ratings.

The sample is taken by source, kind and department (`rate_sample`); the judge's replies stay in the store, so only rows
that are new to the sample are asked about again. How well the classifier agrees with the judge is measured on rows
whose pages it has not seen. Part of the sample is queued for people to rate. The step writes `learn.json` and
`judged.parquet`, and the classifier beside the build's stages.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, write_groups
from chimed.llm.asking import ask_models
from chimed.rating import agreement, classifier, judge, rubric, sample
from chimed.schema import RECORD, RECORD_COLUMNS
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage import store as stores
from chimed.storage.takedowns import read_takedowns

REVIEW_SAMPLE = 200  # rated rows of a build that people are asked to rate, too
SCORES = [f"quality_{name}" for name in rubric.JUDGED]
JUDGED_ROWS = pa.schema([pa.field("id", pa.string()), pa.field("reply", pa.string())])


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Ask about the sample and learn from the ratings. From fewer than `classifier.FEWEST` nothing is learned."""
    ids = sample.choose(_batches(work, corpus, sample.COLUMNS), work.options.rate_sample)
    chosen = pl.col("id").is_in(sorted(ids))
    found = [batch.filter(chosen) for batch in _batches(work, corpus, RECORD.names)]
    outcome = ask_models("rate", judge.JUDGE, pl.concat([pl.DataFrame(schema=RECORD_COLUMNS), *found]), work)
    rated = outcome.kept.filter(pl.col(SCORES[0]).is_not_null()).sort("id")
    asked = outcome.figures["judge"]
    told: dict[str, Any] = {"rubric": rubric.load().version, "asked": len(ids), "rated": len(rated), "judge": asked}
    if len(rated) >= classifier.FEWEST:
        learned = classifier.learn(rated, told["rubric"], str(asked["model"]))
        classifier.save(work.lake, work.build, learned)
        unseen = classifier.held_out(rated)
        told["agreement"] = {
            name: agreement.measure(rated[column], unseen[column])
            for name, column in zip(rubric.JUDGED, SCORES, strict=True)
        }
    elif lakes.exists(work.lake, layout.build(work.build, layout.CLASSIFIER)):
        lakes.remove(work.lake, layout.build(work.build, layout.CLASSIFIER))
    replies = rated.select("id", reply=pl.col("replies").list.last())
    write_groups(work.lake, corpus.path("learn", "judged.parquet"), [replies], JUDGED_ROWS)
    lakes.write_json(work.lake, corpus.path("learn", "learn.json"), told)
    _queue_for_review(work, rated)
    return {"asked": len(ids), "rated": len(rated), "learned": int("agreement" in told)}


def _batches(work: StageContext, corpus: Corpus, columns: list[str]) -> Iterator[pl.DataFrame]:
    for part in range(len(corpus.rows)):
        yield from lakes.read_batches(work.lake, corpus.before(part), columns, RECORD)


def _queue_for_review(work: StageContext, rated: pl.DataFrame) -> None:
    """Queue the rated rows with the smallest ids for people, with the judge's scores, which are shown after theirs."""
    open_rows = rated.filter(~read_takedowns(work.store).rows()).head(REVIEW_SAMPLE)
    scores = open_rows.select(pl.concat_str([pl.col(name).cast(pl.Int64) for name in SCORES], separator=" "))
    queued = open_rows.select("id", "url", text=judge.rated_text()).with_columns(scores=scores.to_series())
    now, version = datetime.now(UTC), rubric.load().version
    rows = [
        {
            "record": row["id"],
            "stage": "rate",
            "build": work.build,
            "kind": "rated",
            "reason": f"{row['scores']} {version}",
            "text": row["text"],
            "sampled": now,
            "url": row["url"],
        }
        for row in queued.iter_rows(named=True)
    ]
    stores.queue_for_review(work.store, rows, REVIEW_SAMPLE)
