"""Corpora that exist already, as records: tables, conversations, books, Hugging Face folders (paper §3.1).

`ingest` puts the files into the lake as they are, as a crawl's pages are; extract reads them with `read_file`, so a
mended reader needs no second ingestion. What is held at once is a row or a chapter, and none longer than `lines.CELL`.

- `files`: which files, into the lake; what a person said of them and their rights
- `reading`: one file, surveyed and read · `encoding`, `language`, `domain`: what the text itself says of them
- `tables`, `columns`, `rows`, `turns`: .csv .tsv .jsonl .json .parquet .arrow · `books`: .txt .md · `lines`: both
"""

from chimed.extraction.corpus_files.columns import asked_columns
from chimed.extraction.corpus_files.files import address, fingerprinted, ingest, kept_choices, kept_survey
from chimed.extraction.corpus_files.reading import Choices, read_file, survey

__all__ = [
    "Choices", "address", "asked_columns", "fingerprinted", "ingest", "kept_choices", "kept_survey", "read_file",
    "survey",
]  # fmt: skip
