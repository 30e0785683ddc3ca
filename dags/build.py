"""Builds a release from every record the lake has: clean, score, screen, label, translate, generate, compare, release.

A build starts by itself once all five sites have their week, or by hand. A backfill starts none; the next build takes
its records. Cheap stages are always done in full; every LLM reply and every perplexity is kept in the store by content,
so a new build pays only for what changed. A stage whose ledger does not close (read = kept + dropped + failed) fails.

With `require_approval` a person reads the ledger, and the changes to the last release, before there is a new one. The
release starts `train_models`, unless `train` is switched off.
"""

from datetime import timedelta
from functools import reduce
from operator import and_

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseOperator, PartitionedAssetTimetable, TaskGroup, XComArg
from airflow.sdk.definitions.mappedoperator import MappedOperator

from chimed.build.order import STAGES, Stage, Step, previous_stage
from chimed.settings import settings
from chimed_airflow import approval, titles
from chimed_airflow.assets import RELEASE, records
from chimed_airflow.model_server import model_servers, serves_on_gpus
from chimed_airflow.notice import FailureNotice
from chimed_airflow.params import build_options, build_params
from chimed_airflow.pods import DeleteLeftovers
from chimed_airflow.summaries import build_note
from chimed_airflow.tasks import (
    DEFAULTS,
    ChimedOperator,
    LedgerOperator,
    counts,
    figures,
    first_shards,
    group_name,
    nothing,
    numbers,
    part_name,
    range_name,
    ranges,
    shard_names,
    shard_numbers,
    stage_doc,
    step_doc,
    version,
    where,
    with_models,
)

BUILD = "{{ ti.xcom_pull(task_ids='open_build') }}"
TIMEOUT = {"cpu": timedelta(hours=6), "gpu": timedelta(hours=24), "llm": timedelta(hours=48)}
GROUPS = {  # what a reader sees of the graph at first; tasks keep their own names
    "read": "turns pages into records, cleans and deduplicates them",
    "score": "measures perplexity, and filters by it",
    "models": "the stages that ask the generator or the judge, and their servers",
    "release": "measures diversity, removes exam questions, asks for approval where required, makes the release and "
    "prints the ledger",
}


def group_of(stage: Stage) -> str:
    """Return the task group of a stage."""
    names = [one.name for one in STAGES]
    place, asking = names.index(stage.name), [names.index(one.name) for one in STAGES if one.asks_models]
    if place > asking[-1]:
        return "release"
    if place >= asking[0]:
        return "models"
    return "score" if place >= names.index("perplexity") else "read"


def stage_task(stage: Stage, shards: XComArg) -> BaseOperator | MappedOperator:
    """Return the task of a stage: mapped over the parts, or a single task for `release`."""
    operator, arguments = where(stage.needs)
    arguments |= {
        "task_id": stage.name,
        "task_display_name": stage.title,
        "doc_md": stage_doc(stage),
        "command": ["run", stage.name, "--build", BUILD],
        "execution_timeout": TIMEOUT[stage.needs],
        "returns": counts,
    }
    if arguments.get("shards", 1) > 1:
        each = arguments["shards"]
        firsts = PythonOperator(
            task_id=f"{stage.name}_groups",
            doc_md=f"Puts every {each} shards together, for one pod that loads the model once (CHIMED_K8S_POD_SHARDS).",
            python_callable=first_shards,
            op_args=[shards, each],
            execution_timeout=timedelta(minutes=10),
        )
        names = group_name("count_shards", each)
        return operator.partial(**arguments, map_index_template=names).expand(shard=firsts.output)
    if stage.name == "release":
        return operator(**arguments, outlets=[RELEASE], asset_key=BUILD, announce="{{ params.train }}")
    return operator.partial(**arguments, map_index_template=part_name("count_shards")).expand(shard=shards)


def step_task(stage: Stage, step: Step, shards: XComArg, among: BaseOperator | None) -> BaseOperator | MappedOperator:
    """Return the task of a step: mapped over parts or ranges, or a single task whose result is the list of ranges.

    among: the step whose result is the ranges to map over.
    """
    operator, arguments = where(step.needs)
    arguments |= {
        "task_id": f"{stage.name}_{step.name}",
        "task_display_name": f"{stage.title}: {step.name}",
        "doc_md": step_doc(stage, step),
        "command": ["run", stage.name, "--build", BUILD, "--step", step.name],
        "execution_timeout": TIMEOUT[step.needs],
    }
    if step.over == "part":
        names = part_name("count_shards")
        return operator.partial(**arguments, returns=figures, map_index_template=names).expand(shard=shards)
    if step.over == "range" and among is not None:
        names = range_name(among.task_id)
        return operator.partial(**arguments, returns=figures, map_index_template=names).expand(shard=among.output)
    return operator(**arguments, returns=ranges)


with DAG(
    dag_id="build_dataset",
    dag_display_name=titles.build(),
    description="Makes a versioned release of everything crawled so far, once all sites have their week",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=reduce(and_, records().values())),
    catchup=False,
    max_active_runs=1,
    tags=["chimed", "build"],
    default_args=DEFAULTS,
    params=build_params(),
    user_defined_macros={"options": build_options},
    on_failure_callback=FailureNotice(),
):
    groups = {  # a group may not have the name of a task, of which `release` is one
        name: TaskGroup(f"{name}_stages", group_display_name=name, prefix_group_id=False, tooltip=what)
        for name, what in GROUPS.items()
    }
    with groups["read"]:
        open_build = ChimedOperator(
            task_id="open_build",
            doc_md="Checks everything that the build will need, then opens a version with fixed crawls and options. "
            "Run again, it gives the same version.",
            first=[
                *("check", "--options={{ options(params) | tojson }}"),
                "{{ '' if params.train else '--no-training' }}",
            ],
            command=[
                *("build", "--options={{ options(params) | tojson }}", "--run={{ run_id }}"),
                "{{ '--partition=%s' % partition_key if partition_key else '' }}",
            ],
            returns=version,
            execution_timeout=timedelta(minutes=10),
            **with_models(),  # what it looks for is there
        )
        count_shards = ChimedOperator(
            task_id="count_shards",
            doc_md="Counts and names the shards of crawls that the first stage runs on.",
            command=["shards", STAGES[0].name, "--build", BUILD, "--names"],
            returns=shard_numbers,
            tells=shard_names,
            execution_timeout=timedelta(minutes=10),
        )
    open_build >> count_shards
    tasks, previous, shards = {}, count_shards, count_shards.output
    asking: list[BaseOperator | MappedOperator] = []  # the tasks that need the model servers, in order
    for stage in STAGES:
        with groups[group_of(stage)]:
            last, told = previous, None
            for step in stage.steps:
                taken = step_task(stage, step, shards, told)
                last >> taken
                asking += [taken] if step.needs == "llm" else []
                last, told = taken, taken if step.over == "all" else told
            tasks[stage.name] = task = stage_task(stage, shards)
            asking += [task] if stage.needs == "llm" else []
        [previous, last] >> task
        previous = task

    first = next(stage for stage in STAGES if stage.needs == "llm")
    with groups["models"]:
        begin, end = model_servers(BUILD)
    # On a processor the servers load while the first stages work; elsewhere they would hold GPUs that nobody uses yet,
    # and that perplexity or a training waits for.
    (tasks[previous_stage(first.name).name] if serves_on_gpus() else open_build) >> begin
    begin >> asking[0]
    if end:
        asking[-1] >> end
    if settings().compute == "kubernetes":
        with groups["score"]:
            leftovers = DeleteLeftovers(
                task_id="delete_leftovers", doc_md=DeleteLeftovers.__doc__, execution_timeout=timedelta(minutes=10)
            ).as_teardown()
        tasks["perplexity"] >> leftovers

    with groups["release"]:  # a person is asked between the last table and the release
        approve = approval.ApproveRelease(
            task_id="approve",
            doc_md=approval.__doc__,
            build=BUILD,
            required="{{ params.require_approval }}",
            execution_timeout=timedelta(minutes=30),  # to put the question; the answer has days
        )
        ledger = LedgerOperator(
            task_id="ledger",
            doc_md=LedgerOperator.__doc__,
            command=["ledger", BUILD, "--json"],
            returns=nothing,
            note=build_note,
            execution_timeout=timedelta(minutes=30),
        ).as_teardown(on_failure_fail_dagrun=True)
        retention = ChimedOperator(
            task_id="retention",
            doc_md="Removes the text of rows that were dropped long ago from older builds, as the settings say: by "
            "default after 90 days for rows that were dropped for an identifier or a name.",
            command=["retention"],
            returns=numbers,
            execution_timeout=timedelta(hours=6),
        )
    tasks[previous_stage("release").name] >> approve >> tasks["release"] >> [retention, ledger]
