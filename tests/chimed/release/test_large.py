"""A release that is larger than what is held: sorted in lots, merged into several files, killed anywhere, patched."""

import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from chimed.build import ledger, order
from chimed.build.builds import read_build
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.pipeline.runner import run_stage
from chimed.release import read_manifest
from chimed.release import sorting as sort
from chimed.release.diff import difference, side_of
from chimed.release.file_names import jsonl_beside, table_files
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.schema import DROPPED, RECORD, dropped_table
from chimed.settings import Settings
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.store import open_store
from support import forks
from support.samples import document, qa, rows

pytestmark = pytest.mark.slow

ROWS, FILE = 600, 9_000
FIGURES = {"perplexity": {"known": 0}, "filter": {"perplexity_cut_at": 88.0}}


@pytest.fixture(autouse=True)
def small_lots(monkeypatch):
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make lots, groups and turns so small that a few hundred rows are many."""
    monkeypatch.setattr(sort, "LOT", 120_000)
    monkeypatch.setattr(sort, "LARGEST_GROUP", 4_000)
    monkeypatch.setattr("chimed.release.diff.AT_ONCE", 500)
    monkeypatch.setattr("os.fsync", lambda _: None)
    # drawing takes most of the time, and what is drawn is tested elsewhere
    monkeypatch.setattr("chimed.release.write.figures", lambda numbers, made: {"flow.svg": str(numbers).encode()})


def corpus() -> pl.DataFrame:
    """Documents, questions and pairs; some pages have several rows, and some words are odd."""
    chance = random.Random(7)
    said = []
    for n in range(ROWS):
        text = "".join(chance.choices('茯苓白术甘草当归川芎\n"\\\u2028é𠮷', k=chance.randint(5, 60)))
        same = {"perplexity": chance.uniform(2, 90), "language": "lzh" if n % 9 == 0 else "zh"}
        if n % 3 == 0:
            said.append(document(f"{n}{text}", url=f"http://www.zhongyoo.com/name/x_{n}.html", **same))
        else:
            url = f"https://www.120ask.com/question/{n // 2}.htm"
            asked = qa(f"{n}{text}？", text, url=url, department="内科" if n % 4 else None, **same)
            said.append(asked)
            if n % 5 == 0:
                said.append({**asked, "kind": "preference", "rejected": "不。", "id": f"{n:016x}"})
    return rows(*said)


def built(work: StageContext, version: str, table: pl.DataFrame, parts: int, **options: object) -> StageContext:
    """A build whose last stage but one wrote these rows in so many parts."""
    chosen = Options(second_opinion=False, file_bytes=FILE, **options)
    made = {"version": version, "number": int(version[-2:]), "options": chosen.model_dump(mode="json")}
    made |= {"shards": [["zhongyoo/1"]] * parts, "stages": order.stages_for_build_json()}
    lakes.write_json(work.lake, "raw/zhongyoo/1/report.json", {"pages": len(table)})
    lakes.write_json(work.lake, f"builds/{version}/build.json", made)
    for stage in order.STAGES[:-1]:
        folder = f"builds/{version}/{stage.name}"
        fates = ["derived"] if stage is order.STAGES[0] else ["read", "kept"]
        for n in range(parts):
            part = table.gather_every(parts, n)
            lakes.write_table(work.lake, f"{folder}/kept-{n:05d}.parquet", part, RECORD)
            lakes.write_table(work.lake, f"{folder}/dropped-{n:05d}.parquet", dropped_table([]), DROPPED)
            told, many = (table, parts) if stage.scope == "corpus" else (part, 1)
            counts = ledger.sum_counts([ledger.count_rows(told, fate) for fate in fates])
            figures = FIGURES.get(stage.name, {})
            report = ledger.make_report(stage.name, version, n, many, counts, figures) | {"seconds": 0.0}
            if n == 0 or stage.scope == "shard":
                lakes.write_json(work.lake, f"{folder}/report-{n:05d}.json", report)
    return replace(work, build=version, options=chosen)


def released(work: StageContext, version: str = "") -> dict[str, bytes]:
    """A release's files but for those that tell of the day and of the build."""
    folder = f"releases/{version or work.build}"
    names = [name for name in lakes.files(work.lake, folder) if name not in ("README.md", "manifest.json")]
    return {name: lakes.read_bytes(work.lake, f"{folder}/{name}") for name in names if name != "changes.json"}


def test_equal_rows_give_equal_bytes(work):
    table = corpus()
    run_stage(whole := built(work, "2026.11.01", table, 1), "release")
    run_stage(parts := built(work, "2026.11.02", table.sample(fraction=1, shuffle=True, seed=1), 17), "release")
    assert released(whole) == released(parts)
    names = read_manifest(work.lake, parts.build)["files"]
    files = table_files(names)
    assert len(files["sft/train"]) > 3
    assert files["sft/train"][1].startswith("sft/train-00001-of-000")
    assert verify(work.lake, parts.build) == verify(work.lake, whole.build) == []
    changes = lakes.read_json(work.lake, f"releases/{parts.build}/changes.json")
    assert {row["same"] for row in changes["rows"]} > {0} or all(row["same"] for row in changes["rows"])
    assert not any(row["added"] + row["removed"] + row["changed"] for row in changes["rows"])
    sizes = [names[name]["bytes"] for name in files["sft/train"]]
    assert max(sizes) < 2 * min(sizes)


def test_files_of_a_subset_are_one_table(work):
    table = corpus()
    run_stage(made := built(work, "2026.11.01", table, 5), "release")
    folder = Path(work.lake.at("releases", made.build))
    info = json.loads((folder / "dataset_info.json").read_text())
    files = table_files(read_manifest(work.lake, made.build)["files"])
    for name, several in ((name, several) for name, several in files.items() if several):
        ids = pl.concat([pl.read_parquet(folder / file)["id"] for file in several])
        assert ids.is_sorted()
        subset, split = name.split("/")
        place = folder / info[f"chimed_{subset}{'' if split == 'train' else '_validation'}"]["file_name"]
        lines = sorted(place.iterdir()) if place.is_dir() else [place]
        assert [json.loads(line)["id"] for file in lines for line in file.open(encoding="utf-8")] == ids.to_list()
    assert len(table) == json.loads((folder / "statistics.json").read_text())["instances"]


def run_until_killed(folder: str, version: str, number: int, seen: str) -> None:
    """What a process does killed with -9 before the so-many-th file; the paths of those before lie in `seen`."""
    below, whole = f"releases/{version}", lakes._atomic_file
    with Path(seen).open("a") as log, pytest.MonkeyPatch.context() as patched:

        @contextmanager
        def dying(lake: Lake, path: str) -> Iterator:
            nonlocal number
            with whole(lake, path) as file:
                if path.startswith(below):
                    number -= 1
                    if number < 0:  # a draft lies there by now
                        os.kill(os.getpid(), signal.SIGKILL)
                yield file
            if path.startswith(below):
                log.write(f"{path}\n")
                log.flush()

        make_small(patched)
        patched.setattr(lakes, "_atomic_file", dying)
        found = Settings(data=f"{folder}/lake", store=f"sqlite:///{folder}/store.db")
        lake = lakes.open_lake(found.data)
        chosen = Options(**read_build(lake, version)["options"])
        work = StageContext(version, chosen, lake, open_store(found.store), found, lambda _: None)
        run_stage(work, "release")


def test_a_killed_write_is_finished_by_rerunning(work, tmp_path):
    table = corpus().head(ROWS // 4)
    run_stage(calm := built(work, "2026.11.01", table, 4), "release")
    wanted = released(calm)
    shaken = built(work, "2026.11.02", table, 4)
    below, seen = f"releases/{shaken.build}", tmp_path / "seen"
    kills, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        one = forks.started(run_until_killed, str(tmp_path), shaken.build, 1 + 3 * kills % 10, str(seen))
        one.join()
        code, kills = one.exitcode, kills + 1
    assert code == 0
    assert kills > 5
    every = seen.read_text().splitlines()
    notes = [path for path in every if path.endswith(".json") and "/unfinished/" in path]
    assert len({*notes}) == len(notes) > 3
    last = {path: place for place, path in enumerate(every)}
    for table, several in table_files(read_manifest(work.lake, shaken.build)["files"]).items():
        for number, name in enumerate(several):  # once its note is there, a file is not written again
            note = last[f"{below}/unfinished/{table.replace('/', '.')}-{number:05d}.json"]
            assert max(last[f"{below}/{name}"], last[f"{below}/{jsonl_beside(name)}"]) < note
    assert released(shaken) == wanted
    assert verify(work.lake, shaken.build) == []
    assert not [name for name in lakes.files(work.lake, below) if name.startswith("unfinished")]


def test_a_patch_and_its_difference(work):
    table = corpus()
    run_stage(made := built(work, "2026.11.01", table, 3), "release")
    run_stage(built(work, "2026.11.02", table.head(len(table) - 5), 3, perplexity_cut=0.5), "release")
    said = take_down(work.lake, work.store, "zhongyoo", "the site asked", rewrite=True)
    patch = said["releases"][made.build]
    assert verify(work.lake, patch) == []
    assert b"zhongyoo.com" not in b"".join(released(work, patch).values())
    found = difference(*(side_of(work.lake, f"releases/{name}") for name in (patch, said["releases"]["2026.11.02"])))
    assert sum(row["removed"] for row in found["rows"]) == len(table.tail(5).filter(pl.col("source") != "zhongyoo"))


def test_a_missing_or_foreign_file_is_told(work):
    run_stage(made := built(work, "2026.11.01", corpus(), 2), "release")
    folder = Path(work.lake.at("releases", made.build))
    files = sorted(folder.glob("sft/train-*"))
    files[1].rename(folder / "sft" / "train.parquet")
    assert {fault.split(": ")[1] for fault in verify(work.lake, made.build)} == {"missing", "not in the manifest"}
