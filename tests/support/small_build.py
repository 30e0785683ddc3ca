"""A small crawl and a small corpus, and a build of them whose first three stages are done: to spoil, kill and audit."""

import dataclasses
import json
import shutil
from pathlib import Path

from chimed.build.builds import new_build
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.crawl import finished
from chimed.extraction import corpus_files
from chimed.pipeline.runner import run_stage
from chimed.settings import Settings
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.contents import sealed
from chimed.storage.store import open_store

HERB = '<h1>{0}</h1><div class="info_txt">{0}，味甘，性平，归心、肺经。{1}</div>'
CRAWL = "raw/zydcd/c1"


def crawled(work: StageContext, folder: str = CRAWL, pages: int = 14, file_bytes: int = 6_000) -> None:
    """A finished crawl of some pages in several WARC files, as `crawl` leaves it."""
    archive = warc.open_archive(work.lake, folder, file_bytes)
    for n in range(pages):
        page, body = f"/zhongyi/zy{n:05d}aa/", HERB.format(f"药{n}", "甲乙丙丁" * n).encode()
        head = [("Content-Type", "text/html; charset=utf-8")]
        one = warc.Exchange(f"http://www.zydcd.com{page}", f"GET {page} HTTP/1.1", [], 200, "OK", head, body)
        warc.write_exchange(archive, one, "detail")
    warc.close_archive(archive)
    report = {"source": "zydcd", "crawl": "c1", "pages": warc.write_index(work.lake, folder)}
    lakes.write_json(
        work.lake, f"{folder}/report.json", sealed(report | {"written": finished.describe_files(work.lake, folder)})
    )


def make(folder: Path) -> StageContext:
    """A build of a crawl and a corpus whose first three stages are done."""
    options, chosen = {"second_opinion": False}, Options(second_opinion=False)
    settings = Settings(data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db")
    work = StageContext("", chosen, lakes.open_lake(settings.data), open_store(settings.store), settings, print)
    crawled(work)
    table = folder / "qa.jsonl"
    lines = [
        json.dumps({"question": f"第{n}个问题是什么？", "answer": f"第{n}个回答，共有{n}句话。"}) for n in range(9)
    ]
    table.write_text("\n".join(lines), encoding="utf-8")
    corpus_files.ingest(work.lake, "asked", [table])
    work = dataclasses.replace(work, build=new_build(work.lake, options))
    for stage in ("extract", "clean", "dedup"):
        run_stage(work, stage)
    return work


def copy(once: StageContext, folder: Path) -> StageContext:
    """A copy of that build, with a store of its own."""
    shutil.copytree(once.lake.root, folder / "lake")
    store = open_store(f"sqlite:///{folder}/store.db")
    return dataclasses.replace(once, lake=lakes.open_lake(str(folder / "lake")), opened=store)
