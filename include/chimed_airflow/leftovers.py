"""What holds GPUs in the cluster and belongs to nobody any more: pods whose run is over, servers whose time is over.

    python -m chimed_airflow.leftovers

deletes it; the cluster's own job does so every few minutes (`deploy/cluster.yaml`), so that GPUs are given back also
where no Airflow is left. Imports the Kubernetes client.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes import pod_generator
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes import client as clients
from kubernetes import config
from kubernetes.client.exceptions import ApiException

from chimed.settings import settings
from chimed_airflow.manifests import COMPONENT, GPU_WORK, GRACE, KEEP_UNTIL, MODEL_SERVER

log = logging.getLogger("chimed")

ACTIVE = ("Pending", "Running", "Unknown")
CHECKED = "already_checked"  # the label by which Airflow's operator says that it is done with a pod
GONE = 404
CRASHES, RESTARTS = "CrashLoopBackOff", 3  # some six minutes after the first crash
NOT_STARTED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
NEVER_STARTS = timedelta(minutes=15)  # after which a pod that cannot start gives its GPUs back


def listed(client: Any, namespace: str, selector: str) -> list[Any]:
    """Return the pods of a namespace that have these labels."""
    return list(client.list_namespaced_pod(namespace, label_selector=selector).items)


def active(pod: Any) -> bool:
    """Return whether a pod has not ended: it holds GPUs, or will."""
    return pod.status.phase in ACTIVE


def checked(pod: Any) -> bool:
    """Return whether the task that made the pod has ended."""
    return (pod.metadata.labels or {}).get(CHECKED) == "True"


def ending(pod: Any) -> bool:
    """Return whether a pod is being deleted."""
    return pod.metadata.deletion_timestamp is not None


def delete(client: Any, pod: Any) -> None:
    """Delete a pod with time to write a checkpoint; one that is gone already is gone."""
    try:
        client.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=GRACE)
    except ApiException as error:
        if error.status != GONE:
            raise


def delete_of_run(dag: str, run: str) -> int:
    """Delete the active pods of a run whose tasks have all ended; return how many."""
    client, labels = (
        KubernetesHook(conn_id=KubernetesHook.default_conn_name).core_v1_client,
        {"dag_id": dag, "run_id": run},
    )
    found = {name: pod_generator.make_safe_label_value(value) for name, value in labels.items()}
    selector = ",".join([f"{COMPONENT}={GPU_WORK}", *(f"{name}={value}" for name, value in found.items())])
    left = [one for one in listed(client, settings().k8s_namespace, selector) if active(one) and not ending(one)]
    for one in left:
        log.warning("pod %s is left over; deleting it", one.metadata.name)
        delete(client, one)
    return len(left)


def delete_expired(api: Any, namespace: str, now: datetime) -> list[str]:
    """Delete the model servers that nobody renews or that never come up, and the pods that nobody follows.

    Returns their names. A server's time is renewed while a stage asks it, a pod's while Airflow's triggerer follows it,
    Pending or Running: what is left of a dead Airflow, or of a run that was deleted, is renewed by nobody.
    """
    core, apps = clients.CoreV1Api(api), clients.AppsV1Api(api)
    selector = f"{COMPONENT}={MODEL_SERVER}"
    broken = {_app(one) for one in listed(core, namespace, selector) if hopeless(one, now)}
    deleted: list[str] = []
    for found, remove in (
        (apps.list_namespaced_deployment, apps.delete_namespaced_deployment),
        (core.list_namespaced_service, core.delete_namespaced_service),
    ):
        for one in found(namespace, label_selector=selector).items:
            if expired(one, now) or _app(one) in broken:
                _delete(remove, one, deleted)
    for one in listed(core, namespace, f"{COMPONENT}={GPU_WORK}"):
        if active(one) and not ending(one) and (checked(one) or expired(one, now)):
            delete(core, one)
            deleted.append(one.metadata.name)
    return deleted


def expired(one: Any, now: datetime) -> bool:
    """Return whether the time is over until which an object is to be there; one without such a time never is."""
    until = (one.metadata.annotations or {}).get(KEEP_UNTIL)
    return until is not None and datetime.fromisoformat(until) < now


def hopeless(pod: Any, now: datetime) -> bool:
    """Return whether a model server's pod holds GPUs and will not come up: it crashes again and again, or never starts.

    Said in the log, for with its deployment its own is gone.
    """
    for one in pod.status.container_statuses or ():
        waiting = one.state.waiting if one.state else None
        if waiting is None:
            continue
        reason = waiting.reason
        late = pod.status.start_time is not None and now - pod.status.start_time > NEVER_STARTS
        if (reason == CRASHES and one.restart_count >= RESTARTS) or (reason in NOT_STARTED and late):
            ended = one.last_state.terminated if one.last_state else None
            code = f", exit code {ended.exit_code}" if ended else ""
            log.warning(
                "%s: %s, %d restarts%s: %s", pod.metadata.name, reason, one.restart_count, code, waiting.message
            )
            return True
    return False


def _app(one: Any) -> str | None:
    return (one.metadata.labels or {}).get("app")


def _delete(remove: Any, one: Any, deleted: list[str]) -> None:
    try:
        remove(one.metadata.name, one.metadata.namespace)
    except ApiException as error:
        if error.status != GONE:
            raise
    deleted.append(one.metadata.name)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config.load_incluster_config()
    except config.ConfigException:
        config.load_kube_config()
    gone = delete_expired(clients.ApiClient(), settings().k8s_namespace, datetime.now(UTC))
    log.info("deleted %s", ", ".join(gone) or "nothing")
