"""Measure what the corpus varies in, and cap a cluster's share of it if the build says so. Ours.

Clusters of topics are learned from a sample (`diversify_learn`); each row gets its own (`diversify_assign`). How rows
are spread over them, how many questions are near-paraphrases, and which medicine is written about but never asked about
is measured on the whole corpus (`diversify_threshold`). The option `cluster_cap` bounds the share of each kind of
record that one cluster may have; it is off, and the report shows what it would take.
"""

from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import SteppedStage
from chimed.build.corpus import left, split
from chimed.build.figures import DiversifyFigures
from chimed.build.ledger import LedgerError, Outcome
from chimed.build.steps import corpus_of, read_group, read_whole
from chimed.stages import diversify_assign, diversify_learn, diversify_threshold
from chimed.storage import lake as lakes

TOO_MANY = "cluster over its share"


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Give a part's rows their clusters, and remove what the cap takes.

    What is known of the whole corpus is in the figures of the first part.
    """
    corpus = corpus_of(work, "diversify")
    found = read_whole(work.lake, corpus.path("assign", diversify_assign.rows_file(work.part)), ["id", "cluster"])
    if not found["id"].equals(records["id"]):
        raise LedgerError(
            f"diversify: the clusters of part {work.part} are not of its rows; remove steps/{work.build}/diversify"
        )
    placed = records.with_columns(found["cluster"]).select(records.columns)
    taken = read_group(work.lake, corpus.path("threshold", "taken.parquet"), work.part)["id"]
    gone = placed.with_row_index("row").filter(pl.col("id").is_in(taken.implode()))
    of_corpus: dict[str, Any] = {}
    if not work.part:
        of_corpus = lakes.read_json(work.lake, corpus.path("threshold", "threshold.json"))
    figures: DiversifyFigures = {
        "placed": len(placed) - placed["cluster"].null_count(),
        "taken": _taken(placed, gone),
        **of_corpus,  # type: ignore[typeddict-item]
    }
    details = pl.concat_str(pl.lit("cluster "), gone["cluster"].cast(pl.String))
    return split(placed, left(gone["row"], TOO_MANY, gone.select(details).to_series()), figures)


def _taken(placed: pl.DataFrame, gone: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the rows of the part by source: rows read, and rows that the cap takes."""
    read, over = (dict(frame.group_by("source").len().iter_rows()) for frame in (placed, gone))
    return {source: {"read": rows, TOO_MANY: over.get(source, 0)} for source, rows in sorted(read.items())}


STAGE = SteppedStage(
    run,
    steps={
        "learn": diversify_learn.run,
        "assign": diversify_assign.run,
        "threshold": diversify_threshold.run,
    },
)
