"""Books by chapters: classics, headings, lists, blank lines, Markdown, and none of these. All texts are made up."""

import pytest

from chimed.extraction.corpus_files import books
from chimed.sources.page import Miss
from support.reading_of import look, read

BODY = "高血压是常见的慢性病，患者需要长期服药，并且定期检查。"


def titles(found: list) -> list[str]:
    return [one.title for one in found]


def test_a_modern_book_by_its_chapters_and_sections():
    text = (
        f"前言的话：{BODY}\n\n第一章 总论\n第一节 概念\n{BODY}\n第二节 病因\n{BODY}\n第二章　治疗\n{BODY}\n"
        f"第三，{BODY}\n第三章的内容在前面已经说过了，这里不再重复。\n"
    )
    found = read("012-内科.txt", text)
    assert titles(found) == ["内科", "内科·第一章 总论·第一节 概念", "内科·第一章 总论·第二节 病因", "内科·第二章 治疗"]
    assert found[-1].text.endswith("这里不再重复。")  # a sentence that only begins like a heading
    assert {one.language for one in found} == {"zh"}


def test_a_table_of_contents_gives_no_documents():
    toc = "目录\n第一章 总论\n第二章 治疗\n\n"
    found = read("a.txt", f"{toc}第一章 总论\n{BODY}\n第二章 治疗\n{BODY}\n")
    assert titles(found)[-2:] == ["a·第一章 总论", "a·第二章 治疗"]
    assert look("a.txt", f"{toc}第一章 总论\n{BODY}\n第二章 治疗\n{BODY}\n").notes == {books.EMPTY_HEADINGS: 2}


def test_headings_as_a_list_and_between_blank_lines():
    listed = "".join(f"{n}、第{n}个问题\n{BODY}\n" for n in "一二三")
    assert titles(read("a.txt", listed)) == ["a·一、第一个问题", "a·二、第二个问题", "a·三、第三个问题"]
    alone = "".join(f"\n{name}\n\n{BODY}\n{BODY}\n" for name in ("概述", "病因", "治疗"))
    assert titles(read("a.txt", alone)) == ["a·概述", "a·病因", "a·治疗"]


def test_long_texts_are_divided_between_paragraphs():
    (one,) = read("a.txt", f"{BODY}\n{BODY}\n")
    assert (one.title, one.text) == ("a", f"{BODY}\n{BODY}")
    long = f"{BODY}\n" * 3_000
    pieces = read("a.txt", long)
    assert titles(pieces)[:2] == ["a（1）", "a（2）"]
    assert "\n".join(one.text for one in pieces) + "\n" == long
    assert max(len(one.text) for one in pieces) < 2 * books.PIECE_LENGTH


def test_wrapped_lines_are_joined():
    wrapped = (
        "高血压是常见的慢性病，患者需要长期服药\n并且定期检查，如果控制得不好，可能会引起心脏的问\n题，也会伤到肾脏。\n"
        * 5
    )
    assert "可能会引起心脏的问题，也会伤到肾脏。" in read("a.txt", wrapped)[0].text
    assert read("a.txt", f"{BODY}\n{BODY}\n")[0].text.count("\n") == 1


def test_markdown_by_its_headings_without_its_marks():
    text = (
        "---\ntitle: 高血压手册\nauthor: 无\n---\n开头的话，"
        + BODY
        + "\n\n# 总论\n**高血压**是[常见](http://x/y)病。![图](a.png)\n"
        "## 病因\n- " + BODY + "\n```\n# 不是标题\n```\n治疗\n====\n> " + BODY + "\n"
    )
    found = read("a.md", text)
    assert titles(found) == ["高血压手册", "高血压手册·总论", "高血压手册·总论·病因", "高血压手册·治疗"]
    assert found[1].text == "高血压是常见病。"
    assert found[2].text == f"- {BODY}\n# 不是标题"
    assert found[3].text == BODY


def test_an_oversized_chapter_or_line_is_a_miss(monkeypatch):
    for name in (
        "chimed.extraction.corpus_files.lines.MAX_CELL_LENGTH",
        "chimed.extraction.corpus_files.books.MAX_CELL_LENGTH",
    ):
        monkeypatch.setattr(name, 5_000)
    huge = "长" * 6_000
    found = read("a.txt", f"第一章 一\n{BODY}\n第二章 二\n{huge}\n第三章 三\n{BODY}\n第四章 四\n" + f"{BODY}\n" * 500)
    assert [one.reason if isinstance(one, Miss) else one.title for one in found] == [
        "a·第一章 一", "longer than 16 M characters", "a·第三章 三", "longer than 16 M characters",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_nuls_and_mixed_line_ends(name):
    (one,) = read(name, f"{BODY}\0\r\n{BODY}\r{BODY}\n")
    assert one.text == "\n".join([BODY] * 3)


def test_a_hostile_markdown_takes_linear_time():
    for line in ("[" * 100_000, "![" * 50_000, "**a" * 50_000, "#" * 100_000, "[a](" * 30_000, "- " * 100_000):
        assert read("a.md", f"{BODY}\n{line}\n{BODY}\n")


def test_yaml_front_matter_is_left_out():
    assert titles(read("a.md", "---\ntitle: 甲\ntags:\n- 一\n  - 二\n---\n\n# 乙\n\n血压高的人要少吃盐。\n")) == [
        "甲·乙"
    ]
    for body in ("---\n血压高的人要少吃盐。\n\n---\n他也要运动。\n", "---\n血压高的人要少吃盐。\n他也要运动。\n"):
        (one,) = read("a.md", body)
        assert "血压高的人要少吃盐。" in one.text
        assert "他也要运动。" in one.text


def test_a_book_is_named_after_its_file():
    names = {
        "03-药渡.txt": "药渡",
        "003药渡.txt": "药渡",
        "22b_药渡.txt": "22b_药渡",
        "2020年指南.txt": "2020年指南",
        "12.txt": "12",
    }
    assert {name: read(name, "血压高的人要少吃盐，也要运动。")[0].title for name in names} == names


def test_an_anchor_is_no_part_of_a_heading():
    assert titles(read("a.md", "# 盐 {#salt}\n\n血压高的人要少吃盐。\n")) == ["a·盐"]
