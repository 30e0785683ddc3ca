"""Which week a crawl owns: the seven days from the Monday in its partition key, or from the one chosen in its form."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chimed.storage.states import TIME_ZONE

KEY_FORMAT = "%Y-%m-%d"
BACKFILL = "backfill"  # Airflow's type of a run that a backfill made
MANUAL = "manual"


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
    """Return the week of a partition key, or the week that ended last before `now` in the sites' time zone.

    A key within a week means that week. Raises ValueError for what is not a day.
    """
    if key:
        day = datetime.strptime(key, KEY_FORMAT).date()
    else:
        day = now.astimezone(ZoneInfo(TIME_ZONE)).date() - timedelta(days=7)
    monday = day - timedelta(days=day.weekday())
    return Week(monday, monday + timedelta(days=7))


def of_run(dag_run: Any, params: Any) -> Week:
    """Return the week of a crawl's run: of its partition key, else of the form's `week`, else the week that ended last.

    Does not raise, because an exception in a template could not tell the user why; `refused` says whether the run is
    allowed.
    """
    try:
        return week(dag_run.partition_key or params.get("week"), dag_run.run_after)
    except ValueError:
        return week(None, dag_run.run_after)


def refused(dag_run: Any, params: Any) -> str | None:
    """Why a crawl must not be run as it was asked for; None where it may.

    A run may not say two weeks, nor a backfill that every page is fetched once for each of its weeks. And a Logical
    Date that a person chose is not ignored: it chooses no week.
    """
    chosen, key, now = params.get("week"), dag_run.partition_key, dag_run.run_after
    for said in filter(None, (key, chosen)):
        try:
            week(said, now)
        except ValueError:
            return f"{said!r} is not a day; write a week's Monday as 2026-11-16"
    if key and chosen and week(key, now) != week(chosen, now):
        backfill = " in a backfill, whose dates say the weeks" if dag_run.run_type == BACKFILL else ""
        return f"the run is for the week of {key}, its parameter week says {chosen}; leave week empty{backfill}"
    if dag_run.run_type == BACKFILL and params.get("mode") == "full":
        return (
            "mode=full fetches every page of all weeks, so a backfill would do it once for each of its weeks; "
            "backfill with mode=refresh, or trigger one run with mode=full"
        )
    logical = getattr(dag_run, "logical_date", None)
    unasked = dag_run.run_type == MANUAL and not (key or chosen)
    if unasked and logical is not None and abs(logical - now) > timedelta(days=1):
        monday = week(logical.strftime(KEY_FORMAT), now).key
        return (
            f"Logical Date {logical:%Y-%m-%d} chooses no week to crawl; trigger again with week set to {monday}, and "
            "leave Logical Date as it is"
        )
    return None
