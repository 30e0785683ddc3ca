"""Which exams are sat: the paper's three (§4.1), other medical subjects, and a few of no medicine to see forgetting.

From local files (`CHIMED_EXAMS`, or as `fetch` has them from the hub): every `test/<subject>.csv` in CMMLU's columns
(`,Question,A,B,C,D,Answer`) becomes the official task of that subject, with lm-eval's name and description.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import yaml

from chimed.errors import UserError

TEMPLATE = Path(__file__).parent / "exam.yaml"
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
GENERAL = (
    "cmmlu_chinese_literature",
    "cmmlu_college_law",
    "cmmlu_elementary_mathematics",
    "cmmlu_world_history",
)


@dataclass(frozen=True)
class Exams:
    """The tasks of one evaluation. folder: of their files. content: what they are, hashed."""

    tasks: tuple[str, ...]
    folder: Path
    content: str


def group_of(task: str) -> str:
    """paper, medical, general (forgetting) or other."""
    groups = {"paper": PAPER, "medical": MEDICAL, "general": GENERAL}
    return next((name for name, tasks in groups.items() if task in tasks), "other")


def in_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Task names, the paper's first, then medical, general and other ones."""
    order = PAPER + MEDICAL + GENERAL
    return tuple(sorted(tasks, key=lambda task: (order.index(task) if task in order else len(order), task)))


def local_exams(source: Path, work: Path) -> Exams:
    """Writes a task file and its questions into `work` for each `source/test/<subject>.csv`.

    Raises UserError where there is none, or a file is not in CMMLU's columns.
    """
    files = sorted((source / "test").glob("*.csv"))
    if not files:
        raise UserError(f"no exams in {source} (CHIMED_EXAMS); it needs test/<subject>.csv, and dev/ for examples")
    shutil.copy(TEMPLATE, work)
    digest = hashlib.sha256(TEMPLATE.read_bytes())
    named = []
    for path in files:
        task, description = official(path.stem)
        data = {"test": path, "dev": source / "dev" / path.name}
        for split, file in list(data.items()):
            if not file.exists():
                del data[split]
                continue
            rows = read_exam(file)
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            data[split] = work / f"{task}.{split}.jsonl"
            data[split].write_text(lines, encoding="utf-8")
            digest.update(f"{task} {split} {description}\n{lines}".encode())
        config = {
            "include": TEMPLATE.name,
            "task": task,
            "description": description,
            "dataset_kwargs": {
                "data_files": {split: str(file) for split, file in data.items()},
                "cache_dir": str(work / "cache"),
            },
        }
        if "dev" in data:
            config |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
        (work / f"{task}.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        named.append(task)
    return Exams(in_order(named), work, digest.hexdigest()[:16])


def official(subject: str) -> tuple[str, str]:
    """lm-eval's task name for a subject and the line it puts before a question; our own for one it does not have."""
    spec = find_spec("lm_eval")
    if spec and spec.origin:
        tasks = Path(spec.origin).parent / "tasks"
        for path in (tasks / "cmmlu" / f"cmmlu_{subject}.yaml", tasks / "ceval" / f"ceval-valid_{subject}.yaml"):
            if path.exists():
                config = yaml.safe_load(path.read_text(encoding="utf-8"))
                return config["task"], config["description"]
    return f"exam_{subject}", "以下是单项选择题，请直接给出正确答案的选项。\n\n"


def read_exam(path: Path) -> list[dict]:
    """A CMMLU file's rows with the keys of `COLUMNS`, all of them text: an option "NA" or "1.50" stays what it is."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, 1):
        if any(row.get(name) is None for name in COLUMNS):
            raise UserError(f"{path}, row {number}: not in CMMLU's columns ,{','.join(COLUMNS)}")
        if row["Answer"].strip() not in ("A", "B", "C", "D"):
            raise UserError(f"{path}, row {number}: the answer is {row['Answer']!r}, not one of A, B, C, D")
    if not rows:
        raise UserError(f"{path} has no questions")
    return [{name: row[name].strip() if name == "Answer" else row[name] for name in COLUMNS} for row in rows]
