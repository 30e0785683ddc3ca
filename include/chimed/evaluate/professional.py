"""CMB-Exam, CMExam and MedQA-zh in the forms their repositories have, read as exams.

- CMB-Exam (arXiv 2308.08833), FreedomIntelligence/CMB: a JSON list of questions, and one with the test's answers. The
  answers lie in the GitHub repository (`data/CMB-test-choice-answer.json`); where the hub's has none, that file is
  wanted in a mirror.
- CMExam (arXiv 2306.03030), fzkuji/CMExam: JSON with options as pairs; or the CSV files of its GitHub repository, with
  all options in one cell.
- MedQA (arXiv 2009.13081), bigbio/med_qa: `data_clean.zip`, of which the questions from mainland China with five
  options.

What has no answer or fewer than two options cannot be scored: it is left out, and counted. Where that is more than a
few, the file is not what it should be, and is refused.
"""

import logging
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError
from chimed.evaluate.exams import COLUMNS, LETTERS, Exam, exam_of
from chimed.evaluate.repository_files import Found, find, wanted
from chimed.text.exams.exam_table import csv_rows, json_rows
from chimed.text.exams.options import option_pairs

log = logging.getLogger("chimed")

EXAMPLES = 5  # questions of the validation split that are kept as examples, as CMMLU and C-Eval have five
MOST_LEFT = 0.1  # share of a file's questions without an answer among their options; ours: the exams have few

# CMB's six types of exam and our subjects
CMB_TYPES = {
    "医师考试": "cmb_physician",
    "护理考试": "cmb_nurse",
    "医技考试": "cmb_technician",
    "药师考试": "cmb_pharmacist",
    "专业知识考试": "cmb_undergraduate",
    "医学考研": "cmb_postgraduate",
}
# CMB's own line before a question (its README, "Answer-only Prompt")
CMB_LINE = "以下是中国{exam_type}中{exam_class}考试的一道{question_type}，不需要做任何分析和解释，直接输出答案选项。"
CMB_ANSWERS = "CMB-test-choice-answer.json"

REPOSITORIES = {
    "cmb": ("FreedomIntelligence/CMB", ("*CMB-test*.json", "*CMB-val-merge.json", "*.zip")),
    "cmexam": ("fzkuji/CMExam", ("*test*.json*", "*val*.json*", "*test*.csv", "*val*.csv")),
    "medqa": ("bigbio/med_qa", ("data_clean.zip", "*Mainland/*.jsonl")),
}
# by subject, its splits; each with what an error calls it
Splits = dict[str, dict[str, tuple[str, Exam]]]
Rows = dict[str, list[dict[str, str]]]


class Unusable(Exception):
    """A question cannot be scored; the message says why."""


def read(exam: str, folder: Path) -> Splits:
    """Read the subjects of a repository's folder. Raises UserError for a file that is missing, broken or another's."""
    return {"cmb": _cmb, "cmexam": _cmexam, "medqa": _medqa}[exam](folder)


def _cmb(folder: Path) -> Splits:
    test = wanted(folder, ["CMB-test-choice-question-merge.json"])
    questions = json_rows(test.content, test.where)
    known = find(folder, CMB_ANSWERS)
    if known is None and not any(row.get("answer") for row in questions):
        raise UserError(
            f"{folder} has no {CMB_ANSWERS}: the test's answers lie in data/ of CMB's GitHub repository; give a "
            "folder with them and the hub's files by --mirror"
        )
    right = json_rows(known.content, known.where) if known else []
    answers = {str(row.get("id")): row.get("answer") for row in right}
    whole = [row | {"answer": row.get("answer") or answers.get(str(row.get("id")))} for row in questions]
    answered = sum(bool(row["answer"]) for row in whole)
    if known and answered < (1 - MOST_LEFT) * len(whole):
        raise UserError(
            f"{known.where} has answers to {answered:,} of the {len(whole):,} questions of {test.where}; they do not "
            "belong together"
        )
    dev = wanted(folder, ["CMB-val-merge.json"])
    splits = {
        "test": (test, _questions(test.where, whole, _cmb_question)),
        "dev": (dev, _questions(dev.where, json_rows(dev.content, dev.where), _cmb_question)),
    }
    if missing := [kind for kind, subject in CMB_TYPES.items() if subject not in splits["test"][1]]:
        raise UserError(f"{test.where} has no questions of {', '.join(missing)}; CMB's test has six types of exam")
    return _with_examples(splits)


def _cmb_question(row: dict[str, Any]) -> tuple[str, dict[str, str]]:
    kind = str(row.get("exam_type", "")).strip()
    if kind not in CMB_TYPES:
        raise Unusable(f"exam_type is {short(kind, 40)!r}, none of CMB's six")
    about = {name: str(row.get(name, "")).strip() for name in ("exam_type", "exam_class", "question_type")}
    made = _row(row, "question", option_pairs(row.get("option")), row.get("answer"))
    return CMB_TYPES[kind], made | {"Instruction": CMB_LINE.format(**about)}


def _cmexam(folder: Path) -> Splits:
    names = {
        "test": ["test.json", "test.jsonl", "test_with_annotations.csv", "test.csv"],
        "dev": ["valid.json", "val.json", "valid.jsonl", "val.csv", "valid.csv"],
    }

    def question(row: dict[str, Any]) -> tuple[str, dict[str, str]]:
        return "cmexam", _row(row, "Question", option_pairs(row.get("Options")), row.get("Answer"))

    splits = {}
    for split, forms in names.items():
        file = wanted(folder, forms)
        of_csv = file.where.partition(" in ")[0].endswith(".csv")
        rows = csv_rows(file.content, file.where)[1] if of_csv else json_rows(file.content, file.where)
        splits[split] = (file, _questions(file.where, rows, question))
    return _with_examples(splits)


def _medqa(folder: Path) -> Splits:
    def question(row: dict[str, Any]) -> tuple[str, dict[str, str]]:
        options = option_pairs(row.get("options"))
        answer = row.get("answer_idx") or next((key for key, said in options if said == row.get("answer")), None)
        return "medqa_zh", _row(row, "question", options, answer)

    splits = {}
    for split in ("test", "dev"):
        file = wanted(folder, [f"Mainland/{split}.jsonl"])
        splits[split] = (file, _questions(file.where, json_rows(file.content, file.where), question))
    return _with_examples(splits)


def _questions(
    where: str, rows: Iterable[dict[str, Any]], question: Callable[[dict[str, Any]], tuple[str, dict[str, str]]]
) -> Rows:
    """Return a file's questions by subject. question: makes a row (subject, question) or raises `Unusable`.

    Raises UserError where more than `MOST_LEFT` of them cannot be scored, with the first of those.
    """
    found: Rows = {}
    left, many = [], 0
    for number, row in enumerate(rows, 1):
        many = number
        try:
            subject, made = question(row)
        except Unusable as why:
            left.append(f"number {number:,}: {why}")
        else:
            found.setdefault(subject, []).append(made)
    if not many:
        raise UserError(f"{where} has no questions")
    if len(left) > MOST_LEFT * many:
        raise UserError(
            f"{where}: {len(left):,} of {many:,} questions cannot be scored, the first is {left[0]}; is it another "
            "exam's file?"
        )
    if left:
        log.warning(
            "%s: %d of %d questions cannot be scored and are left out, the first is %s", where, len(left), many, left[0]
        )
    return found


def _with_examples(splits: dict[str, tuple[Found, Rows]]) -> Splits:
    """Return the subjects that have a test, each with as few examples as CMMLU has."""
    found: Splits = {}
    for subject in splits["test"][1]:
        for split, (file, rows) in splits.items():
            if taken := rows.get(subject, [])[: EXAMPLES if split == "dev" else None]:
                where = f"{file.where} ({subject})"
                exam = exam_of((*COLUMNS, *LETTERS[4:]), taken, where)
                found.setdefault(subject, {})[split] = (where, exam)
    return found


# --- a question ---------------------------------------------------------------------------------------------------


def _row(row: dict[str, Any], name: str, options: list[tuple[str, str]], answer: Any) -> dict[str, str]:
    """Make a row of an exam. name: the field of the question. Raises `Unusable` for what cannot be scored."""
    question = row.get(name)
    if not isinstance(question, str) or not question.strip():
        raise Unusable(f"it has no {name}; its fields are {short(', '.join(map(str, row)), 100)}")
    said = {letter: text.strip() for letter, text in options if letter in set(LETTERS) and text.strip()}
    if len(said) < 2:
        raise Unusable(f"it has {len(said)} of two or more options, A to {LETTERS[-1]}")
    given = unicodedata.normalize("NFKC", "".join(map(str, answer)) if isinstance(answer, list) else str(answer or ""))
    right = sorted(set(given.upper()) - set(" ,、;"))
    if not right:
        raise Unusable("it has no answer")
    if not set(right) <= {*said}:
        raise Unusable(f"its answer is {short(given, 20)!r}, and its options are {''.join(said)}")
    if any("\ud800" <= character <= "\udfff" for text in (question, *said.values()) for character in text):
        raise Unusable("it holds half a character (a lone surrogate)")
    options_of = {letter: said.get(letter, "") for letter in LETTERS}
    return {"Question": question.strip()} | options_of | {"Answer": "".join(right)}
