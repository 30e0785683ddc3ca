"""Which exams models sit: the paper's three (§4.1), other medical subjects, and a few without medicine (forgetting).

An exam is a file `test/<subject>.csv` in CMMLU's columns (`,Question,A,B,C,D,Answer`), with examples in
`dev/<subject>.csv`. There may be more options (E to H), several right letters (ABD), and a column `Instruction` with
the line that stands before its question. `fetch` gets the known ones from the hub.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.errors import UserError

LETTERS = "ABCDEFGH"
COLUMNS = ("Question", "A", "B", "C", "D", "Answer")

# Table 6: CMMLU genetics and college medicine, C-Eval physician
PAPER = ("cmmlu_genetics", "cmmlu_college_medicine", "ceval-valid_physician")
MEDICAL = (
    "cmmlu_anatomy",
    "cmmlu_clinical_knowledge",
    "cmmlu_nutrition",
    "cmmlu_professional_medicine",
    "cmmlu_traditional_chinese_medicine",
    "cmmlu_virology",
    "ceval-valid_basic_medicine",
    "ceval-valid_clinical_medicine",
)
# The exams of the professions: CMB-Exam by its six types (arXiv 2308.08833), CMExam (arXiv 2306.03030), MedQA's
# questions from mainland China (arXiv 2009.13081)
PROFESSIONAL = (
    "cmb_physician",
    "cmb_nurse",
    "cmb_technician",
    "cmb_pharmacist",
    "cmb_undergraduate",
    "cmb_postgraduate",
    "cmexam",
    "medqa_zh",
)
GENERAL = (
    "cmmlu_chinese_literature",
    "cmmlu_college_law",
    "cmmlu_elementary_mathematics",
    "cmmlu_world_history",
)


@dataclass(frozen=True)
class Exam:
    """A split of an exam. letters: of its options; several: whether a question may have more than one right letter.

    rows: dicts with Question, Answer, Instruction (empty where there is none) and one key for each letter.
    """

    rows: list[dict[str, str]]
    letters: str
    several: bool


def group_of(task: str) -> str:
    """Return the group of a task: paper, medical, professional, general (forgetting) or other."""
    groups = {"paper": PAPER, "medical": MEDICAL, "professional": PROFESSIONAL, "general": GENERAL}
    return next((name for name, tasks in groups.items() if task in tasks), "other")


def in_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Return task names, the paper's first, then medical, professional, general and other ones."""
    order = PAPER + MEDICAL + PROFESSIONAL + GENERAL
    return tuple(sorted(tasks, key=lambda task: (order.index(task) if task in order else len(order), task)))


def read_exam(path: Path) -> Exam:
    """Return an exam's file; every value is text: an option "NA" or "1.50" stays what it is.

    Whether an exam has questions with several right letters is a fact of the whole file, so that the form of a single
    question gives nothing away. Raises UserError for missing columns, for an answer that is not among the letters, and
    for a file without questions.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        found, named = list(reader), reader.fieldnames or ()
    letters = "ABCD" + "".join(letter for letter in LETTERS[4:] if letter in named)
    rows = []
    for number, row in enumerate(found, 1):
        if any(row.get(name) is None for name in COLUMNS):
            raise UserError(f"{path}, row {number}: not in CMMLU's columns ,{','.join(COLUMNS)}")
        answer = "".join(sorted(set(row["Answer"].strip())))
        offered = [letter for letter in letters if letter in "ABCD" or row[letter]]
        if not answer or not set(answer) <= set(offered):
            raise UserError(f"{path}, row {number}: the answer is {row['Answer']!r}, not one of {', '.join(offered)}")
        options = {letter: row[letter] or "" for letter in letters}
        rows.append({"Question": row["Question"], **options, "Answer": answer} | _instruction(row))
    if not rows:
        raise UserError(f"{path} has no questions")
    return Exam(rows, letters, any(len(row["Answer"]) > 1 for row in rows))


def _instruction(row: dict[str, Any]) -> dict[str, str]:
    said = (row.get("Instruction") or "").strip()
    return {"Instruction": said} if said else {}


def write_exam(rows: list[dict[str, Any]], path: Path) -> int:
    """Write rows as `read_exam` reads them, and returns how many; a letter that no row has gets no column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    more = [letter for letter in LETTERS[4:] if any(row.get(letter) for row in rows)]
    first = ["Instruction"] if any(row.get("Instruction") for row in rows) else []
    names = [*first, *COLUMNS[:-1], *more, COLUMNS[-1]]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("", *names))
        for number, row in enumerate(rows):
            writer.writerow((number, *(row.get(name, "") for name in names)))
    return len(rows)
