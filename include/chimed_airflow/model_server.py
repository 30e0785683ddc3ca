"""vLLM's life in a DAG run: up before the LLM stages, down after them, also when one of them fails.

external: somebody else runs the servers; we only look at them. local: processes of this machine.
kubernetes: a Deployment and a Service for each, made and deleted by the run, named after the host in the server's URL.
"""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, TaskGroup

from chimed.llm import servers
from chimed.settings import settings
from chimed_airflow.tasks import ChimedOperator, nothing

LOADING = timedelta(hours=1)


def model_servers(build: str = "") -> tuple[list[BaseOperator], list[BaseOperator]]:
    """The setups and the teardowns of the servers; no teardowns where others run them.

    build: its version (templated): once they are up, servers are checked for its options.
    """
    if settings().serve == "kubernetes":
        return _in_cluster(build)
    up = _up(build, servers.up.__doc__ if settings().serve == "local" else servers.probe.__doc__)
    if settings().serve == "external":
        return [up], []
    wanted = _wanted()
    wanted >> up
    down = ChimedOperator(
        task_id="serve_down",
        command=["serve", "down"],
        execution_timeout=timedelta(minutes=5),
        doc_md=servers.down.__doc__,
    ).as_teardown(setups=[wanted, up])
    return [wanted, up], [down]


def _wanted() -> BaseOperator:
    """A setup that always succeeds: a teardown whose setups all failed is not run, and one that a person stops, or that
    runs out of time, leaves half-started servers behind."""
    return EmptyOperator(
        task_id="serve",
        execution_timeout=timedelta(minutes=1),
        doc_md="Does nothing itself. With it the servers are taken down also where bringing them up failed or was "
        "stopped.",
    ).as_setup()


def _up(build: str, doc: str | None) -> BaseOperator:
    """Servers are up, who they are is known, and they obey."""
    return ChimedOperator(
        task_id="serve_up",
        first=["serve", "up", f"--timeout={int(LOADING.total_seconds())}"],
        command=["check", "--only-servers", f"--build={build}"],
        returns=nothing,
        execution_timeout=LOADING + timedelta(minutes=10),
        doc_md=f"{doc}\n\nThen looks at who they are, and that they obey.",
    ).as_setup()


def _in_cluster(build: str) -> tuple[list[BaseOperator], list[BaseOperator]]:
    from chimed_airflow.resources import ApplyResource, RemoveResource  # here: the kubernetes client takes seconds

    ready = _up(build, servers.probe.__doc__)
    wanted = _wanted()
    wanted >> ready
    begins: list[BaseOperator] = [wanted, ready]
    ends: list[BaseOperator] = []
    with TaskGroup("servers", tooltip="vLLM in the cluster"):
        for server in servers.servers():
            for resource in manifests(server):
                kind = resource["kind"].lower()
                common: dict[str, Any] = {
                    "yaml_conf": json.dumps(resource),  # JSON is YAML
                    "namespaced": True,
                    "execution_timeout": timedelta(minutes=10),
                }
                made = ApplyResource(
                    task_id=f"create_{server.name}_{kind}", doc_md=f"The {server.name}'s {kind}.", **common
                ).as_setup()
                gone = RemoveResource(
                    task_id=f"delete_{server.name}_{kind}", doc_md=f"Deletes the {server.name}'s {kind}.", **common
                ).as_teardown(setups=[wanted, made])
                wanted >> made >> ready
                begins.append(made)
                ends.append(gone)
    return begins, ends


def manifests(server: servers.Server) -> list[dict[str, Any]]:
    """A server's Deployment and Service, as Kubernetes reads them."""
    from kubernetes.client import ApiClient
    from kubernetes.client import models as k8s

    from chimed_airflow import pods

    chosen = settings()
    where = urlsplit(server.url)
    name, port = (where.hostname or server.name).split(".")[0], where.port or 80
    gpus = chosen.k8s_serve_gpus
    labels = {"app": name, "app.kubernetes.io/part-of": "chimed"}
    container = k8s.V1Container(
        name="vllm",
        image=chosen.k8s_image,
        command=["python", "-m", "vllm.entrypoints.openai.api_server"],
        args=[
            *("--model", server.checkpoint, "--served-model-name", server.model),
            *("--host", "0.0.0.0", "--port", str(port), "--tensor-parallel-size", str(gpus)),
            *servers.OUTPUT_FLAGS,
            *chosen.vllm_flags.split(),
        ],
        env=[k8s.V1EnvVar(name=key, value=value) for key, value in servers.PRIVATE_ENVIRONMENT.items()],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=chosen.k8s_secret))],
        ports=[k8s.V1ContainerPort(container_port=port)],
        readiness_probe=k8s.V1Probe(
            http_get=k8s.V1HTTPGetAction(path="/health", port=port), period_seconds=10, failure_threshold=3
        ),
        resources=pods.resources(gpus),
        volume_mounts=pods.mounts(chosen),
    )
    pod = k8s.V1PodSpec(
        containers=[container],
        node_selector=pods.node_selector(chosen),
        tolerations=pods.tolerations(),
        volumes=pods.volumes(chosen),
        service_account_name=chosen.k8s_service_account,
        automount_service_account_token=False,
    )
    about = k8s.V1ObjectMeta(name=name, namespace=chosen.k8s_namespace, labels=labels)
    deployment = k8s.V1Deployment(
        api_version="apps/v1",
        kind="Deployment",
        metadata=about,
        spec=k8s.V1DeploymentSpec(
            replicas=1,
            selector=k8s.V1LabelSelector(match_labels={"app": name}),
            template=k8s.V1PodTemplateSpec(metadata=k8s.V1ObjectMeta(labels=labels), spec=pod),
        ),
    )
    service = k8s.V1Service(
        api_version="v1",
        kind="Service",
        metadata=about,
        spec=k8s.V1ServiceSpec(selector={"app": name}, ports=[k8s.V1ServicePort(port=port, target_port=port)]),
    )
    return [ApiClient().sanitize_for_serialization(one) for one in (deployment, service)]
