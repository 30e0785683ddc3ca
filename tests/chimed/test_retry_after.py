"""Retry-After in both of its forms, and in those that are none."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chimed.retry_after import LONGEST, retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), (" 120 ", 120.0), ("2.5", 2.5), ("7.", 7.0), ("86400", 86_400.0), ("9" * 12, LONGEST),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 9999 07:28:00 GMT", LONGEST)],
)  # fmt: skip
def test_a_number_or_a_date_is_read(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_a_date_to_come_is_so_many_seconds() -> None:
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    assert 7 < (retry_after(said) or 0) <= 9


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "-1", "nan", "inf", "1e9", "٣", "1_000", "0x10", "10 seconds", "9" * 5_000,
     "Wed, 21 Oct 2015", "Wed, 21 Oct 2015 07:28:00 -0000", "Wed, 99 Oct 2015 07:28:00 GMT", "\x00", "五"],
)  # fmt: skip
def test_anything_else_says_nothing(value: str | None) -> None:
    assert retry_after(value) is None
