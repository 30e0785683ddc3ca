"""One asynchronous client for any OpenAI-compatible server (vLLM in production). Paper §3.2, advanced processing.

A request's key is the hash of everything that shapes its reply; a reply is in the store before anything is made of it,
so nothing is paid twice: not after a crash, not in next week's build. Concurrency is bounded and steady, so the
server's batch stays full. What a server does wrong for a moment (429, 5xx, time-outs, cut connections, broken bodies)
is tried again; a server that stays down fails the task, and running it again goes on where it was.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import polars as pl
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from chimed import store as stores
from chimed.build import Work
from chimed.errors import UserError, WorkStopped
from chimed.store import REPLIES

TRIES = 8  # with the waits below about two minutes: a server's restart
WAITS = wait_exponential_jitter(multiplier=0.5, max=30, jitter=1)
TIMEOUT = aiohttp.ClientTimeout(total=600, connect=30)
WRITE_EVERY = 0.2  # seconds between two batches of replies written to the store
SAY_EVERY = 5.0  # seconds between two progress lines


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server: base URL up to /v1, the model's name there, and the setting that points to it."""

    url: str
    model: str
    key: str
    setting: str


@dataclass(frozen=True)
class Request:
    """One question to a model; `sample` tells equal ones apart.

    constraint: {"choice": […]}, {"regex": …} or {"json": schema}.
    """

    prompt: str
    messages: list[dict[str, str]]
    sampling: dict
    constraint: dict | None = None
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """A model's answer and what it cost. known: it was in the store, and nothing was paid."""

    key: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    known: bool = False


@dataclass(frozen=True)
class Refused:
    """A request the server would not answer, and why (too long for the model, say)."""

    key: str
    reason: str


class ServerDown(WorkStopped):
    """The server answered nothing at all any more. What it answered before is in the store."""


class _Passing(Exception):
    """Something that may go right when tried again; `after` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def generator(work: Work) -> Server:
    """The model that writes."""
    where = work.settings
    return Server(where.llm_url.rstrip("/"), where.llm_model, where.llm_key.get_secret_value(), "CHIMED_LLM_URL")


def judge(work: Work) -> Server:
    """The model that judges: not the one that wrote (paper §3.2). Raises UserError where the two are one."""
    where = work.settings
    if (where.judge_url, where.judge_model) == (where.llm_url, where.llm_model):
        raise UserError("the judge is the generator; CHIMED_JUDGE_URL and CHIMED_JUDGE_MODEL must name another model")
    return Server(where.judge_url.rstrip("/"), where.judge_model, where.llm_key.get_secret_value(), "CHIMED_JUDGE_URL")


def request_key(request: Request, model: str) -> str:
    """Hash of model, messages, constraint, sampling and sample number: equal requests have one reply."""
    parts = [model, request.messages, request.constraint, sorted(request.sampling.items()), request.sample]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def ask(requests: list[Request], server: Server, work: Work) -> list[Reply | Refused]:
    """One answer for every request, in their order; those in the store are not asked again.

    Raises ServerDown where the server stops answering, UserError where none ever answered at that address.
    """
    keys = [request_key(request, server.model) for request in requests]
    known = stores.find(work.store, REPLIES, keys)
    answers: dict[str, Reply | Refused] = {key: _from_store(row) for key, row in known.items()}
    wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
    if wanted:
        answers |= asyncio.run(_ask_all(wanted, server, work))
    return [answers[key] for key in keys]


def _from_store(row: dict) -> Reply:
    names = ("key", "text", "finish_reason", "prompt_tokens", "completion_tokens", "seconds")
    return Reply(**{name: row[name] for name in names}, known=True)


# --- the conversation with the server --------------------------------------------------------------------------


@dataclass
class _Run:
    """What the workers of one `ask` share."""

    server: Server
    work: Work
    constrained: bool
    waiting: list[tuple[str, Request]]
    total: int
    answers: dict[str, Reply | Refused] = field(default_factory=dict)
    unwritten: list[dict] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    last_success: float = 0.0


async def _ask_all(wanted: dict[str, Request], server: Server, work: Work) -> dict[str, Reply | Refused]:
    """Asks with a bounded number in flight. Whatever ends it, every reply received is written first."""
    headers = {"Authorization": f"Bearer {server.key}"}
    limit = work.settings.llm_concurrency
    async with aiohttp.ClientSession(
        headers=headers, timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=limit)
    ) as http:
        constrained = await _probe(http, server, work)
        run = _Run(server, work, constrained, list(reversed(wanted.items())), len(wanted))
        beside = [asyncio.create_task(_write_now_and_then(run)), asyncio.create_task(_tell_now_and_then(run))]
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(limit, len(wanted))):
                    group.create_task(_work_off(http, run))
        except* ServerDown as several:
            raise several.exceptions[0] from None
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            _write(run)
    return run.answers


async def _work_off(http: aiohttp.ClientSession, run: _Run) -> None:
    while run.waiting:
        key, request = run.waiting.pop()
        run.answers[key] = await _answer(http, run, key, request)


async def _answer(http: aiohttp.ClientSession, run: _Run, key: str, request: Request) -> Reply | Refused:
    """A reply, kept for writing; or Refused for what this request alone cannot have. Raises ServerDown."""
    began = time.monotonic()
    try:
        reply = await _again(lambda: _post(http, run, key, request))
    except _Passing as last:
        if run.last_success > began:  # the server lives: it is this request that it cannot answer
            return Refused(key, f"no answer in {TRIES} tries: {last}")
        raise ServerDown(
            f"{run.server.url} gave no answer in {TRIES} tries ({last}); {len(run.answers)} of {run.total} answers are "
            f"kept, run again to go on; {run.server.setting} says where the server is"
        ) from None
    if isinstance(reply, Reply):
        run.last_success = time.monotonic()
        run.unwritten.append(_row(run, request, reply))
    return reply


async def _again(attempt: Callable[[], Awaitable[Reply | Refused]]) -> Reply | Refused:
    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(WAITS(state), getattr(error, "after", None) or 0.0)

    async def once() -> Reply | Refused:
        return await attempt()

    passing = retry_if_exception_type(_Passing)
    return await AsyncRetrying(stop=stop_after_attempt(TRIES), wait=wait, retry=passing, reraise=True)(once)


async def _post(http: aiohttp.ClientSession, run: _Run, key: str, request: Request) -> Reply | Refused:
    began = time.monotonic()
    body = _body(request, run.server.model, run.constrained)
    try:
        async with http.post(f"{run.server.url}/chat/completions", json=body) as response:
            content = await response.read()
            status, headers = response.status, response.headers
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise _Passing(f"{type(error).__name__}: {error}") from None
    if status in (408, 409, 425, 429) or status >= 500:
        raise _Passing(f"HTTP {status}", _retry_after(headers.get("Retry-After")))
    if status != 200:
        return Refused(key, f"HTTP {status}: {content[:300].decode(errors='replace')}")
    try:
        value = json.loads(content)
        choice, usage = value["choices"][0], value["usage"]
        text, finish = choice["message"]["content"], choice["finish_reason"]
        if not isinstance(text, str):
            raise TypeError("content is not text")
        tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (ValueError, LookupError, TypeError) as error:
        raise _Passing(f"malformed body: {type(error).__name__}: {error}") from None
    return Reply(key, text, finish or "stop", *tokens, round(time.monotonic() - began, 4))


def _body(request: Request, model: str, constrained: bool) -> dict:
    body = {
        "model": model,
        "messages": request.messages,
        **request.sampling,
        "seed": request.sample,
        # Qwen3 would think aloud first; the constrained steps want the answer at once. Unknown templates ignore it.
        "chat_template_kwargs": {"enable_thinking": False},
    }
    if request.constraint and constrained:
        body["structured_outputs"] = request.constraint
    return body


def _retry_after(value: str | None) -> float | None:
    return float(value) if value and value.replace(".", "", 1).isdigit() else None


async def _probe(http: aiohttp.ClientSession, server: Server, work: Work) -> bool:
    """Whether the server obeys a constraint: some ignore it without a word. Raises UserError where none answers."""
    constraint = {"choice": ["甲乙丙", "丁戊己"]}
    request = Request(
        "probe", [{"role": "user", "content": "Say OK."}], {"max_tokens": 8, "temperature": 0.0}, constraint
    )
    run = _Run(server, work, True, [], 1)
    try:
        reply = await _again(lambda: _post(http, run, "probe", request))
    except _Passing as error:
        raise UserError(f"no LLM server answers at {server.url} ({error}); {server.setting} says where it is") from None
    if isinstance(reply, Refused) and "HTTP 404" in reply.reason:
        raise UserError(f"{server.url} serves no model {server.model!r} ({reply.reason})")
    obeyed = isinstance(reply, Reply) and reply.text in constraint["choice"]
    if not obeyed:
        work.say(f"{server.url} does not obey structured_outputs: answers are parsed as they come")
    return obeyed


async def _write_now_and_then(run: _Run) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY)
        if run.unwritten:
            batch, run.unwritten = run.unwritten, []
            try:
                await asyncio.shield(asyncio.to_thread(stores.upsert, run.work.store, REPLIES, batch))
            except asyncio.CancelledError:
                run.unwritten += batch  # written once more by the one who cancelled: an upsert may happen twice
                raise


def _write(run: _Run) -> None:
    batch, run.unwritten = run.unwritten, []
    stores.upsert(run.work.store, REPLIES, batch)


async def _tell_now_and_then(run: _Run) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY)
        run.work.say(_progress(run))


def _progress(run: _Run) -> str:
    seconds = time.monotonic() - run.started
    done = len(run.answers)
    made = sum(answer.completion_tokens for answer in run.answers.values() if isinstance(answer, Reply))
    refused = sum(isinstance(answer, Refused) for answer in run.answers.values())
    left = f"{(run.total - done) * seconds / done:.0f} s left" if done else "no answer yet"
    return (
        f"{run.server.model}: {done} of {run.total} answered, {refused} refused, {made / seconds:.0f} tokens/s, {left}"
    )


def _row(run: _Run, request: Request, reply: Reply) -> dict:
    return {
        "key": reply.key,
        "model": run.server.model,
        "prompt": request.prompt,
        "messages": json.dumps(request.messages, ensure_ascii=False),
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "seconds": reply.seconds,
        "created": datetime.now(UTC),
    }


# --- what stages make of replies -------------------------------------------------------------------------------


def fault(reply: Reply | Refused | None, what: str) -> tuple[str, str]:
    """Reason and detail of a row whose reply could not be used; the raw text is kept."""
    if isinstance(reply, Reply):
        return f"unparsed reply: {what}", reply.text[:2000]
    return "request refused", reply.reason if reply else "not asked"


def joined_replies(column: str) -> pl.Expr:
    """A record's `replies` with those of `column` behind them."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    return pl.concat_list(pl.col("replies").fill_null(empty), pl.col(column).fill_null(empty))


def cost(answers: list[Reply | Refused]) -> dict:
    """What the answers cost: requests, those already known, refused; tokens and server seconds paid this time."""
    replies = [answer for answer in answers if isinstance(answer, Reply)]
    paid = [reply for reply in replies if not reply.known]
    return {
        "requests": len(answers),
        "known": len(replies) - len(paid),
        "refused": len(answers) - len(replies),
        "prompt_tokens": sum(reply.prompt_tokens for reply in paid),
        "completion_tokens": sum(reply.completion_tokens for reply in paid),
        "seconds": round(sum(reply.seconds for reply in paid), 3),
    }
