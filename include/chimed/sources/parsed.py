"""What a site's parser reads from a page: prose, or questions and answers.

`chimed.extraction.parsed_records` makes records of it.

Light on purpose: a crawl reads pages and writes no table.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Document:
    """What a source's parser reads from a page of prose. `text` keeps its paragraphs as lines."""

    title: str
    text: str
    domain: str
    language: str = "zh"
    published: date | None = None


@dataclass(frozen=True)
class QA:
    """What a source's parser reads from a page with a question: one for each answer that is not an advert."""

    title: str
    question: str
    answer: str
    domain: str
    department: tuple[str, ...] = ()
    published: date | None = None
    adopted: bool = False


@dataclass(frozen=True)
class CorpusQA(QA):
    """What a row of an ingested corpus says of a question, whose language is judged; a site's questions are modern."""

    language: str = "zh"
