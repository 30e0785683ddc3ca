"""Every pod the DAGs make in a cluster: its command, its node, its limits, and no secret but by reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
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
            how = [task.durable, task.deferrable, task.on_finish_action, task.on_kill_action, task.get_logs]
            found[task.task_id] = {{"object": plain(task.build_pod_request_obj()), "pool": task.pool, "how": how}}
        elif hasattr(task, "yaml_conf"):
            stand = {{"setup": task.is_setup, "teardown": task.is_teardown}}
            found[task.task_id] = {{"object": json.loads(task.yaml_conf), **stand}}
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
    return {name: one["object"] for name, one in rendered.items() if one["object"]["kind"] == "Pod"}


def test_which_tasks_are_pods(pods) -> None:
    scored = {f"evaluate_{phase}" for phase in ("base", *PHASES)}
    assert set(pods) == {"perplexity", *PHASES} | scored


def test_settings_that_are_no_words_reach_a_pod_as_they_were(monkeypatch) -> None:
    from chimed.settings import Settings
    from chimed_airflow.pods import environment

    given = {
        "CHIMED_ZYDCD": '{"sections": {"古籍": ["http://www.zydcd.com/guji/"]}, "chapter": "/guji/\\\\w+"}',
        "CHIMED_PACE": '{"ask39": 5}',
        "CHIMED_LISTS": '{"ask39": {"妇科": []}}',
        "CHIMED_LLM_UNCONSTRAINED": "true",
        "CHIMED_LLM_TIMEOUT": "12.5",
        "CHIMED_SOURCES": "/sites",
        "CHIMED_LLM_KEY": "secret",
        "CHIMED_STORE_PASSWORD": "secret",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = Settings()
    made = environment(before)
    assert "secret" not in made.values()
    for name in given:
        monkeypatch.delenv(name)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    after = Settings()
    for name in ("zydcd", "pace", "lists", "llm_unconstrained", "llm_timeout", "sources"):
        assert getattr(after, name) == getattr(before, name), name


PHASES = ("cpt", "sft", "dpo", "kto", "orpo", "grpo")
BUILD = "{{ ti.xcom_pull(task_ids='open_build') }}"
ON = ["--recipe=qwen3-14b", "--release=2026.11.22"]  # rendered: the recipe says how many GPUs


def command(pod: dict) -> list[str]:
    """What the pod's one container runs."""
    (container,) = pod["spec"]["containers"]
    return container["command"] + container["args"]


def test_the_cluster_takes_every_object_as_it_is(rendered) -> None:
    assert len(rendered) == 22  # fourteen pods; two servers, each a deployment and a service, made and deleted
    for found in rendered.values():
        kubernetes_validate.validate(found["object"], "1.34", strict=True)


def test_pods_run_exactly_the_command_a_person_would(pods) -> None:
    chimed = ["python", "-m", "chimed"]
    wanted = {"perplexity": [*chimed, "run", "perplexity", "--build", BUILD, "--shard", "3"]}
    wanted |= {phase: [*chimed, "train", phase, *ON] for phase in PHASES}
    wanted |= {f"evaluate_{phase}": [*chimed, "evaluate", phase, *ON] for phase in ("base", *PHASES)}
    assert {name: command(pod) for name, pod in pods.items()} == wanted


def test_every_command_of_a_pod_exists_with_its_flags(pods) -> None:
    used = {(argv[3], flag.split("=")[0]) for argv in map(command, pods.values()) for flag in argv if flag[:2] == "--"}
    assert {name for name, _ in used} == {"run", "train", "evaluate"}
    told = {}
    for name in {name for name, _ in used}:
        argv = [sys.executable, "-m", "chimed", name, "--help"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "include"), "COLUMNS": "200", "TERM": "dumb"}
        told[name] = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    for name, flag in used:
        assert flag in told[name], name


def test_pods_go_to_gpu_nodes_with_limits_and_shared_memory(pods) -> None:
    for name, pod in pods.items():
        spec, gpus = pod["spec"], "8" if name in PHASES else "1"
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
        assert spec["serviceAccountName"] == "chimed"


def test_pods_outlive_their_worker_hold_none_and_only_failed_ones_stay(rendered, pods) -> None:
    for name in pods:
        assert rendered[name]["pool"] == "gpu"
        assert rendered[name]["how"] == [True, True, "delete_succeeded_pod", "delete_pod", True]


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
            assert made["object"] == gone["object"]
            assert (made["object"]["kind"], made["object"]["metadata"]["name"]) == (kind, server)
        spec = rendered[f"servers.create_{server}_deployment"]["object"]["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A40"}
        container = spec["containers"][0]
        assert f"chimed-{server}" in container["args"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
