"""An asynchronous client for any OpenAI-compatible server (vLLM in production). Paper §3.2, advanced processing.

A request's key is the hash of everything that shapes its reply. A reply is stored before it is used, so nothing is paid
for twice, neither after a crash nor in next week's build. Concurrency is bounded and steady, which keeps the server's
batch full. A concurrency slot is freed only after its reply is stored, so a kill loses at most the requests in flight.
How one request gets through trouble is in `chimed.llm.sending`, how a server is found and known in
`chimed.llm.connecting`, and the HTTP exchange itself in `chimed.llm.protocol`.
"""

import asyncio
import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop

from chimed import metrics
from chimed.build.context import StageContext
from chimed.errors import WorkStopped
from chimed.llm.connecting import find_dialect
from chimed.llm.protocol import Refused, Reply, Request, Server
from chimed.llm.sending import Asking, count_stored, send_with_retries
from chimed.storage import store as stores
from chimed.storage.store_tables import REPLIES

WRITE_EVERY = 0.01  # seconds between two batches of replies written to the store
PROGRESS_EVERY = 5.0  # seconds between two progress lines


class Interrupted(WorkStopped):
    """The work was stopped by SIGTERM. The replies received before are in the store."""


def request_key(request: Request, model: str) -> str:
    """Hash the model, messages, constraint, sampling and sample number of a request: equal requests share one reply."""
    parts = [model, request.messages, request.constraint, sorted(request.sampling.items()), request.sample]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode(errors="backslashreplace")).hexdigest()


def find_stored_replies(requests: list[Request], server: Server, work: StageContext) -> dict[str, Reply]:
    """Return the stored replies to these requests, by request key."""
    keys = [request_key(request, server.who) for request in requests]
    found = stores.find(work.store, REPLIES, keys, _REPLY)  # without the request, which is the longest of a row
    return {key: _from_store(row) for key, row in found.items()}


def ask(requests: list[Request], server: Server, work: StageContext) -> list[Reply | Refused]:
    """Return one answer for each request, in order. Requests whose reply is in the store are not sent.

    Raises ServerDown if the server stops answering, AnotherModel if another model answers at its address, and UserError
    if nothing ever answered there.
    """
    keys = [request_key(request, server.who) for request in requests]
    answers: dict[str, Reply | Refused] = {**find_stored_replies(requests, server, work)}
    wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
    metrics.count("llm.requests", len(answers), model=server.who, result="cached")
    if wanted:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            answers |= runner.run(_ask_all(wanted, server, work))
    return [answers[key] for key in keys]


_REPLY = ("key", "text", "finish_reason", "prompt_tokens", "completion_tokens", "seconds", "reasoning", "fault")


def _from_store(row: dict[str, Any]) -> Reply:
    return Reply(**{name: row[name] for name in _REPLY}, known=True)


# --- many requests at once --------------------------------------------------------------------------------------


async def _ask_all(wanted: dict[str, Request], server: Server, work: StageContext) -> dict[str, Reply | Refused]:
    """Send requests with a bounded number in flight. However it ends, every reply received is written first."""
    limit = min(work.settings.llm_concurrency, len(wanted))
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=aiohttp.ClientTimeout(total=work.settings.llm_timeout, connect=30),
        connector=aiohttp.TCPConnector(limit=limit),
    ) as http:
        dialect = await find_dialect(http, server, work)
        run = Asking(server, work, dialect, list(reversed(wanted.items())), len(wanted))
        with _finish_on_sigterm(run):
            try:
                async with asyncio.TaskGroup() as group:
                    beside = [group.create_task(_write_batches(run)), group.create_task(_log_progress(run))]
                    workers = [group.create_task(_run_worker(http, run)) for _ in range(limit)]
                    await asyncio.wait(workers)
                    for task in beside:
                        task.cancel()
            except ExceptionGroup as several:  # not except*: before Python 3.11.4 that wraps what it raises in a group
                stopped, others = several.split(WorkStopped)
                if stopped is None or others is not None:
                    raise
                raise stopped.exceptions[0] from None
            finally:
                _told_waiting(run, 0)  # whoever goes on later says so: a gauge keeps what it was told last
                _write(work, run.received)
    return run.answers


@contextmanager
def _finish_on_sigterm(run: Asking) -> Iterator[None]:
    """Cancel the requests in flight on SIGTERM, so that paid replies are written; then handle the signal as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, loop, task = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop(), asyncio.current_task()
    told: list[int] = []

    def stop() -> None:
        told.append(signal.SIGTERM)
        if task:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        if told:
            run.work.say(f"{run.server.model}: stopped by SIGTERM; {count_stored(run)}")
            signal.raise_signal(signal.SIGTERM)
            raise Interrupted(
                f"stopped by SIGTERM; {count_stored(run)}"
            )  # the first process of a container is not killed by the signal


async def _run_worker(http: aiohttp.ClientSession, run: Asking) -> None:
    while run.waiting:
        key, request = run.waiting.pop()
        answer = await send_with_retries(http, run, key, request)
        _counted(run, answer)
        if isinstance(answer, Reply):
            run.received.append(_row(run, request, answer))
            run.arrived.set()
            await run.stored.wait()
        run.answers[key] = answer


def _counted(run: Asking, answer: Reply | Refused) -> None:
    """Tells the metrics of an answer."""
    who = run.server.who
    metrics.count("llm.requests", model=who, result="new" if isinstance(answer, Reply) else "refused")
    if isinstance(answer, Reply):
        metrics.count("llm.tokens", answer.prompt_tokens, model=who, kind="prompt")
        metrics.count("llm.tokens", answer.completion_tokens, model=who, kind="completion")
    _told_waiting(run, len(run.waiting))


def _told_waiting(run: Asking, number: int) -> None:
    """Tells the metrics how many requests of this shard are still to be sent."""
    metrics.gauge("llm.waiting", number, model=run.server.who, shard=str(run.work.part))


async def _write_batches(run: Asking) -> None:
    """Write the replies that have arrived; those that arrive meanwhile form the next batch."""
    while True:
        await run.arrived.wait()
        run.arrived.clear()
        batch, stored = run.received, run.stored
        run.received, run.stored = [], asyncio.Event()
        try:
            await asyncio.shield(asyncio.to_thread(_write, run.work, batch))
        except asyncio.CancelledError:
            run.received = batch + run.received  # also written by the canceller; writing twice is harmless
            raise
        stored.set()
        await asyncio.sleep(WRITE_EVERY)


def _write(work: StageContext, replies: list[dict[str, Any]]) -> None:
    """Write a batch of replies. If that fails, write each alone, so that one bad reply loses no other."""
    try:
        stores.upsert(work.store, REPLIES, replies)
    except Exception:
        for reply in replies:
            with suppress(Exception):
                stores.upsert(work.store, REPLIES, [reply])
        raise


async def _log_progress(run: Asking) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY)
        run.work.say(_progress(run))


def _progress(run: Asking) -> str:
    seconds = time.monotonic() - run.began
    done = len(run.answers)
    made = sum(answer.completion_tokens for answer in run.answers.values() if isinstance(answer, Reply))
    refused = sum(isinstance(answer, Refused) for answer in run.answers.values())
    left = f"{(run.total - done) * seconds / done:.0f} s left" if done else "no answer yet"
    return (
        f"{run.server.model}: {done} of {run.total} answered, {refused} refused, {made / seconds:.0f} tokens/s, {left}"
    )


def _row(run: Asking, request: Request, reply: Reply) -> dict[str, Any]:
    return {
        "key": reply.key,
        "model": run.server.who,
        "prompt": request.prompt,
        "messages": json.dumps(request.messages, ensure_ascii=False),
        "text": reply.text,
        "reasoning": reply.reasoning,
        "fault": reply.fault,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "seconds": reply.seconds,
        "created": datetime.now(UTC),
    }
