"""The exams as lm-eval's tasks: three YAML forms, and a task file and its questions for each exam."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from chimed.errors import UserError
from chimed.evaluate.exams import Exam, in_order, read_exam

FOLDER = Path(__file__).parent
FOUR, ONE, SEVERAL = "four_letters.yaml", "letters.yaml", "several_letters.yaml"
DESCRIBED = {
    "cmexam": "以下是中国国家医学考试的选择题，请直接给出全部正确答案的选项。\n\n",
    "medqa_zh": "以下是中国医师资格考试的单项选择题，请直接给出正确答案的选项。\n\n",
}
OURS = "以下是单项选择题，请直接给出正确答案的选项。\n\n"
OURS_SEVERAL = "以下是选择题，请直接给出全部正确答案的选项。\n\n"


@dataclass(frozen=True)
class Exams:
    """The tasks of one evaluation. folder: of their files. content: what they are, hashed; revisions: each of them.

    several: the tasks whose questions may have several right letters. examples: how many examples the exam with the
    fewest has.
    """

    tasks: tuple[str, ...]
    folder: Path
    content: str
    revisions: dict[str, str]
    several: tuple[str, ...]
    examples: int


def local_exams(source: Path, work: Path) -> Exams:
    """Write a task file and its questions into `work` for each `source/test/<subject>.csv`.

    Raises UserError where there is none, or a file is broken or not in CMMLU's columns.
    """
    files = sorted((source / "test").glob("*.csv"))
    if not files:
        raise UserError(f"no exams in {source} (CHIMED_EXAMS); it needs test/<subject>.csv, and dev/ for examples")
    if odd := [path for path in files if not re.fullmatch(r"\w[\w-]*", path.stem)]:
        raise UserError(f"{odd[0]}: an exam is called by its file's name, of letters, digits, _ and - only; rename it")
    whole = hashlib.sha256((FOLDER / FOUR).read_bytes())
    named: dict[str, str] = {}
    several, examples = [], []
    for path in files:
        exam = read_exam(path)
        dev = read_exam(source / "dev" / path.name) if (source / "dev" / path.name).exists() else None
        form = _form(exam, dev)
        task, description = official(path.stem, form)
        data, told = _questions(task, description, form, {"test": exam, "dev": dev}, work)
        config: dict[str, Any] = {
            "include": form,
            "task": task,
            "description": description,
            "dataset_kwargs": {"data_files": data, "cache_dir": str(work / "cache")},
        }
        if dev is not None:
            config |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
        (work / f"{task}.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        whole.update(told)
        named[task] = hashlib.sha256((FOLDER / form).read_bytes() + told).hexdigest()[:16]
        examples.append(len(dev.rows) if dev else 0)
        several += [task] if form == SEVERAL else []
    return Exams(in_order(named), work, whole.hexdigest()[:16], named, in_order(several), min(examples))


def _form(exam: Exam, dev: Exam | None) -> str:
    """Return the YAML form that an exam has. The first is CMMLU's own, word for word."""
    if exam.several or (dev is not None and dev.several):
        return SEVERAL
    plain = exam.letters == "ABCD" and not any("Instruction" in row for row in exam.rows)
    return FOUR if plain else ONE


def _questions(
    task: str, description: str, form: str, splits: dict[str, Exam | None], work: Path
) -> tuple[dict[str, str], bytes]:
    """Write the splits' questions and the task's form; returns the files by split, and what makes this exam this."""
    for name in (form, "written_letters.py"):
        shutil.copy(FOLDER / name, work)
    data, told = {}, b""
    for split, exam in splits.items():
        if exam is None:
            continue
        rows = exam.rows if form == FOUR else [_offered(row, exam.letters) for row in exam.rows]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        data[split] = str(work / f"{task}.{split}.jsonl")
        Path(data[split]).write_text(lines, encoding="utf-8")
        told += f"{task} {split} {description}\n{lines}".encode()
    return data, told


def _offered(row: dict[str, str], letters: str) -> dict[str, Any]:
    """Return a row with the letters that it has options for, as a list beside their options."""
    has = [letter for letter in letters if row[letter] or letter in "ABCD"]
    while len(has) > 2 and not row[has[-1]] and has[-1] not in row["Answer"]:  # some questions have three options
        has.pop()
    return {
        "Question": row["Question"],
        "Instruction": row.get("Instruction", ""),
        "letters": has,
        "options": [row[letter].strip() for letter in has],
        "Answer": row["Answer"],
    }


def official(subject: str, form: str = FOUR) -> tuple[str, str]:
    """Return lm-eval's task name for a subject and the line before a question; our own for one it does not have."""
    if subject.startswith("cmb_"):  # each question brings its own line
        return subject, ""
    if subject in DESCRIBED:
        return subject, DESCRIBED[subject]
    spec = find_spec("lm_eval")
    if spec and spec.origin and form == FOUR:
        tasks = Path(spec.origin).parent / "tasks"
        for path in (tasks / "cmmlu" / f"cmmlu_{subject}.yaml", tasks / "ceval" / f"ceval-valid_{subject}.yaml"):
            if path.exists():
                config = yaml.safe_load(path.read_text(encoding="utf-8"))
                return config["task"], config["description"]
    return f"exam_{subject}", OURS_SEVERAL if form == SEVERAL else OURS
