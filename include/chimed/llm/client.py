"""One asynchronous client for any OpenAI-compatible server (vLLM in production). Paper §3.2, advanced processing.

A request's key is the hash of everything that shapes its reply; a reply is in the store before anything is made of it,
so nothing is paid twice: not after a crash, not in next week's build. Concurrency is bounded and steady, so the
server's batch stays full; a place in it is given on only when the reply that held it is in the store, so what a kill
can lose is never more than what was in flight. What a server does wrong for a moment is tried again; a server that
stays down fails the task, and running it again goes on where it was. The wire itself is `completions`.
"""

import asyncio
import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import aiohttp
import uvloop

from chimed import metrics
from chimed.build.context import Work
from chimed.errors import UserError, WorkStopped
from chimed.llm import identity as identities
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

TRIES = 8  # of one request; with the waits below a minute and more: a server's short absence
BAD_TRIES = 3  # of one request that is answered each time, and each time with what is no reply
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds; doubled from try to try, half to one and a half of it by chance
PATIENCE = 180.0  # seconds without one good answer, and only failures in them, after which a server counts as down
WRITE_EVERY = 0.01  # seconds between two batches of replies written to the store
PROGRESS_EVERY = 5.0  # seconds between two progress lines
IDENTITY_EVERY = 1.0  # seconds between two looks at who answers, while the server is in trouble


class ServerDown(WorkStopped):
    """The server answered nothing at all any more. What it answered before is in the store."""


class Interrupted(WorkStopped):
    """Somebody ended the work (SIGTERM). What was answered is in the store."""


class AnotherModel(WorkStopped):
    """The model at an address is not the one that the work began with."""


def generator_server(work: Work, tries: int = TRIES) -> Server:
    """The model that writes. Raises UserError where it does not answer in so many tries, or does not tell who it is."""
    where = work.settings
    key, named = where.llm_key.get_secret_value(), where.llm_identity
    server = Server(where.llm_url.rstrip("/"), where.llm_model, key, "CHIMED_LLM_URL", named=named)
    return _with_identity(server, where.llm_checkpoint, work, tries)


def judge_server(work: Work, tries: int = TRIES) -> Server:
    """The model that judges: not the one that wrote (paper §3.2). Raises UserError where the two are one."""
    where = work.settings
    key, named = where.llm_key.get_secret_value(), where.judge_identity
    server = Server(where.judge_url.rstrip("/"), where.judge_model, key, "CHIMED_JUDGE_URL", named=named)
    server = _with_identity(server, where.judge_checkpoint, work, tries)
    if not work.options.judge_is_generator and server.identity == generator_server(work, tries).identity:
        raise UserError(
            f"the judge is the generator: both are {server.identity}; CHIMED_JUDGE_URL and CHIMED_JUDGE_MODEL must "
            "name another model (or the build's option judge_is_generator allows it)"
        )
    return server


def _with_identity(server: Server, checkpoint: str, work: Work, most: int) -> Server:
    """The server with the identity of who answers there; while nothing is asked, of who would."""
    for tries in range(1, most + 1):
        try:
            return replace(server, identity=_ask_identity(server))
        except identities.Unreachable as error:
            if work.planned is not None:
                work.say(f"{server.url} does not answer; assuming {checkpoint}, which it is configured to load")
                return replace(server, identity=identities.identify_checkpoint(checkpoint, server.named))
            last = error
            if tries < most:
                time.sleep(backoff_seconds(tries))
    raise UserError(f"no LLM server answers at {server.url} ({last}); {server.setting} says where it is")


def _ask_identity(server: Server) -> str:
    """Who answers at a server's address now. Raises Unreachable, UserError."""
    models = identities.list_models(server.url, server.key)
    return identities.identify_model(
        server.model, models, server.named, server.setting.replace("URL", "IDENTITY"), server.url
    )


def probe_dialect(server: Server, work: Work) -> Dialect:
    """How a server is held to an answer. Raises UserError where it does not answer, or refuses everything."""

    async def probed() -> Dialect:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.key}"}) as http:
            return await _find_dialect(http, server, work)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(probed())


def request_key(request: Request, model: str) -> str:
    """Hash of who answers, messages, constraint, sampling and sample number: equal requests have one reply."""
    parts = [model, request.messages, request.constraint, sorted(request.sampling.items()), request.sample]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode(errors="backslashreplace")).hexdigest()


def find_stored_replies(requests: list[Request], server: Server, work: Work) -> dict[str, Reply]:
    """The replies that the store has, by their requests' keys."""
    keys = [request_key(request, server.who) for request in requests]
    found = stores.find(work.store, REPLIES, keys, _REPLY)  # without the request, which is the longest of a row
    return {key: _from_store(row) for key, row in found.items()}


def ask(requests: list[Request], server: Server, work: Work) -> list[Reply | Refused]:
    """One answer for every request, in their order; those in the store are not asked again.

    Raises ServerDown where the server stops answering, AnotherModel where another one answers there all at once,
    UserError where none ever answered at that address.
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


def _from_store(row: dict) -> Reply:
    return Reply(**{name: row[name] for name in _REPLY}, known=True)


# --- many requests at once --------------------------------------------------------------------------------------


@dataclass
class _AskState:
    """What the workers of one `ask` share. received: replies on their way to the store; stored: when they are there."""

    server: Server
    work: Work
    dialect: Dialect
    waiting: list[tuple[str, Request]]
    total: int
    answers: dict[str, Reply | Refused] = field(default_factory=dict)
    received: list[dict] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)
    last_success: float = field(default_factory=time.monotonic)
    failures: int = 0  # tries, since the last success
    unanswered: int = 0  # requests given up without an answer, since the last success
    looked: float = 0.0  # when it was last asked who it is


async def _ask_all(wanted: dict[str, Request], server: Server, work: Work) -> dict[str, Reply | Refused]:
    """Asks with a bounded number in flight. Whatever ends it, every reply received is written first."""
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
            except* WorkStopped as several:
                raise several.exceptions[0] from None
            finally:
                _write(work, run.received)
    return run.answers


@contextmanager
def _finish_on_sigterm(run: _AskState) -> Iterator[None]:
    """SIGTERM cancels the requests in flight, so that paid replies are written; then it does what it always did."""
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
            run.work.say(f"{run.server.model}: ended by SIGTERM; {_count_stored(run)}")
            signal.raise_signal(signal.SIGTERM)
            raise Interrupted(
                f"ended by SIGTERM; {_count_stored(run)}"
            )  # a container's first process outlives its signals


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
    metrics.gauge("llm.waiting", len(run.waiting), model=who)


async def _send_with_retries(
    http: aiohttp.ClientSession, run: _AskState, key: str, request: Request
) -> Reply | Refused:
    """A reply, or Refused for what this request alone cannot have. Raises ServerDown, AnotherModel."""
    began, bad = time.monotonic(), 0
    for tries in range(1, TRIES + 1):
        try:
            answer = await post(http, run.server, run.dialect, key, request)
        except TransientError as error:
            last = error
            run.failures += 1
            bad += error.reply is not None
            if bad == BAD_TRIES or (run.failures >= TRIES and time.monotonic() - run.last_success > PATIENCE):
                break
            if tries < TRIES:
                await asyncio.sleep(backoff_seconds(tries, error.after))
                await _check_same_model(run)
        else:
            run.failures, run.unanswered, run.last_success = 0, 0, time.monotonic()
            return replace(answer, tries=tries) if isinstance(answer, Reply) and tries > 1 else answer
    lone = last.reply is not None or (not last.busy and run.unanswered < TRIES)
    if run.last_success > began or (lone and await _answers_probe(http, run)):  # the server is well: it is this request
        run.unanswered += last.reply is None
        return replace(last.reply, tries=tries) if last.reply else Refused(key, f"no answer in {tries} tries: {last}")
    raise ServerDown(
        f"{run.server.url} gives no answer any more ({last}); {_count_stored(run)}; {run.server.setting} says where it is"
    )


async def _answers_probe(http: aiohttp.ClientSession, run: _AskState) -> bool:
    """Whether the server answers a request that it is known to answer."""
    try:
        return isinstance(await post(http, run.server, run.dialect, "probe", PROBE), Reply)
    except TransientError:
        return False


async def _check_same_model(run: _AskState) -> None:
    """Raises AnotherModel where a server that was in trouble has come back with another model."""
    if not run.server.identity or time.monotonic() - run.looked < IDENTITY_EVERY:
        return
    run.looked = time.monotonic()
    try:
        now = await asyncio.to_thread(_ask_identity, run.server)
    except (identities.Unreachable, UserError):
        return  # the request that is tried again will tell
    if now != run.server.identity:
        raise AnotherModel(f"{run.server.url} was {run.server.identity} and is {now}; {_count_stored(run)}")


def backoff_seconds(tries: int, after: float = 0.0) -> float:
    """Seconds to wait after so many tries: doubled each time, jittered, and never less than the server asked for."""
    return max(after, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))) * random.uniform(1.0, 1.5)


async def _find_dialect(http: aiohttp.ClientSession, server: Server, work: Work) -> Dialect:
    """How this server is held to an answer, found out once. Raises UserError where none answers."""
    if server in _dialects:
        return _dialects[server]
    for dialect in DIALECTS:
        for tries in range(1, TRIES + 1):
            try:
                answer = await post(http, server, dialect, "probe", PROBE)
                break
            except TransientError as error:
                if tries == TRIES:
                    raise UserError(
                        f"no LLM server answers at {server.url} ({error}); {server.setting} says where it is"
                    ) from None
                await asyncio.sleep(backoff_seconds(tries, error.after))
        if isinstance(answer, Refused) and "HTTP 404" in answer.reason:
            raise UserError(f"{server.url} serves no model {server.model!r} ({answer.reason})")
        if follows_dialect(dialect, answer):
            if dialect.constraint != DIALECTS[0].constraint:
                instead = {"none": "answers are parsed as they come"}.get(dialect.constraint, dialect.constraint)
                work.say(f"{server.url} ignores {DIALECTS[0].constraint}: {instead}")
            _dialects[server] = dialect
            return dialect
    raise UserError(f"{server.url} rejects every request ({answer.reason if isinstance(answer, Refused) else ''})")


_dialects: dict[Server, Dialect] = {}  # of this process: a stage asks several times, a server is probed once


async def _write_batches(run: _AskState) -> None:
    """Writes what has arrived; what arrives meanwhile is the next batch."""
    while True:
        await run.arrived.wait()
        run.arrived.clear()
        batch, stored = run.received, run.stored
        run.received, run.stored = [], asyncio.Event()
        try:
            await asyncio.shield(asyncio.to_thread(_write, run.work, batch))
        except asyncio.CancelledError:
            run.received = batch + run.received  # written once more by the one who cancelled: no harm in twice
            raise
        stored.set()
        await asyncio.sleep(WRITE_EVERY)


def _write(work: Work, replies: list[dict]) -> None:
    """Writes a batch of replies; where that fails, each of them alone, so that one loses no other."""
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
    return f"{kept} of {run.total} answers are kept, run again to go on"


def _row(run: _AskState, request: Request, reply: Reply) -> dict:
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
