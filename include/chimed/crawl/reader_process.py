"""Reading and keeping pages in a process of its own, where no pace leaves time for it between two requests.

Only a replica is crawled without a pace (benchmarks). The other process is forked from this one before the network
starts; it does with every answer what `answers.settle` does, and has the WARC files and the pages' rows to itself.
Only what a list shows is queued here: were the list to wait for its turn there, the network would wait for its links.
Answers go there by the handful; a kill costs a second request for those on the way, as for those in flight. While a
page of a handful is written there, the next one is read in yet another process (`bounded`).
"""

import asyncio
import gc
import multiprocessing
import signal
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from chimed.crawl import blocks, bounded, responses
from chimed.crawl.download import Run
from chimed.crawl.reading import read_detail
from chimed.crawl.responses import Again, Answer
from chimed.processes import die_with_parent
from chimed.storage import warc

HANDFUL = 16
BEHIND = 8  # handfuls that may wait there; then the network waits too

_run: Run


@dataclass
class Reader:
    """The other process. held: answers not sent to it yet; sent: what it was given and may not have done yet."""

    process: ProcessPoolExecutor
    held: list[tuple[dict, Answer]] = field(default_factory=list)
    sent: deque[Future] = field(default_factory=deque)


def start(run: Run) -> Reader:
    """The other process, ready."""
    gc.freeze()  # what was imported stays: neither process need look through it, nor copy it by looking
    reader = Reader(ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _begin, (run,)))
    reader.process.submit(_write).result()
    return reader


async def settle(reader: Reader, run: Run, row: dict, answer: Answer) -> Again | None:
    """`answers.settle`, there. A page that came asks for nothing next and is not waited for; nor is a list, whose links
    are found here, so that the walk goes on while pages are read."""
    plain = answer.status == 200 and not run.stopped
    if plain and row["kind"] == "list":
        try:
            plain = responses.lead_on(run, row, answer.text)[0]
        except Exception:  # whatever it was, it is met again there, and told
            plain = False
        answer = replace(answer, led_on=plain)
    reader.held.append((row, answer))
    if plain and len(reader.held) < HANDFUL:
        return None
    done = _send(reader, run)
    if plain:
        return None
    again, run.stopped = await asyncio.wrap_future(done)
    return again


def write(reader: Reader, run: Run) -> None:
    """Brings what was settled there into the store; on return it is."""
    _, run.stopped = _send(reader, run).result()
    reader.process.submit(_write).result()


def settle_held(reader: Reader, run: Run) -> None:
    """`blocks.end`, there."""
    run.stopped = reader.process.submit(_settle_held).result()


def end(reader: Reader, run: Run) -> None:
    """Closes the WARC file there; what its index needs comes back. The process ends, whatever goes wrong there."""
    try:
        write(reader, run)
        run.archive.lines = reader.process.submit(_end).result()
    finally:
        reader.process.shutdown()


def _send(reader: Reader, run: Run) -> Future:
    """Sends what is held. Raises what went wrong there with an earlier handful."""
    while len(reader.sent) >= BEHIND or (reader.sent and reader.sent[0].done()):
        _, stopped = reader.sent.popleft().result()
        run.stopped = run.stopped or stopped
    done = reader.process.submit(_settle, reader.held, run.stopped)
    reader.sent.append(done)
    reader.held = []
    return done


def _begin(run: Run) -> None:
    global _run
    _run = run
    die_with_parent(signal.SIGKILL)  # a crawl that is killed takes along the site's lock, which this process holds too
    run.counts_time = False
    run.store.engine.dispose(close=False)  # the connections of the process that forked are its own


def _settle(several: list[tuple[dict, Answer]], stopped: str | None) -> tuple[Again | None, str | None]:
    """Settles answers in order; gives what to ask next for the last one's page, and why to stop, if there is cause."""
    _run.stopped = _run.stopped or stopped
    again = None
    pages = [(row["url"], one.text) for row, one in several if one.status == 200 and row["kind"] == "detail"]
    bounded.expect((read_detail, (_run.plan.site.name, *page)) for page in pages)
    for row, answer in several:
        again = responses.settle_surely(_run, row, answer)
    return again, _run.stopped


def _settle_held() -> str | None:
    blocks.end(_run)
    _run.write()
    return _run.stopped


def _write() -> None:
    _run.write()


def _end() -> dict[str, list[str]]:
    _run.write()
    warc.close(_run.archive)
    return _run.archive.lines
