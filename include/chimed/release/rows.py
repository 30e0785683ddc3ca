"""Rows as TRL and LLaMA-Factory take them, split by page (paper §3.3, Table 3).

`pretrain` holds documents (`text`), `sft` questions and answers (`messages`), `preference` the judged pairs (`prompt`,
`chosen`, `rejected`); every row carries where it comes from. Rows are ordered by id, and a page's rows are all on one
side, so the same records give the same bytes.
"""

import io

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed.release import SUBSETS, TABLES, folder_of
from chimed.schema import RECORD, content_id
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

VALIDATION = 0.05  # share of pages whose rows are for validation: ours
GROUP = 2_000  # rows of a row group: who reads a few rows of a large release decodes no more than their groups
KINDS = {"pretrain": "document", "sft": "qa", "preference": "preference"}

_MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]))
_PROVENANCE = [
    *(RECORD.field(name) for name in ("id", "source", "domain", "language", "department", "url", "title", "parent")),
    pa.field("made_by", pa.string()),  # the record's `prompt`: to TRL a column of that name is a conversation's
    *(RECORD.field(name) for name in ("model", "evidence", "published", "fetched", "page")),
    RECORD.field("perplexity"),  # to two places, so that it is the same on every machine
]
COLUMNS = {
    "pretrain": pa.schema([pa.field("text", pa.string(), False), *_PROVENANCE]),
    "sft": pa.schema([pa.field("messages", _MESSAGES, False), *_PROVENANCE]),
    "preference": pa.schema(
        [*(pa.field(name, _MESSAGES, False) for name in ("prompt", "chosen", "rejected")), *_PROVENANCE]
    ),
}

# LLaMA-Factory's description of the JSONL files (its data/README.md): an answer of a pair is one message, not a list
_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_TALK = {"formatting": "sharegpt", "tags": {**_TAGS, "system_tag": "system"}}
_SHAPES: dict[str, dict] = {
    "pretrain": {"columns": {"prompt": "text"}},
    "sft": {**_TALK, "columns": {"messages": "messages"}},
    "preference": {
        **_TALK,
        "ranking": True,
        "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
    },
}


def dataset_info(tables: dict[str, pl.DataFrame]) -> dict[str, dict]:
    """LLaMA-Factory's `dataset_info.json` for a release's tables: an entry each for those that hold rows."""
    return {
        f"chimed_{subset}{'' if split == 'train' else f'_{split}'}": {"file_name": jsonl_name(name), **_SHAPES[subset]}
        for name in with_rows(tables)
        for subset, split in (name.split("/"),)
    }


def jsonl_name(name: str) -> str:
    """Where a table's (`<subset>/<split>`) JSON lines lie in a release."""
    return f"jsonl/{name.replace('/', '.')}.jsonl"


def with_rows(tables: dict[str, pl.DataFrame]) -> list[str]:
    """The tables that get files: `datasets` cannot load a file without rows."""
    return [name for name in TABLES if len(tables[name])]


def tables_of(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Records (columns of `RECORD`) as the six tables of a release, `<subset>/<split>`, with `COLUMNS`."""
    tables = {}
    for subset in SUBSETS:
        rows = _shaped(records.filter(pl.col("kind") == KINDS[subset]).sort("id"), subset)
        held = pl.Series([is_validation(url) for url in rows["url"]], dtype=pl.Boolean)
        tables[f"{subset}/train"], tables[f"{subset}/validation"] = rows.filter(~held), rows.filter(held)
    return tables


def is_validation(url: str) -> bool:
    """Whether a page's rows are for validation: by its URL's hash, so the side never changes between releases."""
    return int(content_id(url), 16) / 2**64 < VALIDATION


def _shaped(records: pl.DataFrame, subset: str) -> pl.DataFrame:
    asked, answered = _said("user", "question"), _said("assistant", "answer")
    records = records.with_columns(pl.col("perplexity").round(2), made_by=pl.col("prompt"))
    if subset == "sft":
        records = records.with_columns(messages=pl.concat_list(asked, answered))
    if subset == "preference":
        records = records.with_columns(
            prompt=pl.concat_list(asked),
            chosen=pl.concat_list(answered),
            rejected=pl.concat_list(_said("assistant", "rejected")),
        )
    return records.select(COLUMNS[subset].names)


def _said(role: str, column: str) -> pl.Expr:
    return pl.struct(role=pl.lit(role), content=pl.col(column))


def parquet(table: pl.DataFrame, subset: str) -> bytes:
    """A table of a release as a parquet file (zstd) with exactly the subset's `COLUMNS`."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.to_arrow().cast(COLUMNS[subset]), sink, compression="zstd", row_group_size=GROUP)
    return sink.getvalue().to_pybytes()


def jsonl(table: pl.DataFrame, subset: str) -> bytes:
    """A table of a release as JSON lines in the shape that `dataset_info` tells LLaMA-Factory of."""
    if subset == "preference":
        table = table.rename({"prompt": "messages"}).with_columns(pl.col("chosen", "rejected").list.first())
    sink = io.BytesIO()
    table.write_ndjson(sink)
    return sink.getvalue()


def read_tables(lake: Lake, version: str) -> dict[str, pl.DataFrame]:
    """The six tables of a release of this lake, as `tables_in` reads them."""
    return tables_in(lake, folder_of(version))


def tables_in(lake: Lake, folder: str) -> dict[str, pl.DataFrame]:
    """The six tables in a release's folder, `<subset>/<split>`; a column that is younger than the release is null.

    A table without rows has no file; the statistics say which. Raises FileNotFoundError.
    """
    rows = lakes.read_json(lake, f"{folder}/{layout.STATISTICS}")["splits"]
    tables = {}
    for name in TABLES:
        columns = pl.DataFrame(COLUMNS[name.split("/")[0]].empty_table()).schema
        if not rows[name]:
            tables[name] = pl.DataFrame(schema=columns)
            continue
        table = lakes.read_table(lake, f"{folder}/{name}.parquet")
        young = [pl.lit(None, kind).alias(column) for column, kind in columns.items() if column not in table.columns]
        tables[name] = table.with_columns(young).select(columns.names())
    return tables
