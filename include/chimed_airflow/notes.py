"""A run's note: what its task said last of the whole run, and of a run that failed why, shown in Airflow's lists.

A listener of the scheduler, for only there a run's note can be written. What a person noted stays.
"""

from airflow.listeners import hookimpl

from chimed.release.markdown import quoted
from chimed_airflow.tasks import NOTE, REASON, WHY

MOST = 950  # characters of a note: Airflow keeps a thousand
TOLD = 2  # failed tasks that a note tells of


@hookimpl
def on_dag_run_success(dag_run, msg) -> None:
    """Write the note of a run that succeeded."""
    _note(dag_run, failed=False)


@hookimpl
def on_dag_run_failed(dag_run, msg) -> None:
    """Write the note of a run that failed: why it failed, and what its tasks reported."""
    _note(dag_run, failed=True)


def _note(dag_run, failed: bool) -> None:
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    written = dag_run.dag_run_note
    if session is None or (written is not None and written.content and written.user_id is not None):
        return
    said = _xcoms(session, dag_run, NOTE)
    note = str(next((value for _, _, value in said), ""))
    if failed:
        note = f"{_why(session, dag_run)}\n\n{note}".strip()
    if note:
        dag_run.note = note if len(note) <= MOST else note[: note.rfind("\n", 0, MOST)].rstrip()


def _why(session, dag_run) -> str:
    """Which tasks failed first, and why, in a line each."""
    from airflow.models.taskinstance import TaskInstance as TI
    from sqlalchemy import select

    mine = (TI.dag_id == dag_run.dag_id, TI.run_id == dag_run.run_id, TI.state == "failed")
    failed = session.scalars(select(TI).where(*mine).order_by(TI.end_date)).all()
    reasons = {(task, index): value for task, index, value in _xcoms(session, dag_run, WHY)}
    # the ledger fails because others did; it tells something new only where none did
    first = [ti for ti in failed if ti.task_id != "ledger"] or list(failed)
    lines = [_line(ti, reasons.get((ti.task_id, ti.map_index))) for ti in first[:TOLD]]
    if len(first) > TOLD:
        lines.append(f"and {len(first) - TOLD} more failed")
    return "\n\n".join(lines) or "Failed, though no task did: it was stopped by a person, or by its time limit."


def _line(ti, reason: object) -> str:
    part = f" ({quoted(ti.rendered_map_index or ti.map_index, 60)})" if ti.map_index >= 0 else ""
    last = str(reason or "").strip().splitlines()
    last = [line for line in last if line.startswith("chimed: ")] or last  # what the command failed with, if it said so
    why = (
        quoted(last[-1].removeprefix("chimed: "), REASON // TOLD)
        if last
        else "it was stopped, or it says why only in its log"
    )
    return f"**Failed in {ti.task_id}**{part}: {why}"


def _xcoms(session, dag_run, key: str) -> list[tuple[str, int, object]]:
    """Return the run's XComs of a key, the latest first, as (task id, map index, value)."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    mine = (XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == key)
    found = session.scalars(select(XComModel).where(*mine).order_by(XComModel.timestamp.desc())).all()
    return [(one.task_id, one.map_index, XComModel.deserialize_value(one)) for one in found]
