"""A `chimed` command as a process of a task: its lines as they come, its result, its end.

It runs in a session of its own, so that killing the task ends all it started. Exit code 2 is a user's mistake, which no
retry mends; exit code 3 a site that wants to be left alone, for as long as the command's result says.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from chimed import processes
from chimed.errors import LEFT_ALONE
from chimed.settings import PROJECT

LAST_LINES = 20  # of a failed command, told in the error
GRACE = 3  # seconds between asking a command to end and killing it; Airflow kills the task itself after 5
LONG_GRACE = 300  # seconds for one that has a checkpoint to write: as long as a pod has
SLOW_TO_END = ("train",)  # commands that write one at SIGTERM; all others lose nothing by being killed


class SiteLeftAlone(AirflowException):
    """A site wants to be left alone. wait: seconds; times: attempts in a row that ended so."""

    def __init__(self, why: str, wait: float, times: int) -> None:
        super().__init__(why)
        self.wait, self.times = wait, times


def arguments(command: Sequence[str], shard: int | None = None) -> list[str]:
    """Return a command's arguments without the empty ones, and with its shard."""
    argv = [str(one) for one in command if str(one).strip()]
    return argv if shard is None else [*argv, "--shard", str(shard)]


def run(command: list[str], say: Callable[[str], None]) -> Any:
    """Run `python -m chimed <command>` in this environment and return its result. Raises the exceptions of `follow`."""
    process = start([sys.executable, "-m", "chimed", *command])
    try:
        return follow(process, say)
    finally:
        end(process)


def start(argv: list[str], more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command in its own session, with `include/` on its Python path. more: further variables."""
    paths = [str(PROJECT / "include"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **(more or {})}
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,
        # a retry must not run beside it
        preexec_fn=processes.die_with_parent if sys.platform == "linux" else None,
    )


def follow(process: subprocess.Popen[str], say: Callable[[str], None]) -> Any:
    """Pass the command's lines to `say` until it ends; return its last line on stdout, if that is JSON.

    Raises AirflowFailException where the user is wrong (exit code 2), SiteLeftAlone where a site is to be asked later
    (exit code 3), AirflowException where the command failed.
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
    if code == LEFT_ALONE and result:
        raise SiteLeftAlone(result["why"], result["wait"], result["times"])
    if code != 0:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
        raise AirflowException(f"the command {how}:\n{told}")
    return result


def _result(lines: list[str]) -> tuple[Any, list[str]]:
    """Parse the last line as JSON; return it and the lines before it, or None and all lines where it is not JSON."""
    try:
        return json.loads(lines[-1]), lines[:-1]
    except (IndexError, ValueError):
        return None, lines


def grace_of(command: Sequence[str]) -> int:
    """Return the seconds that a command is given to end by itself."""
    return LONG_GRACE if command and command[0] in SLOW_TO_END else GRACE


def end(process: subprocess.Popen[str], grace: int = GRACE) -> None:
    """End the process group of a command: SIGTERM first, then SIGKILL after `grace` seconds.

    Airflow may kill the task meanwhile. So where the grace is longer than Airflow's, another process sees to the end.
    """
    deadline = time.monotonic() + grace
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break  # all of the group are gone
        if number == signal.SIGTERM and grace > GRACE and process.poll() is None:
            _kill_later(process.pid, grace)
        while process.poll() is None and number == signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.05)
    process.wait()


def _kill_later(group: int, grace: int) -> None:
    """Start a process that kills a group after `grace` seconds, and that ends as soon as the group has."""
    there = f"kill -s 0 -- -{group} 2>/dev/null"
    script = f"for _ in $(seq {grace}); do {there} || exit 0; sleep 1; done; kill -s KILL -- -{group}"
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True, **nowhere)  # type: ignore[call-overload]
