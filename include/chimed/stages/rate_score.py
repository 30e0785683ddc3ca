"""rate, step 2 of 3, each part: the classifier rates every row, and the medical names in it are counted.

The step writes `scores-<part>.parquet`: id, kind, source and the ratings, in the order of the part's rows.
"""

import time
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, write_groups
from chimed.rating import classifier, judge, rubric
from chimed.schema import QUALITY, RECORD
from chimed.storage import lake as lakes

READ = ["id", "kind", "source", "title", "text", "question", "answer", "turns"]
SCORES = pa.schema([*(pa.field(name, pa.string()) for name in READ[:3]), *(pa.field(n, pa.float64()) for n in QUALITY)])


def scores_file(part: int) -> str:
    """Name the file of a part's ratings."""
    return f"scores-{part:05d}.parquet"


def run(work: StageContext, corpus: Corpus, part: int) -> dict[str, Any]:
    """Rate the rows of a part. Where too few were rated to learn from, only what they teach is known."""
    began = time.monotonic()
    try:
        learned = classifier.read(work.lake, work.build)
    except FileNotFoundError:
        learned = None
    batches = lakes.read_batches(work.lake, corpus.before(part), READ, RECORD)
    write_groups(work.lake, corpus.path("score", scores_file(part)), (rate(one, learned) for one in batches), SCORES)
    seconds = time.monotonic() - began
    rows = corpus.rows[part]
    return {"rows": rows, "rows_per_second": round(rows / seconds) if seconds else 0}


def rate(rows: pl.DataFrame, learned: classifier.Classifier | None) -> pl.DataFrame:
    """Return the ratings of rows (`READ`), as `SCORES` has them; null where only a classifier can say, and is none."""
    said = rubric.load()
    if learned is None:
        found = rows.select(pl.repeat(None, pl.len(), dtype=pl.Float64).alias(f"quality_{n}") for n in rubric.JUDGED)
    else:
        found = classifier.predict(learned, rows)
    names = rows.select(quality_teaches=rubric.teaches(rubric.density(judge.rated_text()), said))
    rated = pl.concat([rows.select(READ[:3]), found, names], how="horizontal")
    return rated.with_columns(quality=said.overall()).select(SCORES.names)
