"""The embedded launcher: loopback only, its own state, a week no build has had, and errors a person can read."""

import json
import re
from datetime import date, timedelta

import pytest

from chimed.settings import Settings
from chimed_airflow.local import home, watch
from chimed_airflow.local.__main__ import _next_key

PORTS = home.Ports(8080, 8081, 8082, 8083, 8084)


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict[str, str]:
    monkeypatch.setattr(home, "STATE", tmp_path)
    monkeypatch.setenv("CHIMED_DATA", "s3://of-the-caller")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    return home.environment(PORTS)


def test_every_address_is_on_loopback(environment) -> None:
    found = [re.search(r"//([^/:]*)", value) for value in environment.values() if value.startswith("http")]
    ours = {match[1] for match in found if match}
    assert {value for key, value in environment.items() if key.endswith("__HOST")} == {"127.0.0.1"}
    assert "127.0.0.1" in ours
    for name, value in environment.items():
        if name.startswith(("CHIMED_", "AIRFLOW")) and "://" in value and not value.startswith("sqlite"):
            assert "//127.0.0.1:" in value, name


def test_nothing_of_the_callers_own_setup_leaks_in(environment) -> None:
    assert environment["CHIMED_DATA"].endswith("/lake")
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_every_variable_is_a_valid_setting(environment) -> None:
    from chimed.build.builds import parse_options

    fields = {f"CHIMED_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in environment if name.startswith("CHIMED_")} <= fields
    parse_options(json.loads(environment["CHIMED_BUILD_OPTIONS"]))


def test_secrets_are_made_once(environment, tmp_path) -> None:
    assert home.environment(PORTS)["AIRFLOW__API_AUTH__JWT_SECRET"] == environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    assert (tmp_path / ".jwt-secret").stat().st_mode & 0o077 == 0


def test_free_ports_are_five_different_ones() -> None:
    ports = home.free_ports()
    assert len({ports.ui, ports.execution, ports.replica, ports.generator, ports.judge}) == 5


def test_each_demo_takes_a_new_monday() -> None:
    first = date.fromisoformat(_next_key([]))
    assert first.weekday() == 0
    assert first < date.today()
    assert _next_key([first.isoformat()]) == (first + timedelta(days=7)).isoformat()


def test_log_lines_are_shown_readably() -> None:
    said = {
        "logger": "airflow.task.operators.chimed_airflow.tasks.ChimedOperator",
        "event": "clean 0: read 9",
        "level": "info",
    }
    assert watch._plain(json.dumps(said)) == "clean 0: read 9"
    assert watch._plain(json.dumps({"logger": "task", "event": "Pushing xcom", "level": "info"})) == ""
    error = {"event": "Task failed", "level": "error", "error_detail": [{"exc_type": "UserError", "exc_value": "no"}]}
    assert watch._plain(json.dumps(error)) == "Task failed UserError: no"
