"""The week a crawl owns."""

import re
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from chimed_airflow.weeks import of_run, refused, week

NOW = datetime(2026, 11, 22, 23, 50, tzinfo=UTC)  # Monday morning in Shanghai


def test_a_key_is_its_monday_and_seven_days() -> None:
    found = week("2026-11-16", NOW)
    assert (found.since, found.until, found.key) == (date(2026, 11, 16), date(2026, 11, 23), "2026-11-16")


def test_a_day_within_a_week_means_that_week() -> None:
    assert week("2026-11-20", NOW) == week("2026-11-16", NOW)


def test_the_default_week_is_shanghais_last() -> None:
    assert week(None, NOW).key == "2026-11-16"
    assert week(None, datetime(2026, 11, 22, 12, tzinfo=UTC)).key == "2026-11-09"  # still Sunday there


def test_what_is_no_day_is_refused() -> None:
    with pytest.raises(ValueError, match="does not match format"):
        week("last week", NOW)


def run(kind: str = "manual", key: str | None = None, logical: datetime | None = NOW) -> SimpleNamespace:
    return SimpleNamespace(run_type=kind, partition_key=key, run_after=NOW, logical_date=logical)


@pytest.mark.parametrize(
    ("asked", "params", "monday"),
    [
        (run(), {}, "2026-11-16"),  # the week that ended last
        (run(), {"week": "2026-10-05"}, "2026-10-05"),
        (run(), {"week": "2026-10-07"}, "2026-10-05"),  # any day of it
        (run(logical=datetime(2026, 10, 7, tzinfo=UTC)), {"week": "2026-10-05"}, "2026-10-05"),
        (run(logical=None), {"week": None}, "2026-11-16"),
        (run("scheduled", "2026-11-09", None), {"week": None}, "2026-11-09"),
        (run("backfill", "2026-10-05", None), {"week": "2026-10-05"}, "2026-10-05"),
        (run("manual", "2026-10-12", None), {"week": "2026-10-14"}, "2026-10-12"),
    ],
)
def test_a_run_owns_its_keys_week(asked, params, monday) -> None:
    assert of_run(asked, params).key == monday
    assert refused(asked, params) is None


@pytest.mark.parametrize(
    ("asked", "params", "said"),
    [
        (run(logical=datetime(2026, 10, 7, tzinfo=UTC)), {}, r"Logical Date 2026-10-07 .* week set to 2026-10-05"),
        (run("backfill", "2026-10-05", None), {"week": "2026-10-12"}, "leave week empty in a backfill"),
        (run("manual", "2026-10-05", None), {"week": "2026-10-12"}, "for the week of 2026-10-05"),
        (run(), {"week": "soon"}, "is not a day"),
    ],
)
def test_a_run_needs_exactly_one_week(asked, params, said) -> None:
    assert re.search(said, refused(asked, params))


def test_a_backfill_fetches_shared_pages_once() -> None:
    assert "mode=refresh" in str(refused(run("backfill", "2026-10-05"), {"mode": "full"}))
    assert refused(run("backfill", "2026-10-05"), {"mode": "refresh"}) is None
    assert refused(run(), {"mode": "full"}) is None
