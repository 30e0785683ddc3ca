"""The life of one GPU pod: created, followed, deleted. Imported only when a pod runs: it needs Kubernetes' client."""

import time
from datetime import UTC, datetime
from typing import Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import BaseTrigger
from kubernetes.client.exceptions import ApiException

from chimed import metrics
from chimed_airflow import leftovers
from chimed_airflow.manifests import CONTAINER, GRACE, KEEP_UNTIL, Manifest, followed_until
from chimed_airflow.pod_failures import failure
from chimed_airflow.pod_trigger import FollowedPodTrigger

STARTUP = 1800  # seconds for a big image to be pulled
SCHEDULE = 6 * 3600  # seconds to wait for free GPUs
POLL = 30  # seconds between two looks at a pod
GONE = 404
GONE_WITHIN = GRACE + 120  # seconds in which a deleted pod of an earlier attempt has to disappear


def gpu_seconds(pod: Any) -> float:
    """Return the seconds that a pod ran, times its GPUs; until now, where it still runs."""
    limits = pod.spec.containers[0].resources.limits or {}
    found = next((one for one in pod.status.container_statuses or () if one.name == CONTAINER), None)
    state = found.state.terminated or found.state.running if found else None
    if state is None or state.started_at is None:
        return 0.0
    until = getattr(state, "finished_at", None) or datetime.now(UTC)
    return max(0.0, (until - state.started_at).total_seconds()) * int(limits.get("nvidia.com/gpu", 0))


class PodRun(KubernetesPodOperator):
    """Airflow's operator for a pod that is given whole, which leaves nothing behind that holds a GPU."""

    def __init__(self, *, manifest: Manifest, **kwargs: Any) -> None:
        super().__init__(
            name=manifest["metadata"]["name"],
            namespace=manifest["metadata"]["namespace"],
            labels=manifest["metadata"]["labels"],
            annotations={KEEP_UNTIL: followed_until()},
            image=manifest["spec"]["containers"][0]["image"],
            base_container_name=CONTAINER,
            pod_template_dict=manifest,
            automount_service_account_token=False,
            active_deadline_seconds=manifest["spec"]["activeDeadlineSeconds"],
            termination_grace_period=manifest["spec"]["terminationGracePeriodSeconds"],
            deferrable=True,
            durable=True,
            poll_interval=POLL,
            logging_interval=POLL,
            get_logs=True,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            on_finish_action="delete_succeeded_pod",
            on_kill_action="delete_pod",
            startup_timeout_seconds=STARTUP,
            schedule_timeout_seconds=SCHEDULE,
            do_xcom_push=False,
            **kwargs,
        )

    def begin(self, context: Any) -> None:
        """Create the pod, or find the one that a dead worker had created, and defer. Raises TaskDeferred.

        Raises AirflowException where the pod of an earlier attempt does not disappear in time.
        """
        self._await_earlier(context)
        self.execute_async(context)

    def defer(self, *, trigger: BaseTrigger, method_name: str, **how: Any) -> NoReturn:  # type: ignore[override]
        """Defer to a trigger that says in the pod that it is followed. Raises TaskDeferred."""
        super().defer(trigger=FollowedPodTrigger(**trigger.serialize()[1]), method_name=method_name, **how)

    def _await_earlier(self, context: Any) -> None:
        """Two pods of one task would write to the same folder of the lake, and one would hold GPUs for nothing."""
        selector = self._build_find_pod_label_selector(context, exclude_checked=False)
        deadline, told = time.monotonic() + GONE_WITHIN, False
        while earlier := [
            one
            for one in leftovers.listed(self.client, self.namespace or "", selector)
            if leftovers.active(one) and (leftovers.checked(one) or leftovers.ending(one))
        ]:
            names = ", ".join(one.metadata.name for one in earlier)
            if time.monotonic() > deadline:
                raise AirflowException(
                    f"{names}: the pod of an earlier attempt is still there {GONE_WITHIN} s after it was deleted; "
                    "look at its node, or delete it by force"
                )
            for one in earlier:
                leftovers.delete(self.client, one)
            if not told:
                self.log.info("waiting until the pod of an earlier attempt is gone: %s", names)
                told = True
            time.sleep(2)

    def cleanup(self, pod: Any, remote_pod: Any, *args: Any, **kwargs: Any) -> None:
        """Delete what still runs; say why a failed pod failed, and fail for good where no retry can help."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            why = failure(remote_pod, self.base_container_name)
            raise (AirflowException if why.again else AirflowFailException)(why.sentence) from error
        finally:
            if remote_pod is not None:
                metrics.count("gpu.seconds", gpu_seconds(remote_pod), work=self.task_id)
            if remote_pod is not None and not self._killed:
                self._delete_active(remote_pod.metadata.name)

    def _clean(self, event: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """After an error of the trigger the pod may run on for days: it is not waited for."""
        super()._clean(event | {"status": "timeout"} if event["status"] == "error" else event, *args, **kwargs)

    def _delete_active(self, name: str) -> None:
        """Delete the pod if it is Pending or Running."""
        try:
            found = self.client.read_namespaced_pod(name, self.namespace)
        except ApiException as error:
            if error.status != GONE:
                self.log.warning("whether pod %s still runs is not known: %s", name, error.reason)
            return
        if leftovers.active(found) and not leftovers.ending(found):
            self.log.warning("pod %s is %s though its task has ended; deleting it", name, found.status.phase)
            leftovers.delete(self.client, found)
