"""Local exams: official names and wording, text kept as text, bad files refused."""

import json
from pathlib import Path

import pytest
import yaml

from chimed.errors import UserError
from chimed.evaluate.exams import GENERAL, MEDICAL, PAPER, group_of, in_order, read_exam
from chimed.evaluate.fetch import fetch_exams
from chimed.evaluate.tasks import FOLDER, FOUR, local_exams, official
from support.exam_mirror import HEADER, hub


def write(folder: Path, subject: str, rows: str, split: str = "test") -> Path:
    path = folder / split / f"{subject}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def test_an_option_stays_what_it_is(tmp_path) -> None:
    path = write(tmp_path, "genetics", '0,"甲，""乙""？",NA,1.50,,"1,000",B\n')
    assert read_exam(path).rows == [
        {"Question": '甲，"乙"？', "A": "NA", "B": "1.50", "C": "", "D": "1,000", "Answer": "B"}
    ]


@pytest.mark.parametrize(
    ("rows", "says"),
    [("0,问,a,b,c,d,E\n", "not one of A, B, C, D"), ("0,问,a\n", "3 values for 7 columns"), ("", "no questions")],
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
    assert exams.examples == 0
    write(source, "genetics", "0,另,a,b,c,d,A\n")
    other = tmp_path / "other"
    other.mkdir()
    changed = local_exams(source, other)
    assert changed.content != exams.content
    assert [task for task in exams.tasks if changed.revisions[task] != exams.revisions[task]] == ["cmmlu_genetics"]


def test_the_template_asks_as_lm_eval_does() -> None:
    lm_eval = pytest.importorskip("lm_eval")
    tasks = Path(lm_eval.__file__).parent / "tasks"
    ours = yaml.safe_load((FOLDER / FOUR).read_text(encoding="utf-8"))
    theirs = yaml.safe_load((tasks / "cmmlu" / "_default_template_yaml").read_text(encoding="utf-8"))
    ceval = yaml.safe_load((tasks / "ceval" / "_default_ceval_yaml").read_text(encoding="utf-8"))
    for name in ("output_type", "doc_to_text", "doc_to_choice", "doc_to_target", "metric_list"):
        assert ours[name] == theirs[name]
        assert str(ours[name]).lower() == str(ceval[name]).lower()
    assert official("physician")[0] == "ceval-valid_physician"


def test_hub_archives_become_official_tasks(tmp_path, monkeypatch) -> None:
    pytest.importorskip("lm_eval")
    asked = []

    def snapshot(repository: str, **how: object) -> str:
        asked.append((repository, how["repo_type"]))
        return str(tmp_path / "hub" / repository)

    hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    counts = fetch_exams(tmp_path / "exams")
    assert asked == [("haonan-li/cmmlu", "dataset"), ("ceval/ceval-exam", "dataset")]
    (tmp_path / "work").mkdir()
    exams = local_exams(tmp_path / "exams", tmp_path / "work")
    assert exams.tasks == (*PAPER, *MEDICAL, *GENERAL)
    assert counts["physician"] == counts["world_history"] == 1
    assert read_exam(tmp_path / "exams" / "test" / "physician.csv").rows[0]["A"] == "NA"
    assert read_exam(tmp_path / "exams" / "dev" / "physician.csv").rows[0]["Answer"] == "A"


def test_a_mirror_of_the_hub_is_a_folder(tmp_path) -> None:
    assert len(fetch_exams(tmp_path / "exams", hub(tmp_path / "hub"))) == len(PAPER + MEDICAL + GENERAL)
    assert set(json.loads((tmp_path / "exams" / "sources.json").read_text())) == {"haonan-li/cmmlu", "ceval/ceval-exam"}
    with pytest.raises(UserError, match="there is no folder"):
        fetch_exams(tmp_path / "exams", tmp_path / "nowhere")
    with pytest.raises(UserError, match="no haonan-li/cmmlu in"):
        fetch_exams(tmp_path / "exams", tmp_path)
    (tmp_path / "hub" / "ceval" / "ceval-exam" / "ceval-exam.zip").unlink()
    with pytest.raises(UserError, match=r"has no val/physician_val\.csv"):
        fetch_exams(tmp_path / "exams", tmp_path / "hub")


def test_a_hub_that_does_not_answer_is_said(tmp_path, monkeypatch) -> None:
    pytest.importorskip("huggingface_hub")

    def refused(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)
    with pytest.raises(UserError, match=r"ConnectionError: no route.*HF_ENDPOINT"):
        fetch_exams(tmp_path)
