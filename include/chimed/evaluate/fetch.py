"""Fetch the exams the models are measured on into a folder: for `decontaminate`, and for evaluation without the hub.

CMMLU (arXiv 2306.09212) and C-Eval's validation split (arXiv 2305.08322), in CMMLU's columns.
"""

import csv
from pathlib import Path

CMMLU = ("genetics", "college_medicine", "clinical_knowledge", "professional_medicine", "traditional_chinese_medicine",
         "anatomy", "nutrition", "virology")  # fmt: skip
CEVAL = ("physician", "basic_medicine", "clinical_medicine")
COLUMNS = ("Question", "A", "B", "C", "D", "Answer")


def fetch_exams(folder: Path) -> dict[str, int]:
    """Writes `{dev,test}/<subject>.csv` from the Hugging Face Hub; returns the test questions of each subject."""
    from datasets import load_dataset

    counts = {}
    for subject in CMMLU:
        exam = load_dataset("haonan-li/cmmlu", subject)
        counts[subject] = _write(exam["test"], folder / "test" / f"{subject}.csv")
        _write(exam["dev"], folder / "dev" / f"{subject}.csv")
    for subject in CEVAL:
        exam = load_dataset("ceval/ceval-exam", subject).rename_columns({"question": "Question", "answer": "Answer"})
        counts[subject] = _write(exam["val"], folder / "test" / f"{subject}.csv")
        _write(exam["dev"], folder / "dev" / f"{subject}.csv")
    return counts


def _write(rows, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("", *COLUMNS))
        for number, row in enumerate(rows):
            writer.writerow((number, *(row[name] for name in COLUMNS)))
    return len(rows)
