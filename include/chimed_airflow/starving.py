"""Tasks that wait for slots of a pool that can never give them: Airflow's scheduler leaves them there without a word.

A task that asks for more slots than its pool has, or for a pool that is gone, stays scheduled for ever. A task cannot
read the pools, but sees it from the tasks: some of a pool's wait, though none of that pool's runs.
"""

from collections.abc import Callable
from typing import Any

from airflow.configuration import conf

from chimed.build.order import STAGES
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed_airflow.pools import GPUS, wanted

HOLD = ["queued", "running", "deferred", "restarting"]  # states of a task that has its slots
WAIT = ["scheduled"]
AGAIN = 60.0  # seconds between two looks: a task is scheduled for a moment before it is queued
PHASES = ("cpt", "sft", "dpo", "kto", "orpo", "grpo")  # chimed.train.recipe.EVERY_PHASE, which brings Polars

Tasks = dict[str, list[str]]  # a DAG's id, and its tasks


def users_of_pools() -> dict[str, Tasks]:
    """Return which tasks take slots of which pool."""
    needs = {need: [one.name for one in STAGES if one.needs == need] for need in ("gpu", "llm")}
    scored = [f"evaluate_{phase}" for phase in ("base", *PHASES)]
    crawls: dict[str, Tasks] = {
        f"site_{source}": {f"crawl_{source}": ["crawl", "extract"]} for source in source_names()
    }
    return {
        GPUS: {"build_dataset": [*needs["gpu"], "serve_up"], "train_models": [*PHASES, *scored]},
        "llm": {"build_dataset": needs["llm"]},
        **{pool: tasks for pool, tasks in crawls.items() if pool in wanted()},
    }


def alarms(ti: Any, wait: Callable[[float], None]) -> list[dict[str, str]]:
    """Return an alarm for each pool whose tasks wait, twice in a row, though none of them runs.

    ti: the running task's instance, which counts others. wait: waits for so many seconds.
    """
    users = users_of_pools()
    first = [pool for pool in users if _starves(ti, users[pool])]
    if not first:
        return []
    wait(AGAIN)
    return [_alarm(ti, pool, users[pool]) for pool in first if _starves(ti, users[pool]) and not _crowded(ti, users)]


def _starves(ti: Any, tasks: Tasks) -> bool:
    return bool(_count(ti, tasks, WAIT)) and not _count(ti, tasks, HOLD)


def _crowded(ti: Any, users: dict[str, Tasks]) -> bool:
    """Return whether so many tasks run that others wait for their turn, whatever their pool has."""
    running = {dag: ti.get_ti_count(dag_id=dag, states=HOLD) for tasks in users.values() for dag in tasks}
    return (
        sum(running.values()) + 1 >= conf.getint("core", "parallelism")  # and this task itself
        or max(running.values()) >= conf.getint("core", "max_active_tasks_per_dag")
    )


def _count(ti: Any, tasks: Tasks, states: list[str]) -> int:
    return sum(ti.get_ti_count(dag_id=dag, task_ids=names, states=states) for dag, names in tasks.items())


def _alarm(ti: Any, pool: str, tasks: Tasks) -> dict[str, str]:
    waiting = [dag for dag, names in tasks.items() if _count(ti, {dag: names}, WAIT)]
    many = settings().gpus
    asked = f"; CHIMED_GPUS is {many}, and a training on one machine asks for as many slots" if pool == GPUS else ""
    return {
        "kind": "pool",
        "about": pool,
        "said": f"tasks of {' and '.join(waiting)} wait for slots of the pool {pool} though none of its tasks runs: a "
        f"task that asks for more slots than its pool has never starts{asked}. Raise the pool's slots (Admin, Pools), "
        "make it anew where it is gone (python -m chimed_airflow.pools), or see whether the DAG is paused and the "
        "scheduler at work",
    }
