"""Rank rows by their rating: which a cut would take, and which to look at before it is made. Ours.

A cut takes a share of each kind of record (documents, questions, preferences): the rubric asks other things of each, so
their ratings are not compared with each other.
"""

import math
from typing import Any

import polars as pl

COLUMNS = ["id", "kind", "source", "quality"]
SHOWN = 10  # rows shown at each end, and at the line
LOOKED_AT = 0.05  # where a cut would fall is shown for this share while none is made
SHARES = (0.01, 0.05, 0.1, 0.2)  # of which it is counted what they would take


def rank(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `place` to rated rows (`COLUMNS`), 1 for the lowest of its kind, and `of`, how many the kind has.

    Of equal ratings the smaller id comes first, so two builds of the same rows rank them alike. Rows without a rating
    are left out.
    """
    rated = rows.filter(pl.col("quality").is_not_null()).sort("kind", "quality", "id")
    return rated.with_columns(place=pl.int_range(1, pl.len() + 1).over("kind"), of=pl.len().over("kind").cast(pl.Int64))


def taken(share: float) -> pl.Expr:
    """Return whether a cut of this share takes a ranked row; the number of rows is rounded, a half upwards."""
    return pl.col("place") <= (pl.col("of") * share + 0.5).floor()


def find_cuts(ranked: pl.DataFrame, share: float) -> dict[str, dict[str, Any]]:
    """Return where a cut falls, by kind: rows, cut (how many it takes), and rating (at) and id (last) of the last."""
    found: dict[str, dict[str, Any]] = {}
    for (kind,), rows in ranked.partition_by("kind", as_dict=True, maintain_order=True).items():
        count = math.floor(len(rows) * share + 0.5)
        end = rows.row(count - 1, named=True) if count else {"quality": None, "id": None}
        found[str(kind)] = {"rows": len(rows), "cut": count, "at": end["quality"], "last": end["id"]}
    return found


def is_cut(cuts: dict[str, dict[str, Any]]) -> pl.Expr:
    """Return whether a row of any part is taken by these cuts (`find_cuts`)."""
    at, last = ({kind: one[key] for kind, one in cuts.items() if one["cut"]} for key in ("at", "last"))
    limit = pl.col("kind").replace_strict(at, default=None, return_dtype=pl.Float64)
    end = pl.col("kind").replace_strict(last, default=None, return_dtype=pl.String)
    lower = pl.col("quality") < limit
    return (lower | ((pl.col("quality") == limit) & (pl.col("id") <= end))).fill_null(False)


def count_taken(ranked: pl.DataFrame, share: float) -> dict[str, int]:
    """Return how many rows of each source a cut of this share takes."""
    return dict(ranked.filter(taken(share)).group_by("source").len().sort("source").iter_rows())


def choose_shown(ranked: pl.DataFrame, share: float) -> dict[str, list[str]]:
    """Return the ids of the rows to look at: best, worst, and line, those on both sides of where the cut falls.

    share: of the cut; where it is 0, of `LOOKED_AT`. The line of each kind is looked at; the rows nearest to their own
    come first.
    """
    by_rating = ranked.sort("quality", "id", descending=[True, False])
    away = (pl.col("place") - (pl.col("of") * (share or LOOKED_AT) + 0.5).floor() - 0.5).abs() / pl.col("of")
    nearest = ranked.sort(away, "kind", "id").head(SHOWN).sort("quality", "id")
    return {
        "best": by_rating["id"].head(SHOWN).to_list(),
        "worst": ranked.sort("quality", "id")["id"].head(SHOWN).to_list(),
        "line": nearest["id"].to_list(),
    }
