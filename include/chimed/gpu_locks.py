"""The GPUs of one machine: who has them, by a lock file for each, whoever starts the work.

Two models of 14 B parameters do not fit a GPU beside each other: the second one would end with the memory, often the
first one too. Training and evaluation have a GPU alone; model servers share it with each other, not with those. In a
pod the GPUs are the pod's alone, and the locks are free at once.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chimed.errors import UserError
from chimed.private import scratch_folder

log = logging.getLogger("chimed")

LOOK_EVERY = 1.0  # seconds between two looks at a lock
TOLD_EVERY = 60.0  # seconds after which who waits says so again


@contextmanager
def held(names: Sequence[str], what: str, *, shared: bool = False, timeout: float | None = None) -> Iterator[list[int]]:
    """For the length of a `with`, GPUs are this process's own, or shared; waits until they are free.

    names: as CUDA is told them. what: what a process that waits is told is going on. Yields the locks' file
    descriptors: a child process that inherits them holds the GPUs for as long as it lives. timeout: seconds.

    Raises UserError where a GPU is not free in time.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with ExitStack() as stack:
        # all take them in one order, so that no two wait for each other
        yield [stack.enter_context(_one(gpu, what, shared, deadline)) for gpu in sorted(names)]


@contextmanager
def _one(gpu: str, what: str, shared: bool, deadline: float | None) -> Iterator[int]:
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in gpu)
    folder = scratch_folder()
    note, descriptor = folder / f"gpu-{name}.txt", os.open(folder / f"gpu-{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait(gpu, descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, note, deadline)
        note.write_text(f"{what} (process {os.getpid()})", encoding="utf-8")
        yield descriptor
    finally:
        os.close(descriptor)  # which gives the lock up, unless a child process has inherited it


def _wait(gpu: str, descriptor: int, how: int, note: Path, deadline: float | None) -> None:
    told = -TOLD_EVERY
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now = time.monotonic()
            if deadline is not None and now > deadline:
                raise UserError(
                    f"GPU {gpu} is not free: {_said(note)}; wait until that has ended, or give training and servers "
                    "GPUs of their own (CHIMED_TRAIN_DEVICES)"
                ) from None
            if now - told >= TOLD_EVERY:
                log.warning("waiting for GPU %s: %s", gpu, _said(note))
                told = now
            time.sleep(LOOK_EVERY)


def _said(note: Path) -> str:
    """Return what the process that holds a GPU wrote down."""
    try:
        return note.read_text(encoding="utf-8")[:200] or "another process has it"
    except OSError:
        return "another process has it"
