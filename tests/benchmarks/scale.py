"""A model of what a build costs: measured on small corpora, checked on a larger one, asked about very large ones.

    export PYTHONPATH=include
    python tests/benchmarks/scale.py                       # 1, 5 and 20 million characters
    python tests/benchmarks/scale.py 1 10 100 --rates rates.json --draw docs/pictures

Each basic stage, each of its steps, and the release run on a synthetic crawl (`basic.py`): the tasks of each one after
the other, in a process of its own. Of each are measured the CPU seconds, the peak memory, and the bytes of what it
reads and writes. Seconds and bytes are lines over rows, fitted on all sizes but the largest, whose measured values are
printed beside those that the model predicts. Fitted on all sizes it then says what 2 G and 20 G characters take on 1, 8
and 32 workers of one core, and on a pool of A40s.

Memory is that of the largest task. Of a task of a part or a range it is a line over the rows of one, which small
corpora in small parts tell. Of a task over the whole corpus buffers fill up at some ten thousand rows, and from there
on it grows by what it keeps of every row: that is measured on short rows, of which small corpora have many.

What models do is not measured here but computed of the GPU's data sheet (`A40`) and of the requests a record needs;
`python -m chimed estimate` counts them for a real build. rates: the last line of `store_rates.py`.
"""

import argparse
import json
import math
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import basic
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import synthetic

from chimed.build import order
from chimed.build.inputs import ranges_of
from chimed.build.options import Options
from chimed.schema import RECORD, words
from chimed.settings import settings
from chimed.stages.dedup_exact import MOST_RANGES, ROWS_AT_ONCE
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

STAGES = ("clean", "dedup", "filter", "decontaminate", "release")
MEASURES = {"seconds": "CPU s", "memory": "MiB", "read": "MB read", "written": "MB written"}
THIRD = 1 / 3  # how far a prediction may be off
CORPORA = {"2 G": 2e9, "20 G": 20e9}
WORKERS = (1, 8, 32)
POOL = 8  # A40s, the paper's
LARGEST_SHORT = 20  # million characters, of which half a million short rows are made
SHORT = 36  # letters of a short row: no fewer than `filter` keeps
KEPT = 5  # bytes that `dedup exact` keeps of every row: its rank, and whether it leaves
# every task of a stage, or of a step of it, in one process
TASKS = """
import sys
from chimed.build import order
from chimed.build.builds import count_shards
from chimed.build.context import open_context
from chimed.build.steps import corpus_of
from chimed.pipeline.runner import run_stage
from chimed.pipeline.steps import run_step
work, stage, step = open_context(sys.argv[1]), sys.argv[2], sys.argv[3]
if step:
    (taken,) = [one for one in order.stage(stage).steps if one.name == step]
    corpus = corpus_of(work, stage)
    for number in range(corpus.tasks(taken)):
        run_step(work, corpus, taken, number)
else:
    for number in range(count_shards(work.lake, work.build, stage)):
        run_stage(work, stage, number)
"""


@dataclass(frozen=True)
class Work:
    """A stage, or a step of it. over: part, range or all, of which it has a task each."""

    stage: str
    step: str
    over: str

    @property
    def name(self) -> str:
        """Return what it is called here and in the docs."""
        return f"{self.stage} {self.step}".strip()

    def tasks(self, rows: float) -> int:
        """Return how many tasks it has in a corpus of so many rows."""
        parts = min(math.ceil(rows / Options().part_rows), settings().max_parts)
        return {"part": parts, "range": ranges_of(int(rows)), "all": 1}[self.over]


def works() -> list[Work]:
    """Return the stages that are measured, each behind its steps."""
    found = []
    for stage in map(order.stage, STAGES):
        found += [Work(stage.name, step.name, step.over) for step in stage.steps]
        found.append(Work(stage.name, "", "part" if stage.scope == "shard" else "all"))
    return found


WORKS = {work.name: work for work in works()}


@dataclass(frozen=True)
class Measured:
    """What a stage or a step of it (`WORKS`) took of a corpus.

    seconds: of CPU. memory: MiB of its process. read, written: MB of files, what it reads once. rows and characters: of
    the table that the stage reads. task_rows: of its largest task.
    """

    stage: str
    rows: int
    characters: int
    task_rows: int
    seconds: float
    memory: float
    read: float
    written: float


# --- measuring ----------------------------------------------------------------------------------------------------


def measure(crawl: Path, folder: Path, short: bool = False) -> list[Measured]:
    """Run the stages on a crawl, each in processes of its own. short: in rows of `SHORT` letters, behind `clean`."""
    lake, environment = basic.prepared(crawl, folder)
    if short:
        shutil.rmtree(lake.at(f"builds/{basic.BUILD}/{order.NAMES[0]}"))
        for stage in order.NAMES[: order.NAMES.index(STAGES[0]) + 1]:
            basic.pretend(lake, stage, cut(crawl, folder))
    for shard in lakes.read_json(lake, f"builds/{basic.BUILD}/build.json")["shards"]:
        for one in shard:
            lakes.write_json(lake, f"raw/{one}/report.json", {"pages": 1})
    found = []
    for work in WORKS.values():
        if short and work.stage == STAGES[0]:
            continue
        if (work.stage, work.step) == ("filter", "threshold"):
            basic.pretend_scores(lake, folder)
        if work.stage == "decontaminate":
            for between in order.NAMES[order.NAMES.index("filter") + 1 : order.NAMES.index(work.stage)]:
                basic.pretend(lake, between, basic._kept(lake, "filter"))
        before = order.previous_stage(work.stage)
        assert before is not None
        inputs = basic._kept(lake, before.name)
        lengths = [pl.read_parquet(path).select(words().str.len_chars()).to_series() for path in inputs]
        rows, characters = sum(map(len, lengths)), sum(int(one.sum()) for one in lengths)
        largest = {"part": max(map(len, lengths)), "range": -(-rows // ranges_of(rows)), "all": rows}[work.over]
        command = [sys.executable, "-c", TASKS, basic.BUILD, work.stage, work.step]
        cost = basic.measured(work.name, command, environment)
        read = sum(path.stat().st_size for path in inputs) / 1e6
        written = _written(lake, work)
        found.append(Measured(work.name, rows, characters, largest, cost.cpu, cost.memory, read, written))
        print(f"{work.name:20}{rows:10,} rows{cost.cpu:9.1f} CPU s{cost.memory:7.0f} MiB{written:9.1f} MB", flush=True)
    return found


def cut(crawl: Path, folder: Path) -> list[Path]:
    """Return a crawl's words as questions and answers of `SHORT` letters, in as many files."""
    (folder / "cut").mkdir(exist_ok=True)
    found = []
    for path in sorted(crawl.glob("records-*.parquet")):
        frame = pl.read_parquet(path)
        letters = words().str.replace_all(r"<[^<>]*>|[^\p{Han}]", "").str.extract_all(f".{{{SHORT}}}")
        rows = frame.with_columns(said=letters).explode("said").filter(pl.col("said").is_not_null())
        number = pl.int_range(pl.len()).over("id").cast(pl.String)
        rows = rows.with_columns(
            kind=pl.lit("qa"),
            text=pl.lit(None, pl.String),
            url=pl.col("url") + "_" + number,
            question=pl.col("said").str.slice(0, SHORT // 3),
            answer=pl.col("said").str.slice(SHORT // 3),
            id=(pl.col("id") + number).hash(seed=0).cast(pl.String).str.zfill(16).str.tail(16),
        ).unique("id")
        found.append(folder / "cut" / path.name)
        pq.write_table(rows.select(RECORD.names).to_arrow().cast(RECORD), found[-1], row_group_size=lakes.BATCH_ROWS)
    return found


def _written(lake: Lake, work: Work) -> float:
    """MB of all that a stage or a step wrote; of a step that is there until its stage is done."""
    places = {"release": [f"releases/{basic.BUILD}"], "dedup sign": ["signatures"]}.get(work.name, [])
    its_own = f"steps/{basic.BUILD}/{work.stage}/{work.step}" if work.step else f"builds/{basic.BUILD}/{work.stage}"
    return sum(sum(lakes.sizes(lake, place).values()) for place in [its_own, *places]) / 1e6


# --- the model ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A measure of a stage: at no row, and for each row."""

    fixed: float
    each: float

    def at(self, rows: float) -> float:
        """Return the measure at so many rows."""
        return self.fixed + self.each * rows


def fitted(points: list[tuple[float, float]]) -> Line:
    """The line through two points or more (rows, measure), by their relative distances; no part of it is negative."""
    rows, values = (np.array(column, float) for column in zip(*points, strict=True))
    matrix = np.stack([np.ones_like(rows), rows], axis=1) / values[:, None]
    fixed, each = np.linalg.lstsq(matrix, np.ones_like(values), rcond=None)[0]
    if fixed < 0:
        return Line(0.0, float(np.mean(values / rows)))
    return Line(float(values.mean()), 0.0) if each < 0 else Line(float(fixed), float(each))


def model_of(found: list[Measured]) -> dict[str, dict[str, Line]]:
    """Each stage's line for each measure."""
    return {
        stage: {
            name: fitted([(one.rows, getattr(one, name)) for one in found if one.stage == stage]) for name in MEASURES
        }
        for stage in WORKS
    }


def memory_of(found: list[Measured], short: list[Measured], stage: str, rows: float) -> float:
    """MiB of the largest task of a stage or step in a corpus of so many rows.

    Of a part or range it is a line over the rows of one; so it is of `dedup exact`, which holds a range of its own and
    `KEPT` bytes of every row. Of another task over the whole corpus it is that of the largest corpus measured, and for
    every row more what one row of a corpus of short rows adds.
    """
    work = WORKS[stage]
    ours = [one for one in found if one.stage == stage]
    small = [one for one in short if one.stage == stage]
    if stage == "dedup exact":
        line = fitted([(one.rows, one.memory) for one in [*ours, *small] if one.rows <= ROWS_AT_ONCE])
        return line.at(rows / max(1, min(math.ceil(rows / ROWS_AT_ONCE), MOST_RANGES))) + KEPT * rows / 2**20
    if work.over != "all":
        line = fitted([(one.task_rows, one.memory) for one in [*ours, *(small if work.over == "range" else [])]])
        return line.at(rows / work.tasks(rows))
    few, many = sorted(small, key=lambda one: one.rows)[-2:]
    each = max(0.0, (many.memory - few.memory) / (many.rows - few.rows))
    largest = max([*ours, many], key=lambda one: one.rows)
    return largest.memory + each * max(0.0, rows - largest.rows)


def check(found: list[Measured]) -> list[dict]:
    """Of the largest corpus what was measured beside what the smaller ones predict."""
    largest = max(one.rows for one in found if one.stage == STAGES[0])
    last = [max((one for one in found if one.stage == stage), key=lambda one: one.rows) for stage in WORKS]
    model = model_of([one for one in found if one not in last])
    assert any(one.rows == largest for one in last)
    return [
        {"stage": one.stage, "measure": name, "measured": getattr(one, name), "predicted": line.at(one.rows)}
        for one in last
        for name, line in model[one.stage].items()
        if name != "memory"
    ]


# --- models, on GPUs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GPU:
    """Of a data sheet: FLOP/s of dense bf16 and bytes/s of memory; and what share of each is reached. Assumed."""

    flops: float
    bandwidth: float
    reached_flops: float = 0.4
    reached_bandwidth: float = 0.5

    def read(self, parameters: float) -> float:
        """Prompt tokens a second of a model with so many parameters."""
        return self.flops * self.reached_flops / (2 * parameters)

    def write(self, parameters: float, batch: int) -> float:
        """Answer tokens a second: every step of a batch reads all weights, two bytes each."""
        return batch * self.bandwidth * self.reached_bandwidth / (2 * parameters)


A40 = GPU(149.7e12, 696e9)
GENERATOR, JUDGE, GPT2 = 14.8e9, 32.8e9, 0.102e9  # parameters: Qwen3-14B, Qwen3-32B, uer/gpt2-chinese-cluecorpussmall
BATCH = 64
TOKENS = 1 / 1.5  # of a character, Qwen's
PROMPT = 250  # tokens of a prompt's own wording
# requests a record: how many of what share of records, answer tokens each, and which model. The shares are the paper's.
REQUESTS = (
    ("screen", 2.0, 2, GENERATOR),
    ("department", 0.5, 6, GENERATOR),
    ("translate", 0.05, 400, GENERATOR),
    ("translate, second opinion", 0.05, 2, JUDGE),
    ("generate_qa", 0.18, 100, GENERATOR),
    ("generate_qa, second opinion", 0.18, 2, JUDGE),
    ("prefer, answers", 0.72 * 0.12 * 2, 100, GENERATOR),
    ("prefer, verdicts", 0.72 * 0.12 * 2, 2, JUDGE),
)


def gpu_hours(rows: float, characters: float) -> dict[str, float]:
    """GPU hours of a corpus, by what is asked."""
    prompt = PROMPT + TOKENS * characters / rows
    found = {"perplexity": characters / A40.read(GPT2) / 3600}
    for name, many, answer, model in REQUESTS:
        seconds = prompt / A40.read(model) + answer / A40.write(model, BATCH)
        found[name] = rows * many * seconds / 3600
    return found


# --- what it says of large corpora --------------------------------------------------------------------------------


def asked(found: list[Measured], short: list[Measured], rates: dict, gpus: int) -> list[dict]:
    """Return what each of `CORPORA` takes, by stage and in all."""
    sizes = [one for one in found if one.stage == STAGES[0]]
    each = sum(one.characters for one in sizes) / sum(one.rows for one in sizes)
    several = []
    for name, characters in CORPORA.items():
        rows = characters / each
        stages = {stage: _stage(stage, found, short, rows) for stage in WORKS}
        gpu = gpu_hours(rows, characters)
        requests = rows * sum(many for _, many, _, _ in REQUESTS)
        asking = sum(hours for what, hours in gpu.items() if what != "perplexity") / gpus
        size = {kind: requests * of[_REPLY] + rows * of[_SCORE] for kind, of in rates.items()}
        hours = {w: sum(one["hours"] / min(w, one["tasks"]) for one in stages.values()) for w in WORKERS}
        said = {"corpus": name, "rows": rows, "stages": stages, "hours": hours, "GPU hours": gpu, "replies": requests}
        said["lake GB"] = sum(one["written"] for stage, one in stages.items() if not WORKS[stage].step) / 1e3
        said["steps GB"] = sum(one["written"] for stage, one in stages.items() if WORKS[stage].step) / 1e3
        said["hours of the pool"] = asking + gpu["perplexity"] / gpus
        said["store GB"] = {kind: one / 1e9 for kind, one in size.items()}
        said["replies a second"] = requests / asking / 3600
        several.append(said)
    return several


_REPLY, _SCORE = "bytes of a row of replies", "bytes of a row of perplexities"


def _stage(stage: str, found: list[Measured], short: list[Measured], rows: float) -> dict:
    """A stage or step of a large corpus: each of its tasks begins anew, and all of them share the rows."""
    lines, tasks = model_of(found)[stage], WORKS[stage].tasks(rows)
    hours = (lines["seconds"].fixed * tasks + lines["seconds"].each * rows) / 3600
    memory = memory_of(found, short, stage, rows)
    return {"tasks": tasks, "hours": hours, "memory": memory, "written": lines["written"].at(rows)}


# --- telling ------------------------------------------------------------------------------------------------------


def tell(checked: list[dict], several: list[dict], rates: dict) -> None:
    """Print both tables."""
    print(f"\n{'the largest corpus':16}{'measure':>12}{'measured':>12}{'predicted':>12}")
    for one in checked:
        off = abs(one["predicted"] / one["measured"] - 1)
        print(
            f"{one['stage']:16}{MEASURES[one['measure']]:>14}{one['measured']:12.1f}{one['predicted']:12.1f}"
            f"{'' if off <= THIRD else '   off by more than a third'}"
        )
    for one in several:
        print(f"\n{one['corpus']} characters, {one['rows'] / 1e6:.1f} M rows")
        for stage, said in one["stages"].items():
            how = f"{said['tasks']} tasks" if WORKS[stage].over != "all" else "one task"
            print(f"  {stage:18}{how:>12}{said['hours']:10.2f} core hours{said['memory']:12,.0f} MiB a task")
        print("  hours on " + ", ".join(f"{w} workers {hours:.1f}" for w, hours in one["hours"].items()))
        print(f"  the lake grows by {one['lake GB']:.0f} GB, and by {one['steps GB']:.0f} GB while steps are taken")
        print(f"  the pool works {one['hours of the pool']:.0f} hours")
        stored = ", ".join(f"{kind} {size:.0f} GB" for kind, size in one["store GB"].items())
        print(f"  {one['replies'] / 1e6:.0f} M replies, {one['replies a second']:.0f} a second; the store: {stored}")
    for kind, said in rates.items():
        print(f"\n{kind}: " + ", ".join(f"{what} {number:,}" for what, number in said.items()))


def draw(found: list[Measured], short: list[Measured], folder: Path) -> None:
    """Draws the core hours of each stage and the memory of its largest task over characters, as `scale.svg`."""
    import matplotlib
    from matplotlib.figure import Figure

    sizes = [one for one in found if one.stage == STAGES[0]]
    each = sum(one.characters for one in sizes) / sum(one.rows for one in sizes)
    characters = np.geomspace(2e7, 2e10, 40)
    with matplotlib.rc_context({"svg.hashsalt": "chimed", "svg.fonttype": "path"}):
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        said = {stage: [_stage(stage, found, short, one / each) for one in characters] for stage in WORKS}
        shown = {"hours": "core hours", "memory": "MiB of the largest task"}
        for axes, (name, label) in zip(figure.subplots(1, 2), shown.items(), strict=True):
            for stage, values in said.items():
                style = "--" if WORKS[stage].over == "all" else "-"
                axes.plot(characters, [one[name] for one in values], style, label=stage)
            axes.set(xscale="log", yscale="log", xlabel="characters", ylabel=label)
            axes.grid(alpha=0.3)
        axes.legend(frameon=False, title="dashed: one task")
        figure.savefig(folder / "scale.svg", metadata={"Date": None, "Creator": None})


def main() -> None:
    """Measures, checks the model, and says what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=float, nargs="*", default=[1, 5, 20], help="of characters, three or more")
    parser.add_argument("--rates", type=Path, help="what store_rates.py printed last")
    parser.add_argument("--gpus", type=int, default=POOL, help="A40s in the pool")
    parser.add_argument("--draw", type=Path, help="the folder for scale.svg")
    parser.add_argument("--folder", type=Path, default=basic.ROOT / ".chimed" / "benchmarks")
    chosen = parser.parse_args()
    folder, kept = chosen.folder.resolve(), chosen.folder.resolve() / "scale.json"
    found: list[Measured] = []
    short: list[Measured] = []
    for millions in sorted(chosen.millions):
        crawl = folder / f"crawl-{millions:g}-1"
        if not (crawl / "truth.parquet").exists():
            synthetic.write(crawl, int(millions * 1e6), 1)
        print(f"{millions:g} M characters; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        found += measure(crawl, folder / f"scale-{millions:g}")
        if millions in sorted(one for one in chosen.millions if one <= LARGEST_SHORT)[-2:]:
            short += measure(crawl, folder / f"scale-{millions:g}-short", short=True)
    rates = json.loads(chosen.rates.read_text().strip().splitlines()[-1])["rates"] if chosen.rates else {}
    checked, several = check(found), asked(found, short, rates, chosen.gpus)
    tell(checked, several, rates)
    if chosen.draw:
        draw(found, short, chosen.draw)
    measured = {"measured": [asdict(one) for one in found], "short rows": [asdict(one) for one in short]}
    kept.write_text(json.dumps(measured | {"says": several}, indent=1))


if __name__ == "__main__":
    main()
