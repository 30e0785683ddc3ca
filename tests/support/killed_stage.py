"""A basic stage as a process that is killed with -9 at work: run again, it leaves what an undisturbed one does.

The tests are in `stages/test_killed.py`, and for perplexity, which needs torch, in `stages/test_perplexity.py`.
"""

import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl

from chimed.__main__ import main
from chimed.build import order
from chimed.build.options import Options
from chimed.schema import RECORD
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import open_store
from support import forks
from support.samples import document, rows

BUILD = "2026.11.22"
PARTS, ROWS = 3, 1_200  # of a part: more than are scored exactly at once
TRIES = 5  # a process may end before the blow
HERB = '<h1>{0}</h1><div class="info_txt">{0}，味甘，性平，归心、肺经。</div>'


def left_behind(pattern: str) -> Callable[[Path], bool]:
    """Whether a file of that name is there."""
    return lambda folder: any(folder.glob(pattern))


def some_scored(folder: Path) -> bool:
    """Whether a score is in the store."""
    with sqlite3.connect(f"file:{folder}/store.db?mode=ro", uri=True, timeout=10) as store:
        return store.execute("select count(*) from perplexities").fetchone()[0] > 0


# when a stage is at work: one crawl of several is read, pairs are found and not compared yet, a shard of several is
# done, some texts are scored, tables are being written
AT_WORK = {
    "extract": left_behind("lake/extracts/*/*/report.json"),
    "dedup": left_behind(f"lake/steps/{BUILD}/dedup/bucket/report-*.json"),
    "clean": left_behind(f"lake/builds/{BUILD}/clean/report-*.json"),
    "perplexity": some_scored,
    "filter": left_behind(f"lake/builds/{BUILD}/filter/*.part"),
    "decontaminate": left_behind(f"lake/builds/{BUILD}/decontaminate/report-*.json"),
}


def texts() -> pl.DataFrame:
    """Rows with tags, copies, near copies, perplexities, and here and there an exam question."""
    chance = random.Random(3)
    letters = [chr(code) for code in range(0x4E00, 0x4E00 + 3_000)]
    made: list[str] = []
    for n in range(PARTS * ROWS):
        words = "".join(chance.choices(letters, k=chance.randint(30, 50)))
        words = made[-1] + "也" * (n % 2) if n % 10 == 9 else words
        made.append(words + question(n) if n % 50 == 0 else words)
    table = rows(*(document(f"<p>{text}</p>", url=f"http://a/{n}") for n, text in enumerate(made)))
    scores = pl.Series("perplexity", [chance.uniform(5, 50) for _ in made])
    table = table.unique("id", keep="first", maintain_order=True)
    return table.with_columns(scores.head(len(table)), tokens=pl.lit(99, pl.Int32))


def question(n: int) -> str:
    """One of some exam questions."""
    return f"第{n % 7}位患者头痛三天，伴有恶心呕吐，首选的检查是哪一项"


def prepared(folder: Path, stage: str) -> None:
    """A lake in which all before `stage` is done, a store, and exams."""
    lake = open_lake(str(folder / "lake"))
    shards = [["zydcd/c0", "zydcd/c1", "zydcd/c2"]]
    options = Options(part_rows=ROWS).model_dump(mode="json")
    made = {"version": BUILD, "options": options, "shards": shards, "stages": order.stages_for_build_json()}
    lakes.write_json(lake, f"builds/{BUILD}/build.json", made)
    (folder / "exams" / "test").mkdir(parents=True)
    asked = "\n".join(f"{n},{question(n)},甲,乙,丙,丁,A" for n in range(7))
    (folder / "exams" / "test" / "made_up.csv").write_text(f",Question,A,B,C,D,Answer\n{asked}\n", encoding="utf-8")
    if stage == "extract":
        for crawl in range(3):
            crawled(lake, f"raw/zydcd/c{crawl}", range(crawl * 200, crawl * 200 + 300))
    parts = 1 if stage == "perplexity" else PARTS  # one is slow enough
    for before in order.NAMES[: order.NAMES.index(stage)]:
        table, counts = texts(), {"parts": parts, "figures": {}}
        for n in range(parts):
            lakes.write_json(lake, f"builds/{BUILD}/{before}/report-{n:05d}.json", counts)
            part = table.slice(n * ROWS, ROWS)
            lakes.write_table(lake, f"builds/{BUILD}/{before}/kept-{n:05d}.parquet", part, RECORD)
    if stage not in ("extract", "perplexity"):
        lakes.write_json(lake, f"builds/{BUILD}/build.json", made | {"shards": shards * PARTS})
    open_store(f"sqlite:///{folder}/store.db").engine.dispose()


def crawled(lake: Lake, path: str, numbers: range) -> None:
    """A finished crawl of pages with these numbers."""
    archive = warc.open_archive(lake, path)
    for n in numbers:
        head, body = [("Content-Type", "text/html; charset=utf-8")], HERB.format(f"药{n}").encode()
        page = f"/zhongyi/zy{n:05d}aa/"
        one = warc.Exchange(f"http://www.zydcd.com{page}", f"GET {page} HTTP/1.1", [], 200, "OK", head, body)
        warc.write_exchange(archive, one, "detail")
    warc.close_archive(archive)
    lakes.write_json(lake, f"{path}/report.json", {"pages": len(numbers)})


def run(folder: str, stage: str, model: str) -> None:
    """What the process does: the command line, in that folder."""
    os.environ |= {
        "TMPDIR": folder,
        "CHIMED_DATA": f"{folder}/lake",
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "CHIMED_EXAMS": f"{folder}/exams",
        "CHIMED_PERPLEXITY_MODEL": model,
    }
    settings.cache_clear()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["chimed", "run", stage, "--build", BUILD]
    main()


def started(folder: Path, stage: str, model: str) -> BaseProcess:
    """The stage as the command line runs it."""
    return forks.started(run, str(folder), stage, model)


def ended(process: BaseProcess) -> int | None:
    """The exit code of a process, when it has ended."""
    process.join()
    return process.exitcode


def tables(folder: Path, stage: str) -> dict[str, bytes]:
    """Every table of a stage."""
    return {file.name: file.read_bytes() for file in (folder / "lake" / "builds" / BUILD / stage).glob("*.parquet")}


def reports(folder: Path, stage: str) -> int:
    return len(list((folder / "lake" / "builds" / BUILD / stage).glob("report-*.json")))


def killed(prepared: Path, folder: Path, stage: str, model: str) -> None:
    """A copy of the folder in which the stage was killed in mid-work."""
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepared, folder)
        process = started(folder, stage, model)
        while process.is_alive() and not AT_WORK[stage](folder):
            time.sleep(0.001)
        process.kill()
        if ended(process) == -signal.SIGKILL:
            return
    raise AssertionError(f"{stage} was done before it could be killed, {TRIES} times")


def leaves_the_same_files(folder: Path, stage: str, model: str = "") -> None:
    """Kill a stage, run it again, and compare its tables with those of an undisturbed one. model: for perplexity."""
    prepared(folder / "prepared", stage)
    whole, broken = folder / "whole", folder / "broken"
    shutil.copytree(folder / "prepared", whole)
    assert ended(started(whole, stage, model)) == 0
    killed(folder / "prepared", broken, stage, model)
    assert reports(broken, stage) < reports(whole, stage)
    assert ended(started(broken, stage, model)) == 0
    assert len(tables(whole, stage)) > 1
    assert tables(broken, stage) == tables(whole, stage)
