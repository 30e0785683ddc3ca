"""The real operators against a stand-in API server: pods made, followed, deleted; model servers up and always down."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_server
import pytest
from kubernetes_server import Cluster

pytestmark = pytest.mark.slow  # the kubernetes client takes seconds to import

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    with kubernetes_server.serving() as found:
        yield found


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """An Airflow's database in which nothing ever ran."""
    file = tmp_path_factory.mktemp("airflow") / "airflow.db"
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{file}"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return file


def run(cluster: Cluster, tmp_path: Path, code: str, database: Path | None = None, **more: str) -> str:
    """What a DAG file prints, run as a program, that has the cluster for its own, and a copy of the database."""
    folder = tmp_path / "dags"
    folder.mkdir()
    if database:
        shutil.copy(database, tmp_path / "airflow.db")
    (folder / "made.py").write_text(code)
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "include"),
        "KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        "TMPDIR": str(tmp_path),  # where the client remembers what a cluster offers
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db?timeout=60",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(tmp_path / "logs"),
        "CHIMED_COMPUTE": "kubernetes",
        "CHIMED_K8S_IMAGE": "example.org/chimed-gpu:1",
        **more,
    }
    done = subprocess.run([sys.executable, folder / "made.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


PODS = """
import json
from airflow.sdk import DAG
from chimed_airflow.pods import ChimedPod
commands = {"perplexity": ["shards", "--help"], "screen": ["run", "no-such-stage"]}
with DAG("pods", schedule=None) as dag:
    for name, command in commands.items():
        task = ChimedPod(task_id=name, command=command, gpus=1, retries=0)
        task.poll_interval = task.logging_interval = 1
if __name__ == "__main__":
    run = dag.test()
    print(json.dumps({"states": {ti.task_id: ti.state for ti in run.get_task_instances()}}))
"""


def test_pods_are_made_and_followed_what_ended_well_is_deleted_and_what_failed_is_kept_for_a_look(
    cluster, tmp_path, database
) -> None:
    said = run(cluster, tmp_path, PODS, database)
    states = json.loads(said[said.index('{"states"') :].splitlines()[0])["states"]
    assert states == {"perplexity": "success", "screen": "failed"}
    assert "how many shards a stage of a build has" in said  # the pod's log, in the task's
    made = sorted(name.split("/")[1] for method, name in cluster.asked if method == "POST")
    assert [name.rsplit("-", 1)[0] for name in made] == ["chimed-perplexity", "chimed-screen"]
    assert cluster.names("pods") == made[1:]
    kept = cluster.there["pods", made[1]]
    assert kept["status"]["phase"] == "Failed"
    assert "unknown stage 'no-such-stage'" in "".join(kept["log"])
    assert [name.split("/")[1] for method, name in cluster.asked if method == "DELETE"] == made[:1]


KILL = """
import asyncio, json
from airflow.sdk import DAG
from chimed_airflow import pods
with DAG("pods", schedule=None):
    tasks = {name: pods.ChimedPod(task_id=name, command=["train", name], gpus=8) for name in ("cpt", "dpo")}
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
triggers, made = [], {}
for name, task in tasks.items():
    task.defer = lambda trigger, **more: triggers.append(trigger)
    task.pod = task.pod_manager.create_pod(task.build_pod_request_obj())
    task.trigger_start_time = None
    made[name] = task.pod.metadata.name
tasks["cpt"].invoke_defer_method({})
asyncio.run(triggers[0].on_kill())
tasks["dpo"].on_kill()
print(json.dumps({"made": made}))
"""


def test_marking_a_task_failed_deletes_its_pod_with_time_for_a_checkpoint_deferred_or_not(cluster, tmp_path) -> None:
    said = run(cluster, tmp_path, KILL)
    made = json.loads(said[said.index('{"made"') :].splitlines()[0])["made"]
    assert cluster.names("pods") == []
    for name in made.values():
        assert int(cluster.deleted[name]["gracePeriodSeconds"]) >= 60, name


SERVERS = """
import json
from airflow.sdk import DAG
from chimed.llm import servers
from chimed_airflow.model_server import model_servers
from chimed_airflow.tasks import ChimedOperator
dags = []
for name, command in (("works", ["serve", "up", "--timeout=1"]), ("breaks", ["run", "nothing"])):
    with DAG(name, schedule=None, default_args={"retries": 0}) as dag:
        stage = ChimedOperator(task_id="stage", command=command)
        begin, end = model_servers()
        begin >> stage >> end
    dags.append(dag)
if __name__ == "__main__":
    for dag in dags:
        run = dag.test()
        states = {ti.task_id: ti.state for ti in run.get_task_instances()}
        print(json.dumps({"dag": dag.dag_id, "state": run.state, "tasks": states}))
"""


def test_model_servers_are_awaited_and_taken_down_also_when_a_stage_fails(cluster, tmp_path, database) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("localhost", "127.0.0.1"), free_ports(), strict=True)]
    there = {"CHIMED_SERVE": "kubernetes", "CHIMED_LLM_URL": urls[0], "CHIMED_JUDGE_URL": urls[1]}
    said = run(cluster, tmp_path, SERVERS, database, **there)
    works, breaks = (json.loads(line) for line in said.splitlines() if line.startswith('{"dag"'))
    assert (works["state"], set(works["tasks"].values())) == ("success", {"success"})
    assert breaks["state"] == "failed"
    assert {name for name, state in breaks["tasks"].items() if state != "success"} == {"stage"}
    changes = [(method, name) for method, name in cluster.asked if method in ("PATCH", "DELETE")]
    names = ["deployments/127", "deployments/localhost", "services/127", "services/localhost"]
    once = [[("PATCH", name) for name in names], [("DELETE", name) for name in names]]
    assert [sorted(changes[start : start + 4]) for start in range(0, len(changes), 4)] == once * 2
    assert cluster.there == {}


TWICE = """
from airflow.sdk import DAG
from chimed_airflow.model_server import model_servers
with DAG("servers", schedule=None):
    begin, end = model_servers()
for task in [*begin, *begin, *end, *end]:
    if hasattr(task, "yaml_conf"):
        type(task).execute.__wrapped__(task, {}) if hasattr(type(task).execute, "__wrapped__") else task.execute({})
"""


def test_making_and_deleting_twice_is_as_good_as_once(cluster, tmp_path) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("one.chimed", "two.chimed"), free_ports(), strict=True)]
    run(cluster, tmp_path, TWICE, CHIMED_SERVE="kubernetes", CHIMED_LLM_URL=urls[0], CHIMED_JUDGE_URL=urls[1])
    methods = [method for method, _ in cluster.asked if method != "GET"]
    assert methods == ["PATCH"] * 8 + ["DELETE"] * 8
    assert cluster.there == {}


def free_ports() -> list[int]:
    import socket

    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
