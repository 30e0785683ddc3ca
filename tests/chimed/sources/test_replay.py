"""The WARC files of a crawl in pywb, which archives use to show pages: every page is replayed as it was.

pywb wants older versions than this project, so it lives in an environment of its own (tests/requirements-pywb.txt):
`.venv-pywb`, or the folder that PYWB names. Where there is none, the test is skipped.
"""

import gzip
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import brotli
import pytest

from chimed.storage import warc
from chimed.storage.lake import open_lake

PYWB = Path(os.environ.get("PYWB", Path(__file__).resolve().parents[3] / ".venv-pywb")) / "bin"
FOLDER = "raw/ask39/c1"
PAGE = "<html><head><title>问</title></head><body><h1>第{0}问</h1></body></html>"

pytestmark = [
    pytest.mark.slow,  # a server
    pytest.mark.skipif(not (PYWB / "wayback").exists(), reason="pywb is not installed"),
]


def keep(archive: warc.Archive, number: int, said: str | None, pack) -> None:
    body = pack(PAGE.format(number).encode())
    headers = [("content-type", "text/html; charset=utf-8"), ("Transfer-Encoding", "chunked")]
    headers += [("Content-Encoding", said)] if said else []
    url = f"https://ask.39.net/question/{number}.html"
    request = [("Host", "ask.39.net")]
    exchange = warc.Exchange(url, f"GET /question/{number}.html HTTP/1.1", request, 200, "OK", headers, body)
    warc.write_exchange(archive, exchange, "detail")


def test_pywb_replays_every_page(tmp_path):
    lake = open_lake(str(tmp_path / "lake"))
    archive = warc.open_archive(lake, FOLDER, file_bytes=1_500)
    packs = [(None, bytes), ("gzip", gzip.compress), ("br", brotli.compress), (None, bytes)]
    for number, (said, pack) in enumerate(packs):
        keep(archive, number, said, pack)
    warc.close_archive(archive)
    warc.write_index(lake, FOLDER)
    kept = tmp_path / "collections" / "chimed"
    shutil.copytree(lake.at(FOLDER), kept / "archive")
    (kept / "indexes").mkdir()
    shutil.move(kept / "archive" / "index.cdxj", kept / "indexes" / "index.cdxj")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [PYWB / "wayback", "--port", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with open(tmp_path / "said", "wb") as said:
        server = subprocess.Popen(line, cwd=tmp_path, stdout=said, stderr=said)
    try:
        for number in range(len(packs)):
            address = f"http://127.0.0.1:{port}/chimed/id_/https://ask.39.net/question/{number}.html"
            assert f"<h1>第{number}问</h1>" in shown(address), (tmp_path / "said").read_text()
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{port}/chimed/id_/https://ask.39.net/question/99.html", timeout=30)
    finally:
        server.terminate()
        server.wait(30)


def shown(address: str) -> str:
    """What the server shows, once it is up."""
    for _ in range(120):
        try:
            with urlopen(address, timeout=30) as response:
                body = response.read()
                packed = {"gzip": gzip.decompress, "br": brotli.decompress}.get(response.headers["Content-Encoding"])
                return (packed(body) if packed else body).decode()
        except HTTPError as error:
            return f"HTTP {error.code}"
        except URLError:
            time.sleep(0.5)
    return "pywb did not start"
