"""What a person wants to know first: which sites have the week, what failed, what waits for somebody, what runs."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chimed.sources import names as source_names

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from sqlalchemy import Row
    from sqlalchemy.orm import Session

NOTE = 400  # characters of a run's note that are shown


def dags() -> tuple[str, ...]:
    """Return the ids of chimed's DAGs."""
    return (*(f"crawl_{source}" for source in source_names()), "build_dataset", "train_models")


def now(user: "BaseUser") -> dict[str, Any]:
    """Of the DAGs that this user may read, in one session: `running`, `failed`, `waiting` (lists of dicts)."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.utils.session import create_session

    with create_session() as session:
        mine = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session) & set(dags())
        return {
            "running": _running(session, mine),
            "failed": _failed(session, mine),
            "waiting": _waiting(session, mine),
        }


def _running(session: "Session", mine: set[str]) -> list[dict[str, Any]]:
    """Runs that are not over: dag, run, state, since, done, failed, of, tasks."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance as TI
    from sqlalchemy import func, select

    open_runs = session.execute(
        select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date)
        .where(DagRun.dag_id.in_(mine), DagRun.state.in_(["running", "queued"]))
        .order_by(DagRun.start_date)
    ).all()
    counted = session.execute(
        select(TI.dag_id, TI.run_id, TI.task_id, TI.state, func.count(), func.min(TI.start_date))
        .where(TI.dag_id.in_(mine), TI.run_id.in_([run.run_id for run in open_runs]))
        .group_by(TI.dag_id, TI.run_id, TI.task_id, TI.state)
    ).all()
    return [_run(run, [row[2:] for row in counted if row[:2] == (run.dag_id, run.run_id)]) for run in open_runs]


def _run(run: "Row[Any]", tasks: Iterable[tuple[str, str | None, int, datetime | None]]) -> dict[str, Any]:
    counts = list(tasks)
    return {
        "dag": run.dag_id,
        "run": run.run_id,
        "state": str(run.state),
        "since": run.start_date,
        "done": sum(count for _, state, count, _ in counts if state in ("success", "skipped")),
        "failed": sum(count for _, state, count, _ in counts if state in ("failed", "upstream_failed")),
        "of": sum(count for _, _, count, _ in counts),
        "tasks": [(name, count, since) for name, state, count, since in counts if state == "running"],
    }


def _failed(session: "Session", mine: set[str]) -> list[dict[str, Any]]:
    """DAGs whose last run that ended failed: dag, run, ended, why (the run's note, as plain words)."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    found = []
    for dag in dags():
        if dag not in mine:
            continue
        over = select(DagRun).where(DagRun.dag_id == dag, DagRun.state.in_(["success", "failed"]))
        last = session.scalars(over.order_by(DagRun.end_date.desc()).limit(1)).first()
        if last is not None and last.state == "failed":
            why = plain_note(last.note or "")
            found.append({"dag": dag, "run": last.run_id, "ended": last.end_date, "why": why})
    return found


def plain_note(note: str) -> str:
    """The first paragraph of a note without the marks of Markdown."""
    return note.split("\n\n")[0].replace("\\", "").replace("**", "")[:NOTE]


def _waiting(session: "Session", mine: set[str]) -> list[dict[str, Any]]:
    """Questions that nobody has answered: dag, run, task, subject, since."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance as TI
    from sqlalchemy import select

    asked = (
        select(TI.dag_id, TI.run_id, TI.task_id, HITLDetail.subject, HITLDetail.created_at)
        .join(HITLDetail, HITLDetail.ti_id == TI.id)
        .where(TI.dag_id.in_(mine), HITLDetail.responded_at.is_(None), TI.state.in_(["awaiting_input", "deferred"]))
        .order_by(HITLDetail.created_at)
    )
    return [
        {"dag": dag, "run": run, "task": task, "subject": subject, "since": since}
        for dag, run, task, subject, since in session.execute(asked)
    ]
