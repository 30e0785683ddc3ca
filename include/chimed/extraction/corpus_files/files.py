"""Store a corpus's files in the lake, with a survey of each and what the user says about their rights."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import chimed
from chimed.crawl import finished
from chimed.errors import UserError
from chimed.extraction.corpus_files.columns import printable_name
from chimed.extraction.corpus_files.reading import ENDINGS, Choices, EmptyFile, Survey, file_ending, survey_file
from chimed.schema import content_id, keyed_hash
from chimed.sources import FILES
from chimed.sources import names as source_names
from chimed.sources.parsed import CorpusQA, Document
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import sealed
from chimed.storage.lake import Lake
from chimed.storage.naming import CORPUS_NAME

RIGHTS = ("title", "license", "homepage")
MAX_NAME_BYTES = 150  # bytes of a file's name: folders and objects are named after it
MAX_RIGHTS_LENGTH = 1_000  # characters of a licence, a title, an address
_MAX_SKIPPED_SHOWN = 10  # files that are left out and named

_RESERVED = ("report.json", "again.parquet")  # what the lake keeps beside the files
# what Hugging Face's folders hold besides their data; what Excel and macOS leave in a folder
_NO_DATA = re.compile(
    r"^(?:README|LICENSE|LICENCE|\.|dataset_info\.json$|dataset_infos\.json$|state\.json$|dataset_dict\.json$|cache-|~\$|__MACOSX$)",
    re.I,
)
_POINTER = b"version https://git-lfs.github.com/spec/"
_BAD = re.compile("[\x00-\x1f\x7f\ud800-\udfff/\\\\]")

log = logging.getLogger("chimed")


def ingest(
    lake: Lake,
    name: str,
    paths: Iterable[Path],
    choices: Choices | None = None,
    rights: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Store files, and the data files of folders, in the lake as corpus `name`; return the raw report.

    Ingesting the same files again changes only what is said about them: the choices as given now, the rights if some
    are given. Raises UserError for an invalid name, and for files that do not exist or have an unsupported form.
    """
    if not CORPUS_NAME.match(name) or name in source_names():
        raise UserError(
            f"{name!r} cannot name a corpus; use 2 to 32 small letters, digits and _, a letter first, "
            "and no site's name"
        )
    choices, given = choices or Choices(), _name_files(paths)
    said = _clean_rights(rights or {})
    digest, digests = hashlib.sha256(), {}
    for file_name in sorted(given):
        with given[file_name].open("rb") as body:
            own = hashlib.file_digest(body, "sha256")
        digest.update(file_name.encode() + b"\0" + own.digest())
        digests[file_name] = own.hexdigest()
    folder = layout.raw(name, digest.hexdigest()[:12])
    path = f"{folder}/{layout.REPORT}"
    before = finished.read_report(lake, name, folder.rsplit("/", 1)[-1]) or {}
    told = {"choices": asdict(choices), "rights": said or before.get("rights", {}), "code": chimed.__version__}
    if before and all(before.get(key) == value for key, value in told.items()):
        return before
    surveys = _survey_files(given, choices)
    for file_name in surveys if not before else ():
        lakes.write_file(lake, f"{folder}/{file_name}", given[file_name])
    report = {
        "source": name,
        "crawl": folder.rsplit("/", 1)[-1],
        "form": FILES,
        "files": sorted(surveys),
        "pages": sum(found.rows for found in surveys.values()),
        "bytes": sum(given[file_name].stat().st_size for file_name in surveys),
        "finished": before.get("finished", datetime.now(UTC).isoformat(timespec="seconds")),
        "read": {file_name: found.as_json() for file_name, found in sorted(surveys.items())},
        "written": {
            file_name: {"rows": found.rows, "bytes": given[file_name].stat().st_size, "sha256": digests[file_name]}
            for file_name, found in surveys.items()
        },
        **told,
    }
    lakes.write_json(lake, path, sealed(report))
    return lakes.read_json(lake, path)


def corpus_address(source: str, read: Iterable[Document | CorpusQA], key: bytes) -> str:
    """Return what replaces the URL of a corpus row: equal for equal words, in whatever file they are.

    key: the store's (`store.secret`); without it nobody can find the words of an address by trying.
    """
    words: list[str] = []
    for one in read:
        words += (one.title, one.text) if isinstance(one, Document) else (one.title, one.question, one.answer)
        if isinstance(one, CorpusQA):
            words += (word for turn in one.turns for word in (turn.role, turn.text))
    return f"corpus:{source}/{keyed_hash(key, content_id(*words))}"


def recorded_choices(report: Mapping[str, Any]) -> Choices:
    """Return the user's choices for a corpus, from its raw report; the defaults for a report of an older version."""
    return Choices(**report.get("choices", {}))


def recorded_survey(report: Mapping[str, Any], name: str) -> Survey | None:
    """Return the survey of a corpus's file, from the raw report; None for a report of an older version."""
    kept = report.get("read", {}).get(name)
    return Survey.of(kept) if kept else None


def fingerprint_text(report: Mapping[str, Any]) -> str:
    """Return everything that determines the records of a corpus, as text: the code, and the raw report's choices and
    surveys.
    """
    said = json.dumps([report.get("choices"), report.get("read")], sort_keys=True, ensure_ascii=True)
    code = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    return "\0".join([*code, said])


# --- which files -------------------------------------------------------------------------------------------------


def _name_files(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the files by their names in the lake; a file in a folder is named by its path (`train__data.parquet`)."""
    given: dict[str, Path] = {}
    for path in paths:
        found = _data_files(path) if path.is_dir() else {path.name: path}
        for name, file in found.items():
            _check_name(name)
            if not file.is_file():
                raise UserError(f"{file} is not a file or a folder" if file.exists() else f"{file} does not exist")
            if name in given:
                raise UserError(f"two files are called {name}; rename one of them")
            file_ending(name)
            given[name] = file
    if not given:
        raise UserError("no file was named; name files or a folder with files")
    return given


def _data_files(folder: Path) -> dict[str, Path]:
    """Return the data files below a folder, as Hugging Face's `save_to_disk` and its hub lay them out."""
    files = _candidate_files(folder)
    found = [file for file in files if file.suffix.lower() in ENDINGS]
    if not found:
        raise UserError(f"{_printable_path(folder)} contains no data file; supported are: {', '.join(ENDINGS)}")
    others = [file for file in files if file.suffix.lower() not in ENDINGS]
    if others:
        log.warning(
            "%s: skipped, their format is not supported: %s", _printable_path(folder), _name_some(others, folder)
        )
    return {"__".join(file.relative_to(folder).parts): file for file in found}


def _candidate_files(folder: Path) -> list[Path]:
    """Return the files below a folder that may be meant as data."""
    there = [file for file in sorted(folder.rglob("*")) if file.is_symlink() or not file.is_dir()]
    there = [file for file in there if not any(map(_NO_DATA.match, file.relative_to(folder).parts))]
    if odd := [file for file in there if not file.is_file()]:
        log.warning(
            "%s: skipped, neither a file nor a folder of its own: %s", _printable_path(folder), _name_some(odd, folder)
        )
    return [file for file in there if file.is_file()]


def _name_some(files: list[Path], folder: Path) -> str:
    """Return the names of a few files of a folder, and how many more there are."""
    names = ", ".join(_printable_path(file.relative_to(folder)) for file in files[:_MAX_SKIPPED_SHOWN])
    return names + (f" and {len(files) - _MAX_SKIPPED_SHOWN} more" if len(files) > _MAX_SKIPPED_SHOWN else "")


def _check_name(name: str) -> None:
    """Raise UserError for a name that the lake, a database or a page could not hold."""
    if _BAD.search(name) or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES or name in ("", ".", ".."):
        raise UserError(
            f"a file is called {_printable_path(name)}: give it a name of at most {MAX_NAME_BYTES} bytes in UTF-8, "
            "without control characters"
        )
    if name.lower() in _RESERVED:
        raise UserError(f"{name} is a name that the lake uses itself; rename your file")


def _printable_path(name: object) -> str:
    """Return a name in a form that can be printed, whatever its bytes are."""
    return ascii(str(name))[:200] if _BAD.search(str(name).replace("/", "")) else str(name)[:200]


def _survey_files(given: Mapping[str, Path], choices: Choices) -> dict[str, Survey]:
    """Return the survey of each file, logging it. An empty file is logged and left out, if others have content."""
    found: dict[str, Survey] = {}
    empty: list[EmptyFile] = []
    for name, file in given.items():
        try:
            found[name] = _survey_one(name, file, choices)
        except EmptyFile as error:
            empty.append(error)
    if empty and not found:
        raise empty[0]
    for nothing in empty:
        log.warning("%s; skipped", nothing)
    columns = {column.lower() for one in found.values() for several in one.columns.values() for column in several}
    for role, column in choices.columns.items():
        if printable_name(column).lower() not in columns:
            raise UserError(
                f"--columns {role}={column}: no file has a column of that name that could be used; "
                f"those used are {', '.join(sorted(columns)) or 'none'}"
            )
    return found


def _survey_one(name: str, file: Path, choices: Choices) -> Survey:
    with file.open("rb") as body:
        if body.read(len(_POINTER)) == _POINTER:
            raise UserError(f"{name} is a Git LFS pointer and not the data; run git lfs pull where it was cloned")
        found = survey_file(name, body, choices)
    for sentence in found.sentences(name):
        log.info("%s", sentence)
    return found


def _clean_rights(said: Mapping[str, str | None]) -> dict[str, str]:
    """Return the rights, cleaned. Raise UserError for a text that is too long, or an invalid address."""
    kept = {key: words for key in RIGHTS if (words := " ".join((said.get(key) or "").split()))}
    for key, value in kept.items():
        if len(value) > MAX_RIGHTS_LENGTH or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise UserError(f"--{key} takes at most {MAX_RIGHTS_LENGTH} characters of text")
    if "homepage" in kept and not re.match(r"https?://\S+$", kept["homepage"]):
        raise UserError(f"--homepage {kept['homepage'][:100]!r} is not an address; write https://…")
    return kept
