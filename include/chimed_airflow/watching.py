"""The task that looks at a deployment and tells a person what it found, once a day for the same thing and channel."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator

from chimed_airflow import commands, notice, starving

Alarms = list[dict[str, str]]


class WatchOperator(BaseOperator):
    """Runs `chimed watch`, looks for tasks whose pool can never take them, and sends a notice of what is new since the
    run before, and of everything once a day."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Return what each channel has told of, and on which day; the run after this one compares with it.

        Raises NotSent where every channel in use failed. Where one failed, what it has not told is tried again by the
        next run, over this one only, and what the others have told is not repeated.
        """
        found: Alarms = commands.run(["watch", "--json"], self.log.info)
        found += starving.alarms(context["ti"], time.sleep)
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        known = context["ti"].xcom_pull(task_ids=self.task_id, include_prior_dates=True) or {}
        for one in found:
            self.log.warning("%s", one["said"])
        told, failed = {}, {}
        for channel in notice.in_use():
            before = told_by(channel, known, today)
            new = [one for one in found if about(one) not in before]
            try:
                if new:
                    notice.send(*notice.alarms(new), context, over=[channel])
                told[channel] = sorted(before | {about(one) for one in new})
            except notice.NotSent as error:
                failed[channel] = str(error)
                told[channel] = sorted(before)
        if failed and len(failed) == len(told):
            raise notice.NotSent("; ".join(failed.values()))
        return {"day": today, "about": sorted(map(about, found)), "told": told}


def about(alarm: Mapping[str, str]) -> str:
    """Return what tells one alarm from another: not its sentence, whose figures change."""
    return f"{alarm['kind']} {alarm['about']}"


def told_by(channel: str, known: Mapping[str, Any], today: str) -> set[str]:
    """Return what a channel has told of today. known: what the run before returned.

    An older version did not tell channels apart: what it told went over all of them.
    """
    if known.get("day") != today:
        return set()
    told = known.get("told", {})
    return set(told.get(channel, ()) if "told" in known else known.get("about", ()))
