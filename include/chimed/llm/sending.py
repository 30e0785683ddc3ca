"""Send one request until it is answered, is known to be at fault itself, or its server is away for good. Paper §3.2.

Transient errors are retried. A server that answers nothing any more counts as away once it fails a probe that it has
answered before; then one request waits for it, and the others for what that finds (`chimed.llm.patience` says how
long). A request that takes the server down again and again is refused, so that the others are answered.
"""

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from chimed.build.context import StageContext
from chimed.errors import UserError, WorkStopped
from chimed.llm import connecting
from chimed.llm import identity as identities
from chimed.llm.connecting import NO_SUCH_MODEL, ServerDown, ask_identity, backoff_seconds
from chimed.llm.patience import describe, patience
from chimed.llm.protocol import PROBE, Dialect, Refused, Reply, Request, Server, TransientError, post

BAD_TRIES = 3  # tries of a request whose every answer is unusable
PATIENCE = 180.0  # seconds of failures only, after which a server counts as away, however many tries are left
PROBE_SECONDS = 120.0  # seconds in which a server that works answers the probe, behind the requests it already has
ABSENCES = 3  # absences of a server during one request, after which the request counts as their cause
ALONE = 2  # absences after which a request is sent while no other such request is
IDENTITY_EVERY = 1.0  # seconds between checks of the model's identity while the server is in trouble


class AnotherModel(WorkStopped):
    """The model at an address is no longer the one that the work started with."""


@dataclass
class Asking:
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


def count_stored(run: Asking) -> str:
    kept = sum(isinstance(answer, Reply) for answer in run.answers.values())
    return f"{kept} of {run.total} answers are stored; run the same command again to continue"


async def send_with_retries(http: aiohttp.ClientSession, run: Asking, key: str, request: Request) -> Reply | Refused:
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


async def _send(http: aiohttp.ClientSession, run: Asking, key: str, request: Request) -> Reply | Refused | _Away:
    """Send a request until it is answered, is known to be at fault itself, or the server is known to be away."""
    began, bad, most = time.monotonic(), 0, connecting.TRIES
    for tries in range(1, most + 1):
        try:
            answer = await post(http, run.server, run.dialect, key, request)
        except TransientError as error:
            last = error
            run.failing_since = run.failing_since if run.failures else time.monotonic()
            run.failures += 1
            bad += error.reply is not None
            if bad == BAD_TRIES or (run.failures >= most and time.monotonic() - run.last_success > PATIENCE):
                break
            if tries < most:
                await asyncio.sleep(backoff_seconds(tries, error.after))
                await _check_same_model(run)
        else:
            if isinstance(answer, Refused) and answer.reason.startswith(NO_SUCH_MODEL):
                await _check_same_model(run)
            run.failures, run.unanswered, run.last_success = 0, 0, time.monotonic()
            return replace(answer, tries=tries) if isinstance(answer, Reply) and tries > 1 else answer
    # a server that is busy may answer a probe by chance; what it answered to others while this was asked does count
    trusted = last.reply is not None or (not last.busy and run.unanswered < most) or run.last_success > began
    if trusted and await _answers_probe(http, run):  # the server works, so this request is at fault
        run.unanswered += last.reply is None
        return replace(last.reply, tries=tries) if last.reply else Refused(key, f"no answer in {tries} tries: {last}")
    return _Away(last)


async def _wait_until_back(http: aiohttp.ClientSession, run: Asking, last: TransientError) -> None:
    """Wait until the server answers again: one request asks, the others wait for what it finds.

    Raises ServerDown if the server stays away, and AnotherModel if another model answers in its place.
    """
    failed, waits, tries = time.monotonic(), patience(run.work.settings), 0
    async with run.absence:
        while run.back <= failed and run.last_success <= failed:
            gone = time.monotonic() - run.failing_since
            if gone >= waits:
                raise ServerDown(
                    f"{run.server.url} stopped answering {describe(gone)} ago ({last}); {count_stored(run)}; check "
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


async def _answers_probe(http: aiohttp.ClientSession, run: Asking) -> bool:
    """Return whether the server answers, soon, a request that it has answered before."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return isinstance(await post(http, run.server, run.dialect, "probe", PROBE), Reply)
    except (TransientError, TimeoutError):
        return False


async def _check_same_model(run: Asking) -> None:
    """Raise AnotherModel if a server that was in trouble came back with another model, or under another name."""
    if not run.server.identity or time.monotonic() - run.looked < IDENTITY_EVERY:
        return
    run.looked = time.monotonic()
    try:
        now = await asyncio.to_thread(ask_identity, run.server)
    except identities.OtherNames as error:
        raise AnotherModel(f"{error}; {count_stored(run)}") from None
    except (identities.Unreachable, UserError):
        return  # the next try of the request will show
    if now != run.server.identity:
        raise AnotherModel(f"{run.server.url} was {run.server.identity} and is {now}; {count_stored(run)}")
