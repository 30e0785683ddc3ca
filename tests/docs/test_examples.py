"""The example of the whole path runs as a reader would run it, on a WARC file that another program wrote."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from support.readme import PROJECT

EXAMPLE = PROJECT / "docs" / "examples" / "build_release.py"
HERBS = {
    "青岚草": "青岚草味甘，性平，归脾、肺二经，能益气固表，用于体虚多汗、容易外感的人，水煎服，每日一剂。",
    "石蕊花": "石蕊花味苦，性凉，归心、肝二经，能清热安神，用于心烦少寐、口舌生疮，胃寒的人不宜多用。",
    "雁来根": "雁来根味辛，性温，归肾经，能散寒止痛，用于腰膝冷痛、行走不便，孕妇忌服，阴虚的人慎用。",
}
PAGE = '<html><meta charset="gbk"><h1>{0}</h1><div class="info_txt"><b>【功效】</b>{1}</div><p>版权所有</p></html>'


def write_warc(path: Path) -> None:
    """Write a WARC file as a recorder does: a page each in GBK, one in chunks, one that is gone, and the requests."""
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for n, (name, text) in enumerate(HERBS.items()):
            body, headers = PAGE.format(name, text).encode("gbk"), [("Content-Type", "text/html")]
            if n == 1:
                headers.append(("Transfer-Encoding", "chunked"))
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            add(writer, f"http://www.zydcd.com/zhongyi/zy{n:05d}aa/", "200 OK", headers, body)
        add(writer, "http://www.zydcd.com/zhongyi/zy00009aa/", "404 Not Found", [], b"gone")


def add(writer: WARCWriter, url: str, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
    asked = StatusAndHeaders(f"GET {url} HTTP/1.1", [], is_http_request=True)
    writer.write_record(writer.create_warc_record(url, "request", payload=io.BytesIO(), http_headers=asked))
    http = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
    writer.write_record(writer.create_warc_record(url, "response", payload=io.BytesIO(body), http_headers=http))


@pytest.mark.slow
def test_the_example_turns_a_warc_into_a_release(tmp_path) -> None:
    write_warc(tmp_path / "pages.warc.gz")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHIMED_")}
    environment["PYTHONPATH"] = str(PROJECT / "include")
    argv = [sys.executable, str(EXAMPLE), "zydcd", "pages.warc.gz", "my-lake"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    release = tmp_path / done.stdout.splitlines()[-1]
    rows = pl.concat(pl.read_parquet(path) for path in sorted((release / "pretrain").glob("*.parquet")))
    assert set(rows["title"]) == set(HERBS)
    assert all(any(text in row for row in rows["text"]) for text in HERBS.values())
    assert not any("版权所有" in row for row in rows["text"])
    manifest = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ledger"][0]["read"] == 4
    assert sum(manifest["ledger"][0]["dropped"].values()) + sum(manifest["ledger"][0]["failed"].values()) == 1


def test_the_example_fits_on_a_page() -> None:
    code = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len([line for line in code if not line.startswith(("from ", "import "))]) <= 40
