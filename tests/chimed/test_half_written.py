"""What a kill, a cut file or a wrong clock leaves behind: never read as if it were whole, mended by the next run."""

import dataclasses
import os
from pathlib import Path

import pytest

from chimed.build import ledger
from chimed.build.builds import count_parts, list_builds, new_build, read_build, read_dropped
from chimed.crawl import finished
from chimed.crawl.crawl import _name
from chimed.errors import UserError
from chimed.extraction.crawl_records import extract_crawl
from chimed.pipeline.doubtful import list_doubtful
from chimed.pipeline.runner import run_stage
from chimed.release import find_release, releases
from chimed.release.write import previous
from chimed.storage import drafts, naming, warc
from chimed.storage import lake as lakes
from chimed.storage.contents import parse_json
from support.small_build import crawled

CUT = [b"", b"{", b'{"parts": 1', b"[]", b"null", b'{"parts": "one"}', b'{"parts": 1, "figures": 7}', b"\x00" * 200]


def test_a_killed_writers_drafts_are_removed(built):
    folder = Path(built.lake.at("builds", built.build, "clean"))
    for name in ("dropped-00000.parquet", "kept-00000.parquet", "report-00000.json"):
        (folder / f"{name}.1a2b3c4d.part").write_bytes((folder / name).read_bytes())
    before = ledger.read_ledger(built.lake, built.build)
    assert len(read_dropped(built.lake, built.build, "clean")) == sum(before[1]["dropped"].values())
    assert not [name for name in lakes.files(built.lake, "builds") if name.endswith(".part")]
    (folder / "report-00000.json").unlink()
    run_stage(built, "clean")
    assert not list(folder.glob("*.part"))


def test_a_draft_in_progress_is_left_alone(tmp_path):
    mine, dead, new = (tmp_path / f"kept-0000{n}.parquet.1a2b3c4d.part" for n in range(3))
    dead.write_bytes(b"x")
    new.touch()
    with mine.open("wb") as file:
        drafts.lock_draft(file)
        file.write(b"x")
        file.flush()
        assert drafts.remove_abandoned(tmp_path) == [dead.name]
    assert drafts.remove_abandoned(tmp_path) == [mine.name]
    os.utime(new, (0, 0))
    assert drafts.remove_abandoned(tmp_path) == [new.name]


@pytest.mark.parametrize("data", CUT)
def test_a_truncated_report_runs_the_stage_again(built, data):
    path = f"builds/{built.build}/clean/report-00000.json"
    whole = lakes.read_json(built.lake, path)
    lakes.write_bytes(built.lake, path, data)
    assert [entry["stage"] for entry in ledger.read_ledger(built.lake, built.build)] == ["extract"]
    assert list_doubtful(built.lake, built.build) == list_doubtful(built.lake, built.build)
    with pytest.raises(UserError, match=r"clean is not done.*python -m chimed run clean"):
        count_parts(built.lake, built.build, "clean")
    (report,) = run_stage(built, "clean")
    assert report["written"] == whole["written"]
    assert count_parts(built.lake, built.build, "dedup") == 1


@pytest.mark.parametrize("data", CUT)
def test_truncated_reports_count_as_missing(work, data):
    crawled(work)
    first = extract_crawl(work.lake, "zydcd", "c1")
    for name in ("report.json", "00001.warc.gz/report.json"):
        lakes.write_bytes(work.lake, f"extracts/zydcd/c1/{name}", data)
    assert extract_crawl(work.lake, "zydcd", "c1") == first
    if data[:1] != b"{" or data[-1:] != b"}":  # else it is an older report that tells nothing
        lakes.write_bytes(work.lake, "raw/zydcd/c1/report.json", data)
        with pytest.raises(UserError, match="not finished"):
            extract_crawl(work.lake, "zydcd", "c1")
        with pytest.raises(UserError, match=r"nothing .* yet"):
            new_build(work.lake, {"sources": ["zydcd"]})


def test_spoilt_extract_parts_are_remade(work):
    crawled(work)
    first = extract_crawl(work.lake, "zydcd", "c1")
    part = Path(work.lake.at("extracts/zydcd/c1/00001.warc.gz/kept-00000.parquet"))
    for spoil in (part.unlink, lambda: os.truncate(part, 100)):
        spoil()
        assert extract_crawl(work.lake, "zydcd", "c1") == first


def test_a_truncated_build_is_never_the_latest(built):
    newest = new_build(built.lake, {"second_opinion": False})
    assert read_build(built.lake, "latest")["version"] == newest
    lakes.write_bytes(built.lake, f"builds/{newest}/build.json", b'{"version": ')
    assert read_build(built.lake, "latest")["version"] == built.build
    with pytest.raises(UserError, match=rf"builds/{newest}/build.json does not describe this build"):
        read_build(built.lake, newest)
    assert newest in list_builds(built.lake)


def test_latest_ignores_the_clock(built):
    ahead = new_build(built.lake, version="2031.01.05")
    assert read_build(built.lake, "latest")["version"] == ahead
    today = new_build(built.lake)
    assert list_builds(built.lake) == [built.build, ahead, today]
    assert read_build(built.lake, "latest")["version"] == today
    for version in (ahead, today, f"{ahead}.p1"):
        number = lakes.read_json(built.lake, f"builds/{version.removesuffix('.p1')}/build.json")["number"]
        lakes.write_json(built.lake, f"releases/{version}/manifest.json", {"number": number})
    assert releases(built.lake) == [ahead, f"{ahead}.p1", today]
    assert find_release(built.lake, "latest") == today
    assert previous(built.lake, today) == f"{ahead}.p1"
    assert previous(built.lake, new_build(built.lake)) == today


def test_older_builds_keep_their_order(built):
    for version in ("2025.12.31", "2026.1.2", "2026.1.2.1"):
        made = {"version": version, "options": {}, "shards": []}
        lakes.write_json(built.lake, f"builds/{version}/build.json", made)
    assert list_builds(built.lake) == ["2025.12.31", "2026.1.2", "2026.1.2.1", built.build]


# --- names ---------------------------------------------------------------------------------------------------------

NO_NAMES = [
    "../../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", "x" * 65, "-rf", ".hidden", "x.", "latest",
    "all", "版本", "a b", "\ud800", "x\u202e", "%2e%2e", "C:", "~root", "x;y", "x'y", "*", "a\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
def test_invalid_names_are_refused(built, name):
    before = lakes.files(built.lake, "")
    with pytest.raises(UserError, match="cannot name a build"):
        new_build(built.lake, version=name)
    if name:  # else the crawl gets its usual name
        with pytest.raises(UserError, match="cannot name a crawl"):
            _name(name, None, None)
    for asked in (lambda: read_build(built.lake, name), lambda: find_release(built.lake, name)):
        if name != "latest":
            with pytest.raises(UserError):
                asked()
    if name not in ("latest", "all", "a/b"):
        assert not naming.is_file_path(f"{name}/{name}")
    assert lakes.files(built.lake, "") == before


@pytest.mark.parametrize("name", ["2026.11.22", "2026.11.22.p1", "a", "week-47_b", "A1"])
def test_what_is_a_name_names_them(built, name):
    assert new_build(built.lake, version=name) == name
    assert _name(name, None, None) == name
    assert naming.is_file_path(f"figures/{name}.svg")


@pytest.mark.parametrize("path", ["../x", "builds/../../x", "a\0b"])
def test_no_path_leaves_the_lake(work, path):
    for act in (lakes.read_bytes, lakes.names, lakes.exists, lakes.remove):
        with pytest.raises(UserError, match="not a path in the lake"):
            act(work.lake, path)
    with pytest.raises(UserError, match="not a path in the lake"):
        lakes.write_bytes(work.lake, path, b"x")


def test_strange_folders_in_raw_block_no_build(work):
    crawled(work)
    root = Path(work.lake.root)
    for name in ("report.json", "\udce9\udcff", "x" * 60, ".hidden", "ein ordner"):
        folder = root / "raw" / name / "c1"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text('{"form": "files", "files": ["../../store.db"], "pages": 3}')
    (root / "raw" / "notes.txt").write_text("x")
    made = read_build(work.lake, new_build(work.lake))
    assert made["shards"] == [["zydcd/c1"]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "Expecting value"), (b'"\xff"', "codec"), (b"[1]", "a JSON object"), (b'{"a":' * 9_999, "recursion"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "digits"), (b'{"a": "\\ud83d"}', "surrogates"), (b'{"a": 1}{', "Extra data"),
    ],
)  # fmt: skip
def test_invalid_json_is_one_sentence(data, said):
    with pytest.raises(UserError, match=f"x.json is not .*{said}"):
        parse_json(data, "x.json")


def test_a_finished_crawl_tells_of_its_files(work):
    crawled(work)
    report = finished.read_report(work.lake, "zydcd", "c1")
    names = [path.rsplit("/", 1)[-1] for path in warc.list_files(work.lake, "raw/zydcd/c1")]
    assert finished.file_names(report) == names
    assert sum(report["written"][name]["rows"] for name in names) == report["pages"] == 14
    made = dataclasses.replace(work, build=new_build(work.lake, {"second_opinion": False}))
    (extracted,) = run_stage(made, "extract")
    assert extracted["inputs"] == {f"raw/zydcd/c1/{name}": report["written"][name]["sha256"] for name in names}
