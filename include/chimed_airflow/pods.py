"""GPU work as a pod: the same `python -m chimed …` command on a GPU node, as an Airflow task.

Deferrable (no worker waits for a day of training) and durable (a worker's death does not end the pod). Nothing here
imports the Kubernetes client until a pod runs: `pod_run` does.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from chimed.settings import settings
from chimed_airflow import lineage, manifests
from chimed_airflow.commands import arguments
from chimed_airflow.links import PagesLink
from chimed_airflow.notice import WHY
from chimed_airflow.run_states import not_done, states_of

if TYPE_CHECKING:
    from chimed_airflow.pod_run import PodRun

REASON = 600  # characters of a reason
AT_MOST = timedelta(days=7)  # for a pod of a task without an execution_timeout


class ChimedPod(BaseOperator):
    """Runs `python -m chimed <command>` in a pod with GPUs.

    Whatever ends the task, its pod holds no GPU afterwards: one that succeeded is deleted, one that is Pending or
    Running is deleted with time to write a checkpoint, one that failed has ended and stays for a look. A retry begins
    only when the pod of the attempt before is gone, since both would write to the same folder of the lake.

    :param command: the arguments (templated).
    :param gpus: how many, or a template of a number that the run knows.
    :param shard: adds `--shard N`; what a mapped stage expands over.
    :param shards: adds `--shards N`: so many from that one on; each is finished on its own, a retry goes on behind it.
    :param returns: ignored, for a pod passes nothing on: what it prints is in its log, what it made in the lake.
    """

    template_fields = ("command", "gpus")
    operator_extra_links = (PagesLink(),)
    ui_color = "#dfe8f0"

    def __init__(
        self,
        *,
        command: Sequence[str],
        gpus: int | str,
        shard: int | None = None,
        shards: int = 1,
        returns: object = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        del returns
        self.command = command
        self.gpus = gpus
        self.shard = shard
        self.shards = shards
        self._run: PodRun | None = None

    def manifest(self) -> manifests.Manifest:
        """Return the pod as Kubernetes gets it, but for the labels of the task's run."""
        found = manifests.pod(self._arguments(), int(self.gpus), settings())
        found["spec"]["activeDeadlineSeconds"] = int(self._longest().total_seconds())
        return found

    def execute(self, context: Any) -> None:
        """Create the pod, once the one of an earlier attempt is gone, and wait for it without a worker."""
        self._told(context, lambda run: run.begin(context))

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> None:
        """Go on where the trigger saw the pod end, or has lines of its log."""
        self._told(context, lambda run: run.trigger_reentry(context, event))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what the command read and wrote; the provider of OpenLineage asks."""
        del task_instance
        return lineage.of_command(self._arguments())

    def on_kill(self) -> None:
        """Delete the pod, with time to write a checkpoint."""
        if self._run is not None:
            self._run.on_kill()

    def _arguments(self) -> list[str]:
        return arguments(self.command, self.shard) + (["--shards", str(self.shards)] if self.shards > 1 else [])

    def _longest(self) -> timedelta:
        """Return the pod's own time limit, for when Airflow cannot end it; leaves time to write a checkpoint."""
        return (self.execution_timeout or AT_MOST) + timedelta(seconds=manifests.GRACE)

    def _told(self, context: Any, work: Any) -> None:
        """Run a phase of the pod's life. Where it fails, the reason is pushed for the run's note."""
        from chimed_airflow.pod_run import PodRun  # here: the Kubernetes client takes seconds to import

        self._run = PodRun(manifest=self.manifest(), task_id=self.task_id, execution_timeout=self.execution_timeout)
        try:
            work(self._run)
        except TaskDeferred:
            raise
        except Exception as error:
            context["ti"].xcom_push(WHY, str(error)[-REASON:])
            raise


class DeleteLeftovers(BaseOperator):
    """Deletes the pods of the run that are Pending or Running though their tasks have ended.

    A teardown, so that it runs however the run ended. There is something to delete where a worker died between making
    a pod and waiting for it, or the triggerer was down when the task was marked.

    :param last: the run's last task; where it was skipped, a person stopped the run, which is then not a success.
    """

    def __init__(self, *, last: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = last

    def execute(self, context: Any) -> int:
        """Return how many were deleted. Raises AirflowFailException where the run did not come to its end."""
        from chimed_airflow import leftovers  # here: the Kubernetes client takes seconds to import

        deleted = leftovers.delete_of_run(context["ti"].dag_id, context["run_id"])
        self.log.info("%d pods were left over and are deleted", deleted)
        if self.last:
            states = states_of(context)
            why = not_done(states) or (
                "the run was stopped before its end" if states.get(self.last) != {"success"} else None
            )
            if why:
                context["ti"].xcom_push(WHY, why)
                raise AirflowFailException(why)
        return deleted
