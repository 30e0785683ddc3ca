"""What stages doubted: added up over shards, bounded, and told of one record."""

import pytest

from chimed.build import order
from chimed.pipeline.doubtful import SAMPLE_CHARACTERS, SAMPLES, find_doubts, list_doubtful
from chimed.pipeline.trace import print_fate
from chimed.schema import DROPPED, RECORD, dropped_table
from chimed.storage import lake as lakes
from support.samples import document, rows


@pytest.fixture
def doubted(work):
    """A build whose clean doubted a row in each of three shards, and whose dedup spared one."""
    folder = f"builds/{work.build}"
    made = {"version": work.build, "shards": [["a/1"]] * 3, "stages": order.stages_for_build_json(), "options": {}}
    lakes.write_json(work.lake, f"{folder}/build.json", made)
    for shard in range(3):
        row = document("黄芪补气。", url=f"http://a/{shard}", id=f"{shard}" * 16)
        sample = {
            "id": row["id"],
            "column": "text",
            "before": "甲" * 500,
            "after": "乙",
            "why": "a digit would be lost",
        }
        told = {"doubtful": {"superscript": {"rows": 40 + shard, "samples": [sample] * 7}}}
        lakes.write_json(work.lake, f"{folder}/clean/report-{shard:05d}.json", {"figures": told, "parts": 1})
        lakes.write_table(work.lake, f"{folder}/clean/kept-{shard:05d}.parquet", rows(row), RECORD)
        lakes.write_table(work.lake, f"{folder}/clean/dropped-{shard:05d}.parquet", dropped_table([]), DROPPED)
    pair = {"id": "1" * 16, "column": "text", "before": "三两", "after": "三钱", "why": f"alike 0.93 to {'2' * 16}"}
    told = {"doubtful": {"variants, another unit": {"rows": 1, "samples": [pair]}}}
    lakes.write_json(work.lake, f"{folder}/dedup/report-00000.json", {"figures": told, "parts": 1})
    return work


def test_doubts_are_added_up_over_shards_and_bounded(doubted):
    superscript, spared = list_doubtful(doubted.lake, doubted.build)
    assert (superscript["stage"], superscript["rule"], superscript["rows"]) == ("clean", "superscript", 123)
    assert len(superscript["samples"]) == SAMPLES
    assert max(len(said) for sample in superscript["samples"] for said in sample.values()) == SAMPLE_CHARACTERS + 1
    assert (spared["stage"], spared["rows"]) == ("dedup", 1)


def test_a_records_doubts_show_or_name_it(doubted):
    assert {one["stage"] for one in find_doubts(doubted.lake, doubted.build, "1" * 16)} == {"clean", "dedup"}
    assert {one["stage"] for one in find_doubts(doubted.lake, doubted.build, "2" * 16)} == {"clean", "dedup"}
    assert [one["stage"] for one in find_doubts(doubted.lake, doubted.build, "0" * 16)] == ["clean"] * 7


def test_a_records_ledger_tells_doubts(doubted, capsys):
    print_fate(doubted.lake, doubted.build, "1" * 16)
    told = capsys.readouterr().out
    assert "clean          kept\n" in told
    assert "kept, but doubtful: variants, another unit; alike 0.93 to 2222222222222222" in told
    assert "text: 三两 → 三钱" in told
