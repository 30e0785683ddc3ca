"""What the tests of chimed share: lake, store, rows, and an OpenAI-speaking server that misbehaves."""

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType

import polars as pl
import pytest

from chimed.build import Work
from chimed.lake import open_lake
from chimed.ledger import Outcome
from chimed.options import Options
from chimed.records import record_id, table
from chimed.settings import Settings
from chimed.store import open_store
from chimed.streaming import Parts, split


def document(text: str | None, **changes: object) -> dict:
    """A document's row, `changes` on top."""
    row = {
        "source": "zhongyoo", "domain": "tcm", "kind": "document", "language": "zh", "title": "茯苓", "text": text,
        "url": "http://www.zhongyoo.com/name/fuling_1.html", "fetched": datetime(2026, 11, 16, tzinfo=UTC),
        "page": "raw/zhongyoo/2026-11-16/a.warc.gz#0", **changes,
    }  # fmt: skip
    return {**row, "id": row.get("id") or record_id(row)}


def qa(question: str, answer: str, **changes: object) -> dict:
    """A question's row, `changes` on top."""
    said = {"kind": "qa", "question": question, "answer": answer}
    url = f"https://www.120ask.com/question/{zlib.crc32(question.encode())}.htm"
    return document(None, **{"source": "ask120", "domain": "general", "url": url, **said, **changes})


def rows(*several: dict) -> pl.DataFrame:
    """Rows as a table."""
    return table(list(several))


def judged(stage: ModuleType, table: pl.DataFrame, work: Work) -> Outcome:
    """What a corpus stage makes of a table in memory."""
    return split(table, stage.judge(Parts(frame=table), work))


@pytest.fixture
def work(tmp_path) -> Work:
    """A build's surroundings in a folder of the test's own."""
    settings = Settings(data=str(tmp_path / "lake"), store=f"sqlite:///{tmp_path}/store.db", llm_concurrency=8)
    return Work("2026.11.22", Options(), open_lake(settings.data), open_store(settings.store), settings, print)


@dataclass
class Served:
    """A server at `url`; `answer(body)` gives a reply's text, or (status, headers, raw body) to misbehave with.

    probed: it obeys the probe by itself; else `answer` sees the probe too.
    """

    url: str = ""
    probed: bool = True
    bodies: list[dict] = field(default_factory=list)
    answer: Callable[[dict], str | tuple[int, dict, bytes]] = lambda body: "否"


def completion(text: str, finish: str = "stop") -> bytes:
    """The body of a good chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": len(text)}}).encode()


@pytest.fixture
def served() -> Iterator[Served]:
    """A server of the test's own."""
    with serving() as state:
        yield state


@contextmanager
def serving() -> Iterator[Served]:
    """A chat-completions server on loopback that obeys the probe and answers as the test says."""
    from aiohttp import web

    state, loop, ready = Served(), asyncio.new_event_loop(), threading.Event()

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        choice = body.get("structured_outputs", {}).get("choice", [])
        if state.probed and choice and choice[0] == "甲乙丙":
            return web.Response(body=completion(choice[0]), content_type="application/json")
        state.bodies.append(body)
        said = state.answer(body)
        if isinstance(said, str):
            return web.Response(body=completion(said), content_type="application/json")
        status, headers, raw = said
        return web.Response(status=status, headers=headers, body=raw)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield state
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
