"""Local exams: official names and wording, text kept as text, bad files refused."""

from pathlib import Path

import pytest
import yaml

from chimed.errors import UserError
from chimed.evaluate.exams import PAPER, TEMPLATE, group_of, hub_exams, in_order, local_exams, official, read_exam
from chimed.evaluate.fetch import fetch_exams

HEADER = ",Question,A,B,C,D,Answer\n"


def write(folder: Path, subject: str, rows: str, split: str = "test") -> Path:
    path = folder / split / f"{subject}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def test_an_option_stays_what_it_is(tmp_path) -> None:
    path = write(tmp_path, "genetics", '0,"甲，""乙""？",NA,1.50,,"1,000",B\n')
    assert read_exam(path) == [{"Question": '甲，"乙"？', "A": "NA", "B": "1.50", "C": "", "D": "1,000", "Answer": "B"}]


@pytest.mark.parametrize(
    ("rows", "says"), [("0,问,a,b,c,d,E\n", "not one of A, B, C, D"), ("0,问,a\n", "columns"), ("", "no questions")]
)
def test_bad_files_are_refused(tmp_path, rows: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_exam(write(tmp_path, "genetics", rows))


def test_no_exams_at_all(tmp_path) -> None:
    with pytest.raises(UserError, match="CHIMED_EXAMS"):
        local_exams(tmp_path, tmp_path)


def test_tasks_order_and_groups() -> None:
    assert in_order(["exam_x", "cmmlu_anatomy", *reversed(PAPER)]) == (*PAPER, "cmmlu_anatomy", "exam_x")
    assert [group_of(task) for task in ("cmmlu_genetics", "cmmlu_virology", "cmmlu_world_history", "exam_x")] == [
        "paper",
        "medical",
        "general",
        "other",
    ]


def test_local_tasks_carry_official_names(tmp_path) -> None:
    pytest.importorskip("lm_eval")
    source, work = tmp_path / "exams", tmp_path / "work"
    work.mkdir()
    for subject in ("genetics", "college_medicine", "physician", "anatomy", "odd"):
        write(source, subject, "0,问,a,b,c,d,A\n")
    write(source, "genetics", "0,例,a,b,c,d,A\n", "dev")
    exams = local_exams(source, work)
    assert exams.tasks == (*PAPER, "cmmlu_anatomy", "exam_odd")
    genetics = yaml.safe_load((work / "cmmlu_genetics.yaml").read_text(encoding="utf-8"))
    assert genetics["description"] == "以下是关于遗传学的单项选择题，请直接给出正确答案的选项。\n\n"
    assert genetics["fewshot_split"] == "dev"
    assert "fewshot_split" not in yaml.safe_load((work / "cmmlu_anatomy.yaml").read_text(encoding="utf-8"))
    write(source, "genetics", "0,另,a,b,c,d,A\n")
    other = tmp_path / "other"
    other.mkdir()
    assert local_exams(source, other).content != exams.content


def test_the_template_asks_as_lm_eval_does() -> None:
    lm_eval = pytest.importorskip("lm_eval")
    tasks = Path(lm_eval.__file__).parent / "tasks"
    ours = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    theirs = yaml.safe_load((tasks / "cmmlu" / "_default_template_yaml").read_text(encoding="utf-8"))
    ceval = yaml.safe_load((tasks / "ceval" / "_default_ceval_yaml").read_text(encoding="utf-8"))
    for name in ("output_type", "doc_to_text", "doc_to_choice", "doc_to_target", "metric_list"):
        assert ours[name] == theirs[name]
        assert str(ours[name]).lower() == str(ceval[name]).lower()
    assert official("physician")[0] == "ceval-valid_physician"


def test_what_is_fetched_is_what_the_hub_would_be_asked_for(tmp_path, monkeypatch) -> None:
    """The hub is played here: what is written must come back as the official tasks, all of them."""
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("lm_eval")

    def hub(name: str, subject: str):
        question, answer = ("Question", "Answer") if name == "haonan-li/cmmlu" else ("question", "answer")
        row = {"id": 0, question: f"{subject}？", "A": "甲", "B": "乙", "C": "丙", "D": "丁", answer: "C"}
        test = "test" if name == "haonan-li/cmmlu" else "val"
        return datasets.DatasetDict({split: datasets.Dataset.from_list([row]) for split in (test, "dev")})

    monkeypatch.setattr(datasets, "load_dataset", hub)
    counts = fetch_exams(tmp_path / "exams")
    (tmp_path / "work").mkdir()
    assert local_exams(tmp_path / "exams", tmp_path / "work").tasks == hub_exams().tasks
    assert counts["physician"] == counts["world_history"] == 1
    assert read_exam(tmp_path / "exams" / "test" / "physician.csv")[0]["Answer"] == "C"
