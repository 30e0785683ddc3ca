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


POD = """
import json
from airflow.sdk import DAG
from chimed_airflow.pods import ChimedPod
with DAG("pods", schedule=None) as dag:
    task = ChimedPod(task_id="perplexity", command={command!r}, gpus=1, retries=0)
    task.poll_interval = task.logging_interval = 1
if __name__ == "__main__":
    run = dag.test()
    print(json.dumps({{"state": run.state}}))
"""


def test_a_pod_is_made_followed_and_deleted_when_it_has_ended_well(cluster, tmp_path, database) -> None:
    said = run(cluster, tmp_path, POD.format(command=["shards", "--help"]), database)
    assert json.loads(said[said.index('{"state"') :].splitlines()[0]) == {"state": "success"}
    assert "How many shards a stage of a build has" in said  # the pod's log, in the task's
    made = [name for method, name in cluster.asked if method == "POST"]
    assert [name.split("/")[1].startswith("chimed-perplexity") for name in made] == [True]
    assert cluster.names("pods") == []


def test_a_pod_that_fails_is_kept_for_a_look(cluster, tmp_path, database) -> None:
    said = run(cluster, tmp_path, POD.format(command=["run", "no-such-stage"]), database)
    assert json.loads(said[said.index('{"state"') :].splitlines()[0]) == {"state": "failed"}
    (name,) = cluster.names("pods")
    kept = cluster.there["pods", name]
    assert kept["status"]["phase"] == "Failed"
    assert "unknown stage 'no-such-stage'" in "".join(kept["log"])
    assert not [asked for asked in cluster.asked if asked[0] == "DELETE"]


KILL = """
import asyncio, json
from airflow.sdk import DAG
from chimed_airflow import pods
with DAG("pods", schedule=None):
    task = pods.ChimedPod(task_id="cpt", command=["train", "cpt"], gpus=8)
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
found = []
task.defer = lambda trigger, **more: found.append(trigger)
pod = task.build_pod_request_obj()
pod = task.pod_manager.create_pod(pod)
task.pod = pod
task.trigger_start_time = None
task.invoke_defer_method({{}}) if {deferred} else None
asyncio.run(found[0].on_kill()) if {deferred} else task.on_kill()
print(json.dumps({{"name": pod.metadata.name}}))
"""


@pytest.mark.parametrize("deferred", [True, False])
def test_marking_a_task_failed_deletes_its_pod_with_time_for_a_checkpoint(cluster, tmp_path, deferred) -> None:
    said = run(cluster, tmp_path, KILL.format(deferred=deferred))
    name = json.loads(said[said.index('{"name"') :].splitlines()[0])["name"]
    assert cluster.names("pods") == []
    assert int(cluster.deleted[name]["gracePeriodSeconds"]) >= 60


SERVERS = """
import json
from airflow.sdk import DAG
from chimed import serve
from chimed_airflow.model_server import model_servers
from chimed_airflow.tasks import ChimedOperator
with DAG("servers", schedule=None, default_args={{"retries": 0}}) as dag:
    stage = ChimedOperator(task_id="stage", command={command!r})
    begin, end = model_servers()
    begin >> stage >> end
if __name__ == "__main__":
    run = dag.test()
    print(json.dumps({{"state": run.state, **{{ti.task_id: ti.state for ti in run.get_task_instances()}}}}))
"""


@pytest.mark.parametrize(
    ("command", "state"), [(["serve", "up", "--timeout=1"], "success"), (["run", "nothing"], "failed")]
)
def test_model_servers_are_awaited_and_taken_down_also_when_a_stage_fails(
    cluster, tmp_path, database, command, state
) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("localhost", "127.0.0.1"), free_ports(), strict=True)]
    there = {"CHIMED_SERVE": "kubernetes", "CHIMED_LLM_URL": urls[0], "CHIMED_JUDGE_URL": urls[1]}
    said = run(cluster, tmp_path, SERVERS.format(command=command), database, **there)
    states = json.loads(said[said.index('{"state"') :].splitlines()[0])
    assert states.pop("stage") == states["state"] == state
    assert {name: one for name, one in states.items() if one != "success"} == (
        {} if state == "success" else {"state": state}
    )
    applied = [name for method, name in cluster.asked if method == "PATCH"]
    assert sorted(applied) == ["deployments/127", "deployments/localhost", "services/127", "services/localhost"]
    assert sorted(cluster.deleted) == ["127", "localhost"]
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
