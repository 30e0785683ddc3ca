"""A state of the size the pages must bear: two releases, their builds, a store. Texts are random characters."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from chimed.build import order
from chimed.build.options import Options
from chimed.release.rows import tables_of
from chimed.release.sorting import of_tables
from chimed.release.write import write_release
from chimed.schema import DROPPED, DROPPED_COLUMNS, RECORD, RECORD_COLUMNS
from chimed.sources import PAPER
from chimed.stages.department import DEPARTMENTS
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.store import Store, upsert
from chimed.storage.store_tables import PAGES, REPLIES, REVIEW_QUEUE

# rows of a kind in a thousand, and the mean length of their texts: as in the paper's Tables 1 and 4
KINDS = {"document": (180, 640), "qa": (720, 100), "preference": (100, 130)}
FETCHED = datetime(2026, 11, 16, tzinfo=UTC)
PART = 20_000
ANSWERS = 2_000  # replies in the store
NEEDLE = "麻黄连翘赤小豆"  # stands in one row of twenty thousand


def records(rows: int, seed: int) -> pl.DataFrame:
    """`rows` records of all kinds, with the columns of a stage's table."""
    chance = np.random.default_rng(seed)
    signs = "".join(map(chr, 0x4E00 + (chance.zipf(1.3, 3_000_000) % 3_500)))

    def texts(mean: int, count: int) -> list[str]:
        lengths = np.clip(chance.lognormal(np.log(mean), 0.7, count), 20, 9_000).astype(int)
        starts = chance.integers(0, len(signs) - 10_000, count)
        return [signs[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    frames = []
    for kind, (share, mean) in KINDS.items():
        count = rows * share // 1000
        source = chance.choice(PAPER[:3] if kind == "document" else PAPER, count)
        words = {"document": ("text",), "qa": ("question", "answer"), "preference": ("question", "answer", "rejected")}
        numbers = chance.permutation(count)
        columns = {name: texts(mean, count) for name in words[kind]}
        for place in range(0, count, 20_000):
            columns[words[kind][0]][place] += NEEDLE
        frame = pl.DataFrame(
            {
                "id": [f"{n:016x}" for n in chance.integers(0, 2**63, count)],
                "source": source,
                "domain": np.where(np.isin(source, PAPER[:3]), "tcm", "general"),
                "kind": [kind] * count,
                "language": ["zh"] * count,
                "url": [f"https://www.example-{at}.cn/{kind}/{n}.html" for at, n in zip(source, numbers, strict=True)],
                "title": texts(8, count),
                **columns,
                "department": [None] * count if kind == "document" else chance.choice(list(DEPARTMENTS), count),
                "fetched": [FETCHED] * count,
                "page": [f"raw/{at}/2026-11-16/a.warc.gz#{n}" for at, n in zip(source, numbers, strict=True)],
                "perplexity": chance.lognormal(3.5, 0.8, count),
                "replies": [[f"{n:064x}"] for n in chance.integers(0, ANSWERS, count)],
            }
        )
        if kind == "qa":  # one for each document is made from it
            parents = frames[0].select("url", "source", "domain", "page", parent="id")
            made = frame.head(len(parents)).drop("url", "source", "domain", "page").hstack(parents)
            frame = pl.concat([made, frame[len(made) :]], how="diagonal")
        missing = [pl.lit(None, kind).alias(name) for name, kind in RECORD_COLUMNS.items() if name not in frame.columns]
        frames.append(
            frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in RECORD_COLUMNS.items())
        )
    return pl.concat(frames).unique("id").sort("id")


def write(lake: Lake, store: Store, everything: pl.DataFrame) -> str:
    """Two releases of records, one without their last and one without their first twentieth; the second's version.

    Beside them the second's build (its last table, on which a trace is walked) and a store.
    """
    twentieth, before = len(everything) // 20, None
    for version, table in (("2026.11.15", everything[:-twentieth]), ("2026.11.22", everything[twentieth:])):
        write_release(lake, version, of_tables(tables_of(table)), _made(version, table), before)
        before = version
    _write_build(lake, version, everything[twentieth:])
    _fill(store, version, everything[twentieth:])
    return version


def _ledger(rows: int) -> list[dict]:
    names = [name for name in order.NAMES if name != "release"]
    whole, none = rows + 9_000, {"dropped": {}, "failed": {}, "derived": 0, "derived_dropped": {}}
    entries = [{"stage": "extract", "read": whole, "kept": whole, **none, "derived": whole}]
    for n, name in enumerate(names[1:]):
        left = 900 if n < 9 else 0
        entries.append({"stage": name, "read": whole, "kept": whole - left, **none, "dropped": {"made up": left}})
        whole -= left
    return entries


def _made(version: str, table: pl.DataFrame) -> dict:
    perplexity = {"cut": 900.0, "edges": [1, 10, 100, 1000], "counts": [1, 2, 3, 4], "median": 30.0, "characters": 1}
    return {
        "build": version,
        "code": "0.1.0",
        "options": Options(preference_share=0.1 if version.endswith("15") else 0.12).model_dump(mode="json"),
        "settings": {"perplexity_model": "a", "llm_model": "b", "judge_model": "c", "contact": "d"},
        "crawls": [],
        "inputs": [],
        "prompts": [],
        "ledger": _ledger(len(table)),
        "figures": {},
        "perplexity": {**perplexity, "seconds": 1.0, "device": None, "known": 1, "scored": 1},
        "screening": None,
        "judge": None,
        "cost": [],
    }


def _write_build(lake: Lake, version: str, table: pl.DataFrame) -> None:
    """Return the last stage's table in parts as `chimed.build.builds` writes them, and every stage's reports."""
    folder = f"builds/{version}"
    made = {"version": version, "made": FETCHED.isoformat(), "code": "0.1.0", "options": {}, "shards": [["a"]]}
    made["stages"] = order.stages_for_build_json()
    lakes.write_json(lake, f"{folder}/build.json", made)
    parts = -(-len(table) // PART)
    placed = table.with_columns(part=pl.col("url").rank("dense") % parts)
    for part in range(parts):
        rows = placed.filter(pl.col("part") == part).drop("part")
        lakes.write_table(lake, f"{folder}/release/kept-{part:05d}.parquet", rows, RECORD)
    lakes.write_table(lake, f"{folder}/release/dropped-00000.parquet", pl.DataFrame(schema=DROPPED_COLUMNS), DROPPED)
    report = {"stage": "release", "parts": parts, "read": len(table), "kept": len(table), "shard": 0}
    lakes.write_json(lake, f"{folder}/release/report-00000.json", report)


def _fill(store: Store, build: str, table: pl.DataFrame) -> None:
    """As many known pages as rows, some replies, and a queue of five hundred."""
    chance = random.Random(1)
    pages = [
        {
            "url": f"https://www.example.cn/{n}.html",
            "source": PAPER[n % 5],
            "kind": "detail",
            "first_seen": FETCHED,
            "fetched": FETCHED - timedelta(days=n % 60),
            "status": 200,
            "miss": "no answer" if n % 97 == 0 else None,
            "published": date(2008, 1, 1) + timedelta(days=chance.randrange(6_800)),
            "crawl": "2026-11-16",
            "page": f"raw/{PAPER[n % 5]}/2026-11-16/a.warc.gz#{n}",
        }
        for n in range(len(table))
    ]
    for start in range(0, len(pages), 50_000):
        upsert(store, PAGES, pages[start : start + 50_000])
    message = json.dumps([{"role": "user", "content": "问" * 900}], ensure_ascii=False)
    replies = [
        {
            "key": f"{n:064x}", "model": "m", "prompt": "screen@1", "messages": message, "text": "否", "seconds": 0.1,
            "finish_reason": "stop", "prompt_tokens": 700, "completion_tokens": 1, "created": FETCHED,
        }
        for n in range(ANSWERS)
    ]  # fmt: skip
    upsert(store, REPLIES, replies)
    texts = table.filter(pl.col("kind") == "qa").head(500)
    queue = [
        {
            "record": id, "stage": "screen", "build": build, "kind": "flagged" if n % 2 else "passed",
            "reason": "identifier: mobile number" if n % 2 else "", "text": question, "sampled": FETCHED,
        }
        for n, (id, question) in enumerate(texts.select("id", "question").iter_rows())
    ]  # fmt: skip
    upsert(store, REVIEW_QUEUE, queue)


def main(folder: Path, rows: int) -> None:
    """Write the state below a folder, unless it is there."""
    from chimed.storage.store import open_store

    lake = lakes.open_lake(str(folder / "lake"))
    if not lakes.exists(lake, "releases/2026.11.22/manifest.json"):
        write(lake, open_store(f"sqlite:///{folder}/store.db"), records(rows + rows // 19, seed=1))


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]), int(sys.argv[2]))
