"""Fetch the exams that models are measured on into a folder: for `decontaminate`, and for evaluation without the hub.

CMMLU (arXiv 2306.09212) and C-Eval's validation split (arXiv 2305.08322), in CMMLU's columns: the same subjects as
lm-eval's, those without medicine too. Both lie on the hub as an archive of CSV files beside a script that today's
`datasets` refuses to run; the archives are read here, and nothing of them is run. On request also the exams of the
professions (`professional`): CMB-Exam, CMExam and MedQA-zh.

From the Hugging Face hub, or from a mirror of it that the variable HF_ENDPOINT names (`https://hf-mirror.com`), or from
a folder with the repositories as `git clone` leaves them: `<folder>/haonan-li/cmmlu/*.zip`,
`<folder>/ceval/ceval-exam/*.zip`, `<folder>/FreedomIntelligence/CMB/…`.

Everything is read and checked before the first file is written: half an exam, or another one in its place, would give
scores that look like scores.
"""

import contextlib
import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from chimed.characters import short
from chimed.errors import UserError, choose
from chimed.evaluate import professional
from chimed.evaluate.exams import COLUMNS, GENERAL, MEDICAL, PAPER, Exam, exam_of, write_exam
from chimed.evaluate.paper import QUESTIONS
from chimed.evaluate.repository_files import wanted
from chimed.text.exams.exam_table import csv_rows

log = logging.getLogger("chimed")

# where an exam lies, what its tasks are called, and how a subject's file of a split is called in its archive
EXAMS = {
    "haonan-li/cmmlu": ("cmmlu_", {"test": "test/{}.csv", "dev": "dev/{}.csv"}),
    "ceval/ceval-exam": ("ceval-valid_", {"test": "val/{}_val.csv", "dev": "dev/{}_dev.csv"}),
}
_CHINESE = re.compile("[\u4e00-\u9fff]")
SOURCES = "sources.json"  # the commit of each repository


def fetch_exams(folder: Path, mirror: Path | None = None, more: Sequence[str] = ()) -> dict[str, int]:
    """Write `{dev,test}/<subject>.csv` and `sources.json`; returns the test questions of each subject.

    mirror: a folder with the repositories, in place of the hub. more: of `professional.REPOSITORIES`. Raises UserError
    where the hub does not answer, or a file is missing, broken or of another exam; then nothing is written.
    """
    for name in more:
        choose("exam", name, list(professional.REPOSITORIES))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the exams")
    if mirror is not None and not mirror.is_dir():
        raise UserError(
            f"there is no folder {mirror}; --mirror names one that has the hub's repositories as its folders"
        )
    found: professional.Splits = {}
    sources: dict[str, str] = {}
    for repository, (prefix, names) in EXAMS.items():
        held, sources[repository] = _repository(repository, mirror)
        found |= {
            subject: {split: _read(held, name.format(subject)) for split, name in names.items()}
            for subject in _subjects(prefix)
        }
    for name in dict.fromkeys(more):
        repository, patterns = professional.REPOSITORIES[name]
        held, sources[repository] = _repository(repository, mirror, patterns)
        found |= professional.read(name, held)
    _check(found)
    for subject, splits in found.items():
        for split, (_, exam) in splits.items():
            write_exam(exam, folder / split / f"{subject}.csv")
    known = {}
    with contextlib.suppress(UserError):  # a broken note is written anew
        known = sources_of(folder) or {}  # exams that were fetched before and not now stay
    (folder / SOURCES).write_text(json.dumps(known | sources, indent=1) + "\n")
    return {subject: len(splits["test"][1].rows) for subject, splits in found.items()}


def sources_of(folder: Path) -> dict[str, str] | None:
    """Return the commits that a folder's exams were fetched at; None of exams of one's own.

    Raises UserError for a file of them that cannot be read.
    """
    path = folder / SOURCES
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch the exams again, or remove that file") from None
    if not isinstance(known, dict):
        raise UserError(f"{path} does not name the exams' sources; fetch the exams again, or remove that file")
    return known


def _subjects(prefix: str) -> list[str]:
    return [task.removeprefix(prefix) for task in PAPER + MEDICAL + GENERAL if task.startswith(prefix)]


def _repository(repository: str, mirror: Path | None, patterns: Iterable[str] = ("*.zip", "*.csv")) -> tuple[Path, str]:
    """Return the folder with a repository's files, and which version of it that is."""
    if mirror is not None:
        if not (mirror / repository).is_dir():
            raise UserError(f"no {repository} in {mirror}: a mirror has the hub's repositories as its folders")
        return mirror / repository, f"folder {mirror}"
    from huggingface_hub import snapshot_download

    try:
        held = snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns))
    except Exception as error:  # of many kinds: names, certificates, proxies, the hub's own
        raise UserError(
            f"{repository} cannot be had from the Hugging Face hub ({type(error).__name__}: "
            f"{short(str(error), 200)}); name a mirror of it by HF_ENDPOINT, or "
            "read a folder: python -m chimed exams <folder> --mirror <mirror>, then CHIMED_EXAMS=<folder>"
        ) from None
    return Path(held), Path(held).name  # the hub's cache calls a snapshot by its commit


def _read(folder: Path, name: str) -> tuple[str, Exam]:
    """Return a subject's file of the repository, or of an archive in it; its columns may be in small letters."""
    file = wanted(folder, [name])
    names, rows = csv_rows(file.content, file.where)
    titles = {column.lower(): column for column in COLUMNS}
    renamed = {name: titles[name.lower()] for name in names if name.lower() in titles}
    kept = [{title: row[name] for name, title in renamed.items()} for row in rows]
    return file.where, exam_of(list(renamed.values()), kept, file.where)


def _check(found: professional.Splits) -> None:
    """Raise UserError where one file lies in another's place: a subject twice, or examples that are the questions."""
    known: dict[frozenset[str], str] = {}
    for subject, splits in found.items():
        test = _asked(splits["test"][1])
        where = splits["test"][0]
        if "dev" in splits and test <= _asked(splits["dev"][1]):
            raise UserError(f"{where} and {splits['dev'][0]} ask the same questions: one lies in the other's place")
        if other := known.get(test):
            raise UserError(f"{where} and {other} ask the same questions: one lies in the other's place")
        known[test] = where
        if sum(bool(_CHINESE.search(question)) for question in test) < len(test) / 2:
            raise UserError(f"{where}: most questions have no Chinese character; this is another exam's file")
        many, of_paper = len(splits["test"][1].rows), _of_paper(subject)
        if of_paper and many != of_paper:
            log.warning(
                "%s has %d questions and not the paper's %d: its scores are another exam's", where, many, of_paper
            )


def _asked(exam: Exam) -> frozenset[str]:
    return frozenset(row["Question"].strip() for row in exam.rows)


def _of_paper(subject: str) -> int | None:
    """Return how many questions an exam of the paper has; None for the others."""
    return next((many for task, many in QUESTIONS.items() if task.partition("_")[2] == subject), None)
