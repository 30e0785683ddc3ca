"""The GPUs of this machine, one training, evaluation or pair of model servers at a time on each.

Two models of 14 B parameters do not fit a GPU beside each other: the second one would end with the memory, often the
first one too. Airflow's pool counts tasks, not GPUs, and knows nothing of a shell, nor of servers that outlive the task
that started them; a lock file does, whoever starts the work. It is a lock of the system (flock), which ends with the
last process that has the file open: a server has it from whoever started it, and one that is killed holds nothing. In a
pod the GPUs are the pod's alone, and the lock is free at once.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chimed.errors import WorkStopped
from chimed.private import scratch_folder

log = logging.getLogger("chimed")

LOOK_EVERY = 1.0  # seconds between two looks at a lock
TOLD_EVERY = 60.0  # seconds after which who waits says so again


@contextmanager
def held(what: str, many: int) -> Iterator[None]:
    """For the length of a `with`, the first GPUs that this process sees are its own; waits until they are free.

    what: what a process that waits is told is going on. many: how many GPUs; without one nothing is held. Processes
    that another one started to train together hold nothing: that one does.
    """
    if "WORLD_SIZE" in os.environ:
        yield
        return
    with ExitStack() as stack:
        for gpu in sorted(visible()[:many]):  # all take them in one order, so that no two wait for each other
            stack.enter_context(_one(gpu, what))
        yield


def visible() -> list[str]:
    """Return the names of the GPUs that this process may use, in its order: numbers, or CUDA_VISIBLE_DEVICES's."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


@contextmanager
def lent(gpus: Sequence[str], what: str, until: float) -> Iterator[list[int]]:
    """For the length of a `with`, GPUs are locked; yields the open lock files, for processes that are to hold them on.

    until: `time.monotonic()` until which this waits; all or none are taken. Raises WorkStopped where one is not free by
    then.
    """
    told = -TOLD_EVERY
    while True:
        with ExitStack() as stack:
            found = [_lock(stack, gpu, what) for gpu in sorted(set(gpus))]
            if None not in found:
                yield [one for one in found if one is not None]
                return
            busy = sorted(set(gpus))[found.index(None)]
        if time.monotonic() >= until:
            raise WorkStopped(
                f"GPU {busy} is taken: {_said(busy)}; wait until that is done, or give the model servers other GPUs "
                "(CHIMED_LLM_DEVICES, CHIMED_JUDGE_DEVICES)"
            )
        told = _tell(busy, told)
        time.sleep(LOOK_EVERY)


@contextmanager
def _one(gpu: str, what: str) -> Iterator[None]:
    told = -TOLD_EVERY
    with ExitStack() as stack:
        while _lock(stack, gpu, what) is None:
            told = _tell(gpu, told)
            time.sleep(LOOK_EVERY)
        yield


def _lock(stack: ExitStack, gpu: str, what: str) -> int | None:
    """Lock a GPU for the length of a stack; return the open file, or None where another process has it."""
    opened = os.open(_file(gpu, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return None
    stack.callback(os.close, opened)
    _file(gpu, "txt").write_text(f"{what} (process {os.getpid()})", encoding="utf-8")
    return opened


def _tell(gpu: str, told: float) -> float:
    """Say what a GPU is waited for, once a minute; return when that was said last."""
    if time.monotonic() - told < TOLD_EVERY:
        return told
    log.warning("waiting for GPU %s: %s", gpu, _said(gpu))
    return time.monotonic()


def _file(gpu: str, kind: str) -> Path:
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in gpu)
    return scratch_folder() / f"gpu-{name}.{kind}"


def _said(gpu: str) -> str:
    """Return what the process that holds a GPU wrote down."""
    try:
        return _file(gpu, "txt").read_text(encoding="utf-8")[:200] or "another process has it"
    except OSError:
        return "another process has it"
