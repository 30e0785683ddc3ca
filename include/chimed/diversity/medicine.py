"""Find the names of medicine in rows, at column speed, and count who treats them and who asks about them. Ours.

Names are those of `text/terms.yaml`, where synonyms count as one. A name is written as its number in `listed()`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from chimed.text.terms import load_terms

# group → the lists of terms.yaml that it is made of
GROUPS = {
    "herbs": ("herbs",),
    "formulas": ("formulas",),
    "acupoints": ("acupoints",),
    "medicines": ("drugs",),
    "diseases": ("diseases", "ailments"),
}
READ = 20_000  # characters of a text that are searched
WHERE = ("questions", "answers", "documents")  # counted apart
NUMBERS = pl.List(pl.UInt16)


@dataclass(frozen=True)
class Named:
    """A thing that has a name in the list: its group, and the name by which it is shown."""

    group: str
    name: str


@cache
def _lists() -> tuple[list[Named], dict[str, int]]:
    """Return what is listed, and the number of each name and synonym."""
    terms = load_terms()
    found: list[Named] = []
    numbers: dict[str, int] = {}
    for group, lists in GROUPS.items():
        for name in (one for kind in lists for one in terms[kind]):
            if name and name not in numbers:
                same = [other for line in terms["same"] if name in line for other in line]
                known = next((numbers[one] for one in same if one in numbers), None)
                if known is None:
                    known = len(found)
                    found.append(Named(group, name))
                for one in (name, *same):
                    numbers.setdefault(one, known)
    return found, numbers


def listed() -> list[Named]:
    """Return everything that the list names, each once; the place is its number."""
    return _lists()[0]


def numbers_of_names() -> dict[str, int]:
    """Return the number of each name and synonym."""
    return _lists()[1]


def find_numbers(texts: pl.Series) -> pl.Series:
    """Return the numbers of what each text names, each once and in order (`NUMBERS`); none for a null.

    Of names that overlap the one that begins first counts, and of these the longest.
    """
    numbers = numbers_of_names()
    names = sorted(numbers, key=lambda name: (-len(name), name))
    found = texts.str.slice(0, READ).str.extract_many(names, leftmost=True)
    table = pl.DataFrame({"row": np.arange(len(texts), dtype=np.uint32), "name": found}).explode("name").drop_nulls()
    known = pl.DataFrame(
        {"name": names, "number": [numbers[name] for name in names]}, schema_overrides={"number": pl.UInt16}
    )
    each = table.join(known, on="name").group_by("row").agg(pl.col("number").unique().sort())
    every = pl.DataFrame({"row": np.arange(len(texts), dtype=np.uint32)}).join(
        each, on="row", how="left", maintain_order="left"
    )
    return every["number"].cast(NUMBERS).fill_null(pl.lit([], NUMBERS))


# --- who treats it, who asks about it ----------------------------------------------------------------------------


def count_rows(several: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return in how many rows each listed thing is named: number, and a column for each of `WHERE`."""
    sums = np.zeros((len(WHERE), len(listed())), np.int64)
    for rows in several:
        for n, where in enumerate(WHERE):
            sums[n] += np.bincount(rows[where].explode().drop_nulls().to_numpy(), minlength=len(listed()))
    return pl.DataFrame({"number": np.arange(len(listed())), **dict(zip(WHERE, sums, strict=True))})


def coverage(counts: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return for each group how many are listed, and how many of them questions, answers and documents name."""
    groups = counts.with_columns(group=pl.Series([one.group for one in listed()]))
    seen = groups.group_by("group").agg(pl.len().alias("listed"), *((pl.col(name) > 0).sum() for name in WHERE))
    found = {row.pop("group"): row for row in seen.to_dicts()}
    return {group: found[group] for group in GROUPS}


def unasked(counts: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what documents name and no question does, the most frequent first: group, name, documents, answers."""
    wanted = counts.filter(pl.col("questions") == 0, pl.col("documents") > 0)
    ordered = wanted.sort("documents", "answers", "number", descending=[True, True, False])
    return [
        {"group": listed()[row["number"]].group, "name": listed()[row["number"]].name}
        | {name: row[name] for name in ("documents", "answers")}
        for row in ordered.iter_rows(named=True)
    ]
