"""ChiMed's pages: behind Airflow's login, free of scripts, and every word escaped."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from chimed.settings import settings

pytestmark = pytest.mark.slow  # importing Airflow's API takes seconds

PROJECT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def lake(tmp_path, monkeypatch) -> Iterator[Path]:
    """A lake with one build, whose option holds markup, and one release."""
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path))
    settings.cache_clear()
    build = {"version": "2026.11.22", "made": "now", "code": "0", "shards": [[]], "options": {"sources": [EVIL]}}
    table = [{"subset": "sft", "domain": "tcm", "rows": 7, "characters": 70}]
    for place, value in (
        ("builds/2026.11.22/build.json", build),
        ("releases/2026.11.22/statistics.json", {"table 4": table}),
        ("releases/2026.11.22/manifest.json", {}),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(json.dumps(value))
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def client(lake):
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from chimed_airflow.web import app

    app.dependency_overrides[get_user] = lambda: object()
    yield TestClient(app)
    app.dependency_overrides.clear()


def test_the_plugin_registers_the_pages() -> None:
    plugin = runpy.run_path(str(PROJECT / "plugins" / "chimed_plugin.py"))["ChimedPlugin"]
    assert [one["url_prefix"] for one in plugin.fastapi_apps] == ["/chimed"]
    assert plugin.external_views[0]["href"] == "chimed/"


def test_every_page_asks_who_the_user_is() -> None:
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.routing import APIRoute

    from chimed_airflow.web import app

    pages = [route for route in app.routes if isinstance(route, APIRoute)]
    assert pages
    for page in pages:
        assert get_user in {need.call for need in page.dependant.dependencies}, page.path
    assert len(pages) == len(app.routes)  # nothing else is served


def test_the_overview_shows_releases_and_builds(client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "2026.11.22" in page.text
    assert "<td>sft</td><td>tcm</td>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_what_was_crawled_is_escaped(client) -> None:
    page = client.get("/builds/2026.11.22")
    assert page.status_code == 200
    assert EVIL not in page.text
    assert "&lt;script&gt;" in page.text


def test_an_unknown_build_is_404_and_names_those_there_are(client) -> None:
    page = client.get("/builds/1999.1.1")
    assert page.status_code == 404
    assert "2026.11.22" in page.text
    assert page.headers["content-type"].startswith("text/plain")
