"""The task that looks at a deployment and tells a person what it found, once a day for the same thing."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator

from chimed_airflow import commands, notice


class WatchOperator(BaseOperator):
    """Runs `chimed watch` and sends a notice of what is new since the run before, and of everything once a day."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Return what was found and on which day; the run after this one compares with it."""
        found = commands.run(["watch", "--json"], self.log.info)
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        known = context["ti"].xcom_pull(task_ids=self.task_id, include_prior_dates=True) or {}
        new = to_tell(found, known, today)
        for one in found:
            self.log.warning("%s", one["said"])
        if new:
            notice.send(*notice.alarms(new), context)
        return {"day": today, "about": sorted(about(one) for one in found)}


def about(alarm: dict[str, str]) -> str:
    """Return what tells one alarm from another: not its sentence, whose figures change."""
    return f"{alarm['kind']} {alarm['about']}"


def to_tell(found: list[dict[str, str]], known: dict[str, Any], today: str) -> list[dict[str, str]]:
    """Return the alarms that a person has not been told of today. known: what the run before returned."""
    told = set(known.get("about", ())) if known.get("day") == today else set()
    return [one for one in found if about(one) not in told]
