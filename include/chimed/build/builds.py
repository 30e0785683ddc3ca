"""Open builds, read their description, and read the tables of finished stages.

`chimed.pipeline.runner` runs the stages and writes their tables.
"""

import logging
from datetime import UTC, datetime
from typing import Any, NoReturn

import polars as pl
from pydantic import ValidationError

import chimed
from chimed.build import inputs, order, reports
from chimed.build.options import Options, current_names, without_effect
from chimed.errors import UserError, choose
from chimed.schema import DROPPED, DROPPED_COLUMNS, RECORD, RECORD_COLUMNS
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.checked import check_file, read_checked
from chimed.storage.contents import recorded_file, sealed
from chimed.storage.lake import Lake
from chimed.storage.naming import check_name
from chimed.storage.numbered import read_number

log = logging.getLogger("chimed")

# --- builds -----------------------------------------------------------------------------------------------------


def new_build(
    lake: Lake,
    options: dict[str, Any] | None = None,
    version: str | None = None,
    run: str | None = None,
    partition: str | None = None,
) -> str:
    """Create a build: fix its inputs and options, and return its version.

    The inputs are all finished crawls of the chosen sources. The version is today's date unless one is given. Two
    builds never get the same version.

    run: the id of the Airflow run that asks. A second call with the same id returns the build it created before.
    partition: the week that the run is for. Two schedulers may each start a run for a week; the second gets the build
    of the first if crawls and options are the same. An option whose stages are skipped is warned of.
    Raises UserError for a bad option, for a version that exists, or if nothing has been crawled yet.
    """
    chosen = parse_options(options or {})
    for sentence in without_effect(chosen):
        log.warning("%s", sentence)
    if version is not None:
        check_name("build", version)
    opened = [name for name in list_builds(lake) if run and read_build(lake, name).get("run") == run]
    if opened:
        return opened[-1]
    shards = inputs.divide_into_shards(lake, chosen)
    if not shards:
        raise UserError(
            f"nothing in the lake yet from {', '.join(chosen.sources)}; crawl a site (python -m chimed crawl <source>) "
            "or read your own files (python -m chimed ingest <name> <files>)"
        )
    asked = {
        "options": chosen.model_dump(mode="json"),
        "shards": [list(shard) for shard in shards],
        "partition": partition,
    }
    same = [name for name in list_builds(lake) if partition and _is_for(read_build(lake, name), asked)]
    if same and version is None:
        log.info("build %s is of the same week, crawls and options: it is used again", same[-1])
        return same[-1]
    made = {
        "number": 1
        + max((read_number(lake, layout.build(name, layout.BUILD)) for name in list_builds(lake)), default=0),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": chimed.__version__,
        "options": chosen.model_dump(mode="json"),
        "shards": shards,
        "stages": order.stages_for_build_json(),
        "plan": inputs.plan(lake, chosen, len(shards)),
        "run": run,
        "partition": partition,
    }
    while True:
        taken = lakes.names(lake, layout.BUILDS)
        if version in taken:
            raise UserError(f"build {version} exists already; leave --version out to get the next free one")
        free = version or _next_version(taken)
        if lakes.claim_json(lake, layout.build(free, layout.BUILD), sealed(made | {"version": free})):
            return free


def _is_for(made: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Return whether a build was asked for with the same partition, crawls and options."""
    return all(made.get(name) == value for name, value in asked.items())


def parse_options(options: dict[str, Any]) -> Options:
    """Validate build options. Raises UserError that lists every mistake and the valid choices."""
    try:
        parsed = Options(**options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"bad build option: {wrong}; the options are: {', '.join(Options.model_fields)}") from None
    for source in parsed.sources:
        choose("source", source, source_names())
    for name in parsed.skip:
        choose("stage to skip", name, [one.name for one in order.STAGES if one.skippable])
    return parsed


def list_builds(lake: Lake) -> list[str]:
    """Return the versions of all builds, oldest first.

    The order is that in which they were opened, so a clock that went backwards does not change it.
    """
    found = [name for name in lakes.names(lake, layout.BUILDS) if lakes.exists(lake, layout.build(name, layout.BUILD))]
    return sorted(found, key=lambda name: (read_number(lake, layout.build(name, layout.BUILD)), _version_key(name)))


def read_build(lake: Lake, version: str) -> dict[str, Any]:
    """Return a build's build.json; `latest` is the newest build.

    Raises UserError if there is no such build (the message lists those that exist), or if its build.json is damaged.
    """
    if version == "latest":
        version = next((name for name in reversed(list_builds(lake)) if _read(lake, name)), version)
    there = version in lakes.names(lake, layout.BUILDS) and lakes.exists(lake, layout.build(version, layout.BUILD))
    choose("build", version, [version] if there else list_builds(lake))
    if made := _read(lake, version):
        return made
    raise UserError(
        f"builds/{version}/build.json does not describe this build; restore it from a copy, or remove builds/{version}"
    )


def _read(lake: Lake, name: str) -> dict[str, Any] | None:
    """Return a build's build.json, or None if it is missing or damaged."""
    try:
        made = lakes.read_json(lake, layout.build(name, layout.BUILD))
    except (UserError, FileNotFoundError):
        return None
    kinds = {"version": str, "options": dict, "shards": list, "stages": list}
    if not all(isinstance(made[key], kind) for key, kind in kinds.items() if key in made):
        return None
    return made | {"options": current_names(made["options"])} if "options" in made else made


def _version_key(version: str) -> list[int]:
    return [int(number) if number.isdigit() else 0 for number in version.split(".")]


def _next_version(taken: list[str]) -> str:
    today = f"{datetime.now(UTC):%Y.%m.%d}"
    if today not in taken:
        return today
    return f"{today}.{next(n for n in range(1, 10_000) if f'{today}.{n}' not in taken)}"


# --- tables -----------------------------------------------------------------------------------------------------


def stages_of(lake: Lake, version: str) -> tuple[order.Stage, ...]:
    """Return a build's stages, in the order and with the scopes that it was opened with."""
    return order.stages_of_build(read_build(lake, version))


def adopt_scopes(lake: Lake, version: str) -> None:
    """Let a build that an earlier version opened go on: a stage that it has not run yet is run as it is today.

    Earlier versions ran `dedup` and `filter` over the whole corpus at once. What they finished stays as it is; a stage
    without a report gets today's scope, and the build's build.json says so. Builds with another order of stages keep
    it (`explain_older_order`).
    """
    made = read_build(lake, version)
    told = order.stages_of_build(made)
    if [one.name for one in told] != list(order.NAMES):
        return
    now = [one if reports.read(lake, made["version"], one.name, 0) else order.stage(one.name) for one in told]
    if now != list(told):
        path = layout.build(made["version"], layout.BUILD)
        stages = [[one.name, one.scope] for one in now]
        lakes.write_json(lake, path, sealed(lakes.read_json(lake, path) | {"stages": stages}))


def count_shards(lake: Lake, version: str, stage: str) -> int:
    """Return how many shards a stage has: 1 for a corpus stage, else one for each part of the table it reads.

    Raises UserError if an earlier stage is not finished.
    """
    its_own = stages_of(lake, version)
    choose("stage", stage, [one.name for one in its_own])
    if previous := order.previous_stage(stage, its_own):
        count_parts(lake, version, previous.name)
    return expected_shards(lake, version, its_own, stage)


def count_parts(lake: Lake, version: str, stage: str) -> int:
    """Return how many part files a finished stage wrote. Raises UserError if the stage is not finished."""
    its_own = stages_of(lake, version)
    if order.stage(stage, its_own).scope == "corpus":
        return _parts(lake, version, its_own, stage)
    expected = expected_shards(lake, version, its_own, stage)
    missing = [n for n in range(expected) if reports.read(lake, version, stage, n) is None]
    if missing:
        _not_done(version, its_own, stage, f", {len(missing)} of {expected} parts are missing")
    return expected


def expected_shards(lake: Lake, version: str, its_own: tuple[order.Stage, ...], stage: str) -> int:
    """Return how many shards a stage will have, whether the parts that it reads are there or not."""
    if order.stage(stage, its_own).scope == "corpus":
        return 1
    while previous := order.previous_stage(stage, its_own):
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
        f"{explain_older_order(version, its_own)}"
    )


def explain_older_order(version: str, its_own: tuple[order.Stage, ...]) -> str:
    """Return a hint if a build of an earlier version has another order of stages than Airflow's tasks, else "" ."""
    if [one.name for one in its_own] == list(order.NAMES):
        return ""
    return (
        f" (the build has an earlier version's order of stages; python -m chimed run all --build {version} follows it)"
    )


def read_stage(lake: Lake, version: str, stage: str, part: int | None = None) -> pl.DataFrame:
    """Read a finished stage's kept and derived rows, all of them or one part.

    Raises SpoiltFile if a part differs from what the stage wrote.
    """
    parts = range(count_parts(lake, version, stage)) if part is None else [part]
    this = order.stage(stage, stages_of(lake, version))
    frames = [_read_part(lake, version, this, n) for n in parts]
    return pl.concat(frames) if frames else pl.DataFrame(schema=RECORD_COLUMNS)


def _read_part(lake: Lake, version: str, this: order.Stage, part: int) -> pl.DataFrame:
    import pyarrow.parquet as pq

    path = layout.build(version, this.name, layout.kept(part))
    told, mend = reports.recorded_contents(lake, version, this, part), reports.repair_hint(version, this, part)
    with lakes.parquet_errors(path):
        return lakes.table_of(pq.ParquetFile(read_checked(lake, path, told, mend)), schema=RECORD)


def read_dropped(lake: Lake, version: str, stage: str) -> pl.DataFrame:
    """Read a stage's dropped and failed rows, and derived rows that a gate rejected (columns of `DROPPED`)."""
    folder = layout.build(version, stage)
    told = {name: one for report in reports.read_all(lake, version, stage) for name, one in _written(report).items()}
    names = [name for name in lakes.names(lake, folder) if name.startswith("dropped-")]
    for name in names:
        said = recorded_file(told, name)
        check_file(lake, f"{folder}/{name}", said, f"chimed audit {version} says what to do", whole=False)
    frames = [lakes.read_table(lake, f"{folder}/{name}", schema=DROPPED) for name in names]
    return pl.concat(frames) if frames else pl.DataFrame(schema=DROPPED_COLUMNS)


def _written(report: dict[str, Any]) -> dict[str, Any]:
    written = report.get("written")
    return written if isinstance(written, dict) else {}
