"""Run work in parallel on one machine: threads that work ahead, and processes that end with this one."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import TypeVar

from chimed.errors import WorkStopped
from chimed.printing import log_to_stderr
from chimed.processes import die_with_parent

MAX_PROCESSES = 8  # processes: each holds its shard in memory, some 400 MB of it
MAX_AHEAD = 2  # batches: Polars, Arrow and NumPy leave Python at work, so two threads are worth nearly two cores
ARENAS = 2
ITS_OWN = {"POLARS_MAX_THREADS": "1", "MALLOC_ARENA_MAX": str(ARENAS)}  # of a worker's environment

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied(WorkStopped):
    """A process that worked on a shard was killed."""


def few_arenas() -> None:
    """Asks the C library to keep what threads give back in few places, before there is any thread.

    By default each thread has its own, and a process that works on part after part grows to twice what one part needs.
    """
    if sys.platform == "linux":
        arena_max = -8  # M_ARENA_MAX of mallopt(3)
        with suppress(OSError, AttributeError):  # a C library that has no such thing
            ctypes.CDLL(None).mallopt(arena_max, ARENAS)


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computing the next `MAX_AHEAD` results in threads meanwhile."""
    with ThreadPoolExecutor(MAX_AHEAD) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            if len(waiting) == MAX_AHEAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def worker_processes(stage: str, processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that end with this one. Each gets one Polars thread, since the processes use all cores.

    Raises WorkerDied if one was killed.
    """
    before = {name: os.environ.get(name) for name in ITS_OWN}
    os.environ.update(ITS_OWN)  # read when a new process starts, and when it imports Polars
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin) as pool:
            yield pool
    except BrokenProcessPool:
        raise WorkerDied(f"{stage}: a worker process was killed, perhaps for lack of memory; run it again") from None
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def available_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _begin() -> None:
    """Set up a new process: end with the parent, leave Ctrl-C to it, and log like it."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_to_stderr()
