"""Corpora that exist already: every form becomes records, a row that cannot is a named miss. All texts are made up."""

import io
import json

import pytest

from chimed.errors import UserError
from chimed.lake import open_lake, read_table
from chimed.sources.corpus import ingest, read_file
from chimed.sources.page import Miss
from chimed.stages.extracts import extract_crawl

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


def read(name: str, body: bytes) -> list:
    return [one for _, one in read_file(name, io.BytesIO(body))]


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_a_table_in_any_charset(charset):
    first, second, third = read("qa.csv", ROWS.encode(charset))
    assert (first.title, first.question, first.answer) == ("血压高", "血压高，\n头晕", "先测三天。")
    assert (first.department, first.domain, second.domain) == (("心血管科",), "general", "tcm")
    assert third == Miss("no answer")


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_a_file_longer_than_is_read_at_a_time(charset):
    first, second = read("qa.tsv", f"title\task\tanswer\n问\t{'长' * 600_000}\t答\n\t尾\t终".encode(charset))
    assert (len(first.question), second.answer) == (600_002, "终")


def test_a_line_of_json_ends_at_its_line_end_only():
    row = json.dumps({"ask": "咳\u2028三天", "answer": "多饮水。"}, ensure_ascii=False)
    assert [one.answer for one in read("qa.jsonl", f"{row}\r\n{row}".encode())] == ["多饮水。"] * 2
    with pytest.raises(UserError, match="is not JSONL"):
        read("qa.jsonl", f"{row}\n{{".encode())


def test_json_in_lines_and_whole_and_herbs():
    row = {"department": "内科", "title": "咳嗽", "ask": "咳三天", "answer": "多饮水。"}
    line = json.dumps(row, ensure_ascii=False)
    assert read("qa.jsonl", f"{line}\n\n{line}\n".encode()) == read("qa.json", f"[{line},{line}]".encode())
    (herb,) = read("herbs.json", json.dumps([{"中药名": "甘菊", "功效": "疏风。", "别名": ""}]).encode())
    assert (herb.title, herb.text, herb.domain) == ("甘菊", "【中药名】甘菊\n【功效】疏风。", "tcm")


def test_a_classic_by_chapters_with_its_broken_lines_joined():
    first, second = read("007-药渡.txt", BOOK.encode("gb18030"))
    assert (first.title, first.language) == ("药渡·卷上·草部·甘菊", "lzh")
    assert first.text == (
        "味甘：微寒。主风眩，治头目之疾，久服利血气，轻身耐老，生于川泽，正月采根，三月采叶，五月采茎，九月采花。\n一曰：去目翳。"
    )
    assert (second.title, second.text) == ("药渡·卷下·白芷", "味辛温。")


def test_ingested_twice_it_is_there_once_and_read_like_any_crawl(tmp_path):
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
    [("ask39", "a.csv", "no site"), ("x", "a.csv", "letters"), ("mine", "a.pdf", "form"), ("mine", "none", "no file")],
)
def test_what_cannot_be_ingested_is_one_sentence(tmp_path, name, file, said):
    if file != "none":
        (tmp_path / file).write_bytes(ROWS.encode())
    with pytest.raises(UserError, match=said):
        ingest(open_lake(str(tmp_path / "lake")), name, [tmp_path / file])
    assert not (tmp_path / "lake" / "raw").exists()
