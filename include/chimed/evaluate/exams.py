"""Which exams models sit: the paper's three (§4.1), other medical subjects, and a few without medicine (forgetting).

An exam is a file `test/<subject>.csv` in CMMLU's columns (`,Question,A,B,C,D,Answer`), with examples in
`dev/<subject>.csv`. There may be more options (E to H), several right letters (ABD), and a column `Instruction` with
the line that stands before its question. `fetch` gets the known ones from the hub.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError
from chimed.text.exams.exam_table import csv_rows, read_file

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

    Raises UserError for a file that is no whole table, and for what `exam_of` refuses.
    """
    return exam_of(*csv_rows(read_file(path), str(path)), str(path))


def exam_of(names: Sequence[str], rows: Sequence[dict[str, Any]], where: str) -> Exam:
    """Return the rows of a table with these columns as an exam. where: what an error calls the table.

    Whether an exam has questions with several right letters is a fact of the whole file, so that the form of a single
    question gives nothing away. Raises UserError for missing columns, for a row that cannot be scored, and for a table
    without questions.
    """
    if missing := [name for name in COLUMNS if name not in names]:
        raise UserError(
            f"{where} has no column {', '.join(missing)}; an exam has CMMLU's columns ,{','.join(COLUMNS)}, and this "
            f"one has {short(', '.join(names), 200) or 'none'}"
        )
    if not rows:
        raise UserError(f"{where} has no questions, only its columns")
    letters = "ABCD" + "".join(letter for letter in LETTERS[4:] if letter in names)
    made = []
    for number, row in enumerate(rows, 1):
        row = {name: row.get(name) or "" for name in (*COLUMNS, *letters, "Instruction")}
        if fault := _fault(row, letters):
            raise UserError(f"{where}, row {number}: {fault}")
        answer = "".join(sorted(set(row["Answer"].strip())))
        options = {letter: row[letter] for letter in letters}
        made.append({"Question": row["Question"], **options, "Answer": answer} | _instruction(row))
    return Exam(made, letters, any(len(row["Answer"]) > 1 for row in made))


def _fault(row: dict[str, str], letters: str) -> str | None:
    """Return why a row cannot be scored; None for one that can."""
    offered = [letter for letter in letters if letter in "ABCD" or row[letter].strip()]
    answer = set(row["Answer"].strip())
    if not row["Question"].strip():
        return "there is no question"
    if sum(bool(row[letter].strip()) for letter in letters) < 2:
        return "a question has two options or more, and this one has fewer"
    if not answer or not answer <= set(offered):
        return f"the answer is {short(row['Answer'], 20)!r}, not one of {', '.join(offered)}"
    if any("\ud800" <= character <= "\udfff" for value in row.values() for character in value):
        return "it holds half a character (a lone surrogate), which no file can keep"
    return None


def _instruction(row: dict[str, str]) -> dict[str, str]:
    said = row["Instruction"].strip()
    return {"Instruction": said} if said else {}


def write_exam(exam: Exam, path: Path) -> int:
    """Write an exam as `read_exam` reads it, whole or not at all, and return how many questions it has.

    A letter that no row has gets no column.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    more = [letter for letter in LETTERS[4:] if any(row.get(letter) for row in exam.rows)]
    first = ["Instruction"] if any(row.get("Instruction") for row in exam.rows) else []
    names = [*first, *COLUMNS[:-1], *more, COLUMNS[-1]]
    half = path.with_name(f".{path.name}.half")
    with half.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("", *names))
        for number, row in enumerate(exam.rows):
            writer.writerow((number, *(row.get(name, "") for name in names)))
    os.replace(half, path)
    return len(exam.rows)
