"""A mirror of the hub with the exams, small, in the form that each repository has."""

import csv
import io
import json
import zipfile
from pathlib import Path

from chimed.evaluate.exams import GENERAL, MEDICAL, PAPER
from chimed.evaluate.professional import CMB_TYPES

FIVE = {"A": "先煎", "B": "后下", "C": "包煎", "D": "另煎", "E": "冲服"}
HEADER = ",Question,A,B,C,D,Answer\n"
GOOD = 9  # questions that can be scored beside each one that cannot


def hub(folder: Path) -> Path:
    """CMMLU and C-Eval: an archive of CSV files each, beside a script that nobody runs."""
    subjects = {task.split("_", 1)[1]: task.startswith("cmmlu") for task in PAPER + MEDICAL + GENERAL}
    for name, cmmlu in (("haonan-li/cmmlu", True), ("ceval/ceval-exam", False)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name.split('/')[1]}.py").write_text("raise SystemExit('run')")
        with zipfile.ZipFile(folder / name / f"{name.split('/')[1]}.zip", "w") as archive:
            for subject in [subject for subject, of in subjects.items() if of == cmmlu]:
                if cmmlu:
                    archive.writestr(f"test/{subject}.csv", f"{HEADER}0,{subject}的题？,NA,1.50,丙,丁,C\n")
                    archive.writestr(f"dev/{subject}.csv", f"{HEADER}0,{subject}的例？,NA,1.50,丙,丁,C\n")
                else:
                    head = "id,question,A,B,C,D,answer"
                    archive.writestr(f"val/{subject}_val.csv", f"{head}\n0,{subject}的题？,NA,1.50,丙,丁,C\n")
                    archive.writestr(f"test/{subject}_test.csv", f"{head}\n0,没有答案,甲,乙,丙,丁,\n")
                    archive.writestr(
                        f"dev/{subject}_dev.csv", f'\ufeff{head},explanation\n0,例,甲,乙,丙,丁,A,"因为，\n所以"\n'
                    )
    return folder


def cmb(folder: Path, answers: bool = True) -> Path:
    """FreedomIntelligence/CMB: the test without its answers, which lie in a file of their own."""
    about = {"exam_type": "药师考试", "exam_class": "执业中药师", "exam_subject": "中药学"}
    single = about | {"question_type": "单项选择题"}
    several = about | {"question_type": "多项选择题"}
    doctor = {"exam_type": "医师考试", "exam_class": "执业医师", "exam_subject": "中医", "question_type": "单项选择题"}
    test = [
        {"id": 1, **single, "question": "煎煮车前子时应当采用的方法是", "option": FIVE},
        {"id": 2, **several, "question": "宜于先煎的药物有", "option": {**FIVE, "E": ""}},
        {"id": 3, **doctor, "question": "舌边属于哪一脏", "option": {"A": "心", "B": "肝胆", "C": "肾"}},
        {"id": 4, **doctor, "question": "答案不在选项里的题目", "option": {"A": "甲", "B": "乙"}},
    ]
    right = [{"id": n, "answer": answer} for n, answer in ((1, "C"), (2, "BAD"), (3, "B"), (4, "E"))]
    for n, kind in enumerate([kind for kind in CMB_TYPES if kind not in ("药师考试", "医师考试")] * 10, 5):
        test.append({"id": n, **single, "exam_type": kind, "question": f"{kind}第{n}题", "option": FIVE})
        right.append({"id": n, "answer": "A"})
    val = [
        {**single, "question": f"第{n}个例题的答案是", "answer": "A", "option": FIVE, "explanation": "略"}
        for n in range(8)
    ]
    place = folder / "FreedomIntelligence" / "CMB"
    for name, rows in (("CMB-test/CMB-test-choice-question-merge", test), ("CMB-val/CMB-val-merge", val)):
        path = place / "CMB-Exam" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=4), encoding="utf-8")
    if answers:
        (place / "CMB-test-choice-answer.json").write_text(json.dumps(right), encoding="utf-8")
    return folder


def cmexam(folder: Path, form: str = "json") -> Path:
    """fzkuji/CMExam: options as pairs in JSON lines; or the CSV of GitHub, all options in one cell."""
    place = folder / "fzkuji" / "CMExam"
    place.mkdir(parents=True)

    def rows(split: str) -> list[tuple[str, str | None]]:
        more = [(f"{split}的第{n}题是什么", "A") for n in range(GOOD - 2)]
        return [(f"{split}下列哪些药物含有麻黄碱", "ACE"), ("常用于止呕的药物是", "B"), *more, ("没有答案的题目", None)]

    for split, name in (("", "test"), ("例", "valid")):
        if form == "json":
            pairs = [{"key": key, "value": said} for key, said in FIVE.items()]
            lines = [
                {"Question": said, "Options": pairs, "Answer": right, "Explanation": "略"}
                for said, right in rows(split)
            ]
            text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
            (place / f"{name}.json").write_text(text, encoding="utf-8")
            continue
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(("Question", "Options", "Answer", "Explanation"))
        for said, right in rows(split):
            writer.writerow((said, "\n".join(f"{key} {text}" for key, text in FIVE.items()), right or "", "略"))
        csv_name = {"test": "test_with_annotations.csv", "valid": "val.csv"}[name]
        (place / csv_name).write_text(out.getvalue(), encoding="utf-8")
    return folder


def medqa(folder: Path) -> Path:
    """bigbio/med_qa: one archive, with the questions of three places, and those with four options beside."""
    place = folder / "bigbio" / "med_qa"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "data_clean.zip", "w") as archive:
        for split, asked in (("test", "患者舌红少苔，脉细数，辨证为"), ("dev", "患者舌淡，脉细，辨证为")):
            row = {"question": asked, "options": FIVE, "answer": "包煎", "meta_info": "卫生法规"}
            text = json.dumps(row | {"answer_idx": "C"}, ensure_ascii=False) + "\n"
            archive.writestr(f"data_clean/questions/Mainland/{split}.jsonl", text + json.dumps(row) + "\n")
            archive.writestr(f"data_clean/questions/Mainland/4_options/{split}.jsonl", "not this")
            archive.writestr(f"data_clean/questions/US/{split}.jsonl", "nor this")
    return folder


def whole(folder: Path) -> Path:
    """All of them."""
    return medqa(cmexam(cmb(hub(folder))))
