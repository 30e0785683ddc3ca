"""Servers that no framework would make: what they do costs the request it is done to, in bounded time, and says so."""

import asyncio
import dataclasses
import time
import zlib

import pytest

from chimed.characters import first_invalid_character
from chimed.llm import client, connecting, identity
from chimed.llm.protocol import Refused, Reply, Request, Server
from support.model_server import completion

REQUESTS = [Request("p@1", [{"role": "user", "content": f"第{n}题"}], {"max_tokens": 8}) for n in range(20)]
BAD = "第7题"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.01)


def asked(work, served, requests=REQUESTS):
    work = dataclasses.replace(work, settings=work.settings.model_copy(update={"llm_timeout": 0.5}))
    server = Server(served.url, "chimed-generator", "-", "CHIMED_LLM_URL", identity="test/generator")
    return client.ask(requests, server, work)


def bomb() -> bytes:
    """64 MiB of spaces, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(64)) + packer.flush()


STRANGE = {
    "redirects to another server": ((307, {"Location": "http://127.0.0.1:1/v1"}, b""), Refused, "redirects to"),
    "redirects to itself": ((308, {"Location": "/v1/chat/completions"}, b""), Refused, "set CHIMED_LLM_URL to"),
    "gzip bomb": ((200, {"Content-Encoding": "gzip"}, bomb()), Reply, "a body of more than"),
    "gzip that is none": ((200, {"Content-Encoding": "gzip"}, completion("否")), Reply, "Can not decode"),
    "500 for this request alone": ((500, {}, b"CUDA error"), Refused, "CUDA error"),
    "a long reason": ((400, {}, b"x" * 1_000_000), Refused, "xxx"),
    "a noncharacter of another plane": ((200, {}, completion("否\U0001fffe")), Reply, "U+1FFFE"),
    "letters that nobody sees": ((200, {}, completion("否\U000e0041")), Reply, "U+E0041"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_one_strange_answer_costs_only_itself(served, work, kind):
    answer, outcome, told = STRANGE[kind]
    served.answer = lambda body: answer if BAD in body["messages"][-1]["content"] else "否"
    for _ in range(2):  # the second time it is the only one that is asked
        answers = asked(work, served)
        assert [reply.text for n, reply in enumerate(answers) if n != 7] == ["否"] * 19
        bad = answers[7]
        assert isinstance(bad, outcome)
        said = bad.reason if isinstance(bad, Refused) else bad.fault
        assert told in said
        assert len(said) < 500
    assert sum(BAD not in body["messages"][-1]["content"] for body in served.bodies) == 19


def test_a_busy_server_is_not_well(served, work, monkeypatch):
    monkeypatch.setattr(connecting, "TRIES", 3)
    served.answer = lambda body: (429, {}, b'{"error": "60 requests a minute"}')
    with pytest.raises(connecting.ServerDown, match=r"60 requests a minute.*0 of 20 answers are stored"):
        asked(work, served)


def test_a_dripping_model_list_is_not_waited_for(monkeypatch):
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await asyncio.sleep(0.1)

    async def listed() -> None:
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.to_thread(identity.list_models, f"http://127.0.0.1:{port}/v1", "key")

    monkeypatch.setattr(identity, "TIMEOUT", 1)
    began = time.monotonic()
    with pytest.raises(identity.Unreachable, match="no complete response"):
        asyncio.run(listed())
    assert time.monotonic() - began < 5


def test_noncharacters_of_every_plane_are_strange():
    assert all(first_invalid_character(chr(plane << 16 | last)) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    assert first_invalid_character("好𠮷🌿\U0001fffd") is None
