"""Corpora that exist already: every form becomes records, a row that cannot is a named miss. All texts are made up."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chimed.errors import UserError
from chimed.extraction.corpus_files import Choices, ingest
from chimed.extraction.crawl_records import TooManyMisses, check_misses, extract_crawl
from chimed.sources.page import Miss
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake, read_table
from support.reading_of import read

ROWS = (
    'department,title,ask,answer\n心血管科,血压高,"血压高，\n头晕",先测三天。\n'
    "中医妇科,痛经,小腹冷痛,温经。\n内科,空,,\n"
)
BOOK = """
<篇名>药渡
书名：药渡
作者：无名氏
朝代：清

<目录>卷上\\草部

<篇名>甘菊

内容：味甘∶微寒。主风眩，治头目之疾，久服利血气，轻身耐老，生于川泽，正月采根，三月采叶，五 
月采茎，九月采花。
一曰：去目翳。

<篇名>空
<目录>卷下
<篇名>白芷
属性：味辛温。
"""


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_in_any_charset(charset):
    first, second, third = read("qa.csv", ROWS.encode(charset))
    assert (first.title, first.question, first.answer) == ("血压高", "血压高，\n头晕", "先测三天。")
    assert (first.department, first.domain, second.domain) == (("心血管科",), "general", "tcm")
    assert third == Miss("no answer")


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_a_file_longer_than_one_read(charset):
    first, second = read("qa.tsv", f"title\task\tanswer\n问\t{'长' * 600_000}\t答\n\t尾\t终".encode(charset))
    assert (len(first.question), second.answer) == (600_002, "终")


def test_json_lines_end_at_line_ends_only():
    row = json.dumps({"ask": "咳\u2028三天", "answer": "多饮水。"}, ensure_ascii=False)
    assert [one.answer for one in read("qa.jsonl", f"{row}\r\n{row}".encode())] == ["多饮水。"] * 2
    assert read("qa.jsonl", f"{row}\n{{".encode())[1] == Miss("not JSON")


def test_json_in_lines_and_whole_and_herbs():
    row = {"department": "内科", "title": "咳嗽", "ask": "咳三天", "answer": "多饮水。"}
    line = json.dumps(row, ensure_ascii=False)
    assert read("qa.jsonl", f"{line}\n\n{line}\n".encode()) == read("qa.json", f"[{line},{line}]".encode())
    (herb,) = read("herbs.json", json.dumps([{"中药名": "甘菊", "功效": "疏风。", "别名": ""}]).encode())
    assert (herb.title, herb.text, herb.domain) == ("甘菊", "【中药名】甘菊\n【功效】疏风。", "tcm")


def test_a_classics_broken_lines_are_joined():
    first, second = read("007-药渡.txt", BOOK.encode("gb18030"))
    assert (first.title, first.language) == ("药渡·卷上·草部·甘菊", "lzh")
    assert first.text == (
        "味甘：微寒。主风眩，治头目之疾，久服利血气，轻身耐老，生于川泽，正月采根，三月采叶，五月采茎，九月采花。\n一曰：去目翳。"
    )
    assert (second.title, second.text) == ("药渡·卷下·白芷", "味辛温。")


def test_ingesting_twice_stores_once(tmp_path):
    lake = open_lake(str(tmp_path / "lake"))
    (tmp_path / "qa.csv").write_bytes(ROWS.encode("gbk"))
    made = ingest(lake, "mine", [tmp_path / "qa.csv"])
    assert ingest(lake, "mine", [tmp_path / "qa.csv"]) == made
    report = extract_crawl(lake, "mine", made["crawl"])
    assert (report["pages"], report["records"], report["dropped"]) == (3, 2, {"no answer": 1})
    kept = read_table(lake, f"extracts/mine/{made['crawl']}/qa.csv/kept-00000.parquet")
    assert kept["url"].str.starts_with("corpus:mine/").all()
    assert kept["page"].to_list() == [f"raw/mine/{made['crawl']}/qa.csv#{n}" for n in (1, 2)]


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("ask39", "a.csv", "no site"),
        ("x", "a.csv", "letters"),
        ("mine", "a.pdf", "form"),
        ("mine", "none", "does not exist"),
        ("mine", "report.json", "uses itself"),
        ("mine", "Again.parquet", "uses itself"),
        ("mine", "a\n.csv", "name of at most"),
        ("mine", os.fsdecode(b"\xff\xfe.csv"), "name of at most"),
        ("mine", f"{'长' * 60}.csv", "name of at most"),
        ("mine", "a\\b.csv", "name of at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_ingested_is_one_sentence(tmp_path, name, file, said):
    if file != "none":
        (tmp_path / file).write_bytes(ROWS.encode())
    with pytest.raises(UserError, match=said):
        ingest(open_lake(str(tmp_path / "lake")), name, [tmp_path / file])
    assert not (tmp_path / "lake" / "raw").exists()


def test_names_that_lead_elsewhere_are_only_names(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "qa.csv").write_text(ROWS, encoding="utf-8")
    made = ingest(open_lake(str(tmp_path / "lake")), "mine", [tmp_path / "sub" / ".." / "qa.csv"])
    assert made["files"] == ["qa.csv"]
    (tmp_path / "sub" / "qa.csv").write_text(ROWS, encoding="utf-8")
    with pytest.raises(UserError, match="two files are called"):
        ingest(open_lake(str(tmp_path / "lake")), "other", [tmp_path / "qa.csv", tmp_path / "sub" / "qa.csv"])
    with pytest.raises(UserError, match="no data file"):
        ingest(open_lake(str(tmp_path / "lake")), "other", [tmp_path / "empty"])


def test_a_repeated_row_has_its_own_reason(tmp_path):
    lake = open_lake(str(tmp_path / "lake"))
    (tmp_path / "qa.csv").write_text(ROWS + ROWS.split("\n", 1)[1], encoding="utf-8")
    report = extract_crawl(lake, "mine", ingest(lake, "mine", [tmp_path / "qa.csv"])["crawl"])
    assert report["dropped"] == {"no answer": 2, "same row twice in the corpus": 2}


def test_a_repeated_verdict_counts_anew(tmp_path):
    lake = open_lake(str(tmp_path / "lake"))
    (tmp_path / "a.jsonl").write_text('{"text": "今天的天气很好，我们去医院看了医生。"}', encoding="utf-8")
    files = [tmp_path / "a.jsonl"]
    made = ingest(
        lake, "mine", files, rights={"license": " CC BY\n4.0 ", "title": "", "homepage": "https://example.org"}
    )
    assert made["rights"] == {"license": "CC BY 4.0", "homepage": "https://example.org"}
    first = extract_crawl(lake, "mine", made["crawl"])
    again = ingest(lake, "mine", files, Choices(language="lzh", domain="tcm"))
    assert (again["crawl"], again["rights"], again["finished"]) == (made["crawl"], made["rights"], made["finished"])
    second = extract_crawl(lake, "mine", made["crawl"])
    assert first["fingerprint"] != second["fingerprint"]
    kept = read_table(lake, f"extracts/mine/{made['crawl']}/a.jsonl/kept-00000.parquet")
    assert (kept["language"][0], kept["domain"][0]) == ("lzh", "tcm")
    for wrong in ({"homepage": "javascript:alert(1)"}, {"license": "x" * 1_001}, {"title": "\ud800"}):
        with pytest.raises(UserError, match="--"):
            ingest(lake, "mine", files, rights=wrong)


def test_decisions_and_certainty_are_told(tmp_path, caplog):
    lake = open_lake(str(tmp_path / "lake"))
    (tmp_path / "qa.csv").write_bytes(ROWS.replace("血压", "血壓").encode("big5", errors="ignore"))
    with caplog.at_level("INFO", "chimed"):
        made = ingest(lake, "mine", [tmp_path / "qa.csv"])
    kept = made["read"]["qa.csv"]
    assert (kept["encoding"]["name"], kept["encoding"]["certainty"] > 0.99, kept["rows"]) == ("big5hkscs", True, 3)
    assert "Big5 (certainty 1.0000)" in caplog.text
    assert "columns: " in caplog.text


def test_an_older_corpus_is_still_read(tmp_path):
    lake = open_lake(str(tmp_path / "lake"))
    lakes.write_bytes(lake, "raw/old/0123456789ab/qa.csv", ROWS.encode("gbk"))
    report = {
        "source": "old", "crawl": "0123456789ab", "form": "files", "files": ["qa.csv"], "pages": 3, "bytes": 1,
        "code": "0", "finished": "2026-11-01T00:00:00+00:00",
    }  # fmt: skip
    lakes.write_json(lake, "raw/old/0123456789ab/report.json", report)
    assert extract_crawl(lake, "old", "0123456789ab")["records"] == 2


# --- Hugging Face's folders --------------------------------------------------------------------------------------

SAID = [{"question": "咳嗽三天怎么办？", "answer": "多喝水。"}, {"question": "发热怎么办？", "answer": "量体温。"}]


def saved_to_disk(folder: Path) -> None:
    """What `datasets.DatasetDict.save_to_disk` writes: a folder a split, Arrow streams, and JSON beside them."""
    for split, row in zip(("train", "test"), SAID, strict=True):
        table = pa.Table.from_pylist([row])
        (folder / split).mkdir(parents=True)
        with pa.ipc.new_stream(folder / split / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
        for name in ("state.json", "dataset_info.json"):
            (folder / split / name).write_text('{"_data_files": []}')
        (folder / split / "cache-0123.arrow").write_bytes(b"left by map()")
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')


def test_a_folder_of_save_to_disk(tmp_path):
    saved_to_disk(tmp_path / "saved")
    lake = open_lake(str(tmp_path / "lake"))
    made = ingest(lake, "mine", [tmp_path / "saved"])
    assert made["files"] == ["test__data-00000-of-00001.arrow", "train__data-00000-of-00001.arrow"]
    assert extract_crawl(lake, "mine", made["crawl"])["records"] == 2


def test_a_folder_as_on_the_hub(tmp_path):
    (tmp_path / "hub" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(SAID), tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "hub" / "README.md").write_text(
        "---\nlicense: mit\n---\n# 说明\n这里的话不是数据。\n", encoding="utf-8"
    )
    (tmp_path / "hub" / ".cache").mkdir()
    (tmp_path / "hub" / ".cache" / "a.json").write_text("{}")
    made = ingest(open_lake(str(tmp_path / "lake")), "mine", [tmp_path / "hub"])
    assert made["files"] == ["data__train-00000-of-00001.parquet"]
    assert made["pages"] == 2


def test_special_files_of_a_folder_are_named(tmp_path, caplog):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.csv").write_text(ROWS)
    (tmp_path / "elsewhere.csv").write_text(ROWS.replace("天", "日"))
    (folder / "b.csv").symlink_to(tmp_path / "elsewhere.csv")
    (folder / "lost.csv").symlink_to(tmp_path / "nowhere.csv")
    (folder / "circle.csv").symlink_to("circle.csv")
    (folder / "more").symlink_to(tmp_path)
    (folder / "endless.jsonl").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jsonl")
    report = ingest(open_lake(str(tmp_path / "lake")), "mine", [folder])
    assert report["files"] == ["a.csv", "b.csv"]
    names = "circle.csv, endless.jsonl, lost.csv, more, pipe.jsonl"
    assert f"skipped, neither a file nor a folder of its own: {names}" in caplog.text


def test_non_data_files_are_told(tmp_path, caplog):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.csv").write_text(ROWS)
    (folder / "~$a.csv").write_bytes(b"lock")
    (folder / ".hidden.csv").write_text("x")
    (folder / "b.xlsx").write_bytes(b"PK")
    (folder / "empty.txt").write_text("\n")
    with caplog.at_level("INFO", logger="chimed"):
        report = ingest(open_lake(str(tmp_path / "lake")), "mine", [folder])
    assert report["files"] == ["a.csv"]
    assert "skipped, their format is not supported: b.xlsx" in caplog.text
    assert "empty.txt is empty: it has no row and no text; skipped" in caplog.text
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        ingest(open_lake(str(tmp_path / "lake")), "mine", [folder / "empty.txt"])


def test_a_pointer_of_git_lfs_is_no_data(tmp_path):
    file = tmp_path / "train.parquet"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(UserError, match=r"Git LFS pointer.*git lfs pull"):
        ingest(open_lake(str(tmp_path / "lake")), "mine", [file])


def test_a_column_in_no_file_is_an_error(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,answer,headline\n咳嗽怎么办？,多喝水。,咳\n")
    lake = open_lake(str(tmp_path / "lake"))
    with pytest.raises(UserError, match="--columns title=headlin: no file has a column of that name"):
        ingest(lake, "mine", [file], Choices(columns={"title": "headlin"}))
    assert ingest(lake, "mine", [file], Choices(columns={"title": "Headline"}))["read"]["a.csv"]["columns"]["title"]


def test_an_unusable_corpus_is_no_success(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("Hypertension is a common condition, and it is often not noticed at all.\n")
    lake = open_lake(str(tmp_path / "lake"))
    report = extract_crawl(lake, "mine", ingest(lake, "mine", [file])["crawl"])
    with pytest.raises(
        TooManyMisses, match="none of 1 rows of mine gave a record, 1 of them: not Chinese; correct the files"
    ):
        check_misses(report)
