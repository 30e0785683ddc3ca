"""Extract on one crawl, and on one ten times as large: rate, and the peak memory that must not grow with it.

    PYTHONPATH=include python tests/benchmarks/extract.py 10 100      (millions of characters)

A crawl is made of `synthetic.py`'s records, each a page of ask.39.net's form; every hundredth is fetched twice, the
second time later. It is read by the commands that a crawl and a build use, each a process of its own, and what they
report is compared with what was written; then the same records are ingested as a corpus. Measured on two cores shared
with other work, at 10 M and 100 M characters: extract 245 and 252 MiB, ingest 246 and 271, the extract stage of a build
(two processes, MiB of the larger) 289 and 338, its largest shard of 15,000 and 20,000 records.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import synthetic
from basic import ROOT, measured, show

from chimed.extraction.crawl_records import read_parts
from chimed.reasons import UNCHANGED
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import Lake, open_lake

SOURCE, CRAWL = "ask39", "2026-11-16"
TWICE = 100  # of so many pages one is fetched again
PAGE = (
    "<html><head><title>{title}</title></head><body><h1>{title}</h1><p class='txt_ms'>{question}</p>"
    "<p class='txt_nametime'><span>2026-11-16 08:00</span></p>"
    "<div class='selected'><div class='sele_all'><p class='sele_txt'>{answer}</p></div></div></body></html>"
)
TAG = re.compile("<[^<>]+>")  # a paragraph would end the site's own
HEAD = [("Content-Type", "text/html; charset=utf-8")]


def write_crawl(lake: Lake, characters: int, seed: int) -> dict[str, int]:
    """Writes a finished crawl; returns its report: pages, and how many of them were fetched twice."""
    folder = f"raw/{SOURCE}/{CRAWL}"
    archive = warc.open_archive(lake, folder)
    pages, twice = 0, 0
    for frame, _ in synthetic.crawl(characters, seed, synthetic.exam(random.Random(seed))):
        exchanges = [_page(pages + n, row) for n, row in enumerate(frame.iter_rows(named=True))]
        for exchange in [*exchanges, *exchanges[::TWICE]]:
            warc.write_exchange(archive, exchange, "detail")
        pages += len(exchanges)
        twice += len(exchanges[::TWICE])
    warc.close_archive(archive)
    report = {"pages": pages + twice, "twice": twice}
    lakes.write_json(lake, f"{folder}/report.json", report)
    return report


def _page(number: int, row: dict) -> warc.Exchange:
    path = f"/question/{number}.html"
    said = {"question": row["question"] or row["title"], "answer": row["answer"] or row["text"]}
    lines = {name: TAG.sub("<br>", text) for name, text in said.items()}
    body = PAGE.format(title=row["title"], **lines).encode()
    return warc.Exchange(f"https://ask.39.net{path}", f"GET {path} HTTP/1.1", [], 200, "OK", HEAD, body)


def write_corpus(lake: Lake, file: Path) -> None:
    """Writes what the crawl's pages gave as a table that can be ingested."""
    report = lakes.read_json(lake, f"extracts/{SOURCE}/{CRAWL}/report.json")
    with file.open("w", encoding="utf-8") as lines:
        for kept, _ in read_parts(lake, report, (0, 1)):
            for row in kept.select("title", "question", "answer").iter_rows(named=True):
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def alone(work: Callable, *arguments: object) -> None:
    """Runs a function in a process of its own: what it holds is not counted as that of the processes measured later."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")


def run(folder: Path, millions: float, seed: int) -> None:
    """Makes the crawl where it is missing, extracts it, ingests it, runs extract of a build; prints what each took."""
    lake = open_lake(str(folder / "lake"))
    environment = {
        "PYTHONPATH": str(ROOT / "include"),
        "CHIMED_DATA": lake.root,
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "TMPDIR": str(folder),
    }
    if not lakes.exists(lake, f"raw/{SOURCE}/{CRAWL}/report.json"):
        alone(write_crawl, lake, int(millions * 1e6), seed)
    for made in ("extracts", "builds", "raw/corpus"):
        shutil.rmtree(folder / "lake" / made, ignore_errors=True)
    chimed, corpus = [sys.executable, "-m", "chimed"], folder / "corpus.jsonl"
    subprocess.run([*chimed, "store", "upgrade"], env={**os.environ, **environment}, check=True)
    costs = [measured("extract", [*chimed, "extract", SOURCE, "--crawl", CRAWL], environment)]
    alone(write_corpus, lake, corpus)
    costs.append(measured("ingest", [*chimed, "ingest", "corpus", str(corpus)], environment))
    measured("build", [*chimed, "build", "--version", "1"], environment)
    costs.append(measured("run extract", [*chimed, "run", "extract", "--build", "1"], environment))
    written = lakes.read_json(lake, f"raw/{SOURCE}/{CRAWL}/report.json")
    report = lakes.read_json(lake, f"extracts/{SOURCE}/{CRAWL}/report.json")
    shards = [
        len(lakes.read_table(lake, f"builds/1/extract/{name}", ["id"]))
        for name in lakes.names(lake, "builds/1/extract")
        if name.startswith("kept-")
    ]
    pages, records, parts = written["pages"], report["records"], sum(report["parts"].values())
    print(f"{millions:g} M characters: {pages} pages gave {records} records in {parts} parts")
    print(f"of these and as many ingested {len(shards)} shards, the largest of {max(shards)} records")
    show(costs, millions, {})
    if (report["pages"], report["dropped"].get(UNCHANGED)) != (written["pages"], written["twice"]):
        raise SystemExit(f"wrong: {json.dumps(written)} were written, {json.dumps(report['dropped'])} left")


def main() -> None:
    """Runs it for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=float, nargs="*", default=[10, 100], help="of characters")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / ".chimed" / "benchmarks")
    chosen = parser.parse_args()
    for millions in chosen.millions:
        run(chosen.folder.resolve() / f"extract-{millions:g}-{chosen.seed}", millions, chosen.seed)


if __name__ == "__main__":
    main()
