"""SIGTERM means a checkpoint: a node that is drained or a task that is cleared loses one step, not a hundred.

Kubernetes tells the first process of a container only, and that one ignores SIGTERM unless it handles it. Where it is
the parent of the processes that train, it passes the word on by a file that they look for after each step; they agree
on the step at which all stop, for a checkpoint is written by all of them. Beside that file a process that refuses a
user's mistake leaves its sentence.
"""

import contextlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chimed.errors import UserError, WorkStopped

log = logging.getLogger("chimed")

PASSED_ON = "CHIMED_TRAIN_STOP"  # names the file, in the processes that a parent starts

_state: dict[str, Any] = {"training": False, "asked": False, "file": None}


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Have SIGTERM ask for a checkpoint inside a `with`, or end what has no step to lose by WorkStopped."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have handlers
        return
    _state["asked"] = False
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def training() -> Iterator[None]:
    """Say inside a `with` that there are steps to lose, in this process or in those that it started."""
    _state["training"] = True
    try:
        yield
    finally:
        _state["training"] = False


@contextlib.contextmanager
def passing_on() -> Iterator[dict[str, str]]:
    """Pass SIGTERM on, inside a `with`, to processes started with this environment."""
    with tempfile.TemporaryDirectory() as folder, training():
        _state["file"] = Path(folder) / "stop"
        try:
            yield {PASSED_ON: str(_state["file"])}
        finally:
            _state["file"] = None


def _on_sigterm(*_: Any) -> None:
    if not _state["training"]:
        raise WorkStopped("ended by SIGTERM with no step to lose; run it again")
    if not _state["asked"]:
        log.warning("SIGTERM: a checkpoint is written after this step")
    _state["asked"] = True
    if _state["file"]:
        _state["file"].touch()


def asked() -> bool:
    """Tell whether this process, or the one that started it, was told to stop."""
    file = os.environ.get(PASSED_ON)
    return _state["asked"] or bool(file and os.path.exists(file))


@contextlib.contextmanager
def refusals_told() -> Iterator[None]:
    """Leave a UserError raised inside a `with` for the parent process: an exit code has no sentence."""
    try:
        yield
    except UserError as error:
        if file := os.environ.get(PASSED_ON):
            Path(f"{file}.refused").write_text(str(error), encoding="utf-8")
        raise


def refusal(told: dict[str, str]) -> str | None:
    """Return what a process that was started with this environment (`passing_on`) was refused for."""
    file = Path(f"{told[PASSED_ON]}.refused")
    return file.read_text(encoding="utf-8") if file.exists() else None
