"""The pages on a small state: in this process for rights and numbers, behind a real Airflow for browsers."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path += [str(Path(__file__).parent), str(PROJECT / "tests" / "benchmarks")]


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> Path:
    """A folder with lake and store; tests only add to it."""
    import state

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    users = {"admin": "admin", "viewer": "viewer"}
    (home / "passwords.json").write_text(json.dumps(dict.fromkeys(users, "secret")))
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
    serve = [*command, "api-server", "--apps", "core", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (home / "server.log").open("wb") as log,
        subprocess.Popen(serve, env=environment, stdout=log, stderr=log) as run,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/api/v2/version", run, home / "server.log")
            tokens = {
                name: httpx.post(f"{url}/auth/token", json={"username": name, "password": "secret"}, timeout=60).json()
                for name in users
            }
            yield Served(url, {name: said["access_token"] for name, said in tokens.items()}, state)
        finally:
            run.terminate()


def _wait_for(url: str, run: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if run.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=10).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"Airflow's API server did not come up: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> Iterator:
    """A function that opens a headless Chromium of some width and colour scheme; all are closed at the end."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    install = subprocess.run([PROJECT / "tests" / "install_chromium.sh"], capture_output=True, text=True)
    if install.returncode:
        pytest.fail(
            "the pages' tests need Chromium and its driver: run tests/install_chromium.sh as root, "
            f"with Debian's packages in reach ({install.stderr.strip().splitlines()[-1:]})"
        )
    opened = []

    def browser(width: int = 1440, scheme: str = "light") -> webdriver.Chrome:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (
            "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
            "disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        opened.append(driver)
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
        driver.set_page_load_timeout(60)
        return driver

    yield browser
    for driver in opened:
        driver.quit()
