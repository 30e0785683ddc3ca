"""Corpora that exist already: tables of questions and answers, herbs, and classics as text files (paper §3.1).

`ingest` puts the files into the lake as they are, as a crawl's pages are; extract reads them with `read_file`, so a
mended reader needs no second ingestion. What is held at once is a row; of .json and .txt a file. Forms, by ending:

- .csv .tsv .jsonl .json: columns department, title, ask (or question), answer; or a herb's labels (中药名, 别名, 功效…)
- .txt: classics, with `<篇名>`, 书名：/作者：/朝代：/年份：, `<目录>`, 内容：, and lines broken within sentences
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TextIO

import chimed
from chimed import lake as lakes
from chimed.errors import UserError
from chimed.lake import Lake
from chimed.records import content_id
from chimed.sources import FILES, NAMES
from chimed.sources.mojibake import garbled
from chimed.sources.page import Miss
from chimed.sources.parsed import QA, Document
from chimed.sources.text import charset, merged, tidy

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".txt")
CELL = 16 * 1024 * 1024  # characters; csv's own limit is 128 K

_TCM = re.compile("中医|针灸|推拿|中药")
_NAMES_OF_HERBS = ("中药名", "药名", "方剂名", "方名")
_HEAD = re.compile(r"^(书名|作者|朝代|年份)[：∶:]\s*(.*?)\s*$")
_BODY = re.compile(r"^(?:内容|属性)[：∶:]\s*")
_MARK = re.compile(r"<(篇名|目录)>")
_ITEM = re.compile(r"^(?:\d{1,3}[．.、]|[（(][一二三四五六七八九十\d]+[)）])")
_ENDS = tuple("。！？；：”』」）!?;:")
_GOES_ON = tuple("，、,")
_WRAPPED = 0.6  # of the file's usual line; a shorter line was ended by its author: a verse, a heading

Read = tuple[int, Document | QA | Miss]


def ingest(lake: Lake, name: str, files: Iterable[Path]) -> dict:
    """Puts files into the lake as corpus `name`; returns the raw report. The same files again are a no-op.

    Raises UserError for a name that cannot be taken, and for files that are not there or of no form known here.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,31}", name) or name in NAMES:
        raise UserError(f"{name!r} cannot name a corpus; use small letters, digits and _, and no site's name")
    given: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} is no file")
        if file.name in given:
            raise UserError(f"two files are called {file.name}; give them names of their own")
        given[file.name] = file
    digest = hashlib.sha256()
    for file_name in sorted(given):
        with given[file_name].open("rb") as body:
            digest.update(file_name.encode() + b"\0" + hashlib.file_digest(body, "sha256").digest())
    folder = f"raw/{name}/{digest.hexdigest()[:12]}"
    if not lakes.exists(lake, f"{folder}/report.json"):
        pages = sum(map(_pages, given.values()))
        for file_name, file in given.items():
            lakes.write_file(lake, f"{folder}/{file_name}", file)
        report = {
            "source": name,
            "crawl": folder.rsplit("/", 1)[-1],
            "form": FILES,
            "files": sorted(given),
            "pages": pages,
            "bytes": sum(file.stat().st_size for file in given.values()),
            "code": chimed.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        lakes.write_json(lake, f"{folder}/report.json", report)
    return lakes.read_json(lake, f"{folder}/report.json")


def _pages(file: Path) -> int:
    with file.open("rb") as body:
        found = sum(1 for _ in read_file(file.name, body))
    if not found:
        raise UserError(f"{file.name} has no row, herb or chapter; the forms known are: {', '.join(ENDINGS)}")
    return found


def address(source: str, read: Document | QA) -> str:
    """What stands for the URL of a record that has none: the same words have the same, in whatever file they come."""
    words = (read.title, read.text) if isinstance(read, Document) else (read.title, read.question, read.answer)
    return f"corpus:{source}/{content_id(*words)}"


def read_file(name: str, body: BinaryIO) -> Iterator[Read]:
    """(number, what stands there) of every row, herb or chapter of a file; a table is read as it streams by.

    Raises UserError for an unknown form.
    """
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"{name} is of no form known here; there is: {', '.join(ENDINGS)}")
    text = io.TextIOWrapper(body, charset(body), errors="replace", newline="")
    if text.read(1) != "\ufeff":
        text.seek(0)
    readings = _chapters(name, text.read()) if ending == ".txt" else map(_row, _rows(name, ending, text))
    for place, read in enumerate(readings, start=1):
        yield place, _whole(read)


def _whole(read: Document | QA | Miss) -> Document | QA | Miss:
    if isinstance(read, Miss):
        return read
    words = read.text if isinstance(read, Document) else f"{read.question}\n{read.answer}"
    return Miss("mojibake") if garbled(f"{read.title}\n{words}") else read


# --- tables ------------------------------------------------------------------------------------------------------


def _rows(name: str, ending: str, text: TextIO) -> Iterator[dict]:
    if ending in (".csv", ".tsv"):
        csv.field_size_limit(CELL)
        yield from csv.DictReader(text, delimiter="\t" if ending == ".tsv" else ",")
        return
    try:
        rows: Iterable = (json.loads(line) for line in text if line.strip())
        if ending == ".json":
            whole = json.load(text)
            rows = whole if isinstance(whole, list) else [whole]
        yield from (row for row in rows if isinstance(row, dict))
    except json.JSONDecodeError as error:
        raise UserError(f"{name} is not {ending.removeprefix('.').upper()}: {error}") from None


def _row(row: dict) -> Document | QA | Miss:
    """A question with its answer, or a herb's fields, one a line."""
    said = {str(key).strip().lower(): str(value).strip() for key, value in row.items() if isinstance(value, str | int)}
    herb = next((said[name] for name in _NAMES_OF_HERBS if said.get(name)), None)
    if herb:
        return Document(herb, "\n".join(f"【{key}】{tidy(value)}" for key, value in said.items() if value), "tcm")
    title, answer = tidy(said.get("title", "")), _lines(said.get("answer", ""))
    question = merged(title, _lines(said.get("ask") or said.get("question", "")))
    if not question or not answer:
        return Miss("no answer" if question else "no question")
    department = tidy(said.get("department", ""))
    domain = "tcm" if _TCM.search(department) else "general"
    return QA(title or question.split("\n")[0], question, answer, domain, (department,) if department else ())


def _lines(text: str) -> str:
    return "\n".join(filter(None, map(tidy, text.splitlines())))


# --- classics ----------------------------------------------------------------------------------------------------


def _chapters(name: str, text: str) -> Iterator[Document | Miss]:
    """One document a chapter, in classical Chinese; the book's own head and empty marks give none."""
    lines = [line.strip().replace("∶", "：").replace("\\x", "") for line in text.splitlines()]
    usual = sorted(map(len, lines))[int(len(lines) * 0.95)] if lines else 0
    book = re.sub(r"^\d+[-_ ]*", "", Path(name).stem)
    part = chapter = ""
    body: list[str] = []
    for line in [*lines, "<篇名>"]:
        mark, head = _MARK.match(line), _HEAD.match(line)
        if mark:
            if joined := _joined(body, usual):
                yield Document("·".join(dict.fromkeys(filter(None, (book, part, chapter)))), joined, "tcm", "lzh")
            body, rest = [], tidy(line[mark.end() :].replace("\\", "·"))
            part, chapter = (rest, "") if mark.group(1) == "目录" else (part, rest)
        elif head and not body:
            book = tidy(head.group(2)) if head.group(1) == "书名" and head.group(2) else book
        else:
            body.append(_BODY.sub("", line))


def _joined(lines: list[str], usual: int) -> str:
    """A chapter's paragraphs as lines: a line that was only broken for its width goes on in the next."""
    paragraphs: list[str] = []
    goes_on = False
    for line in lines:
        if not line:
            goes_on = False
            continue
        if goes_on and paragraphs and not _ITEM.match(line):
            paragraphs[-1] += line
        else:
            paragraphs.append(line)
        goes_on = line.endswith(_GOES_ON) or (len(line) >= _WRAPPED * usual and not line.endswith(_ENDS))
    return "\n".join(filter(None, map(tidy, paragraphs)))
