"""Trains the recipe's model on a release in three phases and measures it before and after each.

Starts when `build_dataset` has made a release, or by hand for any release. Continued pre-training, then supervised
fine-tuning, then preference tuning, each from where the one before ended; the base model and every phase are scored on
the paper's benchmarks, and the comparison says which gains are more than chance.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, PartitionedAssetTimetable

from chimed.settings import settings
from chimed_airflow import titles
from chimed_airflow.assets import RELEASE as RELEASES
from chimed_airflow.notice import FailureNotice
from chimed_airflow.pods import DeleteLeftovers
from chimed_airflow.tasks import DEFAULTS, ChimedOperator, gpus, numbers, where

RELEASE = "{{ ti.xcom_pull(task_ids='find_release') }}"
ON = ["--recipe={{ params.recipe }}", f"--release={RELEASE}"]
PHASES = {
    "cpt": "Continued pre-training on the pretrain subset.",
    "sft": "Supervised fine-tuning on the sft subset, from cpt's checkpoint.",
    "dpo": "Preference tuning on the preference subset, from sft's checkpoint.",
}
PARAMS = {
    "recipe": Param(
        settings().recipe,
        type="string",
        pattern="^[\\w.-]+$",
        title="Recipe",
        description="which model is trained, and how: the name of a folder of train/recipes",
    ),
    "release": Param(
        None,
        type=["string", "null"],
        pattern="^[\\w.]*$",
        title="Release",
        description="a release's version, or latest; empty: the release that started the run, else the latest",
    ),
}


with DAG(
    dag_id="train_models",
    dag_display_name=titles.train(),
    description="Trains the recipe's model on a release in three phases, and scores it before and after each",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=RELEASES),
    catchup=False,
    max_active_runs=1,
    tags=["chimed", "train"],
    default_args=DEFAULTS,
    params=PARAMS,
    user_defined_macros={"gpus": gpus},
    on_failure_callback=FailureNotice(),
):
    find_release = ChimedOperator(
        task_id="find_release",
        doc_md="Fixes the release that all tasks of this run use, even if a newer one appears meanwhile.",
        command=["find-release", "{{ params.release or partition_key or 'latest' }}"],
        execution_timeout=timedelta(minutes=10),
    )
    compare = ChimedOperator(
        task_id="compare",
        doc_md="Compares scores before and after (the paper's Table 6), with intervals and paired tests.",
        command=["compare", *ON],
        execution_timeout=timedelta(minutes=30),
    )
    trainer, train_on = where("train")
    scorer, score_on = where("evaluate")
    previous = find_release
    for phase in ("base", *PHASES):
        if phase != "base":
            task = trainer(
                task_id=phase,
                doc_md=PHASES[phase],
                command=["train", phase, *ON],
                retries=1,
                returns=numbers,
                execution_timeout=timedelta(days=4),
                **train_on,
            )
            previous >> task
            previous = task
        evaluate = scorer(
            task_id=f"evaluate_{phase}",
            doc_md=f"Scores {'the base model' if phase == 'base' else f'the model after {phase}'} with lm-eval.",
            command=["evaluate", phase, *ON],
            returns=numbers,
            execution_timeout=timedelta(hours=12),
            **score_on,
        )
        previous >> evaluate >> compare
    if settings().compute == "kubernetes":
        leftovers = DeleteLeftovers(
            task_id="delete_leftovers",
            doc_md=DeleteLeftovers.__doc__,
            last="compare",
            execution_timeout=timedelta(minutes=10),
        ).as_teardown(on_failure_fail_dagrun=True)
        compare >> leftovers
