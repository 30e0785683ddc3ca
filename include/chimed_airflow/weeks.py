"""Which week a crawl owns: the seven days from the Monday in its partition key, or from the one chosen in its form."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk.exceptions import AirflowFailException

from chimed.sources.states import ZONE

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
    """The week of a partition key; without a key the week that ended last before `now`, by the sites' own clock.

    A key within a week means that week. Raises ValueError for what is not a day.
    """
    if key:
        day = datetime.strptime(key, KEY_FORMAT).date()
    else:
        day = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=7)
    monday = day - timedelta(days=day.weekday())
    return Week(monday, monday + timedelta(days=7))


def of_run(dag_run: Any, params: Any) -> Week:
    """The week of a crawl's run: of its partition key, else of the form's `week`, else the one that ended last.

    Raises AirflowFailException, which no retry mends, where a run says two weeks, or where a person chose a Logical
    Date, which chooses no week.
    """
    chosen = params.get("week")
    try:
        owned = week(dag_run.partition_key or chosen, dag_run.run_after)
        if chosen and week(chosen, dag_run.run_after) != owned:
            raise AirflowFailException(
                f"the run is for the week of {owned.key}, its parameter week says {chosen}; leave week empty"
                + (" in a backfill, whose dates say the weeks" if dag_run.run_type == BACKFILL else "")
            )
    except ValueError:
        raise AirflowFailException(
            f"{dag_run.partition_key or chosen!r} is not a day; write a week's Monday as 2026-11-16"
        ) from None
    logical = getattr(dag_run, "logical_date", None)
    if dag_run.run_type == MANUAL and not (dag_run.partition_key or chosen) and logical is not None:
        days = abs((logical - dag_run.run_after).total_seconds()) / 86400
        if days > 1:
            raise AirflowFailException(
                f"Logical Date {logical:%Y-%m-%d} chooses no week to crawl; trigger again with week set to "
                f"{week(f'{logical:%Y-%m-%d}', dag_run.run_after).key}, and leave Logical Date as it is"
            )
    return owned


def refused(dag_run: Any, params: Any) -> str | None:
    """Why a crawl must not be run as it was asked for; None where it may."""
    if dag_run.run_type == BACKFILL and params.get("mode") == "full":
        return (
            "mode=full fetches every page of all weeks, so a backfill would do it once for each of its weeks; "
            "backfill with mode=refresh, or trigger one run with mode=full"
        )
    return None
