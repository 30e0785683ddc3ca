"""Model servers of a cluster made, renewed and deleted, each safe to do twice. Imports the Kubernetes client."""

import logging
from collections.abc import Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes import client as clients
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import create_from_yaml

from chimed_airflow.manifests import KEEP_UNTIL, OWNER, Manifest

log = logging.getLogger("chimed")

GONE = 404


def apply(objects: Sequence[Manifest]) -> None:
    """Make the objects, or change those that are there (server-side apply)."""
    hook = KubernetesHook(conn_id=KubernetesHook.default_conn_name)
    namespace = objects[0]["metadata"]["namespace"]
    create_from_yaml(k8s_client=hook.api_client, yaml_objects=list(objects), namespace=namespace, apply=True)


def ensure(objects: Sequence[Manifest]) -> None:
    """Make the objects that are not there, and renew all: what somebody deleted is needed again."""
    missing = [one for one in objects if _found(one) is None]
    if missing:
        log.warning("made anew: %s", ", ".join(f"{one['kind']} {one['metadata']['name']}" for one in missing))
        apply(missing)
    renew(objects)


def renew(objects: Sequence[Manifest]) -> None:
    """Put off the time at which the objects may be deleted."""
    for one in objects:
        said = {"metadata": {"annotations": {KEEP_UNTIL: one["metadata"]["annotations"][KEEP_UNTIL]}}}
        _call(one, "patch", said)


def delete(objects: Sequence[Manifest], owner: str) -> None:
    """Delete the objects of an owner. What is gone is gone; what has another owner stays."""
    for one in objects:
        found = _found(one)
        if found is None:
            log.info("%s %s is gone already", one["kind"], one["metadata"]["name"])
        elif (whose := (found.metadata.annotations or {}).get(OWNER, owner)) != owner:
            log.warning("%s %s belongs to %s by now and stays", one["kind"], one["metadata"]["name"], whose)
        else:
            _call(one, "delete")


def _found(one: Manifest) -> Any:
    try:
        return _call(one, "read")
    except ApiException as error:
        if error.status != GONE:
            raise
    return None


def _call(one: Manifest, verb: str, *body: Any) -> Any:
    """Read, patch or delete an object."""
    api = KubernetesHook(conn_id=KubernetesHook.default_conn_name).api_client
    kind, about = one["kind"].lower(), one["metadata"]
    group = clients.AppsV1Api(api) if kind == "deployment" else clients.CoreV1Api(api)
    return getattr(group, f"{verb}_namespaced_{kind}")(about["name"], about["namespace"], *body)
