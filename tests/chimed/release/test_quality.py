"""Ratings in a release: its statistics and card, and releases of earlier versions, which lack the columns."""

import hashlib
import re
import shutil

import pyarrow.parquet as pq
import pytest

from chimed.release import SUBSETS, TABLES, read_manifest
from chimed.release.rows import ADDED, jsonl
from chimed.release.statistics import COUNTED, Counter, as_dict, of_dict, statistics
from chimed.release.verify import faults_in
from chimed.release.write import checksum_of
from chimed.schema import QUALITY
from chimed.storage import lake as lakes
from chimed.storage.contents import as_json, sealed
from support.making_one import FIRST, pylist, read_tables


@pytest.mark.slow
def test_rows_statistics_and_card_tell_the_ratings(lake):
    rows = [row for subset in SUBSETS for row in pylist(lake, FIRST, subset)]
    assert rows
    assert all(1 <= row[name] <= 5 for row in rows for name in QUALITY)
    numbers = lakes.read_json(lake, f"releases/{FIRST}/statistics.json")
    assert sum(row["rows"] for row in numbers["quality"]) == len(rows)
    for told in numbers["quality"]:
        values = [row["quality_safe"] for row in rows if row["source"] == told["source"]]
        assert told["quality_safe"] == pytest.approx(sum(values) / len(values), abs=0.0051)
    made = read_manifest(lake, FIRST)["rating"]
    assert made["judged"] == len(rows)
    card = lakes.read_bytes(lake, f"releases/{FIRST}/README.md").decode()
    assert f"by the rubric `{made['rubric']}`" in card
    assert all(f"| `quality_{name}` |" in card for name in made["agreement"])
    assert "No person has rated any of them yet" in card
    assert all(
        f"| `{name}` |" in card for name in ("text", "id", "evidence", "preference_margin", "rejected_by", "cluster")
    )
    assert "| pairs whose chosen answer is the longer one |" in card
    assert not re.search(r"(consistency|tie share|characters left): ", card)  # figures are told in words


@pytest.mark.slow
def test_a_release_without_the_columns_is_whole(lake, tmp_path):
    """As an earlier version left it: neither its tables nor its JSON lines nor its statistics know of ratings."""
    place = f"releases/{FIRST}"
    shutil.copytree(lake.at(place), tmp_path / "lake" / place)
    old = lakes.open_lake(str(tmp_path / "lake"))
    manifest, tables, counter = lakes.read_json(old, f"{place}/manifest.json"), read_tables(lake, FIRST), Counter()

    def write(name: str, data: bytes) -> None:
        lakes.write_bytes(old, f"{place}/{name}", data)
        manifest["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    for name in TABLES:
        for file in [file for file in manifest["files"] if file.startswith(name) and file.endswith(".parquet")]:
            table = pq.read_table(old.at(f"{place}/{file}"))
            added = [column for column in table.column_names if column in ADDED]
            pq.write_table(table.drop_columns(added), old.at(f"{place}/{file}"))
            write(file, lakes.read_bytes(old, f"{place}/{file}"))
            write(f"jsonl/{name.replace('/', '.')}.jsonl", jsonl(tables[name].drop(added), name.split("/")[0]))
        bare = tables[name].with_columns(**dict.fromkeys(QUALITY))
        counter.add(name, bare.cast(dict.fromkeys(QUALITY, float)))
    numbers = statistics(counter.counts())
    assert "quality" not in numbers
    write("statistics.json", as_json(numbers))
    before = manifest["checksum"]
    manifest["checksum"] = checksum_of(manifest["files"])
    card = lakes.read_bytes(old, f"{place}/README.md").decode().replace(before, manifest["checksum"])
    write("README.md", card.encode())
    lakes.write_json(old, f"{place}/manifest.json", sealed(manifest))
    assert faults_in(old, place) == []


def test_sums_of_an_earlier_version_are_read():
    counts = Counter().counts()
    kept = as_dict(counts)
    del kept["qualities"]
    assert len(of_dict(kept).qualities) == 0
    assert set(QUALITY) <= set(COUNTED)
