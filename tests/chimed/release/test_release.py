"""A real small release: built twice, counted again, traced to its pages, corrupted, interrupted, taken down, pushed."""

import importlib
import json
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import making_one
import pyarrow.parquet as pq
import pytest
from model_server import Served, serving
from warcio.archiveiterator import ArchiveIterator

from chimed import lake as lakes
from chimed.build import Work, read_dropped, read_stage
from chimed.errors import UserError, WorkStopped
from chimed.lake import Lake, open_lake
from chimed.ledger import ledger
from chimed.options import Options
from chimed.release import SUBSETS, find_release, read_manifest, releases
from chimed.release.figures import figures
from chimed.release.making import screening
from chimed.release.preview import preview
from chimed.release.push import push
from chimed.release.rows import read_tables
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.release.write import Drifted, accept, write_release
from chimed.settings import PROJECT, Settings
from chimed.sources.frontier import Plan, add, begin
from chimed.sources.page import Link
from chimed.store import PAGES, REVIEWS, TAKEDOWNS, find, open_store, upsert

pytestmark = pytest.mark.slow

FIRST, SECOND = "2026.11.22", "2026.11.22.1"


@dataclass(frozen=True)
class Made:
    """A folder with lake and store in which two builds of the same inputs were released, and their models' server."""

    folder: Path
    served: Served

    def work(self, folder: Path | None = None) -> Work:
        folder = folder or self.folder
        server = self.served.url
        settings = Settings(
            data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db", exams=str(self.folder / "exams"),
            llm_url=server, judge_url=server,
        )  # fmt: skip
        lake, store = open_lake(settings.data), open_store(settings.store)
        return Work(FIRST, Options(), lake, store, settings, lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    for split in ("dev", "test"):
        (folder / "exams" / split).mkdir(parents=True)
        exam = ",Question,A,B,C,D,Answer\n0,下列哪一项不是这道考题的答案而且别处也没有写过,甲,乙,丙,丁,A\n"
        (folder / "exams" / split / "made.csv").write_text(exam, encoding="utf-8")
    with serving() as served:
        served.answer = making_one.answer
        made = Made(folder, served)
        making_one.crawl(made.work(), most=14)
        making_one.build(made.work(), FIRST)
        making_one.build(made.work(), SECOND)
        yield made


@pytest.fixture
def copied(made, tmp_path) -> Work:
    """A copy of that folder for a test that changes it."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return made.work(tmp_path)


@pytest.fixture(scope="module")
def lake(made) -> Lake:
    return made.work().lake


def pylist(lake: Lake, version: str, subset: str) -> list[dict]:
    """A subset's rows, read without our code."""
    files = sorted(Path(lake.at("releases", version, subset)).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_built_twice_from_the_same_inputs_the_checksums_are_equal(lake):
    one, two = read_manifest(lake, FIRST), read_manifest(lake, SECOND)
    assert one["checksum"] == two["checksum"]
    differ = {name for name in one["files"] if one["files"][name] != two["files"][name]}
    assert differ == {"README.md", "changes.json"}  # they name the version and the release before it
    assert verify(lake, FIRST) == verify(lake, SECOND) == []
    changes = lakes.read_json(lake, f"releases/{SECOND}/changes.json")
    assert changes["before"] == FIRST
    assert not any(row["added"] + row["removed"] + row["changed"] for row in changes["rows"])


def test_a_preview_says_what_the_release_then_holds_and_writes_nothing(made, lake):
    work = made.work()
    there = lakes.files(lake, "")
    found = preview(lake, work.store, SECOND)
    numbers = lakes.read_json(lake, f"releases/{SECOND}/statistics.json")
    rows = Counter()
    for name, count in numbers["splits"].items():
        rows[name.split("/")[0]] += count
    assert found["rows"] == rows
    assert found["stages"][-1]["stage"] == "release"  # this build is done; of one that is not, what is done so far
    changes = lakes.read_json(lake, f"releases/{SECOND}/changes.json")
    assert found["changes"] == {name: value for name, value in changes.items() if name != "checksum"}
    assert lakes.files(lake, "") == there


def test_table_4_is_what_a_recount_of_the_parquet_files_gives(lake):
    rows, characters = Counter(), Counter()
    for subset in SUBSETS:
        for row in pylist(lake, FIRST, subset):
            said = [
                row[name] for name in ("messages", "prompt", "chosen", "rejected") if isinstance(row.get(name), list)
            ]
            texts = [row["text"]] if subset == "pretrain" else [one["content"] for turn in said for one in turn]
            rows[subset, row["domain"]] += 1
            characters[subset, row["domain"]] += sum(map(len, texts))
    numbers = lakes.read_json(lake, f"releases/{FIRST}/statistics.json")
    told = {(row["subset"], row["domain"]): row for row in numbers["table 4"]}
    assert {key: row["rows"] for key, row in told.items()} == rows
    assert {key: row["characters"] for key, row in told.items()} == characters
    assert (numbers["instances"], numbers["characters"]) == (rows.total(), characters.total())
    card = lakes.read_bytes(lake, f"releases/{FIRST}/README.md").decode()
    trad, gen = (f"{characters['sft', domain]:,}" for domain in ("tcm", "general"))
    assert f"| SFT | # of chars | {trad} | {gen} |" in card
    assert f"| {characters.total() / 1e6:.2f}M |" in card


def test_every_sft_and_preference_row_traces_to_a_page_in_a_warc_file(lake):
    known = {id: parent for stage in ("extract", "decontaminate")
             for id, parent in read_stage(lake, FIRST, stage).select("id", "parent").iter_rows()}  # fmt: skip
    checked = 0
    for subset in ("sft", "preference"):
        for row in pylist(lake, FIRST, subset):
            oldest = row["id"]
            while known[oldest] is not None:
                oldest = known[oldest]
            path, _, offset = row["page"].rpartition("#")
            with open(lake.at(path), "rb") as file:
                file.seek(int(offset))
                record = next(iter(ArchiveIterator(file, check_digests="raise")))
                body = record.content_stream().read()
            site = importlib.import_module(f"chimed.sources.{row['source']}").SITE
            assert site.canonical(record.rec_headers.get_header("WARC-Target-URI")) == row["url"]
            assert record.rec_type == "response"
            assert body
            checked += 1
    assert checked > 60


def test_the_jsonl_files_are_what_llama_factory_reads(lake):
    folder = Path(lake.at("releases", FIRST))
    info = json.loads((folder / "dataset_info.json").read_text())
    assert {one["file_name"] for one in info.values()} == {f"jsonl/{path.name}" for path in folder.glob("jsonl/*")}
    assert set(info) >= {f"chimed_{subset}" for subset in SUBSETS}
    for name, one in info.items():
        rows = [json.loads(line) for line in (folder / one["file_name"]).read_text(encoding="utf-8").splitlines()]
        subset, split, _ = Path(one["file_name"]).name.split(".")
        assert f"chimed_{subset}{'' if split == 'train' else '_validation'}" == name
        assert len(rows) == pq.read_metadata(folder / subset / f"{split}.parquet").num_rows
        assert all(row[column] for row in rows for column in one["columns"].values())
        if one.get("ranking"):  # its converter takes a pair's answers as one message each
            assert all(set(row[side]) == {"role", "content"} for row in rows for side in ("chosen", "rejected"))


def test_every_sign_of_the_figures_has_a_glyph_and_the_same_numbers_draw_the_same_bytes(lake):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        drawn = figures(lakes.read_json(lake, f"releases/{FIRST}/statistics.json"), read_manifest(lake, FIRST))
    assert {name.split(".")[0] for name in drawn} == {"departments", "characters", "lengths", "perplexity", "flow"}
    for name, data in drawn.items():
        assert lakes.read_bytes(lake, f"releases/{FIRST}/figures/{name}") == data
        assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
        assert b"<text" not in data  # outlines: no font is needed to look at them


@pytest.mark.parametrize("name", ["sft/train.parquet", "jsonl/preference.train.jsonl", "figures/flow.svg", "README.md"])
def test_a_flipped_byte_is_found_and_its_file_named(copied, name):
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


def test_an_interrupted_release_is_not_visible_and_leaves_the_old_one_alone(copied, monkeypatch):
    new, file = "2026.11.29", ""
    tables, manifest = read_tables(copied.lake, FIRST), read_manifest(copied.lake, FIRST)
    before = {name: lakes.read_bytes(copied.lake, f"releases/{name}") for name in lakes.files(copied.lake, "releases")}
    write, told = lakes.write_bytes, {"options": {}, **{k: manifest[k] for k in manifest if k != "files"}}

    def killed(lake: Lake, path: str, data: bytes) -> None:
        if path.endswith(f"{new}/{file}"):
            raise KeyboardInterrupt
        write(lake, path, data)

    monkeypatch.setattr(lakes, "write_bytes", killed)
    for file in ("pretrain/train.parquet", "changes.json", "figures/flow.svg", "manifest.json"):
        with pytest.raises(KeyboardInterrupt):
            write_release(copied.lake, new, tables, told, before=FIRST)
        assert releases(copied.lake) == [FIRST, SECOND]
        assert find_release(copied.lake, "latest") == SECOND
        assert all(lakes.read_bytes(copied.lake, f"releases/{name}") == data for name, data in before.items())
        if file != "pretrain/train.parquet":  # else there is not even a folder
            assert verify(copied.lake, new) == [
                "manifest.json: missing, so the release is not whole (interrupted, held back or withdrawn)"
            ]
    monkeypatch.undo()
    write_release(copied.lake, new, tables, told, before=FIRST)
    assert verify(copied.lake, new) == []


def test_a_release_that_drifts_is_held_back_until_someone_accepts_it(copied):
    new, lake = "2026.11.29", copied.lake
    tables, told = read_tables(lake, FIRST), read_manifest(lake, FIRST)
    tables["pretrain/train"] = tables["pretrain/train"].filter(tables["pretrain/train"]["source"] != "zydcd")
    tables["pretrain/validation"] = tables["pretrain/validation"].clear()
    with pytest.raises(Drifted, match="no row of zydcd is left"):
        write_release(lake, new, tables, told, before=SECOND)
    assert releases(lake) == [FIRST, SECOND]
    with pytest.raises(UserError, match="held back against"):
        accept(lake, FIRST, new, "the site is gone", "li")
    accept(lake, SECOND, new, "the site is gone", "li")
    manifest = write_release(lake, new, tables, told, before=SECOND)
    assert (manifest["accepted"]["reason"], manifest["accepted"]["by"]) == ("the site is gone", "li")
    card = lakes.read_bytes(lake, f"releases/{new}/README.md").decode()
    assert "was accepted by li: the site is gone" in card
    assert verify(lake, new) == []
    # the split without rows is left out: datasets could not load it
    assert "Nothing in this release falls to pretrain/validation" in card
    assert card.count("- split: validation") == sum(len(tables[f"{subset}/validation"]) > 0 for subset in SUBSETS)
    assert "chimed_pretrain_validation" not in lakes.read_json(lake, f"releases/{new}/dataset_info.json")
    assert not [name for name in lakes.files(lake, f"releases/{new}") if "pretrain" in name and "validation" in name]
    assert read_tables(lake, new)["pretrain/validation"].is_empty()
    with pytest.raises(UserError, match="nothing to accept"):
        accept(lake, SECOND, new, "again", "li")
    other = {**told, "options": {**told["options"], "prefer_share": 0.5}}  # other options are no drift
    assert write_release(lake, "2026.11.30", tables, other, before=SECOND)["accepted"] is None


def test_one_page_is_followed_to_zero(copied):
    lake, store = copied.lake, copied.store
    url = next(row["url"] for row in pylist(lake, FIRST, "preference"))
    ids = {row["id"] for subset in SUBSETS for row in pylist(lake, FIRST, subset) if row["url"] == url}
    source = next(row["source"] for row in pylist(lake, FIRST, "sft") if row["url"] == url)
    assert len(ids) >= 2
    assert all(making_one.shown(lake, one) for one in (url, *ids))

    said = take_down(lake, store, url, "its author asked", rewrite=True)
    assert said == {"target": url, "pages": 1, "releases": {FIRST: f"{FIRST}.p1", SECOND: f"{SECOND}.p1"}}
    assert releases(lake) == [f"{FIRST}.p1", f"{SECOND}.p1"]
    assert not [name for one in (url, *ids) for name in making_one.shown(lake, one)]
    assert verify(lake, f"{SECOND}.p1") == []
    with pytest.raises(UserError, match=rf"was withdrawn \(its author asked\); in its place: {FIRST}.p1"):
        find_release(lake, FIRST)

    site = importlib.import_module(f"chimed.sources.{source}").SITE
    add(store, Plan(site, "next"), [Link(url, "detail")], None)  # a list still shows it
    assert find(store, PAGES, [url]) == {}
    assert find(store, TAKEDOWNS, [url])[url]["reason"] == "its author asked"

    again = making_one.build(replace(copied, build=""), "2026.11.29")
    assert read_dropped(lake, again.build, "extract").filter(url=url)["reason"].to_list() == ["taken down"]
    for entry in ledger(lake, again.build):
        rows = read_stage(lake, again.build, entry["stage"])
        assert not len(rows.filter(url=url)), entry["stage"]
    assert not [name for one in (url, *ids) for name in making_one.shown(lake, one)]
    again_here = {row["page"] for row in pylist(lake, again.build, "sft")}
    assert take_down(lake, store, sorted(again_here)[0], "its place is known", rewrite=False)["target"].startswith(
        "http"
    )
    with pytest.raises(UserError, match="no page of a known site"):
        take_down(lake, store, "https://example.com/1", "not ours", rewrite=False)


def test_a_source_that_was_taken_down_is_not_crawled(copied):
    said = take_down(copied.lake, copied.store, "ask39", "the site asked", rewrite=True)
    assert said["pages"] == 14
    patched = read_tables(copied.lake, said["releases"][SECOND])
    assert not any("ask39" in set(table["source"]) for table in patched.values())
    site = importlib.import_module("chimed.sources.ask39").SITE
    with pytest.raises(UserError, match="ask39 was taken down"):
        begin(copied.store, Plan(site, "next"))


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


def test_what_reviewers_said_is_told_with_its_interval(copied):
    passed = read_stage(copied.lake, FIRST, "screen")["id"].to_list()[:10]
    flagged = read_dropped(copied.lake, FIRST, "screen")["id"].to_list()[:1]
    now = datetime.now(UTC)
    said = [(id, "flagged") for id in [*flagged, passed[0]]] + [(id, "passed") for id in passed[1:]]
    rows = [
        {"record": id, "stage": "screen", "reviewer": "li", "verdict": verdict, "created": now} for id, verdict in said
    ]
    assert screening(copied) is None
    upsert(copied.store, REVIEWS, rows)
    found = screening(copied)
    assert (found["flagged"]["agreed"], found["flagged"]["of"]) == (1, 1)
    assert (found["passed"]["agreed"], found["passed"]["of"]) == (9, 10)
    assert found["passed"]["low"] == pytest.approx(0.5958, abs=1e-4)  # Wilson, 9 of 10
    assert found["passed"]["high"] == pytest.approx(0.9821, abs=1e-4)


def test_the_command_line_says_what_is_wrong_in_a_sentence(made, tmp_path):
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
