"""Define what a site's parser returns: documents, or questions with answers.

`chimed.extraction.parsed_records` turns them into records. This module is light: a crawl reads pages and writes no
table.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Document:
    """A page of prose. `text` keeps its paragraphs as lines."""

    title: str
    text: str
    domain: str
    language: str = "zh"
    published: date | None = None


@dataclass(frozen=True)
class Turn:
    """What somebody said after the answer. role: user, the asker (追问), or assistant, the doctor (追答)."""

    role: str
    text: str


@dataclass(frozen=True)
class QA:
    """A question with one answer; a page gives one for each answer that is not an advert.

    turns: what its asker and its doctor said afterwards, in order. ended: why what follows on the page is not among
    them; empty if nothing follows.
    """

    title: str
    question: str
    answer: str
    domain: str
    department: tuple[str, ...] = ()
    published: date | None = None
    adopted: bool = False
    turns: tuple[Turn, ...] = ()
    ended: str = ""


@dataclass(frozen=True)
class CorpusQA(QA):
    """A question in a row of an ingested corpus.

    Its language is detected; the questions of a site are modern Chinese.
    """

    language: str = "zh"
