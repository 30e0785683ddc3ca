"""An OpenAI-compatible server that misbehaves on purpose and counts what was paid: a process of its own.

    python tests/benchmarks/openai_server.py --faults 1 --latency 0.3

prints its URL, then serves. The answer to a request carries its mark: the number in 第N题 of its last message. Latency
is lognormal. Which fault a try of a request meets is a hash of its mark and how often it was asked: runs repeat.
GET /counts tells what was asked, what was answered whole, which faults were met, and how many are in flight.
"""

import argparse
import asyncio
import hashlib
import json
import math
import random
import re
import sys
import threading
from collections import Counter
from pathlib import Path

from aiohttp import web

sys.path.append(str(Path(__file__).resolve().parents[1]))
from support import loopback

# Share of the tries that meet each fault.
FAULTS = {"429": 0.035, "500": 0.024, "hang": 0.003, "cut": 0.005, "bad JSON": 0.005, "truncated": 0.005, "half": 0.005}
PROBED = "甲乙丙"  # the client's probe asks for this choice; it is not counted


def fault(mark: str, tries: int) -> str | None:
    """Which fault the n-th try of a request meets, or None."""
    draw = int.from_bytes(hashlib.sha256(f"{mark}/{tries}".encode()).digest()[:8]) / 2**64
    for name, share in FAULTS.items():
        if draw < share:
            return name
        draw -= share
    return None


def answer(mark: str, choices: list[str]) -> str:
    """What a good reply to the request of this mark says."""
    return choices[int(mark) % len(choices)] if choices else f"答{mark}"


def completion(text: str) -> bytes:
    """The body of a good reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": len(text), "total_tokens": 100 + len(text)}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


class Answering:
    """The server's state, and its two routes."""

    def __init__(self, faults: bool, latency: float, spread: float) -> None:
        self.faults, self.latency, self.spread = faults, latency, spread
        self.met: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()
        self.in_flight = self.whole = 0

    async def counts(self, _request: web.Request) -> web.Response:
        told = {"asked": self.tries.total(), "whole": self.whole, "faults": self.met, "in_flight": self.in_flight}
        return web.json_response(told)

    async def models(self, _request: web.Request) -> web.Response:
        served = [{"id": f"chimed-{name}", "root": f"test/{name}"} for name in ("generator", "judge")]
        return web.json_response({"data": served})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        choices = body.get("structured_outputs", {}).get("choice", [])
        if PROBED in choices:
            return _json(completion(PROBED))
        mark = re.findall(r"第(\d+)题", body["messages"][-1]["content"])[-1]
        self.tries[mark] += 1
        kind = fault(mark, self.tries[mark]) if self.faults else None
        self.in_flight += 1
        try:
            await asyncio.sleep(self.latency * math.exp(random.gauss(0, self.spread)))
            if kind:
                self.met[kind] += 1
                return await _misbehave(kind, request, completion(answer(mark, choices)))
            self.whole += 1
            return _json(completion(answer(mark, choices)))
        finally:
            self.in_flight -= 1


async def _misbehave(kind: str, request: web.Request, good: bytes) -> web.StreamResponse:
    if kind == "429":
        return web.Response(status=429, headers={"Retry-After": "1"})
    if kind == "500":
        return web.Response(status=500, text="CUDA error")
    if kind == "hang":
        await asyncio.sleep(3600)
    if kind == "bad JSON":
        return _json(b'{"choices": [}')
    if kind == "half":  # well-formed HTTP around half a body
        return _json(good[: len(good) // 2])
    if kind == "truncated":  # fewer bytes than promised
        await loopback.cut(request, web.StreamResponse(headers={"Content-Length": str(len(good))}), good[:-20])
    raise loopback.hang_up(request)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def serve(faults: bool, latency: float, spread: float) -> None:
    """Serve on a free port of loopback until killed; the first line printed is the base URL."""
    state, app = Answering(faults, latency, spread), web.Application()
    app.router.add_post("/v1/chat/completions", state.chat)
    app.router.add_get("/v1/counts", state.counts)
    app.router.add_get("/v1/models", state.models)
    with loopback.serving(app) as url:
        print(f"{url}/v1", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=0, help="1: inject them")
    parser.add_argument("--latency", type=float, default=0.3, help="median seconds")
    parser.add_argument("--spread", type=float, default=0.5, help="sigma of the logarithm")
    chosen = parser.parse_args()
    serve(bool(chosen.faults), chosen.latency, chosen.spread)
