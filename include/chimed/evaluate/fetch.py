"""Fetch the exams that models are measured on into a folder: for `decontaminate`, and for evaluation without the hub.

CMMLU (arXiv 2306.09212) and C-Eval's validation split (arXiv 2305.08322), in CMMLU's columns: the same subjects as
lm-eval's, those without medicine too. Both lie on the hub as an archive of CSV files beside a script that today's
`datasets` refuses to run; the archives are read here, and nothing of them is run. On request also the exams of the
professions (`professional`): CMB-Exam, CMExam and MedQA-zh.

From the Hugging Face hub, or from a mirror of it that the variable HF_ENDPOINT names (`https://hf-mirror.com`), or from
a folder with the repositories as `git clone` leaves them: `<folder>/haonan-li/cmmlu/*.zip`,
`<folder>/ceval/ceval-exam/*.zip`, `<folder>/FreedomIntelligence/CMB/…`.
"""

import csv
import io
import json
import logging
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError, choose
from chimed.evaluate import professional
from chimed.evaluate.exams import COLUMNS, GENERAL, MEDICAL, PAPER, write_exam

log = logging.getLogger("chimed")

# where an exam lies, what its tasks are called, and how a subject's file of a split is called in its archive
EXAMS = {
    "haonan-li/cmmlu": ("cmmlu_", {"test": "test/{}.csv", "dev": "dev/{}.csv"}),
    "ceval/ceval-exam": ("ceval-valid_", {"test": "val/{}_val.csv", "dev": "dev/{}_dev.csv"}),
}
MOST_BYTES = 20_000_000  # of one subject's file: a thousand times what they are


def fetch_exams(folder: Path, mirror: Path | None = None, more: Sequence[str] = ()) -> dict[str, int]:
    """Write `{dev,test}/<subject>.csv` and `sources.json`; returns the test questions of each subject.

    mirror: a folder with the repositories, in place of the hub. more: of `professional.REPOSITORIES`. sources.json: the
    commit of each repository. Raises UserError where the hub does not answer, or an exam's form is not what it was.
    """
    for name in more:
        choose("exam", name, list(professional.REPOSITORIES))
    counts, sources = {}, {}
    for repository, (prefix, names) in EXAMS.items():
        held, sources[repository] = _repository(repository, mirror)
        for task in PAPER + MEDICAL + GENERAL:
            if task.startswith(prefix):
                subject = task.removeprefix(prefix)
                rows = {split: _rows(held, name.format(subject)) for split, name in names.items()}
                counts[subject] = write_exam(rows["test"], folder / "test" / f"{subject}.csv")
                write_exam(rows["dev"], folder / "dev" / f"{subject}.csv")
    for name in more:
        repository, patterns = professional.REPOSITORIES[name]
        held, sources[repository] = _repository(repository, mirror, patterns)
        found, left = professional.read(name, held)
        if left:
            log.warning("%s: %d questions without an answer among their options are left out", repository, left)
        for subject, splits in found.items():
            counts[subject] = write_exam(splits["test"], folder / "test" / f"{subject}.csv")
            if splits["dev"]:
                write_exam(splits["dev"], folder / "dev" / f"{subject}.csv")
    (folder / "sources.json").write_text(json.dumps(sources, indent=1) + "\n")
    return counts


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
            f"{short(str(error), 200)}); name a mirror of it by HF_ENDPOINT, or give a folder with --mirror"
        ) from None
    return Path(held), Path(held).name  # the hub's cache calls a snapshot by its commit


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return a subject's rows in CMMLU's columns, from a file of the repository or of an archive in it."""
    found = _file(folder, name)
    if found is None:
        raise UserError(f"{folder} has no {name}, neither as a file nor in an archive; the exam's form has changed")
    titles = {name.lower(): name for name in COLUMNS}
    rows: list[dict[str, Any]] = []
    for row in csv.DictReader(io.StringIO(found.decode("utf-8-sig"), newline="")):
        named = {titles[str(key).lower()]: value for key, value in row.items() if str(key).lower() in titles}
        if missing := [column for column in COLUMNS if named.get(column) is None]:
            raise UserError(f"{name} of {folder}, row {len(rows) + 1}: no {', '.join(missing)}")
        rows.append(named)
    return rows


def _file(folder: Path, name: str) -> bytes | None:
    if (folder / name).is_file():
        return (folder / name).read_bytes()
    for path in sorted(folder.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for held in archive.infolist():
                if held.filename == name or held.filename.endswith(f"/{name}"):
                    if held.file_size > MOST_BYTES:
                        raise UserError(f"{name} in {path} has {held.file_size:,} bytes; an exam's file has few")
                    return archive.read(held)
    return None
