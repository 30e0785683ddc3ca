"""The client at scale: 1,000 requests to a server in a process of its own that misbehaves, and kills in mid-run."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chimed.build.options import Options
from chimed.build.order import NAMES
from chimed.llm import client, connecting
from chimed.llm.protocol import Reply, Request, Server
from chimed.schema import DROPPED, RECORD, dropped_table
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake
from support.samples import qa, rows

PROJECT = Path(__file__).resolve().parents[2]
MANY, AT_ONCE = 1_000, 256

pytestmark = pytest.mark.slow


@pytest.fixture
def start() -> Iterator[Callable[..., str]]:
    """Starts the misbehaving server; returns its URL."""
    running = []

    def started(*argv: str) -> str:
        command = [sys.executable, str(PROJECT / "tests" / "benchmarks" / "openai_server.py"), *argv]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        return process.stdout.readline().strip()

    yield started
    for process in running:
        process.kill()
        process.wait()


def counts(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/counts", timeout=60) as response:
        return json.load(response)


def test_faulty_requests_lose_and_swap_nothing(start, work, monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.1)
    url = start("--faults", "1", "--latency", "0.2")
    where = work.settings.model_copy(update={"llm_concurrency": AT_ONCE, "llm_timeout": 15.0})
    work = dataclasses.replace(work, settings=where)
    requests = [
        Request("p@1", [{"role": "user", "content": f"第{n}题"}], {"max_tokens": 8, "temperature": 0.0})
        for n in range(MANY)
    ]
    replies = client.ask(requests, Server(url, "m", "none", "CHIMED_LLM_URL"), work)
    paid = counts(url)
    print(f"\n{MANY} requests at concurrency {AT_ONCE}: {len(replies)} replies; the server counts {paid}")
    assert [reply.text if isinstance(reply, Reply) else reply.reason for reply in replies] == [
        f"答{n}" for n in range(MANY)
    ]
    assert len({reply.key for reply in replies}) == MANY
    assert paid["whole"] == MANY
    assert paid["asked"] == MANY + sum(paid["faults"].values())
    assert set(paid["faults"]) == {"429", "500", "hang", "cut", "bad JSON", "truncated", "half"}
    assert all(reply.known for reply in client.ask(requests, Server(url, "m", "none", ""), work))


def prepared(folder: Path, url: str) -> dict[str, str]:
    """A build of `MANY` questions that is done as far as screen; the environment to go on with."""
    data, version = str(folder / "lake"), "2026.11.22"
    lake = open_lake(data)
    lakes.write_json(
        lake, f"builds/{version}/build.json", {"version": version, "options": Options().model_dump(mode="json")}
    )
    for stage in ("filter", "screen"):
        lakes.write_json(lake, f"builds/{version}/{stage}/report-00000.json", {"parts": 1})
    table = rows(*(qa(f"第{n}题：头晕怎么办？", "测血压。", department=None) for n in range(MANY)))
    lakes.write_table(lake, f"builds/{version}/screen/kept-00000.parquet", table, RECORD)
    lakes.write_table(lake, f"builds/{version}/screen/dropped-00000.parquet", dropped_table([]), DROPPED)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CHIMED_")},
        "PYTHONPATH": str(PROJECT / "include"),
        "CHIMED_DATA": data,
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "CHIMED_LLM_URL": url,
        "CHIMED_LLM_CONCURRENCY": "64",
    }


def department(environment: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "chimed", "run", "department"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_when(process: subprocess.Popen, url: str, asked: int, how: signal.Signals) -> dict:
    """Ends the process once the server was asked so often; what the server counted at that moment."""
    while process.poll() is None:
        now = counts(url)
        if now["asked"] >= asked:
            process.send_signal(how)
            process.wait()
            return now
        time.sleep(0.02)
    raise AssertionError(f"it ended by itself: {process.communicate()}")


def result(environment: dict[str, str]) -> bytes:
    process = department(environment)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return (Path(environment["CHIMED_DATA"]) / "builds/2026.11.22/department/kept-00000.parquet").read_bytes()


def test_kill_9_repays_only_requests_in_flight(start, tmp_path):
    assert NAMES.index("department") == NAMES.index("screen") + 1
    url, calm = start("--latency", "0.2"), start("--latency", "0.05")
    environment = prepared(tmp_path / "killed", url)
    for asked in (300, 700):
        end_when(department(environment), url, asked, signal.SIGKILL)
    table = result(environment)
    paid_again = counts(url)["asked"] - MANY
    print(f"\nkilled twice of {MANY} requests with 64 in flight: {paid_again} paid again")
    assert paid_again <= 2 * 64
    assert table == result(prepared(tmp_path / "calm", calm))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_ending_it_keeps_everything_that_was_answered(start, tmp_path, how):
    url = start("--latency", "0.2")
    environment = prepared(tmp_path, url)
    process = department(environment)
    at_end = end_when(process, url, 300, how)
    assert process.stderr
    if how == signal.SIGTERM:
        assert process.returncode == -signal.SIGTERM
        assert "answers are stored" in process.stderr.read()
    else:
        assert process.returncode != 0
    whole, asked = counts(url)["whole"], counts(url)["asked"]
    result(environment)
    again = counts(url)["asked"] - MANY
    print(
        f"\nended by {how.name} with {at_end['in_flight']} in flight, {asked - whole} of them unanswered: {again} again"
    )
    assert again <= 64
