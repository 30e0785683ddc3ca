"""One build: its inputs and options, and how a stage is run and written.

Every stage's tables are read and written here and nowhere else. A stage's report is written last, so it also means
done; a killed stage leaves no report and runs again. What has to be known of the whole corpus first is found in steps
(`chimed.steps`). What became of each row is counted and checked in `chimed.build.ledger`.
"""

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
from pydantic import ValidationError

import chimed
from chimed import steps
from chimed.build import inputs, ledger, order, reports
from chimed.build.ledger import LEDGER, Outcome
from chimed.build.options import Options
from chimed.errors import UserError, choose
from chimed.schema import DROPPED, DROPPED_COLUMNS, RECORD, RECORD_COLUMNS
from chimed.settings import Settings, settings
from chimed.sources import NAMES as SOURCES
from chimed.storage import lake as lakes
from chimed.storage.checked import check_file, read_checked
from chimed.storage.contents import sealed, told_of
from chimed.storage.lake import Lake, open_lake
from chimed.storage.naming import check_name
from chimed.storage.numbered import number_in

if TYPE_CHECKING:  # the models' environment runs stages too, and asks nobody; SQLAlchemy takes long to load
    from chimed.llm.asking import Planned
    from chimed.storage.store import Store

log = logging.getLogger("chimed")


@dataclass(frozen=True)
class Work:
    """What a stage may use besides its table.

    opened: the store, or what opens it for a stage that wants it. planned: where it is a list, models are not asked;
    what would be asked is put down there (`chimed.pipeline.estimate`). part: the number of the part that a stage works on.
    """

    build: str
    options: Options
    lake: Lake
    opened: "Store | Callable[[], Store]"
    settings: Settings
    say: Callable[[str], None] = log.info
    planned: "list[Planned] | None" = None
    part: int = 0

    @property
    def store(self) -> "Store":
        """The store. Raises UserError where it cannot be opened."""
        return self.opened() if callable(self.opened) else self.opened


def open_work(version: str) -> Work:
    """A build of the lake that the settings name, with its store. Raises UserError that names the builds there are."""
    lake = open_lake()
    made = read_build(lake, version)
    return Work(made["version"], Options(**made["options"]), lake, cache(_open_store), settings())


def _open_store() -> "Store":
    from chimed.storage.store import open_store

    return open_store()


# --- builds -----------------------------------------------------------------------------------------------------


def new_build(lake: Lake, options: dict | None = None, version: str | None = None, run: str | None = None) -> str:
    """Fixes a build's inputs (every finished crawl of its sources) and options; returns its calendar version.

    run: who asks, as the id of an Airflow run; asked again it gets the build it opened before. No two get one version.
    Raises UserError for a bad option, an existing version, or where nothing has been crawled yet.
    """
    chosen = parse_options(options or {})
    if version is not None:
        check_name("build", version)
    opened = [name for name in builds(lake) if run and read_build(lake, name).get("run") == run]
    if opened:
        return opened[-1]
    shards = inputs.shards(lake, chosen)
    if not shards:
        raise UserError(
            f"nothing in the lake yet from {', '.join(chosen.sources)}; crawl a site (python -m chimed crawl <source>) "
            "or read your own files (python -m chimed ingest <name> <files>)"
        )
    made = {
        "number": 1 + max((number_in(lake, f"builds/{name}/build.json") for name in builds(lake)), default=0),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": chimed.__version__,
        "options": chosen.model_dump(mode="json"),
        "shards": shards,
        "stages": order.told(),
        "run": run,
    }
    while True:
        taken = lakes.names(lake, "builds")
        if version in taken:
            raise UserError(f"build {version} exists already; leave --version out to get the next free one")
        free = version or _next_version(taken)
        if lakes.claim_json(lake, f"builds/{free}/build.json", sealed(made | {"version": free})):
            return free


def parse_options(options: dict) -> Options:
    """Options from a mapping. Raises UserError with every mistake and the valid choices."""
    try:
        parsed = Options(**options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"bad build option: {wrong}; the options are: {', '.join(Options.model_fields)}") from None
    for source in parsed.sources:
        choose("source", source, SOURCES)
    for name in parsed.skip:
        choose("stage to skip", name, [one.name for one in order.STAGES if one.skippable])
    return parsed


def builds(lake: Lake) -> list[str]:
    """Versions of all builds, oldest first: in the order in which they were opened, whatever the clock said."""
    found = [name for name in lakes.names(lake, "builds") if lakes.exists(lake, f"builds/{name}/build.json")]
    return sorted(found, key=lambda name: (number_in(lake, f"builds/{name}/build.json"), _version_key(name)))


def read_build(lake: Lake, version: str) -> dict:
    """A build's build.json; `latest` is the newest. Raises UserError that names the builds there are, or for one whose
    build.json cannot be read."""
    if version == "latest":
        version = next((name for name in reversed(builds(lake)) if _read(lake, name)), version)
    there = version in lakes.names(lake, "builds") and lakes.exists(lake, f"builds/{version}/build.json")
    choose("build", version, [version] if there else builds(lake))
    if made := _read(lake, version):
        return made
    raise UserError(
        f"builds/{version}/build.json does not describe this build; restore it from a copy, or remove builds/{version}"
    )


def _read(lake: Lake, name: str) -> dict | None:
    """A build's build.json; None where it cannot be used."""
    try:
        made = lakes.read_json(lake, f"builds/{name}/build.json")
    except (UserError, FileNotFoundError):
        return None
    kinds = {"version": str, "options": dict, "shards": list, "stages": list}
    return made if all(isinstance(made[key], kind) for key, kind in kinds.items() if key in made) else None


def _version_key(version: str) -> list[int]:
    return [int(number) if number.isdigit() else 0 for number in version.split(".")]


def _next_version(taken: list[str]) -> str:
    today = f"{datetime.now(UTC):%Y.%m.%d}"
    if today not in taken:
        return today
    return f"{today}.{next(n for n in range(1, 10_000) if f'{today}.{n}' not in taken)}"


# --- tables -----------------------------------------------------------------------------------------------------


def stages_of(lake: Lake, version: str) -> tuple[order.Stage, ...]:
    """A build's stages, in the order and with the scopes it was opened with."""
    return order.of_build(read_build(lake, version))


def shards_of(lake: Lake, version: str, stage: str) -> int:
    """How many parts a stage works on: 1 for a corpus stage, else the parts of the table it reads.

    Raises UserError where the stage before is not done.
    """
    its_own = stages_of(lake, version)
    choose("stage", stage, [one.name for one in its_own])
    if previous := order.before(stage, its_own):
        parts_of(lake, version, previous.name)
    return _shards(lake, version, its_own, stage)


def parts_of(lake: Lake, version: str, stage: str) -> int:
    """How many parts a finished stage wrote. Raises UserError where it is not done."""
    its_own = stages_of(lake, version)
    if order.stage(stage, its_own).scope == "corpus":
        return _parts(lake, version, its_own, stage)
    expected = _shards(lake, version, its_own, stage)
    missing = [n for n in range(expected) if reports.read(lake, version, stage, n) is None]
    if missing:
        _not_done(version, its_own, stage, f", {len(missing)} of {expected} parts are missing")
    return expected


def _shards(lake: Lake, version: str, its_own: tuple[order.Stage, ...], stage: str) -> int:
    """As `shards_of`, whether the parts are there or not."""
    if order.stage(stage, its_own).scope == "corpus":
        return 1
    while previous := order.before(stage, its_own):
        if previous.scope == "corpus":
            return _parts(lake, version, its_own, previous.name)
        stage = previous.name
    return len(read_build(lake, version)["shards"])


def _parts(lake: Lake, version: str, its_own: tuple[order.Stage, ...], stage: str) -> int:
    """How many parts a corpus stage wrote. Raises UserError where it is not done."""
    report = reports.read(lake, version, stage, 0)
    if report is None or "parts" not in report:
        _not_done(version, its_own, stage)
    return report["parts"]


def _not_done(version: str, its_own: tuple[order.Stage, ...], stage: str, missing: str = "") -> NoReturn:
    raise UserError(
        f"build {version}: {stage} is not done{missing}; run: python -m chimed run {stage} --build {version}"
        f"{_other_order(version, its_own)}"
    )


def _other_order(version: str, its_own: tuple[order.Stage, ...]) -> str:
    """What else to say of a build of an earlier version, whose stages Airflow's tasks do not follow any more."""
    if [one.name for one in its_own] == list(order.NAMES):
        return ""
    return (
        f" (the build has an earlier version's order of stages; python -m chimed run all --build {version} follows it)"
    )


def read_stage(lake: Lake, version: str, stage: str, part: int | None = None) -> pl.DataFrame:
    """A finished stage's table (kept and derived rows), all of it or one part.

    Raises SpoiltFile where a part is not what the stage wrote.
    """
    parts = range(parts_of(lake, version, stage)) if part is None else [part]
    this = order.stage(stage, stages_of(lake, version))
    frames = [_read_part(lake, version, this, n) for n in parts]
    return pl.concat(frames) if frames else pl.DataFrame(schema=RECORD_COLUMNS)


def _read_part(lake: Lake, version: str, this: order.Stage, part: int) -> pl.DataFrame:
    import pyarrow.parquet as pq

    path = f"builds/{version}/{this.name}/kept-{part:05d}.parquet"
    told, mend = reports.kept_told(lake, version, this, part), reports.mend(version, this, part)
    with lakes.parquet_errors(path):
        return lakes.table_of(pq.ParquetFile(read_checked(lake, path, told, mend)), schema=RECORD)


def read_dropped(lake: Lake, version: str, stage: str) -> pl.DataFrame:
    """A stage's dropped and failed rows, and derived rows that did not pass their gate (columns of `DROPPED`)."""
    folder = f"builds/{version}/{stage}"
    told = {name: one for report in reports.read_all(lake, version, stage) for name, one in _written(report).items()}
    names = [name for name in lakes.names(lake, folder) if name.startswith("dropped-")]
    for name in names:
        said = told_of(told, name)
        check_file(lake, f"{folder}/{name}", said, f"chimed audit {version} says what to do", whole=False)
    frames = [lakes.read_table(lake, f"{folder}/{name}", schema=DROPPED) for name in names]
    return pl.concat(frames) if frames else pl.DataFrame(schema=DROPPED_COLUMNS)


def _written(report: dict) -> dict:
    written = report.get("written")
    return written if isinstance(written, dict) else {}


# --- running ----------------------------------------------------------------------------------------------------


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
        raise UserError(said + _other_order(work.build, its_own))
    reports = [_run_shard(work, its_own, stage, n) for n in (range(total) if shard is None else [shard])]
    path = f"builds/{work.build}/ledger.parquet"
    if stage == its_own[-1].name and not lakes.exists(work.lake, path):
        lakes.write_table(work.lake, path, ledger.table(work.lake, work.build), LEDGER)
    return reports


def _check_ready(work: Work, its_own: tuple[order.Stage, ...], stage: str, shard: int) -> int:
    """How many shards a stage has. Raises UserError where what this one reads is not there: one of hundreds looks at
    its own part of the stage before, not at all of them."""
    total, previous = _shards(work.lake, work.build, its_own, stage), order.before(stage, its_own)
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
    return _shards(work.lake, work.build, its_own, stage) - sum(name.startswith("report-") for name in names)


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
