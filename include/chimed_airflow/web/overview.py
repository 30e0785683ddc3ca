"""Overview: the last build as a flow from pages to subsets, what is running now, what the next refresh will cost."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from chimed.sources import NAMES as SOURCES
from chimed.stages import NAMES as STAGES
from chimed_airflow.web.charts import flow
from chimed_airflow.web.counted import recent
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import page

DAGS = (*(f"crawl_{source}" for source in SOURCES), "build_dataset", "train_models")

router = APIRouter()


@router.get("/")
def overview(request: Request, user: GetUserDep) -> HTMLResponse:
    """The last build, what runs, what a refresh costs, and all builds."""
    from chimed.build import builds  # here, not above: the scheduler loads plugins too, and needs no polars
    from chimed.lake import open_lake
    from chimed.release import releases

    lake = open_lake()
    known, released, coverage = builds(lake), set(releases(lake)), _coverage()
    readable = (shown for version in reversed(known) if (shown := _build_if_readable(lake, version)))
    return page(
        request,
        "overview.html.j2",
        here="overview",
        last=next(readable, None),
        builds=[{"version": version, "released": version in released} for version in reversed(known)][:20],
        running=running(user),
        coverage=coverage,
        counting=coverage is None,
    )


@router.get("/builds/{version}")
def build(version: str, request: Request) -> HTMLResponse:
    """One build: its flow, its ledger, what its stages doubted, its options."""
    from chimed.lake import open_lake

    return page(request, "build.html.j2", here="overview", last=_build(open_lake(), version))


def _build_if_readable(lake: Any, version: str) -> dict | None:
    from chimed.errors import UserError

    try:
        return _build(lake, version)
    except UserError:  # its build.json was cut short: the one before is shown, and the page of the build says it
        return None


def _build(lake: Any, version: str) -> dict:
    """A build's flow, ledger (of a released one from its manifest, else from the stages' reports), and doubts."""
    from chimed.build import read_build
    from chimed.doubtful import doubtful
    from chimed.errors import UserError
    from chimed.lake import read_json
    from chimed.ledger import LedgerError, ledger
    from chimed.release import SUBSETS, folder_of, is_whole, read_manifest

    made = read_build(lake, version)
    version, broken, rows, doubts = made["version"], "", dict.fromkeys(SUBSETS, 0), []
    released = is_whole(lake, version)
    try:
        if released:
            entries = read_manifest(lake, version)["ledger"]
            for row in read_json(lake, f"{folder_of(version)}/statistics.json")["table 4"]:
                rows[row["subset"]] += row["rows"]
        else:
            entries = ledger(lake, version)
        shown, doubts = flow(entries, rows), doubtful(lake, version)
    except (LedgerError, UserError) as error:
        entries, broken = [], str(error)
        shown = flow([], rows)
    except (LookupError, TypeError, ValueError, AttributeError, FileNotFoundError):  # a file that holds something else
        entries, broken = [], f"its reports are not what was written; python -m chimed audit {version} says which"
        shown = flow([], rows)
    return {
        "version": version,
        "made": _moment(made.get("made")),
        "options": made.get("options", {}),
        "code": made.get("code", "?"),
        "released": released,
        "broken": broken,
        "doubtful": doubts,
        "ledger": entries,
        "not_run": [] if released else [name for name in STAGES if name not in {one["stage"] for one in entries}],
        "flow": shown,
        "subsets": rows,
        "rows": sum(rows.values()),
    }


def _moment(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None


def _coverage() -> list[dict] | None:
    """The sources' coverage; None while it is counted."""
    from chimed.coverage import coverage

    store = open_store()
    return recent("coverage", str(store.engine.url), lambda: coverage(store))


def running(user: Any) -> list[dict]:
    """ChiMed's runs that are not over, of the DAGs this user may read: dag, run, state, since, done, of, tasks."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance as TI
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        mine = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session) & set(DAGS)
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


def _run(run: Any, tasks: Iterable[tuple[str, str | None, int, datetime | None]]) -> dict:
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
