"""Run work in parallel on one machine: threads that work ahead, and processes that end with this one."""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from chimed.errors import WorkStopped
from chimed.printing import log_to_stderr
from chimed.processes import die_with_parent

MAX_PROCESSES = 8  # processes: each holds its shard in memory, some 400 MB of it
MAX_AHEAD = 2  # batches: Polars, Arrow and NumPy leave Python at work, so two threads are worth nearly two cores
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied(WorkStopped):
    """A process that worked on a shard was killed."""


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
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # read when a new process imports Polars
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
