"""Rows as a test needs them, and what a corpus stage makes of a few."""

import zlib
from datetime import UTC, datetime
from types import ModuleType

import polars as pl
from chimed.build.corpus import Parts, split

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.schema import record_id, table


def document(text: str | None, **changes: object) -> dict:
    """A document's row, `changes` on top."""
    row = {
        "source": "zhongyoo", "domain": "tcm", "kind": "document", "language": "zh", "title": "茯苓", "text": text,
        "url": "http://www.zhongyoo.com/name/fuling_1.html", "fetched": datetime(2026, 11, 16, tzinfo=UTC),
        "page": "raw/zhongyoo/2026-11-16/a.warc.gz#0", **changes,
    }  # fmt: skip
    return {**row, "id": row.get("id") or record_id(row)}


def qa(question: str, answer: str, **changes: object) -> dict:
    """A question's row, `changes` on top."""
    said = {"kind": "qa", "question": question, "answer": answer}
    url = f"https://www.120ask.com/question/{zlib.crc32(question.encode())}.htm"
    return document(None, **{"source": "ask120", "domain": "general", "url": url, **said, **changes})


def rows(*several: dict) -> pl.DataFrame:
    """Rows as a table."""
    return table(list(several))


def judged(stage: ModuleType, table: pl.DataFrame, work: Work) -> Outcome:
    """What a corpus stage makes of a table in memory."""
    return split(table, stage.judge(Parts(frame=table), work))
