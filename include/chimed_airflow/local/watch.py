"""Follows DAG runs and says what happens in them: a line a finished task, and what is running meanwhile."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from chimed_airflow.local.home import AIRFLOW
from chimed_airflow.local.rest import Api

POLL = 3.0  # seconds; the tasks need the processor more than the API server does
QUIET = 20  # seconds without news until a line says what is running
TAIL = 25  # lines of a failed task's log
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")


class TaskFailed(Exception):
    """A run did not succeed; the message holds the end of the failing task's log."""


@dataclass
class Watch:
    """What has been seen so far: states told, and the seconds each task took."""

    api: Api
    say: Callable[[str], None]
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    _told: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _news: float = field(default_factory=time.monotonic)

    def runs(self, dag: str, key: str | None = None) -> list[dict[str, Any]]:
        """Return a DAG's runs, newest first: all, or those of one partition key."""
        found = self.api.get(f"/dags/{dag}/dagRuns", limit=100, order_by="-run_after") or {"dag_runs": []}
        return [run for run in found["dag_runs"] if key is None or run["partition_key"] == key]

    def look(self, runs: dict[str, str]) -> dict[str, str]:
        """Tells what is new in some runs (DAG → run) and returns their states. Raises TaskFailed where one failed."""
        states, busy = {}, []
        for dag, run in runs.items():
            found = self.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances", limit=500)
            for task in sorted(found["task_instances"], key=lambda one: one["end_date"] or "~"):
                self._tell(dag, run, task)
                if task["state"] == "running":
                    busy.append(f"{dag} {_name(task)} {_since(task):.0f} s")
            states[dag] = self.api.get(f"/dags/{dag}/dagRuns/{run}")["state"]
            if states[dag] == "failed":
                raise TaskFailed(self._why(dag, run, found["task_instances"]))
        if busy and time.monotonic() - self._news > QUIET:
            self._line("  … " + ", ".join(busy))
        return states

    def until_done(self, runs: dict[str, str], alive: Callable[[], None]) -> None:
        """Follows runs to their end; `alive` raises where a process they need has died."""
        while not all(state == "success" for state in self.look(runs).values()):
            alive()
            time.sleep(POLL)

    def until_started(self, dag: str, key: str, known: set[str], alive: Callable[[], None], patience: float) -> str:
        """Wait for the run that an asset starts for a key; return its id. Raises TaskFailed if none starts in time."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for run in self.runs(dag, key):
                if run["dag_run_id"] not in known:
                    return run["dag_run_id"]
            alive()
            time.sleep(POLL)
        raise TaskFailed(f"{dag} was not started for {key} within {patience:.0f} s")

    def _tell(self, dag: str, run: str, task: dict[str, Any]) -> None:
        place = (dag, run, task["task_id"], task["map_index"], task["try_number"])
        state = task["state"] or ""
        if self._told.get(place) == state:
            return
        self._told[place] = state
        if state in ENDED:
            took = task["duration"] or 0.0
            total = self.seconds.get((dag, task["task_id"]), 0.0)
            self.seconds[dag, task["task_id"]] = total + took
            self._line(f"  {dag:<15} {_name(task):<22} {state:<9} {took:6.1f} s")
        elif state == "up_for_retry":
            self._line(f"  {dag:<15} {_name(task):<22} failed, will be tried again")
            self._line(log_tail(dag, run, task))

    def _line(self, text: str) -> None:
        self._news = time.monotonic()
        self.say(text)

    def _why(self, dag: str, run: str, tasks: list[dict[str, Any]]) -> str:
        failed = [task for task in tasks if task["state"] == "failed"]
        told = [f"{dag} failed in {_name(task)}:\n{log_tail(dag, run, task)}" for task in failed[:2]]
        return "\n".join(told) or f"{dag} run {run} failed, though no task did; see the scheduler's log"


def _name(task: dict[str, Any]) -> str:
    return task["task_id"] + (f" {task['map_index']}" if task["map_index"] >= 0 else "")


def _since(task: dict[str, Any]) -> float:
    started = datetime.fromisoformat(task["start_date"])
    return (datetime.now(started.tzinfo) - started).total_seconds()


def log_tail(dag: str, run: str, task: dict[str, Any]) -> str:
    """Return the last lines of a task's log, as plain text."""
    folder = AIRFLOW / "logs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task['task_id']}"
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    logs = sorted(folder.glob("attempt=*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return f"    (no log in {folder})"
    lines = [_plain(line) for line in logs[-1].read_text(encoding="utf-8", errors="replace").splitlines()]
    return (
        "\n".join(f"    {line}" for line in [line for line in lines if line][-TAIL:]) + f"\n    log: {_short(logs[-1])}"
    )


def _plain(line: str) -> str:
    """Return the text of a log line that the command or an error wrote; empty for Airflow's own lines."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not entry.get("logger", "").endswith("ChimedOperator") and entry.get("level") not in ("error", "critical"):
        return ""
    errors = [f"{one['exc_type']}: {one['exc_value'].splitlines()[0]}" for one in entry.get("error_detail") or ()]
    return " ".join([entry.get("event", ""), *errors]).strip()


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
