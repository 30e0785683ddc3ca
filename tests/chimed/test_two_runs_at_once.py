"""Two runs of one build at once: one works, the other says who is at work, waits, and finds it done."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chimed.build import order
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.pipeline.runner import run_stage
from chimed.schema import RECORD
from chimed.settings import PROJECT
from chimed.storage import lake as lakes
from chimed.storage import lease as leases
from chimed.storage.lease import wait_for_lease
from chimed.storage.store import open_store
from support.samples import document, rows

ROWS = 146


def prepared(work: StageContext, stage: str, number: int = ROWS) -> None:
    """A build in which all before `stage` is done, in two parts."""
    options = Options(second_opinion=False).model_dump(mode="json")
    made = {
        "version": work.build,
        "options": options,
        "shards": [["zydcd/c1"], ["zydcd/c2"]],
        "stages": order.stages_for_build_json(),
    }
    lakes.write_json(work.lake, f"builds/{work.build}/build.json", made)
    table = rows(
        *(document(f"第{n}味药，味甘，性平，归心、肺经，" + "药" * 30, url=f"http://a/{n}") for n in range(number))
    )
    for before in order.NAMES[: order.NAMES.index(stage)]:
        for n, part in enumerate((table.head(number // 2), table.tail(-(number // 2)))):
            folder = f"builds/{work.build}/{before}"
            parts = 2 if order.stage(before).scope == "corpus" else 1
            lakes.write_table(work.lake, f"{folder}/kept-{n:05d}.parquet", part, RECORD)
            lakes.write_json(work.lake, f"{folder}/report-{n:05d}.json", {"parts": parts, "figures": {}})


def started(folder: Path, server: str, *argv: str) -> subprocess.Popen:
    environment = {
        **os.environ, "PYTHONPATH": str(PROJECT / "include"), "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_STORE": f"sqlite:///{folder}/store.db", "CHIMED_LLM_URL": server, "CHIMED_JUDGE_URL": server,
    }  # fmt: skip
    command = [sys.executable, "-m", "chimed", *argv]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_runs_pay_every_request_once(work, served, tmp_path):
    prepared(work, "screen")

    def answer(body: dict) -> str:
        time.sleep(0.005)
        return "否"

    served.answer = answer
    both = [started(tmp_path, served.url, "run", "screen", "--build", work.build) for _ in range(2)]
    said = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    asked = [json.dumps(body["messages"]) for body in served.bodies]
    assert (len(asked), len(set(asked))) == (2 * ROWS, 2 * ROWS)  # the paper's prompt, and one for what else is private
    assert json.loads(said[0][0]) == json.loads(said[1][0])  # both tell the same reports
    waited = [err for _, err in said if "is working on it; waiting for it to finish" in err]
    assert len(waited) == 1
    assert any(f"process {one.pid} on " in waited[0] for one in both)


@pytest.mark.slow
def test_a_killed_run_is_followed_at_once(work, served, tmp_path):
    prepared(work, "screen", 40)
    stuck = threading.Event()

    def answer(body: dict) -> str:
        if len(served.bodies) == 20:
            stuck.set()
        if len(served.bodies) >= 20 and not over.is_set():
            over.wait(20)
        return "否"

    over = threading.Event()
    served.answer = answer
    first = started(tmp_path, served.url, "run", "screen", "--build", work.build)
    assert stuck.wait(30)
    os.kill(first.pid, signal.SIGKILL)
    over.set()
    first.communicate()
    began = time.monotonic()
    second = started(tmp_path, served.url, "run", "screen", "--build", work.build)
    assert (second.communicate(timeout=60)[1].count("waiting"), second.returncode) == (0, 0)
    assert time.monotonic() - began < leases.LEASE_SECONDS / 2


def test_waiting_processes_say_for_whom(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    store, said, order = open_store(f"sqlite:///{tmp_path}/store.db"), [], []
    first_has_it = threading.Event()

    def work(name: str) -> None:
        if name == "second":
            first_has_it.wait()
        with wait_for_lease(store, "lake", "build 2026.11.22 clean 0", said.append):
            first_has_it.set()
            order.append(f"{name} begins")
            time.sleep(0.3)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["first begins", "first ends", "second begins", "second ends"]
    (sentence,) = said
    assert sentence.startswith("build 2026.11.22 clean 0: process ")
    assert f"process {os.getpid()} on " in sentence
    assert ", since 20" in sentence


def test_who_lost_its_lease_writes_no_report(built, monkeypatch):
    """A machine that stood still for a minute is taken for dead: what it then says of its shard counts no more."""
    path = f"builds/{built.build}/clean/report-00000.json"
    lakes.remove(built.lake, path)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)

    def taken_over(*_: object) -> None:
        with built.store.engine.begin() as connection:
            connection.exec_driver_sql("update leases set holder = 'another/1/x/2026'")
        time.sleep(0.2)

    monkeypatch.setattr("chimed.build.ledger.check_failures", taken_over)
    with pytest.raises(leases.WorkStopped, match=r"another process took over .*run it again"):
        run_stage(built, "clean")
    assert not lakes.exists(built.lake, path)
