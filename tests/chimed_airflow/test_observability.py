"""Lineage and metrics as compose sets them: nothing leaves unless the one setting of each is made; then it arrives."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from chimed.settings import PROJECT

pytestmark = pytest.mark.slow  # importing Airflow takes seconds

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
AIRFLOW = COMPOSE["services"]["airflow-scheduler"]["environment"]
CODE = """
import json
from airflow.configuration import conf
from airflow.observability import stats
from airflow.observability.metrics.stats_utils import get_stats_factory
from airflow.providers.openlineage.conf import is_disabled
stats.initialize(factory=get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on"))
stats.incr("chimed_test")
print(json.dumps({"lineage": not is_disabled(), "metrics": conf.getboolean("metrics", "otel_on")}))
"""


@pytest.fixture
def arrived() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A receiver's URL, and what was posted to it: path and body."""
    found: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", found
        server.shutdown()


def told(receiver: str, lineage: str, metrics: str) -> dict:
    """What Airflow says of both with compose's environment and these values of the two settings."""
    named = ("OTEL_", "AIRFLOW__METRICS__", "AIRFLOW__OPENLINEAGE__")
    chosen = {key: value for key, value in AIRFLOW.items() if key.startswith(named)}
    chosen = {key: value.replace("${OPENLINEAGE_TRANSPORT:-}", lineage) for key, value in chosen.items()}
    chosen = {key: value.replace("${METRICS_ON:-false}", metrics) for key, value in chosen.items()}
    chosen = {key: value.replace("http://prometheus:9090", receiver) for key, value in chosen.items()}
    done = subprocess.run([sys.executable, "-c", CODE], env={**os.environ, **chosen}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_both_are_off_as_they_come(arrived) -> None:
    url, found = arrived
    assert told(url, "", "false") == {"lineage": False, "metrics": False}
    assert found == []


def test_each_is_on_by_its_one_setting(arrived) -> None:
    url, found = arrived
    transport = json.dumps({"type": "http", "url": url})
    assert told(url, transport, "true") == {"lineage": True, "metrics": True}
    assert {path for path, _ in found} == {"/api/v1/otlp/v1/metrics"}
    assert any(b"airflow.chimed_test" in body for _, body in found)
