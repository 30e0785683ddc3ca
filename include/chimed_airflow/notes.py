"""A run's note: what its task said last of the whole run, shown beside the run in Airflow's lists.

A listener of the scheduler, for only there a run's note can be written. What a person noted stays.
"""

from airflow.listeners import hookimpl

from chimed_airflow.tasks import NOTE


@hookimpl
def on_dag_run_success(dag_run, msg) -> None:
    """Takes over the note of a run that succeeded."""
    _note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run, msg) -> None:
    """Takes over the note of a run that failed, where it got that far."""
    _note(dag_run)


def _note(dag_run) -> None:
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or dag_run.note:
        return
    mine = (XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == NOTE)
    found = session.scalars(select(XComModel).where(*mine).order_by(XComModel.timestamp.desc()).limit(1)).first()
    if found is not None:
        dag_run.note = XComModel.deserialize_value(found)
