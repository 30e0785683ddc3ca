"""The header Retry-After (RFC 9110, 10.2.3), as websites and model servers send it: a number of seconds, or a date."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 366 * 86_400.0  # seconds; a longer wait is none that anybody means
_SECONDS = re.compile(r"\d{1,12}(\.\d{0,6})?", re.ASCII)  # a fraction is not in the RFC, and is sent


def retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, 0 for a date that has passed.

    None where there is no such header, or it can be read neither as a number nor as a date.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return min(float(value), LONGEST)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # no date, or one without its time zone
        return None
    return min(max(0.0, seconds), LONGEST)
