"""Airflow's own backfill of one site, as an operator runs it: exactly the pages of those weeks, twice adds nothing.

And a site that blocks us, which the task waits for."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from chimed import processes
from chimed_airflow.local import home

PROJECT = Path(__file__).resolve().parents[2]

from support.websites import FIRST, Site, question_urls, questions, served, stored  # noqa: E402

PATIENCE = 420  # seconds for all that Airflow has to do, on a machine that has other work
WEEKS = ("2026-10-05", "2026-10-12", "2026-10-19")
WORDS = ("--dag-id", "crawl_ask39", "--from-date", WEEKS[0], "--to-date", "2026-10-26")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # a whole Airflow


class Airflow:
    """A scheduler and what its tasks talk to, in a folder; `airflow` is its command line."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def airflow(self, *words: str) -> str:
        line = [sys.executable, "-m", "airflow", *words]
        done = subprocess.run(line, env=self.environment, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def rows(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(home.AIRFLOW / "airflow.db", timeout=60)) as connection:
            return connection.execute(query).fetchall()

    def write(self, file: Path, statement: str) -> None:
        with closing(sqlite3.connect(file, timeout=60)) as connection, connection:
            connection.execute(statement)

    def until(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not there():
            logs = "".join(processes.last_lines(log, 15) for log in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s\n{logs}"
            time.sleep(1)


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


@pytest.fixture
def airflow(tmp_path, monkeypatch, site) -> Iterator[Airflow]:
    monkeypatch.setattr(home, "STATE", tmp_path)
    monkeypatch.setattr(home, "AIRFLOW", tmp_path / "airflow")
    ports = home.free_ports()
    environment = home.environment(ports) | {
        "CHIMED_SCHEDULES": "on",
        "CHIMED_REPLICA": site.url,
        "CHIMED_REPLICA_DELAY": "0.01",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "none"),  # the pages in the UI are not asked for here
    }
    started = Airflow(tmp_path, environment)
    started.airflow("db", "migrate")
    started.airflow("pools", "import", str(PROJECT / "include" / "chimed_airflow" / "pools.json"))
    started.airflow("dags", "reserialize")
    components = {
        "execution": ("api-server", "--apps", "execution", "--host", home.HOST, "--port", str(ports.execution)),
        "scheduler": ("scheduler", "--skip-serve-logs"),
    }
    notes = [tmp_path / f"{name}.note" for name in components]
    for note, words in zip(notes, components.values(), strict=True):
        line = [sys.executable, "-m", "airflow", *words]
        processes.start(line, note, note.with_suffix(".log"), environment)
    try:
        yield started
    finally:
        processes.end(notes)


def test_three_weeks_of_one_site_and_again_nothing(tmp_path, site, airflow):
    questions(site, 40)
    airflow.airflow("dags", "unpause", "--yes", "crawl_ask39")
    airflow.airflow("backfill", "create", *WORDS, "--dag-run-conf", '{"sections": "妇科"}')
    runs = "select partition_key, state from dag_run where run_type = 'backfill' order by partition_key"
    airflow.until(lambda: airflow.rows(runs) == [(week, "success") for week in WEEKS], "three runs")
    for week in WEEKS:
        days = [FIRST - timedelta(days=n) for n in range(40)]
        wanted = [n for n, day in enumerate(days) if 0 <= (day - date.fromisoformat(week)).days < 7]
        assert len(wanted) == 7
        assert stored(tmp_path, "ask39", week) == question_urls(*wanted)
        assert (tmp_path / "lake/extracts/ask39" / week / "00000.warc.gz" / "kept-00000.parquet").exists()
    assert set(site.count("/question/").values()) == {1}
    assert sum(site.count("/question/").values()) == 21
    assert airflow.rows("select distinct dag_id from dag_run") == [("crawl_ask39",)]

    airflow.until(lambda: airflow.rows("select completed_at from backfill") != [(None,)], "the backfill's end")
    asked = site.count("/question/")
    airflow.airflow("backfill", "create", *WORDS, "--dag-run-conf", '{"sections": "妇科"}')
    airflow.until(lambda: None not in [at for (at,) in airflow.rows("select completed_at from backfill")], "its end")
    assert len(airflow.rows("select id from backfill")) == 2
    assert len(airflow.rows(runs)) == 3
    assert site.count("/question/") == asked  # its own week's run may ask for lists meanwhile


def test_a_blocking_site_is_left_alone_visibly(tmp_path, site, airflow):
    questions(site, 40)
    kept = dict(site.pages)
    busy = (429, {"Retry-After": "86400"}, "")
    site.pages |= {path: busy for path in kept if "/question/" in path}
    airflow.airflow("dags", "unpause", "--yes", "crawl_ask39")
    words = ("--dag-id", "crawl_ask39", "--from-date", WEEKS[0], "--to-date", "2026-10-12")
    airflow.airflow("backfill", "create", *words, "--dag-run-conf", '{"sections": "妇科"}')
    mine = "where run_id in (select run_id from dag_run where run_type = 'backfill')"
    state = f"select state, try_number from task_instance {mine} and task_id = 'crawl'"
    airflow.until(lambda: airflow.rows(state) == [("up_for_reschedule", 1)], "the wait")
    ((hours,),) = airflow.rows("select (julianday(reschedule_date) - julianday('now')) * 24 from task_reschedule")
    assert 23 < hours <= 24
    asked = len(site.asked)
    time.sleep(40)  # longer than the first retry would wait
    assert airflow.rows(state) == [("up_for_reschedule", 1)]
    assert len(site.asked) == asked

    site.pages.update(kept)  # a day later
    airflow.write(tmp_path / "store.db", "update crawls set not_before = datetime('now', '-1 minute')")
    past = "update task_reschedule set reschedule_date = strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 minute')"
    airflow.write(home.AIRFLOW / "airflow.db", past)
    runs = "select state from dag_run where run_type = 'backfill'"
    airflow.until(lambda: airflow.rows(runs) == [("success",)], "the run's end")
    assert airflow.rows(state) == [("success", 1)]
    assert len(stored(tmp_path, "ask39", WEEKS[0])) == 7
