"""reason: only a right answer with a sound thought is kept, the shortest of several tries."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from chimed.build.ledger import check_ledger
from chimed.extraction.corpus_files.columns import plan_for
from chimed.extraction.corpus_files.rows import read_row
from chimed.release.rows import shaped, split_thought
from chimed.sources.page import Miss
from chimed.stages import decontaminate, generate_qa, reason
from chimed.text import echoes, reasoning
from chimed.text.exams.options import read_choice, write_choice
from support.samples import document, model_outcome, qa, rows

CASES = [json.loads(line) for line in (Path(__file__).parent / "reasonings.jsonl").read_text("utf-8").splitlines()]
ECHOES = [
    json.loads(line) for line in (Path(__file__).parent / "reasoning_echoes.jsonl").read_text("utf-8").splitlines()
]
EXAMS = [json.loads(line) for line in (Path(__file__).parent / "exam_thoughts.jsonl").read_text("utf-8").splitlines()]
TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。煎服，常用量为9～15克。"
GOOD = "茯苓味甘而淡，淡能渗湿，甘能健脾，所以它的功效是利水渗湿，健脾宁心。"
STEM, OPTIONS = "青岚散原方里用量最大的药是哪一味", [("A", "白术"), ("B", "防风"), ("C", "黄芪"), ("D", "甘草")]


@pytest.fixture
def asked(work, served):
    """The surroundings with the generator at the test's own server, and a reasoning for each question."""
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    options = work.options.model_copy(update={"reason_share": 1.0})
    return dataclasses.replace(work, settings=where, options=options)


def questions():
    """A document with a question made from it, an exam question, and a question that nothing can check."""
    sheet = document(TEXT)
    start = TEXT.index("利水渗湿")
    made = generate_qa.derived(
        sheet, kind="qa", text=None, question="茯苓的功效是什么？", answer="利水渗湿，健脾宁心。",
        evidence=[{"start": start, "end": start + 9}],
    )  # fmt: skip
    question, answer = write_choice(STEM, OPTIONS, "C")
    return rows(sheet, made, qa(question, answer, department="中医科"), qa("头晕怎么办？", "测血压。"))


def test_the_shortest_right_try_is_kept(asked, served):
    exam = [
        "思考：防风走表，量最大的应是它，故选B。\n答案：B",
        "思考：方名取自黄芪补气之功，它的用量居首，故选C。\n答案：C",
    ]
    exam += [
        "思考：黄芪补气固表，用量最大，所以选C。一定是它，别无其他。\n答案：C",
        "思考：黄芪补气固表，用量最大，但防风走表，故选B。\n答案：C",
    ]
    told = [f"思考：{GOOD}\n答案：清热解毒。", f"思考：{GOOD * 4}\n答案：利水渗湿，健脾宁心。"]
    told += [
        f"思考：{GOOD}\n答案：利水渗湿，健脾宁心。",
        "思考：根据文档，茯苓能利水渗湿，也能健脾宁心，二者都是功效。\n答案：利水渗湿，健脾宁心。",
    ]
    served.answer = lambda body: (exam if STEM in body["messages"][-1]["content"] else told)[body["seed"]]
    table = questions()
    outcome = model_outcome(reason, table, asked)
    check_ledger("reason", table, outcome)
    found = {row["question"][:4]: row for row in outcome.derived.to_dicts()}
    assert found["青岚散原"]["reasoning"] == "方名取自黄芪补气之功，它的用量居首，故选C。"
    assert found["青岚散原"]["answer"] == "C. 黄芪"
    assert found["茯苓的功"]["reasoning"] == GOOD
    (span,) = found["茯苓的功"]["evidence"]
    assert TEXT[span["start"] : span["end"]] == "利水渗湿，健脾宁心。"
    assert len(served.bodies) == 2 * 4
    told = outcome.figures
    assert (told["questions"], told["exam_questions"], told["reasoned"], told["tries"]) == (2, 1, 2, 8)
    assert told["rejected_tries"] == {
        "wrong answer": 1, "reasoning contradicts the answer": 1, "answer not in the document": 1,
        "reasoning repeats itself": 1, "reasoning speaks of the document": 1,
    }  # fmt: skip
    assert told["by_department"] == {"none": {"questions": 1, "kept": 1}, "中医科": {"questions": 1, "kept": 1}}
    message = shaped(outcome.derived.sort("id"), "reasoning")["messages"][0][1]
    assert message["role"] == "assistant"
    assert split_thought(message["content"])[0] in {row["reasoning"] for row in found.values()}


def test_a_question_without_a_right_try_leaves(asked, served):
    served.answer = lambda body: "思考：四味药里防风的用量最大，可见答案是防风。\n答案：B"
    outcome = model_outcome(reason, questions().filter(pl.col("question").str.contains(STEM)), asked)
    assert outcome.derived_dropped["reason"].to_list() == ["wrong answer"]
    assert len(outcome.derived) == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reasoning"][:20])
def test_a_reasoning_is_judged_by_its_form_and_end(case):
    thought = case["reasoning"] * case.get("times", 1)
    fault = reasoning.find_fault(thought)
    if "options" in case:
        fault = fault or reasoning.find_other_choice(thought, case["answer"], case["options"])
    else:
        fault = fault or reasoning.find_mention(thought) or reasoning.find_other_subject(thought, case["question"])
        fault = fault or reasoning.find_strange_quantity(thought, (case["text"], case["question"]))
        fault = fault or reasoning.find_contradiction(thought, case["question"], case["answer"])
    assert (fault and fault[0]) == case["fault"]


def test_a_thought_that_only_repeats_is_found():
    """Of the last forty cases, written when the rule was done, and of all: precision and recall."""
    told = {}
    for part, cases in ((None, ECHOES), ("last", [case for case in ECHOES if case["part"].startswith("written last")])):
        found = [bool(echoes.find_echo(case["reasoning"], case["question"], case["answer"])) for case in cases]
        right = sum(one and case["echo"] for one, case in zip(found, cases, strict=True))
        told[part] = right / sum(found), right / sum(case["echo"] for case in cases)
    assert len(ECHOES) == 171
    assert min(told["last"]) >= 0.8
    assert min(told[None]) >= 0.95


@pytest.mark.parametrize("case", EXAMS, ids=lambda case: case["reasoning"][:20])
def test_supposing_an_option_rules_it_out(case):
    named = case["options"][case["answer"]]
    fault = reasoning.find_other_choice(case["reasoning"], case["answer"], case["options"])
    fault = fault or echoes.find_echo(case["reasoning"], case["question"], named)
    assert (fault is None) is case["sound"]


def test_what_the_document_says_is_no_repetition():
    thought, question, answer = "书里还写着岁寒始采、来年用者佳，因此这样回答。", "青岚叶何时采？", "冬至前后采。"
    assert echoes.find_echo(thought, question, answer)
    assert echoes.find_echo(thought, question, answer, "青岚叶冬至前后采。岁寒始采、来年用者佳。") is None
    assert echoes.find_echo("采青岚叶，冬至前后采，因此就是冬至前后采。", question, answer, "青岚叶冬至前后采。")


def test_a_repeating_try_is_passed_over(asked, served):
    told = ["茯苓的功效是什么？茯苓的功效就是利水渗湿，健脾宁心。", GOOD]
    served.answer = lambda body: f"思考：{told[body['seed'] % 2]}\n答案：利水渗湿，健脾宁心。"
    outcome = model_outcome(reason, questions().filter(~pl.col("question").fill_null("").str.contains(STEM)), asked)
    assert outcome.derived["reasoning"].to_list() == [GOOD]
    assert outcome.figures["rejected_tries"] == {"reasoning only repeats question and answer": 2}


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"": "0", "Question": STEM, "A": "白术", "B": "防风", "C": "黄芪", "D": "甘草", "Answer": "C"}, "C"),
        ({"question": STEM, "option": {"A": "白术", "B": "防风", "C": ""}, "answer": "AB", "exam_type": "药师"}, "AB"),
        ({"Question": STEM, "Options": "A 白术\nB．防风", "Answer": "B"}, "B"),
        ({"question": STEM, "options": {"A": "白术", "B": "防风"}, "answer": "防风", "answer_idx": "B"}, "B"),
        ({"question": STEM, "options": [{"key": "A", "value": "白术"}, {"key": "B", "value": "防风"}], "answer": "A"},
         "A"),
        ({"question": STEM, "A": "白术", "B": "防风", "answer": "E"}, None),
    ],
)  # fmt: skip
def test_a_corpus_reads_exam_questions(row, right):
    plan = plan_for(row, {})
    assert plan.form == "choice"
    read = read_row(row, plan, Counter())
    if right is None:
        assert read == Miss("no answer")
        return
    ((options, letters),) = [read_choice(one.question, one.answer) for one in read]
    assert (letters, options["A"]) == (right, "白术")


def test_question_and_answer_columns_are_no_choice():
    assert plan_for(("q", "a"), {}).form == "qa"
    assert plan_for(("question", "answer", "options"), {"answer": "answer"}).form == "qa"
    assert read_choice("头晕怎么办？\nA. 测血压", "A. 测血压") is None
    assert read_choice("头晕怎么办？", "测血压。") is None


def test_an_exam_question_in_a_reasoning_leaves(work, tmp_path):
    (tmp_path / "test").mkdir()
    line = "0,青岚散原方里用量最大先煎半个时辰的药是哪一味,白术,防风,黄芪,甘草,C\n"
    (tmp_path / "test" / "herbs.csv").write_text(f",Question,A,B,C,D,Answer\n{line}", encoding="utf-8")
    where = work.settings.model_copy(update={"exams": str(tmp_path)})
    made = qa(
        "黄芪用多少？", "最多。", kind="reasoning", reasoning="青岚散原方里用量最大先煎半个时辰的药是哪一味，是黄芪。"
    )
    outcome = decontaminate.run(rows(made, qa("头晕怎么办？", "测血压。")), dataclasses.replace(work, settings=where))
    assert outcome.dropped["id"].to_list() == [made["id"]]


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("C", "C"), ("选C。", "C"), ("（C）", "C"), ("Ｃ", "C"), ("**C**", "C"), ("C. 黄芪", "C"), ("A、C", "AC"),
        ("C或D", ""), ("A型血", ""), ("C错误，选B", ""), ("C. 白术", ""), ("不知道", ""),
    ],
)  # fmt: skip
def test_a_choice_is_letters_and_nothing_else(answer, letters):
    assert reasoning.read_choice(answer, {"A": "白术", "B": "防风", "C": "黄芪", "D": "甘草"}) == letters
