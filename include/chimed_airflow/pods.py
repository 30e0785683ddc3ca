"""GPU work as a pod: the same `python -m chimed …` command on a GPU node. The one place that makes pods.

Imported only where CHIMED_COMPUTE=kubernetes: the kubernetes client takes seconds to import.
"""

import json
from collections.abc import Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from kubernetes.client import models as k8s

from chimed.settings import Settings, settings
from chimed_airflow.commands import arguments
from chimed_airflow.links import PagesLink
from chimed_airflow.pod_failures import failure

LABEL = "nvidia.com/gpu.product"
STARTUP = 1800  # seconds for a big image to be pulled
SCHEDULE = 6 * 3600  # seconds to wait for free GPUs
GRACE = 300  # seconds to write a checkpoint when the pod must go
DATA = "/data"
OWN = ("compute", "models_python", "scratch", "schedules", "serve")  # settings of this machine, not of a pod
SECRET = ("store", "store_password", "llm_key")  # come from the secret, by reference


class ChimedPod(KubernetesPodOperator):
    """`python -m chimed <command>` in a pod with GPUs; see `ChimedOperator` for command, shard and templates.

    Deferrable (no worker waits for a day of training) and durable (a worker's death does not end the pod).
    Finished pods are deleted, failed ones kept for a look.
    """

    operator_extra_links = (PagesLink(),)

    def __init__(
        self,
        *,
        command: Sequence[str],
        gpus: int | str,
        shard: int | None = None,
        returns: object = None,
        **kwargs: Any,
    ) -> None:
        chosen = settings()
        del returns  # a pod passes nothing on: what it prints is in its log, what it made in the lake
        super().__init__(
            name=f"chimed-{kwargs['task_id'].rsplit('.', 1)[-1].replace('_', '-')}",
            namespace=chosen.k8s_namespace,
            image=chosen.k8s_image,
            cmds=["python", "-m", "chimed"],
            arguments=arguments(command, shard),
            env_vars=environment(chosen),
            env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=chosen.k8s_secret))],
            node_selector=node_selector(chosen),
            tolerations=tolerations(),
            container_resources=resources(gpus),
            volumes=volumes(chosen),
            volume_mounts=mounts(chosen),
            service_account_name=chosen.k8s_service_account,
            automount_service_account_token=False,
            termination_grace_period=GRACE,
            deferrable=True,
            durable=True,
            poll_interval=30,
            logging_interval=30,
            get_logs=True,
            log_events_on_failure=True,
            on_finish_action="delete_succeeded_pod",
            on_kill_action="delete_pod",
            startup_timeout_seconds=STARTUP,
            schedule_timeout_seconds=SCHEDULE,
            do_xcom_push=False,
            **kwargs,
        )
        self.shard = shard  # names the mapped task

    def cleanup(self, pod: Any, remote_pod: Any, *args: Any, **kwargs: Any) -> None:
        """Cleans up after a pod; says why a failed one failed, and fails for good where no retry can help."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            why = failure(remote_pod, self.base_container_name)
            raise (AirflowException if why.again else AirflowFailException)(why.sentence) from error


def environment(chosen: Settings) -> dict[str, str]:
    """The variables that make a command in a pod read the same settings; secrets are not among them."""
    return {
        f"CHIMED_{name.upper()}": _written(getattr(chosen, name))
        for name in sorted(chosen.model_fields_set)
        if name not in OWN + SECRET and not name.startswith("k8s_") and name != "build_options"
    }


def _written(value: object) -> str:
    """A setting's value as its variable has it: words and numbers as they are, everything else as JSON."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def node_selector(chosen: Settings) -> dict[str, str]:
    """Only nodes with the GPUs of the settings (paper: A40)."""
    return {LABEL: chosen.k8s_gpu_product}


def tolerations() -> list[k8s.V1Toleration]:
    """GPU nodes carry this taint, so that nothing else lands there."""
    return [k8s.V1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")]


def resources(gpus: int | str) -> k8s.V1ResourceRequirements:
    """GPUs as limits (Kubernetes knows them no other way), and the processors and memory that feed them.

    gpus: how many, or a Jinja expression of a number that the run knows.
    """

    def times(number: int) -> str:
        return str(number * gpus) if isinstance(gpus, int) else f"{{{{ {number} * {gpus} }}}}"

    return k8s.V1ResourceRequirements(
        requests={"cpu": times(4), "memory": f"{times(24)}Gi"},
        limits={"memory": f"{times(48)}Gi", "nvidia.com/gpu": times(1)},
    )


def volumes(chosen: Settings) -> list[k8s.V1Volume]:
    """Shared memory, which NCCL and data loaders need more of than the default 64 MB; the lake's claim if it is one."""
    memory = k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="16Gi")
    found = [k8s.V1Volume(name="shm", empty_dir=memory)]
    if chosen.k8s_volume:
        claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=chosen.k8s_volume)
        found.append(k8s.V1Volume(name="data", persistent_volume_claim=claim))
    return found


def mounts(chosen: Settings) -> list[k8s.V1VolumeMount]:
    """Where the volumes appear in the container."""
    found = [k8s.V1VolumeMount(name="shm", mount_path="/dev/shm")]
    if chosen.k8s_volume:
        found.append(k8s.V1VolumeMount(name="data", mount_path=DATA))
    return found
