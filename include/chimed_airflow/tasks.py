"""How a `chimed` command becomes an Airflow task: a process, its lines in the task's log, its result in XCom.

The command is the one an engineer types. It runs in a session of its own, so that killing the task ends all it started.
Exit code 2 is a user's mistake, which no retry mends.
"""

import ast
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from chimed import stages
from chimed.errors import choose
from chimed.settings import PROJECT, settings
from chimed_airflow.links import PagesLink

OWNER = "chimed"
LAST_LINES = 20  # of a failed command, told in the error
GRACE = 3  # seconds between asking a command to end and killing it; Airflow kills the task itself after 5

DEFAULTS = {
    "owner": OWNER,
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
}


class ChimedOperator(BaseOperator):
    """Runs `python -m chimed <command>` on this machine. An argument that renders to nothing is left out.

    :param command: the arguments (templated).
    :param shard: adds `--shard N`; what a mapped stage expands over.
    :param models: run in the models' environment (torch, vLLM), not in Airflow's.
    :param on_retry: a command run first when the task is tried again, as bringing up what may have died.
    :param returns: makes the XCom of the command's result; by default the result itself.
    :param asset_key: partition key of the outlets' events (templated); their extra is the XCom.
    """

    template_fields = ("command", "asset_key")
    operator_extra_links = (PagesLink(),)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        command: Sequence[str],
        shard: int | None = None,
        models: bool = False,
        on_retry: Sequence[str] = (),
        returns: Callable[[Any], Any] | None = None,
        asset_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.shard = shard
        self.models = models
        self.on_retry = on_retry
        self.returns = returns
        self.asset_key = asset_key
        self._process: subprocess.Popen | None = None

    def execute(self, context: Any) -> Any:
        """Runs the command, and tells those who wait for its outlets."""
        if self.on_retry and context["ti"].try_number > 1:
            self._run(arguments(self.on_retry))
        result = self._run(arguments(self.command, self.shard))
        value = self.returns(result) if self.returns else result
        for outlet in self.outlets:
            event = context["outlet_events"][outlet]
            event.extra = value if isinstance(value, dict) else {"result": value}
            if self.asset_key:
                event.add_partitions(self.asset_key)
        return value

    def _run(self, argv: list[str]) -> Any:
        self.log.info("python -m chimed %s", " ".join(argv))
        self._process = start([settings().models_python if self.models else sys.executable, "-m", "chimed", *argv])
        try:
            return follow(self._process, self.log.info)
        finally:
            end(self._process)

    def on_kill(self) -> None:
        """Ends the command and all it started, when the task is killed or its time is over."""
        if self._process is not None:
            end(self._process)


def arguments(command: Sequence[str], shard: int | None = None) -> list[str]:
    """A command's arguments without the empty ones, and with its shard."""
    argv = [str(one) for one in command if str(one).strip()]
    return argv if shard is None else [*argv, "--shard", str(shard)]


def where(needs: str) -> tuple[type[BaseOperator], dict[str, Any]]:
    """The operator and its arguments for work that needs `cpu`, `llm`, `gpu` or `train` (as many as its recipe says).

    The client of a model server only waits for it, so `llm` work needs no GPU of its own.
    """
    if needs == "llm" and settings().serve == "local":
        return ChimedOperator, {"on_retry": ["serve", "up"]}
    if needs in ("cpu", "llm"):
        return ChimedOperator, {}
    if settings().compute == "kubernetes":
        from chimed_airflow import pods  # here, not above: the kubernetes client takes seconds to import

        return pods.ChimedPod, {"gpus": "gpus(params.recipe, task.task_id)" if needs == "train" else 1}
    return ChimedOperator, {"models": True}


def gpus(recipe: str, phase: str) -> int:
    """GPUs of the pod that trains a phase of a recipe; a DAG's macro, as the recipe is known when the run starts."""
    from chimed.train import recipe as recipes  # here: it brings Polars, and a DAG file is read every minute

    return recipes.load(choose("recipe", recipe, recipes.names()), phase)["gpus"]


def stage_doc(name: str) -> str:
    """A stage's docstring, read without importing it: some stages need torch or scrapy."""
    return ast.get_docstring(ast.parse((Path(stages.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))) or ""


# --- what a task passes on --------------------------------------------------------------------------------------


def parts(reports: list[dict]) -> list[int]:
    """The shards that the stages after a corpus stage map over: the parts it wrote."""
    return list(range(reports[-1]["parts"]))


def version(opened: dict) -> str:
    """The version of the build that was opened."""
    return opened["version"]


def shard_numbers(total: int) -> list[int]:
    """The numbers to map over, of a number of shards."""
    return list(range(total))


def counts(reports: list[dict]) -> dict[str, int]:
    """A stage's ledger in four numbers: small enough for XCom, whatever the build's size."""
    return {
        "read": sum(report["read"] for report in reports),
        "kept": sum(report["kept"] for report in reports),
        "derived": sum(report["derived"] for report in reports),
        "dropped": sum(sum((report["dropped"] | report["failed"]).values()) for report in reports),
    }


def numbers(result: dict) -> dict[str, Any]:
    """The plain values of a result: names and counts, no tables."""
    return {key: value for key, value in result.items() if isinstance(value, str | int | float | bool)}


# --- processes --------------------------------------------------------------------------------------------------


def start(argv: list[str]) -> subprocess.Popen:
    """Starts a command in a session of its own, with `include/` importable."""
    paths = [str(PROJECT / "include"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    """Asks Linux to end this command when the task's process dies, even by kill -9: a retry must not run beside it."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


def follow(process: subprocess.Popen, say: Callable[[str], None]) -> Any:
    """Passes the command's lines to `say` until it ends; its last line on stdout, if that is JSON, is its result.

    Raises AirflowFailException where the user is wrong (exit code 2), AirflowException where the command failed.
    """
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
    reader.start()
    last: deque[str] = deque(maxlen=LAST_LINES)
    for line in process.stderr or ():
        if text := line.rstrip():
            last.append(text)
            say(text)
    code = process.wait()
    reader.join(timeout=GRACE)
    lines = [line.rstrip() for line in printed if line.strip()]
    result, plain = _result(lines)
    for line in plain:
        say(line)
    told = "\n".join(last) or "it said nothing"
    if code == 2:
        sentence = told.rsplit("chimed: ", 1)[-1]
        raise AirflowFailException(sentence)
    if code != 0:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
        raise AirflowException(f"the command {how}:\n{told}")
    return result


def _result(lines: list[str]) -> tuple[Any, list[str]]:
    """The last line as JSON, and the lines before it; where it is not JSON there is no result."""
    try:
        return json.loads(lines[-1]), lines[:-1]
    except (IndexError, ValueError):
        return None, lines


def end(process: subprocess.Popen) -> None:
    """Ends the process group of a command: asks first, then kills."""
    deadline = time.monotonic() + GRACE
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break  # all of the group are gone
        while process.poll() is None and number == signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.05)
    process.wait()
