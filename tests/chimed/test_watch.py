"""What an operator is told of though no run failed: missing weeks, full disks, releases that drifted."""

import dataclasses
import json
import shutil
from collections import namedtuple
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from chimed.operations import channels
from chimed.operations import watch as watching
from chimed.storage import lake as lakes
from chimed.storage.store_tables import CRAWLS

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def today(monkeypatch):
    """Sets the sites' day."""

    def is_(day: date) -> None:
        monkeypatch.setattr(watching, "today", lambda: day)
        monkeypatch.setattr("chimed.crawl.weeks.today", lambda: day)

    return is_


def crawled(work, source: str, since: date | None, until: date | None, stopped: str | None = None) -> None:
    row = {"source": source, "crawl": f"{since}", "since": since, "until": until, "part": False, "stopped": stopped}
    row |= dict.fromkeys(("attempts", "requests", "bytes", "seconds", "unchanged", "off_site"), 0)
    finished = None if stopped else datetime(2026, 11, 30, 3, tzinfo=UTC)
    with work.store.engine.begin() as connection:
        connection.execute(insert(CRAWLS).values(**row, finished=finished))


def found(work) -> dict[str, str]:
    return {f"{one.kind} {one.about}": one.said for one in watching.watch(work.settings, work.lake, work.store)}


def test_a_missing_week_is_told_from_tuesday(work, today) -> None:
    monday = date(2026, 11, 23)
    crawled(work, "ask39", monday, monday + timedelta(7))
    crawled(work, "ask120", monday, monday + timedelta(7), stopped="a captcha")
    crawled(work, "cnkang", date(2026, 11, 16), date(2026, 11, 23))
    today(date(2026, 11, 30))
    assert found(work) == {}  # on Monday they may still be at work
    today(date(2026, 12, 1))
    alarms = found(work)
    assert set(alarms) == {f"week {site} 2026-11-23" for site in ("ask120", "cnkang", "zydcd", "zhongyoo")}
    assert "a captcha" in alarms["week ask120 2026-11-23"]
    assert "zydcd was never crawled, and the build waits for all sites" in alarms["week zydcd 2026-11-23"]
    unscheduled = dataclasses.replace(work, settings=work.settings.model_copy(update={"schedules": False}))
    assert set(found(unscheduled)) == {"week ask120 2026-11-23", "week cnkang 2026-11-23"}


def test_a_deployment_without_crawls_lacks_none(work, today) -> None:
    today(date(2026, 12, 1))
    assert found(work) == {}


def test_a_channel_that_fails_is_told_of(work, today) -> None:
    today(date(2026, 11, 30))
    where = {"notify": "me@example.org", "notify_webhook": SecretStr("http://hooks.example/x")}
    mine = dataclasses.replace(work, settings=work.settings.model_copy(update=where))
    channels.record(work.lake, "webhook", "the webhook answered 500")
    channels.record(work.lake, "webhook", "the webhook was not reached (ReadTimeout) " * 99)
    assert set(found(mine)) == {"notice webhook"}
    assert len(found(mine)["notice webhook"]) < 400
    assert found(work) == {}  # nobody uses it any more
    lakes.write_bytes(work.lake, "notices/webhook.json", b'{"sin')  # a torn file says that it failed
    assert set(found(mine)) == {"notice webhook"}
    channels.record(work.lake, "webhook", "again")
    channels.record(work.lake, "webhook", None)
    assert found(mine) == {}


def test_a_nearly_full_disk_is_told_once(work, today, monkeypatch) -> None:
    today(date(2026, 11, 30))
    for free, told in ((300, 0), (30, 0), (15, 1)):
        usage = Usage(400 * 10**9, (400 - free) * 10**9, free * 10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert len(found(work)) == told, free
    assert any("only 15.0 GB (4%) are free" in said for said in found(work).values())


@pytest.mark.parametrize(("stops", "told"), [([], 0), (["length of sft: 0.4 is over its limit of 0.2"], 1)])
def test_a_release_over_its_limits_is_told_of(work, today, stops: list, told: int) -> None:
    today(date(2026, 11, 30))
    for version in ("2026.11.16", "2026.11.23"):
        lakes.write_json(work.lake, f"releases/{version}/manifest.json", {"version": version, "number": 1})
        changes = {"before": "2026.11.16", "stops": stops if version == "2026.11.23" else ["an old one"]}
        lakes.write_json(work.lake, f"releases/{version}/changes.json", changes)
    alarms = found(work)
    assert len(alarms) == told
    assert all("length of sft" in said and name == "drift 2026.11.23" for name, said in alarms.items())


def test_the_command_prints_json_or_lines(work, today, monkeypatch) -> None:
    from typer.testing import CliRunner

    from chimed.operations import commands
    from chimed.settings import settings

    today(date(2026, 11, 30))
    monkeypatch.setenv("CHIMED_DATA", work.settings.data)
    monkeypatch.setenv("CHIMED_STORE", work.settings.store)
    settings.cache_clear()
    assert json.loads(CliRunner().invoke(commands.app, ["watch", "--json"]).stdout) == []
    assert "nothing to look at" in CliRunner().invoke(commands.app, ["watch"]).stdout
    settings.cache_clear()
