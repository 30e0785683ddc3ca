"""What changed between two releases, and whether it may: rows by source and subset, drift, and the gates. Ours.

Drift of lengths, perplexities and departments is the population stability index (PSI) over the old release's tenths,
or over its departments: below 0.1 nothing, above 0.2 a change that wants a reason. Two small samples of one
distribution differ too, so a PSI counts only where it is more than chance gives (Yurdakul 2018: by chi-square).
Gates judge a release against the one before that was built with the same options: other options are no drift.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import polars as pl

from chimed.release import SUBSETS
from chimed.release.statistics import Counter, Counts, between, lengths_of, median, tenths
from chimed.release.tables import counted, rows_in
from chimed.storage.lake import Lake

PSI_LIMIT = 0.2
GONE_LIMIT = 0.2  # share of a source's rows in a subset that may leave from one release to the next
FEW_ROWS = 10  # so many rows may always leave
AT_ONCE = 8_000_000  # rows of both releases that are compared in one turn: some 300 MB
_SUBSET = pl.Enum(SUBSETS)
CHANCE = 0.001  # how rarely chance alone may stop a release, for one measure


@dataclass(frozen=True)
class Drift:
    """A measure of drift. psi: null where one side has no value. limit: over it the release stops."""

    what: str
    psi: float | None
    limit: float
    old_median: float | None = None
    new_median: float | None = None


@dataclass(frozen=True)
class Side:
    """One of two releases: the sums over its rows, and how to read where they are from.

    read: id, source and url of all its rows with the subset they are in, a batch at a time, as often as it is called.
    """

    counts: Counts
    read: Callable[[], Iterator[pl.DataFrame]]


def side_of(lake: Lake, folder: str, counts: Counts | None = None) -> Side:
    """Return a release in a folder of the lake. counts: its sums where they are known; else its rows are counted."""

    def read() -> Iterator[pl.DataFrame]:
        for table, rows in rows_in(lake, folder, lambda _: ["id", "source", "url"]):
            yield rows.with_columns(subset=pl.lit(table.split("/")[0]))

    return Side(counts or counted(lake, folder), read)


def side_of_tables(tables: dict[str, pl.DataFrame]) -> Side:
    """Tables in memory (`rows.tables_of`)."""
    counter = Counter()
    for name, rows in tables.items():
        counter.add(name, rows)
    columns = ["id", "source", "url"]
    frames = [rows.select(*columns, subset=pl.lit(name.split("/")[0])) for name, rows in tables.items()]
    return Side(counter.counts(), lambda: iter(frames))


def difference(old: Side, new: Side) -> dict[str, Any]:
    """Return what changed from one release to another.

    Keys: rows (subset, source, added, removed, changed, same), drift (fields of `Drift`), stops (sentences: what is
    over its limit). A page that gives other rows than before has changed ones; what is over is added or removed.
    """
    rows, measured = _rows(old, new), drift(old.counts, new.counts)
    return {"rows": rows, "drift": [asdict(one) for one in measured], "stops": stops(rows, measured)}


def _rows(old: Side, new: Side) -> list[dict[str, Any]]:
    """Rows by subset and source. Pages are compared in turns, so many that the rows of one turn fit into memory."""
    every = sum(sum(side.counts.rows.values()) for side in (old, new))
    turns = max(1, -(-every // AT_ONCE))
    found = [_compared(_places(old, turn, turns), _places(new, turn, turns)) for turn in range(turns)]
    totals = pl.concat(found).group_by("subset", "source").agg(pl.col("added", "removed", "changed", "same").sum())
    return totals.sort("subset", "source").to_dicts()


def _places(side: Side, turn: int, turns: int) -> pl.DataFrame:
    """Of the pages whose turn it is, the rows: subset, source, and the hashes of url and id."""
    columns = [pl.col("subset").cast(_SUBSET), "source", pl.col("url", "id").hash(seed=0)]
    empty = pl.DataFrame(schema={"subset": _SUBSET, "source": pl.String, "url": pl.UInt64, "id": pl.UInt64})
    batches = (batch.select(columns) for batch in side.read())
    return pl.concat([empty, *(batch.filter(pl.col("url") % turns == turn) for batch in batches)])


def _compared(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows added, removed, changed and the same, by subset and source."""
    row, page = ["subset", "id"], ["subset", "source", "url"]
    sides = {
        "gone": before.join(after, on=row, how="anti"),
        "come": after.join(before, on=row, how="anti"),
        "same": after.join(before, on=row, how="semi"),
    }
    marked = [rows.select(*page, **{name: pl.lit(name == kind) for name in sides}) for kind, rows in sides.items()]
    pages = pl.concat(marked).group_by(page).agg(pl.col(*sides).sum().cast(pl.Int64))
    changed = pl.min_horizontal("gone", "come")
    counted = pages.with_columns(added=pl.col("come") - changed, removed=pl.col("gone") - changed, changed=changed)
    numbers = counted.group_by("subset", "source").agg(pl.col("added", "removed", "changed", "same").sum())
    return numbers.with_columns(pl.col("subset").cast(pl.String))


def drift(old: Counts, new: Counts) -> list[Drift]:
    """Every measure of drift between two releases."""
    measures = [_drift(f"length of {subset}", lengths_of(old, subset), lengths_of(new, subset)) for subset in SUBSETS]
    measures.append(_drift("perplexity", old.perplexities, new.perplexities))
    named = [_by_department(counts) for counts in (old, new)]
    names = sorted({*named[0], *named[1]})
    measures.append(_measure("departments", *([side.get(name, 0) for name in names] for side in named)))
    return measures


def _by_department(counts: Counts) -> dict[str, int]:
    known = counts.places.filter(pl.col("department").is_not_null())
    return dict(known.group_by("department").agg(pl.col("rows").sum()).iter_rows())


def _drift(what: str, old: pl.DataFrame, new: pl.DataFrame) -> Drift:
    """PSI over the tenths of the old values (value, rows)."""
    edges = sorted(set(tenths(old)))
    one = _measure(what, between(old, edges), between(new, edges))
    return Drift(what, one.psi, one.limit, _number(median(old)), _number(median(new)))


def _measure(what: str, old: list[int], new: list[int]) -> Drift:
    if not sum(old) or not sum(new):
        return Drift(what, None, PSI_LIMIT)
    # half a row in every bin: one that is empty on one side would make the index infinite
    olds, news = ([count + 0.5 for count in side] for side in (old, new))
    shares = [(a / sum(olds), b / sum(news)) for a, b in zip(olds, news, strict=True)]
    psi = sum((b - a) * math.log(b / a) for a, b in shares)
    chance = _chi_square(len(old) - 1) * (1 / sum(old) + 1 / sum(new)) if len(old) > 1 else 0.0
    return Drift(what, round(psi, 4), round(max(PSI_LIMIT, chance), 4))


def _chi_square(degrees: int) -> float:
    """Return the value that chi-square exceeds with probability `CHANCE` (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(1 - CHANCE) * math.sqrt(spread)) ** 3


def _number(value: object) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) else None


def stops(rows: list[dict[str, Any]], measured: list[Drift]) -> list[str]:
    """Return what is over its limit, a sentence each; none: the release may go out."""
    said = []
    for row in rows:
        had = row["removed"] + row["changed"] + row["same"]
        if had and not row["same"] + row["changed"] + row["added"]:
            said.append(f"{row['subset']}: no row of {row['source']} is left of {had}")
        elif row["removed"] > max(FEW_ROWS, GONE_LIMIT * had):
            said.append(f"{row['subset']}: {row['removed']} of {had} rows of {row['source']} are gone")
    said += [
        f"{one.what} drifts: PSI {one.psi} over {one.limit}" + _medians(one)
        for one in measured
        if one.psi is not None and one.psi > one.limit
    ]
    return said


def _medians(one: Drift) -> str:
    return "" if one.old_median is None else f" (median {one.old_median:g} before, {one.new_median:g} now)"
