"""What chimed asks a cluster for, as Kubernetes reads it: the pod of a GPU command, the server of a model.

Plain data, made without the Kubernetes client, whose import costs seconds of every DAG file's parse. Everything here
keeps to the level *restricted* of the Pod Security Standards: no root, no privileges, no capabilities, no writing
outside the volumes that are mounted. A container is given those keys of the one secret that its
command reads, and no others. Without a key that it cannot do without it does not start, and its pod says which.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from chimed.llm import servers
from chimed.settings import Settings

Manifest = dict[str, Any]

CONTAINER = "base"  # the name that Airflow's operator expects
USER = 50000  # of both images; see the Dockerfile
PART_OF = {"app.kubernetes.io/part-of": "chimed"}
GPU_WORK, MODEL_SERVER = "gpu-work", "model-server"  # values of COMPONENT, which the network policies select by
COMPONENT = "app.kubernetes.io/component"
OWNER, KEEP_UNTIL = "chimed/owner", "chimed/keep-until"  # annotations: which run made it; when it may be deleted
DATA, MODELS, HOME = "/data", "/models", "/home/chimed"
FOLLOWED = timedelta(hours=1)  # that a pod may be there after somebody last followed it
GRACE = 300  # seconds in which a training pod writes its checkpoint after SIGTERM
LOADING = 3600  # seconds that a server may take to download and load its model

CPUS, MEMORY = 4, (24, 48)  # for each GPU; GiB requested and at most: the fp32 merge of 14B needs 55 on 8 GPUs
# GiB of a node's disk: all checkpoints of a 14B sft run take 161, a download of 32B weights 65
DISK, TRAINING_DISK = 80, 200
PROBE = {"path": "/health", "scheme": "HTTP"}  # vLLM answers it without a key

# settings of Airflow's machines
OWN = ("compute", "models_python", "scratch", "schedules", "serve", "gpus", "train_devices", "notify")
SECRET = ("store", "store_password", "llm_key", "notify_webhook")  # they come from the secret, by reference

LAKE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")  # needed for s3://; empty where the account has a role
LAKE_PLACE = ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")  # may be missing
STORE_KEYS = ("CHIMED_STORE", "CHIMED_STORE_PASSWORD")
HUB_KEYS = ("HF_TOKEN", "HF_ENDPOINT")  # may be missing
WITHOUT_STORE = ("evaluate",)  # commands that only read and write the lake


def pod(command: Sequence[str], gpus: int, chosen: Settings) -> Manifest:
    """Return the pod that runs `python -m chimed <command>` with so many GPUs of one node."""
    disk = chosen.k8s_storage if command[0] == "train" else min(DISK, chosen.k8s_storage)
    container = {
        "name": CONTAINER,
        "image": chosen.k8s_image,
        "command": ["python", "-m", "chimed"],
        "args": list(command),
        "env": [*_plain(environment(chosen)), *_hub(chosen), *_secrets(command, chosen)],
        "resources": resources(gpus, disk),
        "securityContext": container_rights(),
        "volumeMounts": _mounts(chosen),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"chimed-{'-'.join(command[:2])}".replace("_", "-"),
            "namespace": chosen.k8s_namespace,
            "labels": {**PART_OF, COMPONENT: GPU_WORK},
        },
        "spec": {
            **_spec(chosen, container, disk),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE,
        },
    }


def server(one: servers.ServerConfig, chosen: Settings, owner: str, keep_until: datetime) -> list[Manifest]:
    """Return a model server's Deployment and Service, named after the host in its URL.

    owner: the run that needs it. keep_until: when anybody may delete it, unless a running stage has renewed it.
    """
    where = urlsplit(one.url)
    name, port = (where.hostname or one.name).split(".")[0], where.port or 80
    gpus, probe = chosen.k8s_serve_gpus, {"httpGet": PROBE | {"port": port}}
    labels = {"app": name, **PART_OF, COMPONENT: MODEL_SERVER}
    disk = min(DISK, chosen.k8s_storage)
    container = {
        "name": "vllm",
        "image": chosen.k8s_image,
        "command": ["python", "-m", "vllm.entrypoints.openai.api_server"],
        "args": [
            *("--model", one.checkpoint, "--served-model-name", one.model),
            *("--host", "0.0.0.0", "--port", str(port), "--tensor-parallel-size", str(gpus)),
            *servers.OUTPUT_FLAGS,
            *servers.flags(chosen),
        ],
        "env": [
            *_plain(servers.PRIVATE_ENVIRONMENT | {"HOME": HOME}),
            *_hub(chosen),
            _key(chosen, "CHIMED_LLM_KEY", "VLLM_API_KEY", needed=True),
            *(_key(chosen, key, key, needed=False) for key in HUB_KEYS),
        ],
        "ports": [{"containerPort": port}],
        "startupProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": LOADING // 10},
        "readinessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**probe, "periodSeconds": 20, "timeoutSeconds": 15, "failureThreshold": 6},
        "resources": resources(gpus, disk),
        "securityContext": container_rights(),
        "volumeMounts": _mounts(chosen),
    }
    about = {
        "name": name,
        "namespace": chosen.k8s_namespace,
        "labels": labels,
        "annotations": {OWNER: owner, KEEP_UNTIL: keep_until.isoformat(timespec="seconds")},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": about,
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # a new pod beside the old one would wait for GPUs that the old one holds
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": _spec(chosen, container, disk)},
        },
    }
    ports = [{"port": port, "targetPort": port}]
    spec = {"selector": {"app": name}, "ports": ports}
    return [deployment, {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}]


def followed_until() -> str:
    """Return what a pod's annotation says from now on: until when it is followed."""
    return (datetime.now(UTC) + FOLLOWED).isoformat(timespec="seconds")


def pod_rights() -> Manifest:
    """Return the security context of a pod: an ordinary user, the runtime's own seccomp profile."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": 0,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_rights() -> Manifest:
    """Return the security context of a container: no more rights than it begins with, and a root nobody writes to."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }


def resources(gpus: int, disk: int) -> Manifest:
    """Return requests and limits: GPUs as limits (Kubernetes knows them no other way), and what feeds them.

    disk: GiB of the node's own disk, for downloads, checkpoints and temporary files.
    """
    least, most = (f"{amount * gpus}Gi" for amount in MEMORY)
    return {
        "requests": {"cpu": str(CPUS * gpus), "memory": least, "ephemeral-storage": f"{disk}Gi"},
        "limits": {"memory": most, "nvidia.com/gpu": str(gpus)},
    }


def environment(chosen: Settings) -> dict[str, str]:
    """Return the variables that make a command in a pod read the same settings; secrets are not among them."""
    return {
        f"CHIMED_{name.upper()}": _written(getattr(chosen, name))
        for name in sorted(chosen.model_fields_set)
        if name not in OWN + SECRET and not name.startswith("k8s_") and name != "build_options"
    } | {"HOME": HOME}


def _written(value: object) -> str:
    """Format a setting as an environment variable: strings and numbers as they are, everything else as JSON."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _spec(chosen: Settings, container: Manifest, disk: int) -> Manifest:
    """Return the part of the spec that GPU pods and model servers share: node, user, volumes."""
    found = {
        "containers": [container],
        "nodeSelector": {"nvidia.com/gpu.product": chosen.k8s_gpu_product},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": _volumes(chosen, disk),
        "securityContext": pod_rights(),
        "serviceAccountName": chosen.k8s_service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if chosen.k8s_pull_secret:
        found["imagePullSecrets"] = [{"name": chosen.k8s_pull_secret}]
    if chosen.k8s_priority_class:
        found["priorityClassName"] = chosen.k8s_priority_class
    return found


def _volumes(chosen: Settings, disk: int) -> list[Manifest]:
    """Shared memory, of which NCCL needs more than 64 MB; a folder to write to; the claims of the settings."""
    found: list[Manifest] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{disk}Gi"}},
    ]
    for name, claim in (("data", chosen.k8s_volume), ("models", chosen.k8s_models_volume)):
        if claim:
            found.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
    return found


def _mounts(chosen: Settings) -> list[Manifest]:
    found: list[Manifest] = [
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},
        {"name": "scratch", "mountPath": HOME, "subPath": "home"},
    ]
    if chosen.k8s_volume:
        # beside a lake in a bucket it holds what people put there, as exams: to read
        own: Manifest = {} if chosen.data.startswith(DATA) else {"readOnly": True}
        found.append({"name": "data", "mountPath": DATA, **own})
    if chosen.k8s_models_volume:
        found.append({"name": "models", "mountPath": MODELS})
    return found


def _hub(chosen: Settings) -> list[Manifest]:
    """Return where weights are kept: on the claim of the settings, so that each is downloaded once, not by every pod.

    Without a claim it is the pod's own folder: the image's HF_HOME lies on its root, which nobody can write to.
    """
    return _plain({"HF_HOME": MODELS if chosen.k8s_models_volume else f"{HOME}/huggingface"})


def _plain(variables: dict[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _secrets(command: Sequence[str], chosen: Settings) -> list[Manifest]:
    """Return what a command reads of the secret. What it cannot do without must be there, or its pod does not start."""
    needed = {*(LAKE_KEYS if chosen.data.startswith("s3://") else ())}
    if command[0] not in WITHOUT_STORE:
        needed |= set(STORE_KEYS[:1] if chosen.store_password is None else STORE_KEYS)
    known = (*LAKE_KEYS, *STORE_KEYS) if command[0] not in WITHOUT_STORE else LAKE_KEYS
    return [_key(chosen, key, key, needed=key in needed) for key in (*known, *LAKE_PLACE, *HUB_KEYS)]


def _key(chosen: Settings, key: str, variable: str, *, needed: bool) -> Manifest:
    """Return an environment variable from a key of the secret. needed: whether there is no container without it."""
    reference: Manifest = {"name": chosen.k8s_secret, "key": key}
    if not needed:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}
