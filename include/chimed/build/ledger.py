"""The ledger accounts for every row of a build, so that no stage can lose, double or hide one.

The runner counts the rows of the tables that it reads and writes (`chimed.build.builds`); it does not trust a stage's
own figures. A stage fails unless its ledger closes: every row it read is kept, dropped with a reason or failed with a
reason, and every derived row has a kept parent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

import chimed
from chimed.build import order, reports
from chimed.characters import short
from chimed.errors import WorkStopped
from chimed.reasons import EXPECTED_REASONS
from chimed.schema import DROPPED_COLUMNS, RECORD_COLUMNS
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

FAILED_SHARE = 0.05  # share of a shard's rows; above it the stage is at fault, not the rows
FEW_FAILED = 5  # this many failures prove nothing in a small shard
ALL_FAILED = 3  # unless all rows failed
REJECTED_SHARE = 0.95  # share of derived rows; above it the model is at fault, not the rows
ENOUGH_DERIVED = 10  # derived rows needed for that share to mean something
MAX_REASONS = 3  # reasons listed in an error
EXAMPLE_CHARACTERS = 300  # characters of an example in an error

# Rows of one fate. fate: read, kept, dropped, failed, derived; derived_dropped and derived_failed did not pass a gate.
COUNTS = pl.Schema({"source": pl.String, "fate": pl.String, "reason": pl.String, "rows": pl.Int64})

# The ledger of a build as a table: `builds/<version>/ledger.parquet`.
LEDGER = pa.schema(
    [
        pa.field("stage", pa.string(), False),
        pa.field("shard", pa.int32(), False),
        pa.field("source", pa.string(), False),
        pa.field("fate", pa.string(), False),
        # why the rows left; null where they did not
        pa.field("reason", pa.string()),
        pa.field("rows", pa.int64(), False),
    ]
)


@dataclass(frozen=True)
class Outcome:
    """What a stage made of one table.

    kept: rows of the input; columns may have changed, ids not. dropped: rows of the input with fate (`dropped` or
    `failed`), reason and detail. derived: new records whose parents are kept. derived_dropped: new records that a gate
    rejected. figures: numbers for the report.
    """

    kept: pl.DataFrame
    dropped: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DROPPED_COLUMNS))
    derived: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RECORD_COLUMNS))
    derived_dropped: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DROPPED_COLUMNS))
    figures: Mapping[str, Any] = field(default_factory=dict)


def too_many(failed: int, of: int) -> bool:
    """Return whether there are so many failures that the stage or the model server must be at fault, not the rows."""
    return failed > max(FEW_FAILED, FAILED_SHARE * of) or failed == of >= ALL_FAILED


class LedgerError(WorkStopped):
    """A stage lost or doubled a row."""


class TooManyFailed(WorkStopped):
    """So many rows of a stage failed that its output would mislead."""


class NothingLeft(WorkStopped):
    """A stage dropped all rows, or a gate rejected nearly all derived rows: an error, not a success."""


# --- counting ---------------------------------------------------------------------------------------------------


def count_rows(frame: pl.DataFrame, fate: str | None = None, prefix: str = "") -> pl.DataFrame:
    """Count a frame's rows by source (`COUNTS`): under one fate, or each under its own fate and reason."""
    said = frame.select(
        "source",
        fate=pl.lit(fate) if fate else prefix + pl.col("fate"),
        reason=pl.lit(None, pl.String) if fate else pl.col("reason"),
    )
    return sum_counts([said.with_columns(rows=pl.lit(1, pl.Int64))])


def sum_counts(counts: list[pl.DataFrame]) -> pl.DataFrame:
    """Sum the counts (`COUNTS`) of several tables, sorted."""
    whole = pl.concat([pl.DataFrame(schema=COUNTS), *(one.select(COUNTS.names()) for one in counts)])
    groups = ["source", "fate", "reason"]
    return whole.group_by(groups).agg(pl.col("rows").sum()).sort(groups, nulls_last=True)


def count_outcome(records: pl.DataFrame, outcome: Outcome) -> pl.DataFrame:
    """Count what a stage read and what became of it (`COUNTS`)."""
    return sum_counts(
        [
            count_rows(records, "read"),
            count_rows(outcome.kept, "kept"),
            count_rows(outcome.dropped),
            count_rows(outcome.derived, "derived"),
            count_rows(outcome.derived_dropped, prefix="derived_"),
        ]
    )


def total_rows(counts: pl.DataFrame, *fates: str) -> int:
    """Return how many rows had one of these fates."""
    return int(counts.filter(pl.col("fate").is_in(fates))["rows"].sum())


# --- checks -----------------------------------------------------------------------------------------------------


def check_ledger(stage: str, records: pl.DataFrame, outcome: Outcome) -> None:
    """Raise LedgerError unless read = kept + dropped + failed, row by row, and every derived row has a kept parent.

    For extract, the derived rows are the records, and their parents are the pages.
    """
    link = "page" if order.previous_stage(stage) is None else "parent"
    read, kept, left = records["id"], outcome.kept["id"], outcome.dropped["id"]
    if len(read) != len(kept) + len(left):
        raise LedgerError(f"{stage}: read {len(read)} rows, kept {len(kept)} and dropped or failed {len(left)}")
    strange = pl.concat([kept, left]).sort() != read.sort()
    if strange.any():
        raise LedgerError(f"{stage}: {strange.sum()} rows were kept or dropped that were not read")
    if kept.n_unique() != len(kept):
        raise LedgerError(f"{stage}: {len(kept) - kept.n_unique()} ids are kept twice")
    made = outcome.derived["id"]
    if pl.concat([kept, made]).n_unique() != len(kept) + len(made):
        raise LedgerError(f"{stage}: derived ids are not unique")
    for frame in (outcome.derived, outcome.derived_dropped):
        orphans = (~frame[link].is_in(kept.implode())).sum() if len(frame) else 0
        if orphans:
            raise LedgerError(f"{stage}: {orphans} derived rows have no parent among the kept")
    check_reasons(stage, outcome.dropped)


def check_reasons(stage: str, left: pl.DataFrame) -> None:
    """Raise LedgerError if a row left without a reason, or with a fate other than dropped or failed."""
    unsaid = left.filter((pl.col("reason").str.len_chars() == 0) | ~pl.col("fate").is_in(["dropped", "failed"]))
    if len(unsaid):
        raise LedgerError(f"{stage}: {len(unsaid)} rows were dropped without a reason")


def check_written(lake: Lake, stage: str, counts: pl.DataFrame, kept: list[str], dropped: str) -> None:
    """Raise LedgerError unless the files hold as many rows as were counted.

    This reads the files back: it checks what the lake has, not what the stage meant to write.
    """
    of_pages = order.previous_stage(stage) is None
    passed_on = total_rows(counts, "derived") if of_pages else total_rows(counts, "kept", "derived")
    left = total_rows(counts, "dropped", "failed", "derived_dropped", "derived_failed")
    have = sum(lakes.count_rows(lake, path) for path in kept), lakes.count_rows(lake, dropped)
    if have != (passed_on, left):
        raise LedgerError(
            f"{stage}: {passed_on} rows are kept and {left} dropped, but {have[0]} and {have[1]} were written"
        )
    if total_rows(counts, "read") != total_rows(counts, "kept", "dropped", "failed"):
        raise LedgerError(f"{stage}: read {total_rows(counts, 'read')} rows, accounted for {passed_on + left}")


def check_failures(stage: str, counts: pl.DataFrame, left: pl.DataFrame | None = None) -> None:
    """Raise TooManyFailed if more than `FAILED_SHARE` of the rows failed, and NothingLeft if nothing useful is left.

    NothingLeft is raised if more than a few rows were read and none was kept (pages that left for a reason in
    `NO_ALARM` do not count), or if a gate rejected nearly everything that was derived. left: rows that left (columns of
    `DROPPED`), for an example. Failures among derived rows are counted by answers, where models are asked
    (`chimed.llm.asking`).
    """
    read, failed = total_rows(counts, "read"), total_rows(counts, "failed")
    if failed > max(FEW_FAILED, FAILED_SHARE * read):
        raise TooManyFailed(f"{stage}: {failed} of {read} rows failed, {_common_reasons(counts, left, 'failed')}")
    of_pages = order.previous_stage(stage) is None
    unharmed = total_rows(counts.filter(pl.col("reason").is_in(EXPECTED_REASONS)), "dropped") if of_pages else 0
    of_a_corpus = order.stage(stage).steps  # then a part may lose all its rows: the corpus does not
    if read - unharmed > FEW_FAILED and not total_rows(counts, "kept") and not of_a_corpus:
        raise NothingLeft(
            f"{stage}: all {read} rows were dropped, {_common_reasons(counts, left, 'dropped', 'failed')}"
        )
    gone = total_rows(counts, "derived_dropped", "derived_failed")
    tried = total_rows(counts, "derived") + gone
    if order.stage(stage).kind == "model" and tried >= ENOUGH_DERIVED and gone > REJECTED_SHARE * tried:
        why = _common_reasons(counts, left, "derived_dropped", "derived_failed")
        raise NothingLeft(
            f"{stage}: {gone} of {tried} generated rows were rejected, {why}; read some of the model's replies"
        )


def _common_reasons(counts: pl.DataFrame, left: pl.DataFrame | None, *fates: str) -> str:
    """Describe the commonest reasons of these fates, with an example row of the first."""
    reasons = counts.filter(pl.col("fate").is_in(fates)).group_by("reason").agg(pl.col("rows").sum())
    common = reasons.sort("rows", "reason", descending=[True, False]).head(MAX_REASONS).rows()
    told = ", ".join(f"{rows} of them: {reason}" for reason, rows in common)
    same = [] if left is None else left.filter(pl.col("reason") == common[0][0])["detail"].drop_nulls().to_list()
    return f"{told}; for example: {short(same[0], EXAMPLE_CHARACTERS)}" if same and same[0] else told


# --- reports ----------------------------------------------------------------------------------------------------


def make_report(
    stage: str, build: str, shard: int, parts: int, counts: pl.DataFrame, figures: Mapping[str, Any]
) -> dict[str, Any]:
    """Make a shard's report: its counts (by reason, by source, and in full as rows of `COUNTS`), and its figures."""

    def by(column: str, *fates: str) -> dict[str, int]:
        chosen = counts.filter(pl.col("fate").is_in(fates))
        return dict(chosen.group_by(column).agg(pl.col("rows").sum()).sort(column).iter_rows())

    return {
        "stage": stage,
        "build": build,
        "shard": shard,
        "parts": parts,
        "code": chimed.__version__,
        "read": total_rows(counts, "read"),
        "kept": total_rows(counts, "kept"),
        "dropped": by("reason", "dropped"),
        "failed": by("reason", "failed"),
        "derived": total_rows(counts, "derived"),
        "derived_dropped": by("reason", "derived_dropped", "derived_failed"),
        "sources": {
            "read": by("source", "read"),
            "kept": by("source", "kept"),
            "dropped": by("source", "dropped", "failed"),
            "derived": by("source", "derived"),
        },
        "counts": counts.rows(),
        "figures": figures,
    }


def read_counts(report: dict[str, Any]) -> pl.DataFrame:
    """Return the counts (`COUNTS`) in a shard's report. Raises LedgerError if the report has none."""
    try:
        return pl.DataFrame(report["counts"], schema=COUNTS, orient="row")
    except (KeyError, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise LedgerError(
            f"{report.get('stage')}: a report has no readable counts; find it with: chimed audit"
        ) from None


def read_ledger(lake: Lake, version: str) -> list[dict[str, Any]]:
    """Return a build's ledger, one entry for each finished stage, with its shards' reports summed.

    Keys: stage, read, kept, dropped and failed (reason → rows), derived, derived_dropped, sources, seconds, figures (a
    list), skipped (whether the build's options skip the stage), removed (rows that a purge has taken out of its files
    since; only if there are any). Raises LedgerError if a stage did not read what the one before it passed on.
    """
    entries: list[dict[str, Any]] = []
    made = lakes.read_json(lake, layout.build(version, layout.BUILD))
    parts = len(made["shards"])
    for this in order.stages_of_build(made):
        name = this.name
        finished = reports.read_all(lake, version, name)
        if not finished:
            break
        entry = _sum_reports(name, finished)
        previous = entries[-1] if entries else None
        done = len(finished) == (1 if this.scope == "corpus" else parts)
        if previous and done:
            passed = previous["derived"] + (0 if previous["stage"] == order.NAMES[0] else previous["kept"])
            if not passed - previous.get("removed", 0) <= entry["read"] <= passed:
                raise LedgerError(f"{name} read {entry['read']} rows, but {previous['stage']} passed on {passed}")
        entries.append(entry)
        if not done:
            break
        parts = sum(one["parts"] for one in finished)
    return entries


def ledger_table(lake: Lake, version: str) -> pl.DataFrame:
    """Return a build's ledger as a table (`LEDGER`): rows of each stage, shard, source, fate and reason."""
    its_own = order.stages_of_build(lakes.read_json(lake, layout.build(version, layout.BUILD)))
    frames = [
        read_counts(one).select(
            pl.lit(this.name).alias("stage"), pl.lit(one["shard"], pl.Int32).alias("shard"), *COUNTS.names()
        )
        for this in its_own
        for one in reports.read_all(lake, version, this.name)
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=pl.Schema(LEDGER))


def _sum_reports(stage: str, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum the reports of a stage's shards into one entry. Raises LedgerError if one is not a stage's report."""
    try:
        return _sum(reports)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise LedgerError(f"{stage}: one of its reports is damaged; find it with: chimed audit") from None


def _sum(reports: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"stage": reports[0]["stage"], "figures": [report["figures"] for report in reports]}
    for key in ("read", "kept", "derived", "seconds"):
        total[key] = round(sum(report[key] for report in reports), 3)
    if removed := sum(one.get("removed", 0) for report in reports for one in report.get("written", {}).values()):
        total["removed"] = removed
    total["skipped"] = all(report["figures"].get("skipped") is True for report in reports)
    for key in ("dropped", "failed", "derived_dropped"):
        total[key] = _sum_maps([report[key] for report in reports])
    total["sources"] = {key: _sum_maps([report["sources"][key] for report in reports]) for key in reports[0]["sources"]}
    return total


def _sum_maps(maps: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in maps:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items()))
