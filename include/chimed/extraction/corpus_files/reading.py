"""Read one file of a corpus: survey it (`survey_file`), and read its rows, herbs and chapters as records (`read_file`).

A survey reads the whole file once and reports its encoding, form and language, and how certain they are. It is made
when the file is ingested and stored in the raw report, and every later reading follows it.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import polars as pl

from chimed.errors import UserError
from chimed.extraction.corpus_files.books import Shape, detect_shape, read_chapters
from chimed.extraction.corpus_files.columns import (
    NESTED,
    Plan,
    fallback_plan,
    flatten,
    plan_for,
    printable_name,
    unknown_columns_error,
)
from chimed.extraction.corpus_files.domain import domain_of
from chimed.extraction.corpus_files.encoding import Encoding, detect_encoding
from chimed.extraction.corpus_files.language import MIN_OWN_WEIGHT, Evidence, decide_language, weigh_texts
from chimed.extraction.corpus_files.lines import NOT_JSON
from chimed.extraction.corpus_files.rows import read_row
from chimed.extraction.corpus_files.tables import (
    ARROW_TABLES,
    NO_OBJECT,
    TEXT_TABLES,
    Row,
    read_arrow_rows,
    read_text_rows,
)
from chimed.sources.page import Miss
from chimed.sources.parsed import CorpusQA, Document
from chimed.text.encoding.mojibake import SUSPECT, is_garbled

BOOKS = (".txt", ".md")
ENDINGS = (*TEXT_TABLES, *ARROW_TABLES, *BOOKS)
NOT_CHINESE = "not Chinese"
NO_COLUMN = "no column that is understood"

_HOW: Mapping[str, str] = {
    "classic": ", by their marks (<篇名>)",
    "numbered chapters": ", by numbered headings (第一章)",
    "listed": ", by headings as a list (一、)",
    "alone": ", by headings between blank lines",
    "markdown": ", by Markdown's headings",
    "none": ", without headings",
}
_MAX_UNUSED_SHOWN = 20  # columns that are not used
_MAX_COLUMN_SETS = 1_000  # sets of columns that are remembered of one file
_ROWS_AT_A_TIME, _CHARACTERS_AT_A_TIME = 512, 1_000_000  # of rows that are weighed together
_MAX_UNKNOWN_ROWS = 1_000  # rows without a known column, after which a file is taken for one of another form

Records = list[Document | CorpusQA]
Read = tuple[int, Records | Miss]


class EmptyFile(UserError):
    """The file has no row, herb or chapter."""


@dataclass(frozen=True)
class Choices:
    """The user's choices for a corpus; `auto` and None let the evidence decide. columns: role → column."""

    columns: Mapping[str, str] = field(default_factory=dict)
    language: Literal["auto", "zh", "lzh"] = "auto"
    domain: Literal["auto", "tcm", "general"] = "auto"
    encoding: str | None = None


@dataclass(frozen=True)
class Survey:
    """What a file is. encoding, shape: None if the form has none. words: the evidence of its language, over all rows.

    rows: rows, herbs and chapters, including misses. misses: why rows give no record. languages, domains: of the
    records. own: rows whose own words decide their language. columns: role → columns, of the most frequent form.
    unused: its other columns. notes: what was left out or corrected in rows.
    """

    encoding: Encoding | None = None
    shape: Shape | None = None
    words: Evidence = field(default_factory=Evidence)
    rows: int = 0
    misses: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    own: int = 0
    domains: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, list[str]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the survey for the raw report."""
        return asdict(self)

    @staticmethod
    def of(kept: Mapping[str, Any]) -> "Survey":
        """Return a survey from a raw report."""
        encoding, shape = kept["encoding"], kept["shape"]
        made = {**kept, "encoding": encoding and Encoding(**encoding), "shape": shape and Shape(**shape)}
        return Survey(**{**made, "words": Evidence(**kept["words"]), "unused": tuple(kept["unused"])})

    def sentences(self, name: str) -> list[str]:
        """Return the survey as sentences for a person."""
        unit = "row" if self.shape is None else "text" if self.shape.headings == "none" else "chapter"
        how = _HOW[self.shape.headings] if self.shape else ""
        encoding = f", {self.encoding}" if self.encoding else ""
        said = [f"{name}: {self.rows} {unit}{'s' * (self.rows != 1)}{how}{encoding}"]
        good = self.rows - sum(self.misses.values())
        if good:
            told = ", ".join(f"{language} {rows}" for language, rows in self.languages.items())
            how = f"{self.own} of {good} by their own words" if self.own else "none by its own words"
            rest = f", the others by the whole file (certainty {self.words.certainty:.4f})" if self.own < good else ""
            domains = ", ".join(f"{domain} {rows}" for domain, rows in self.domains.items())
            said.append(f"  language: {told}; {how}{rest}; domain: {domains}")
        else:
            said.append("  no record: none of it can be used")
        if self.columns:
            said.append("  columns: " + ", ".join(f"{role}={'+'.join(names)}" for role, names in self.columns.items()))
        if self.unused:
            said.append("  columns not used: " + ", ".join(self.unused))
        return said + [f"  {what}: {n}" for what, n in {**self.misses, **self.notes}.items()]


@dataclass
class FileStatistics:
    """Counts made while reading a file. plans: rows of (columns, plan); strange: rows of columns without a plan. notes:
    what was left out or corrected.
    """

    plans: Counter[tuple[tuple[str, ...], Plan]] = field(default_factory=Counter)
    strange: Counter[tuple[str, ...]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def survey_file(name: str, body: BinaryIO, choices: Choices) -> Survey:
    """Read a file once and return its survey; rewind the file.

    Raises UserError for an unsupported form, and for a file without anything that makes a record or a named miss.
    """
    found = Survey()
    if file_ending(name) not in ARROW_TABLES:
        found = replace(found, encoding=detect_encoding(body, choices.encoding))
    if file_ending(name) in BOOKS:
        with _open_text(body, found.encoding) as text:
            found = replace(found, shape=detect_shape(name, text))
    met, misses, languages, domains = FileStatistics(), Counter[str](), Counter[str](), Counter[str]()
    later = Counter[tuple[str, str]]()  # domains of what is modern or classical as the whole file is
    words, rows, own = Evidence(), 0, 0
    for _, read, said in _with_evidence(_read_raw(name, body, choices, found, met), choices):
        rows += 1
        if not met.plans and met.strange.total() >= _MAX_UNKNOWN_ROWS:
            break
        if isinstance(read, Miss):
            misses[read.reason] += 1
            continue
        words += said
        likelier = "lzh" if said.classical else "zh"
        decided = abs(said.weight) >= MIN_OWN_WEIGHT
        own += decided
        languages[likelier if decided else "?"] += 1
        for one in read if decided else ():
            domains[_domain(one, choices, likelier)] += 1
        for one in read if not decided else ():
            later[_domain(one, choices, "zh"), _domain(one, choices, "lzh")] += 1
    body.seek(0)
    _check_something(name, rows, misses, met, choices)
    languages["lzh" if words.classical else "zh"] += languages.pop("?", 0)
    for either, n in later.items():
        domains[either[words.classical]] += n
    if choices.language != "auto":  # and domains stay those of the likelier languages: close enough to be told
        languages, own = Counter({choices.language: languages.total()}), 0
    usual: Plan | None = met.plans.most_common(1)[0][0][1] if met.plans else None
    known = {column for (columns, _) in met.plans for column in columns}
    return replace(
        found,
        words=words,
        rows=rows,
        misses=dict(misses),
        languages=dict(+languages),
        own=own,
        domains=dict(domains),
        columns={role: [*map(printable_name, names)] for role, names in usual.columns.items()} if usual else {},
        unused=tuple(map(printable_name, sorted(known - usual.used)[:_MAX_UNUSED_SHOWN]))
        if usual and usual.form != "herb"
        else (),
        notes=dict(+met.notes),
    )


def _check_something(name: str, rows: int, misses: Counter[str], met: FileStatistics, choices: Choices) -> None:
    """Raise UserError if no row of a file can be used."""
    if met.strange and not met.plans:
        raise unknown_columns_error(name, met.strange.most_common(1)[0][0], choices.columns)
    if not rows:
        raise EmptyFile(f"{name} is empty: it has no row and no text")
    if misses[NOT_JSON] + misses[NO_OBJECT] == rows:
        raise UserError(f"{name} is not {file_ending(name).removeprefix('.').upper()}: no row of it is a JSON object")


def read_file(name: str, body: BinaryIO, choices: Choices | None = None, known: Survey | None = None) -> Iterator[Read]:
    """Yield (number, records or miss) of every row, herb or chapter of a file, as a stream.

    known: the file's survey; without it the file is surveyed first. Raises UserError for an unsupported form.
    """
    choices = choices or Choices()
    known = known or survey_file(name, body, choices)
    for place, read, said in _with_evidence(_read_raw(name, body, choices, known, FileStatistics()), choices):
        yield place, read if isinstance(read, Miss) else _with_language_and_domain(read, said, choices, known.words)


def file_ending(name: str) -> str:
    """Return a file's ending, one of `ENDINGS`. Raise UserError for another."""
    found = Path(name).suffix.lower()
    if found not in ENDINGS:
        raise UserError(f"{name} has an unsupported format; choose from: {', '.join(ENDINGS)}")
    return found


# --- reading -----------------------------------------------------------------------------------------------------


@contextmanager
def _open_text(body: BinaryIO, encoding: Encoding | None) -> Iterator[io.TextIOWrapper]:
    """Open the file's text from its start, without a byte order mark; the file stays open afterwards."""
    assert encoding is not None
    body.seek(0)
    text = io.TextIOWrapper(body, encoding.name, errors="replace", newline="")
    try:
        if text.read(1) != "\ufeff":
            text.seek(0)
        yield text
    finally:
        text.detach()


def _read_raw(name: str, body: BinaryIO, choices: Choices, known: Survey, met: FileStatistics) -> Iterator[Read]:
    """Yield the records at every place, without language and domain."""
    this = file_ending(name)
    body.seek(0)
    if this in ARROW_TABLES:
        yield from enumerate(_read_planned(read_arrow_rows(name, this, body), choices, met), start=1)
        return
    with _open_text(body, known.encoding) as text:
        if known.shape is not None:
            found = (
                one if isinstance(one, Miss) else [one] for one in read_chapters(name, text, known.shape, met.notes)
            )
            yield from enumerate(found, start=1)
        else:
            yield from enumerate(_read_planned(read_text_rows(this, text), choices, met), start=1)


def _read_planned(rows: Iterator[Row], choices: Choices, met: FileStatistics) -> Iterator[Records | Miss]:
    known: dict[tuple[Any, ...], Plan | None] = {}
    for row in rows:
        if isinstance(row, Miss):
            yield row
            continue
        row, plan = _find_plan(row, choices, known)
        columns = tuple(row)
        if plan is None:
            if len(met.strange) < _MAX_COLUMN_SETS or columns in met.strange:
                met.strange[columns] += 1
            yield Miss(NO_COLUMN)
            continue
        if len(met.plans) < _MAX_COLUMN_SETS or (columns, plan) in met.plans:
            met.plans[columns, plan] += 1
        yield read_row(row, plan, met.notes)


def _find_plan(
    row: dict[str, Any], choices: Choices, known: dict[tuple[Any, ...], Plan | None]
) -> tuple[dict[str, Any], Plan | None]:
    """Return the row, flattened if its outer columns are not enough, and how to read it."""

    def plan(columns: tuple[Any, ...]) -> Plan | None:
        if columns not in known:
            if len(known) >= _MAX_COLUMN_SETS:  # rows whose keys are data: what was learnt of them is no use
                known.clear()
            known[columns] = plan_for(columns, choices.columns)
        return known[columns]

    found = plan(tuple(row))
    within = any(NESTED in column for column in choices.columns.values())
    if (found is None or within) and any(isinstance(value, dict) for value in row.values()):
        row = flatten(row)
        found = plan(tuple(row))
    return row, found or (None if choices.columns else fallback_plan(row))


# --- judging -----------------------------------------------------------------------------------------------------


def _words(one: Document | CorpusQA) -> str:
    return one.text if isinstance(one, Document) else f"{one.question}\n{one.answer}"


def _with_evidence(rows: Iterator[Read], choices: Choices) -> Iterator[tuple[int, Records | Miss, Evidence]]:
    """Yield every row with the evidence of its language; mojibake and other languages become misses.

    Rows are weighed in batches.
    """
    for some in _in_batches(rows):
        sound = _mark_mojibake([read for _, read in some])
        words = ["" if isinstance(read, Miss) else "\n".join(map(_words, read)) for read in sound]
        for (place, _), read, said in zip(some, sound, weigh_texts(words), strict=True):
            foreign = not isinstance(read, Miss) and choices.language == "auto" and not said.chinese
            yield place, Miss(NOT_CHINESE) if foreign else read, said


def _in_batches(rows: Iterator[Read]) -> Iterator[list[Read]]:
    """Yield rows in batches that are fast to weigh."""
    some: list[Read] = []
    held = 0
    for place, read in rows:
        some.append((place, read))
        held += 0 if isinstance(read, Miss) else sum(len(_words(one)) for one in read)
        if len(some) >= _ROWS_AT_A_TIME or held >= _CHARACTERS_AT_A_TIME:
            yield some
            some, held = [], 0
    if some:
        yield some


def _mark_mojibake(rows: list[Records | Miss]) -> list[Records | Miss]:
    """Return the rows with a miss for each that is mojibake throughout; `clean` drops single garbled records later."""
    texts = [[] if isinstance(read, Miss) else [f"{one.title}\n{_words(one)}" for one in read] for read in rows]
    suspect = iter(pl.Series([text for several in texts for text in several], dtype=pl.String).str.contains(SUSPECT))
    found: list[Records | Miss] = []
    for read, several in zip(rows, texts, strict=True):
        doubted = list(islice(suspect, len(several)))
        bad = bool(several) and all(doubted) and all(map(is_garbled, several))
        found.append(Miss("mojibake") if bad else read)
    return found


def _with_language_and_domain(read: Records, said: Evidence, choices: Choices, around: Evidence) -> Records:
    """Return the records with the language and domain that their words, their file or the user say."""
    language = decide_language(said, around) if choices.language == "auto" else choices.language
    return [replace(one, language=language, domain=_domain(one, choices, language)) for one in read]


def _domain(one: Document | CorpusQA, choices: Choices, language: str) -> str:
    return choices.domain if choices.domain != "auto" else one.domain or domain_of(_words(one), language)
