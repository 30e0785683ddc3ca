"""Read existing corpora as records: tables, conversations, books, Hugging Face folders (paper §3.1).

`ingest` stores the files in the lake unchanged, like a crawl's pages; extract reads them with `read_file`, so a
corrected reader needs no second ingestion. Memory holds one row or chapter at a time, none longer than
`lines.MAX_CELL_LENGTH`.

- `files`: which files go into the lake, and what the user says about them and their rights
- `reading`: survey and read one file · `encoding`, `language`, `domain`: what the text itself says about them
- `tables`, `columns`, `rows`, `turns`: .csv .tsv .jsonl .json .parquet .arrow · `books`: .txt .md · `lines`: both
"""

from chimed.extraction.corpus_files.columns import parse_columns
from chimed.extraction.corpus_files.files import (
    corpus_address,
    fingerprint_text,
    ingest,
    recorded_choices,
    recorded_survey,
)
from chimed.extraction.corpus_files.reading import Choices, read_file, survey_file

__all__ = [
    "Choices", "corpus_address", "fingerprint_text", "ingest", "parse_columns", "read_file", "recorded_choices",
    "recorded_survey", "survey_file",
]  # fmt: skip
