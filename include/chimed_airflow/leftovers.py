"""What holds GPUs in the cluster and belongs to nobody any more: pods whose run is over, servers whose time is over.

    python -m chimed_airflow.leftovers

deletes it; the cluster's own job does so every few minutes (`deploy/cluster.yaml`), so that GPUs are given back also
where no Airflow is left. Imports the Kubernetes client.
"""

import logging
from datetime import UTC, datetime
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
    """Delete the model servers whose time is over and the pods that nobody follows; return their names.

    A server's time is renewed while a stage asks it. A pod that nobody follows is one whose task has ended.
    """
    core, apps = clients.CoreV1Api(api), clients.AppsV1Api(api)
    deleted: list[str] = []
    selector = f"{COMPONENT}={MODEL_SERVER}"
    for found, remove in (
        (apps.list_namespaced_deployment, apps.delete_namespaced_deployment),
        (core.list_namespaced_service, core.delete_namespaced_service),
    ):
        for one in found(namespace, label_selector=selector).items:
            until = (one.metadata.annotations or {}).get(KEEP_UNTIL)
            if until and datetime.fromisoformat(until) < now:
                _delete(remove, one, deleted)
    for one in listed(core, namespace, f"{COMPONENT}={GPU_WORK},{CHECKED}=True"):
        if active(one) and not ending(one):
            delete(core, one)
            deleted.append(one.metadata.name)
    return deleted


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
