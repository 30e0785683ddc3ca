"""The week a crawl owns."""

from datetime import UTC, date, datetime

import pytest

from chimed_airflow.weeks import week

NOW = datetime(2026, 11, 22, 23, 50, tzinfo=UTC)  # Monday morning in Shanghai


def test_a_key_is_its_monday_and_seven_days() -> None:
    found = week("2026-11-16", NOW)
    assert (found.since, found.until, found.key) == (date(2026, 11, 16), date(2026, 11, 23), "2026-11-16")


def test_a_day_within_a_week_means_that_week() -> None:
    assert week("2026-11-20", NOW) == week("2026-11-16", NOW)


def test_without_a_key_it_is_the_week_that_ended_last_in_shanghai() -> None:
    assert week(None, NOW).key == "2026-11-16"
    assert week(None, datetime(2026, 11, 22, 12, tzinfo=UTC)).key == "2026-11-09"  # still Sunday there


def test_what_is_no_day_is_refused() -> None:
    with pytest.raises(ValueError, match="does not match format"):
        week("last week", NOW)
