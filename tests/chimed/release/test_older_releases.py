"""Releases as earlier versions wrote them: whole, and read with the columns as they are called now."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chimed.release import TABLES, browse
from chimed.release.diff import difference, side_of
from chimed.release.file_names import jsonl_places
from chimed.release.rows import ADDED, dataset_info, jsonl
from chimed.release.statistics import Counter, statistics
from chimed.release.tables import read_batches, rows_in
from chimed.release.verify import faults_in
from chimed.release.write import checksum_of
from chimed.storage.contents import as_json, sealed
from chimed.storage.lake import Lake
from support.making_one import FIRST, read_tables

pytestmark = pytest.mark.slow


def test_a_release_of_three_subsets_stays_whole(copied):
    """As versions wrote it that had neither the subset reasoning nor the margin of a pair."""
    old = older_copy(copied.lake)
    numbers = json.loads((old / "statistics.json").read_text())
    assert numbers["splits"]["reasoning/train"] > 0
    for path in (*(old / "reasoning").iterdir(), *(old / "jsonl").glob("reasoning.*")):
        path.unlink()
    write_pairs(old, lambda table: table.drop_columns(ADDED))
    counter = Counter()
    for name in (name for name in TABLES if (old / f"{name}.parquet").exists()):
        for rows in read_batches(copied.lake, f"older/{FIRST}/{name}.parquet", name.split("/")[0]):
            counter.add(name, rows)
    numbers = statistics(counter.counts())
    del numbers["lengths"]["reasoning"], numbers["splits"]["reasoning/train"], numbers["splits"]["reasoning/validation"]
    (old / "statistics.json").write_bytes(as_json(numbers))
    seal_older(old)
    assert faults_in(copied.lake, f"older/{FIRST}") == []
    assert "reasoning" not in {table.split("/")[0] for table, _ in rows_in(copied.lake, f"older/{FIRST}")}


def test_a_release_with_a_former_name_stays_whole(copied):
    """As versions wrote it whose preferences called `preference_margin` `margin`."""
    old = older_copy(copied.lake)
    write_pairs(old, lambda table: table.rename_columns({"preference_margin": "margin"}))
    seal_older(old)
    assert faults_in(copied.lake, f"older/{FIRST}") == []
    new = Path(copied.lake.at("releases", FIRST))
    assert (old / "jsonl/preference.train.jsonl").read_bytes() != (new / "jsonl/preference.train.jsonl").read_bytes()
    sides = [side_of(copied.lake, folder) for folder in (f"older/{FIRST}", f"releases/{FIRST}")]
    counted = difference(*sides)["rows"]
    assert sum(one["same"] for one in counted) > 0
    assert [one for one in counted if one["added"] or one["removed"] or one["changed"]] == []
    known = pl.DataFrame(pq.read_table(new / "preference" / "train.parquet"))
    shutil.rmtree(new)
    shutil.copytree(old, new)
    row = browse.row(copied.lake, FIRST, known["id"][0])
    assert row is not None
    assert "margin" not in row
    assert row["preference_margin"] == known["preference_margin"][0] == 1.0
    assert read_tables(copied.lake, FIRST)["preference/train"].equals(known)
    write_pairs(old, lambda table: table.append_column("preference_margin", table["margin"]))
    seal_older(old)
    assert faults_in(copied.lake, f"older/{FIRST}")[0].endswith("columns are not those of this code")


def older_copy(lake: Lake) -> Path:
    """Copies the first release to where a test may make it one of an earlier version."""
    old = Path(lake.at("older", FIRST))
    shutil.copytree(Path(lake.at("releases", FIRST)), old)
    return old


def write_pairs(old: Path, changed: Callable[[pa.Table], pa.Table]) -> None:
    """Writes the tables of preferences with other columns, and their JSON lines."""
    for name in ("train", "validation"):
        for path in [*old.glob(f"preference/{name}.parquet")]:
            table = changed(pq.read_table(path)).replace_schema_metadata()
            pq.write_table(table, path)
            (old / "jsonl" / f"preference.{name}.jsonl").write_bytes(jsonl(pl.DataFrame(table), "preference"))


def seal_older(old: Path) -> None:
    """Writes the manifest of a release that an earlier version made of the files there."""
    manifest = json.loads((old / "manifest.json").read_text())
    there = [path.relative_to(old).as_posix() for path in sorted(old.rglob("*")) if path.is_file()]
    (old / "dataset_info.json").write_bytes(as_json(dataset_info(jsonl_places(there))))
    data = {name: (old / name).read_bytes() for name in there if name != "manifest.json"}
    files = {name: {"bytes": len(said), "sha256": sha256(said).hexdigest()} for name, said in data.items()}
    made = sealed(manifest | {"files": files, "checksum": checksum_of(files), "code": "0.0.1"})
    (old / "manifest.json").write_bytes(as_json(made))
