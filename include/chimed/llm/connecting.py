"""Connect to a model's server: who it is, whether it answers, and how it can be held to a set of answers. Paper §3.2.

Whoever only looks asks once; work waits for a server that has not answered yet as `chimed.llm.patience` says.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field, replace

import aiohttp
import uvloop

from chimed.build.context import StageContext
from chimed.errors import UserError, WorkStopped
from chimed.llm import identity as identities
from chimed.llm.patience import describe, patience
from chimed.llm.protocol import (
    DIALECTS,
    PROBE,
    Dialect,
    Refused,
    Server,
    TransientError,
    follows_dialect,
    post,
)

TRIES = 8  # tries of a request; with the waits below they span over a minute, enough for a restart
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds; doubled from try to try, half to one and a half of it by chance
NO_SUCH_MODEL = "HTTP 404"  # the beginning of a refusal that another model's server gives


class ServerDown(WorkStopped):
    """The server stopped answering. The replies received before are in the store."""


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
            return replace(server, identity=ask_identity(server))
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


def ask_identity(server: Server) -> str:
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
            return await find_dialect(http, server, work)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(probed())


def backoff_seconds(tries: int, after: float = 0.0) -> float:
    """Return the seconds to wait after so many tries: exponential backoff with jitter, never less than Retry-After."""
    return max(after, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))) * random.uniform(1.0, 1.5)


async def find_dialect(http: aiohttp.ClientSession, server: Server, work: StageContext) -> Dialect:
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
