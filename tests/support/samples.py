"""Rows as a test needs them, and what a stage that has to know the whole corpus makes of a few."""

import zlib
from datetime import UTC, datetime
from types import ModuleType

import polars as pl

from chimed.build import order
from chimed.build.builds import read_dropped, read_stage
from chimed.build.context import StageContext
from chimed.build.ledger import Outcome
from chimed.llm.asking import ask_models
from chimed.pipeline.runner import run_stage
from chimed.schema import RECORD, record_id, table
from chimed.storage import lake as lakes


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


def prepared(stage: str, table: pl.DataFrame, work: StageContext, parts: int = 1) -> None:
    """A build in which the stage before `stage` is done and has left this table, in so many parts."""
    for folder in (f"builds/{work.build}/{stage}", f"steps/{work.build}"):
        if lakes.exists(work.lake, folder):
            lakes.remove_folder(work.lake, folder)
    made = {"version": work.build, "options": {}, "stages": order.stages_for_build_json()}
    made["shards"] = [[f"zhongyoo/{n}"] for n in range(parts)]
    lakes.write_json(work.lake, f"builds/{work.build}/build.json", made)
    size = -(-len(table) // parts)
    before = order.previous_stage(stage)
    assert before is not None
    for n in range(parts):
        path = f"builds/{work.build}/{before.name}/report-{n:05d}.json"
        report = lakes.read_json(work.lake, path) if lakes.exists(work.lake, path) else {"figures": {}}
        part = table.slice(n * size, size)
        told = lakes.write_table(work.lake, path.replace("report", "kept").replace("json", "parquet"), part, RECORD)
        report |= {"parts": 1, "kept": len(part), "written": {f"kept-{n:05d}.parquet": told}}
        lakes.write_json(work.lake, path, report)


def judged(stage: ModuleType, table: pl.DataFrame, work: StageContext, parts: int = 1) -> Outcome:
    """What a stage that has to know the whole corpus makes of a table; its figures are those of the first part."""
    name = stage.__name__.rpartition(".")[2]
    prepared(name, table, work, parts)
    reports = run_stage(work, name)
    kept, dropped = read_stage(work.lake, work.build, name), read_dropped(work.lake, work.build, name)
    return Outcome(kept, dropped, figures=reports[0]["figures"])


def model_outcome(stage: ModuleType, table: pl.DataFrame, work: StageContext) -> Outcome:
    """What a stage that asks models makes of a table in memory."""
    return ask_models(stage.__name__.rpartition(".")[2], stage.STAGE, table, work)
