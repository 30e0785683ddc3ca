"""The GPUs of this machine, one training or evaluation at a time on each.

Two models of 14 B parameters do not fit a GPU beside each other: the second one would end with the memory, often the
first one too. Airflow's pool counts tasks, not GPUs, and knows nothing of a shell; a lock file does, whoever starts the
work. In a pod the GPUs are the pod's alone, and the lock is free at once.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
def _one(gpu: str, what: str) -> Iterator[None]:
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in gpu)
    lock, note = FileLock(scratch_folder() / f"gpu-{name}.lock"), scratch_folder() / f"gpu-{name}.txt"
    told = -TOLD_EVERY
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if time.monotonic() - told >= TOLD_EVERY:
                log.warning("waiting for GPU %s: %s", gpu, _said(note))
                told = time.monotonic()
            time.sleep(LOOK_EVERY)
    try:
        note.write_text(f"{what} (process {os.getpid()})", encoding="utf-8")
        yield
    finally:
        lock.release()


def _said(note: Path) -> str:
    """Return what the process that holds a GPU wrote down."""
    try:
        return note.read_text(encoding="utf-8")[:200] or "another process has it"
    except OSError:
        return "another process has it"
