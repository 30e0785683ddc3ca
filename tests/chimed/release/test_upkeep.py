"""A release after it is made: damaged, interrupted, held back, taken down, pushed, asked for at a shell."""

import importlib
import json
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from chimed.build.builds import read_dropped, read_stage
from chimed.build.ledger import read_ledger
from chimed.crawl.frontier import add_links, begin
from chimed.crawl.plan import CrawlPlan
from chimed.errors import UserError, WorkStopped
from chimed.release import SUBSETS, commands, find_release, read_manifest, releases
from chimed.release import verify as verifying
from chimed.release.push import push
from chimed.release.sorting import of_tables
from chimed.release.takedown import take_down
from chimed.release.verify import faults_in, verify
from chimed.release.write import Drifted, accept, write_release
from chimed.settings import PROJECT
from chimed.sources.page import Link
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import find
from chimed.storage.store_tables import PAGES, TAKEDOWNS
from support import making_one
from support.making_one import FIRST, SECOND, pylist, read_tables

pytestmark = pytest.mark.slow


def test_a_copy_may_lack_files_if_told(copied, capsys):
    root = Path(copied.lake.at("releases", FIRST))
    shutil.rmtree(root / "jsonl")
    (root / "dataset_info.json").unlink()
    with pytest.raises(SystemExit):
        commands.verify(str(root))
    assert "this copy lacks files; --partial checks those that it has" in capsys.readouterr().err
    commands.verify(str(root), partial=True)
    said = capsys.readouterr().out
    assert "jsonl/sft.train.jsonl: not in this copy" in said
    assert f"{len(verifying.files_left_out(copied.lake, f'releases/{FIRST}'))} are not in this copy" in said
    table = root / "sft" / "train.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"X")
    (fault,) = faults_in(copied.lake, f"releases/{FIRST}", partial=True)
    assert fault.startswith("sft/train.parquet: sha256")
    table.unlink()
    assert faults_in(copied.lake, f"releases/{FIRST}", partial=True) == []
    assert "sft/train.parquet: missing" in faults_in(copied.lake, f"releases/{FIRST}")


@pytest.mark.parametrize("name", ["sft/train.parquet", "jsonl/preference.train.jsonl", "figures/flow.svg", "README.md"])
def test_a_flipped_byte_names_its_file(copied, name):
    path = Path(copied.lake.at("releases", FIRST, name))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (fault,) = verify(copied.lake, FIRST)
    assert fault.startswith(f"{name}: sha256 ")


def test_missing_cut_and_strange_files_are_named(copied):
    folder = Path(copied.lake.at("releases", FIRST))
    (folder / "pretrain" / "train.parquet").unlink()
    (folder / "sft" / "train.parquet").write_bytes(b"PAR1")
    (folder / "sft" / "more.parquet").write_bytes(b"PAR1")
    faults = verify(copied.lake, FIRST)
    assert [fault.split(": ")[0] for fault in faults] == [
        "pretrain/train.parquet", "sft/more.parquet", "sft/train.parquet",
    ]  # fmt: skip
    (folder / "manifest.json").write_text("{")
    assert verify(copied.lake, FIRST)[0].startswith("manifest.json: unreadable")


def test_an_interrupted_release_is_invisible(copied, monkeypatch):
    new, fatal = "2026.11.29", ""
    tables, manifest = read_tables(copied.lake, FIRST), read_manifest(copied.lake, FIRST)
    before = {name: lakes.read_bytes(copied.lake, f"releases/{name}") for name in lakes.files(copied.lake, "releases")}
    whole, told = lakes._atomic_file, {"options": {}, **{k: manifest[k] for k in manifest if k != "files"}}

    def killed(lake: Lake, path: str) -> AbstractContextManager:
        if path.endswith(f"{new}/{fatal}"):
            raise KeyboardInterrupt
        return whole(lake, path)

    monkeypatch.setattr(lakes, "_atomic_file", killed)
    for name in ("pretrain/train.parquet", "changes.json", "figures/flow.svg", "manifest.json"):
        fatal = name
        with pytest.raises(KeyboardInterrupt):
            write_release(copied.lake, new, of_tables(tables), told, before=FIRST)
        assert releases(copied.lake) == [FIRST, SECOND]
        assert find_release(copied.lake, "latest") == SECOND
        assert all(lakes.read_bytes(copied.lake, f"releases/{name}") == data for name, data in before.items())
        assert verify(copied.lake, new) == [
            "manifest.json: missing, so the release is not whole (interrupted, held back or withdrawn)"
        ]
    monkeypatch.undo()
    write_release(copied.lake, new, of_tables(tables), told, before=FIRST)
    assert verify(copied.lake, new) == []


def test_a_drifting_release_waits_for_acceptance(copied):
    new, lake = "2026.11.29", copied.lake
    tables, told = read_tables(lake, FIRST), read_manifest(lake, FIRST)
    tables["pretrain/train"] = tables["pretrain/train"].filter(tables["pretrain/train"]["source"] != "zydcd")
    tables["pretrain/validation"] = tables["pretrain/validation"].clear()
    with pytest.raises(Drifted, match="no row of zydcd is left"):
        write_release(lake, new, of_tables(tables), told, before=SECOND)
    assert releases(lake) == [FIRST, SECOND]
    with pytest.raises(UserError, match="held back against"):
        accept(lake, FIRST, new, "the site is gone", "li")
    accept(lake, SECOND, new, "the site is gone", "li")
    manifest = write_release(lake, new, of_tables(tables), told, before=SECOND)
    assert (manifest["accepted"]["reason"], manifest["accepted"]["by"]) == ("the site is gone", "li")
    card = lakes.read_bytes(lake, f"releases/{new}/README.md").decode()
    assert "was accepted by li: the site is gone" in card
    assert verify(lake, new) == []
    # the split without rows is left out: datasets could not load it
    assert "Empty in this release, and without a file: pretrain/validation" in card
    assert card.count("- split: validation") == sum(len(tables[f"{subset}/validation"]) > 0 for subset in SUBSETS)
    assert "chimed_pretrain_validation" not in lakes.read_json(lake, f"releases/{new}/dataset_info.json")
    assert not [name for name in lakes.files(lake, f"releases/{new}") if "pretrain" in name and "validation" in name]
    assert read_tables(lake, new)["pretrain/validation"].is_empty()
    with pytest.raises(UserError, match="nothing to accept"):
        accept(lake, SECOND, new, "again", "li")
    other = {**told, "options": {**told["options"], "preference_share": 0.5}}  # other options are no drift
    assert write_release(lake, "2026.11.30", of_tables(tables), other, before=SECOND)["accepted"] is None


def test_one_page_is_followed_to_zero(copied):
    lake, store = copied.lake, copied.store
    url = next(row["url"] for row in pylist(lake, FIRST, "preference"))
    ids = {row["id"] for subset in SUBSETS for row in pylist(lake, FIRST, subset) if row["url"] == url}
    source = next(row["source"] for row in pylist(lake, FIRST, "sft") if row["url"] == url)
    assert len(ids) >= 2
    assert all(making_one.shown(lake, one) for one in (url, *ids))

    said = take_down(lake, store, url, "Li Ming, 13912345678, asked", rewrite=True, code="privacy")
    assert (said["target"], said["pages"], said["twins"]) == (url, 1, [])
    assert said["releases"] == {FIRST: f"{FIRST}.p1", SECOND: f"{SECOND}.p1"}
    where = {one["what"] for one in said["places"]}
    assert where == {"raw", "extract", "build"}
    assert not making_one.shown(lake, "Li Ming")  # the reason is private: what is told is its code
    assert not making_one.shown(lake, "13912345678")
    card = lakes.read_bytes(lake, f"releases/{FIRST}.p1/README.md").decode()
    assert "rows were removed (privacy request / 隐私请求)" in card
    assert lakes.read_json(lake, f"releases/{FIRST}/withdrawn.json")["code"] == "privacy"
    assert releases(lake) == [f"{FIRST}.p1", f"{SECOND}.p1"]
    assert not [name for one in (url, *ids) for name in making_one.shown(lake, one)]
    assert verify(lake, f"{SECOND}.p1") == []
    with pytest.raises(
        UserError, match=rf"was withdrawn \(privacy request / 隐私请求\); it was replaced by {FIRST}.p1"
    ):
        find_release(lake, FIRST)

    site = importlib.import_module(f"chimed.sources.{source}").SITE
    add_links(store, CrawlPlan(site, "next"), [Link(url, "detail")], None)  # a list still shows it
    assert find(store, PAGES, [url]) == {}
    assert find(store, TAKEDOWNS, [url])[url]["reason"] == "Li Ming, 13912345678, asked"

    again = making_one.build(replace(copied, build=""), "2026.11.29")
    assert read_dropped(lake, again.build, "extract").filter(url=url)["reason"].to_list() == ["taken down"]
    for entry in read_ledger(lake, again.build):
        rows = read_stage(lake, again.build, entry["stage"])
        assert not len(rows.filter(url=url)), entry["stage"]
    assert not [name for one in (url, *ids) for name in making_one.shown(lake, one)]
    again_here = {row["page"] for row in pylist(lake, again.build, "sft")}
    other = take_down(lake, store, sorted(again_here)[0], "its place is known", rewrite=False, code="copyright")
    assert other["target"].startswith("http")
    assert other["twins"] == []  # the words of an earlier takedown are not its own
    assert find(store, TAKEDOWNS, [url])[url]["reason"] == "Li Ming, 13912345678, asked"
    assert find(store, TAKEDOWNS, [url])[url]["code"] == "privacy"
    with pytest.raises(UserError, match="is not a page of a known site"):
        take_down(lake, store, "https://example.com/1", "not ours", rewrite=False)


def test_a_taken_down_source_is_not_crawled(copied):
    said = take_down(copied.lake, copied.store, "ask39", "the site asked", rewrite=True)
    assert said["pages"] == 14
    patched = read_tables(copied.lake, said["releases"][SECOND])
    assert not any("ask39" in set(table["source"]) for table in patched.values())
    site = importlib.import_module("chimed.sources.ask39").SITE
    with pytest.raises(UserError, match="ask39 was taken down"):
        begin(copied.store, CrawlPlan(site, "next"))


def test_a_push_is_whole_and_the_same_again(copied, tmp_path):
    said = push(copied.lake, FIRST, str(tmp_path / "shelf"))
    shelf = open_lake(str(tmp_path / "shelf"))
    assert said["checksum"] == read_manifest(shelf, FIRST)["checksum"]
    assert lakes.files(shelf, f"releases/{FIRST}") == lakes.files(copied.lake, f"releases/{FIRST}")
    assert push(copied.lake, FIRST, str(tmp_path / "shelf")) == said
    Path(copied.lake.at("releases", FIRST, "sft/train.parquet")).write_bytes(b"")
    with pytest.raises(WorkStopped, match=r"sft/train.parquet: 0 bytes"):
        push(copied.lake, FIRST, str(tmp_path / "elsewhere"))
    assert releases(open_lake(str(tmp_path / "elsewhere"))) == []


def test_a_push_to_nowhere_writes_nothing(copied, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_text("")
    monkeypatch.chdir(here)
    odd = ("", " ", "-x", "file", "file/x", "x" * 300, "s3://", "s3:///x", "s3://b", "s3:/bucket/x", "ftp://h/x")
    for to in (
        *odd,
        "http://h/x",
        "gs://bucket/x",
        "zip://a::s3://bucket",
        "github://a:b@c",
        "/proc/x",
        "a\nb",
        "/dev/null",
    ):
        with pytest.raises(UserError):
            push(copied.lake, FIRST, to)
    assert [path.name for path in here.iterdir()] == ["file"]


def test_mistakes_are_one_sentence(made, tmp_path):
    environment = {"PATH": "", "PYTHONPATH": str(PROJECT / "include"), "CHIMED_DATA": str(made.folder / "lake")}
    environment["CHIMED_STORE"] = f"sqlite:///{made.folder}/store.db"

    def chimed(*argv: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "chimed", *argv]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    fine = chimed("verify", "latest")
    assert (fine.returncode, fine.stdout[:21]) == (0, f"release {SECOND}:")
    shutil.copytree(Path(made.work().lake.at("releases", SECOND)), tmp_path / "downloaded")
    assert chimed("verify", f"{tmp_path}/downloaded").stdout == fine.stdout
    nowhere = chimed("verify", f"{tmp_path}/elsewhere")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
    unknown = chimed("verify", "2020.1.1")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert SECOND in unknown.stderr
    same = chimed("diff", FIRST, SECOND, "--json")
    assert json.loads(same.stdout)["stops"] == []
