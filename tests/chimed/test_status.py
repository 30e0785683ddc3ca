"""The first question at a shell: what is there, and what to do next. A look makes nothing."""

from datetime import UTC, date, datetime

import pytest
from typer.testing import CliRunner

from chimed.__main__ import GROUPS, app
from chimed.crawl.weeks import WEEK, last_week
from chimed.operations.status import read_status
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import store as stores
from chimed.storage.lake import open_lake
from chimed.storage.store_tables import CRAWLS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    settings.cache_clear()
    yield
    settings.cache_clear()


def crawled(source: str, since: date) -> None:
    until = since + WEEK
    lakes.write_json(open_lake(), f"raw/{source}/{since}/report.json", {"pages": 3})
    row = {
        "source": source, "crawl": str(since), "attempts": 1, "requests": 5, "bytes": 9, "seconds": 1.0, "unchanged": 0,
        "off_site": 0, "since": since, "until": until, "begun": until, "finished": datetime.now(UTC), "part": False,
    }  # fmt: skip
    stores.upsert(stores.open_store(), CRAWLS, [row])


def steps() -> list[str | None]:
    return [one["do"] for one in read_status()["next"]]


def test_an_empty_lake_says_what_to_run(tmp_path) -> None:
    said = CliRunner().invoke(app, ["status"])
    assert said.exit_code == 0
    assert "make demo" in said.output
    assert "python -m chimed ingest" in said.output
    assert not (tmp_path / "store.db").exists()


def test_what_comes_next_follows_from_what_is_there() -> None:
    crawled("ask39", last_week())
    assert steps() == ["python -m chimed check", "python -m chimed build && python -m chimed run all"]
    crawled("zydcd", last_week() - WEEK)
    found = read_status()
    assert {one["source"]: one["week"] for one in found["sources"] if one["crawls"]} == {
        "ask39": None,
        "zydcd": "never crawled",
    }
    assert steps()[-1].startswith("python -m chimed crawl zydcd --from")
    lakes.write_json(open_lake(), "builds/2026.11.22/build.json", {"version": "2026.11.22", "made": "2026-11-22",
                     "shards": [["ask39/1"]], "options": {}})  # fmt: skip
    assert "python -m chimed run all --build 2026.11.22" in steps()
    assert read_status()["build"]["next"] == "extract"


def test_help_shows_groups_for_people() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    for title in GROUPS:
        assert title in said
    assert "preview" not in said
    assert "find-release" not in said
    for hidden in ("preview", "find-release", "shards"):
        assert CliRunner().invoke(app, [hidden, "--help"]).exit_code == 0


@pytest.mark.parametrize(("typed", "meant"), [("statsu", "status"), ("crwal", "crawl"), ("legder", "ledger")])
def test_a_typing_slip_is_corrected(typed, meant) -> None:
    said = CliRunner().invoke(app, [typed])
    assert said.exit_code == 2
    assert f"Did you mean '{meant}'" in said.output


def test_every_table_command_gives_json() -> None:
    for command in ("status", "check", "coverage", "ledger", "trace", "verify", "diff", "compare", "train"):
        assert "--json" in CliRunner().invoke(app, [command, "--help"]).output, command
    assert '"next"' in CliRunner().invoke(app, ["status", "--json"]).output
    assert len(source_names()) == len(read_status()["sources"])
