"""Basic processing on a synthetic crawl: rate, CPU, peak memory and quality of each stage, beside datatrove's.

    export PYTHONPATH=include
    python tests/benchmarks/basic.py 10            millions of characters: HTML → text, clean, dedup, length, exams
    python tests/benchmarks/basic.py 10 --peer     the same work by datatrove too, in an environment of its own
    python tests/benchmarks/basic.py 221           the paper's size

Stages run as they do in production, each a process of its own (`python -m chimed run`), on a lake of the benchmark's.
What a stage before them would have made (records, scores, verdicts of models) is put there, and not counted. Beside
datatrove, whose users write one script, ours run once more one after the other in one process (`basic_pass.py`).

Measured on two cores with much other work on them, in CPU seconds, which that moves least. Of 10 M characters datatrove
takes 2.7 times ours (27.2 and 9.9), 2.0 times by the clock; in that time ours looks for identifiers and names (a third
of clean) and tells variants from copies (a third of dedup) too. Datatrove finds 0.997 of the copies, and drops 932 of
1,088 variants and 5 % of the texts that are no copies; ours finds 0.9995 and drops none. Of 20 M, in CPU seconds and
MiB: clean 8.6 and 393, dedup 6.8 and 440, filter 1.4 and 310, decontaminate 3.2 and 444. Of 221 M on two idle cores, in
seconds by the clock: clean 41.1, dedup 48.3 (then in one task), filter 7.8, decontaminate 19.5 (a fifth less since).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import synthetic

from chimed.build import ledger, order
from chimed.build.options import Options
from chimed.schema import DROPPED, RECORD, dropped_table, words
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.text.passages import PASSAGE

BUILD = "benchmark"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, CPU seconds of it and its children, MiB of the largest of them."""

    name: str
    wall: float
    cpu: float
    memory: float


# The kernel counts what a process held before it became another program: a command that is started right here would
# seem to hold whatever this benchmark holds. So a small process starts it, and tells what it took.
LAUNCH = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(code)
"""


def measured(name: str, command: list[str], environment: dict[str, str]) -> Cost:
    """Runs a command to its end. Raises SystemExit where it fails."""
    began = time.monotonic()
    launch = [sys.executable, "-c", LAUNCH, *command]
    done = subprocess.run(launch, env={**os.environ, **environment}, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{name} failed: {' '.join(command)}")
    cpu, memory = json.loads(done.stdout)
    return Cost(name, time.monotonic() - began, cpu, memory)


# --- ours ---------------------------------------------------------------------------------------------------------


def pretend(lake: Lake, stage: str, paths: list[Path]) -> None:
    """As if `stage` had run and kept what these files hold."""
    folder = f"builds/{BUILD}/{stage}"
    of_pages = order.previous_stage(stage) is None
    for n, path in enumerate(paths):
        target = Path(lake.at(f"{folder}/kept-{n:05d}.parquet"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(path, target)
        lakes.write_table(lake, f"{folder}/dropped-{n:05d}.parquet", dropped_table([]), DROPPED)
        rows = ledger.count_rows(lakes.read_table(lake, f"{folder}/kept-{n:05d}.parquet", ["source"]), "derived")
        fates = ["derived"] if of_pages else ["read", "kept"]
        counts = ledger.sum_counts([rows.with_columns(fate=pl.lit(fate)) for fate in fates])
        report = ledger.make_report(stage, BUILD, n, 1, counts, {}) | {"seconds": 0.0}
        lakes.write_json(lake, f"{folder}/report-{n:05d}.json", report)


def prepared(crawl: Path, folder: Path) -> tuple[Lake, dict[str, str]]:
    """A new lake with an extracted crawl in it, and the environment of commands that work on it."""
    shutil.rmtree(folder, ignore_errors=True)
    lake = open_lake(str(folder / "lake"))
    environment = {
        "PYTHONPATH": str(ROOT / "include"),
        "CHIMED_DATA": lake.root,
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "CHIMED_EXAMS": str(crawl / "exams"),
        "TMPDIR": str(folder),
    }
    records = sorted(crawl.glob("records-*.parquet"))
    options = Options(perplexity_cut=0).model_dump(mode="json")
    shards = [[f"ask120/{n}"] for n in range(len(records))]
    made = {"version": BUILD, "code": "", "options": options, "shards": shards, "stages": order.stages_for_build_json()}
    lakes.write_json(lake, f"builds/{BUILD}/build.json", made)
    pretend(lake, order.NAMES[0], records)
    subprocess.run([sys.executable, "-m", "chimed", "store", "upgrade"], env={**os.environ, **environment}, check=True)
    return lake, environment


def ours(crawl: Path, folder: Path) -> tuple[list[Cost], Lake]:
    """Runs our stages on a new lake, each in a process of its own."""
    lake, environment = prepared(crawl, folder)
    costs = []
    for stage in ("clean", "dedup", "filter", "decontaminate"):
        if stage == "filter":
            pretend_scores(lake, folder)
        if stage == "decontaminate":
            for between in order.NAMES[order.NAMES.index("filter") + 1 : order.NAMES.index(stage)]:
                pretend(lake, between, _kept(lake, "filter"))
        costs.append(measured(stage, [sys.executable, "-m", "chimed", "run", stage, "--build", BUILD], environment))
    return costs, lake


def ours_at_once(crawl: Path, folder: Path) -> Cost:
    """Runs what datatrove's script does in one process, on a new lake."""
    _, environment = prepared(crawl, folder)
    cost = measured("ours", [sys.executable, str(HERE / "basic_pass.py"), BUILD, str(folder)], environment)
    aside = json.loads((folder / "aside.json").read_text())
    return replace(cost, wall=cost.wall - aside["wall"], cpu=cost.cpu - aside["cpu"])


def pretend_scores(lake: Lake, folder: Path) -> None:
    """As if perplexity had run: a token a letter, and no perplexity worth a cut."""
    pretend(lake, "perplexity", _scored(lake, "dedup", folder))


def _kept(lake: Lake, stage: str) -> list[Path]:
    return sorted(Path(lake.at(f"builds/{BUILD}/{stage}")).glob("kept-*.parquet"))


def _scored(lake: Lake, stage: str, folder: Path) -> list[Path]:
    """A stage's tables with tokens and perplexity."""
    found = []
    (folder / "scored").mkdir(exist_ok=True)
    for path in _kept(lake, stage):
        frame = pl.read_parquet(path).with_columns(
            tokens=words().str.replace_all(r"\s", "").str.len_chars().cast(pl.Int32), perplexity=pl.lit(1.0)
        )
        found.append(folder / "scored" / path.name)
        pq.write_table(frame.select(RECORD.names).to_arrow().cast(RECORD), found[-1], row_group_size=lakes.BATCH_ROWS)
    return found


# --- datatrove ----------------------------------------------------------------------------------------------------


def peer(crawl: Path, folder: Path) -> Cost:
    """Runs datatrove's pipeline, one script with two workers; makes its environment where there is none."""
    python = folder.parent / "datatrove" / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, python.parents[1]], check=True)
        wanted = ["--no-deps", "-r", str(HERE / "requirements-datatrove.txt")]
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = str(HERE / "datatrove_basic.py")
    return measured("datatrove", [str(python), script, str(crawl), str(folder)], {"LOGURU_LEVEL": "ERROR"})


# --- quality ------------------------------------------------------------------------------------------------------


def deduplicated(truth: pl.DataFrame, kept: set[str]) -> dict[str, float]:
    """Recall of each kind of copy, the number of variants lost, and the share of texts of one's own that were lost.

    A copy is found where it and what it copies are not both there. A text or variant is lost where neither it nor a
    copy of it is there.
    """
    stays = pl.col("id").is_in(list(kept))
    both = truth.with_columns(stays=stays, original=pl.col("of").is_in(list(kept)))
    is_copy = pl.col("label").is_in(synthetic.COPIES)
    found = {
        label: 1 - both.filter(pl.col("label") == label).select((pl.col("stays") & pl.col("original")).mean()).item()
        for label in synthetic.COPIES
    }
    copies = both.filter(is_copy)
    recall = 1 - copies.select((pl.col("stays") & pl.col("original")).mean()).item()
    texts = (
        both.with_columns(text=pl.when(is_copy).then("of").otherwise("id"))
        .group_by("text")
        .agg(there=pl.col("stays").any())
    )
    texts = truth.join(texts, left_on="id", right_on="text").filter(
        pl.col("label") != "short"
    )  # few words: they repeat
    lost = texts.filter(~pl.col("there"))
    return {
        **found,
        "recall of copies": recall,
        "variants": len(texts.filter(pl.col("label") == "variant")),
        "variants lost": len(lost.filter(pl.col("label") == "variant")),
        "false drops": len(lost) / len(texts),
    }


def precise(truth: pl.DataFrame, left: pl.DataFrame) -> float:
    """Of the rows that left as copies (id, detail), the share that name a row of the same text."""
    is_copy = pl.col("label").is_in(synthetic.COPIES)
    texts = truth.with_columns(text=pl.when(is_copy).then("of").otherwise("id")).select("id", "text", "label")
    named = left.with_columns(names=pl.col("detail").str.slice(0, 16)).join(texts, on="id")
    named = named.join(texts.select(names="id", other="text"), on="names").filter(pl.col("label") != "short")
    return named.select((pl.col("text") == pl.col("other")).mean()).item()


def untouched(lake: Lake) -> set[str]:
    """Ids of the records that decontaminate kept whole: of a long document a passage leaves."""
    left = Path(lake.at(f"builds/{BUILD}/decontaminate")).glob("dropped-*.parquet")
    gone = pl.concat(pl.read_parquet(path, columns=["id", "parent", "reason"]) for path in left)
    kept = {id for path in _kept(lake, "decontaminate") for id in pl.read_parquet(path, columns=["id"])["id"]}
    return kept - set(gone.filter(pl.col("reason") == PASSAGE)["parent"])


def share_dropped(truth: pl.DataFrame, label: str, entered: set[str], kept: set[str]) -> float:
    """Share of a label's records that a stage read and dropped."""
    of = truth.filter((pl.col("label") == label) & pl.col("id").is_in(list(entered)))
    return 1 - of["id"].is_in(list(kept)).mean() if len(of) else float("nan")


def quality(truth: pl.DataFrame, lake: Lake) -> dict[str, dict[str, float]]:
    """What each of our stages found, against the truth."""
    ids = {
        stage: {id for path in _kept(lake, stage) for id in pl.read_parquet(path, columns=["id"])["id"]}
        for stage in ("clean", "dedup", "filter")
    }
    whole = untouched(lake)
    paths = Path(lake.at(f"builds/{BUILD}/dedup")).glob("dropped-*.parquet")
    left = pl.concat(pl.read_parquet(path, columns=["id", "reason", "detail"]) for path in paths)
    names = left["detail"].str.slice(0, 16).is_in(list(ids["dedup"])).mean()
    plain = [share_dropped(truth, label, ids["dedup"], ids["filter"]) for label in ("plain", "sibling")]
    copies = {"precision": precise(truth, left), "copies that name a kept row": names}
    return {
        "clean": {"kept": len(ids["clean"]) / len(truth)},
        "dedup": {**deduplicated(truth.filter(pl.col("id").is_in(list(ids["clean"]))), ids["dedup"]), **copies},
        "filter": {"short": share_dropped(truth, "short", ids["dedup"], ids["filter"]), "false drops": max(plain)},
        "decontaminate": {
            **{one: share_dropped(truth, one, ids["filter"], whole) for one in ("leak", "edited leak")},
            "false drops": share_dropped(truth, "plain", ids["filter"], whole),
        },
    }


def show(costs: list[Cost], millions: float, found: dict[str, dict[str, float]]) -> None:
    """A line a stage, and their sum."""
    print(f"{'':24}{'seconds':>9}{'CPU s':>9}{'MiB':>8}{'M chars/s':>11}{'M/CPU s':>9}")
    whole = Cost("all", sum(one.wall for one in costs), sum(one.cpu for one in costs), max(one.memory for one in costs))
    for one in [*costs, whole] if len(costs) > 1 else costs:
        rates = f"{millions / one.wall:11.2f}{millions / one.cpu:9.2f}"
        shown = {
            name: f"{value:.4f}" if isinstance(value, float) else value
            for name, value in found.get(one.name, {}).items()
        }
        said = ", ".join(f"{name} {value}" for name, value in shown.items())
        print(f"{one.name:24}{one.wall:9.1f}{one.cpu:9.1f}{one.memory:8.0f}{rates}   {said}")


def main() -> None:
    """Prints the tables, and how many times datatrove's CPU time ours is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=float, nargs="?", default=10, help="of characters: 1, 10, 221")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", action="store_true", help="run datatrove too")
    parser.add_argument("--folder", type=Path, default=ROOT / ".chimed" / "benchmarks")
    chosen = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's commands find their bytecode there, as datatrove's is
    crawl = chosen.folder.resolve() / f"crawl-{chosen.millions:g}-{chosen.seed}"
    if not (crawl / "truth.parquet").exists():
        synthetic.write(crawl, int(chosen.millions * 1e6), chosen.seed)
    truth = pl.read_parquet(crawl / "truth.parquet")
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {chosen.millions:g} M characters, {len(truth)} records"
    )
    costs, lake = ours(crawl, chosen.folder.resolve() / f"ours-{chosen.millions:g}")
    found = quality(truth, lake)
    show(costs, chosen.millions, found)
    result = {"costs": [vars(one) for one in costs], "quality": found}
    if chosen.peer:
        at_once = ours_at_once(crawl, chosen.folder.resolve() / f"ours-at-once-{chosen.millions:g}")
        theirs = peer(crawl, chosen.folder.resolve() / f"peer-{chosen.millions:g}")
        files = (chosen.folder.resolve() / f"peer-{chosen.millions:g}" / "kept").glob("*.jsonl")
        kept = {json.loads(line)["id"] for file in files for line in file.open(encoding="utf-8")}
        print("the same work, each in one process and its workers (no decontamination)")
        show([at_once], chosen.millions, {})
        show([theirs], chosen.millions, {"datatrove": deduplicated(truth, kept)})
        for name in ("wall", "cpu"):
            ratio = getattr(theirs, name) / getattr(at_once, name)
            print(f"datatrove's {name} time is {ratio:.1f} × ours")
            result[f"datatrove {name} ratio"] = ratio
    (chosen.folder / f"basic-{chosen.millions:g}.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
