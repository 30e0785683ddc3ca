"""Every pod the DAGs make in a cluster: its command, its node, its limits, and no secret but by reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # the kubernetes client takes seconds to import

PROJECT = Path(__file__).resolve().parents[2]
RENDER = f"""
import json, runpy
from types import SimpleNamespace
from kubernetes.client import ApiClient
plain = ApiClient().sanitize_for_serialization
found = {{}}
for name, one in (("build", "open_build"), ("train", "find_release")):
    dag = runpy.run_path("{PROJECT}/dags/" + name + ".py")[one].dag
    for task in dag.tasks:
        if task.is_mapped and "gpus" in task.partial_kwargs:
            task = task.unmap({{"shard": 3}})
        if hasattr(task, "build_pod_request_obj"):
            if name == "train":
                ti = SimpleNamespace(xcom_pull=lambda **_: "2026.11.22")
                known = {{"params": {{"recipe": "qwen3-14b"}}, "task": task, "ti": ti}}
                task.render_template_fields(known, dag.get_template_env())
            found[task.task_id] = plain(task.build_pod_request_obj()) | {{"pool": task.pool}}
        elif hasattr(task, "yaml_conf"):
            found[task.task_id] = json.loads(task.yaml_conf) | {{"setup": task.is_setup, "teardown": task.is_teardown}}
print(json.dumps(found))
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> dict[str, dict]:
    """Pods and manifests by task id, as Kubernetes would get them."""
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(KUBECONFIG)
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "include"),
        "KUBECONFIG": str(config),
        "CHIMED_COMPUTE": "kubernetes",
        "CHIMED_SERVE": "kubernetes",
        "CHIMED_DATA": "s3://lake/chimed",
        "CHIMED_STORE": "postgresql+psycopg://chimed:not-for-pods@db/chimed",
        "CHIMED_LLM_URL": "http://generator.chimed.svc:8000/v1",
        "CHIMED_JUDGE_URL": "http://judge.chimed.svc:8000/v1",
    }
    done = subprocess.run([sys.executable, "-c", RENDER], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def pods(rendered) -> dict[str, dict]:
    return {name: one for name, one in rendered.items() if one["kind"] == "Pod"}


def test_which_tasks_are_pods(pods) -> None:
    scored = {f"evaluate_{phase}" for phase in ("base", "cpt", "sft", "dpo")}
    assert set(pods) == {"perplexity", "cpt", "sft", "dpo"} | scored


def test_pods_run_the_command_a_person_would(pods) -> None:
    def argv(name: str) -> list[str]:
        container = pods[name]["spec"]["containers"][0]
        return container["command"] + container["args"]

    assert argv("perplexity")[:5] == ["python", "-m", "chimed", "run", "perplexity"]
    assert argv("perplexity")[-2:] == ["--shard", "3"]
    assert argv("sft")[:5] == ["python", "-m", "chimed", "train", "sft"]
    assert argv("sft")[5:] == ["--recipe=qwen3-14b", "--release=2026.11.22"]
    assert argv("evaluate_base")[:5] == ["python", "-m", "chimed", "evaluate", "base"]


def test_pods_go_to_gpu_nodes_with_limits_and_shared_memory(pods) -> None:
    for name, pod in pods.items():
        spec, gpus = pod["spec"], "8" if name in ("cpt", "sft", "dpo") else "1"
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A40"}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
        container = spec["containers"][0]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert container["resources"]["limits"]["memory"] == f"{48 * int(gpus)}Gi"
        assert container["resources"]["requests"] == {"cpu": str(4 * int(gpus)), "memory": f"{24 * int(gpus)}Gi"}
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in spec["volumes"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["terminationGracePeriodSeconds"] >= 60
        assert pod["pool"] == "gpu"


def test_pods_know_the_lake_and_get_secrets_by_reference_only(rendered, pods) -> None:
    assert "not-for-pods" not in json.dumps(rendered)
    for pod in pods.values():
        container = pod["spec"]["containers"][0]
        variables = {one["name"]: one.get("value") for one in container["env"]}
        assert variables["CHIMED_DATA"] == "s3://lake/chimed"
        assert not {"CHIMED_STORE", "CHIMED_LLM_KEY", "CHIMED_COMPUTE"} & set(variables)
        assert container["envFrom"] == [{"secretRef": {"name": "chimed"}}]


def test_model_servers_are_made_before_and_deleted_after(rendered) -> None:
    for server in ("generator", "judge"):
        for kind in ("Deployment", "Service"):
            made = rendered[f"servers.create_{server}_{kind.lower()}"]
            gone = rendered[f"servers.delete_{server}_{kind.lower()}"]
            assert (made["setup"], gone["teardown"]) == (True, True)
            assert made["kind"] == gone["kind"] == kind
            assert made["metadata"]["name"] == gone["metadata"]["name"] == server
        spec = rendered[f"servers.create_{server}_deployment"]["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A40"}
        container = spec["containers"][0]
        assert f"chimed-{server}" in container["args"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
