"""Check what a build will need before it begins: `python -m chimed check`. Ours.

A build asks its judge and reads its exams in its last stages, so a mistake would show after days. Each check returns a
sentence about what is there, or raises one about what is wrong and how to fix it. Only what the build's options need
is checked, and servers only if they should be running: those that a run starts itself are checked after their start.
"""

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from chimed.build.builds import parse_options
from chimed.build.context import StageContext, open_context
from chimed.build.order import STAGES
from chimed.characters import short
from chimed.errors import UserError
from chimed.llm import client, servers
from chimed.llm import identity as identities
from chimed.llm.protocol import Server
from chimed.operations import machine
from chimed.printing import safe
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.store import TAKEDOWNS, open_store

MIN_FREE_BYTES = 2 * 1024**3  # free bytes needed for tables, logs and temporary files
PROBE_TIMEOUT = 60  # seconds for a question to another interpreter
SECOND_OPINION = ("translate", "generate_qa")  # stages that ask the judge if the option is on


@dataclass(frozen=True)
class Finding:
    """what: the thing that was checked. fine: whether it is right. said: what is there, or what is wrong and how to fix
    it.
    """

    what: str
    fine: bool
    said: str


def build_context(options: dict[str, Any], build: str | None = None) -> StageContext:
    """Return the context of a build with these options, or of an open build. Raises UserError for bad options."""
    if build:
        return open_context(build)
    return StageContext("", parse_options(options), lakes.open_lake(), cache(open_store), settings())


def run_checks(work: StageContext, only_servers: bool = False) -> list[Finding]:
    """Check everything that the build's options need, or only the model servers, which must then be running."""
    return [_finding(what, look) for what, look in (_server_checks(work) if only_servers else _all_checks(work))]


def print_findings(findings: list[Finding]) -> None:
    """Print one line for each finding."""
    for one in findings:
        print(f"{'ok   ' if one.fine else 'WRONG'}  {one.what:14} {safe(one.said)}")


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except UserError as error:
        return Finding(what, False, str(error))


def _all_checks(work: StageContext) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "machine", lambda: machine.told(work.settings)
    yield "lake", lambda: check_lake(work)
    yield "store", lambda: check_store(work)
    yield "disk", lambda: check_disk(work)
    if "decontaminate" not in work.options.skip:
        yield "exams", lambda: check_exams(work)
    if "perplexity" not in work.options.skip:
        yield "GPU work", lambda: check_gpu_work(work)
    if not _asks_models(work):
        return
    if work.settings.serve == "external":
        yield from _server_checks(work)
    else:
        yield "model servers", lambda: check_startable_servers(work)


def _server_checks(work: StageContext) -> Iterator[tuple[str, Callable[[], str]]]:
    where = work.settings
    yield "generator", lambda: check_server(where.llm_url, "CHIMED_LLM_URL", client.generator_server, work)
    if _asks_judge(work):
        yield "judge", lambda: check_server(where.judge_url, "CHIMED_JUDGE_URL", client.judge_server, work)


def _asks_models(work: StageContext) -> bool:
    """Return whether a stage of the build asks a model."""
    asking = [one.name for one in STAGES if one.asks_models and one.name not in work.options.skip]
    return any(name != "screen" or work.options.screen_model for name in asking)


def _asks_judge(work: StageContext) -> bool:
    judged = ("prefer", "rate", *(SECOND_OPINION if work.options.second_opinion else ()))
    return any(stage not in work.options.skip for stage in judged)


# --- places -----------------------------------------------------------------------------------------------------


def check_lake(work: StageContext) -> str:
    """Check that the lake can be written. Raises UserError."""
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
    folders = {"CHIMED_SCRATCH": Path(work.settings.scratch)}
    if "://" not in work.settings.data:
        folders["CHIMED_DATA"] = Path(work.settings.data)
    said = []
    for setting, folder in folders.items():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE_BYTES:
            raise UserError(
                f"only {free / 1e9:.1f} GB are free at {folder} ({setting}), a build needs at least "
                f"{MIN_FREE_BYTES / 1e9:.1f}; free some space or name another folder"
            )
        said.append(f"{free / 1e9:.0f} GB free at {folder}")
    return "; ".join(said)


def check_exams(work: StageContext) -> str:
    """Check that the exams to decontaminate against can be read. Raises UserError."""
    from chimed.text.exams.exam_questions import read_questions

    return f"{len(read_questions(work.settings.exams))} exam questions in {work.settings.exams}"


# --- GPU work ---------------------------------------------------------------------------------------------------


def check_gpu_work(work: StageContext) -> str:
    """Check that perplexity and training can run and can reach lake and store. Raises UserError with all that is wrong.

    In a cluster these run in a pod, which sees neither this machine's folders nor its SQLite file.
    """
    wrong = _faults_in_pods(work) if work.settings.compute == "kubernetes" else _faults_here(work)
    if wrong:
        raise UserError("; ".join(wrong))
    where = work.settings
    pods = f"pods with {where.k8s_gpu_product} in namespace {where.k8s_namespace} run {where.k8s_image}"
    return pods if where.compute == "kubernetes" else f"{where.models_python} runs it on this machine"


def _faults_in_pods(work: StageContext) -> list[str]:
    where, wrong = work.settings, []
    if "://" not in where.data and not (where.k8s_volume and Path(where.data).is_relative_to("/data")):
        wrong.append(
            f"pods cannot see the lake {where.data}: CHIMED_DATA must be an s3:// URL, or a folder under /data on the "
            "claim that CHIMED_K8S_VOLUME names"
        )
    if where.store.startswith("sqlite"):
        wrong.append("pods cannot reach a store in an SQLite file: CHIMED_STORE must be postgresql://…")
    for setting in ("perplexity_model", "exams"):
        value = getattr(where, setting) or ""
        if value.startswith(("/", ".")) and not (where.k8s_volume and Path(value).is_relative_to("/data")):
            wrong.append(f"pods cannot see {value}: CHIMED_{setting.upper()} must be under /data on CHIMED_K8S_VOLUME")
    for setting in ("k8s_image", "k8s_gpu_product", "k8s_namespace", "k8s_secret", "k8s_service_account"):
        if not getattr(where, setting).strip():
            wrong.append(f"CHIMED_{setting.upper()} is empty")
    return wrong


def _faults_here(work: StageContext) -> list[str]:
    where, wrong = work.settings, []
    if not Path(where.models_python).exists():
        wrong.append(
            f"no interpreter at {where.models_python}; run make install, or set CHIMED_MODELS_PYTHON to the models' "
            "environment"
        )
    model = where.perplexity_model
    if model.startswith(("/", ".")) and not (Path(model) / "config.json").exists():
        wrong.append(
            f"no model in {model}: CHIMED_PERPLEXITY_MODEL must be a folder with a config.json, or a hub's name"
        )
    return wrong


# --- model servers ----------------------------------------------------------------------------------------------


def check_server(url: str, setting: str, named: Callable[[StageContext, int], Server], work: StageContext) -> str:
    """Check that a server answers, identifies itself, is not the other one, and obeys constraints. Raises UserError."""
    try:
        identities.list_models(url, work.settings.llm_key.get_secret_value())
    except identities.Unreachable as error:
        raise UserError(f"no model server answers at {url} ({error}); start it, or correct {setting}") from None
    server = named(work, 1)
    dialect = client.probe_dialect(server, work)
    if dialect.constraint == "none" and not work.settings.llm_unconstrained:
        raise UserError(
            f"{server.url} ignores structured_outputs, so an answer could be any sentence; serve the model "
            "with vLLM (--structured-outputs-config.backend xgrammar), or set CHIMED_LLM_UNCONSTRAINED=true to "
            "accept free replies"
        )
    return f"{server.who} answers at {server.url}, limited to allowed answers by {dialect.constraint}"


def check_startable_servers(work: StageContext) -> str:
    """Check that a run can start the servers itself, and that they will be two different models. Raises UserError."""
    where = work.settings
    generator, judge = servers.configured_servers(where)
    wrong = []
    if where.serve == "local":
        if not Path(where.models_python).exists():
            wrong.append(f"no interpreter at {where.models_python} to start vLLM with; correct CHIMED_MODELS_PYTHON")
        elif not _has_vllm(where.models_python):
            wrong.append(f"{where.models_python} has no vLLM; run make install")
        if urlsplit(generator.url).port == urlsplit(judge.url).port:
            wrong.append("CHIMED_LLM_URL and CHIMED_JUDGE_URL use the same port; give each server its own")
        for server, setting in ((generator, "CHIMED_LLM_CHECKPOINT"), (judge, "CHIMED_JUDGE_CHECKPOINT")):
            path = Path(server.checkpoint)
            if server.checkpoint.startswith(("/", ".")) and identities.hash_checkpoint(path) is None:
                wrong.append(
                    f"no model in {server.checkpoint}: {setting} must be a folder with weights, or a hub's name"
                )
    elif urlsplit(generator.url).hostname == urlsplit(judge.url).hostname:
        wrong.append("CHIMED_LLM_URL and CHIMED_JUDGE_URL name one host; give each service its own")
    identity = identities.identify_checkpoint(generator.checkpoint, where.llm_identity)
    same = identity == identities.identify_checkpoint(judge.checkpoint, where.judge_identity)
    if same and _asks_judge(work) and not work.options.judge_is_generator:
        wrong.append(
            f"the judge is the generator: both load {identity}; set CHIMED_JUDGE_CHECKPOINT to another model (or "
            "allow it by the build's option judge_is_generator)"
        )
    if wrong:
        raise UserError("; ".join(wrong))
    return f"{identity} and {judge.checkpoint} can be started ({where.serve}); they are checked after their start"


def _has_vllm(python: str) -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, timeout=PROBE_TIMEOUT).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
