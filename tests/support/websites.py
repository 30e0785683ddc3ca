"""Small web servers that misbehave on demand, and crawls of them: each the command line in a process of its own.

The processes are forked from one that has imported Scrapy, which takes longer than most of these crawls (`forks`).
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

from aiohttp import web

from chimed.storage import warc
from chimed.storage.lake import open_lake
from support import forks, loopback

Answer = tuple[int, dict[str, str], str | bytes]
HTML = {"Content-Type": "text/html; charset=utf-8"}
FIRST = date(2026, 10, 31)
PACE = "0.01"
LEASE = 0.1, 2.0  # seconds between two beats of a lease on one of several machines, and its length


@dataclass
class Site:
    """A web server that answers `/<host>/<path>` from `pages`; what is asked for is kept with its time."""

    url: str = ""
    pages: dict[str, Answer | Callable[[dict], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, float, dict]] = field(default_factory=list)
    slow: float = 0.0
    instead: Callable[[str, dict], Answer | None] | None = None  # what is answered whatever is asked, if it is anything

    def count(self, part: str = "") -> Counter:
        return Counter(path for path, _, _ in self.asked if part in path)


@contextmanager
def served() -> Iterator[Site]:
    """A site's server on loopback."""
    serving = Site()

    def found(path: str, headers: dict[str, str]) -> Answer:
        time.sleep(serving.slow)
        other = serving.instead(path, headers) if serving.instead else None
        page = serving.pages.get(path, (404, HTML, "none"))
        return other or (page(headers) if callable(page) else page)

    async def answer(request: web.Request) -> web.Response:
        path, headers = request.raw_path, dict(request.headers)
        serving.asked.append((path, time.monotonic(), headers))
        try:
            status, said, body = await asyncio.to_thread(found, path, headers)
        except ConnectionError:  # the site hangs up
            raise loopback.hang_up(request) from None
        return web.Response(status=status, headers=said, body=body.encode() if isinstance(body, str) else body)

    with loopback.serving(loopback.answering(answer)) as serving.url:
        yield serving


def questions(site: Site, count: int, a_page: int = 4, topic: int = 44) -> None:
    """A topic of ask.39.net with `count` questions, one a day, newest first."""
    for n in range(count):
        day = FIRST - timedelta(days=n)
        html = (
            f'<h1>问题{n}</h1><p class="txt_ms">描述{n}。</p><p class="txt_nametime"><span>{day} 08:00</span></p>'
            f'<div class="selected"><div class="sele_all"><p class="sele_txt">第{n}个回答。</p></div></div>'
        )
        site.pages[f"/ask.39.net/question/{n}.html"] = (200, {**HTML, "ETag": f'"{n}"'}, html)
    for number in range((count + a_page - 1) // a_page):
        shown = range(number * a_page, min(count, (number + 1) * a_page))
        entries = "".join(
            f'<li><p class="p1"><a href="/question/{n}.html">问题{n}</a></p>'
            f'<span class="a_r">{FIRST - timedelta(days=n)}</span></li>'
            for n in shown
        )
        more = f'<span class="pages"><a class="next" href="/news/{topic}-{number + 2}.html">下一页</a></span>'
        html = f'<ul class="list_ask">{entries}</ul>{more if shown.stop < count else ""}'
        site.pages[f"/ask.39.net/news/{topic}-{number + 1}.html"] = (200, HTML, html)


def _be(machine: Path) -> None:
    """From here on this process is on a machine of that name, with temporary files of its own."""
    import socket
    import tempfile

    from chimed.storage import lease

    machine.mkdir(exist_ok=True)
    tempfile.tempdir = str(machine)
    socket.gethostname = lambda: machine.name
    lease.BEAT_SECONDS, lease.LEASE_SECONDS = LEASE


def _fill(place: str, calls: int) -> None:
    """Fill the disk at a function, such as `chimed.storage.lake.write_bytes`, after so many calls of it."""
    import errno
    import importlib
    import sqlite3

    from sqlalchemy.exc import OperationalError

    module, name = importlib.import_module(place.rpartition(".")[0]), place.rpartition(".")[2]
    really = getattr(module, name, open)  # a module's own name, or what Python has for it
    left = iter(range(calls))

    def fails(*arguments, **named):
        if next(left, None) is not None:
            return really(*arguments, **named)
        if name in ("record_results", "upsert", "mark_finished"):
            raise OperationalError("insert", {}, sqlite3.OperationalError("database or disk is full"))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    setattr(module, name, fails)


def _command(
    words: list[str],
    environment: dict[str, str],
    said: str,
    at: str | None,
    machine: Path | None = None,
    full: tuple[str, int] | None = None,
) -> None:
    """The command line in this process, as `python -m chimed` would run it, its clock set to `at`."""
    import time_machine

    from chimed.__main__ import main
    from chimed.settings import settings

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(environment)
    settings.cache_clear()
    sys.argv = ["chimed", *words]
    if machine:
        _be(machine)
    if full:
        _fill(*full)
    with time_machine.travel(datetime.fromisoformat(at)) if at else contextlib.nullcontext():
        main()
    sys.stdout.flush()


def start(
    folder: Path,
    url: str,
    *words: str,
    at: str | None = None,
    machine: str = "",
    full: tuple[str, int] | None = None,
    **variables: str,
) -> BaseProcess:
    """A chimed command with lake and store in `folder`, fetching from `url`; more settings as CHIMED_ variables.

    at: the moment by its clock, as 2026-11-02T01:00+08:00. machine: the name of one that shares nothing else with
    others; a lease is shorter there, and what is said lies in a file of its own. full: a function at which the disk is
    full, and after how many calls of it.
    """
    environment = {
        "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "CHIMED_REPLICA": url,
        "CHIMED_REPLICA_DELAY": PACE,
        "CHIMED_DEAD_LISTS": "99",  # of a site's lists most of these servers have one
        **{f"CHIMED_{name.upper()}": value for name, value in variables.items()},
    }
    said, where = str(folder / f"said{machine}"), folder / machine if machine else None
    return forks.started(_command, list(words), environment, said, at, where, full)


def run(folder: Path, url: str, *words: str, code: int = 0, **variables: str) -> dict:
    """Runs a command to its end; returns its result, or {"said": its last line} where it is to fail.

    code: the exit code it is to end with; 0 and 3, which means that the site wants to be left alone, have a result.
    """
    running = start(folder, url, *words, **variables)
    running.join(120)
    said = (folder / "said.err").read_text()
    assert running.exitcode == code, said
    assert "Traceback" not in said
    if code in (0, 3):
        return json.loads((folder / "said.out").read_text().splitlines()[-1])
    return {"said": said.strip().splitlines()[-1]}


def crawl(folder: Path, site: Site, *options: str, code: int = 0, **variables: str) -> dict:
    """Crawls ask39's topic 妇科, if the options name nothing else."""
    words = ("ask39", "--sections", "妇科") if not options or options[0].startswith("--") else ()
    return run(folder, site.url, "crawl", *words, *options, code=code, **variables)


def stored(folder: Path, source: str, name: str, kind: str = "detail") -> list[str]:
    """URLs of the responses in a crawl's WARC files, sorted."""
    lake = open_lake(str(folder / "lake"))
    files = warc.list_files(lake, f"raw/{source}/{name}")
    return sorted(one.url for path in files for one in warc.read_responses(lake, path) if one.kind == kind)


def mimes(folder: Path, source: str, name: str) -> set[str]:
    """Kinds of what a crawl stored, as its index has them: `text/html` of a page, `warc/revisit` of one unchanged."""
    index = folder / f"lake/raw/{source}/{name}/index.cdxj"
    lines = index.read_text().splitlines() if index.exists() else []
    return {json.loads(line.split(" ", 2)[2])["mime"] for line in lines}


def question_urls(*numbers: int) -> list[str]:
    """Canonical URLs of `questions`, sorted."""
    return sorted(f"https://ask.39.net/question/{n}.html" for n in numbers)
