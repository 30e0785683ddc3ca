"""Which week a crawl owns: the seven days from the Monday in its partition key."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from chimed.sources.states import ZONE

KEY_FORMAT = "%Y-%m-%d"


@dataclass(frozen=True)
class Week:
    """A half-open interval of days, as a crawl takes it: `since` is its Monday, `until` the Monday after."""

    since: date
    until: date

    @property
    def key(self) -> str:
        """The partition key of this week."""
        return self.since.strftime(KEY_FORMAT)


def week(key: str | None, now: datetime) -> Week:
    """The week of a partition key; without a key the week that ended last before `now`, by the sites' own clock.

    A key within a week means that week. Raises ValueError for what is not a day.
    """
    if key:
        day = datetime.strptime(key, KEY_FORMAT).date()
    else:
        day = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=7)
    monday = day - timedelta(days=day.weekday())
    return Week(monday, monday + timedelta(days=7))
