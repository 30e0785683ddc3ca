"""What a release holds, counted from its tables alone: the paper's Table 4, Figure 1's departments, distributions.

Everything is made of sums (`Counts`), which the parts of a release give one by one: nothing here holds its rows. How
often each length and each perplexity occurs is kept exactly, so medians and tenths are exact, too.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from chimed.release import SUBSETS, TABLES
from chimed.release.rows import measured
from chimed.schema import QUALITY

# a histogram's bins: lengths and perplexities spread over powers of ten
LENGTH_EDGES = [1, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 5_000, 10_000, 100_000]
PERPLEXITY_EDGES = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1_000, 3_000, 10_000, 100_000]
QUALITY_EDGES = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]

# Rows and characters by what a row may say of itself. table: <subset>/<split>.
PLACES = pl.Schema(
    dict.fromkeys(("table", "subset", "source", "domain", "language", "department", "model"), pl.String)
    | {"rows": pl.Int64, "characters": pl.Int64}
)
LENGTHS = pl.Schema({"subset": pl.String, "value": pl.Int64, "rows": pl.Int64})  # value: a row's characters
PERPLEXITIES = pl.Schema({"value": pl.Float64, "rows": pl.Int64})
EXCHANGES = pl.Schema({"source": pl.String, "value": pl.Int64, "rows": pl.Int64})  # value: a row's answers, of sft
QUALITIES = pl.Schema({"source": pl.String, "rating": pl.String, "value": pl.Float64, "rows": pl.Int64})
COUNTED = ("source", "domain", "language", "department", "model", "perplexity", *QUALITY)  # columns that are counted by
_SUMS = {
    "places": PLACES,
    "lengths": LENGTHS,
    "perplexities": PERPLEXITIES,
    "exchanges": EXCHANGES,
    "qualities": QUALITIES,
}
WAITING = 100_000  # rows that are counted together


@dataclass(frozen=True)
class Counts:
    """The sums over some rows of a release: `PLACES`, `LENGTHS`, `PERPLEXITIES`, `EXCHANGES` and `QUALITIES`."""

    places: pl.DataFrame
    lengths: pl.DataFrame
    perplexities: pl.DataFrame
    exchanges: pl.DataFrame
    qualities: pl.DataFrame

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each table."""
        found = dict(self.places.group_by("table").agg(pl.col("rows").sum()).iter_rows())
        return {table: found.get(table, 0) for table in TABLES}


class Counter:
    """Counts rows as they come by: a few columns of some of them are held, and the sums."""

    def __init__(self) -> None:
        self.sums = total([])
        self.waiting: list[pl.DataFrame] = []

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Count rows of a table: its words and `COUNTED` must be among their columns.

        Characters are those of the words that a model learns from (`rows.measured`).
        """
        subset = table.split("/")[0]
        said = {"table": pl.lit(table), "subset": pl.lit(subset)}
        said["characters"] = measured(lambda text: text.str.len_chars(), subset)
        of_none = pl.lit(None, pl.Int64)
        said["exchanges"] = pl.col("messages").list.len().cast(pl.Int64) // 2 if subset == "sft" else of_none
        self.waiting.append(rows.select(*COUNTED, **said))
        if sum(map(len, self.waiting)) > WAITING:
            self.counts()

    def counts(self) -> Counts:
        """Return the sums so far."""
        if self.waiting:
            self.sums = total([self.sums, _counted(pl.concat(self.waiting))])
            self.waiting.clear()
        return self.sums


def _counted(rows: pl.DataFrame) -> Counts:
    each = pl.lit(1, pl.Int64)
    return Counts(
        rows.select(pl.col(name) if name != "rows" else each.alias(name) for name in PLACES),
        rows.select("subset", value="characters", rows=each),
        rows.filter(pl.col("perplexity").is_not_null()).select(value="perplexity", rows=each),
        rows.filter(pl.col("exchanges").is_not_null()).select("source", value="exchanges", rows=each),
        rows.select("source", *QUALITY)
        .unpivot(index="source", variable_name="rating", value_name="value")
        .filter(pl.col("value").is_not_null())
        .with_columns(rows=each),
    )


def total(several: Iterable[Counts]) -> Counts:
    """Return the sums of several parts as one."""
    parts = list(several)

    def added(name: str, schema: pl.Schema) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=schema), *(getattr(part, name).select(schema.names()) for part in parts)]
        numbers = [column for column in ("rows", "characters") if column in schema]
        keys = [column for column in schema if column not in numbers]
        return pl.concat(frames).group_by(keys).agg(pl.col(numbers).sum()).sort(keys).select(schema.names())

    return Counts(**{name: added(name, schema) for name, schema in _SUMS.items()})


def as_dict(counts: Counts) -> dict[str, Any]:
    """Return the sums as JSON keeps them."""
    return {name: getattr(counts, name).to_dict(as_series=False) for name in _SUMS}


def of_dict(kept: dict[str, Any]) -> Counts:
    """Return the sums that `as_dict` made JSON of, also in an earlier version, which had fewer of them."""
    return Counts(**{name: pl.DataFrame(kept.get(name, {}), schema=schema) for name, schema in _SUMS.items()})


def statistics(counts: Counts) -> dict[str, Any]:
    """Return what a release's `statistics.json` says; nothing in it depends on how the release was made.

    Keys: table 4, sources, places (rows and characters by subset, source, domain), departments (of questions),
    splits, lengths and perplexity (histograms), characters, instances; where a consultation goes on after its first
    answer, conversations (by source: rows, of them longer ones, their answers and the most of one); where rows are
    rated, quality (by source, rows and the mean of each rating) and ratings (histogram).
    """
    places = counts.places
    questions = places.filter(pl.col("subset") == "sft")
    departments = questions.group_by("department").agg(pl.col("rows").sum())
    known = questions.filter(pl.col("department").is_not_null())
    at_source = known.group_by("source", "department").agg(pl.col("rows").sum())
    return {
        "table 4": _by(places, "subset", "domain"),
        "sources": _by(places, "subset", "source"),
        "places": _by(places, "subset", "source", "domain"),
        "departments": departments.sort("rows", "department", descending=[True, False], nulls_last=True).to_dicts(),
        "departments by source": at_source.sort(
            "source", "rows", "department", descending=[False, True, False]
        ).to_dicts(),
        "splits": counts.rows,
        "lengths": {subset: histogram(lengths_of(counts, subset), LENGTH_EDGES) for subset in SUBSETS},
        "perplexity": histogram(counts.perplexities, PERPLEXITY_EDGES),
        "characters": int(places["characters"].sum()),
        "instances": int(places["rows"].sum()),
        **_conversations(counts.exchanges),
        **(_quality(counts.qualities) if len(counts.qualities) else {}),
    }


def _conversations(exchanges: pl.DataFrame) -> dict[str, Any]:
    """Return the key `conversations`; nothing where no row has a second answer, so older releases say the same."""
    if not (exchanges["value"] > 1).any():
        return {}
    many = pl.col("value") > 1
    by_source = exchanges.group_by("source").agg(
        pl.col("rows").sum(),
        longer=pl.col("rows").filter(many).sum(),
        answers=(pl.col("value") * pl.col("rows")).filter(many).sum(),
        most=pl.col("value").max(),
    )
    return {"conversations": by_source.sort("source").to_dicts()}


def _quality(qualities: pl.DataFrame) -> dict[str, Any]:
    """Return the mean ratings of each source, and how often which rating was given in whole."""
    mean = ((pl.col("value") * pl.col("rows")).sum() / pl.col("rows").sum()).round(2)
    means = qualities.group_by("source", "rating").agg(mean.alias("mean"), pl.col("rows").sum())
    by_source = [
        {"source": source, "rows": int(rows.filter(rating=QUALITY[0])["rows"].sum())}
        | {name: value for name in QUALITY for value in rows.filter(rating=name)["mean"]}
        for (source,), rows in means.sort("source").partition_by("source", as_dict=True, maintain_order=True).items()
    ]
    whole = qualities.filter(rating=QUALITY[0]).group_by("value").agg(pl.col("rows").sum()).sort("value")
    return {"quality": by_source, "ratings": histogram(whole, QUALITY_EDGES)}


def _by(places: pl.DataFrame, *keys: str) -> list[dict[str, Any]]:
    return places.group_by(keys).agg(pl.col("rows", "characters").sum()).sort(keys).to_dicts()


def lengths_of(counts: Counts, subset: str) -> pl.DataFrame:
    """How many rows of a subset have how many characters (value, rows), the smallest first."""
    return counts.lengths.filter(pl.col("subset") == subset).select("value", "rows")


# --- distributions (value, rows), sorted by value -----------------------------------------------------------------


def occurrences(values: pl.Series) -> pl.DataFrame:
    """How often each value occurs (value, rows), sorted; nulls are left out."""
    return (
        values.drop_nulls().alias("value").to_frame().group_by("value").agg(rows=pl.len().cast(pl.Int64)).sort("value")
    )


def histogram(found: pl.DataFrame, edges: list[int] | list[float]) -> dict[str, Any]:
    """Count of values between edges: [first, second), …, the last bin open to above; with median and extremes."""
    return {
        "edges": edges,
        "counts": between(found, edges[1:]),
        "least": found["value"].min(),
        "median": median(found),
        "most": found["value"].max(),
    }


def between(found: pl.DataFrame, edges: list[int] | list[float]) -> list[int]:
    """How many values lie below the first edge, between each two, and from the last one on."""
    below = [int(found.filter(pl.col("value") < edge)["rows"].sum()) for edge in edges]
    return [upper - lower for lower, upper in zip([0, *below], [*below, int(found["rows"].sum())], strict=True)]


def median(found: pl.DataFrame) -> float | None:
    """Return the median; None where there is no value."""
    count = int(found["rows"].sum())
    if not count:
        return None
    middle = pl.Series([_nth(found, (count - 1) // 2), _nth(found, count // 2)], dtype=pl.Float64)
    return middle.median()  # type: ignore[return-value]  # Polars' own rounding: what was counted by it stays equal


def tenths(found: pl.DataFrame) -> list[float]:
    """Return the nine values that part the others into ten equal lots; none where there is no value."""
    count = int(found["rows"].sum())
    # the nearest value, a half upwards: as Polars' quantile has it
    return [_nth(found, math.floor((count - 1) * (tenth / 10) + 0.5)) for tenth in range(1, 10)] if count else []


def _nth(found: pl.DataFrame, number: int) -> float:
    """Return the value at a place among all, the smallest at 0."""
    return found["value"][int((found["rows"].cum_sum() > number).arg_max() or 0)]
