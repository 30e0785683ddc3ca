"""Turn what a parser returned into a row of the records' table."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from chimed.schema import RECORD, keyed_hash, record_id
from chimed.sources.parsed import QA, CorpusQA, Document


def record_from_page(
    parsed: Document | QA, *, source: str, url: str, fetched: datetime, page: str, key: bytes | None = None
) -> dict[str, Any]:
    """Return a record row (`RECORD`) from what a parser returned and where it came from; `ended` of a conversation that
    was not read to its end is one more key.

    key: the store's (`store.secret`); with it the id is a keyed hash, as for rows of corpora.
    """
    row = dict.fromkeys(RECORD.names)
    row.update(
        source=source,
        domain=parsed.domain,
        language=parsed.language if isinstance(parsed, Document | CorpusQA) else "zh",
        url=url,
        title=parsed.title,
        published=parsed.published,
        fetched=fetched,
        page=page,
    )
    if isinstance(parsed, Document):
        row.update(kind="document", text=parsed.text)
    else:
        row.update(kind="qa", question=parsed.question, answer=parsed.answer, adopted=parsed.adopted)
        row["department"] = " > ".join(parsed.department) or None
        row["turns"] = [asdict(turn) for turn in parsed.turns] or None
        if parsed.ended:
            row["ended"] = parsed.ended
    row["id"] = keyed_hash(key, record_id(row)) if key else record_id(row)
    return row
