"""Exam questions: which texts hold one, what of a text leaves with it, and that nothing is lost on the way."""

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest
from opencc import OpenCC

from chimed.build import order
from chimed.build.ledger import check_ledger
from chimed.errors import UserError
from chimed.pipeline import trace
from chimed.pipeline.runner import run_stage
from chimed.schema import RECORD
from chimed.stages import decontaminate
from chimed.storage import lake as lakes
from chimed.text.exams import exam_questions, exam_verdict
from chimed.text.exams.exam_search import Search
from chimed.text.passages import PASSAGE
from support.samples import document, qa, rows

HERE = Path(__file__).parent
EXAMS = HERE / "exams"
CASES = [json.loads(line) for line in (HERE / "exam_cases.jsonl").read_text(encoding="utf-8").splitlines()]
ASKED = "转录过程中RNA聚合酶识别并结合的部位称为"
BLOCK = f"{ASKED}（　）\nA. 启动子\nB. 终止子\nC. 内含子\nD. 增强子\n答案：A\n解析：启动子在基因的上游。\n"
PROSE = "".join(f"第{n}节说的是茯苓和白术怎样同用，煎服时先下哪一味，水几碗，火候如何。\n" for n in range(20))


@pytest.fixture
def here(work):
    """The surroundings of a build with the exams of this folder."""
    return dataclasses.replace(work, settings=work.settings.model_copy(update={"exams": str(EXAMS)}))


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(exam_questions.read_questions(str(EXAMS)))


@pytest.mark.parametrize("case", CASES, ids=[f"{n} {case['why']}" for n, case in enumerate(CASES)])
def test_visible_questions_are_found(search, case):
    found = {one.question.name for one in search.find(case["text"]) if one.why}
    assert found == ({case["question"]} if case["question"] else set())


@pytest.mark.parametrize("script", ["s2t", "s2tw", "s2hk"])
def test_traditional_text_is_read_as_simplified(search, script):
    traditional = OpenCC(script).convert
    for case in CASES:
        found = {one.question.name for one in search.find(traditional(case["text"])) if one.why}
        assert found == ({case["question"]} if case["question"] else set()), case["why"]


@pytest.mark.parametrize(
    ("stem", "said", "other"),
    [
        ("孕妇禁用的药物除外", "孕妇禁用的药物有", True),
        ("下列不属于禁忌的是", "下列属于禁忌的是", True),
        ("每日三次的是", "每日两次的是", True),
        ("孕妇禁用的药物除外", "孕妇禁服的药物除外", False),
    ],
)
def test_what_denies_or_excepts_otherwise_is_another_question(stem, said, other):
    assert exam_verdict.is_other_question(stem, said) == other


def test_texts_searched_together_stay_apart(search):
    halves = [BLOCK[:10], BLOCK[10:30]]
    assert not [one for one in search.find("\0".join(halves)) if one.why]
    text = "\0".join(case["text"] for case in CASES)
    begins = [sum(len(case["text"]) + 1 for case in CASES[:n]) for n in range(len(CASES))]
    seen = [one for one in search.find(text) if one.why]
    found = {(sum(one.start >= begin for begin in begins) - 1, one.question.name) for one in seen}
    assert found == {(n, case["question"]) for n, case in enumerate(CASES) if case["question"]}


def test_a_question_leaves_with_options_and_answer(here):
    book = document(PROSE + BLOCK + PROSE)
    outcome = decontaminate.run(rows(book), here)
    check_ledger("decontaminate", rows(book), outcome)
    (kept,), (left,) = outcome.kept.to_dicts(), outcome.derived_dropped.to_dicts()
    assert (kept["id"], kept["text"]) == (book["id"], PROSE + PROSE)
    assert (left["text"], left["parent"], left["reason"]) == (BLOCK, book["id"], PASSAGE)
    assert left["detail"].startswith(f"genetics 2: {ASKED.lower()} (100% alike, 4 options, with options); characters")
    assert outcome.figures["characters_by_exam"] == {"genetics": len(BLOCK)}
    assert outcome.figures["characters_left"] == len(BLOCK)


@pytest.mark.parametrize(
    "record",
    [
        document(BLOCK + PROSE[:100]),
        document("阳明腑实证的主要脉象是脉沉实有力，其舌苔多为？" + PROSE[:100]),
        qa(f"请问{ASKED}什么？", PROSE),
        qa("请教", PROSE + BLOCK),
        qa("怎么办？", "不知道。", rejected=BLOCK, kind="preference"),
    ],
    ids=["short document", "shorter still", "question", "answer", "rejected answer"],
)
def test_short_records_leave_whole(here, record):
    outcome = decontaminate.run(rows(record, document(PROSE)), here)
    assert outcome.dropped.select("id", "reason").rows() == [(record["id"], "exam question")]
    assert len(outcome.derived_dropped) == 0
    assert outcome.figures["characters_left"] == sum(len(record.get(name) or "") for name in decontaminate.COLUMNS)


def test_a_question_title_leaves_the_text(here):
    book = document(PROSE, title=f"{ASKED}？")
    outcome = decontaminate.run(rows(book), here)
    assert outcome.kept.select("id", "title", "text").rows() == [(book["id"], None, PROSE)]
    assert outcome.derived_dropped["text"].to_list() == [f"{ASKED}？"]


def test_evidence_moves_with_its_words(here):
    book = document(PROSE + BLOCK + PROSE)
    text = book["text"]

    def asked(words: str, at: int) -> dict:
        return qa("问？", words, url=book["url"], parent=book["id"], evidence=[{"start": at, "end": at + len(words)}])

    before = asked("茯苓和白术", text.index("茯苓和白术"))
    behind = asked("煎服时先下哪一味", text.rindex("煎服时先下哪一味"))
    inside = asked("启动子在基因的上游", text.index("启动子在基因的上游"))
    outcome = decontaminate.run(rows(before, behind, inside, book), here)
    kept = {row["id"]: row for row in outcome.kept.to_dicts()}
    for pair in (before, behind):
        ((start, end),) = [tuple(span.values()) for span in kept[pair["id"]]["evidence"]]
        assert kept[book["id"]]["text"][start:end] == pair["answer"]
    assert outcome.dropped["id"].to_list() == [inside["id"]]
    assert outcome.kept["id"].to_list() == [before["id"], behind["id"], book["id"]]


def test_every_question_of_a_book_leaves(here, search):
    asked = [case["text"] for case in CASES if case["question"]]
    book = document("".join(PROSE + text + "\n" for text in asked) + PROSE)
    outcome = decontaminate.run(rows(book), here)
    rest = outcome.kept["text"].item()
    assert not [one for one in search.find(rest) if one.why]
    assert len(rest) + outcome.derived_dropped["text"].str.len_chars().sum() == len(book["text"])
    assert outcome.kept["text"].item().count("茯苓和白术") == 20 * (len(asked) + 1)


def test_a_build_accounts_for_every_passage(here, capsys):
    books = [document(PROSE + BLOCK + PROSE + str(n), url=f"http://a/{n}") for n in range(30)]
    made = {"version": here.build, "options": {}, "shards": [[]], "stages": order.stages_for_build_json()}
    lakes.write_json(here.lake, f"builds/{here.build}/build.json", made)
    *_, before = done = order.NAMES[: order.NAMES.index("decontaminate")]
    for stage in done:
        lakes.write_json(here.lake, f"builds/{here.build}/{stage}/report-00000.json", {"parts": 1})
    lakes.write_table(here.lake, f"builds/{here.build}/{before}/kept-00000.parquet", rows(*books), RECORD)
    (report,) = run_stage(here, "decontaminate")
    assert (report["read"], report["kept"], report["derived_dropped"]) == (30, 30, {PASSAGE: 30})
    trace.print_fate(here.lake, here.build, books[3]["id"])
    told = capsys.readouterr().out
    assert "decontaminate  kept" in told
    assert f"decontaminate  dropped: {PASSAGE} (genetics 2: " in told
    dropped = lakes.read_table(here.lake, f"builds/{here.build}/decontaminate/dropped-00000.parquet")
    passage = dropped.filter(pl.col("parent") == books[3]["id"])
    way = trace.trace_record(here.lake, here.store, here.build, passage["id"].item())
    assert [step["id"] for step in way] == [passage["id"].item(), books[3]["id"]]
    assert (way[0]["text"], way[1]["text"]) == (BLOCK, PROSE + PROSE + "3")


def test_the_report_shows_what_is_doubtful(here):
    spared = document("胃小弯溃疡。患者住院五天。" + PROSE, url="http://a/1")
    outcome = decontaminate.run(rows(spared, qa("脾开窍于？", "口"), qa(f"{ASKED}？", "启动子")), here)
    left, stayed = outcome.figures["doubtful"].values()
    assert [sample["before"] for sample in left["samples"]] == ["脾开窍于？\n口", f"{ASKED}？\n启动子"]
    assert [(sample["id"], sample["column"], sample["after"]) for sample in stayed["samples"]] == [
        (spared["id"], "text", "胃小弯溃疡")
    ]
    assert left["samples"][0]["why"] == "chinese_medicine 1: 脾开窍于 (100% alike, 1 options, a sentence of its own)"
    assert outcome.figures["exams"] == {"chinese_medicine": 12, "genetics": 4, "internal_medicine": 7}


def test_missing_and_malformed_exams_are_named(tmp_path):
    with pytest.raises(UserError, match="CHIMED_EXAMS"):
        exam_questions.read_questions(None)
    with pytest.raises(UserError, match="no questions in"):
        exam_questions.read_questions(str(tmp_path))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "physics.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="no column Question"):
        exam_questions.read_questions(str(tmp_path))


def test_an_empty_table_stays_empty(here):
    outcome = decontaminate.run(rows(document("")).clear(), here)
    assert (len(outcome.kept), outcome.figures["characters_left"]) == (0, 0)
