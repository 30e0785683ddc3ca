"""WARC files: what is written is read back, a torn file keeps its whole records, the index points at records."""

import errno
import gzip
import json
import random
import tempfile
import zlib

import brotli
import pytest
from backports import zstd
from warcio.archiveiterator import ArchiveIterator

from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.warc_records import read_whole_records

FOLDER = "raw/ask39/2026-11-16"


def exchange(url: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> warc.Exchange:
    said = [("Content-Type", "text/html"), *headers]
    return warc.Exchange(url, "GET /1 HTTP/1.1", [("Host", "ask.39.net")], 200, "OK", said, body)


@pytest.fixture
def lake(tmp_path):
    return open_lake(str(tmp_path / "lake"))


def test_stored_bytes_come_back_decoded(lake):
    archive = warc.open_archive(lake, FOLDER)
    wire = gzip.compress("茯苓".encode())
    chunked = (("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked"))
    place = warc.write_exchange(archive, exchange("https://ask.39.net/question/1.html", wire, chunked), "detail")
    warc.close_archive(archive)
    (path,) = warc.list_files(lake, FOLDER)
    (stored,) = warc.read_responses(lake, path)
    assert (stored.page, stored.kind, stored.body.decode()) == (place, "detail", "茯苓")
    assert stored.fetched.tzinfo is not None
    with open(lake.at(path), "rb") as file:
        records = [(one.rec_type, one.raw_stream.read()) for one in ArchiveIterator(file, check_digests="raise")]
    assert [kind for kind, _ in records] == ["warcinfo", "response", "request"]
    assert records[1][1] == wire


def test_a_place_is_where_the_record_begins(lake):
    archive = warc.open_archive(lake, FOLDER)
    places = [
        warc.write_exchange(archive, exchange(f"https://ask.39.net/question/{n}.html", b"x" * n), "detail")
        for n in (1, 2)
    ]
    warc.close_archive(archive)
    path, _, offset = places[1].partition("#")
    with open(lake.at(path), "rb") as file:
        file.seek(int(offset))
        record = next(iter(ArchiveIterator(file)))
    assert record.rec_headers.get_header("WARC-Target-URI").endswith("/2.html")


@pytest.mark.parametrize("torn", [1, 30, 200])
def test_a_torn_file_keeps_its_whole_records(lake, torn):
    archive = warc.open_archive(lake, FOLDER)
    for n in range(3):
        warc.write_exchange(archive, exchange(f"https://ask.39.net/question/{n}.html", b"a" * 500), "detail")
    left = next(archive.work.glob("*.open"))
    left.write_bytes(left.read_bytes()[:-torn])  # the process is gone, the file is not closed
    again = warc.open_archive(lake, FOLDER)
    (path,) = warc.list_files(lake, FOLDER)
    assert len(list(warc.read_responses(lake, path))) in (2, 3)
    warc.write_exchange(again, exchange("https://ask.39.net/question/9.html", b"new"), "detail")
    warc.close_archive(again)
    assert [name[-13:] for name in warc.list_files(lake, FOLDER)] == ["00000.warc.gz", "00001.warc.gz"]


def test_files_are_rotated_by_size(lake):
    archive = warc.open_archive(lake, FOLDER, file_bytes=1)
    for n in range(3):
        warc.write_exchange(archive, exchange(f"https://ask.39.net/question/{n}.html", b"a"), "detail")
    assert len(warc.list_files(lake, FOLDER)) == 3


def test_index_counts_details_and_points_at_records(lake):
    archive = warc.open_archive(lake, FOLDER)
    place = warc.write_exchange(archive, exchange("https://ask.39.net/question/1.html", b"a"), "detail")
    warc.write_exchange(archive, exchange("https://ask.39.net/news/1-1.html", b"b"), "list")
    warc.close_archive(archive)
    assert warc.write_index(lake, FOLDER) == 1
    lines = lakes.read_bytes(lake, f"{FOLDER}/index.cdxj").decode().splitlines()
    assert lines[0].startswith("net,39,ask)/news/1-1.html ")
    entry = json.loads(lines[1].split(" ", 2)[2])
    assert place == f"{FOLDER}/{entry['filename']}#{entry['offset']}"


def test_a_crawl_without_a_response_leaves_no_file(lake):
    warc.close_archive(warc.open_archive(lake, FOLDER))
    assert warc.list_files(lake, FOLDER) == []
    assert warc.write_index(lake, FOLDER) == 0


def kept(lake, count: int, body: bytes = b"") -> tuple[str, list[str]]:
    """A closed file of `count` responses with bodies that do not shrink; its path, and their places."""
    archive = warc.open_archive(lake, FOLDER)
    chance = random.Random(5)
    places = []
    for n in range(count):
        url = f"https://ask.39.net/question/{n}.html"
        places.append(warc.write_exchange(archive, exchange(url, body or chance.randbytes(3_000)), "detail"))
    warc.close_archive(archive)
    (path,) = warc.list_files(lake, FOLDER)
    return path, places


@pytest.mark.parametrize("cut", [3, 40, 900, 2_500])
def test_a_torn_record_costs_only_itself(lake, cut):
    path, places = kept(lake, 5)
    whole = lakes.read_bytes(lake, path)
    at = int(places[2].partition("#")[2])
    with open(lake.at(path), "wb") as file:  # as a disk that filled, and was emptied again, would leave it
        file.write(whole[: at + cut] + whole[int(places[3].partition("#")[2]) :])
    assert [one.url[-6:] for one in warc.read_responses(lake, path)] == ["0.html", "1.html", "3.html", "4.html"]
    there = warc.find_whole_places(lake)
    assert [there(place) for place in places[:3]] == [True, True, False]
    assert not there(f"{FOLDER}/00009.warc.gz#0")


def test_a_wrong_digest_is_no_page(lake):
    path, places = kept(lake, 2, "一个完整的回答。".encode() * 9)
    raw = lakes.read_bytes(lake, path)
    at, stream = int(places[0].partition("#")[2]), zlib.decompressobj(31)
    plain = stream.decompress(raw[at:])
    member = gzip.compress(plain.replace("完整".encode(), "半个".encode(), 1))
    with open(lake.at(path), "wb") as file:
        file.write(raw[:at] + member + stream.unused_data)
    assert [one.url[-6:] for one in warc.read_responses(lake, path)] == ["1.html"]


def test_a_taken_over_file_gets_no_records(lake):
    archive = warc.open_archive(lake, FOLDER)
    warc.write_exchange(archive, exchange("https://ask.39.net/question/1.html", b"one"), "detail")
    other = warc.open_archive(lake, FOLDER)
    (path,) = warc.list_files(lake, FOLDER)
    was = lakes.read_bytes(lake, path)
    with pytest.raises(OSError, match="another process took over"):
        warc.write_exchange(archive, exchange("https://ask.39.net/question/2.html", b"two"), "detail")
    assert lakes.read_bytes(lake, path) == was
    assert warc.write_exchange(other, exchange("https://ask.39.net/question/2.html", b"two"), "detail").startswith(
        f"{FOLDER}/00001.warc.gz"
    )


class Filling:
    """A file on a disk that takes so many bytes more and no more."""

    def __init__(self, file, room: int):
        self.file, self.room = file, room

    def write(self, data) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(self.room, len(data), 700)
        self.room -= taken
        return self.file.write(bytes(data[:taken]))

    def __getattr__(self, name: str):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 9, 350, 699, 700, 701, 2_000, 3_000, 3_900])
def test_a_full_disk_leaves_whole_records(lake, room):
    archive = warc.open_archive(lake, FOLDER)
    chance = random.Random(room)
    bodies = [chance.randbytes(3_000) for _ in range(4)]
    urls = [f"https://ask.39.net/question/{n}.html" for n in range(4)]
    warc.write_exchange(archive, exchange(urls[0], bodies[0]), "detail")
    file, archive.file = archive.file, Filling(archive.file, room)
    full = 0
    for n in (1, 2):
        try:
            warc.write_exchange(archive, exchange(urls[n], bodies[n]), "detail")
        except warc.DiskFull:
            full += 1
    assert full
    archive.file = file  # someone made room
    place = warc.write_exchange(archive, exchange(urls[3], bodies[3]), "detail")
    warc.close_archive(archive)
    (path,) = warc.list_files(lake, FOLDER)
    found = {one.url: one.body for one in warc.read_responses(lake, path)}
    assert urls[0] in found
    assert urls[3] in found
    assert found == {url: bodies[urls.index(url)] for url in found}
    assert warc.find_whole_places(lake)(place)


def test_a_crawl_stops_before_the_disk_is_full(lake, monkeypatch):
    archive = warc.open_archive(lake, FOLDER)
    monkeypatch.setattr(warc, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(warc.DiskFull, match="are free"):
        warc.write_exchange(archive, exchange("https://ask.39.net/question/1.html", b"a"), "detail")


def test_remote_files_are_shipped_regularly(monkeypatch, tmp_path):
    lake = open_lake("memory://shipped")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = [1_000.0]
    monkeypatch.setattr(warc.time, "monotonic", lambda: clock[0])
    archive = warc.open_archive(lake, FOLDER)
    for n in range(4):
        warc.write_exchange(archive, exchange(f"https://ask.39.net/question/{n}.html", b"a"), "detail")
        clock[0] += warc.UPLOAD_SECONDS / 2
    assert len(warc.list_files(lake, FOLDER)) == 1  # what a machine that is lost now had fetched until two minutes ago
    assert len(list(warc.read_responses(lake, warc.list_files(lake, FOLDER)[0]))) == 3


@pytest.mark.parametrize(
    ("said", "pack"),
    [
        ("zstd", zstd.compress),
        ("br", brotli.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("x-gzip", gzip.compress),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
        ("zstd,gzip", lambda body: gzip.compress(zstd.compress(body))),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("gzip", bytes),
        ("zstd", bytes),
        ("br", bytes),
        ("identity", bytes),
    ],
)
def test_every_content_encoding_is_read_back(lake, said, pack):
    page = "<h1>茯苓</h1><p>味甘、淡，性平。</p>".encode() * 50
    archive = warc.open_archive(lake, FOLDER)
    wire = pack(page)
    warc.write_exchange(archive, exchange("https://ask.39.net/1.html", wire, (("Content-Encoding", said),)), "detail")
    warc.close_archive(archive)
    (stored,) = warc.read_responses(lake, warc.list_files(lake, FOLDER)[0])
    assert (stored.body, stored.unreadable) == (page, None)


def test_a_body_that_cannot_be_unpacked_says_why(lake):
    bomb = gzip.compress(b"\0" * (64 << 20))
    deep = brotli.compress(gzip.compress(gzip.compress(b"\0" * (64 << 20))))
    archive = warc.open_archive(lake, FOLDER)
    for said, body in [("gzip", bomb), ("gzip, gzip, br", deep), ("sdch", b"x"), ("br," * 9, b"x")]:
        warc.write_exchange(
            archive, exchange("https://ask.39.net/1.html", body, (("Content-Encoding", said),)), "detail"
        )
    warc.close_archive(archive)
    why = [one.unreadable for one in warc.read_responses(lake, warc.list_files(lake, FOLDER)[0])]
    assert why == ["too large", "too large", "unknown content encoding", "packed too often"]


def test_an_unchanged_page_is_stored_as_revisit(lake):
    url = "https://ask.39.net/question/1.html"
    body = random.Random(3).randbytes(20_000)
    first = warc.open_archive(lake, FOLDER)
    place = warc.write_exchange(first, exchange(url, body), "detail")
    warc.close_archive(first)
    second = warc.open_archive(lake, "raw/ask39/2026-11-23")
    warc.write_revisit(second, exchange(url, body), place)
    warc.write_revisit(second, exchange(url, body + b"x"), place)  # another body: nothing is said of it
    warc.close_archive(second)
    (path,) = warc.list_files(lake, "raw/ask39/2026-11-23")
    assert list(warc.read_responses(lake, path)) == []
    found = [one.record for one in read_whole_records(lake, path)]
    assert [one.rec_type for one in found] == ["warcinfo", "revisit", "request"]
    assert found[1].rec_headers.get_header("WARC-Refers-To-Target-URI") == url
    assert lake.fs.size(lake.at(path)) < 3_000
    assert warc.write_index(lake, "raw/ask39/2026-11-23") == 0
    line = lakes.read_bytes(lake, "raw/ask39/2026-11-23/index.cdxj").decode()
    assert json.loads(line.split(" ", 2)[2])["mime"] == "warc/revisit"
