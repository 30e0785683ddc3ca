"""Check what a build will need before it begins: `python -m chimed check`. Ours.

A build asks its judge and reads its exams in its last stages, so a mistake would show after days. Each check returns a
sentence about what is there, or raises one about what is wrong and how to fix it. Only what the build's options need
is checked, and servers only if they should be running: those that a run starts itself are checked after their start.
"""

import csv
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from chimed.build.builds import parse_options
from chimed.build.context import StageContext, open_context
from chimed.build.order import STAGES
from chimed.characters import short
from chimed.errors import UserError
from chimed.llm import connecting, generators
from chimed.model_addresses import read_addresses
from chimed.operations import machine
from chimed.operations.check_models import (
    asks_judge,
    check_gpu_work,
    check_gpus,
    check_recipe,
    check_server,
    check_startable_servers,
)
from chimed.operations.check_people import check_contact, check_metrics, check_notices
from chimed.operations.findings import Finding, Notable
from chimed.printing import safe
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.store import open_store
from chimed.storage.store_tables import TAKEDOWNS

MOST_FAULTS = 5  # of the exams' files, told one by one
MIN_FREE_BYTES = 2 * 1024**3  # free bytes needed for tables, logs and temporary files


def build_context(options: dict[str, Any], build: str | None = None) -> StageContext:
    """Return the context of a build with these options, or of an open build. Raises UserError for bad options."""
    if build:
        return open_context(build)
    return StageContext("", parse_options(options), lakes.lake_at(), cache(open_store), settings())


def run_checks(work: StageContext, only_servers: bool = False, training: bool = True) -> list[Finding]:
    """Check everything that the build's options need, or only the model servers, which must then be running.

    training: whether a training may follow the build, whose recipe is then checked, too.
    """
    looks = _server_checks(work) if only_servers else _all_checks(work, training and work.settings.train)
    return [_finding(what, look) for what, look in looks]


def check_training(work: StageContext, recipe: str) -> list[Finding]:
    """Check only that a recipe exists, is valid, and has the GPUs that it needs."""
    return [_finding("recipe", lambda: check_recipe(work, recipe))]


def print_findings(findings: list[Finding]) -> None:
    """Print one line for each finding."""
    for one in findings:
        level = "ok   " if one.fine else "WRONG" if one.stops else "LOOK "
        print(f"{level}  {one.what:14} {safe(one.said)}")


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except Notable as error:
        return Finding(what, False, str(error), stops=False)
    except UserError as error:
        return Finding(what, False, str(error))


def _all_checks(work: StageContext, training: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "machine", lambda: machine.told(work.settings)
    yield "lake", lambda: check_lake(work)
    yield "store", lambda: check_store(work)
    yield "disk", lambda: check_disk(work)
    yield "contact", lambda: check_contact(work)
    yield "notices", lambda: check_notices(work)
    if work.settings.statsd:
        yield "metrics", lambda: check_metrics(work)
    if "decontaminate" not in work.options.skip:
        yield "exams", lambda: check_exams(work)
    if "perplexity" not in work.options.skip:
        yield "GPU work", lambda: check_gpu_work(work)
    if work.settings.compute == "local":
        yield "GPUs", lambda: check_gpus(work)
    if training:
        yield "recipe", lambda: check_recipe(work)
    if not _asks_models(work):
        return
    if work.settings.serve == "external":
        yield from _server_checks(work)
    else:
        yield "model servers", lambda: check_startable_servers(work)
        yield from _further_generators(work)  # nobody starts these


def _server_checks(work: StageContext) -> Iterator[tuple[str, Callable[[], str]]]:
    where = work.settings
    yield "generator", lambda: check_server(where.llm_url, "CHIMED_LLM_URL", connecting.generator_server, work)
    yield from _further_generators(work)
    if asks_judge(work):
        judge = generators.impartial_judge if _makes_preferences(work) else connecting.judge_server
        yield "judge", lambda: check_server(where.judge_url, "CHIMED_JUDGE_URL", judge, work)


def _further_generators(work: StageContext) -> Iterator[tuple[str, Callable[[], str]]]:
    """Look at each generator beside the first, where preferences are made: the servers must be there already."""
    for number, one in enumerate(read_addresses(work.settings.more_generators) if _makes_preferences(work) else (), 2):
        named = partial(generators.distinct_generator, one)
        yield f"generator {number}", partial(check_server, one.url, generators.SETTING, named, work)


def _makes_preferences(work: StageContext) -> bool:
    return "prefer" not in work.options.skip


def _asks_models(work: StageContext) -> bool:
    """Return whether a stage of the build asks a model."""
    asking = [one.name for one in STAGES if one.asks_models and one.name not in work.options.skip]
    return any(name != "screen" or work.options.screen_model for name in asking)


# --- places -----------------------------------------------------------------------------------------------------


def check_lake(work: StageContext) -> str:
    """Check that the lake can be written. Raises UserError, and Notable where its folder is not there yet."""
    if fault := lakes.missing_folder(work.lake):  # a check makes nothing: the name may be a slip of the pen
        raise Notable(f"{fault}; what first writes to it (a crawl, ingest) makes it")
    path = f"check-{uuid.uuid4().hex[:8]}"
    try:
        lakes.write_bytes(work.lake, path, b"chimed")
        lakes.remove(work.lake, path)
    except Exception as error:  # each file system has its own errors
        raise UserError(
            f"the lake {work.settings.data} cannot be written ({type(error).__name__}: {short(str(error), 200)}); "
            "make it writable, or correct CHIMED_DATA"
        ) from None
    return f"{work.settings.data} can be written"


def check_store(work: StageContext) -> str:
    """Check that the store answers, has this version's schema and can be written. Raises UserError."""
    row = {"target": f"check:{uuid.uuid4().hex}", "reason": "check", "created": datetime.now(UTC)}
    engine = work.store.engine
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(insert(TAKEDOWNS), row)
            transaction.rollback()
    except SQLAlchemyError as error:
        raise UserError(
            f"the store {engine.url.render_as_string()} cannot be written ({short(str(error), 200)}); give its "
            "user write access, or correct CHIMED_STORE"
        ) from None
    return f"{engine.url.render_as_string()} can be written, and its schema is up to date"


def check_disk(work: StageContext) -> str:
    """Check that there is free space where this machine writes files. Raises UserError."""
    said = []
    for setting, folder in machine.disks(work.settings).items():
        _, _, free = machine.usage(folder)
        if free < MIN_FREE_BYTES:
            raise UserError(
                f"only {free / 1e9:.1f} GB are free at {folder} ({setting}), a build needs at least "
                f"{MIN_FREE_BYTES / 1e9:.1f}; free some space or name another folder"
            )
        said.append(f"{free / 1e9:.0f} GB free at {folder}")
    return "; ".join(said)


def check_exams(work: StageContext) -> str:
    """Check that the exams can be read, to decontaminate against and to sit. Raises UserError for all faults."""
    from chimed.evaluate import exams
    from chimed.text.exams.exam_questions import read_questions

    where = work.settings
    wrong: list[str] = []
    files = sorted(Path(where.exams or "").glob("test/*.csv"))
    for file in files:
        examples = file.parent.parent / "dev" / file.name
        try:
            exams.read_exam(file)
            if examples.exists():
                exams.read_exam(examples)
            elif where.evaluate_shots:
                wrong.append(f"{examples} is not there, and CHIMED_EVALUATE_SHOTS asks for examples")
        except UserError as error:
            wrong.append(str(error))
        except (OSError, ValueError, csv.Error) as error:  # a file that is no text, or cannot be opened
            wrong.append(f"{file} cannot be read ({type(error).__name__})")
    if wrong:
        more = f"; and {len(wrong) - MOST_FAULTS} more" if len(wrong) > MOST_FAULTS else ""
        again = f"fetch them anew: python -m chimed exams {where.exams}"
        raise UserError(f"{'; '.join(wrong[:MOST_FAULTS])}{more}; correct the files, or {again}")
    questions = read_questions(where.exams)
    lacking = [name for name in exams.PAPER if name not in {file.stem for file in files}]
    without = f", without the paper's {', '.join(lacking)}" if lacking else ""
    return f"{len(questions)} exam questions of {len(files)} exams in {where.exams}{without}"
