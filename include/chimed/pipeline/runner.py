"""Running a stage of a build: its tables are read and written here.

A stage's report is written last, so it also means done; a killed stage leaves no report and runs again. What has to be
known of the whole corpus first is found in steps (`chimed.pipeline.steps`). What became of each row is counted and
checked in `chimed.build.ledger`.
"""

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import polars as pl

from chimed.build import ledger, order, reports
from chimed.build.builds import count_shards, note_on_order, parts_of, read_stage, shards_of, stages_of
from chimed.build.context import Work
from chimed.build.ledger import LEDGER, Outcome
from chimed.errors import UserError, choose
from chimed.pipeline import steps
from chimed.schema import DROPPED, RECORD
from chimed.storage import lake as lakes
from chimed.storage.contents import sealed


def run_stage(work: Work, stage: str, shard: int | None = None) -> list[dict]:
    """Runs a stage of a build, all its shards or one; returns their reports. A finished shard is not run again.

    Behind the last stage the ledger is written as a table. Raises UserError for an unknown stage, shard or build, or
    where an earlier stage is not done; LedgerError where a row is unaccounted for.
    """
    its_own = stages_of(work.lake, work.build)
    if shard is None:
        total = shards_of(work.lake, work.build, stage)
    else:
        choose("stage", stage, [one.name for one in its_own])
        total = _check_ready(work, its_own, stage, shard)
    if shard is not None and not 0 <= shard < total:
        said = f"{stage} of build {work.build} has shards 0 to {total - 1}, not {shard}"
        raise UserError(said + note_on_order(work.build, its_own))
    reports = [_run_shard(work, its_own, stage, n) for n in (range(total) if shard is None else [shard])]
    path = f"builds/{work.build}/ledger.parquet"
    if stage == its_own[-1].name and not lakes.exists(work.lake, path):
        lakes.write_table(work.lake, path, ledger.table(work.lake, work.build), LEDGER)
    return reports


def _check_ready(work: Work, its_own: tuple[order.Stage, ...], stage: str, shard: int) -> int:
    """How many shards a stage has. Raises UserError where what this one reads is not there: one of hundreds looks at
    its own part of the stage before, not at all of them."""
    total, previous = count_shards(work.lake, work.build, its_own, stage), order.before(stage, its_own)
    its_part = previous and previous.scope == order.stage(stage, its_own).scope == "shard" and shard < total
    if previous and not (its_part and reports.read(work.lake, work.build, previous.name, shard)):
        parts_of(work.lake, work.build, previous.name)
    return total


def _run_shard(work: Work, its_own: tuple[order.Stage, ...], name: str, shard: int) -> dict:
    if (report := reports.read(work.lake, work.build, name, shard)) is not None:
        work.say(f"{name} {shard}: already done")
        return report
    from chimed.storage.lease import turn  # here, not above: SQLAlchemy takes long to load

    with turn(work.store, work.lake.root, f"build {work.build} {name} {shard}", work.say) as still_ours:
        if (report := reports.read(work.lake, work.build, name, shard)) is not None:
            work.say(f"{name} {shard}: another process did it")
            return report
        return _do_shard(work, its_own, name, shard, still_ours)


def _do_shard(
    work: Work, its_own: tuple[order.Stage, ...], name: str, shard: int, still_ours: Callable[[], None]
) -> dict:
    """Runs a shard that is not done and that no other process works on. still_ours: raises where one took it over."""
    folder = f"builds/{work.build}/{name}"
    this, previous = order.stage(name, its_own), order.before(name, its_own)
    if this.scope != order.stage(name).scope or (name == "dedup" and previous and previous.name == "extract"):
        raise UserError(
            f"build {work.build} was opened by an earlier version, whose {name} worked in another way; "
            "open a new build (stored model replies cost nothing again): python -m chimed build"
        )
    steps.take(work, this)
    lakes.clear_drafts(work.lake, folder, lambda name: this.scope == "corpus" or f"-{shard:05d}." in name)
    started = time.monotonic()
    module = importlib.import_module(f"chimed.stages.{name}")  # here, not above: some stages need torch or scrapy
    written: dict[str, dict] = {}
    counts, kept, figures = _run(replace(work, part=shard), this, previous, module, folder, written)
    ledger.check_written(work.lake, name, counts, kept, f"{folder}/dropped-{shard:05d}.parquet")
    ledger.check_failures(name, counts)
    report = ledger.report(name, work.build, shard, len(kept), counts, figures)
    report |= {"written": written, "inputs": _inputs(work, this, previous, module, shard)}
    report["seconds"] = round(time.monotonic() - started, 3)
    report = sealed(report)
    still_ours()
    lakes.write_json(work.lake, reports.path_of(work.build, name, shard), report)
    if this.steps and not _missing(work, its_own, name):
        steps.clear(work, name)
    work.say(
        f"{name} {shard}: read {report['read']}, kept {report['kept']}, derived {report['derived']}, "
        f"dropped {sum(report['dropped'].values())}, failed {sum(report['failed'].values())}"
    )
    return report


def _missing(work: Work, its_own: tuple[order.Stage, ...], stage: str) -> int:
    """How many parts of a stage have no report yet."""
    names = lakes.names(work.lake, f"builds/{work.build}/{stage}")
    return count_shards(work.lake, work.build, its_own, stage) - sum(name.startswith("report-") for name in names)


def _inputs(
    work: Work, this: order.Stage, previous: order.Stage | None, module: ModuleType, shard: int
) -> dict[str, str | None]:
    """The files that a shard was made of, with the hashes they had; null where that is not recorded."""
    if previous is None:
        return module.raw_inputs(work, shard)
    parts = range(parts_of(work.lake, work.build, previous.name)) if this.scope == "corpus" else [shard]
    told = {part: reports.kept_told(work.lake, work.build, previous, part) for part in parts}
    folder = f"builds/{work.build}/{previous.name}"
    return {f"{folder}/kept-{part:05d}.parquet": (said or {}).get("sha256") for part, said in told.items()}


def _run(
    work: Work,
    this: order.Stage,
    previous: order.Stage | None,
    module: ModuleType,
    folder: str,
    written: dict[str, dict],
) -> tuple[pl.DataFrame, list[str], dict[str, Any]]:
    """Runs a stage on a table in memory; returns counts, the kept rows' files, and figures.

    written: gets what the report says of the files.
    """
    name, shard = this.name, work.part
    if previous is None:
        records, outcome = module.read_pages(work, shard)
    else:
        records = read_stage(work.lake, work.build, previous.name, None if this.scope == "corpus" else shard)
        skipped = name in work.options.skip
        outcome = Outcome(records, figures={"skipped": True}) if skipped else module.run(records, work)
    ledger.check_ledger(name, records, outcome)
    counts = ledger.tally(records, outcome)
    ledger.check_failures(name, counts, pl.concat([outcome.dropped, outcome.derived_dropped], how="diagonal"))
    kept = f"kept-{shard:05d}.parquet"
    going_on = [outcome.derived] if previous is None else [outcome.kept, outcome.derived]  # of pages, their records
    table = pl.concat([frame.select(RECORD.names) for frame in going_on])
    dropped = pl.concat([outcome.dropped.select(DROPPED.names), outcome.derived_dropped.select(DROPPED.names)])
    for file, rows, schema in ((f"dropped-{shard:05d}.parquet", dropped, DROPPED), (kept, table, RECORD)):
        written[file] = lakes.write_table(work.lake, f"{folder}/{file}", rows, schema)
    return counts, [f"{folder}/{kept}"], outcome.figures
