"""Fetch the exams the models are measured on into a folder: for `decontaminate`, and for evaluation without the hub.

CMMLU (arXiv 2306.09212) and C-Eval's validation split (arXiv 2305.08322), in CMMLU's columns: the same subjects as
from the hub, those of no medicine too.
"""

import csv
from pathlib import Path

from chimed.evaluate.exams import COLUMNS, GENERAL, MEDICAL, PAPER

CMMLU, CEVAL = "cmmlu_", "ceval-valid_"


def fetch_exams(folder: Path) -> dict[str, int]:
    """Writes `{dev,test}/<subject>.csv` from the Hugging Face Hub; returns the test questions of each subject."""
    from datasets import load_dataset

    counts = {}
    for task in PAPER + MEDICAL + GENERAL:
        if task.startswith(CMMLU):
            subject = task.removeprefix(CMMLU)
            exam, split = load_dataset("haonan-li/cmmlu", subject), "test"
        else:
            subject = task.removeprefix(CEVAL)
            exam, split = load_dataset("ceval/ceval-exam", subject), "val"
            exam = exam.rename_columns({"question": "Question", "answer": "Answer"})
        counts[subject] = _write(exam[split], folder / "test" / f"{subject}.csv")
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
