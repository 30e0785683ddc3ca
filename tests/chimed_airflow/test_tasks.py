"""A command as a task: what it says, what it returns, how it fails, and that killing it leaves nothing behind."""

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from chimed_airflow import commands, run_states, tasks

pytestmark = pytest.mark.slow  # importing Airflow takes seconds


def run(code: str) -> tuple[object, list[str]]:
    said: list[str] = []
    process = commands.start([sys.executable, "-c", code])
    try:
        return commands.follow(process, said.append), said
    finally:
        commands.end(process)


def test_the_last_line_is_the_result() -> None:
    result, said = run("import sys; print('one', file=sys.stderr); print('a table'); print('{\"rows\": 3}')")
    assert result == {"rows": 3}
    assert said == ["one", "a table"]


def test_a_command_without_a_result_returns_none() -> None:
    assert run("print('all is well')") == (None, ["all is well"])


def test_a_users_mistake_is_not_retried() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"^unknown source 'x'$"):
        run("import sys; print('chimed: unknown source \\'x\\'', file=sys.stderr); sys.exit(2)")


def test_a_failure_tells_its_last_lines() -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException, match=r"(?s)exit code 1.*the ledger does not close") as caught:
        run("import sys; sys.exit('the ledger does not close')")
    assert not isinstance(caught.value, AirflowFailException)


def test_much_output_on_both_sides_does_not_block() -> None:
    result, said = run("import sys\nfor n in range(20000): print(n); print(n, file=sys.stderr)")
    assert result == 19999
    assert len(said) == 39999


CHILD = """
import subprocess, sys, time
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
open({note!r}, "w").write(str(child.pid))
time.sleep(60)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_killing_a_task_ends_its_children(tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowException

    note = tmp_path / "pid"
    operator = tasks.ChimedOperator(task_id="sleep", command=["unused"])
    operator._process = process = commands.start([sys.executable, "-c", CHILD.format(note=str(note))])
    while not note.exists() or not note.read_text():
        time.sleep(0.05)
    threading.Timer(0.2, operator.on_kill).start()
    with pytest.raises(AirflowException, match="SIGTERM"):
        commands.follow(process, print)
    commands.end(process)
    deadline = time.monotonic() + 5
    while lives(int(note.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_command_dies_with_its_worker(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    worker = os.fork()
    if worker == 0:
        process = commands.start([sys.executable, "-c", "import time; time.sleep(60)"])
        note.write_text(str(process.pid))
        time.sleep(60)
    while not note.exists() or not note.read_text():
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    deadline = time.monotonic() + 5
    while lives(int(note.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(int(note.read_text()))


def test_empty_arguments_are_left_out() -> None:
    assert tasks.arguments(["run", "", " ", "clean"], 0) == ["run", "clean", "--shard", "0"]


def test_what_passes_between_tasks_is_small() -> None:
    report = {
        "read": 9,
        "kept": 5,
        "derived": 2,
        "dropped": {"short": 3},
        "failed": {"lost": 1},
        "figures": {"x": "y" * 9999},
    }
    assert tasks.counts([report, report]) == {"read": 18, "kept": 10, "derived": 4, "dropped": 8}
    assert tasks.ranges([{"ranges": 3, "figures": {"rows": 9}}]) == [0, 1, 2]
    assert tasks.figures([{"figures": {"pairs": 7, "shown": ["y" * 9999]}}]) == {"pairs": 7}
    assert max(map(len, tasks.shard_names(["长" * 999] * 3))) == tasks.LONGEST
    assert tasks.numbers({"source": "zydcd", "pages": 4, "robots": {"/": True}}) == {"source": "zydcd", "pages": 4}


def test_a_done_tasks_name_tells_its_result(monkeypatch) -> None:
    report = {"read": 20_000, "kept": 18_234, "derived": 0, "dropped": {"same text": 1_766}, "failed": {}}
    operator = tasks.ChimedOperator(task_id="dedup", command=["run", "dedup"], returns=tasks.counts)
    monkeypatch.setattr(operator, "_run", lambda argv: [report])
    context = {"ti": SimpleNamespace(try_number=1)}
    tasks.ChimedOperator.execute.__wrapped__(operator, context)
    assert context[tasks.DONE] == "kept 18,234, dropped 1,766"
    assert tasks.shard_names(["zydcd, crawl 2026-11-16"]) == ["1 of 1: zydcd, crawl 2026-11-16"]
    assert tasks.outcome(["a", "list"]) == ""


def test_a_group_of_shards_is_named_by_its_first() -> None:
    from jinja2 import Environment

    names = tasks.shard_names([f"part {n}" for n in range(19)])
    assert tasks.first_shards(list(range(19)), 8) == [0, 8, 16]
    template = Environment().from_string(tasks.group_name("count_shards", 8))

    def named(first: int) -> str:
        ti = SimpleNamespace(xcom_pull=lambda **_: names)
        return template.render(ti=ti, task=SimpleNamespace(shard=first))

    assert [named(first) for first in (0, 16, 18)] == [
        "1 of 19: part 0 and 7 more",
        "17 of 19: part 16 and 2 more",
        "19 of 19: part 18",
    ]


@pytest.mark.parametrize(("attempt", "ran"), [(1, [["run", "screen"]]), (2, [["serve", "up"], ["run", "screen"]])])
def test_a_retry_first_restarts_the_servers(attempt: int, ran: list[list[str]], monkeypatch) -> None:
    operator = tasks.ChimedOperator(task_id="screen", command=["run", "screen"], on_retry=["serve", "up"])
    seen: list[list[str]] = []
    monkeypatch.setattr(operator, "_run", seen.append)
    tasks.ChimedOperator.execute.__wrapped__(operator, {"ti": SimpleNamespace(try_number=attempt)})
    assert seen == ran


@pytest.mark.parametrize(
    ("kind", "keys"), [("manual", {"2026-11-16"}), ("scheduled", {"2026-11-16"}), ("backfill", set())]
)
def test_only_runs_announce_counts(kind: str, keys: set[str], monkeypatch) -> None:
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import OutletEventAccessors

    asset = Asset(name="records_x", uri="chimed://records/x")
    noted: dict[str, str] = {}
    operator = tasks.ChimedOperator(
        task_id="extract",
        command=["extract"],
        outlets=[asset],
        asset_key="2026-11-16",
        note=lambda found: f"{found['rows']} rows",
    )
    monkeypatch.setattr(operator, "_run", lambda argv: {"rows": 3})
    events = OutletEventAccessors()
    ti = SimpleNamespace(try_number=1, xcom_push=noted.__setitem__)
    context = {"ti": ti, "dag_run": SimpleNamespace(run_type=kind), "outlet_events": events}
    assert tasks.ChimedOperator.execute.__wrapped__(operator, context) == {"rows": 3}
    assert noted == {"note": "3 rows"}
    assert operator.outlets == ([asset] if keys else [])
    assert {key for event in events.values() for key in event.partition_keys} == keys
    assert all(event.extra == {"rows": 3} for event in events.values())


LEFT = """
import json, sys
print(json.dumps({"wait": 86400, "times": %d, "why": "ask39 blocks us"}))
sys.exit(3)
"""


def crawling(monkeypatch, times: int) -> tuple[tasks.CrawlOperator, dict, list[tuple[str, str]], dict[str, str]]:
    """A crawl of a site that wants to be left alone; the mails it sends and the notes it makes."""
    mails: list[tuple[str, str]] = []
    notes: dict[str, str] = {}
    operator = tasks.CrawlOperator(task_id="crawl", command=["crawl", "ask39"])
    monkeypatch.setattr(operator, "_run", lambda argv: run(LEFT % times))
    monkeypatch.setattr(tasks.notice, "send", lambda subject, text, context: mails.append((subject, text)))
    ti = SimpleNamespace(try_number=1, task_id="crawl", xcom_push=notes.__setitem__)
    asked = SimpleNamespace(run_type="manual", partition_key=None, run_after=datetime.now(UTC), logical_date=None)
    context = {"ti": ti, "run_id": "r", "dag": SimpleNamespace(dag_id="crawl_ask39"), "dag_run": asked, "params": {}}
    return operator, context, mails, notes


def test_a_blocked_site_is_retried_and_told(monkeypatch) -> None:
    from airflow.sdk.exceptions import AirflowRescheduleException

    operator, context, mails, notes = crawling(monkeypatch, times=1)
    now = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as caught:
        tasks.CrawlOperator.execute.__wrapped__(operator, context)
    assert 86_390 < (caught.value.reschedule_date - now).total_seconds() < 86_500
    ((subject, text),) = mails
    assert subject == "crawl_ask39 waits: r"
    assert "reason: ask39 blocks us" in text
    assert notes == {"note": text}


def test_an_unsent_notice_changes_nothing(monkeypatch) -> None:
    from airflow.sdk.exceptions import AirflowRescheduleException

    operator, context, _, _ = crawling(monkeypatch, times=2)

    def fails(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(tasks.notice, "send", fails)
    with pytest.raises(AirflowRescheduleException):
        tasks.CrawlOperator.execute.__wrapped__(operator, context)


def test_a_week_of_refusals_fails_for_good(monkeypatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    operator, context, mails, _ = crawling(monkeypatch, times=tasks.WAITS + 1)
    with pytest.raises(AirflowFailException, match="8 times in a row: ask39 blocks us"):
        tasks.CrawlOperator.execute.__wrapped__(operator, context)
    assert mails == []  # the run's failure is told by its own notice


DONE = {"open_build": {"success"}, "screen": {"success"}, "approve": {"success"}, "release": {"success"}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"release": {"skipped"}}, None),  # a person rejected it
        ({"screen": {"success", "failed"}, "approve": {"upstream_failed"}}, "screen failed"),
        ({"screen": {"failed"}, "approve": {"skipped"}, "release": {"skipped"}}, "screen failed"),  # marked failed
        ({"open_build": {"failed"}, "screen": {"upstream_failed"}}, "open_build failed"),
        ({"screen": {"upstream_failed"}}, "screen could not run"),
        ({"screen": {"skipped"}, "approve": {"skipped"}, "release": {"skipped"}}, "stopped before its end"),
    ],
)
def test_only_a_finished_run_is_green(changed, said) -> None:
    found = run_states.not_done(DONE | changed)
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("12:00:01 crawl 2026-11-16 of ask39 begins: 404 pages", "INFO"),
        ("12:00:01 WARNING ask39: HTTP 503, waiting", "WARNING"),
        ("12:00:01 ERROR ask39: a page", "ERROR"),
        ("chimed: unknown source 'x'", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("ERRORS are rare", "INFO"),
    ],
)
def test_command_output_keeps_its_level(line, level) -> None:
    import logging

    assert logging.getLevelName(tasks.level_of(line)) == level


def test_a_failures_reason_becomes_the_note(monkeypatch) -> None:
    noted: dict[str, str] = {}
    operator = tasks.ChimedOperator(task_id="screen", command=["run", "screen"])
    monkeypatch.setattr(operator, "_run", lambda argv: run("import sys; sys.exit('no room on the disk')"))
    context = {"ti": SimpleNamespace(try_number=1, xcom_push=noted.__setitem__)}
    with pytest.raises(Exception, match="no room on the disk"):
        tasks.ChimedOperator.execute.__wrapped__(operator, context)
    assert noted["why"].endswith("no room on the disk")
