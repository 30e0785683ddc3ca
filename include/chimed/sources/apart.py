"""Reading and keeping pages in a process of its own, where no pace leaves time for it between two requests.

Only a replica is crawled without a pace (benchmarks). The other process is forked from this one before the network
starts; it does with every answer what `answers.settle` does, and has the WARC files and the pages' rows to itself.
"""

import asyncio
import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from chimed.sources import answers, warc
from chimed.sources.answers import Again, Answer
from chimed.sources.wire import Run

_run: Run


def start(run: Run) -> ProcessPoolExecutor:
    """The other process, ready."""
    gc.freeze()  # what was imported stays: neither process need look through it, nor copy it by looking
    apart = ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _begin, (run,))
    apart.submit(_write).result()
    return apart


async def settle(apart: ProcessPoolExecutor, run: Run, row: dict, answer: Answer) -> Again | None:
    """`answers.settle`, there."""
    again, run.stopped = await asyncio.wrap_future(apart.submit(_settle, row, answer, run.stopped))
    return again


def write(apart: ProcessPoolExecutor) -> None:
    """Brings what was settled there into the store; on return it is."""
    apart.submit(_write).result()


def end(apart: ProcessPoolExecutor, run: Run) -> None:
    """Closes the WARC file there; what its index needs comes back."""
    run.archive.lines = apart.submit(_end).result()
    apart.shutdown()


def _begin(run: Run) -> None:
    global _run
    _run = run
    run.counts_time = False
    run.store.engine.dispose(close=False)  # the connections of the process that forked are its own


def _settle(row: dict, answer: Answer, stopped: str | None) -> tuple[Again | None, str | None]:
    _run.stopped = _run.stopped or stopped
    return answers.settle(_run, row, answer), _run.stopped


def _write() -> None:
    _run.write()


def _end() -> dict[str, list[str]]:
    _run.write()
    warc.close(_run.archive)
    return _run.archive.lines
