"""One build: its inputs and options, and how a stage is run, accounted for and written.

Every stage's tables are read and written here and nowhere else. A stage's report is written last, so it also means
done; a killed stage leaves no report and runs again. The ledger closes or the stage fails: every row read is kept,
dropped with a reason, or failed with a reason, and every derived row names a parent among the kept.
"""

import importlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
from pydantic import ValidationError

import chimed
from chimed import lake as lakes
from chimed import stages
from chimed.errors import UserError, WorkStopped, choose
from chimed.lake import Lake
from chimed.options import Options
from chimed.records import DROPPED, DROPPED_COLUMNS, RECORD, RECORD_COLUMNS
from chimed.settings import Settings
from chimed.sources import NAMES as SOURCES
from chimed.store import Store

if TYPE_CHECKING:  # the models' environment runs stages too, and asks nobody
    from chimed.completions import Planned

log = logging.getLogger("chimed")

MOST_PARTS = 64  # more parts than this would only be overhead: a part is a task in Airflow
PAGES_A_SHARD = 20_000
FAILED_SHARE = 0.05  # of a shard's rows; past it the stage itself is at fault, not the rows
FEW_FAILED = 5  # so many failures say nothing about a small shard


@dataclass(frozen=True)
class Outcome:
    """What a stage made of one table.

    kept: rows of the input, columns may have changed, ids not. dropped: rows of the input with fate, reason, detail
    (fate `dropped` or `failed`). derived: new records whose parents are among the kept. derived_dropped: new records
    that did not pass their gate. figures: numbers for the report.
    """

    kept: pl.DataFrame
    dropped: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DROPPED_COLUMNS))
    derived: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RECORD_COLUMNS))
    derived_dropped: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DROPPED_COLUMNS))
    figures: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What a stage may use besides its table.

    planned: where it is a list, models are not asked; what would be asked is put down there (`chimed.estimate`).
    """

    build: str
    options: Options
    lake: Lake
    store: Store
    settings: Settings
    say: Callable[[str], None] = log.info
    planned: "list[Planned] | None" = None


# --- builds -----------------------------------------------------------------------------------------------------


def new_build(lake: Lake, options: dict | None = None, version: str | None = None, run: str | None = None) -> str:
    """Fixes a build's inputs (every finished crawl of its sources) and options; returns its calendar version.

    run: who asks, as the id of an Airflow run; asked again it gets the build it opened before. No two get one version.
    Raises UserError for a bad option, an existing version, or where nothing has been crawled yet.
    """
    chosen = parse_options(options or {})
    opened = [name for name in builds(lake) if run and read_build(lake, name).get("run") == run]
    if opened:
        return opened[-1]
    crawls = [
        f"{source}/{crawl}"
        for source in (*chosen.sources, *(_corpora(lake) if chosen.corpora else ()))
        for crawl in lakes.names(lake, f"raw/{source}")
        if lakes.exists(lake, f"raw/{source}/{crawl}/report.json")
    ]
    if not crawls:
        raise UserError(f"nothing crawled yet of {', '.join(chosen.sources)}; run: python -m chimed crawl <source>")
    pages = sum(lakes.read_json(lake, f"raw/{crawl}/report.json").get("pages", 0) for crawl in crawls)
    shards = min(max(1, math.ceil(pages / PAGES_A_SHARD)), MOST_PARTS, len(crawls))
    made = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": chimed.__version__,
        "options": chosen.model_dump(mode="json"),
        "shards": [crawls[start::shards] for start in range(shards)],
        "run": run,
    }
    while True:
        taken = lakes.names(lake, "builds")
        if version in taken:
            raise UserError(f"build {version} exists; leave the version out to get the next free one")
        free = version or _next_version(taken)
        if lakes.claim_json(lake, f"builds/{free}/build.json", made | {"version": free}):
            return free


def _corpora(lake: Lake) -> list[str]:
    """Names of the corpora that `chimed ingest` brought into the lake."""
    reports = {
        name: [f"raw/{name}/{crawl}/report.json" for crawl in lakes.names(lake, f"raw/{name}")]
        for name in lakes.names(lake, "raw")
        if name not in SOURCES
    }
    found = {
        name: [lakes.read_json(lake, path) for path in paths if lakes.exists(lake, path)]
        for name, paths in reports.items()
    }
    return [name for name, made in found.items() if any(report.get("form") == "files" for report in made)]


def parse_options(options: dict) -> Options:
    """Options from a mapping. Raises UserError with every mistake and the valid choices."""
    try:
        parsed = Options(**options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"bad build option: {wrong}; there is: {', '.join(Options.model_fields)}") from None
    for source in parsed.sources:
        choose("source", source, SOURCES)
    for name in parsed.skip:
        choose("stage to skip", name, [one.name for one in stages.STAGES if one.skippable])
    return parsed


def builds(lake: Lake) -> list[str]:
    """Versions of all builds, oldest first."""
    found = [name for name in lakes.names(lake, "builds") if lakes.exists(lake, f"builds/{name}/build.json")]
    return sorted(found, key=_version_key)


def read_build(lake: Lake, version: str) -> dict:
    """A build's build.json; `latest` is the newest. Raises UserError that names the builds there are."""
    known = builds(lake)
    if version == "latest" and known:
        version = known[-1]
    return lakes.read_json(lake, f"builds/{choose('build', version, known)}/build.json")


def _version_key(version: str) -> list[int]:
    return [int(number) if number.isdigit() else 0 for number in version.split(".")]


def _next_version(taken: list[str]) -> str:
    today = f"{datetime.now(UTC):%Y.%m.%d}"
    if today not in taken:
        return today
    return f"{today}.{next(n for n in range(1, 10_000) if f'{today}.{n}' not in taken)}"


# --- tables -----------------------------------------------------------------------------------------------------


def shards_of(lake: Lake, version: str, stage: str) -> int:
    """How many parts a stage works on: 1 for a corpus stage, else the parts of the table it reads.

    Raises UserError where an earlier stage is not done.
    """
    this = stages.stage(choose("stage", stage, stages.NAMES))
    previous = stages.before(stage)
    if previous is None:
        return len(read_build(lake, version)["shards"])
    parts = parts_of(lake, version, previous.name)
    return 1 if this.scope == "corpus" else parts


def parts_of(lake: Lake, version: str, stage: str) -> int:
    """How many parts a finished stage wrote. Raises UserError where it is not done."""
    if stages.stage(stage).scope == "corpus":
        path = f"builds/{version}/{stage}/report-00000.json"
        if not lakes.exists(lake, path):
            raise UserError(
                f"build {version}: {stage} is not done; run: python -m chimed run {stage} --build {version}"
            )
        return lakes.read_json(lake, path)["parts"]
    expected = shards_of(lake, version, stage)
    missing = [n for n in range(expected) if not lakes.exists(lake, f"builds/{version}/{stage}/report-{n:05d}.json")]
    if missing:
        raise UserError(
            f"build {version}: {stage} is not done, {len(missing)} of {expected} parts are missing; "
            f"run: python -m chimed run {stage} --build {version}"
        )
    return expected


def read_stage(lake: Lake, version: str, stage: str, part: int | None = None) -> pl.DataFrame:
    """A finished stage's table (kept and derived rows), all of it or one part."""
    parts = range(parts_of(lake, version, stage)) if part is None else [part]
    frames = [lakes.read_table(lake, f"builds/{version}/{stage}/kept-{n:05d}.parquet") for n in parts]
    return pl.concat(frames) if frames else pl.DataFrame(schema=RECORD_COLUMNS)


def read_dropped(lake: Lake, version: str, stage: str) -> pl.DataFrame:
    """A stage's dropped and failed rows, and derived rows that did not pass their gate (columns of `DROPPED`)."""
    folder = f"builds/{version}/{stage}"
    frames = [
        lakes.read_table(lake, f"{folder}/{name}") for name in lakes.names(lake, folder) if name.startswith("dropped-")
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=DROPPED_COLUMNS)


# --- running ----------------------------------------------------------------------------------------------------


def run_stage(work: Work, stage: str, shard: int | None = None) -> list[dict]:
    """Runs a stage of a build, all its shards or one; returns their reports. A finished shard is not run again.

    Raises UserError for an unknown stage, shard or build, or where an earlier stage is not done;
    LedgerError where a row is unaccounted for.
    """
    total = shards_of(work.lake, work.build, stage)
    if shard is not None and not 0 <= shard < total:
        raise UserError(f"{stage} of build {work.build} has shards 0 to {total - 1}, not {shard}")
    return [_run_shard(work, stage, n) for n in (range(total) if shard is None else [shard])]


def _run_shard(work: Work, name: str, shard: int) -> dict:
    folder = f"builds/{work.build}/{name}"
    report_path = f"{folder}/report-{shard:05d}.json"
    if lakes.exists(work.lake, report_path):
        work.say(f"{name} {shard}: done before")
        return lakes.read_json(work.lake, report_path)
    started = time.monotonic()
    module = importlib.import_module(f"chimed.stages.{name}")  # here, not above: some stages need torch or scrapy
    this, previous = stages.stage(name), stages.before(name)
    if previous is None:
        records, outcome = module.read_pages(work, shard)
    else:
        records = read_stage(work.lake, work.build, previous.name, None if this.scope == "corpus" else shard)
        skipped = name in work.options.skip
        outcome = Outcome(records, figures={"skipped": True}) if skipped else module.run(records, work)
    check_ledger(name, records, outcome)
    check_failures(name, records, outcome)
    going_on = [outcome.derived] if previous is None else [outcome.kept, outcome.derived]  # of pages, their records
    table = pl.concat([frame.select(RECORD.names) for frame in going_on])
    parts = _write(work, folder, shard, table, outcome, this.scope)
    report = _report(name, work.build, shard, parts, records, outcome)
    report["seconds"] = round(time.monotonic() - started, 3)
    lakes.write_json(work.lake, report_path, report)
    work.say(
        f"{name} {shard}: read {report['read']}, kept {report['kept']}, derived {report['derived']}, "
        f"dropped {sum(report['dropped'].values())}, failed {sum(report['failed'].values())}"
    )
    return report


def _write(work: Work, folder: str, shard: int, table: pl.DataFrame, outcome: Outcome, scope: str) -> int:
    """Writes kept and dropped rows; a corpus stage's kept rows in as many parts as their number asks for.

    Rows of one page share a part: a question's answers meet in `prefer`.
    """
    dropped = pl.concat([outcome.dropped.select(DROPPED.names), outcome.derived_dropped.select(DROPPED.names)])
    lakes.write_table(work.lake, f"{folder}/dropped-{shard:05d}.parquet", dropped, DROPPED)
    if scope == "shard":
        lakes.write_table(work.lake, f"{folder}/kept-{shard:05d}.parquet", table, RECORD)
        return 1
    parts = min(max(1, math.ceil(len(table) / work.options.part_rows)), MOST_PARTS)
    ordered = table.sort("id").with_columns(part=pl.col("url").rank("dense") % parts)
    for n in range(parts):
        rows = ordered.filter(pl.col("part") == n).drop("part")
        lakes.write_table(work.lake, f"{folder}/kept-{n:05d}.parquet", rows, RECORD)
    return parts


# --- the ledger -------------------------------------------------------------------------------------------------


class LedgerError(WorkStopped):
    """A stage lost or doubled a row."""


def check_ledger(stage: str, records: pl.DataFrame, outcome: Outcome) -> None:
    """Raises LedgerError unless read = kept + dropped + failed, row by row, and every derived row has a kept parent.

    What extract derives are records, and their parents the pages they stand on.
    """
    link = "page" if stages.before(stage) is None else "parent"
    read, kept, left = records["id"], outcome.kept["id"], outcome.dropped["id"]
    if len(read) != len(kept) + len(left):
        raise LedgerError(f"{stage}: read {len(read)} rows, kept {len(kept)} and dropped or failed {len(left)}")
    strange = pl.concat([kept, left]).sort() != read.sort()
    if strange.any():
        raise LedgerError(f"{stage}: {strange.sum()} rows kept or dropped are not those read")
    if kept.n_unique() != len(kept):
        raise LedgerError(f"{stage}: {len(kept) - kept.n_unique()} ids are kept twice")
    made = outcome.derived["id"]
    if pl.concat([kept, made]).n_unique() != len(kept) + len(made):
        raise LedgerError(f"{stage}: derived ids are not unique")
    for frame in (outcome.derived, outcome.derived_dropped):
        orphans = (~frame[link].is_in(kept.implode())).sum() if len(frame) else 0
        if orphans:
            raise LedgerError(f"{stage}: {orphans} derived rows have no parent among the kept")
    unsaid = outcome.dropped.filter(pl.col("reason").str.len_chars() == 0)
    if len(unsaid):
        raise LedgerError(f"{stage}: {len(unsaid)} rows were dropped without a reason")


class TooManyFailed(WorkStopped):
    """A stage could not judge so many rows that its output would mislead."""


class NothingLeft(WorkStopped):
    """A stage dropped everything it read: an empty result is an alarm, not a success."""


def check_failures(stage: str, records: pl.DataFrame, outcome: Outcome) -> None:
    """Raises TooManyFailed where more than `FAILED_SHARE` of the rows, or of those to be derived, failed.

    Raises NothingLeft where more than a few rows were read and none is kept.
    """
    for frame, of in (
        (outcome.dropped, len(records)),
        (outcome.derived_dropped, len(outcome.derived) + len(outcome.derived_dropped)),
    ):
        failed = frame.filter(pl.col("fate") == "failed")
        if len(failed) > max(FEW_FAILED, FAILED_SHARE * of):
            raise TooManyFailed(f"{stage}: {len(failed)} of {of} rows failed, {_most(failed)}")
    if len(records) > FEW_FAILED and outcome.kept.is_empty():
        raise NothingLeft(f"{stage}: all {len(records)} rows were dropped, {_most(outcome.dropped)}")


def _most(left: pl.DataFrame) -> str:
    reason, rows = left.group_by("reason").len().sort("len", "reason", descending=[True, False]).row(0)
    return f"{rows} of them: {reason}"


def _report(stage: str, build: str, shard: int, parts: int, records: pl.DataFrame, outcome: Outcome) -> dict:
    def by(frame: pl.DataFrame, column: str) -> dict[str, int]:
        return dict(frame.group_by(column).len().sort(column).iter_rows())

    def of_fate(fate: str) -> pl.DataFrame:
        return outcome.dropped.filter(pl.col("fate") == fate)

    return {
        "stage": stage,
        "build": build,
        "shard": shard,
        "parts": parts,
        "code": chimed.__version__,
        "read": len(records),
        "kept": len(outcome.kept),
        "dropped": by(of_fate("dropped"), "reason"),
        "failed": by(of_fate("failed"), "reason"),
        "derived": len(outcome.derived),
        "derived_dropped": by(outcome.derived_dropped, "reason"),
        "sources": {
            "read": by(records, "source"),
            "kept": by(outcome.kept, "source"),
            "dropped": by(outcome.dropped, "source"),
            "derived": by(outcome.derived, "source"),
        },
        "figures": outcome.figures,
    }


def ledger(lake: Lake, version: str) -> list[dict]:
    """One entry a finished stage, its shards' reports added up; raises LedgerError where two stages do not join.

    Keys: stage, read, kept, dropped and failed (reason → rows), derived, derived_dropped, sources, seconds,
    figures (a list).
    """
    entries: list[dict] = []
    for name in stages.NAMES:
        folder = f"builds/{version}/{name}"
        reports = [lakes.read_json(lake, f"{folder}/{n}") for n in lakes.names(lake, folder) if n.startswith("report-")]
        if not reports:
            break
        entry = _added(reports)
        previous = entries[-1] if entries else None
        done = len(reports) == shards_of(lake, version, name)
        if previous and done:
            passed = previous["derived"] + (0 if previous["stage"] == stages.NAMES[0] else previous["kept"])
            if passed != entry["read"]:
                raise LedgerError(f"{name} read {entry['read']} rows, but {previous['stage']} passed on {passed}")
        entries.append(entry)
        if not done:
            break
    return entries


def _added(reports: list[dict]) -> dict:
    total: dict = {"stage": reports[0]["stage"], "figures": [report["figures"] for report in reports]}
    for key in ("read", "kept", "derived", "seconds"):
        total[key] = round(sum(report[key] for report in reports), 3)
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
