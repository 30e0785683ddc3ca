"""Read and store pages in a separate process when there is no pace to leave time between two requests.

Only a replica is crawled without a pace (benchmarks). The process is forked before the network starts. It does for
every response what `responses.handle_response` does, and it alone writes the WARC files and the rows of pages. Only the
links of a list are queued in the first process: otherwise the network would wait for them. Responses are sent in
batches; a kill repeats the requests for those on their way, like those in flight. While a page of a batch is stored,
the next one is read in yet another process (`bounded`).
"""

import asyncio
import gc
import multiprocessing
import signal
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from chimed.crawl import blocks, bounded, responses
from chimed.crawl.download import CrawlRun
from chimed.crawl.reading import read_detail
from chimed.crawl.responses import Retry, SiteResponse
from chimed.processes import die_with_parent
from chimed.storage import warc

BATCH_SIZE = 16
MAX_WAITING_BATCHES = 8  # handfuls that may wait there; then the network waits too

_run: CrawlRun


@dataclass
class Reader:
    """The reader process. held: responses not sent yet; sent: batches that may not be done yet."""

    process: ProcessPoolExecutor
    held: list[tuple[dict[str, Any], SiteResponse]] = field(default_factory=list)
    sent: deque[Future[Any]] = field(default_factory=deque)


def start(run: CrawlRun) -> Reader:
    """Start the reader process and return it when it is ready."""
    gc.freeze()  # what was imported stays: neither process need look through it, nor copy it by looking
    reader = Reader(ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _initialize, (run,)))
    reader.process.submit(_flush).result()
    return reader


async def handle_response(reader: Reader, run: CrawlRun, row: dict[str, Any], answer: SiteResponse) -> Retry | None:
    """Handle a response in the reader process.

    A page that arrived needs no further request, so the caller does not wait for it. Nor does it wait for a list, whose
    links are queued here, so that the walk goes on while pages are read.
    """
    plain = answer.status == 200 and not run.stopped
    if plain and row["kind"] == "list":
        try:
            plain = responses.queue_links(run, row, answer.text)[0]
        except Exception:  # whatever it was, it is met again there, and told
            plain = False
        answer = replace(answer, led_on=plain)
    reader.held.append((row, answer))
    if plain and len(reader.held) < BATCH_SIZE:
        return None
    done = _send(reader, run)
    if plain:
        return None
    again, run.stopped = await asyncio.wrap_future(done)
    return again


def flush(reader: Reader, run: CrawlRun) -> None:
    """Write all results of the reader process to the store; return when it is done."""
    _, run.stopped = _send(reader, run).result()
    reader.process.submit(_flush).result()


def finish(reader: Reader, run: CrawlRun) -> None:
    """Call `blocks.finish` in the reader process."""
    run.stopped = reader.process.submit(_finish).result()


def close(reader: Reader, run: CrawlRun) -> None:
    """Close the WARC file in the reader process, fetch its index lines, and end the process even after an error."""
    try:
        flush(reader, run)
        run.archive.lines = reader.process.submit(_close).result()
    finally:
        reader.process.shutdown()


def _send(reader: Reader, run: CrawlRun) -> Future[Any]:
    """Send the held responses. Raise what went wrong with an earlier batch."""
    while len(reader.sent) >= MAX_WAITING_BATCHES or (reader.sent and reader.sent[0].done()):
        _, stopped = reader.sent.popleft().result()
        run.stopped = run.stopped or stopped
    done = reader.process.submit(_handle_batch, reader.held, run.stopped)
    reader.sent.append(done)
    reader.held = []
    return done


def _initialize(run: CrawlRun) -> None:
    global _run
    _run = run
    die_with_parent(signal.SIGKILL)  # a crawl that is killed takes along the site's lock, which this process holds too
    run.counts_time = False
    run.store.engine.dispose(close=False)  # the connections of the process that forked are its own


def _handle_batch(
    several: list[tuple[dict[str, Any], SiteResponse]], stopped: str | None
) -> tuple[Retry | None, str | None]:
    """Handle responses in order; return the retry that the last one needs, and why to stop, if there is cause."""
    _run.stopped = _run.stopped or stopped
    again = None
    pages = [(row["url"], one.text) for row, one in several if one.status == 200 and row["kind"] == "detail"]
    bounded.prefetch((read_detail, (_run.plan.site.name, *page)) for page in pages)
    for row, answer in several:
        again = responses.handle_response(_run, row, answer)
    return again, _run.stopped


def _finish() -> str | None:
    blocks.finish(_run)
    _run.write()
    return _run.stopped


def _flush() -> None:
    _run.write()


def _close() -> dict[str, list[str]]:
    _run.write()
    warc.close_archive(_run.archive)
    return _run.archive.lines
