"""Run a stage of a build: read its table, run it, check the ledger, and write its tables and report.

A corpus that is streamed is split in `chimed.build.corpus`, and what must be known of the whole corpus first is found
in steps (`chimed.pipeline.steps`). A stage's report is written last, so it also marks the stage done; a killed stage
leaves no report and runs again. `chimed.build.ledger` counts and checks what became of each row.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from chimed import metrics
from chimed.build import ledger, order, reports
from chimed.build.builds import count_parts, count_shards, expected_shards, explain_older_order, read_stage, stages_of
from chimed.build.context import StageContext
from chimed.build.contract import CorpusStage, Implementation, ModelStage, PageStage, ShardStage, load_stage
from chimed.build.corpus import Parts, Verdicts, write_split
from chimed.build.ledger import LEDGER, Outcome
from chimed.concurrency import MAX_AHEAD
from chimed.errors import UserError, choose
from chimed.pipeline import steps
from chimed.schema import DROPPED, RECORD
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.checked import check_file
from chimed.storage.contents import sealed


def run_stage(work: StageContext, stage: str, shard: int | None = None) -> list[dict[str, Any]]:
    """Run all shards of a stage of a build, or one; return their reports. A finished shard is not run again.

    After the last stage the ledger is written as a table. Raises UserError for an unknown stage, shard or build, or if
    an earlier stage is not done, and LedgerError if a row is unaccounted for.
    """
    its_own = stages_of(work.lake, work.build)
    if shard is None:
        total = count_shards(work.lake, work.build, stage)
    else:
        choose("stage", stage, [one.name for one in its_own])
        total = _check_ready(work, its_own, stage, shard)
    if shard is not None and not 0 <= shard < total:
        said = f"{stage} of build {work.build} has shards 0 to {total - 1}, not {shard}"
        raise UserError(said + explain_older_order(work.build, its_own))
    reports = [_run_shard(work, its_own, stage, n) for n in (range(total) if shard is None else [shard])]
    path = layout.build(work.build, layout.LEDGER)
    if stage == its_own[-1].name and not lakes.exists(work.lake, path):
        lakes.write_table(work.lake, path, ledger.ledger_table(work.lake, work.build), LEDGER)
    return reports


def _check_ready(work: StageContext, its_own: tuple[order.Stage, ...], stage: str, shard: int) -> int:
    """How many shards a stage has. Raises UserError where what this one reads is not there: one of hundreds looks at
    its own part of the stage before, not at all of them."""
    total, previous = expected_shards(work.lake, work.build, its_own, stage), order.previous_stage(stage, its_own)
    its_part = previous and previous.scope == order.stage(stage, its_own).scope == "shard" and shard < total
    if previous and not (its_part and reports.read(work.lake, work.build, previous.name, shard)):
        count_parts(work.lake, work.build, previous.name)
    return total


def _run_shard(work: StageContext, its_own: tuple[order.Stage, ...], name: str, shard: int) -> dict[str, Any]:
    if (report := reports.read(work.lake, work.build, name, shard)) is not None:
        work.say(f"{name} {shard}: already done")
        return report
    from chimed.storage.lease import wait_for_lease  # imported here because SQLAlchemy takes long to load

    with wait_for_lease(work.store, work.lake.root, f"build {work.build} {name} {shard}", work.say) as still_ours:
        if (report := reports.read(work.lake, work.build, name, shard)) is not None:
            work.say(f"{name} {shard}: another process did it")
            return report
        return _do_shard(work, its_own, name, shard, still_ours)


@dataclass(frozen=True)
class _Shard:
    """A shard that is being run: what it reads and where it writes. written: filled with what each file holds."""

    work: StageContext
    stage: order.Stage
    previous: order.Stage | None
    number: int
    does: Implementation
    written: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Return the stage's folder in the lake."""
        return layout.build(self.work.build, self.stage.name)

    @property
    def skipped(self) -> bool:
        """Return whether the build's options skip the stage."""
        return self.stage.name in self.work.options.skip


@dataclass(frozen=True)
class _Result:
    """The counts of a shard's rows (`ledger.COUNTS`), the files of its kept rows, and the stage's figures."""

    counts: pl.DataFrame
    kept: list[str]
    figures: Mapping[str, Any]


def _do_shard(
    work: StageContext, its_own: tuple[order.Stage, ...], name: str, number: int, still_ours: Callable[[], None]
) -> dict[str, Any]:
    """Run a shard that no other process works on. still_ours: raises if another process has taken it over."""
    this, previous = order.stage(name, its_own), order.previous_stage(name, its_own)
    if this.scope != order.stage(name).scope or (name == "dedup" and previous and previous.name == "extract"):
        raise UserError(
            f"build {work.build} was opened by an earlier version, whose {name} worked in another way; "
            "open a new build (stored model replies cost nothing again): python -m chimed build"
        )
    steps.take(work, this)
    shard = _Shard(replace(work, part=number), this, previous, number, load_stage(this))
    lakes.clear_drafts(work.lake, shard.folder, lambda name: this.scope == "corpus" or f"-{number:05d}." in name)
    started = time.monotonic()
    done = _split_corpus(shard) if isinstance(shard.does, CorpusStage) else _run_part(shard)
    ledger.check_written(work.lake, name, done.counts, done.kept, f"{shard.folder}/{layout.dropped(number)}")
    ledger.check_failures(name, done.counts)
    report = ledger.make_report(name, work.build, number, len(done.kept), done.counts, done.figures)
    report |= {"written": shard.written, "inputs": _inputs(shard)}
    report["seconds"] = round(time.monotonic() - started, 3)
    report = sealed(report)
    still_ours()
    lakes.write_json(work.lake, reports.report_path(work.build, name, number), report)
    _counted(name, report)
    if this.steps_of(work.options) and not steps.missing_parts(work, name):
        steps.clear(work, name)
    work.say(
        f"{name} {number}: read {report['read']}, kept {report['kept']}, derived {report['derived']}, "
        f"dropped {sum(report['dropped'].values())}, failed {sum(report['failed'].values())}"
    )
    return report


def _counted(name: str, report: dict[str, Any]) -> None:
    """Send the metrics of a shard's ledger."""
    for result in ("kept", "derived"):
        metrics.count("stage.rows", report[result], stage=name, result=result, reason="none")
    for result in ("dropped", "failed"):
        for reason, number in report[result].items():
            metrics.count("stage.rows", number, stage=name, result=result, reason=reason.partition(":")[0])


def _inputs(shard: _Shard) -> dict[str, str | None]:
    """Return the files that a shard reads, with their hashes; null for a hash that is not recorded."""
    work, previous = shard.work, shard.previous
    if isinstance(shard.does, PageStage):
        return shard.does.raw_inputs(work, shard.number)
    assert previous is not None
    whole = shard.stage.scope == "corpus"
    parts = range(count_parts(work.lake, work.build, previous.name)) if whole else [shard.number]
    told = {part: reports.recorded_contents(work.lake, work.build, previous, part) for part in parts}
    folder = layout.build(work.build, previous.name)
    return {f"{folder}/{layout.kept(part)}": (said or {}).get("sha256") for part, said in told.items()}


def _split_corpus(shard: _Shard) -> _Result:
    """Run a corpus stage, and split the table by its verdicts as it streams through."""
    work, previous = shard.work, shard.previous
    assert isinstance(shard.does, CorpusStage)
    assert previous is not None
    numbers = range(count_parts(work.lake, work.build, previous.name))
    before = layout.build(work.build, previous.name)
    table = Parts(work.lake, tuple(f"{before}/{layout.kept(n)}" for n in numbers))
    _check_parts(work, previous, numbers)
    verdicts = Verdicts(figures={"skipped": True}) if shard.skipped else shard.does.select_dropped(table, work)
    part_rows = work.options.part_rows
    counts, count = write_split(work.lake, shard.folder, shard.stage.name, table, verdicts, part_rows, shard.written)
    return _Result(counts, [f"{shard.folder}/{layout.kept(n)}" for n in range(count)], verdicts.figures)


def _check_parts(work: StageContext, stage: order.Stage, numbers: range) -> None:
    """Raise SpoiltFile if a part differs from what its stage wrote. A corpus stage reads it column by column."""

    def check(part: int) -> None:
        path = layout.build(work.build, stage.name, layout.kept(part))
        told = reports.recorded_contents(work.lake, work.build, stage, part)
        check_file(work.lake, path, told, reports.repair_hint(work.build, stage, part))

    with ThreadPoolExecutor(MAX_AHEAD) as threads:
        list(threads.map(check, numbers))


def _run_part(shard: _Shard) -> _Result:
    """Run a stage on a table in memory: a part, crawled pages, or all that an older build's corpus stage reads."""
    name, lake = shard.stage.name, shard.work.lake
    records, outcome = _run_in_memory(shard)
    ledger.check_ledger(name, records, outcome)
    counts = ledger.count_outcome(records, outcome)
    ledger.check_failures(name, counts, pl.concat([outcome.dropped, outcome.derived_dropped], how="diagonal"))
    # pages are not records: only the derived records go on
    going_on = [outcome.derived] if isinstance(shard.does, PageStage) else [outcome.kept, outcome.derived]
    table = pl.concat([frame.select(RECORD.names) for frame in going_on])
    dropped = pl.concat([outcome.dropped.select(DROPPED.names), outcome.derived_dropped.select(DROPPED.names)])
    kept = layout.kept(shard.number)
    for file, rows, schema in ((layout.dropped(shard.number), dropped, DROPPED), (kept, table, RECORD)):
        shard.written[file] = lakes.write_table(lake, f"{shard.folder}/{file}", rows, schema)
    return _Result(counts, [f"{shard.folder}/{kept}"], outcome.figures)


def _run_in_memory(shard: _Shard) -> tuple[pl.DataFrame, Outcome]:
    """Return what a stage reads and what it makes of it."""
    work, does, previous = shard.work, shard.does, shard.previous
    if isinstance(does, PageStage):
        return does.read_pages(work, shard.number)
    assert previous is not None
    part = None if shard.stage.scope == "corpus" else shard.number
    records = read_stage(work.lake, work.build, previous.name, part)
    if shard.skipped:
        return records, Outcome(records, figures={"skipped": True})
    if isinstance(does, ModelStage):
        from chimed.llm.asking import ask_models  # imported here because the models' environment has no HTTP client

        return records, ask_models(shard.stage.name, does, records, work)
    assert isinstance(does, ShardStage)
    return records, does.run(records, work)
