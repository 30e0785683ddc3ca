"""The same corpus in few, many and very many parts, its rows shuffled: the releases are the same, byte by byte.

    export PYTHONPATH=include
    python tests/benchmarks/parts.py                       # 2 million characters in 8, 64 and 500 parts
    python tests/benchmarks/parts.py 20 --parts 1 8 1000

Each time the basic stages and the release run as in production (`python -m chimed run`), on a lake of the benchmark's.
Rows of a page stay in one part, as a build keeps them; which pages share a part, and the order of rows, is another each
time. What perplexity and the models would have found is put there, by what a row says. Exits with 1 where a file of
the releases differs; the manifest, which tells of the day, is not compared.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import basic
import polars as pl
import pyarrow.parquet as pq
import synthetic

from chimed.build import order
from chimed.schema import RECORD, words
from chimed.storage import lake as lakes

CUT = 0.01  # of perplexity, as in production


def divided(crawl: Path, folder: Path, parts: int) -> Path:
    """Return a folder with a crawl's rows in so many parts: pages by a hash, rows in an order of the number's own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "exams").symlink_to(crawl / "exams")
    rows = pl.concat(pl.read_parquet(path) for path in sorted(crawl.glob("records-*.parquet")))
    rows = rows.sample(fraction=1, shuffle=True, seed=parts)
    part = pl.col("url").hash(seed=parts) % parts
    for number, table in rows.with_columns(part=part).partition_by("part", as_dict=True, include_key=False).items():
        path = folder / f"records-{number[0]:05d}.parquet"
        pq.write_table(table.select(RECORD.names).to_arrow().cast(RECORD), path, row_group_size=lakes.BATCH_ROWS)
    return folder


def scored(paths: list[Path], folder: Path) -> list[Path]:
    """Return tables with tokens and perplexities: numbers that depend on the words, and on nothing else."""
    folder.mkdir(exist_ok=True)
    for path in paths:
        frame = pl.read_parquet(path).with_columns(
            tokens=words().str.replace_all(r"\s", "").str.len_chars().cast(pl.Int32),
            perplexity=(words().hash(seed=0) % 5_000).cast(pl.Float64) / 10 + 1,
        )
        pq.write_table(
            frame.select(RECORD.names).to_arrow().cast(RECORD), folder / path.name, row_group_size=lakes.BATCH_ROWS
        )
    return sorted(folder.glob("kept-*.parquet"))


def released(crawl: Path, folder: Path) -> tuple[dict[str, str], list[basic.Cost]]:
    """Run the stages on a crawl; return the checksum of each file of the release, and what each stage took."""
    lake, environment = basic.prepared(crawl, folder)
    path, costs = f"builds/{basic.BUILD}/build.json", []
    made = lakes.read_json(lake, path)
    parts = len(made["shards"])
    made["shards"] = [[f"ask120/2026-11-16/{n}-of-{parts}"] for n in range(parts)]  # shares of one crawl
    lakes.write_json(lake, path, made | {"options": made["options"] | {"perplexity_cut": CUT}})
    lakes.write_json(lake, "raw/ask120/2026-11-16/report.json", {"pages": 1})
    for stage in ("clean", "dedup", "filter", "decontaminate", "release"):
        if stage == "filter":
            basic.pretend(lake, "perplexity", scored(basic._kept(lake, "dedup"), folder / "scored"))
        if stage == "decontaminate":
            for between in order.NAMES[order.NAMES.index("filter") + 1 : order.NAMES.index(stage)]:
                basic.pretend(lake, between, basic._kept(lake, "filter"))
        command = [sys.executable, "-m", "chimed", "run", stage, "--build", basic.BUILD]
        costs.append(basic.measured(stage, command, environment))
    files = lakes.read_json(lake, f"releases/{basic.BUILD}/manifest.json")["files"]
    return {name: told["sha256"] for name, told in files.items()}, costs


def main() -> None:
    """Make the releases, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=float, nargs="?", default=2, help="of characters")
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 64, 500])
    parser.add_argument("--folder", type=Path, default=basic.ROOT / ".chimed" / "benchmarks")
    chosen = parser.parse_args()
    crawl = chosen.folder.resolve() / f"crawl-{chosen.millions:g}-1"
    if not (crawl / "truth.parquet").exists():
        synthetic.write(crawl, int(chosen.millions * 1e6), 1)
    found: dict[int, dict[str, str]] = {}
    for parts in chosen.parts:
        place = chosen.folder.resolve() / f"parts-{chosen.millions:g}"
        found[parts], costs = released(divided(crawl, place / "crawl", parts), place / "run")
        shutil.rmtree(place)
        said = ", ".join(f"{one.name} {one.cpu:.1f} CPU s, {one.memory:.0f} MiB" for one in costs)
        print(f"{parts:6} parts: {len(found[parts])} files; {said}", flush=True)
    first = found[chosen.parts[0]]
    others = {
        parts: sorted(name for name in {*first, *files} if first.get(name) != files.get(name))
        for parts, files in found.items()
    }
    print(json.dumps({"files that differ": others}))
    if any(others.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
