"""Start and end processes that outlive the command that starts them: model servers, and the parts of the local Airflow.

Each leads its own process group and is known by a note with its id and its start time: an id alone may belong to
another process by now. The exception is `child_process`, which ends with its parent.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

GRACE_SECONDS = 20.0  # seconds a process has to end by itself
FORK_LOCK = threading.Lock()  # held during every fork, and by a thread at what a child made in its midst would wait for
os.register_at_fork(before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release)


def start(
    argv: Sequence[str],
    note: Path,
    log: Path,
    environment: dict[str, str] | None = None,
    keeps: Sequence[int] = (),
    inherited: Mapping[str, str] = os.environ,
) -> int:
    """Start a process in its own session, with its output in `log`; write its note and return its id.

    environment: variables besides those `inherited`, which are all of this process unless the caller says otherwise.
    keeps: open files that the process has open, too, such as locks that it is to hold.
    """
    note.parent.mkdir(parents=True, exist_ok=True)
    started = _open(argv, log, environment, inherited, start_new_session=True, pass_fds=tuple(keeps))
    note.write_text(json.dumps({"pid": started.pid, "born": start_time(started.pid)}), encoding="utf-8")
    return started.pid


@contextlib.contextmanager
def child_process(
    argv: Sequence[str],
    log: Path,
    environment: dict[str, str] | None = None,
    inherited: Mapping[str, str] = os.environ,
) -> Iterator[subprocess.Popen[str]]:
    """Run a process during a `with` block, its output in `log`; it ends with this process even if that is killed."""
    started = _open(argv, log, environment, inherited, preexec_fn=die_with_parent if sys.platform == "linux" else None)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _open(
    argv: Sequence[str], log: Path, environment: dict[str, str] | None, inherited: Mapping[str, str], **how: Any
) -> subprocess.Popen[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as sink:
        variables = {**inherited, **(environment or {})}
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=variables, **how
        )


def die_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Ask Linux to end this (new) process when its parent dies, even by kill -9."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(parent_death_signal, by)


def running_pid(note: Path) -> int | None:
    """Return the id of the noted process if it still runs and is the one that was started; else None."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    moment = start_time(known["pid"])
    return known["pid"] if moment is not None and moment == known["born"] else None


def end(notes: Sequence[Path], grace: float = GRACE_SECONDS) -> list[str]:
    """End the groups of the noted processes: terminate, wait, then kill.

    Return the names of those that were running.
    """
    groups = {note: pid for note in notes if (pid := running_pid(note)) is not None}
    for pid in groups.values():
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    for pid in groups.values():
        while _group_lives(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        _signal(pid, signal.SIGKILL)
    for note in notes:
        note.unlink(missing_ok=True)
    return [note.stem for note in groups]


def last_lines(log: Path, lines: int) -> str:
    """Return the last non-empty lines of a log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def start_time(pid: int) -> float | None:
    """Return when a living process started, in seconds after the machine did; None for a dead one or a zombie.

    Two processes of one id differ in it, and a clock that is set while they run changes nothing.
    """
    with contextlib.suppress(ChildProcessError):  # one that another process started is reaped by its parent
        os.waitpid(pid, os.WNOHANG)
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - psutil.boot_time(), 1)
    except psutil.NoSuchProcess:
        return None


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
