"""The pages on a small state: in this process for rights and numbers, behind a real Airflow for browsers."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support import browser

PROJECT = Path(__file__).resolve().parents[2]
sys.path.append(str(PROJECT / "tests" / "benchmarks"))


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> Path:
    """A folder with lake and store; tests only add to it."""
    from support import state

    folder = tmp_path_factory.mktemp("pages")
    state.write(folder)
    return folder


@pytest.fixture
def pages(state, monkeypatch) -> Iterator:
    """The app in this process: a function from a user's role (None: no right at all) to his client."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    from chimed.settings import settings
    from chimed_airflow.web import app

    monkeypatch.setenv("CHIMED_DATA", str(state / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{state}/store.db")
    settings.cache_clear()
    initdb()
    create_auth_manager()

    def client(role: str | None = "ADMIN", name: str = "li") -> TestClient:
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username=name, role=role)
        return TestClient(app, base_url="http://testserver", follow_redirects=False)

    yield client
    app.dependency_overrides.clear()
    settings.cache_clear()


@dataclass(frozen=True)
class Served:
    """Airflow with the pages, at `url`; `tokens` of its users."""

    url: str
    tokens: dict[str, str]
    state: Path


@pytest.fixture(scope="session")
def airflow(state, tmp_path_factory) -> Iterator[Served]:
    """A real Airflow API server with the plugin, a SQLite database and the simple login, on loopback."""
    home = tmp_path_factory.mktemp("airflow")
    users = {"admin": "admin", "viewer": "viewer"}
    (home / "passwords.json").write_text(json.dumps(dict.fromkeys(users, "secret")))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "include"),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "CHIMED_DATA": str(state / "lake"),
        "CHIMED_STORE": f"sqlite:///{state}/store.db",
    }
    command = [sys.executable, "-m", "airflow"]
    subprocess.run([*command, "db", "migrate"], env=environment, check=True, capture_output=True, timeout=300)
    subprocess.run([*command, "dags", "reserialize"], env=environment, check=True, capture_output=True, timeout=300)
    with browser.api_server(environment, home / "server.log") as url:
        tokens = {
            name: httpx.post(f"{url}/auth/token", json={"username": name, "password": "secret"}, timeout=60).json()
            for name in users
        }
        yield Served(url, {name: said["access_token"] for name, said in tokens.items()}, state)


@pytest.fixture(scope="session")
def signed_in(airflow, tmp_path_factory) -> Iterator[Callable]:
    """A function that opens a headless Chromium of some width with a user's session."""
    with browser.chromiums(tmp_path_factory.mktemp("chromium")) as opened:
        yield lambda width=1440, user="admin": opened(airflow.url, airflow.tokens[user], width)
