"""Builds a release from every record the lake has: clean, score, screen, label, translate, generate, compare, release.

Runs once when all five sites have their week, or by hand; a backfill starts none, and the next build takes its records.
Cheap stages are always done in full; every LLM reply and every perplexity is kept in the store by content, so a new
build pays only for what changed. Each stage's ledger closes (read = kept + dropped + failed) or the stage fails. With
`require_approval` a person reads it, and the changes to the last release, before there is a new one. The release starts
`train_models`.
"""

from contextlib import nullcontext
from datetime import timedelta
from functools import reduce
from operator import and_

from airflow.sdk import DAG, BaseOperator, PartitionedAssetTimetable, TaskGroup, XComArg
from airflow.sdk.definitions.mappedoperator import MappedOperator

from chimed.settings import settings
from chimed.stages import STAGES, Stage, before
from chimed_airflow import approval
from chimed_airflow.assets import RECORDS, RELEASE
from chimed_airflow.model_server import model_servers
from chimed_airflow.notice import FailureNotice
from chimed_airflow.params import build_options, build_params
from chimed_airflow.summaries import build_note
from chimed_airflow.tasks import (
    DEFAULTS,
    ChimedOperator,
    counts,
    nothing,
    parts,
    shard_numbers,
    stage_doc,
    version,
    where,
)

BUILD = "{{ ti.xcom_pull(task_ids='open_build') }}"
POOL = {"cpu": "default_pool", "gpu": "gpu", "llm": "llm"}
TIMEOUT = {"cpu": timedelta(hours=6), "gpu": timedelta(hours=24), "llm": timedelta(hours=48)}


def stage_task(stage: Stage, shards: XComArg) -> BaseOperator | MappedOperator:
    """A stage's task: one for a corpus stage, whose XCom is its parts; one a shard for the others."""
    operator, arguments = where(stage.needs)
    arguments |= {
        "task_id": stage.name,
        "doc_md": stage_doc(stage.name),
        "command": ["run", stage.name, "--build", BUILD],
        "pool": POOL[stage.needs],
        "execution_timeout": TIMEOUT[stage.needs],
        "returns": parts if stage.scope == "corpus" and stage.name != "release" else counts,
    }
    if stage.name == "release":
        return operator(**arguments, outlets=[RELEASE], asset_key=BUILD)
    if stage.scope == "corpus":
        return operator(**arguments)
    return operator.partial(**arguments).expand(shard=shards)


with DAG(
    dag_id="build_dataset",
    description="Make a versioned release of everything crawled so far",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=reduce(and_, RECORDS.values())),
    catchup=False,
    max_active_runs=1,
    tags=["chimed", "build"],
    default_args=DEFAULTS,
    params=build_params(),
    user_defined_macros={"options": build_options},
    on_failure_callback=FailureNotice(),
):
    open_build = ChimedOperator(
        task_id="open_build",
        doc_md="Looks at all that the build will need, then opens a version: fixes its crawls and options, and is the "
        "same when run again.",
        first=["check", "--options={{ options(params) | tojson }}"],
        command=["build", "--options={{ options(params) | tojson }}", "--run={{ run_id }}"],
        returns=version,
        execution_timeout=timedelta(minutes=10),
    )
    count_shards = ChimedOperator(
        task_id="count_shards",
        doc_md="Counts the shards of crawls that the first stage is mapped over.",
        command=["shards", STAGES[0].name, "--build", BUILD],
        returns=shard_numbers,
        execution_timeout=timedelta(minutes=10),
    )
    open_build >> count_shards
    group = TaskGroup(
        "language_models", prefix_group_id=False, tooltip="the stages that ask the generator or the judge"
    )
    tasks, previous, shards = {}, count_shards, count_shards.output
    for stage in STAGES:
        with group if stage.needs == "llm" else nullcontext():
            tasks[stage.name] = task = stage_task(stage, shards)
        previous >> task
        previous = task
        shards = task.output if stage.scope == "corpus" else shards

    llm = [stage.name for stage in STAGES if stage.needs == "llm"]
    with group:
        begin, end = model_servers(BUILD)
    # Here the servers load while the first stages work; in a cluster they would hold GPUs that nobody uses yet.
    (open_build if settings().serve == "local" else tasks[before(llm[0]).name]) >> begin
    begin >> tasks[llm[0]]
    if end:
        tasks[llm[-1]] >> end

    approve = approval.ApproveRelease(
        task_id="approve",
        doc_md=approval.__doc__,
        build=BUILD,
        required="{{ params.require_approval }}",
        execution_timeout=timedelta(minutes=30),  # to put the question; the answer has days
    )
    tasks[before("release").name] >> approve >> tasks["release"]
    ledger = ChimedOperator(
        task_id="ledger",
        doc_md="Prints what every stage read, kept, dropped and why; fails where a row is unaccounted for.",
        command=["ledger", BUILD, "--json"],
        returns=nothing,
        note=build_note,
        trigger_rule="none_failed",  # of a build that was not approved too
        execution_timeout=timedelta(minutes=30),
    )
    previous >> ledger
