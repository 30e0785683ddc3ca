"""One file of a corpus: what it is (`survey`), and its rows, herbs and chapters as records (`read_file`).

A survey reads the whole file once and says in which encoding, form and language it is and how certain that is; it is
made when the file is ingested and kept in the raw report, and every later reading follows it.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import polars as pl

from chimed.errors import UserError
from chimed.extraction.corpus_files.books import Shape, chapters, shape_of
from chimed.extraction.corpus_files.columns import NESTED, Plan, not_understood, opened, plan_for, shown, talk_at_need
from chimed.extraction.corpus_files.domain import domain_of
from chimed.extraction.corpus_files.encoding import Encoding, encoding_of
from chimed.extraction.corpus_files.language import LIKELY, Evidence, evidence_of, language_of
from chimed.extraction.corpus_files.lines import NOT_JSON
from chimed.extraction.corpus_files.rows import read_row
from chimed.extraction.corpus_files.tables import ARROW_TABLES, NO_OBJECT, TEXT_TABLES, Row, arrow_rows, text_rows
from chimed.sources.page import Miss
from chimed.sources.parsed import CorpusQA, Document
from chimed.text.encoding.mojibake import SUSPECT, garbled

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
_MOST_SHOWN = 20  # columns that are not used
_MOST_FORMS = 1_000  # sets of columns that are remembered of one file
_ROWS_AT_A_TIME, _CHARACTERS_AT_A_TIME = 512, 1_000_000  # of rows that are weighed together
_STRANGE_ROWS = 1_000  # rows without a known column, after which a file is taken for one of another form

Records = list[Document | CorpusQA]
Read = tuple[int, Records | Miss]


class NothingInIt(UserError):
    """A file without a row, a herb or a chapter."""


@dataclass(frozen=True)
class Choices:
    """What a person says of a corpus's files; `auto` and None leave it to the evidence. columns: role → column."""

    columns: Mapping[str, str] = field(default_factory=dict)
    language: Literal["auto", "zh", "lzh"] = "auto"
    domain: Literal["auto", "tcm", "general"] = "auto"
    encoding: str | None = None


@dataclass(frozen=True)
class Survey:
    """What a file is. encoding, shape: None where the form has none. words: its evidence of a language, all together.

    rows: rows, herbs and chapters, misses among them. misses: why rows give no record. languages, domains: of the
    records. own: rows whose own words decide on their language. columns: role → columns, of the rows' usual form.
    unused: its other columns. notes: what of the rows was left out or mended.
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

    def as_json(self) -> dict:
        """As the raw report keeps it."""
        return asdict(self)

    @staticmethod
    def of(kept: Mapping) -> "Survey":
        """What a raw report kept."""
        encoding, shape = kept["encoding"], kept["shape"]
        made = {**kept, "encoding": encoding and Encoding(**encoding), "shape": shape and Shape(**shape)}
        return Survey(**{**made, "words": Evidence(**kept["words"]), "unused": tuple(kept["unused"])})

    def sentences(self, name: str) -> list[str]:
        """What a person reads of it."""
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
class _Met:
    """What is met on the way through a file. plans: rows of (columns, how they are read); strange: of columns that are
    not understood. notes: what was left out or mended."""

    plans: Counter = field(default_factory=Counter)
    strange: Counter = field(default_factory=Counter)
    notes: Counter = field(default_factory=Counter)


def survey(name: str, body: BinaryIO, choices: Choices) -> Survey:
    """Reads a file of a known ending once and says what it is; leaves it at its start.

    Raises UserError for a file of another form, or with nothing in it that makes a record or a named miss.
    """
    found = Survey()
    if ending(name) not in ARROW_TABLES:
        found = replace(found, encoding=encoding_of(body, choices.encoding))
    if ending(name) in BOOKS:
        with _text(body, found.encoding) as text:
            found = replace(found, shape=shape_of(name, text))
    met, misses, languages, domains = _Met(), Counter[str](), Counter[str](), Counter[str]()
    later = Counter[tuple[str, str]]()  # domains of what is modern or classical as the whole file is
    words, rows, own = Evidence(), 0, 0
    for _, read, said in _of_chinese(_raw(name, body, choices, found, met), choices):
        rows += 1
        if not met.plans and met.strange.total() >= _STRANGE_ROWS:
            break
        if isinstance(read, Miss):
            misses[read.reason] += 1
            continue
        words += said
        likelier = "lzh" if said.classical else "zh"
        decided = abs(said.weight) >= LIKELY
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
        columns={role: [*map(shown, names)] for role, names in usual.columns.items()} if usual else {},
        unused=tuple(map(shown, sorted(known - usual.used)[:_MOST_SHOWN])) if usual and usual.form != "herb" else (),
        notes=dict(+met.notes),
    )


def _check_something(name: str, rows: int, misses: Counter[str], met: _Met, choices: Choices) -> None:
    """Raises UserError where no row of a file can be understood."""
    if met.strange and not met.plans:
        raise not_understood(name, met.strange.most_common(1)[0][0], choices.columns)
    if not rows:
        raise NothingInIt(f"{name} holds nothing: no row and no text")
    if misses[NOT_JSON] + misses[NO_OBJECT] == rows:
        raise UserError(f"{name} is not {ending(name).removeprefix('.').upper()}: no row of it is a JSON object")


def read_file(name: str, body: BinaryIO, choices: Choices | None = None, known: Survey | None = None) -> Iterator[Read]:
    """(number, records or miss) of every row, herb or chapter of a file, as it streams by.

    known: what its survey said; without it the file is surveyed first. Raises UserError for an unknown form.
    """
    choices = choices or Choices()
    known = known or survey(name, body, choices)
    for place, read, said in _of_chinese(_raw(name, body, choices, known, _Met()), choices):
        yield place, read if isinstance(read, Miss) else _judged(read, said, choices, known.words)


def ending(name: str) -> str:
    """A file's ending, if it is one of `ENDINGS`. Raises UserError."""
    found = Path(name).suffix.lower()
    if found not in ENDINGS:
        raise UserError(f"{name} has an unsupported format; choose from: {', '.join(ENDINGS)}")
    return found


# --- reading -----------------------------------------------------------------------------------------------------


@contextmanager
def _text(body: BinaryIO, encoding: Encoding | None) -> Iterator[io.TextIOWrapper]:
    """The file's text from its start, without a byte order mark; the file stays open behind it."""
    assert encoding is not None
    body.seek(0)
    text = io.TextIOWrapper(body, encoding.name, errors="replace", newline="")
    try:
        if text.read(1) != "\ufeff":
            text.seek(0)
        yield text
    finally:
        text.detach()


def _raw(name: str, body: BinaryIO, choices: Choices, known: Survey, met: _Met) -> Iterator[Read]:
    """What stands at every place, not yet judged."""
    this = ending(name)
    body.seek(0)
    if this in ARROW_TABLES:
        yield from enumerate(_planned(arrow_rows(name, this, body), choices, met), start=1)
        return
    with _text(body, known.encoding) as text:
        if known.shape is not None:
            found = (one if isinstance(one, Miss) else [one] for one in chapters(name, text, known.shape, met.notes))
            yield from enumerate(found, start=1)
        else:
            yield from enumerate(_planned(text_rows(this, text), choices, met), start=1)


def _planned(rows: Iterator[Row], choices: Choices, met: _Met) -> Iterator[Records | Miss]:
    known: dict[tuple, Plan | None] = {}
    for row in rows:
        if isinstance(row, Miss):
            yield row
            continue
        row, plan = _plan_of(row, choices, known)
        columns = tuple(row)
        if plan is None:
            if len(met.strange) < _MOST_FORMS or columns in met.strange:
                met.strange[columns] += 1
            yield Miss(NO_COLUMN)
            continue
        if len(met.plans) < _MOST_FORMS or (columns, plan) in met.plans:
            met.plans[columns, plan] += 1
        yield read_row(row, plan, met.notes)


def _plan_of(row: dict, choices: Choices, known: dict[tuple, Plan | None]) -> tuple[dict, Plan | None]:
    """The row, opened where its outer columns are not what is asked for or understood, and how it is read."""

    def plan(columns: tuple) -> Plan | None:
        if columns not in known:
            if len(known) >= _MOST_FORMS:  # rows whose keys are data: what was learnt of them is no use
                known.clear()
            known[columns] = plan_for(columns, choices.columns)
        return known[columns]

    found = plan(tuple(row))
    within = any(NESTED in column for column in choices.columns.values())
    if (found is None or within) and any(isinstance(value, dict) for value in row.values()):
        row = opened(row)
        found = plan(tuple(row))
    return row, found or (None if choices.columns else talk_at_need(row))


# --- judging -----------------------------------------------------------------------------------------------------


def _words(one: Document | CorpusQA) -> str:
    return one.text if isinstance(one, Document) else f"{one.question}\n{one.answer}"


def _of_chinese(rows: Iterator[Read], choices: Choices) -> Iterator[tuple[int, Records | Miss, Evidence]]:
    """Every row with what it says of its language; a miss where it is mojibake or of no language that Chinese has.

    Rows are weighed many at a time.
    """
    for some in _together(rows):
        sound = _sound([read for _, read in some])
        words = ["" if isinstance(read, Miss) else "\n".join(map(_words, read)) for read in sound]
        for (place, _), read, said in zip(some, sound, evidence_of(words), strict=True):
            foreign = not isinstance(read, Miss) and choices.language == "auto" and not said.chinese
            yield place, Miss(NOT_CHINESE) if foreign else read, said


def _together(rows: Iterator[Read]) -> Iterator[list[Read]]:
    """Rows as many at a time as are quick to weigh."""
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


def _sound(rows: list[Records | Miss]) -> list[Records | Miss]:
    """The rows, of which those are misses that are mojibake throughout; `clean` takes a garbled record out of a row."""
    texts = [[] if isinstance(read, Miss) else [f"{one.title}\n{_words(one)}" for one in read] for read in rows]
    suspect = iter(pl.Series([text for several in texts for text in several], dtype=pl.String).str.contains(SUSPECT))
    found: list[Records | Miss] = []
    for read, several in zip(rows, texts, strict=True):
        doubted = list(islice(suspect, len(several)))
        bad = bool(several) and all(doubted) and all(map(garbled, several))
        found.append(Miss("mojibake") if bad else read)
    return found


def _judged(read: Records, said: Evidence, choices: Choices, around: Evidence) -> Records:
    """The records with the language and domain that their words, their file or a person say."""
    language = language_of(said, around) if choices.language == "auto" else choices.language
    return [replace(one, language=language, domain=_domain(one, choices, language)) for one in read]


def _domain(one: Document | CorpusQA, choices: Choices, language: str) -> str:
    return choices.domain if choices.domain != "auto" else one.domain or domain_of(_words(one), language)
