"""CMB-Exam, CMExam and MedQA-zh from folders in the form their repositories have, as lm-eval's tasks, and what is
decontaminated against."""

from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.evaluate import professional
from chimed.evaluate.exams import PROFESSIONAL, read_exam
from chimed.evaluate.fetch import fetch_exams
from chimed.evaluate.tasks import local_exams
from chimed.evaluate.tasks.written_letters import score, written
from chimed.text.exams.exam_questions import read_questions
from chimed.text.exams.exam_search import Search
from support.exam_mirror import cmb, cmexam, medqa


def test_cmb_is_six_exams(tmp_path, caplog) -> None:
    found = professional.read("cmb", cmb(tmp_path) / "FreedomIntelligence" / "CMB")
    assert (
        "1 of 44 questions cannot be scored and are left out, the first is number 4: its answer is 'E'" in caplog.text
    )
    assert {subject: len(splits["test"][1].rows) for subject, splits in found.items()} == {
        "cmb_pharmacist": 2,
        "cmb_physician": 1,
        "cmb_nurse": 10,
        "cmb_technician": 10,
        "cmb_undergraduate": 10,
        "cmb_postgraduate": 10,
    }
    first, second = found["cmb_pharmacist"]["test"][1].rows
    assert (
        first["Instruction"]
        == "以下是中国药师考试中执业中药师考试的一道单项选择题，不需要做任何分析和解释，直接输出答案选项。"
    )
    assert (first["Answer"], second["Answer"], second["E"]) == ("C", "ABD", "")
    assert len(found["cmb_pharmacist"]["dev"][1].rows) == professional.EXAMPLES
    cmb(tmp_path / "without", answers=False)
    with pytest.raises(UserError, match=r"has no CMB-test-choice-answer.json: the test's answers lie in data/"):
        professional.read("cmb", tmp_path / "without" / "FreedomIntelligence" / "CMB")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_cmexam_in_both_forms(tmp_path, caplog, form: str) -> None:
    found = professional.read("cmexam", cmexam(tmp_path, form) / "fzkuji" / "CMExam")
    rows = found["cmexam"]["test"][1].rows
    assert caplog.text.count("1 of 10 questions cannot be scored") == 2  # of test and validation each
    assert [row["Answer"] for row in rows[:2]] == ["ACE", "B"]
    assert (len(rows), rows[0]["C"]) == (9, "包煎")


def test_medqa_has_five_options_and_one_answer(tmp_path) -> None:
    found = professional.read("medqa", medqa(tmp_path) / "bigbio" / "med_qa")
    rows = found["medqa_zh"]["test"][1].rows
    assert ([row["Answer"] for row in rows], rows[0]["E"]) == (["C", "C"], "冲服")


@pytest.fixture
def exams(tmp_path, monkeypatch) -> Path:
    """A folder with all of them, as `chimed exams <folder> --with …` leaves it."""
    monkeypatch.setattr("chimed.evaluate.fetch.EXAMS", {})
    mirror = medqa(cmexam(cmb(tmp_path / "hub"), "json"))
    counts = fetch_exams(tmp_path / "exams", mirror, ("cmb", "cmexam", "medqa"))
    assert counts | {"cmb_physician": 1, "cmb_pharmacist": 2, "cmexam": 9, "medqa_zh": 2} == counts
    assert len(counts) == 8
    with pytest.raises(UserError, match="cmb, cmexam, medqa"):
        fetch_exams(tmp_path / "exams", mirror, ("cmd",))
    return tmp_path / "exams"


def test_decontaminate_knows_their_questions(exams: Path) -> None:
    named = {one.name: one for one in read_questions(str(exams))}
    assert set(named) >= {"cmb_pharmacist 0", "cmb_pharmacist 1", "cmexam 0", "medqa_zh 0"}
    assert len(named["cmb_pharmacist 0"].options) == 5
    assert len(named["cmb_physician 0"].options) == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("药师考试。煎煮车前子时应当采用的方法是（）A先煎 B后下 C包煎 D另煎 E冲服。答案：C", {"cmb_pharmacist 0"}),
        ("下列哪些药物含有麻黄碱？A、先煎；B、后下；C、包煎；D、另煎；E、冲服。选ACE。", {"cmexam 0"}),
        (
            "問：患者舌紅少苔，脈細數，辨證為？甲，包煎；乙，先煎；丙，後下；丁，另煎；戊，沖服。",
            {"medqa_zh 0", "medqa_zh 1"},
        ),
        ("车前子宜包煎，以免细小的种子浮在水面，煎好的药汁也更清。", set()),
        ("含有麻黄碱的药物在运动员中是禁用的，服药前应当告诉医生。", set()),
    ],
)
def test_decontaminate_finds_them_with_five_options(exams: Path, text: str, named: set) -> None:
    found = {one.question.name for one in Search(read_questions(str(exams))).find(text) if one.why}
    assert (found and found <= named) or found == named


def test_they_are_tasks_in_lm_evals_form(exams: Path, tmp_path: Path) -> None:
    tasks = pytest.importorskip("lm_eval.tasks")
    work = tmp_path / "work"
    work.mkdir()
    made = local_exams(exams, work)
    assert made.tasks == PROFESSIONAL
    assert made.several == ("cmb_pharmacist", "cmexam")  # CMB's doctors have one right letter each here
    found = tasks.TaskManager(include_path=str(work), include_defaults=False).load(list(made.tasks))["tasks"]
    chemist, doctor = found["cmb_pharmacist"], found["cmb_physician"]
    asked = chemist.doc_to_text(list(chemist.test_docs())[1])
    assert asked.startswith("以下是中国药师考试中执业中药师考试的一道多项选择题")
    assert asked.endswith("宜于先煎的药物有\nA. 先煎\nB. 后下\nC. 包煎\nD. 另煎\n答案：")
    doc = next(iter(doctor.test_docs()))
    assert (doctor.doc_to_choice(doc), doctor.doc_to_target(doc)) == (["A", "B", "C"], 1)
    assert chemist.process_results(list(chemist.test_docs())[1], ["答案：A、B、D。"]) == {"acc": 1.0}
    assert found["medqa_zh"].config.output_type == "multiple_choice"
    assert found["cmexam"].doc_to_text(next(iter(found["cmexam"].test_docs()))).startswith("下列哪些药物")


@pytest.mark.parametrize(
    ("reply", "single", "letters"),
    [
        ("ABD", False, "ABD"),
        ("DBA", False, "ABD"),  # a set: the order does not matter
        (" A、B、D。", False, "ABD"),
        ("ＡＢ", False, "AB"),  # full width
        ("答案是BC。因为A错误", False, "BC"),
        ("正确选项为：C", False, "C"),
        ("A和C都对", False, "AC"),
        ("A\nB", False, "A"),  # the answer is a line
        ("C，不选 A", True, "C"),
        ("ATP 含量高，选B", False, "B"),
        ("补充 Ca 与 VitB 后选E", False, "E"),
        ("AAB", False, "AB"),
        ("F", False, ""),  # not offered
        ("以上都对", False, ""),
        ("", False, ""),
        ("a", False, ""),
    ],
)  # fmt: skip
def test_letters_of_a_reply(reply: str, single: bool, letters: str) -> None:
    assert written(reply, "ABCDE", single) == letters


def test_an_answer_needs_exactly_its_letters() -> None:
    doc = {"letters": list("ABCDE"), "Answer": "ABD", "Instruction": ""}
    assert [score(doc, [reply])["acc"] for reply in ("ABD", "AB", "ABDE", "")] == [1.0, 0.0, 0.0, 0.0]
    single = doc | {"Answer": "B", "Instruction": "以下是一道单项选择题"}
    assert score(single, ["B。A 是错的"])["acc"] == 1.0


def test_multiple_answers_are_given_in_writing(tmp_path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(",Question,A,B,C,D,E,Answer\n0,问,甲,乙,丙,丁,戊,E\n1,问,甲,乙,丙,丁,,CA\n", encoding="utf-8")
    exam = read_exam(path)
    assert (exam.letters, exam.several, [row["Answer"] for row in exam.rows]) == ("ABCDE", True, ["E", "AC"])
    path.write_text(",Question,A,B,C,D,E,Answer\n0,问,甲,乙,丙,丁,,E\n", encoding="utf-8")
    with pytest.raises(UserError, match="the answer is 'E', not one of A, B, C, D"):
        read_exam(path)
