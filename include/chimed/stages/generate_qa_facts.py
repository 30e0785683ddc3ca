"""generate_qa, step 1 of 2, of each part: read what its entries of herbs and formulas state.

Taken only for questions over two steps. A formula's row and its herbs' rows lie in different parts, so their facts are
brought together first. An entry is read by rule (`chimed.text.graph`), and only of a page's own words: what a model
made of them is no statement of their source. The step writes the part's entries, a row each.
"""

from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, write_groups
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.text.two_steps.points import read_told

_FACT = pa.struct(
    [
        *(pa.field(name, pa.string()) for name in ("relation", "kind", "object", "value", "condition")),
        *(pa.field(name, pa.int32()) for name in ("start", "end")),
    ]
)
ENTRIES = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("id", "url", "source", "page", "text", "kind", "name")),
        pa.field("facts", pa.list_(_FACT)),  # those that points are made of
    ]
)
READ = ["id", "url", "source", "page", "title", "text", "kind", "language", "parent"]


def run(work: StageContext, corpus: Corpus, part: int) -> dict[str, Any]:
    """Write the entries of a part."""
    batches = lakes.read_batches(work.lake, corpus.before(part), READ, RECORD)
    found = pl.concat([pl.DataFrame(schema=pl.Schema(ENTRIES)), *map(entries_of, batches)])
    write_groups(work.lake, corpus.path("facts", file_of(part)), [found], ENTRIES)
    return {"entries": len(found)}


def file_of(part: int) -> str:
    """Return the name of the file with a part's entries."""
    return f"entries-{part:05d}.parquet"


def entries_of(records: pl.DataFrame) -> pl.DataFrame:
    """Return the entries among these records (columns `READ`), as rows of `ENTRIES`."""
    own = records.filter(
        pl.col("kind") == "document", pl.col("language") == "zh", pl.col("parent").is_null(),
        pl.col("text").str.contains("【", literal=True),
    )  # fmt: skip
    rows = []
    for row in own.select("id", "url", "source", "page", "title", "text").to_dicts():
        if entry := read_told(row.pop("title"), row["text"]):
            rows.append({**row, "kind": entry.kind, "name": entry.name, "facts": [vars(fact) for fact in entry.facts]})
    return pl.DataFrame(rows, schema=pl.Schema(ENTRIES))
