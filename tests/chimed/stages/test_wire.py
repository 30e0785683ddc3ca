"""What real servers send, over real HTTP: encodings not asked for, marks before robots.txt, hours, odd headers."""

import codecs
import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import brotli
import pytest
from backports import zstd

from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.warc_records import read_whole_records
from support.websites import Site, crawl, questions, served

pytestmark = pytest.mark.slow  # servers and processes


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def packed(site: Site, number: int, said: str, pack) -> None:
    path = f"/ask.39.net/question/{number}.html"
    status, headers, html = site.pages[path]
    site.pages[path] = (status, {**headers, "Content-Encoding": said}, pack(html.encode()))


def test_every_content_encoding_is_read(tmp_path, site):
    questions(site, 8)
    packed(site, 1, "zstd", zstd.compress)
    packed(site, 2, "gzip, br", lambda body: brotli.compress(gzip.compress(body)))
    packed(site, 3, "gzip,gzip", lambda body: gzip.compress(gzip.compress(body)))
    packed(site, 4, "br", bytes)
    packed(site, 5, "sdch", bytes)
    packed(site, 6, "gzip", lambda body: gzip.compress(body + b" " * (16 << 20)))
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert {headers.get("Accept-Encoding") for _, _, headers in site.asked} == {"gzip, deflate, br"}
    assert report["misses"] == {"too large": 1, "unknown content encoding": 1}
    assert report["pages"] == 8
    lake = open_lake(str(tmp_path / "lake"))
    read = {one.url: one for path in warc.list_files(lake, "raw/ask39/c1") for one in warc.read_responses(lake, path)}
    assert "第1个回答" in read["https://ask.39.net/question/1.html"].body.decode()


def test_robots_with_a_mark_before_them_are_rules(tmp_path, site):
    questions(site, 4)
    rules = b"User-agent: *\nDisallow: /question/2.html\n"
    site.pages["/ask.39.net/robots.txt"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(codecs.BOM_UTF8 + rules))
    assert crawl(tmp_path, site)["misses"] == {"forbidden by robots.txt": 1}
    assert not site.count("question/2.html")


def test_a_disallowed_redirect_is_not_followed(tmp_path, site):
    questions(site, 4)
    rules = "User-agent: *\nDisallow: /*?\n\nUser-agent: chimed\nDisallow: /*?\nRequest-rate: 1/1"
    site.pages["/ask.39.net/robots.txt"] = (200, {}, rules)
    site.pages["/ask.39.net/question/1.html"] = (302, {"Location": "/question/1.html?from=list"}, "")
    report = crawl(tmp_path, site)
    assert report["misses"] == {"forbidden by robots.txt": 1}
    assert not site.count("?")
    assert report["robots"] == "read, with rules for us by name"
    assert report["delay"] == 1.0


def test_a_site_is_asked_in_its_hours_only(tmp_path, site):
    questions(site, 4)
    now = datetime.now(UTC)
    hours = f"{now + timedelta(hours=2):%H%M}-{now + timedelta(hours=4):%H%M}"
    site.pages["/ask.39.net/robots.txt"] = (200, {}, f"User-agent: *\nVisit-time: {hours}\n")
    assert "Visit-time" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}
    hours = f"{now - timedelta(hours=2):%H%M}-{now + timedelta(hours=2):%H%M}"
    site.pages["/ask.39.net/robots.txt"] = (200, {}, f"User-agent: *\nVisit-time: {hours}\n")
    assert crawl(tmp_path, site)["fetched"] == 4


@contextmanager
def raw(head: bytes) -> Iterator[str]:
    """A server that answers every request with these bytes; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                path = connection.recv(65536).split(b" ")[1]
                connection.sendall(b"HTTP/1.1 404 no\r\n\r\n" if path.endswith(b"robots.txt") else head)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()


def test_headers_are_kept_in_their_order_and_spelling(tmp_path):
    body = '<ul class="list_ask"><li><p class="p1"><a href="/question/1.html">问</a></p></li></ul>'.encode()
    said = [
        ("server", "nginx"),
        ("X-powered-BY", "PHP/5.2"),
        ("Set-Cookie", "a=1"),
        ("content-type", "text/html"),
        ("set-cookie", "b=2"),
        ("CONTENT-LENGTH", str(len(body))),
        ("X-Chimed-Raw-Headers", "[]"),
        ("Connection", "close"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in said).encode()
    with raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body) as url:
        crawl(tmp_path, Site(url), "--crawl", "c1")
    lake = open_lake(str(tmp_path / "lake"))
    path = warc.list_files(lake, "raw/ask39/c1")[0]
    kept = [
        one.record.http_headers.headers for one in read_whole_records(lake, path) if one.record.rec_type == "response"
    ]
    assert [list(map(tuple, headers)) for headers in kept[:1]] == [said]
