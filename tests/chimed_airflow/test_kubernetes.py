"""The real operators against a stand-in API server: pods made, followed, deleted; model servers up and always down."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import kubernetes_server
from support.kubernetes_server import Cluster

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
from chimed_airflow import pod_run
from chimed_airflow.pods import ChimedPod
pod_run.POLL = 1
commands = {"perplexity": ["shards", "--help"], "screen": ["run", "no-such-stage"]}
with DAG("pods", schedule=None) as dag:
    for name, command in commands.items():
        ChimedPod(task_id=name, command=command, gpus=1, retries=0)
if __name__ == "__main__":
    run = dag.test()
    print(json.dumps({"states": {ti.task_id: ti.state for ti in run.get_task_instances()}}))
"""


def test_only_failed_pods_are_kept(cluster, tmp_path, database) -> None:
    said = run(cluster, tmp_path, PODS, database)
    states = json.loads(said[said.index('{"states"') :].splitlines()[0])["states"]
    assert states == {"perplexity": "success", "screen": "failed"}
    assert "how many shards a stage of a build has" in said  # the pod's log, in the task's
    made = sorted(name.split("/")[1] for method, name in cluster.asked if method == "POST")
    assert [name.rsplit("-", 1)[0] for name in made] == ["chimed-run-no-such-stage", "chimed-shards---help"]
    assert cluster.names("pods") == made[:1]
    kept = cluster.there["pods", made[0]]
    assert kept["status"]["phase"] == "Failed"
    assert "unknown stage 'no-such-stage'" in "".join(kept["log"])
    assert [name.split("/")[1] for method, name in cluster.asked if method == "DELETE"] == made[1:]


def play(cluster: Cluster, tmp_path: Path, ends: int, seed: int = 1) -> dict:
    """What `pod_life` tells of so many ended attempts."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "include"),
        "KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": "kubernetes://",
        "TMPDIR": str(tmp_path),
        "CHIMED_COMPUTE": "kubernetes",
    }
    argv = [sys.executable, str(PROJECT / "tests" / "support" / "pod_life.py"), str(ends), str(seed)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(1300)
def test_no_ended_task_holds_a_gpu(cluster, tmp_path) -> None:
    """Every way to end once; `CHIMED_KILLS=50` for more, at random."""
    cluster.gpus = 8
    ends = int(os.environ.get("CHIMED_KILLS", "9"))
    told = play(cluster, tmp_path, ends)
    assert len({end for _, _, end, _ in told["told"]}) == 9
    deadline = time.monotonic() + 20
    while cluster.active() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert cluster.active() == []
    assert cluster.most_held == 8  # never two pods of eight GPUs, though most attempts were broken off
    print(f"{ends} attempts ended, {told['deleted']} pods deleted by the teardown, {len(cluster.active())} orphans")


SERVERS = """
import json
from airflow.sdk import DAG
from chimed_airflow.model_server import model_servers
from chimed_airflow.tasks import ChimedOperator
dags = []
for name, command in (("works", ["serve", "up", "--timeout=1"]), ("breaks", ["run", "nothing"]), ("half", ["status"])):
    with DAG(name, schedule=None, default_args={"retries": 0}) as dag:
        stage = ChimedOperator(task_id="stage", command=command)
        begin, end = model_servers()
        begin >> stage >> end
    if name == "half":  # the servers are there, and what waits for them fails or is marked failed
        dag.get_task("serve_up").first = ["run", "nothing"]
    dags.append(dag)
if __name__ == "__main__":
    for dag in dags:
        run = dag.test()
        states = {ti.task_id: ti.state for ti in run.get_task_instances()}
        print(json.dumps({"dag": dag.dag_id, "state": run.state, "tasks": states}))
"""


def test_model_servers_are_always_taken_down(cluster, tmp_path, database) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("localhost", "127.0.0.1"), free_ports(), strict=True)]
    there = {"CHIMED_SERVE": "kubernetes", "CHIMED_LLM_URL": urls[0], "CHIMED_JUDGE_URL": urls[1]}
    said = run(cluster, tmp_path, SERVERS, database, **there)
    works, breaks, half = (json.loads(line) for line in said.splitlines() if line.startswith('{"dag"'))
    assert (works["state"], set(works["tasks"].values())) == ("success", {"success"})
    assert breaks["state"] == half["state"] == "failed"
    assert {name for name, state in breaks["tasks"].items() if state != "success"} == {"stage"}
    assert {name for name, state in half["tasks"].items() if state != "success"} == {"serve_up", "stage"}
    names = {"deployments/127", "deployments/localhost", "services/127", "services/localhost"}
    for method in ("PATCH", "DELETE"):
        assert {name for how, name in cluster.asked if how == method} == names
    assert cluster.there == {}


LIFE = """
import json, sys
from datetime import UTC, datetime, timedelta
from kubernetes import client, config
from chimed_airflow import cluster_servers, leftovers, model_server
mine, other = "build_dataset/one", "build_dataset/two"
config.load_kube_config()
def sweep(after):
    return leftovers.delete_expired(client.ApiClient(), "chimed", datetime.now(UTC) + timedelta(minutes=after))
told = {}
for _ in range(2):
    cluster_servers.apply(model_server.objects(mine))
told["young"] = sweep(30)
early = model_server.objects(mine)
for one in early:
    one["metadata"]["annotations"]["chimed/keep-until"] = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
cluster_servers.renew(early)
told["renewed"] = sweep(90)
cluster_servers.apply(model_server.objects(other))
cluster_servers.delete(model_server.objects(mine), mine)
told["old"] = sorted(sweep(61))
cluster_servers.ensure(model_server.objects(other))
for _ in range(2):
    cluster_servers.delete(model_server.objects(other), other)
print(json.dumps(told))
"""


def test_servers_live_while_renewed(cluster, tmp_path) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("one.chimed", "two.chimed"), free_ports(), strict=True)]
    connection = {"AIRFLOW_CONN_KUBERNETES_DEFAULT": "kubernetes://"}
    said = run(cluster, tmp_path, LIFE, CHIMED_LLM_URL=urls[0], CHIMED_JUDGE_URL=urls[1], **connection)
    told = json.loads(said[said.index('{"young"') :].splitlines()[0])
    # one run's teardown left the other's; when their time was over they were deleted, and a stage brought them back
    assert told == {"young": [], "renewed": [], "old": ["one", "one", "two", "two"]}
    assert cluster.there == {}


DEAD = """
import asyncio, json, sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from airflow.sdk.exceptions import TaskDeferred
from kubernetes import client, config
from chimed_airflow import leftovers
from chimed_airflow.pods import ChimedPod
sys.path.insert(0, "TESTS")
from support import pod_life
config.load_kube_config()
def until(pod):
    return datetime.fromisoformat(pod.metadata.annotations["chimed/keep-until"]) - datetime.now(UTC)
def sweep(minutes):
    return leftovers.delete_expired(client.ApiClient(), "chimed", datetime.now(UTC) + timedelta(minutes=minutes))
triggers = {}
for number, gpus in enumerate((1, 1000)):  # one runs, one stays Pending
    task = pod_life.Task(task_id=f"task_{number}", command=["train", "cpt"], gpus=gpus)
    task.code = pod_life.CHECKPOINT
    try:
        task.execute(pod_life.context(number, 1, {}))
    except TaskDeferred as deferred:
        triggers[number] = deferred.trigger
core, said = client.CoreV1Api(), {}
name = triggers[1].pod_name
said["class"] = triggers[0].serialize()[0].rsplit(".", 1)[1]
said["young"] = sweep(55)
long_ago = {"chimed/keep-until": "2026-01-01T00:00:00+00:00"}
core.patch_namespaced_pod(name, "chimed", {"metadata": {"annotations": long_ago}})
async def followed(seconds):
    try:
        await asyncio.wait_for(pod_life.event_of(triggers[1]), seconds)
    except TimeoutError:
        pass
asyncio.run(followed(3))  # a triggerer follows the one that is Pending, too
said["renewed"] = 59 * 60 < until(core.read_namespaced_pod(name, "chimed")).total_seconds() <= 3600
said["followed"] = sweep(55)
said["phases"] = sorted(one.status.phase for one in pod_life.pods())
said["left by a dead Airflow"] = len(sweep(61))
print(json.dumps(said))
"""


def test_pods_of_a_dead_airflow_are_found(cluster, tmp_path) -> None:
    code = DEAD.replace("TESTS", str(PROJECT / "tests"))
    said = run(cluster, tmp_path, code, AIRFLOW_CONN_KUBERNETES_DEFAULT="kubernetes://")
    assert json.loads(said[said.index('{"class"') :].splitlines()[0]) == {
        "class": "FollowedPodTrigger",
        "young": [],
        "renewed": True,
        "followed": [],
        "phases": ["Pending", "Running"],
        "left by a dead Airflow": 2,
    }
    deadline = time.monotonic() + 20
    while cluster.active() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert cluster.active() == []


AWAY = """
import json
from types import SimpleNamespace
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.llm import client, connecting
from chimed.llm.protocol import Reply, Request
from chimed.settings import settings
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from chimed_airflow import cluster_servers, model_server
model_server.RENEW = 0.3
work = StageContext("2026.11.22", Options(), open_lake(), open_store, settings(), print)
context = {"ti": SimpleNamespace(dag_id="build_dataset"), "run_id": "one"}
def asked(words):
    asks = [Request("p@1", [{"role": "user", "content": f"{words} {n}"}], {}, {"choice": ["a"]}) for n in range(9)]
    return sum(isinstance(one, Reply) for one in client.ask(asks, connecting.generator_server(work), work))
class Stage(model_server.ChimedOperator):
    def execute(self, context):
        told = [asked("while they are new")]
        cluster_servers.delete(model_server.objects("build_dataset/one"), "build_dataset/one")
        return [*told, asked("after somebody deleted them")]
model_server.StageOnServers.__bases__ = (Stage,)
told = model_server.StageOnServers.execute.__wrapped__(model_server.StageOnServers(task_id="a", command=[]), context)
print(json.dumps({"answered": told}))
"""


def test_servers_deleted_under_a_stage_come_back(cluster, tmp_path) -> None:
    urls = [f"http://{host}:{port}/v1" for host, port in zip(("localhost", "127.0.0.1"), free_ports(), strict=True)]
    there = {"CHIMED_SERVE": "kubernetes", "CHIMED_LLM_URL": urls[0], "CHIMED_JUDGE_URL": urls[1]}
    there |= {"AIRFLOW_CONN_KUBERNETES_DEFAULT": "kubernetes://", "CHIMED_DATA": str(tmp_path / "lake")}
    there |= {"CHIMED_STORE": f"sqlite:///{tmp_path}/store.db", "CHIMED_LLM_PATIENCE": "60"}
    said = run(cluster, tmp_path, AWAY, **there)
    assert json.loads(said[said.index('{"answered"') :].splitlines()[0]) == {"answered": [9, 9]}
    assert said.count("made anew: ") >= 2  # at the beginning, and under its feet
    assert cluster.names("deployments") == ["127", "localhost"]


def free_ports() -> list[int]:
    import socket

    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
