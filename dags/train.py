"""Trains the recipe's model on a release in three phases and measures it before and after each.

Starts when `build_dataset` has made a release, or by hand for any release. Continued pre-training, then supervised
fine-tuning, then preference tuning, each from where the one before ended; the base model and every phase are scored on
the paper's benchmarks, and the comparison says which gains are more than chance. Further phases (kto, orpo, grpo) are
trained where the form asks for them.
"""

from datetime import timedelta

from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import DAG, BaseOperator, PartitionedAssetTimetable

from chimed.settings import settings
from chimed_airflow import titles
from chimed_airflow.assets import RELEASE as RELEASES
from chimed_airflow.notice import FailureNotice
from chimed_airflow.params import further_phases, train_params
from chimed_airflow.pods import DeleteLeftovers
from chimed_airflow.tasks import DEFAULTS, ChimedOperator, gpus, numbers, recipe, where

RELEASE = "{{ ti.xcom_pull(task_ids='find_release') }}"
ON = ["--recipe={{ recipe(params) }}", f"--release={RELEASE}"]
# each with what it starts from
PHASES = {
    "cpt": ("base", "Continued pre-training on the pretrain subset."),
    "sft": ("cpt", "Supervised fine-tuning on the sft subset, from cpt's checkpoint."),
    "dpo": ("sft", "Preference tuning on the preference subset, from sft's checkpoint."),
}
FURTHER = {
    "kto": ("sft", "Preference tuning on single good and bad answers, from sft's checkpoint."),
    "orpo": ("sft", "Fine-tuning and preference tuning in one, from sft's checkpoint."),
    "grpo": ("dpo", "Learning from rewards that can be checked, from dpo's checkpoint or the recipe's `after`."),
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
    params=train_params(FURTHER),
    user_defined_macros={"gpus": gpus, "recipe": recipe},
    on_failure_callback=FailureNotice(),
):
    find_release = ChimedOperator(
        task_id="find_release",
        doc_md="Checks that the run's recipe exists, is valid and has the GPUs it needs. Then fixes the release that "
        "all tasks of this run use, even if a newer one appears meanwhile.",
        first=["check", "--recipe={{ recipe(params) }}"],
        command=["find-release", "{{ params.release or partition_key or 'latest' }}"],
        execution_timeout=timedelta(minutes=10),
    )
    compare = ChimedOperator(
        task_id="compare",
        doc_md="Compares scores before and after (the paper's Table 6), with intervals and paired tests.",
        command=["compare", *ON],
        trigger_rule="none_failed_min_one_success",  # a further phase that was not asked for is skipped
        execution_timeout=timedelta(minutes=30),
    )
    trainer, train_on = where("train")
    scorer, score_on = where("evaluate")
    further = BranchPythonOperator(
        task_id="further",
        doc_md="Chooses the further phases that the form asks for; the others are skipped.",
        execution_timeout=timedelta(minutes=10),
        python_callable=further_phases,
    )
    find_release >> further
    trained = {"base": find_release}
    pods: list[BaseOperator] = []
    for phase, (start, text) in ({"base": ("", "")} | PHASES | FURTHER).items():
        if start:
            task = trainer(
                task_id=phase,
                doc_md=text,
                command=["train", phase, *ON],
                retries=1,
                returns=numbers,
                execution_timeout=timedelta(days=4),
                **train_on,
            )
            trained[start] >> task
            trained[phase] = task
            pods.append(task)
        evaluate = scorer(
            task_id=f"evaluate_{phase}",
            doc_md=f"Scores {'the base model' if phase == 'base' else f'the model after {phase}'} with lm-eval.",
            command=["evaluate", phase, *ON],
            returns=numbers,
            execution_timeout=timedelta(hours=12),
            **score_on,
        )
        pods.append(evaluate)
        trained[phase] >> evaluate >> compare
    further >> [trained[phase] for phase in FURTHER]
    # a recipe may have grpo start from one of them
    [trained["kto"], trained["orpo"]] >> trained["grpo"]
    trained["grpo"].trigger_rule = "none_failed_min_one_success"
    if settings().compute == "kubernetes":
        leftovers = DeleteLeftovers(
            task_id="delete_leftovers",
            doc_md=DeleteLeftovers.__doc__,
            last="compare",
            execution_timeout=timedelta(minutes=10),
        ).as_teardown(on_failure_fail_dagrun=True)
        # after every pod's task: `compare` is upstream_failed at the first failure, while other trainings still run
        [compare, *pods] >> leftovers
