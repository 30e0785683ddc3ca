"""Shards on several cores: the tables are those of one process, and a mistake in a shard is told as there."""

import pytest

from chimed.build.context import StageContext
from chimed.build.ledger import LedgerError
from chimed.build.options import Options
from chimed.pipeline import parallel
from chimed.pipeline.runner import run_stage
from chimed.schema import RECORD
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.store import open_store
from support.samples import document, rows

pytestmark = pytest.mark.slow  # processes
PARTS = 4


@pytest.fixture
def here(tmp_path, monkeypatch) -> StageContext:
    """A build of four shards in the lake that other processes find, too."""
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    settings.cache_clear()
    lake = lakes.open_lake()
    lakes.write_json(lake, "builds/b/build.json", {"version": "b", "options": {}, "shards": [["zhongyoo/1"]]})
    lakes.write_json(lake, "builds/b/dedup/report-00000.json", {"parts": PARTS})
    for n in range(PARTS):
        texts = rows(*(document(f"<p>茯苓{n}，味甘，性平{m}。</p>", url=f"http://a/{n}/{m}") for m in range(20)))
        lakes.write_table(lake, f"builds/b/dedup/kept-{n:05d}.parquet", texts, RECORD)
    yield StageContext("b", Options(), lake, open_store(), settings(), print)
    settings.cache_clear()


def tables(work: StageContext) -> list[bytes]:
    return [lakes.read_bytes(work.lake, f"builds/b/clean/kept-{n:05d}.parquet") for n in range(PARTS)]


@pytest.mark.parametrize("shards_of_a_process", [2, 4], ids=["processes", "threads"])
def test_several_at_once_write_what_one_writes(here, monkeypatch, shards_of_a_process):
    monkeypatch.setattr(parallel, "SHARDS_PER_PROCESS", shards_of_a_process)
    reports = parallel.run_shards(here, "clean")
    assert [(report["shard"], report["kept"]) for report in reports] == [(n, 20) for n in range(PARTS)]
    several = tables(here)
    for n in range(PARTS):
        lakes.remove(here.lake, f"builds/b/clean/report-{n:05d}.json")
    run_stage(here, "clean")
    assert tables(here) == several


def test_a_stuck_shard_stops_the_stage(here):
    twice = lakes.read_table(here.lake, "builds/b/dedup/kept-00001.parquet")
    lakes.write_table(here.lake, "builds/b/dedup/kept-00001.parquet", twice.vstack(twice.head(1)), RECORD)
    with pytest.raises(LedgerError, match="1 ids are kept twice"):
        parallel.run_shards(here, "clean")
