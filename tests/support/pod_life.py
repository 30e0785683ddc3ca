"""Tasks with pods that end in every way, against the stand-in cluster: run as a program, `pod_life.py <ends> <seed>`.

It plays Airflow: it executes a task, watches its trigger, resumes it, retries it, and breaks off where Airflow can be
broken off. It prints how each attempt was ended. What is left in the cluster is for the caller to look at.
"""

import asyncio
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from airflow.sdk.exceptions import AirflowException, TaskDeferred
from kubernetes.client import CoreV1Api

from chimed_airflow import leftovers, pod_run
from chimed_airflow.pods import ChimedPod

ATTEMPTS = 3
ENDS = (
    *("works", "breaks", "marked while it is deferred", "marked while a worker has it", "runs past its time"),
    *("its worker dies after the pod is made", "its triggerer dies", "its trigger fails", "finds no GPU"),
)
CHECKPOINT = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), sys.exit(1))); time.sleep(3600)"
CODE = {"works": "print('done')", "breaks": "raise SystemExit(1)"}

pod_run.POLL = 1


class WorkerDied(BaseException):
    """What no `except` of a task catches."""


class Task(ChimedPod):
    """A task whose pod runs a few lines of Python."""

    code = ""

    def manifest(self) -> dict:
        """Return the pod, with other lines to run."""
        found = super().manifest()
        found["spec"]["containers"][0] |= {"command": ["python", "-c"], "args": [self.code]}
        return found


def context(number: int, attempt: int, store: dict) -> dict:
    """As much of a task's context as a pod's life asks for."""
    ti = SimpleNamespace(
        dag_id="train_models",
        task_id=f"task_{number}",
        run_id=f"manual__{number}",
        map_index=-1,
        try_number=attempt,
        start_date=datetime.now(UTC),
        xcom_push=lambda **_: None,
    )
    ti.xcom_push = lambda *_, **__: None
    kept = SimpleNamespace(get=store.get, set=store.__setitem__)
    return {"ti": ti, "run_id": ti.run_id, "dag": SimpleNamespace(), "task_state_store": kept}


async def event_of(trigger: object) -> dict:
    """What the trigger tells first."""
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger told nothing")


def attempt(number: int, tried: int, end: str, store: dict) -> str:
    """One attempt of a task; returns success, failed or died."""
    task = Task(task_id=f"task_{number}", command=["train", "cpt"], gpus=8, execution_timeout=timedelta(minutes=5))
    task.code = CODE.get(end, CHECKPOINT)
    if end in ("runs past its time", "finds no GPU"):
        task.execution_timeout = timedelta(seconds=2)
    if end == "finds no GPU":
        task.gpus = 1000
    known = context(number, tried, store)
    try:
        task.execute(known)
    except TaskDeferred as deferred:
        return followed(task, deferred.trigger, end, known)
    except WorkerDied:
        return "died"
    except AirflowException:
        return "failed"
    raise AssertionError("the task neither deferred nor failed")


def followed(task: Task, trigger: object, end: str, known: dict) -> str:
    """What becomes of a task that is deferred."""
    if end == "its triggerer dies":
        return "died"
    if end in ("marked while it is deferred", "marked while a worker has it"):
        time.sleep(random.random())
        if end == "marked while it is deferred":
            asyncio.run(trigger.on_kill())
        else:
            task._run.on_kill()
        return "died"
    if end == "its trigger fails":
        time.sleep(1)
        about = {"name": trigger.pod_name, "namespace": trigger.pod_namespace, "_redefer_count": 99}
        event = {"status": "error", "message": "the API server did not answer", **about}
    else:
        event = asyncio.run(event_of(trigger))
    try:
        task.trigger_reentry(known, event)
    except TaskDeferred as deferred:
        return followed(task, deferred.trigger, end, known)
    except AirflowException:
        return "failed"
    return "success"


def main(ends: int, seed: int) -> None:
    """Run tasks until so many attempts were ended; each is the one task of a run, whose teardown comes last.

    A task's attempts share its state store, as in Airflow.
    """
    chance, told, number, deleted = random.Random(seed), [], 0, 0
    usual = pod_run.PodRun.invoke_defer_method
    while len(told) < ends:
        number, store = number + 1, {}
        for tried in range(1, ATTEMPTS + 1):
            end = ENDS[len(told) % len(ENDS)] if len(told) < len(ENDS) else chance.choice(ENDS)

            def broken_off(*_: object, **__: object) -> None:
                raise WorkerDied

            pod_run.PodRun.invoke_defer_method = broken_off if "worker dies" in end else usual
            how = attempt(number, tried, end, store)
            told.append([number, tried, end, how])
            if how == "success" or len(told) >= ends:
                break
        pod_run.PodRun.invoke_defer_method = usual
        deleted += leftovers.delete_of_run("train_models", f"manual__{number}")
        left = [one.metadata.name for one in pods() if leftovers.active(one) and not leftovers.ending(one)]
        assert left == [], f"{left} are left after {told[-1]}"
    print(json.dumps({"told": told, "deleted": deleted}))


def pods() -> list:
    """What is in the namespace."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    client: CoreV1Api = KubernetesHook(conn_id=KubernetesHook.default_conn_name).core_v1_client
    return leftovers.listed(client, "chimed", "")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
