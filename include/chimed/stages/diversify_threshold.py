"""diversify, step 3 of 3, once: which rows the cap takes (`cluster_cap`), what others would, how varied the rest is.

Memory: id, kind, cluster and rating of each row, and the signatures of those in clusters over their share. The step
writes `threshold.json`, and `taken.parquet`, a row group for each part: the rows of it that leave.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_groups, read_whole, write_groups
from chimed.diversity import capping, medicine, paraphrases
from chimed.intervals import wilson
from chimed.stages.department import DEPARTMENTS
from chimed.stages.diversify_assign import SIGNATURE, alike_file, rows_file
from chimed.stages.diversify_learn import QUESTIONS, TOLD
from chimed.storage import lake as lakes

SHOWN = 10  # rows that are shown of those that leave, and of near-paraphrases
TAKEN = pa.schema([pa.field("id", pa.string())])


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Decide about the rows of the corpus, and measure what stays."""
    rows = pl.concat([pl.DataFrame(schema=capping.COLUMNS), *_read(work, corpus, list(capping.COLUMNS))])
    cap = work.options.cluster_cap
    taken = capping.choose(_with_repeats(work, corpus, rows, cap), cap)
    gone = pl.col("id").is_in(taken["id"].implode())
    sizes = [0, *np.cumsum(corpus.rows).tolist()]
    parts = (rows.slice(start, end - start).filter(gone).select("id") for start, end in pairwise(sizes))
    write_groups(work.lake, corpus.path("threshold", "taken.parquet"), parts, TAKEN)
    stays = rows.filter(~gone)
    learned = lakes.read_json(work.lake, corpus.path("learn", TOLD))
    named = medicine.count_rows(part.filter(~gone) for part in _read(work, corpus, ["id", *medicine.WHERE]))
    found = {
        "sample": learned["sample"],
        "clusters": _clusters(learned["names"], stays, taken),
        "spread": capping.spread(stays),
        "limits": capping.limits(rows, cap) if cap is not None and learned["names"] else {},
        "would_take": capping.would_take(rows),
        "leaving": taken.head(SHOWN)["id"].to_list(),
        "paraphrases": _paraphrases(work, corpus),
        "coverage": medicine.coverage(named),
        "departments": _departments(part.filter(~gone) for part in _read(work, corpus, ["id", "kind", "department"])),
        "unasked": medicine.unasked(named),
    }
    lakes.write_json(work.lake, corpus.path("threshold", "threshold.json"), found)
    return {"rows": len(rows), "taken": len(taken)}


def _read(work: StageContext, corpus: Corpus, columns: list[str]) -> Iterator[pl.DataFrame]:
    for part in range(len(corpus.rows)):
        yield read_whole(work.lake, corpus.path("assign", rows_file(part)), columns)


def _with_repeats(work: StageContext, corpus: Corpus, rows: pl.DataFrame, cap: float | None) -> pl.DataFrame:
    """Add `repeats`: whether a row of a cluster over its share is a near-paraphrase of a better one there."""
    over = capping.excess(rows, cap).select("kind", "cluster")
    if not len(over):
        return rows.with_columns(repeats=pl.lit(False))
    paths = [corpus.path("assign", rows_file(part)) for part in range(len(corpus.rows))]
    wanted = [*capping.COLUMNS, *SIGNATURE]
    groups = (group for path in paths for group in read_groups(work.lake, path, wanted))
    crowded = pl.concat(group.join(over, on=["kind", "cluster"], how="semi") for group in groups)
    best_first = crowded.sort("quality", "id", descending=[True, False], nulls_last=True)
    place = pl.struct("kind", "cluster").hash(seed=0)  # rows of other clusters share no band
    keyed = best_first.with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name) ^ place).otherwise(0) for name in SIGNATURE
    )
    again = paraphrases.repeats(keyed.select(SIGNATURE).to_numpy())
    repeats = keyed.filter(pl.Series(again, dtype=pl.Boolean))["id"]
    return rows.with_columns(repeats=pl.col("id").is_in(repeats.implode()))


def _clusters(names: list[list[str]], stays: pl.DataFrame, taken: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each cluster's number, words, rows by kind, and rows that the cap took."""
    counts = stays.group_by("cluster", "kind").len().sort("cluster", "kind")
    by_cluster: dict[int, dict[str, int]] = {}
    for cluster, kind, rows in counts.iter_rows():
        by_cluster.setdefault(cluster, {})[kind] = rows
    gone = dict(taken.group_by("cluster").len().iter_rows())
    return [
        {"cluster": n, "words": words, "rows": by_cluster.get(n, {}), "taken": gone.get(n, 0)}
        for n, words in enumerate(names)
    ]


def _paraphrases(work: StageContext, corpus: Corpus) -> dict[str, Any] | None:
    """Return how many of the sampled questions have a near-paraphrase; None where there is no question, or no sample.

    Keys: sample; same (asked on another page in the same words); found, low, high (near-paraphrases in other words,
    with the Wilson interval of their share); shown: pairs of ids with both questions.
    """
    try:
        probes = paraphrases.read(work.lake, corpus.path("learn", QUESTIONS))
    except FileNotFoundError:
        return None
    if not probes.ids:
        return None
    tables = [read_whole(work.lake, corpus.path("assign", alike_file(part))) for part in range(len(corpus.rows))]
    found = paraphrases.nearest(tables)
    others = found.filter(~pl.col("same"))
    low, high = wilson(len(others), len(probes.ids))
    shown = [
        {"id": probes.ids[row["probe"]], "other": row["id"], "alike": row["alike"]}
        for row in others.head(SHOWN).to_dicts()
    ]
    same = len(found) - len(others)
    return {"sample": len(probes.ids), "same": same, "found": len(others), "low": low, "high": high, "shown": shown}


def _departments(several: Iterator[pl.DataFrame]) -> list[dict[str, Any]]:
    """Return how many questions each of the twenty departments has, the fewest first: department, questions."""
    questions = (part.filter(pl.col("kind") == "qa").select("department") for part in several)
    every = pl.concat([pl.DataFrame(schema={"department": pl.String}), *questions])
    counts = dict(every.drop_nulls().group_by("department").len().iter_rows())
    found = [{"department": name, "questions": counts.get(name, 0)} for name in DEPARTMENTS]
    return sorted(found, key=lambda one: one["questions"])
