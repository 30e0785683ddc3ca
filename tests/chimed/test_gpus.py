"""One training or evaluation at a time on a GPU, whoever starts it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chimed import gpus, processes
from chimed.errors import WorkStopped
from chimed.settings import PROJECT, settings


@pytest.fixture
def two(tmp_path, monkeypatch) -> Path:
    """A machine with two GPUs, as far as this process can see."""
    monkeypatch.setenv("CHIMED_SCRATCH", str(tmp_path))
    monkeypatch.setattr(gpus, "visible", lambda: ["0", "1"])
    monkeypatch.setattr(gpus, "LOOK_EVERY", 0.01)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_the_second_waits_and_says_for_what(two, caplog) -> None:
    order = []

    def second() -> None:
        with gpus.held("evaluate base", 1):
            order.append("second")

    with gpus.held("train cpt of qwen3-14b", 2):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    assert f"waiting for GPU 0: train cpt of qwen3-14b (process {os.getpid()})" in caplog.text


def test_two_jobs_on_two_gpus_do_not_wait(two, monkeypatch) -> None:
    done = threading.Event()

    def other() -> None:
        with gpus.held("evaluate", 1):
            done.set()

    with gpus.held("train", 1):
        monkeypatch.setattr(gpus, "visible", lambda: ["1"])  # CUDA_VISIBLE_DEVICES=1 for the other
        threading.Thread(target=other).start()
        assert done.wait(10)


def test_only_gpu_parents_hold_a_lease(two, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with gpus.held("train", 2), gpus.held("train", 2):
        pass
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setattr(gpus, "visible", list)
    with gpus.held("train", 1), gpus.held("train", 1):
        pass
    assert list(two.iterdir()) == []


def test_a_killed_job_holds_nothing(two) -> None:
    code = (
        "import time; from chimed import gpus; gpus.visible = lambda: ['0']\n"
        "with gpus.held('train', 1): print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "include")}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"held\n"
        job.kill()
    with gpus.held("evaluate", 1):
        pass


def test_a_server_holds_what_it_was_given(two, tmp_path) -> None:
    note = tmp_path / "server.json"
    with gpus.lent(["0", "1", "0"], "the model servers", time.monotonic()) as locks:
        assert len(locks) == 2
        processes.start([sys.executable, "-c", "import time; time.sleep(60)"], note, tmp_path / "log", keeps=locks)
    began = []

    def train() -> None:
        with gpus.held("train cpt", 1):
            began.append(time.monotonic())

    training = threading.Thread(target=train)
    training.start()
    try:
        time.sleep(0.3)
        assert began == []
        taken = pytest.raises(WorkStopped, match=r"GPU 0 is taken: the model servers .*CHIMED_LLM_DEVICES")
        with taken, gpus.lent(["0"], "others", time.monotonic() + 0.1):
            pass
    finally:
        os.kill(processes.running_pid(note), 9)  # however it ends
    training.join(10)
    assert len(began) == 1


def test_servers_take_all_their_gpus_or_none(two) -> None:
    with gpus.held("train", 1):
        with pytest.raises(WorkStopped, match="GPU 0 is taken: train"), gpus.lent(["0", "1"], "servers", 0.0):
            pass
        with gpus.lent(["1"], "evaluate", 0.0) as locks:
            assert len(locks) == 1
