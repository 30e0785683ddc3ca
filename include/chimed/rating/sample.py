"""Choose the rows that the judge rates: a sample by source, kind and department, the same in every run. Ours.

Each group's share of the sample grows with the square root of its size (power allocation, Bankier 1988): a small source
is seen often enough to learn from, and a large one is still seen most. Within a group the rows with the smallest ids
are taken; ids are hashes, so that is a random sample, and rows that stay in the corpus stay in it.
"""

import heapq
import math
from collections.abc import Iterable, Sequence

import polars as pl

STRATA = ("source", "kind", "department")
COLUMNS = ["id", *STRATA]


def choose(batches: Iterable[pl.DataFrame], size: int) -> set[str]:
    """Return the ids of the sample: `size` of them, or all rows if there are no more. batches: with `COLUMNS`.

    Memory: `size` ids of each group.
    """
    counts = pl.DataFrame(schema={**dict.fromkeys(STRATA, pl.String), "rows": pl.UInt32})
    held = pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    for batch in batches:
        rows = batch.select(COLUMNS)
        new = rows.group_by(STRATA).agg(rows=pl.len())
        counts = pl.concat([counts, new]).group_by(STRATA).agg(pl.col("rows").sum())
        held = pl.concat([held, rows]).filter(pl.col("id").rank("ordinal").over(STRATA) <= size)
    counts = counts.sort(STRATA)
    given = counts.with_columns(taken=pl.Series(allocate(counts["rows"].to_list(), size), dtype=pl.UInt32))
    ranked = held.with_columns(place=pl.col("id").rank("ordinal").over(STRATA))
    chosen = ranked.join(given, on=STRATA, nulls_equal=True).filter(pl.col("place") <= pl.col("taken"))
    return set(chosen["id"])


def allocate(rows: Sequence[int], size: int) -> list[int]:
    """Return how many of each group's rows are taken: `size` in sum, or all there are.

    Places are given one by one to the group with the largest √rows / √(n (n + 1)), where it has n so far (the method of
    equal proportions): so each group gets one before any gets a second. Of equals the first group comes first.
    """
    taken = [0] * len(rows)
    waiting = [(-math.inf, -count, number) for number, count in enumerate(rows) if count]
    heapq.heapify(waiting)
    for _ in range(min(size, sum(rows))):
        _, _, number = heapq.heappop(waiting)
        taken[number] += 1
        if taken[number] < rows[number]:
            worth = math.sqrt(rows[number] / (taken[number] * (taken[number] + 1)))
            heapq.heappush(waiting, (-worth, -rows[number], number))
    return taken
