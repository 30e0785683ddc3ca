"""What the tests of corpora share: a file's records and misses, read as ingest and extract read them."""

import io

from chimed.extraction.corpus_files import Choices, read_file, survey_file
from chimed.extraction.corpus_files.reading import Survey
from chimed.sources.page import Miss
from chimed.sources.parsed import QA, Document


def read(name: str, body: bytes | str, **choices: object) -> list[Document | QA | Miss]:
    """All records and misses of a file, in order; the records of one row side by side."""
    body = body.encode() if isinstance(body, str) else body
    found = [one for _, one in read_file(name, io.BytesIO(body), Choices(**choices))]
    return [inner for one in found for inner in (one if isinstance(one, list) else [one])]


def look(name: str, body: bytes | str, **choices: object) -> Survey:
    """What a survey says of a file."""
    return survey_file(name, io.BytesIO(body.encode() if isinstance(body, str) else body), Choices(**choices))
