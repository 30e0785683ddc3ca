"""`python -m chimed_airflow.local demo | up | down`: an Airflow of this machine with the replica and the tiny models.

demo runs everything once through the real DAGs, prints what came out, stops what it started; up leaves the UI running.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import typer

from chimed import processes
from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed_airflow import pools
from chimed_airflow.local import home, summary
from chimed_airflow.local.rest import Api
from chimed_airflow.local.watch import POLL, TaskFailed, Watch
from chimed_airflow.weeks import week

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

COMPONENTS = {
    "api": ("api-server", "--apps", "core", "--host", home.HOST, "--port"),
    "execution": ("api-server", "--apps", "execution", "--host", home.HOST, "--port"),
    # without the flag they serve logs on all interfaces
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
READY = 240  # seconds for Airflow to be healthy and its DAGs to be read
CASCADE = 120  # seconds for an asset to start the next DAG
Making = Callable[[Callable[[], object]], None]  # waits for the tiny models, and does something meanwhile


def _dags() -> tuple[str, ...]:
    return (*(f"crawl_{source}" for source in source_names()), "build_dataset", "train_models")


@dataclass
class Start:
    """One start of everything: its ports, environment and clock."""

    ports: home.Ports
    environment: dict[str, str]
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print the text, each line with the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        for line in text.splitlines():
            print(f"{minutes:2d}:{seconds:02d} {line}", flush=True)

    def run(self, name: str, *argv: str, python: str = sys.executable) -> None:
        """Start one of the demo's processes."""
        processes.start([python, *argv], home.NOTES / f"{name}.json", home.LOGS / f"{name}.log", self.environment)

    def check(self) -> None:
        """Raise TaskFailed with the end of the log where one of the processes has died."""
        for name in (*COMPONENTS, "replica"):
            if processes.running_pid(home.NOTES / f"{name}.json") is None:
                raise TaskFailed(
                    f"{name} died; the end of its log:\n{processes.last_lines(home.LOGS / f'{name}.log', 20)}"
                )


class Stopped(BaseException):
    """The user, or the system, asked the launcher to end."""


@app.command()
def demo() -> None:
    """Run crawl, build, training and evaluation once on the replica, print the result, and stop everything."""
    start = _begin()
    try:
        api, making = _bring_up(start)
        watch = Watch(api, start.say)
        build, train = _run_all(start, watch, making)
        summary.show(start.environment, build, train, watch.seconds, time.monotonic() - start.began)
    finally:
        _stop()


@app.command()
def up() -> None:
    """Start Airflow with the replica and the tiny models, and leave it running."""
    start = _begin()
    try:
        _, making = _bring_up(start)
        making(start.check)
    except BaseException:
        _stop()
        raise
    start.say(f"Airflow: http://{home.HOST}:{start.ports.ui}  (trigger the five crawls; the rest follows by itself)")
    start.say("stop it with: make down")


@app.command()
def down() -> None:
    """Stop what up or an interrupted demo left running."""
    print("stopped: " + (", ".join(_stop()) or "nothing was running"))


# --- starting and stopping --------------------------------------------------------------------------------------


def _begin() -> Start:
    running = [note.stem for note in home.NOTES.glob("*.json") if processes.running_pid(note)]
    if running:
        raise UserError(
            f"the demo's Airflow is running already ({', '.join(sorted(running))}); stop it with: make down"
        )
    if not shutil.which(settings().models_python):
        raise UserError(
            f"no interpreter at {settings().models_python} (CHIMED_MODELS_PYTHON); install with: make install"
        )
    home.AIRFLOW.mkdir(parents=True, exist_ok=True)
    ports = home.free_ports()
    return Start(ports, home.environment(ports) | {"CHIMED_MODELS_PYTHON": settings().models_python})


def _bring_up(start: Start) -> tuple[Api, Making]:
    """Start everything; return a client of Airflow's API, and a function that waits for the tiny models."""
    making = _make_models(start)
    start.run("replica", "-m", "chimed_demo.replica", "--port", str(start.ports.replica))
    start.say("starting Airflow and the replica of the five sites")
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    made = subprocess.run(migrate, env=start.environment, capture_output=True, text=True, cwd=home.STATE)
    if made.returncode:
        raise TaskFailed(f"airflow db migrate failed:\n{made.stdout[-1500:]}{made.stderr[-1500:]}")
    ports = {"api": [str(start.ports.ui)], "execution": [str(start.ports.execution)]}
    for name, argv in COMPONENTS.items():
        start.run(name, "-m", "airflow", *argv, *ports.get(name, []))
    api = Api(f"http://{home.HOST}:{start.ports.ui}")
    _wait(start, "Airflow", api.healthy)
    for name, pool in pools.wanted().items():
        api.post("/pools", {"name": name, **pool})
    _wait(start, "the DAGs", lambda: all(api.get(f"/dags/{dag}") for dag in _dags()))
    for dag in _dags():
        api.patch(f"/dags/{dag}", {"is_paused": False})
    start.say(f"Airflow is up: http://{home.HOST}:{start.ports.ui}")
    return api, making


def _wait(start: Start, what: str, ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + READY
    while not ready():
        start.check()
        if time.monotonic() > deadline:
            raise TaskFailed(f"{what} not ready after {READY} s; logs in {home.LOGS}")
        time.sleep(0.5)


def _make_models(start: Start) -> Making:
    """Start to make the tiny models where they do not exist; return a function that waits for them."""
    folders = home.model_folders().values()
    if all(folder.is_dir() for folder in folders):
        return lambda meanwhile: None
    start.say("making the tiny models meanwhile, once; they are kept in .chimed/models")
    note, log = home.NOTES / "models.json", home.LOGS / "models.log"
    start.run("models", "-m", "chimed_demo.models", python=settings().models_python)

    def made(meanwhile: Callable[[], object]) -> None:
        told = time.monotonic()
        while processes.running_pid(note):
            meanwhile()
            if time.monotonic() - told > 30:
                told = time.monotonic()
                start.say(f"  … waiting for the tiny models: {processes.last_lines(log, 1)[-100:]}")
            time.sleep(POLL)
        note.unlink(missing_ok=True)
        if not all(folder.is_dir() for folder in folders):
            raise TaskFailed(f"the tiny models could not be made:\n{processes.last_lines(log, 20)}")

    return made


def _stop() -> list[str]:
    """Stop the scheduler with its tasks, the other processes, and last the model servers. Cannot be interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    stopped = processes.end([*home.NOTES.glob("scheduler.json")])
    stopped += processes.end(sorted(home.NOTES.glob("*.json")))
    return stopped + processes.end(sorted((home.STATE / "scratch").glob("*.json")))


# --- running everything once ------------------------------------------------------------------------------------


def _run_all(start: Start, watch: Watch, making: Making) -> tuple[str, str]:
    """Crawls, waits for build and training, which the assets start; returns the release and its recipe."""
    crawls = [f"crawl_{source}" for source in source_names()]
    before = {dag: watch.runs(dag) for dag in _dags()}
    key = _next_key([run["partition_key"] for dag in crawls for run in before[dag] if run["partition_key"]])
    known = {run["dag_run_id"] for dag in _dags() for run in before[dag]}
    mode = "refresh" if before["train_models"] else "full"
    start.say(f"crawling the five sites for the week of {key} ({mode})")
    runs: dict[str, str] = {}
    for dag in crawls:
        if dag == crawls[-1]:  # with the last of them the build begins, which needs the models
            making(lambda: watch.look(runs))
        asked = {"logical_date": None, "partition_key": key, "conf": {"mode": mode}}
        runs[dag] = watch.api.post(f"/dags/{dag}/dagRuns", asked)["dag_run_id"]
    watch.until_done(runs, start.check)
    build = watch.until_started("build_dataset", key, known, start.check, CASCADE)
    start.say("all five sites are there: build_dataset has started")
    watch.until_done({"build_dataset": build}, start.check)
    release = watch.api.get(f"/dags/build_dataset/dagRuns/{build}/taskInstances/open_build/xcomEntries/return_value")
    version = release["value"].strip('"')
    train = watch.until_started("train_models", version, known, start.check, CASCADE)
    start.say(f"release {version} is there: train_models has started")
    watch.until_done({"train_models": train}, start.check)
    return version, "demo"


def _next_key(keys: list[str]) -> str:
    """Return the key of the next crawl: the week that ended last, or the week after the last one crawled.

    A key starts only one build, so no week is crawled twice.
    """
    last = week(None, datetime.now(UTC))
    later = [week(key, datetime.now(UTC)).since + timedelta(days=7) for key in keys]
    return max([last.since, *later]).isoformat()


def main() -> None:
    """Entry point: what went wrong is said in a few lines, never as a traceback."""

    def asked_to_end(number: int, frame: object) -> None:
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked_to_end)
    try:
        app()
    except UserError as error:
        print(f"chimed: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (TaskFailed, RuntimeError) as error:
        print(f"\nfailed: {error}\nlogs: {home.LOGS} and {home.AIRFLOW / 'logs'}", file=sys.stderr)
        raise SystemExit(1) from None
    except Stopped:
        print("\nstopped", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
