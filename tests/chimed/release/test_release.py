"""A real small release: built twice, previewed, counted again, traced to its pages, drawn."""

import importlib
import json
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from chimed.build.builds import read_dropped, read_stage
from chimed.release import SUBSETS, read_manifest
from chimed.release.figures import figures
from chimed.release.preview import preview
from chimed.release.provenance import screening
from chimed.release.verify import verify
from chimed.storage import lake as lakes
from chimed.storage.store import upsert
from chimed.storage.store_tables import REVIEWS
from support.making_one import FIRST, SECOND, pylist

pytestmark = pytest.mark.slow


def test_equal_inputs_give_equal_checksums(lake):
    one, two = read_manifest(lake, FIRST), read_manifest(lake, SECOND)
    assert one["checksum"] == two["checksum"]
    differ = {name for name in one["files"] if one["files"][name] != two["files"][name]}
    assert differ == {"README.md", "changes.json"}  # they name the version and the release before it
    assert verify(lake, FIRST) == verify(lake, SECOND) == []
    changes = lakes.read_json(lake, f"releases/{SECOND}/changes.json")
    assert changes["before"] == FIRST
    assert not any(row["added"] + row["removed"] + row["changed"] for row in changes["rows"])


def test_a_preview_writes_nothing(made, lake):
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


def test_table_4_equals_a_recount(lake):
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


def test_every_derived_row_traces_to_a_page(lake):
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


def test_figures_have_every_glyph_and_equal_bytes(lake):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        drawn = figures(lakes.read_json(lake, f"releases/{FIRST}/statistics.json"), read_manifest(lake, FIRST))
    assert {name.split(".")[0] for name in drawn} == {"departments", "characters", "lengths", "perplexity", "flow"}
    for name, data in drawn.items():
        assert lakes.read_bytes(lake, f"releases/{FIRST}/figures/{name}") == data
        assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
        assert b"<text" not in data  # outlines: no font is needed to look at them


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
