"""chimed's LLM client against plain aiohttp and the `openai` client: CPU a request and requests a second, in one run.

    PYTHONPATH=include python tests/benchmarks/llm_client.py            # 4,000 requests, 256 at once

All ask the same mock server (openai_server.py, a process of its own, lognormal latency) in turns. chimed's numbers
include the probe and the durable store. `openai` is asked where CHIMED_MODELS_PYTHON has it, with fewer requests.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.llm import client
from chimed.llm.protocol import Dialect, Reply, Request, Server, request_body
from chimed.settings import Settings
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store

HERE = Path(__file__).parent
SAMPLING = {"max_tokens": 64, "temperature": 0.0}
TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。" * 6
WITH_OPENAI = """
import asyncio, json, resource, sys, time
import httpx, openai

async def main(url, many, at_once):
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0,
                                http_client=httpx.AsyncClient(limits=httpx.Limits(max_connections=at_once)))
    marks = list(range(many))
    async def work():
        while marks:
            messages = [{"role": "user", "content": f"第{marks.pop()}题" + sys.argv[4]}]
            await client.chat.completions.create(model="m", messages=messages, max_tokens=64, temperature=0.0)
    await asyncio.gather(*(work() for _ in range(at_once)))

used, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
now = resource.getrusage(resource.RUSAGE_SELF)
cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
print(json.dumps([time.monotonic() - began, cpu]))
"""


@dataclass(frozen=True)
class Measured:
    """One client's run."""

    client: str
    rate: float  # requests a second
    cpu: float  # seconds a thousand requests


def measured(client: str, many: int, run: Callable[[], None]) -> Measured:
    """Runs a client and looks at this process's clock and CPU."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    run()
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(client, many / seconds, cpu / many * 1000)


def requests(many: int) -> list[Request]:
    """Requests about as long as a forum's question, each with its mark."""
    return [Request("p@1", [{"role": "user", "content": f"第{n}题{TEXT}"}], SAMPLING) for n in range(many)]


async def plain(url: str, asked: list[Request], at_once: int) -> None:
    """A bounded loop on aiohttp, as short as it can be; it keeps nothing."""
    waiting, said = list(asked), []

    async def work(http: aiohttp.ClientSession) -> None:
        while waiting:
            request = waiting.pop()
            async with http.post(
                f"{url}/chat/completions", json=request_body(request, "m", Dialect("none"))
            ) as response:
                said.append(json.loads(await response.read())["choices"][0]["message"]["content"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as http:
        await asyncio.gather(*(work(http) for _ in range(at_once)))
    assert len(said) == len(asked)


def surroundings(folder: str, at_once: int) -> StageContext:
    """A new store on disk, opened; that is paid once, not by the request."""
    where = Settings(data=folder, store=f"sqlite:///{folder}/store.db", llm_concurrency=at_once)
    return StageContext("1", Options(), open_lake(folder), open_store(where.store), where, lambda _: None)


def ours(url: str, asked: list[Request], work: StageContext) -> None:
    """`llm.ask`, every reply into the store."""
    replies = client.ask(asked, Server(url, "m", "none", "CHIMED_LLM_URL"), work)
    assert all(isinstance(reply, Reply) and not reply.known for reply in replies)


def with_openai(url: str, many: int, at_once: int) -> Measured | None:
    """The `openai` client in the models' environment; None where there is none."""
    python = Settings().models_python
    if not Path(python).exists():
        return None
    command = [python, "-c", WITH_OPENAI, url, str(many), str(at_once), TEXT]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        print(f"openai: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    seconds, cpu = json.loads(done.stdout)
    return Measured("openai", many / seconds, cpu / many * 1000)


def main(many: int, at_once: int, rounds: int, latency: float) -> None:
    """Prints one line a client and the two ratios that count."""
    command = [sys.executable, str(HERE / "openai_server.py"), "--latency", str(latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    url = server.stdout.readline().strip()
    found: list[Measured] = []
    try:
        asked = requests(many)
        for _ in range(rounds):
            found.append(measured("plain aiohttp", many, lambda: asyncio.run(plain(url, asked, at_once))))
            with tempfile.TemporaryDirectory() as folder:
                work = surroundings(folder, at_once)
                found.append(measured("chimed", many, lambda work=work: ours(url, asked, work)))
                work.store.engine.dispose()
        found += filter(None, [with_openai(url, many // 8, at_once)])
    finally:
        server.kill()
    rate, cpu = {}, {}
    for name in dict.fromkeys(one.client for one in found):
        rate[name] = statistics.median(one.rate for one in found if one.client == name)
        cpu[name] = statistics.median(one.cpu for one in found if one.client == name)
        print(f"{name:14} {rate[name]:7.0f} requests/s {cpu[name]:7.2f} s CPU per 1,000")
    print(
        f"chimed / plain aiohttp: throughput {rate['chimed'] / rate['plain aiohttp']:.2f} (to be ≥ 0.9), "
        f"chimed with its store {cpu['chimed']:.2f} s CPU per 1,000 (to be ≤ 1.0)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.3, help="the server's median, seconds")
    chosen = parser.parse_args()
    main(chosen.requests, chosen.concurrency, chosen.rounds, chosen.latency)
