"""Rows as TRL and LLaMA-Factory take them, split by page (paper §3.3, Table 3).

`pretrain` holds documents (`text`), `sft` questions and answers with what was said afterwards (`messages`),
`preference` the judged pairs (`prompt`, `chosen`, `rejected`), `reasoning` questions whose answer begins with what was
thought (`messages`); every row carries where it comes from. Rows are ordered by id, and a page's rows are all on one
side, so the same records give the same bytes.
"""

import io
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.release import SUBSETS, TABLES
from chimed.schema import OF_PAIRS, QUALITY, RECORD, content_id
from chimed.turns import messages

VALIDATION = 0.05  # share of pages whose rows are for validation: ours
GROUP = 2_000  # rows of a row group: who reads a few rows of a large release decodes no more than their groups
KINDS = {"pretrain": "document", "sft": "qa", "preference": "preference", "reasoning": "reasoning"}
# what a model learns from: a text, or lists of messages
WORDS = {
    "pretrain": ("text",),
    "sft": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
    "reasoning": ("messages",),
}
# How Qwen3's template writes a thought before an answer and reads it from one; TRL's forms of it do, too
THOUGHT = "<think>\n", "\n</think>\n\n"

_MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]))
_PROVENANCE = [
    *(RECORD.field(name) for name in ("id", "source", "domain", "language", "department", "url", "title", "parent")),
    pa.field("made_by", pa.string()),  # the record's `prompt`: to TRL a column of that name is a conversation's
    *(RECORD.field(name) for name in ("model", "evidence", "published", "fetched", "page")),
    RECORD.field("perplexity"),  # to two places, so that it is the same on every machine
    *(RECORD.field(name) for name in QUALITY),  # so are they
]
COLUMNS = {
    "pretrain": pa.schema([pa.field("text", pa.string(), False), *_PROVENANCE]),
    "sft": pa.schema([pa.field("messages", _MESSAGES, False), *_PROVENANCE]),
    "preference": pa.schema(
        [
            *(pa.field(name, _MESSAGES, False) for name in ("prompt", "chosen", "rejected")),
            *_PROVENANCE,
            *(RECORD.field(name) for name in OF_PAIRS),
        ]
    ),
    "reasoning": pa.schema([pa.field("messages", _MESSAGES, False), *_PROVENANCE]),
}
# Columns that a release of an earlier version may lack
ADDED = (*OF_PAIRS, *QUALITY)

# LLaMA-Factory's description of the JSONL files (its data/README.md): an answer of a pair is one message, not a list
_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_TALK = {"formatting": "sharegpt", "tags": {**_TAGS, "system_tag": "system"}}
_SHAPES: dict[str, dict[str, Any]] = {
    "pretrain": {"columns": {"prompt": "text"}},
    "sft": {**_TALK, "columns": {"messages": "messages"}},
    "preference": {
        **_TALK,
        "ranking": True,
        "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
    },
    "reasoning": {**_TALK, "columns": {"messages": "messages"}},
}


def dataset_info(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """LLaMA-Factory's `dataset_info.json`, an entry for each table with rows.

    files: by table (`<subset>/<split>`) where its JSON lines lie, a file or a folder: LLaMA-Factory reads both.
    """
    return {
        f"chimed_{subset}{'' if split == 'train' else f'_{split}'}": {"file_name": files[name], **_SHAPES[subset]}
        for name in TABLES
        if name in files
        for subset, split in (name.split("/"),)
    }


def tables_of(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return records (columns of `RECORD`) as the eight tables of a release, `<subset>/<split>`, with `COLUMNS`."""
    tables = {}
    for subset in SUBSETS:
        rows = shaped(records.filter(pl.col("kind") == KINDS[subset]).sort("id"), subset)
        urls = rows["url"].unique()
        held = urls.filter(pl.Series([is_validation(url) for url in urls], dtype=pl.Boolean))
        is_held = rows["url"].is_in(held.implode())
        tables[f"{subset}/train"], tables[f"{subset}/validation"] = rows.filter(~is_held), rows.filter(is_held)
    return tables


def is_validation(url: str) -> bool:
    """Whether a page's rows are for validation: by its URL's hash, so the side never changes between releases."""
    return int(content_id(url), 16) / 2**64 < VALIDATION


def shaped(records: pl.DataFrame, subset: str) -> pl.DataFrame:
    """Return records of a subset's kind with its `COLUMNS`."""
    asked, answered = _said("user", "question"), _said("assistant", "answer")
    records = records.with_columns(pl.col("perplexity").round(2), made_by=pl.col("prompt"))
    if subset == "sft":
        records = records.with_columns(messages(records))
    if subset == "reasoning":
        thought = pl.concat_str(pl.lit(THOUGHT[0]), "reasoning", pl.lit(THOUGHT[1]), "answer")
        said = pl.struct(role=pl.lit("assistant"), content=thought)
        records = records.with_columns(messages=pl.concat_list(asked, said))
    if subset == "preference":
        records = records.with_columns(
            prompt=pl.concat_list(asked),
            chosen=pl.concat_list(answered),
            rejected=pl.concat_list(_said("assistant", "rejected")),
        )
    return records.select(COLUMNS[subset].names)


def split_thought(answer: str) -> tuple[str, str]:
    """Return the thought and the answer of an answer in the subset `reasoning`; the thought is empty if it has none."""
    opened, closed = THOUGHT
    thought, found, rest = answer.partition(closed)
    return (thought.removeprefix(opened), rest) if found and thought.startswith(opened) else ("", answer)


def _said(role: str, column: str) -> pl.Expr:
    return pl.struct(role=pl.lit(role), content=pl.col(column))


def measured(of: Callable[[pl.Expr], pl.Expr], subset: str) -> pl.Expr:
    """Return a measure of the words that a model learns from, added up over a row of a subset's table.

    Those are a text; all messages of a conversation; question and both answers. of: the measure of one text, such as
    its bytes.
    """
    each = [
        of(pl.col(name)) if subset == "pretrain" else pl.col(name).list.eval(of(_content())).list.sum()
        for name in WORDS[subset]
    ]
    return pl.sum_horizontal(each).cast(pl.Int64)


def _content() -> pl.Expr:
    return pl.element().struct.field("content")


def arrow(table: pl.DataFrame, subset: str) -> pa.Table:
    """Rows of a release with exactly the subset's `COLUMNS`, in one piece: so their bytes do not tell how they came."""
    return table.to_arrow().cast(COLUMNS[subset]).combine_chunks()


def jsonl(table: pl.DataFrame, subset: str) -> bytes:
    """Rows of a release as JSON lines in the shape that `dataset_info` tells LLaMA-Factory of."""
    if subset == "preference":
        table = table.rename({"prompt": "messages"}).with_columns(pl.col("chosen", "rejected").list.first())
    sink = io.BytesIO()
    table.write_ndjson(sink)
    return sink.getvalue()
