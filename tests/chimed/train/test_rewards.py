"""What grpo learns from: items of training splits in every form, none that is measured; rewards that can be checked."""

import json
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train.exam_items import Item, item_of, read_items
from chimed.train.rewards import grounded, in_form, letters, right_letter

STEM = "下列哪一项是茯苓的主要功效？"


@pytest.fixture
def exams(tmp_path, monkeypatch) -> Path:
    """The exams that are measured."""
    folder = tmp_path / "exams"
    write(folder / "test" / "tcm.csv", f",Question,A,B,C,D,Answer\n0,{STEM},利水渗湿,补气固表,活血行气,滋阴补血,A\n")
    monkeypatch.setenv("CHIMED_EXAMS", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


FOUR = {"A": "甘草", "B": "黄芪", "C": "当归", "D": "白术"}


@pytest.mark.parametrize(
    ("row", "answer", "options"),
    [
        ({"Question": "问？", **FOUR, "Answer": "B"}, "B", 4),  # CMMLU
        ({"": "0", "Question": "问？", **FOUR, "E": "人参", "Answer": " c "}, "C", 5),
        ({"Question": "问？", "Options": "A 甘草\nB 黄芪\nC 当归\nD 白术\nE 人参", "Answer": "E"}, "E", 5),  # CMExam
        ({"Question": "问？", "Options": "A. 甘草\nB. 黄芪", "Answer": "AB"}, "AB", 2),
        ({"question": "问？", "option": FOUR, "answer": "ACD", "question_type": "多项选择题"}, "ACD", 4),  # CMB
        ({"question": "问？", "option": FOUR | {"E": ""}, "answer": "D,A"}, "AD", 4),
        ({"question": "问？", "options": FOUR, "answer": "当归", "answer_idx": "C"}, "C", 4),  # MedQA
        ({"question": "问？", "options": [{"key": k, "value": v} for k, v in FOUR.items()], "answer": "A"}, "A", 4),
    ],
)
def test_items_are_read_in_every_form(row: dict, answer: str, options: int) -> None:
    item = item_of(row)
    assert item is not None
    assert (item.answer, len(item.options)) == (answer, options)
    assert ("单项" in item.prompt) == (len(answer) == 1)
    assert item.prompt.endswith("答案：")


@pytest.mark.parametrize(
    "row",
    [
        {}, [], "问？", None, {"question": "问？"}, {"question": "", "option": FOUR, "answer": "A"},
        {"question": "问？", "option": FOUR, "answer": ""}, {"question": "问？", "option": FOUR, "answer": "F"},
        {"question": "问？", "option": FOUR, "answer": "甘草"}, {"question": "问？", "option": 7, "answer": "A"},
        {"question": "问？", "option": {"A": "一"}, "answer": "A"},
        {"question": "问？", "option": {"A": "一", "C": "三"}, "answer": "A"},
    ],
)  # fmt: skip
def test_an_incomplete_row_is_no_item(row: object) -> None:
    assert item_of(row) is None


def test_only_training_splits_and_nothing_that_is_measured(exams, tmp_path) -> None:
    items = tmp_path / "CMB"
    rows = [
        {"question": f"关于第{n}味药，说法正确的是哪一项？", "option": FOUR, "answer": "ABCD"[n % 4]} for n in range(6)
    ]
    shuffled = {"A": "补气固表", "B": "利水渗湿", "C": "滋阴补血", "D": "活血行气"}
    measured = {"question": STEM, "option": shuffled, "answer": "B"}
    write(items / "CMB-train" / "merge.json", json.dumps([*rows, rows[0], measured, {"question": "?"}]))
    write(items / "CMB-test" / "choice.json", json.dumps([{**rows[0], "question": "不该读到？"}]))
    write(items / "train" / "test.csv", "Question,A,B,Answer\n也不该读到？,一,二,A\n")
    write(items / "CMB-val" / "train_like.json", json.dumps([{**rows[0], "question": "更不该读到？"}]))
    read = read_items(str(items))
    assert [item.question for item in read.kept] == [row["question"] for row in rows]
    assert (read.read, read.measured, read.doubled, read.faulty) == (9, 1, 1, 1)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("nothing", "no exam items of a training split"),
        ("the exams", "is CHIMED_EXAMS, on which models are measured"),
        ("no folder", "there is no folder"),
        ("only measured", "every item of .* is a question of the exams"),
        ("broken", "line 1, is not JSON"),
        ("no exams", "nothing says which ones models are measured on"),
    ],
)
def test_why_there_are_no_items_is_said(exams, tmp_path, monkeypatch, made: str, says: str) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    if made == "only measured":
        write(folder / "train.csv", (exams / "test" / "tcm.csv").read_text())
    if made == "broken":
        write(folder / "train.json", "[{")
    if made == "no exams":
        monkeypatch.delenv("CHIMED_EXAMS")
        settings.cache_clear()
    where = {"the exams": exams, "no folder": tmp_path / "nowhere"}.get(made, folder)
    with pytest.raises(UserError, match=says):
        read_items(str(where))


@pytest.mark.parametrize(
    ("reply", "found", "form"),
    [
        ("B", "B", 1), (" B。", "B", 1), ("答案：B", "B", 1), ("答案是B", "B", 1), ("B\n", "B", 1), ("AC", "AC", 1),
        ("C、A", "AC", 1), ("A，C", "AC", 1), ("A,B,C", "ABC", 1), ("<think>\n\n</think>\n\nD", "D", 1),
        ("B. 黄芪", "B", 0), ("正确答案是 C，因为…", "C", 0), ("选B", "B", 0), ("故选项为D。", "D", 0),
        ("不知道", None, 0), ("", None, 0), ("b", None, 0), ("I", None, 0), ("Because", None, 0), ("答案：无", None, 0),
        ("维生素A很重要", None, 0), ("BB", "B", 1), ("   ", None, 0), ("A" * 5000, None, 0),
    ],
)  # fmt: skip
def test_what_a_reply_answers(reply: str, found: str | None, form: int) -> None:
    turn = [[{"role": "assistant", "content": reply}]]
    assert letters(reply.removeprefix("<think>\n\n</think>\n\n")) == found
    assert right_letter(turn, answer=[found or "A"]) == [float(found is not None)]
    assert right_letter([reply], answer=["E"]) == [0.0]
    assert in_form(turn, answer=["B"]) == [form]
    assert right_letter(turn, answer=[""]) == in_form(turn, answer=[""]) == [None]


def test_a_grounded_answer_stands_in_the_document() -> None:
    document = "茯苓味甘、淡，性平，归心、肺、脾、肾经。功效为利水渗湿，健脾，宁心。用量为10～15g。"
    replies = ["利水渗湿，健脾，宁心。", "功效为补血活血。", "", "利水渗湿，可治癌症。", "用量为50g。"]
    rows = {"document": [document] * 5, "question": ["茯苓的功效是什么？"] * 5, "title": ["茯苓"] * 5}
    assert grounded(replies, **rows) == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert grounded(["利水渗湿"], document=[""], question=[""], title=[""]) == [None]


def test_an_item_is_asked_as_it_is_measured() -> None:
    assert Item("问？", ("一", "二"), "A").prompt == (
        "以下是单项选择题，请直接给出正确答案的选项。\n\n问？\nA. 一\nB. 二\n答案："
    )
