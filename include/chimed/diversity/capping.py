"""Choose the rows that leave a cluster which has more than its share of a kind, and measure how rows are spread. Ours.

A share is of a kind of record (documents, questions, preferences, reasonings), as the stage reads it: the number of
rows that a cluster may have does not fall with the rows that leave. It is never less than an equal share.
"""

import math
from typing import Any

import numpy as np
import polars as pl

COLUMNS = {"id": pl.String, "kind": pl.String, "cluster": pl.Int32, "quality": pl.Float64}
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # of which it is counted what they would take


def limits(rows: pl.DataFrame, share: float) -> dict[str, dict[str, Any]]:
    """Return for each kind how many rows a cluster may have: a half upwards. rows: `COLUMNS`.

    A cap below the share that each cluster has if all are equal cannot be kept by taking rows: it would only take from
    all. So a cluster may always have that many. Keys: most (rows); clusters (with a row of the kind); equal (the share
    of each if all were equal); too_low (whether the cap is below it).
    """
    counts = rows.group_by("kind").agg(
        of=pl.len(), placed=pl.col("cluster").count(), clusters=pl.col("cluster").drop_nulls().n_unique()
    )
    found = {}
    for kind, of, placed, clusters in counts.sort("kind").iter_rows():
        most, equal = math.floor(of * share + 0.5), math.ceil(placed / max(1, clusters))
        found[str(kind)] = {
            "most": max(1, most, equal),
            "clusters": clusters,
            "equal": round(1 / max(1, clusters), 4),
            "too_low": clusters > 0 and share * clusters < 1,
        }
    return found


def excess(rows: pl.DataFrame, share: float | None) -> pl.DataFrame:
    """Return the clusters with more rows of a kind than they may have: kind, cluster, rows, excess. rows: `COLUMNS`."""
    if share is None or not len(rows):
        return pl.DataFrame(schema={"kind": pl.String, "cluster": pl.Int32, "rows": pl.Int64, "excess": pl.Int64})
    counts = rows.group_by("kind", "cluster").agg(rows=pl.len().cast(pl.Int64))
    most = {kind: one["most"] for kind, one in limits(rows, share).items()}
    may = pl.col("kind").replace_strict(most, return_dtype=pl.Int64, default=None)
    over = counts.with_columns(excess=pl.col("rows") - may)
    return over.filter(pl.col("excess") > 0, pl.col("cluster").is_not_null()).sort("kind", "cluster")


def would_take(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many rows of each kind a cap of each of `SHARES` takes."""
    return {
        f"{share:g}": dict(excess(rows, share).group_by("kind").agg(pl.col("excess").sum()).sort("kind").iter_rows())
        for share in SHARES
    }


def choose(rows: pl.DataFrame, share: float | None) -> pl.DataFrame:
    """Return the rows that a cap takes, in the order in which they leave: `COLUMNS` and repeats.

    Of a cluster that is over its share, those with the lowest rating leave first, one without a rating last; of equals
    the near-paraphrases (`repeats`), then those with the largest ids, which are hashes.
    """
    over = excess(rows, share)
    ordered = rows.join(over.select("kind", "cluster", "excess"), on=["kind", "cluster"], how="inner").sort(
        "kind", "cluster", "quality", "repeats", "id", descending=[False, False, False, True, True], nulls_last=True
    )
    place = pl.int_range(pl.len()).over("kind", "cluster")
    return ordered.filter(place < pl.col("excess")).select(*COLUMNS, "repeats")


def spread(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return how the rows of each kind are spread over clusters.

    Keys: rows; unplaced (in no cluster); clusters (with a row); largest (share of the largest); effective (how many
    clusters of equal size would be as even: exp of the entropy).
    """
    found = {}
    for (kind,), some in rows.partition_by("kind", as_dict=True, maintain_order=True).items():
        sizes = some["cluster"].drop_nulls().value_counts().sort("cluster")["count"].to_numpy()
        shares = sizes / max(1, sizes.sum())
        found[str(kind)] = {
            "rows": len(some),
            "unplaced": some["cluster"].null_count(),
            "clusters": len(sizes),
            "largest": round(float(shares.max()), 4) if len(sizes) else None,
            "effective": round(float(np.exp(-(shares * np.log(shares)).sum())), 1) if len(sizes) else None,
        }
    return dict(sorted(found.items()))
