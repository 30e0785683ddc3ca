"""WARC files: what is written is read back, a torn file keeps its whole records, the index points at records."""

import gzip
import json

import pytest
from warcio.archiveiterator import ArchiveIterator

from chimed import lake as lakes
from chimed.lake import open_lake
from chimed.sources import warc

FOLDER = "raw/ask39/2026-11-16"


def exchange(url: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> warc.Exchange:
    said = [("Content-Type", "text/html"), *headers]
    return warc.Exchange(url, "GET /1 HTTP/1.1", [("Host", "ask.39.net")], 200, "OK", said, body)


@pytest.fixture
def lake(tmp_path):
    return open_lake(str(tmp_path / "lake"))


def test_bytes_come_back_and_the_encoding_is_taken_off(lake):
    archive = warc.open_archive(lake, FOLDER)
    wire = gzip.compress("茯苓".encode())
    chunked = (("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked"))
    place = warc.keep(archive, exchange("https://ask.39.net/question/1.html", wire, chunked), "detail")
    warc.close(archive)
    (path,) = warc.files(lake, FOLDER)
    (stored,) = warc.responses(lake, path)
    assert (stored.page, stored.kind, stored.body.decode()) == (place, "detail", "茯苓")
    assert stored.fetched.tzinfo is not None
    with open(lake.at(path), "rb") as file:
        records = [(one.rec_type, one.raw_stream.read()) for one in ArchiveIterator(file, check_digests="raise")]
    assert [kind for kind, _ in records] == ["warcinfo", "response", "request"]
    assert records[1][1] == wire


def test_a_place_is_where_the_record_begins(lake):
    archive = warc.open_archive(lake, FOLDER)
    places = [warc.keep(archive, exchange(f"https://ask.39.net/question/{n}.html", b"x" * n), "detail") for n in (1, 2)]
    warc.close(archive)
    path, _, offset = places[1].partition("#")
    with open(lake.at(path), "rb") as file:
        file.seek(int(offset))
        record = next(iter(ArchiveIterator(file)))
    assert record.rec_headers.get_header("WARC-Target-URI").endswith("/2.html")


@pytest.mark.parametrize("torn", [1, 30, 200])
def test_a_torn_file_keeps_its_whole_records(lake, torn):
    archive = warc.open_archive(lake, FOLDER)
    for n in range(3):
        warc.keep(archive, exchange(f"https://ask.39.net/question/{n}.html", b"a" * 500), "detail")
    left = next(archive.work.glob("*.open"))
    left.write_bytes(left.read_bytes()[:-torn])  # the process is gone, the file is not closed
    again = warc.open_archive(lake, FOLDER)
    (path,) = warc.files(lake, FOLDER)
    assert len(list(warc.responses(lake, path))) in (2, 3)
    warc.keep(again, exchange("https://ask.39.net/question/9.html", b"new"), "detail")
    warc.close(again)
    assert [name[-13:] for name in warc.files(lake, FOLDER)] == ["00000.warc.gz", "00001.warc.gz"]


def test_files_are_rotated_by_size(lake):
    archive = warc.open_archive(lake, FOLDER, file_bytes=1)
    for n in range(3):
        warc.keep(archive, exchange(f"https://ask.39.net/question/{n}.html", b"a"), "detail")
    assert len(warc.files(lake, FOLDER)) == 3


def test_index_counts_details_and_points_at_records(lake):
    archive = warc.open_archive(lake, FOLDER)
    place = warc.keep(archive, exchange("https://ask.39.net/question/1.html", b"a"), "detail")
    warc.keep(archive, exchange("https://ask.39.net/news/1-1.html", b"b"), "list")
    warc.close(archive)
    assert warc.index(lake, FOLDER) == 1
    lines = lakes.read_bytes(lake, f"{FOLDER}/index.cdxj").decode().splitlines()
    assert lines[0].startswith("net,39,ask)/news/1-1.html ")
    entry = json.loads(lines[1].split(" ", 2)[2])
    assert place == f"{FOLDER}/{entry['filename']}#{entry['offset']}"


def test_a_crawl_without_a_response_leaves_no_file(lake):
    warc.close(warc.open_archive(lake, FOLDER))
    assert warc.files(lake, FOLDER) == []
    assert warc.index(lake, FOLDER) == 0
