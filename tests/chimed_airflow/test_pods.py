"""Every pod the DAGs make in a cluster: its command, its node, its limits, and no secret but by reference."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kubernetes_validate
import pytest

pytestmark = pytest.mark.slow  # the kubernetes client takes seconds to import

PROJECT = Path(__file__).resolve().parents[2]
PHASES = ("cpt", "sft", "dpo", "kto", "orpo", "grpo")
sys.path.insert(0, str(PROJECT / ".ci"))
import check_manifests  # noqa: E402

RENDER = f"""
import json, os, runpy, sys
from types import SimpleNamespace
found, tasks, waits = {{}}, {{}}, {{}}
for name, one in (("build", "open_build"), ("train", "find_release")):
    dag = runpy.run_path("{PROJECT}/dags/" + name + ".py")[one].dag
    last = dag.task_dict["delete_leftovers"]
    waits[name] = [last.is_teardown, last.trigger_rule, sorted(last.upstream_task_ids)]
    for task in dag.tasks:
        task = task.unmap({{"shard": 3}}) if task.is_mapped and "gpus" in task.partial_kwargs else task
        if hasattr(task, "manifest"):
            if name == "train":
                ti = SimpleNamespace(xcom_pull=lambda **_: "2026.11.22")
                known = {{"params": {{"recipe": "qwen3-14b"}}, "task": task, "ti": ti}}
                task.render_template_fields(known, dag.get_template_env())
            tasks[task.task_id] = task
found["clean"] = "kubernetes" not in sys.modules
from kubernetes.client import ApiClient
from chimed_airflow import model_server
from chimed_airflow.pod_run import PodRun
plain = ApiClient().sanitize_for_serialization
for name, task in tasks.items():
    run = PodRun(manifest=task.manifest(), task_id=name, execution_timeout=task.execution_timeout)
    how = [run.durable, run.deferrable, run.on_finish_action, run.on_kill_action, run.get_logs]
    pool = [task.pool, task.pool_slots]
    found[name] = {{"object": plain(run.build_pod_request_obj()), "pool": pool, "how": how}}
found["waits"] = waits
found["servers"] = model_server.objects("build_dataset/manual__1")
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
def rendered(tmp_path_factory) -> dict:
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
        "CHIMED_VLLM_FLAGS": "--max-model-len '4096 tokens'",  # split as a shell would
    }
    done = subprocess.run([sys.executable, "-c", RENDER], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def pods(rendered) -> dict[str, dict]:
    return {name: one["object"] for name, one in rendered.items() if name not in ("clean", "servers", "waits")}


def test_dags_do_not_import_kubernetes(rendered) -> None:
    assert rendered["clean"]


def test_which_tasks_are_pods(pods) -> None:
    scored = {f"evaluate_{phase}" for phase in ("base", *PHASES)}
    assert set(pods) == {"perplexity", *PHASES} | scored


def test_leftovers_are_deleted_once_every_pods_task_has_ended(rendered, pods) -> None:
    waited = set()
    for teardown, rule, upstream in rendered["waits"].values():
        assert (teardown, rule) == (True, "all_done_setup_success")
        waited |= set(upstream)
    assert waited == {*pods, "compare"}  # by name and directly: a task between may end before them


def test_pods_get_typed_settings(monkeypatch) -> None:
    from chimed.settings import Settings
    from chimed_airflow.manifests import environment

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


def test_the_cluster_takes_every_object_as_it_is(rendered, pods) -> None:
    for found in [*pods.values(), *rendered["servers"]]:
        kubernetes_validate.validate(found, "1.34", strict=True)


def test_every_pod_keeps_to_the_level_restricted(rendered, pods) -> None:
    servers = [one["spec"]["template"] for one in rendered["servers"] if one["kind"] == "Deployment"]
    assert len(servers) == 2
    for pod in [*pods.values(), *servers]:
        assert check_manifests.broken(pod["spec"]) == []
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            writable = {one["mountPath"] for one in container["volumeMounts"]}
            assert {"/tmp", "/home/chimed", "/dev/shm"} <= writable


BREAKS = {  # what each change to a sound pod breaks; a checker that finds none of them shows nothing
    "hostNetwork": ({"hostNetwork": True}, {}),
    "hostPath": ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, {}),
    "seccomp": ({"securityContext": {"runAsNonRoot": True}}, {}),
    "non-root": ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, {"runAsNonRoot": None}),
    "user 0": ({}, {"runAsUser": 0}),
    "privileged": ({}, {"privileged": True}),
    "escalation": ({}, {"allowPrivilegeEscalation": None}),
    "capabilities": ({}, {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}),
    "proc": ({}, {"procMount": "Unmasked"}),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_of_the_level_is_seen(pods, rule: str) -> None:
    of_pod, of_container = BREAKS[rule]
    spec = json.loads(json.dumps(pods["cpt"]["spec"])) | of_pod
    spec["containers"][0]["securityContext"] |= of_container
    assert any(rule in one for one in check_manifests.broken(spec)), check_manifests.broken(spec)


def test_pods_run_exactly_the_command_a_person_would(pods) -> None:
    chimed = ["python", "-m", "chimed"]
    wanted = {"perplexity": [*chimed, "run", "perplexity", "--build", BUILD, "--shard", "3", "--shards", "8"]}
    wanted |= {phase: [*chimed, "train", phase, *ON] for phase in PHASES}
    wanted |= {f"evaluate_{phase}": [*chimed, "evaluate", phase, *ON] for phase in ("base", *PHASES)}
    assert {name: command(pod) for name, pod in pods.items()} == wanted


def test_every_pod_command_exists(pods) -> None:
    used = {(argv[3], flag.split("=")[0]) for argv in map(command, pods.values()) for flag in argv if flag[:2] == "--"}
    assert {name for name, _ in used} == {"run", "train", "evaluate"}
    told = {}
    for name in {name for name, _ in used}:
        argv = [sys.executable, "-m", "chimed", name, "--help"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "include"), "COLUMNS": "200", "TERM": "dumb"}
        told[name] = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    for name, flag in used:
        assert flag in told[name], name


def test_pods_go_to_gpu_nodes(pods) -> None:
    for name, pod in pods.items():
        spec, gpus = pod["spec"], "8" if name in PHASES else "1"
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A40"}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
        container = spec["containers"][0]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert container["resources"]["limits"]["memory"] == f"{48 * int(gpus)}Gi"
        asked = {"cpu": str(4 * int(gpus)), "memory": f"{24 * int(gpus)}Gi"}
        disk = "200Gi" if gpus == "8" else "80Gi"
        assert container["resources"]["requests"] == asked | {"ephemeral-storage": disk}
        assert {"name": "scratch", "emptyDir": {"sizeLimit": disk}} in spec["volumes"]
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in spec["volumes"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["terminationGracePeriodSeconds"] >= 60
        assert spec["serviceAccountName"] == "chimed"


def test_pods_outlive_their_worker_within_limits(rendered, pods) -> None:
    days = {"perplexity": 1} | dict.fromkeys(PHASES, 4)
    for name, pod in pods.items():
        assert rendered[name]["pool"] == ["gpus", 8 if name in PHASES else 1]
        assert rendered[name]["how"] == [True, True, "delete_succeeded_pod", "delete_pod", True]
        assert pod["spec"]["activeDeadlineSeconds"] == int(days.get(name, 0.5) * 24 * 3600) + 300


LAKE = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
}
STORE, HUB = {"CHIMED_STORE", "CHIMED_STORE_PASSWORD"}, {"HF_TOKEN", "HF_ENDPOINT"}


def secrets(container: dict) -> dict[str, str]:
    """A container's variables that come from the secret, and of which key."""
    assert not container.get("envFrom")
    found = [one for one in container["env"] if "valueFrom" in one]
    assert {one["valueFrom"]["secretKeyRef"]["name"] for one in found} == {"chimed"}
    return {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in found}


def test_every_pod_gets_only_its_secrets(rendered, pods) -> None:
    assert "not-for-pods" not in json.dumps(rendered)
    for name, pod in pods.items():
        (container,) = pod["spec"]["containers"]
        variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        assert variables["CHIMED_DATA"] == "s3://lake/chimed"
        assert not {"CHIMED_STORE", "CHIMED_LLM_KEY", "CHIMED_COMPUTE"} & set(variables)
        assert set(secrets(container)) == LAKE | HUB | (set() if name.startswith("evaluate") else STORE), name
    for one in rendered["servers"]:
        if one["kind"] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert secrets(container) == {"VLLM_API_KEY": "CHIMED_LLM_KEY"} | {name: name for name in HUB}


def test_model_servers_have_owner_and_probes(rendered) -> None:
    made = {(one["kind"], one["metadata"]["name"]): one for one in rendered["servers"]}
    assert set(made) == {(kind, name) for kind in ("Deployment", "Service") for name in ("generator", "judge")}
    for (kind, name), one in made.items():
        about = one["metadata"]["annotations"]
        assert about["chimed/owner"] == "build_dataset/manual__1"
        left = datetime.fromisoformat(about["chimed/keep-until"]) - datetime.now(UTC)
        assert timedelta(minutes=30) < left <= timedelta(hours=1)
        if kind == "Service":
            continue
        assert one["spec"]["strategy"] == {"type": "Recreate"}
        spec = one["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A40"}
        (container,) = spec["containers"]
        assert f"chimed-{name}" in container["args"]
        assert container["args"][-2:] == ["--max-model-len", "4096 tokens"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/health", "port": 8000, "scheme": "HTTP"}
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 3600  # 65 GB are downloaded first
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_weights_go_where_a_container_may_write(rendered, pods) -> None:
    servers = [one["spec"]["template"] for one in rendered["servers"] if one["kind"] == "Deployment"]
    for one in (*pods.values(), *servers):
        (container,) = one["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        (home,) = [each["value"] for each in container["env"] if each["name"] == "HF_HOME"]
        assert any(Path(home).is_relative_to(mount["mountPath"]) for mount in container["volumeMounts"]), home


def test_weights_pull_secret_and_priority_come_by_settings(monkeypatch) -> None:
    from chimed.settings import Settings
    from chimed_airflow.manifests import pod

    plain = pod(["run", "perplexity"], 1, Settings())["spec"]
    assert not {"imagePullSecrets", "priorityClassName"} & set(plain)
    for name, value in {"MODELS_VOLUME": "weights", "PULL_SECRET": "registry", "PRIORITY_CLASS": "batch"}.items():
        monkeypatch.setenv(f"CHIMED_K8S_{name}", value)
    spec = pod(["run", "perplexity"], 1, Settings())["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "batch"
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "weights"}} in spec["volumes"]
    (container,) = spec["containers"]
    assert {"name": "HF_HOME", "value": "/models"} in container["env"]
    assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]
