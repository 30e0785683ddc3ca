"""The release: three subsets in TRL's columns, statistics, a data card and a manifest (paper §3.3, Tables 3 and 4).

`pretrain` holds documents (`text`), `sft` questions and answers (`messages`), `preference` the judged pairs
(`prompt`, `chosen`, `rejected`); every row carries where it comes from. Rows are ordered by id and split by page, so
the same inputs give the same bytes and no page is on both sides. The manifest is written last: where it is, the
release is whole.
"""

import hashlib
import json
from pathlib import Path

import jinja2
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import chimed
from chimed import lake as lakes
from chimed.build import Outcome, Work, ledger, read_build
from chimed.lake import Lake
from chimed.records import RECORD, content_id

VALIDATION = 0.05  # share of pages whose rows are for validation: ours
SUBSETS = {"pretrain": "document", "sft": "qa", "preference": "preference"}
PAPER_NAMES = {"tcm": "Trad", "general": "Gen"}  # Table 4's columns

_MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]))
_PROVENANCE = [
    RECORD.field(name)
    for name in (
        *("id", "source", "domain", "language", "department", "url", "title", "parent", "prompt", "model", "evidence"),
        *("published", "fetched", "page"),
    )
]
COLUMNS = {
    "pretrain": pa.schema([pa.field("text", pa.string(), False), *_PROVENANCE]),
    "sft": pa.schema([pa.field("messages", _MESSAGES, False), *_PROVENANCE]),
    # a preference's `prompt` is TRL's, so the name of the prompt that made its answers is in `made_by`
    "preference": pa.schema(
        [
            *(pa.field(name, _MESSAGES, False) for name in ("prompt", "chosen", "rejected")),
            *(pa.field("made_by", pa.string()) if field.name == "prompt" else field for field in _PROVENANCE),
        ]
    ),
}


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Writes `releases/<build>/` and keeps every row."""
    folder = f"releases/{work.build}"
    files = {}
    for subset, kind in SUBSETS.items():
        rows = rows_of(records.filter(pl.col("kind") == kind).sort("id"), subset)
        held = [is_validation(row["url"]) for row in rows]
        for split, wanted in (("train", False), ("validation", True)):
            chosen = [row for row, validation in zip(rows, held, strict=True) if validation is wanted]
            files[f"{subset}/{split}.parquet"] = _write(work.lake, folder, f"{subset}/{split}.parquet", chosen, subset)
    numbers = statistics(records)
    before = previous(work.lake, work.build)
    change = difference(work.lake, before, records)
    lakes.write_json(work.lake, f"{folder}/statistics.json", numbers | {"since": change})
    entries = ledger(work.lake, work.build)
    card = render_card(work, records, numbers, entries, files, change)
    lakes.write_bytes(work.lake, f"{folder}/README.md", card.encode())
    inputs = read_build(work.lake, work.build)
    manifest = {
        "version": work.build,
        "code": chimed.__version__,
        "options": inputs["options"],
        "crawls": sorted(crawl for shard in inputs["shards"] for crawl in shard),
        "prompts": sorted(records["prompt"].drop_nulls().unique()),
        "models": sorted(records["model"].drop_nulls().unique()),
        "files": files,
    }
    lakes.write_json(work.lake, f"{folder}/manifest.json", manifest)
    return Outcome(kept=records, figures=numbers)


def is_validation(url: str) -> bool:
    """Whether a page's rows are for validation: by its URL's hash, so the side never changes between releases."""
    return int(content_id(url), 16) / 2**64 < VALIDATION


def rows_of(records: pl.DataFrame, subset: str) -> list[dict]:
    """Records as rows of a subset's columns (`COLUMNS`)."""
    return [_row(record, subset) for record in records.to_dicts()]


def _row(record: dict, subset: str) -> dict:
    row = {field.name: record.get(field.name) for field in COLUMNS[subset]}
    if subset == "pretrain":
        return row
    asked, answered = _said("user", record["question"]), _said("assistant", record["answer"])
    if subset == "sft":
        return row | {"messages": asked + answered}
    rejected = _said("assistant", record["rejected"])
    return row | {"prompt": asked, "chosen": answered, "rejected": rejected, "made_by": record["prompt"]}


def _said(role: str, content: str) -> list[dict]:
    return [{"role": role, "content": content}]


def _write(lake: Lake, folder: str, name: str, rows: list[dict], subset: str) -> dict:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS[subset]), sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    lakes.write_bytes(lake, f"{folder}/{name}", data)
    return {"rows": len(rows), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def statistics(records: pl.DataFrame) -> dict:
    """Table 4 and what a reader asks next: rows by source, questions by department."""
    characters = pl.sum_horizontal(
        pl.col(name).str.len_chars().fill_null(0) for name in ("text", "question", "answer", "rejected")
    )
    subset = pl.col("kind").replace_strict({kind: name for name, kind in SUBSETS.items()}, default=None)
    counted = records.with_columns(characters=characters, subset=subset)
    table = counted.group_by("subset", "domain").agg(rows=pl.len(), characters=pl.col("characters").sum())
    sources = counted.group_by("subset", "source").len("rows").sort("subset", "source")
    departments = counted.filter(pl.col("kind") == "qa").group_by("department").len("rows")
    return {
        "table 4": table.sort("subset", "domain").to_dicts(),
        "sources": sources.to_dicts(),
        "departments": departments.sort("rows", "department", descending=[True, False], nulls_last=True).to_dicts(),
        "characters": int(counted["characters"].sum()),
        "instances": len(counted),
    }


def previous(lake: Lake, version: str) -> str | None:
    """The release before this one; None for the first."""
    whole = [name for name in lakes.names(lake, "releases") if lakes.exists(lake, f"releases/{name}/manifest.json")]
    numbers = {name: [int(part) for part in name.split(".") if part.isdigit()] for name in {*whole, version}}
    earlier = [name for name in whole if numbers[name] < numbers[version]]
    return max(earlier, key=numbers.__getitem__, default=None)


def difference(lake: Lake, before: str | None, records: pl.DataFrame) -> dict | None:
    """Rows added and removed since the release before, by subset; None for the first."""
    if before is None:
        return None
    changes = {}
    for subset, kind in SUBSETS.items():
        old: set[str] = set()
        for split in ("train", "validation"):
            old |= set(lakes.read_table(lake, f"releases/{before}/{subset}/{split}.parquet")["id"])
        new = set(records.filter(pl.col("kind") == kind)["id"])
        changes[subset] = {"added": len(new - old), "removed": len(old - new), "same": len(new & old)}
    return {"release": before, "subsets": changes}


def render_card(
    work: Work, records: pl.DataFrame, numbers: dict, entries: list[dict], files: dict, change: dict | None
) -> str:
    """The Hugging Face data card; every number in it is from the build, crawled words are quoted and escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    nothing = {(subset, name): {"characters": 0, "rows": 0} for subset in SUBSETS for name in PAPER_NAMES.values()}
    return environment.get_template("card.md.j2").render(
        build=work.build,
        code=chimed.__version__,
        numbers=numbers,
        table4=nothing | {(row["subset"], PAPER_NAMES[row["domain"]]): row for row in numbers["table 4"]},
        ledger=entries,
        files=files,
        change=change,
        options=work.options.model_dump(mode="json"),
        models=sorted(records["model"].drop_nulls().unique()),
        examples=_examples(records),
    )


def _examples(records: pl.DataFrame) -> list[dict]:
    """One row for each subset and domain, as in Table 3: the first by id, cut to a readable length."""
    first = records.sort("id").unique(["kind", "domain"], keep="first", maintain_order=True).sort("kind", "domain")
    names = ("text", "question", "answer", "rejected")
    return [
        {"id": row["id"], "kind": row["kind"], "domain": PAPER_NAMES[row["domain"]], "source": row["source"]}
        | {"words": {name: _quoted(row[name][:300]) for name in names if row[name]}}
        for row in first.to_dicts()
    ]


def _quoted(text: str) -> str:
    """A crawled text as a JSON string in which no markup can begin."""
    return json.dumps(text, ensure_ascii=False).replace("<", "\\u003c").replace("`", "\\u0060")
