"""What changed between two releases, and whether it may: rows by source and subset, drift, and the gates. Ours.

Drift of lengths, perplexities and departments is the population stability index (PSI) over the old release's tenths,
or over its departments: below 0.1 nothing, above 0.2 a change that wants a reason. Two small samples of one
distribution differ too, so a PSI counts only where it is more than chance gives (Yurdakul 2018: by chi-square).
Gates judge a release against the one before that was built with the same options: other options are no drift.
"""

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist

import polars as pl

from chimed.release import SUBSETS
from chimed.release.statistics import counted

PSI_LIMIT = 0.2
GONE_LIMIT = 0.2  # share of a source's rows in a subset that may leave from one release to the next
FEW_ROWS = 10  # so many rows may always leave
CHANCE = 0.001  # how rarely chance alone may stop a release, for one measure


@dataclass(frozen=True)
class Drift:
    """A measure of drift. psi: null where one side has no value. limit: over it the release stops."""

    what: str
    psi: float | None
    limit: float
    old_median: float | None = None
    new_median: float | None = None


def difference(old: dict[str, pl.DataFrame], new: dict[str, pl.DataFrame]) -> dict:
    """What changed from the tables of one release to those of another.

    Keys: rows (subset, source, added, removed, changed, same), drift (fields of `Drift`), stops (sentences: what is
    over its limit). A page that gives other rows than before has changed ones; what is over is added or removed.
    """
    before, after = counted(old), counted(new)
    rows, measured = _rows(before, after), drift(before, after)
    return {"rows": rows, "drift": [asdict(one) for one in measured], "stops": stops(rows, measured)}


def _rows(before: pl.DataFrame, after: pl.DataFrame) -> list[dict]:
    keys = ["subset", "source", "url"]
    gone = before.join(after, on=["subset", "id"], how="anti").group_by(keys).len("gone")
    come = after.join(before, on=["subset", "id"], how="anti").group_by(keys).len("come")
    same = after.join(before, on=["subset", "id"], how="semi").group_by(keys).len("same")
    every = pl.concat([before.select(keys), after.select(keys)]).unique()
    for counts in (gone, come, same):
        every = every.join(counts, on=keys, how="left")
    numbers = [pl.col(name).fill_null(0).cast(pl.Int64) for name in ("gone", "come", "same")]
    every = every.with_columns(numbers).with_columns(changed=pl.min_horizontal("gone", "come"))
    totals = every.group_by("subset", "source").agg(
        added=(pl.col("come") - pl.col("changed")).sum(),
        removed=(pl.col("gone") - pl.col("changed")).sum(),
        changed=pl.col("changed").sum(),
        same=pl.col("same").sum(),
    )
    return totals.sort("subset", "source").to_dicts()


def drift(before: pl.DataFrame, after: pl.DataFrame) -> list[Drift]:
    """Every measure of drift between the rows of two releases (`statistics.counted`)."""
    measures = []
    for subset in SUBSETS:
        old, new = (frame.filter(pl.col("subset") == subset) for frame in (before, after))
        measures.append(_drift(f"length of {subset}", old["characters"], new["characters"]))
    measures.append(_drift("perplexity", before["perplexity"].drop_nulls(), after["perplexity"].drop_nulls()))
    old_names, new_names = (frame["department"].drop_nulls() for frame in (before, after))
    names = sorted(set(old_names) | set(new_names))
    measures.append(
        _measure("departments", *([(side == name).sum() for name in names] for side in (old_names, new_names)))
    )
    return measures


def _drift(what: str, old: pl.Series, new: pl.Series) -> Drift:
    """PSI over the tenths of the old values."""
    tenths = [old.quantile(n / 10) for n in range(1, 10)]  # null where there is no value
    edges = sorted({tenth for tenth in tenths if tenth is not None})
    counts = []
    for side in (old, new):
        below = [int((side < edge).sum()) for edge in edges] + [len(side)]
        counts.append([upper - lower for lower, upper in zip([0, *below], below, strict=False)])
    one = _measure(what, *counts)
    return Drift(what, one.psi, one.limit, _number(old.median()), _number(new.median()))


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
    """The value that chi-square exceeds with probability `CHANCE` (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(1 - CHANCE) * math.sqrt(spread)) ** 3


def _number(value: object) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) else None


def stops(rows: list[dict], measured: list[Drift]) -> list[str]:
    """What is over its limit, a sentence each; none: the release may go out."""
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
