"""Throughput of the crawler with politeness off, beside a bare Scrapy spider that only saves the same pages.

    PYTHONPATH=include .venv/bin/python tests/benchmarks/crawl.py        # 2,000 pages of 46 KB, three rounds

Both walk the same lists of a made-up topic of ask.39.net, served by one process, and fetch the same questions with
Scrapy's own concurrency (CHIMED_REPLICA_DELAY=0). Ours also obeys robots.txt, reads every page, writes WARC and keeps
the frontier; it does so in a second process, so it wants two idle cores. The rounds alternate, the best of each counts.

Three figures of each: pages a second from its first request to its end, with all that is written at the end; the same
with start-up, that is imports; and the CPU a page costs, which another load on the machine moves least. At least
the bare spider's rate is wanted. Measured on two idle cores, which the server of the pages shares: 1.02, 0.95, 0.87.
Our CPU is what reading costs, which the bare spider does not; it falls on the second core.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

LIST_SIZE = 20
FIRST = "/when-was-the-first-request"  # asked of the server, which forgets it with the answer
BARE = """
import sys, pathlib, hashlib
import scrapy
from scrapy.crawler import CrawlerProcess
start, folder = sys.argv[1], pathlib.Path(sys.argv[2])
class Bare(scrapy.Spider):
    name = "bare"
    start_urls = [start]
    def parse(self, response):
        for href in response.css("ul.list_ask p.p1 a::attr(href)").getall():
            yield response.follow("/ask.39.net" + href, self.save)
        for href in response.css("span.pages a.next::attr(href)").getall():
            yield response.follow("/ask.39.net" + href)
    def save(self, response):
        (folder / hashlib.sha1(response.url.encode()).hexdigest()).write_bytes(response.body)
process = CrawlerProcess({"LOG_LEVEL": "ERROR", "TELNETCONSOLE_ENABLED": False, "ROBOTSTXT_OBEY": False,
                          "DOWNLOAD_DELAY": 0, "CONCURRENT_REQUESTS": 16, "CONCURRENT_REQUESTS_PER_DOMAIN": 8})
process.crawl(Bare)
process.start()
"""


def site(pages: int, kilobytes: int) -> dict[str, bytes]:
    """Path → body: the lists of topic 44 and its questions, newest first."""
    menu = "".join(
        f'<li><a href="/hot/{n}.html">相关问题{n}：该怎么办</a><span>医生回答</span></li>' for n in range(420)
    )
    found: dict[str, bytes] = {}
    for n in range(pages):
        answers = "".join(
            f'<div class="sele_all"><span class="doc_name">柯景行</span><p class="sele_txt">第{n}问的第{k}个回答，'
            f'{"注意休息，按时复诊。" * 12}</p><p class="doc_time">2026-10-31 18:16</p></div>'
            for k in range(3)
        )
        html = (
            f'<html><head><title>问题{n}_39问医生_39健康网</title></head><body><div class="cont_l"><div class="sub">'
            f'<span><a>内科</a></span><span class="sub_here">妇科</span></div><h1 class="ask_tit">问题{n}</h1>'
            f'<div class="ask_hid"><p class="txt_ms">第{n}个描述，{"头痛三天。" * 20}</p></div>'
            f'<p class="txt_nametime"><span>2026-10-31 08:00</span></p>'
            f'<div class="selected">{answers}</div></div><div class="relevant_ask"><ul>{menu}</ul></div>'
        )
        body = html.encode()
        found[f"/ask.39.net/question/{n}.html"] = body + b"<!--" + b"x" * (kilobytes * 1024 - len(body)) + b"-->"
    last = -(-pages // LIST_SIZE)
    for number in range(1, last + 1):
        shown = range((number - 1) * LIST_SIZE, min(pages, number * LIST_SIZE))
        entries = "".join(
            f'<li><p class="p1"><a href="/question/{n}.html">问题{n}</a></p>'
            f"<em>{date(2026, 10, 31) - timedelta(days=n)}</em></li>"
            for n in shown
        )
        following = f'<span class="pages"><a class="next" href="/news/44-{number + 1}.html">下一页</a></span>'
        found[f"/ask.39.net/news/44-{number}.html"] = (
            f'<ul class="list_ask">{entries}</ul>{following if number < last else ""}'
        ).encode()
    return found


def serve(pages: int, kilobytes: int, port) -> None:
    """A server as cheap as can be, so that it does not decide what is measured."""
    bodies, asked = site(pages, kilobytes), []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if path == FIRST:
                    body = json.dumps(asked.pop(0)).encode()
                    asked.clear()
                else:
                    asked or asked.append(time.monotonic())
                    body = bodies.get(path)
                status = b"200 OK" if body else b"404 Not Found"
                body = body or b"none"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
                    % (status, len(body))
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # the asker is done

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@dataclass(frozen=True)
class Took:
    """Seconds of one run: with start-up, from its first request on, and of CPU in all its processes."""

    whole: float
    steady: float
    cpu: float


def timed(words: list[str], address: str, **how: Any) -> tuple[Took, subprocess.CompletedProcess]:
    """Runs a command that asks the server."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(words, check=True, **how)
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    first = json.loads(urlopen(f"{address}{FIRST}").read())
    return Took(ended - began, ended - first, cpu), done


def bare(address: str, pages: int) -> Took:
    """The bare spider."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", BARE, f"{address}/ask.39.net/news/44-1.html", folder]
        took, _ = timed(words, address)
        assert len(os.listdir(folder)) == pages
    return took


def ours(address: str, pages: int) -> Took:
    """The crawl command, its report included."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": "include",
            "CHIMED_DATA": f"{folder}/lake",
            "CHIMED_STORE": f"sqlite:///{folder}/store.db",
            "CHIMED_REPLICA": address,
            "CHIMED_REPLICA_DELAY": "0",
        }
        words = [sys.executable, "-m", "chimed", "crawl", "ask39", "--sections", "妇科", "--crawl", "c1"]
        subprocess.run(
            [sys.executable, "-m", "chimed", "store", "upgrade"], env=environment, check=True, capture_output=True
        )
        took, done = timed(words, address, env=environment, capture_output=True, text=True)
        report = json.loads(done.stdout)
        assert (report["pages"], report["fetched"], report["misses"]) == (pages, pages, {}), report
    return took


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--kilobytes", type=int, default=46, help="of a page; the site's have 45 to 54")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's crawl finds its bytecode there, as Scrapy's is
    here, there = multiprocessing.Pipe(False)
    server = multiprocessing.Process(target=serve, args=(chosen.pages, chosen.kilobytes, there), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{here.recv()}"
    rounds = [(bare(address, chosen.pages), ours(address, chosen.pages)) for _ in range(chosen.rounds)]
    server.terminate()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {chosen.pages} pages of {chosen.kilobytes} KB")
    print(f"{'':16}{'bare Scrapy':>14}{'chimed':>14}{'ratio':>8}")
    for name, what in (("from request 1", "steady"), ("with start-up", "whole"), ("CPU", "cpu")):
        theirs, our = (min(getattr(one[side], what) for one in rounds) for side in (0, 1))
        rates = [
            f"{seconds * 1000 / chosen.pages:.2f} ms/page" if what == "cpu" else f"{chosen.pages / seconds:.1f} pages/s"
            for seconds in (theirs, our)
        ]
        print(f"{name:16}{rates[0]:>14}{rates[1]:>14}{theirs / our:8.2f}")


if __name__ == "__main__":
    Path("include/chimed").exists() or sys.exit("run it from the project's folder")
    main()
