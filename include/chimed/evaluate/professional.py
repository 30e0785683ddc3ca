"""CMB-Exam, CMExam and MedQA-zh in the forms their repositories have, read as rows of `exams`.

- CMB-Exam (arXiv 2308.08833), FreedomIntelligence/CMB: a JSON list of questions, and one with the test's answers. The
  answers lie in the GitHub repository (`data/CMB-test-choice-answer.json`); where the hub's has none, that file is
  wanted in a mirror.
- CMExam (arXiv 2306.03030), fzkuji/CMExam: JSON with options as pairs; or the CSV files of its GitHub repository, with
  all options in one cell.
- MedQA (arXiv 2009.13081), bigbio/med_qa: `data_clean.zip`, of which the questions from mainland China with five
  options.

What has no answer or fewer than two options cannot be scored: it is left out, and counted.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from chimed.errors import UserError
from chimed.evaluate.exams import LETTERS
from chimed.text.exams.options import option_pairs

MOST_BYTES = 200_000_000  # of one file, unpacked: CMB's test has about 8 MB, its training questions 150 MB
EXAMPLES = 5  # questions of the validation split that are kept as examples, as CMMLU and C-Eval have five

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
# by subject, its rows of the test and of the examples
Splits = dict[str, dict[str, list[dict[str, Any]]]]


def read(exam: str, folder: Path) -> tuple[Splits, int]:
    """Read the subjects of a repository's folder, and count the rows left out. Raises UserError for another form."""
    return {"cmb": _cmb, "cmexam": _cmexam, "medqa": _medqa}[exam](folder)


def _cmb(folder: Path) -> tuple[Splits, int]:
    questions = _json(_wanted(folder, "CMB-test-choice-question-merge.json"))
    known = _file(folder, CMB_ANSWERS)
    if known is None and not any(row.get("answer") for row in questions):
        raise UserError(
            f"{folder} has no {CMB_ANSWERS}: the test's answers lie in data/ of CMB's GitHub repository; give a "
            "folder with them and the hub's files by --mirror"
        )
    answers = {row.get("id"): row.get("answer") for row in _json(known)} if known else {}
    found: Splits = {subject: {"test": [], "dev": []} for subject in CMB_TYPES.values()}
    left = 0
    for split, rows in (("test", questions), ("dev", _json(_wanted(folder, "CMB-val-merge.json")))):
        for row in rows:
            answer = row.get("answer") or (answers.get(row.get("id")) if split == "test" else None)
            subject = CMB_TYPES.get(str(row.get("exam_type", "")).strip())
            made = _row(row.get("question"), option_pairs(row.get("option")), answer)
            if made is None or subject is None:
                left += 1
                continue
            made["Instruction"] = CMB_LINE.format(
                **{name: str(row.get(name, "")).strip() for name in ("exam_type", "exam_class", "question_type")}
            )
            found[subject][split].append(made)
    return _with_examples(found), left


def _cmexam(folder: Path) -> tuple[Splits, int]:
    found: Splits = {"cmexam": {"test": [], "dev": []}}
    left = 0
    names = {
        "test": ["test.json", "test.jsonl", "test_with_annotations.csv", "test.csv"],
        "dev": ["valid.json", "val.json", "valid.jsonl", "val.csv", "valid.csv"],
    }
    for split, forms in names.items():
        name, held = _first(folder, forms)
        for row in _csv(held) if name.endswith(".csv") else _json(held):
            made = _row(row.get("Question"), option_pairs(row.get("Options")), row.get("Answer"))
            if made is None:
                left += 1
            else:
                found["cmexam"][split].append(made)
    return _with_examples(found), left


def _medqa(folder: Path) -> tuple[Splits, int]:
    found: Splits = {"medqa_zh": {"test": [], "dev": []}}
    left = 0
    for split in ("test", "dev"):
        for row in _json(_wanted(folder, f"Mainland/{split}.jsonl")):
            options = option_pairs(row.get("options"))
            answer = row.get("answer_idx") or next((key for key, said in options if said == row.get("answer")), None)
            made = _row(row.get("question"), options, answer)
            if made is None:
                left += 1
            else:
                found["medqa_zh"][split].append(made)
    return _with_examples(found), left


def _with_examples(found: Splits) -> Splits:
    """Return the subjects that have a test, each with as few examples as CMMLU has."""
    return {
        subject: {"test": splits["test"], "dev": splits["dev"][:EXAMPLES]}
        for subject, splits in found.items()
        if splits["test"]
    }


# --- a question ---------------------------------------------------------------------------------------------------


def _row(question: Any, options: list[tuple[str, str]], answer: Any) -> dict[str, Any] | None:
    """Make a row of an exam; None for what cannot be scored: no text, too few options, an answer that is no option."""
    said = {letter: text.strip() for letter, text in options if letter in LETTERS and text.strip()}
    right = sorted(set(answer) - set(" ,，、")) if isinstance(answer, str) else []
    if not isinstance(question, str) or not question.strip() or len(said) < 2 or not right or not set(right) <= {*said}:
        return None
    return (
        {"Question": question.strip()}
        | {letter: said.get(letter, "") for letter in LETTERS}
        | {"Answer": "".join(right)}
    )


# --- files --------------------------------------------------------------------------------------------------------


def _json(text: bytes) -> list[dict[str, Any]]:
    """Return rows of a JSON list, or of JSON lines. Raises UserError for anything else."""
    said = text.decode("utf-8-sig")
    try:
        found = json.loads(said) if said.lstrip()[:1] == "[" else [json.loads(row) for row in _lines(said)]
    except (ValueError, RecursionError) as error:
        raise UserError(f"an exam's file is not JSON: {error}") from None
    if not all(isinstance(row, dict) for row in found):
        raise UserError("an exam's file does not hold a list of questions")
    return found


def _lines(text: str) -> Iterable[str]:
    return (line for line in text.split("\n") if line.strip())


def _csv(text: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))


def _first(folder: Path, names: Iterable[str]) -> tuple[str, bytes]:
    for name in names:
        if (held := _file(folder, name)) is not None:
            return name, held
    raise UserError(f"{folder} has none of {', '.join(names)}, neither as files nor in an archive")


def _wanted(folder: Path, name: str) -> bytes:
    return _first(folder, (name,))[1]


def _file(folder: Path, name: str) -> bytes | None:
    """Return a file of a repository's folder whose path ends with `name`, from the folder or from an archive in it.

    Raises UserError for one that is far larger than an exam's.
    """
    for path in sorted(folder.rglob(PurePosixPath(name).name)):
        if f"/{path.relative_to(folder).as_posix()}".endswith(f"/{name}"):
            _bounded(name, path.stat().st_size)
            return path.read_bytes()
    for path in sorted(folder.rglob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                for held in archive.infolist():
                    if f"/{held.filename}".endswith(f"/{name}"):
                        _bounded(name, held.file_size)
                        return archive.read(held)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{path} is not a whole zip archive ({error}); fetch it again") from None
    return None


def _bounded(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise UserError(f"{name} has {size:,} bytes, more than any exam has")
