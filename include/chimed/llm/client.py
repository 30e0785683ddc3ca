"""An asynchronous client for any OpenAI-compatible server (vLLM in production). Paper §3.2, advanced processing.

A request's key is the hash of everything that shapes its reply. A reply is stored before it is used, so nothing is paid
for twice, neither after a crash nor in next week's build. Concurrency is bounded and steady, which keeps the server's
batch full. A concurrency slot is freed only after its reply is stored, so a kill loses at most the requests in flight.
Transient errors are retried. While a server is away all requests wait (`chimed.llm.patience` says how long); one that
stays away fails the task, and running it again continues where it stopped. The HTTP exchange itself is in
`chimed.llm.protocol`.
"""

import asyncio
import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop

from chimed import metrics
from chimed.build.context import StageContext
from chimed.errors import UserError, WorkStopped
from chimed.llm import identity as identities
from chimed.llm.patience import describe, patience
from chimed.llm.protocol import (
    DIALECTS,
    PROBE,
    Dialect,
    Refused,
    Reply,
    Request,
    Server,
    TransientError,
    follows_dialect,
    post,
)
from chimed.storage import store as stores
from chimed.storage.store import REPLIES

TRIES = 8  # tries of a request; with the waits below they span over a minute, enough for a restart
BAD_TRIES = 3  # tries of a request whose every answer is unusable
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds; doubled from try to try, half to one and a half of it by chance
PATIENCE = 180.0  # seconds of failures only, after which a server counts as away, however many tries are left
PROBE_SECONDS = 120.0  # seconds in which a server that works answers the probe, behind the requests it already has
ABSENCES = 3  # absences of a server during one request, after which the request counts as their cause
ALONE = 2  # absences after which a request is sent while no other such request is
WRITE_EVERY = 0.01  # seconds between two batches of replies written to the store
PROGRESS_EVERY = 5.0  # seconds between two progress lines
NO_SUCH_MODEL = "HTTP 404"  # the beginning of a refusal that another model's server gives
IDENTITY_EVERY = 1.0  # seconds between checks of the model's identity while the server is in trouble


class ServerDown(WorkStopped):
    """The server stopped answering. The replies received before are in the store."""


class Interrupted(WorkStopped):
    """The work was stopped by SIGTERM. The replies received before are in the store."""


class AnotherModel(WorkStopped):
    """The model at an address is no longer the one that the work started with."""


def generator_server(work: StageContext, tries: int = TRIES) -> Server:
    """Return the server of the model that writes. Raises UserError if it does not answer or identify itself."""
    where = work.settings
    key, named = where.llm_key.get_secret_value(), where.llm_identity
    server = Server(where.llm_url.rstrip("/"), where.llm_model, key, "CHIMED_LLM_URL", named=named)
    return with_identity(server, where.llm_checkpoint, work, tries)


def judge_server(work: StageContext, tries: int = TRIES) -> Server:
    """Return the server of the judge, which must not be the generator (paper §3.2).

    Raises UserError if they are the same.
    """
    where = work.settings
    key, named = where.llm_key.get_secret_value(), where.judge_identity
    server = Server(where.judge_url.rstrip("/"), where.judge_model, key, "CHIMED_JUDGE_URL", named=named)
    server = with_identity(server, where.judge_checkpoint, work, tries)
    if not work.options.judge_is_generator and server.identity == generator_server(work, tries).identity:
        raise UserError(
            f"the judge is the generator: both are {server.identity}; set CHIMED_JUDGE_URL and CHIMED_JUDGE_MODEL to "
            "another model (or allow it by the build's option judge_is_generator)"
        )
    return server


def with_identity(server: Server, checkpoint: str, work: StageContext, most: int) -> Server:
    """Return the server with the identity of its model; in an estimate, of the model it is configured to load.

    Raises UserError if it does not answer or identify itself, and ServerDown where it was waited for.
    """
    started = _Start(server, work, most)
    while True:
        try:
            return replace(server, identity=_ask_identity(server))
        except identities.Unreachable as error:
            if work.planned is not None:
                work.say(f"{server.url} does not answer; assuming {checkpoint}, which it is configured to load")
                return replace(server, identity=identities.identify_checkpoint(checkpoint, server.named))
            time.sleep(started.wait(error))


@dataclass
class _Start:
    """A server that has not answered yet. most: tries of whoever only looks; work itself waits as its patience says."""

    server: Server
    work: StageContext
    most: int = TRIES
    tries: int = 0
    began: float = field(default_factory=time.monotonic)

    def wait(self, error: Exception, after: float = 0.0) -> float:
        """Return the seconds until the next try. Raises UserError, or ServerDown where the server was waited for."""
        self.tries += 1
        waits, said = patience(self.work.settings, before_any_answer=True) if self.most > 1 else 0.0, self.server
        if self.tries >= self.most and time.monotonic() - self.began >= waits:
            if not waits:
                raise UserError(f"no LLM server answers at {said.url} ({error}); start it, or correct {said.setting}")
            raise ServerDown(
                f"no LLM server answers at {said.url} ({error}), asked for {describe(waits)}; look at the server's log "
                f"(in a cluster, at its pod), or correct {said.setting}"
            )
        if self.tries == self.most:
            self.work.say(f"{said.url} does not answer yet ({error}); waiting up to {describe(waits)} for it")
        return backoff_seconds(self.tries, after)


def _ask_identity(server: Server) -> str:
    """Ask a server for the identity of its model. Raises Unreachable, UserError."""
    models = identities.list_models(server.url, server.key)
    return identities.identify_model(
        server.model, models, server.named, server.setting_of("IDENTITY"), server.url, server.setting_of("MODEL")
    )


def probe_dialect(server: Server, work: StageContext) -> Dialect:
    """Find out how a server can be held to a set of answers.

    Raises UserError if it does not answer, or rejects everything.
    """

    async def probed() -> Dialect:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.key}"}) as http:
            return await _find_dialect(http, server, work)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(probed())


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


@dataclass
class _AskState:
    """What the workers of one `ask` share. received: replies to be stored; stored: set when they are."""

    server: Server
    work: StageContext
    dialect: Dialect
    waiting: list[tuple[str, Request]]
    total: int
    answers: dict[str, Reply | Refused] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)
    last_success: float = field(default_factory=time.monotonic)
    failures: int = 0  # failed tries since the last success
    failing_since: float = 0.0  # time of the first of them
    back: float = 0.0  # time at which a server that was away answered again
    absence: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by the one request that waits for the server
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by a request that may be why the server goes away
    unanswered: int = 0  # requests given up without an answer since the last success
    looked: float = 0.0  # time of the last identity check


async def _ask_all(wanted: dict[str, Request], server: Server, work: StageContext) -> dict[str, Reply | Refused]:
    """Send requests with a bounded number in flight. However it ends, every reply received is written first."""
    limit = min(work.settings.llm_concurrency, len(wanted))
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=aiohttp.ClientTimeout(total=work.settings.llm_timeout, connect=30),
        connector=aiohttp.TCPConnector(limit=limit),
    ) as http:
        dialect = await _find_dialect(http, server, work)
        run = _AskState(server, work, dialect, list(reversed(wanted.items())), len(wanted))
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
def _finish_on_sigterm(run: _AskState) -> Iterator[None]:
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
            run.work.say(f"{run.server.model}: stopped by SIGTERM; {_count_stored(run)}")
            signal.raise_signal(signal.SIGTERM)
            raise Interrupted(
                f"stopped by SIGTERM; {_count_stored(run)}"
            )  # the first process of a container is not killed by the signal


async def _run_worker(http: aiohttp.ClientSession, run: _AskState) -> None:
    while run.waiting:
        key, request = run.waiting.pop()
        answer = await _send_with_retries(http, run, key, request)
        _counted(run, answer)
        if isinstance(answer, Reply):
            run.received.append(_row(run, request, answer))
            run.arrived.set()
            await run.stored.wait()
        run.answers[key] = answer


def _counted(run: _AskState, answer: Reply | Refused) -> None:
    """Tells the metrics of an answer."""
    who = run.server.who
    metrics.count("llm.requests", model=who, result="new" if isinstance(answer, Reply) else "refused")
    if isinstance(answer, Reply):
        metrics.count("llm.tokens", answer.prompt_tokens, model=who, kind="prompt")
        metrics.count("llm.tokens", answer.completion_tokens, model=who, kind="completion")
    _told_waiting(run, len(run.waiting))


def _told_waiting(run: _AskState, number: int) -> None:
    """Tells the metrics how many requests of this shard are still to be sent."""
    metrics.gauge("llm.waiting", number, model=run.server.who, shard=str(run.work.part))


async def _send_with_retries(
    http: aiohttp.ClientSession, run: _AskState, key: str, request: Request
) -> Reply | Refused:
    """Return a reply, or Refused if only this request cannot be answered. Waits while the server is away.

    Raises ServerDown if it does not come back, and AnotherModel. A request that may be what ends the server is sent
    while no other such request is, so that it takes no other down with it.
    """
    absences, seen, last = 0, time.monotonic(), ""
    while absences < ABSENCES:
        async with run.alone if absences >= ALONE else nullcontext():
            answer = await _send(http, run, key, request)
            if not isinstance(answer, _Away):
                return answer
            # a server that is only busy says nothing against this request, unless it answered others between
            absences += not answer.last.busy or run.last_success > seen
            await _wait_until_back(http, run, answer.last)  # here, so that the next one alone finds it well
            seen, last = time.monotonic(), str(answer.last)
    return Refused(key, f"the server went away {ABSENCES} times while it was asked: {last}")


@dataclass(frozen=True)
class _Away:
    """The server answered nothing any more, not even what it has answered before. last: its last error."""

    last: TransientError


async def _send(http: aiohttp.ClientSession, run: _AskState, key: str, request: Request) -> Reply | Refused | _Away:
    """Send a request until it is answered, is known to be at fault itself, or the server is known to be away."""
    began, bad = time.monotonic(), 0
    for tries in range(1, TRIES + 1):
        try:
            answer = await post(http, run.server, run.dialect, key, request)
        except TransientError as error:
            last = error
            run.failing_since = run.failing_since if run.failures else time.monotonic()
            run.failures += 1
            bad += error.reply is not None
            if bad == BAD_TRIES or (run.failures >= TRIES and time.monotonic() - run.last_success > PATIENCE):
                break
            if tries < TRIES:
                await asyncio.sleep(backoff_seconds(tries, error.after))
                await _check_same_model(run)
        else:
            if isinstance(answer, Refused) and answer.reason.startswith(NO_SUCH_MODEL):
                await _check_same_model(run)
            run.failures, run.unanswered, run.last_success = 0, 0, time.monotonic()
            return replace(answer, tries=tries) if isinstance(answer, Reply) and tries > 1 else answer
    # a server that is busy may answer a probe by chance; what it answered to others while this was asked does count
    trusted = last.reply is not None or (not last.busy and run.unanswered < TRIES) or run.last_success > began
    if trusted and await _answers_probe(http, run):  # the server works, so this request is at fault
        run.unanswered += last.reply is None
        return replace(last.reply, tries=tries) if last.reply else Refused(key, f"no answer in {tries} tries: {last}")
    return _Away(last)


async def _wait_until_back(http: aiohttp.ClientSession, run: _AskState, last: TransientError) -> None:
    """Wait until the server answers again: one request asks, the others wait for what it finds.

    Raises ServerDown if the server stays away, and AnotherModel if another model answers in its place.
    """
    failed, waits, tries = time.monotonic(), patience(run.work.settings), 0
    async with run.absence:
        while run.back <= failed and run.last_success <= failed:
            gone = time.monotonic() - run.failing_since
            if gone >= waits:
                raise ServerDown(
                    f"{run.server.url} stopped answering {describe(gone)} ago ({last}); {_count_stored(run)}; check "
                    f"the server and {run.server.setting}"
                )
            if not tries:
                run.work.say(f"{run.server.url} is away ({last}); waiting up to {describe(waits)} for it to come back")
            tries += 1
            await asyncio.sleep(min(backoff_seconds(tries, last.after), waits - gone))
            await _check_same_model(run)
            if await _answers_probe(http, run):
                run.back = time.monotonic()
                run.work.say(f"{run.server.url} answers again, after {describe(run.back - run.failing_since)}")


async def _answers_probe(http: aiohttp.ClientSession, run: _AskState) -> bool:
    """Return whether the server answers, soon, a request that it has answered before."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return isinstance(await post(http, run.server, run.dialect, "probe", PROBE), Reply)
    except (TransientError, TimeoutError):
        return False


async def _check_same_model(run: _AskState) -> None:
    """Raise AnotherModel if a server that was in trouble came back with another model, or under another name."""
    if not run.server.identity or time.monotonic() - run.looked < IDENTITY_EVERY:
        return
    run.looked = time.monotonic()
    try:
        now = await asyncio.to_thread(_ask_identity, run.server)
    except identities.OtherNames as error:
        raise AnotherModel(f"{error}; {_count_stored(run)}") from None
    except (identities.Unreachable, UserError):
        return  # the next try of the request will show
    if now != run.server.identity:
        raise AnotherModel(f"{run.server.url} was {run.server.identity} and is {now}; {_count_stored(run)}")


def backoff_seconds(tries: int, after: float = 0.0) -> float:
    """Return the seconds to wait after so many tries: exponential backoff with jitter, never less than Retry-After."""
    return max(after, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))) * random.uniform(1.0, 1.5)


async def _find_dialect(http: aiohttp.ClientSession, server: Server, work: StageContext) -> Dialect:
    """Find a server's dialect, once in a process. Raises UserError if it does not answer."""
    if server in _dialects:
        return _dialects[server]
    for dialect in DIALECTS:
        started = _Start(server, work, TRIES)
        while True:
            try:
                answer = await post(http, server, dialect, "probe", PROBE)
                break
            except TransientError as error:
                await asyncio.sleep(started.wait(error, error.after))
        if isinstance(answer, Refused) and answer.reason.startswith(NO_SUCH_MODEL):
            raise UserError(
                f"{server.url} serves no model {server.model!r} ({answer.reason}); correct {server.setting_of('MODEL')}"
            )
        if follows_dialect(dialect, answer):
            if dialect.constraint != DIALECTS[0].constraint:
                instead = {"none": "answers are parsed as they come"}.get(dialect.constraint, dialect.constraint)
                work.say(f"{server.url} ignores {DIALECTS[0].constraint}: {instead}")
            _dialects[server] = dialect
            return dialect
    raise UserError(f"{server.url} rejects every request ({answer.reason if isinstance(answer, Refused) else ''})")


_dialects: dict[Server, Dialect] = {}  # one entry in a process: a server is probed once, however many rounds ask it


async def _write_batches(run: _AskState) -> None:
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


async def _log_progress(run: _AskState) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY)
        run.work.say(_progress(run))


def _progress(run: _AskState) -> str:
    seconds = time.monotonic() - run.began
    done = len(run.answers)
    made = sum(answer.completion_tokens for answer in run.answers.values() if isinstance(answer, Reply))
    refused = sum(isinstance(answer, Refused) for answer in run.answers.values())
    left = f"{(run.total - done) * seconds / done:.0f} s left" if done else "no answer yet"
    return (
        f"{run.server.model}: {done} of {run.total} answered, {refused} refused, {made / seconds:.0f} tokens/s, {left}"
    )


def _count_stored(run: _AskState) -> str:
    kept = sum(isinstance(answer, Reply) for answer in run.answers.values())
    return f"{kept} of {run.total} answers are stored; run the same command again to continue"


def _row(run: _AskState, request: Request, reply: Reply) -> dict[str, Any]:
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
