"""A person leaves lake and store: after a purge no byte of either holds the name, the telephone or the ID card."""

import hashlib
import json
import shutil
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from alembic import command
from sqlalchemy import text, update
from warcio.archiveiterator import ArchiveIterator

from chimed.build.builds import new_build, read_dropped, read_stage
from chimed.build.context import StageContext
from chimed.build.ledger import read_ledger
from chimed.build.options import Options
from chimed.crawl import finished
from chimed.crawl.frontier import add_links
from chimed.crawl.plan import CrawlPlan
from chimed.errors import UserError
from chimed.extraction.corpus_files import ingest
from chimed.extraction.crawl_records import extract_crawl
from chimed.operations.audit import run_audit
from chimed.pipeline.runner import run_stage
from chimed.release import find_release, releases
from chimed.release.purge import journal, kept, purge, receipts
from chimed.release.push import push
from chimed.release.retention import retain
from chimed.release.sorting import of_tables
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.release.write import write_release
from chimed.settings import Settings
from chimed.sources.ask120 import SITE
from chimed.sources.page import Link
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.contents import sealed
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import _alembic_config, find, open_store
from chimed.storage.store_tables import REVIEW_QUEUE, TAKEDOWNS
from chimed.storage.warc_records import read_members
from chimed_demo.pages import all_pages
from support import making_one
from support.model_server import serving

pytestmark = pytest.mark.slow

VERSION, WEEK = "2026.11.22", "2026-11-09"
NAMED = "欧阳建国", "13912345678", "11010519491231002X"  # what rules find: it is dropped
ALIAS = "织田阿福老爹"  # what no rule finds: it is released
LIST = "https://www.120ask.com/list/neike/all/1/"


def questions() -> list[tuple[str, bytes]]:
    """Three question pages of the replica: one with a name and numbers, one with a name no rule knows, one without."""
    label = "健康咨询描述："
    pages = [p for p in all_pages().values() if "120ask.com/question" in p.url and label in p.body.decode()][:3]
    said = f"我叫{NAMED[0]}，电话{NAMED[1]}，身份证{NAMED[2]}。", f"街坊都叫我{ALIAS}，这病有十年了。", ""
    found = []
    for page, words in zip(pages, said, strict=True):
        body = page.body.decode().replace(label, f"{label}{words}", 1).replace("<title>", f"<title>{words}", 1)
        found.append((page.url, body.encode()))
    return found


def exchange(url: str, body: bytes) -> warc.Exchange:
    asked = f"GET {url} HTTP/1.1"
    return warc.Exchange(url, asked, [("X", url)], 200, "OK", [("Content-Type", "text/html; charset=utf-8")], body)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A lake with a crawl in which two people say who they are, a build and a release of it, and the store."""
    folder = tmp_path_factory.mktemp("purged")
    with serving() as served:
        served.answer = making_one.answer
        work = work_in(folder, served.url)
        making_one.crawl(work, most=4)
        archive = warc.open_archive(work.lake, f"raw/ask120/{WEEK}")
        asked = questions()
        shown = "".join(
            f'<li class="clears"><p><a href="{url}">{body.decode()[:300]}</a></p></li>' for url, body in asked
        )
        warc.write_exchange(archive, exchange(LIST, f"<ul>{shown}</ul>".encode()), "list")
        for url, body in asked:
            warc.write_exchange(archive, exchange(url, body), "detail")
        warc.close_archive(archive)
        add_links(work.store, CrawlPlan(SITE, WEEK), [Link(SITE.canonical(url), "detail") for url, _ in asked], None)
        pages = warc.write_index(work.lake, f"raw/ask120/{WEEK}")
        written = finished.describe_files(work.lake, f"raw/ask120/{WEEK}")
        report = {"source": "ask120", "crawl": WEEK, "pages": pages, "replica": True, "written": written}
        lakes.write_json(work.lake, f"raw/ask120/{WEEK}/report.json", sealed(report))
        making_one.build(work, VERSION, skip=["decontaminate"])
        push(work.lake, VERSION, str(folder / "shelf"), work.store)
    return folder


def work_in(folder: Path, server: str = "http://127.0.0.1:1") -> StageContext:
    settings = Settings(
        data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db", llm_url=server, judge_url=server
    )
    return StageContext(
        VERSION, Options(), open_lake(settings.data), open_store(settings.store), settings, lambda _: None
    )


@pytest.fixture
def work(folder, tmp_path) -> StageContext:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return work_in(tmp_path)


def saying(folder: Path, *words: str) -> list[str]:
    """The files below a folder that hold one of these strings, packed or not, in whatever encoding."""
    wanted = [word.encode(code) for word in words for code in ("utf-8", "gb18030", "utf-16-le")]
    found = []
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        data = file.read_bytes()
        if file.name.endswith((".warc.gz", ".open")):
            data += unpacked(data)
        if file.suffix == ".parquet":
            data += str(pl.read_parquet(file).to_dicts()).encode()
        if any(one in data for one in wanted):
            found.append(str(file.relative_to(folder)))
    return found


def unpacked(data: bytes) -> bytes:
    """All gzip members of a file, torn ones as far as they go."""
    plain = b""
    while data:
        stream = zlib.decompressobj(31)
        try:
            plain += stream.decompress(data)
        except zlib.error:
            data = data[1:]
            continue
        data = stream.unused_data
    return plain


def of_person(work: StageContext) -> list[str]:
    return saying(Path(work.lake.root).parent / "lake", *NAMED, ALIAS) + [
        f"store {name}" for name in saying_in_store(work)
    ]


def saying_in_store(work: StageContext) -> list[str]:
    folder = Path(work.settings.store.removeprefix("sqlite:///")).parent
    wanted = [word.encode() for word in (*NAMED, ALIAS)]
    return [f.name for f in folder.glob("store.db*") if any(word in f.read_bytes() for word in wanted)]


def test_a_purge_leaves_nothing_of_a_person(work, tmp_path):
    lake, store = work.lake, work.store
    (first, _), (second, _), (third, kept_body) = questions()
    before = of_person(work)
    for place in ("raw/", "extracts/", "/clean/", "/screen/dropped-", "releases/", "store "):
        assert any(place in name for name in before), (place, before)
    path = f"raw/ask120/{WEEK}/00000.warc.gz"
    records = {one.offset: one.plain for one in read_members((Path(lake.root) / path).open("rb"))}
    shelf = saying(tmp_path / "shelf", ALIAS)
    assert shelf

    reason = f"{NAMED[0]} asked by telephone {NAMED[1]}"
    said = [purge(lake, store, url, reason, code="privacy", by="li") for url in (first, second)]

    assert of_person(work) == []
    assert not any(word in json.dumps(said, ensure_ascii=False) for word in (*NAMED, ALIAS))
    assert receipts(lake) == json.loads(json.dumps(said))
    # what is not the person's is as it was: records of the archive byte for byte, in their places
    now = {one.offset: one.plain for one in read_members((Path(lake.root) / path).open("rb"))}
    assert {offset for offset, plain in records.items() if now.get(offset) == plain} == {
        offset
        for offset, plain in records.items()
        if f"WARC-Target-URI: {third}".encode() in plain or b"warcinfo" in plain[:60]
    }
    stored = list(warc.read_responses(lake, path))
    assert [(one.url, one.body) for one in stored] == [(third, kept_body)]
    assert [json.loads(line.split(" ", 2)[2])["url"] for line in index_of(lake)] == [third]
    assert lakes.read_json(lake, f"raw/ask120/{WEEK}/report.json")["pages"] == 1
    with (Path(lake.root) / path).open("rb") as file:  # other tools read it too
        assert [one.rec_type for one in ArchiveIterator(file)].count("response") == 1
    # the release was withdrawn for a patch, which is sound; the ledger closes; the copy elsewhere is named
    assert releases(lake) == [f"{VERSION}.p1"]
    assert verify(lake, f"{VERSION}.p1") == []
    assert read_ledger(lake, VERSION)[-1]["stage"] == "release"
    assert list(map(str, run_audit(lake, f"builds/{VERSION}").faults)) == []  # reports, hashes, chain
    (copy,) = [one for one in said[1]["left to you"] if one["what"] == "copy"]
    assert copy["where"].endswith(f"shelf/releases/{VERSION}")
    assert f"push {VERSION}.p1" in copy["do"]
    files = {one["path"]: one for one in said[0]["files"]}
    assert files[path]["after"] != files[path]["before"]
    assert said[1]["counts"]["replies"] > 0
    assert said[1]["counts"]["review_queue"] > 0
    assert {row["reason"] for row in find(store, TAKEDOWNS, [first, second]).values()} == {
        f"not kept: purge {one['purge']}" for one in said
    }


def index_of(lake: Lake) -> list[str]:
    return lakes.read_bytes(lake, f"raw/ask120/{WEEK}/index.cdxj").decode().splitlines()


class Killed(BaseException):
    """What kill -9 is to a process, as far as the lake and the store can tell."""


def test_a_killed_purge_is_finished_by_rerunning(work, monkeypatch):
    """Killed before and after each kind of write, ever later; each run goes on where the one before was."""
    url = questions()[1][0]
    left = [0]

    def mortal(function):
        def wrapped(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            result = function(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return wrapped

    for module, name in (
        (lakes, "write_bytes"), (lakes, "write_json"), (lakes, "remove"), (journal, "put_down"), (journal, "save"),
        (kept, "_delete"), (kept, "forget_reasons"), (kept, "vacuum"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, mortal(getattr(module, name)))
    deaths, receipt = 0, None
    while receipt is None:
        left[0] = 3 + 8 * deaths
        try:
            receipt = purge(work.lake, work.store, url, "asked", code="privacy")
        except Killed:
            deaths += 1
    monkeypatch.undo()
    assert deaths >= 5
    assert saying(Path(work.lake.root), ALIAS) == []
    assert not any(ALIAS.encode() in file.read_bytes() for file in Path(work.lake.root).parent.glob("store.db*"))
    assert verify(work.lake, releases(work.lake)[-1]) == []
    assert read_ledger(work.lake, VERSION)[-1]["stage"] == "release"
    assert list(map(str, run_audit(work.lake, f"builds/{VERSION}").faults)) == []
    files = {one["path"]: one for one in receipt["files"]}
    for path, told in files.items():
        if told["after"] and told["what"] != "release":
            assert hashlib.sha256(lakes.read_bytes(work.lake, path)).hexdigest() == told["after"], path
    assert {"WARC file", "extract", "build", "index"} <= {one["what"] for one in files.values()}


def test_purging_a_row_keeps_its_neighbours(work, tmp_path):
    asked = [
        ("咳嗽三天有白痰，没有发热，需要吃消炎药吗？", "多喝水休息一周，痰变黄或者发热再去医院查血。"),
        (f"我是{ALIAS}，电话{NAMED[1]}，失眠多梦怎么办？", "睡前两小时不看屏幕，下午以后不喝咖啡和浓茶。"),
        ("手指被菜刀切了个口子，要不要打破伤风针？", "伤口浅而且干净可以不打，伤口深或者脏要当天去打针。"),
    ]
    lines = [json.dumps({"question": q, "answer": a}, ensure_ascii=False) + "\n" for q, a in asked]
    (tmp_path / "mine.jsonl").write_text("".join(lines), encoding="utf-8")
    crawl = ingest(work.lake, "mine", [tmp_path / "mine.jsonl"])["crawl"]
    extract_crawl(work.lake, "mine", crawl, store=work.store)
    place = f"raw/mine/{crawl}/mine.jsonl"
    receipt = purge(work.lake, work.store, f"{place}#2", "asked", code="privacy")
    assert lakes.read_bytes(work.lake, place).decode() == lines[0] + "{}\n" + lines[2]
    assert saying(Path(work.lake.root) / "raw" / "mine", *NAMED, ALIAS) == []
    assert saying(Path(work.lake.root) / "extracts" / "mine", *NAMED, ALIAS) == []
    assert receipt["counts"]["rows of corpora"] == 1
    # the same words in another file stay out of the next build
    twin = f"question,answer\n{asked[1][0]} ,{asked[1][1]}\n{asked[0][0]},{asked[0][1]}\n"
    (tmp_path / "again.csv").write_text(twin, encoding="utf-8")
    ingest(work.lake, "again", [tmp_path / "again.csv"])
    build = new_build(work.lake, {"sources": ["zydcd"], "max_records": 1}, "2026.12.01")
    run_stage(replace(work, build=build), "extract")
    dropped = read_dropped(work.lake, build, "extract").filter(source="again")
    assert dropped["reason"].to_list() == ["taken down"]


def test_retention_removes_words_and_raw_pages(work):
    lake, store, settings = work.lake, work.store, work.settings
    build = Path(lake.at("builds", VERSION))
    assert retain(lake, store, settings)["rows"] == {}  # it is of today
    path = f"builds/{VERSION}/build.json"
    lakes.write_json(lake, path, lakes.read_json(lake, path) | {"made": "2026-01-01T00:00:00+00:00"})
    with store.engine.begin() as connection:
        connection.execute(update(REVIEW_QUEUE).values(sampled=datetime(2026, 1, 1, tzinfo=UTC)))
    before, entries = {name: len(saying(build, name)) for name in (*NAMED, ALIAS)}, read_ledger(lake, VERSION)
    counted = retain(lake, store, settings, dry_run=True)
    assert {name: len(saying(build, name)) for name in before} == before
    told = retain(lake, store, settings)
    assert told["rows"] == counted["rows"]
    assert list(told["rows"]) == [VERSION]
    assert told["reviews"] >= 1
    assert saying(build, *NAMED) == []  # in its drops, and in every table before
    assert len(saying(build, ALIAS)) == before[ALIAS]
    assert read_ledger(lake, VERSION) == entries
    assert retain(lake, store, settings)["rows"] == {}
    # raw pages, once somebody wants them to go: their records stay, and builds go on with them
    crawl = f"raw/ask120/{WEEK}"
    old = {**lakes.read_json(lake, f"{crawl}/report.json"), "finished": "2026-01-01T00:00:00+00:00"}
    lakes.write_json(lake, f"{crawl}/report.json", sealed(old))
    report = extract_crawl(lake, "ask120", WEEK)
    assert retain(lake, store, settings.model_copy(update={"retention_raw": 400}))["raw"] == []
    assert retain(lake, store, settings.model_copy(update={"retention_raw": 30}))["raw"] == [f"ask120/{WEEK}"]
    assert warc.list_files(lake, crawl) == []
    assert extract_crawl(lake, "ask120", WEEK) == report
    assert list(map(str, run_audit(lake, f"ask120/{WEEK}").faults)) == []
    new = new_build(lake, {"sources": ["ask120"], "corpora": False}, "2026.12.01")
    run_stage(replace(work, build=new), "extract")
    assert ALIAS in str(read_stage(lake, new, "extract")["question"].to_list())


def test_older_takedowns_tell_no_reason(work):
    lake, store, private = work.lake, work.store, f"{NAMED[0]} asked, {NAMED[1]}"
    with store.engine.begin() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        connection.execute(text("insert into takedowns values ('ask39', :said, '2026-01-01')"), {"said": private})
    store = open_store(work.settings.store)
    row = find(store, TAKEDOWNS, ["ask39"])["ask39"]
    assert (row["reason"], row["code"], row["by"]) == (private, "unspecified", None)
    note = {"version": "2026.1.1", "reason": private, "replaced_by": "2026.1.1.p1", "withdrawn": "2026-01-02"}
    lakes.write_json(lake, "releases/2026.1.1/withdrawn.json", note)
    made, patch = lakes.read_json(lake, f"releases/{VERSION}/manifest.json"), f"{VERSION}.p1"
    made |= {"patch_of": VERSION, "removed": 1, "takedown": private}
    write_release(lake, patch, of_tables(making_one.read_tables(lake, VERSION)), made, before=None)
    assert saying(Path(lake.at("releases")), NAMED[1]) != []
    with pytest.raises(
        UserError, match=r"withdrawn \(reason not stated / 未说明原因\); it was replaced by 2026.1.1.p1"
    ):
        find_release(lake, "2026.1.1")
    take_down(lake, store, "https://www.120ask.com/question/1.htm", "asked", rewrite=True, unseen=True)
    assert saying(Path(lake.at("releases")), NAMED[1]) == []
    assert verify(lake, patch) == []
    assert "reason not stated" in lakes.read_bytes(lake, f"releases/{patch}/README.md").decode()
