"""What the stop of a worker's container does to the tasks in it, played with a worker that waits as Celery's does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chimed.settings import PROJECT
from chimed_airflow import commands

pytestmark = pytest.mark.slow  # they wait for processes to end

# `airflow celery worker`: at SIGTERM it waits for its task's command, which leads a session of its own
AIRFLOW = """
import signal, subprocess, sys, time
from pathlib import Path
Path("argv").write_text(" ".join(sys.argv[1:]))
command = subprocess.Popen([sys.executable, "-m", "chimed", "train", "cpt"], start_new_session=True)
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
while not stopping or command.poll() is None:
    time.sleep(0.05)
Path("ended").write_text(str(command.returncode))
"""
CHIMED = """
import signal, sys, time
from pathlib import Path
def stop(*_):
    Path("told").touch()
    time.sleep(0.5)
    Path("checkpoint").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
Path("began").touch()
time.sleep(60)
"""


@pytest.fixture
def worker(tmp_path):
    """Start the program in a folder in which `airflow` and `chimed` are those above."""
    for name, code in (("airflow", AIRFLOW), ("chimed", CHIMED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "__main__.py").write_text(code)
    started = []

    def start(patience: float) -> subprocess.Popen:
        file = PROJECT / "include" / "chimed_airflow" / "worker.py"
        argv = [sys.executable, str(file), "--patience", str(patience), "--queues", "models"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        started.append(subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True))
        wait_for(tmp_path / "began")
        return started[-1]

    yield start
    for one in started:
        one.kill()


def wait_for(file: Path, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, file
        time.sleep(0.02)


def test_a_stopped_training_writes_its_checkpoint(worker, tmp_path) -> None:
    running = worker(patience=0)
    running.terminate()
    assert running.wait(10) == 0
    assert "told to end: -m chimed train cpt" in running.stdout.read()
    assert (tmp_path / "checkpoint").exists()
    assert (tmp_path / "ended").read_text() == "143"  # the worker outlived it, and reports it
    assert (tmp_path / "argv").read_text() == "celery worker --queues models"


def test_other_work_is_given_time_first(worker, tmp_path) -> None:
    running = worker(patience=1.5)
    running.terminate()
    time.sleep(0.7)
    assert not (tmp_path / "told").exists()
    assert running.wait(10) == 0
    assert (tmp_path / "checkpoint").exists()


def stubborn(tmp_path: Path, seconds: float) -> subprocess.Popen:
    """Start a command that takes so long to end after SIGTERM."""
    code = (
        "import signal, sys, time\nfrom pathlib import Path\n"
        f"def stop(*_):\n    time.sleep({seconds})\n    Path(r'{tmp_path}/checkpoint').touch()\n    sys.exit(1)\n"
        f"signal.signal(signal.SIGTERM, stop)\nPath(r'{tmp_path}/began').touch()\ntime.sleep(60)"
    )
    found = commands.start([sys.executable, "-c", code])
    wait_for(tmp_path / "began")
    return found


def test_a_killed_training_has_time_for_a_checkpoint(tmp_path) -> None:
    assert commands.grace_of(["train", "cpt"]) == commands.LONG_GRACE > 60
    assert commands.grace_of(["run", "clean"]) == commands.GRACE
    process = stubborn(tmp_path, seconds=4)  # longer than others have
    commands.end(process, grace=10)
    assert (process.returncode, (tmp_path / "checkpoint").exists()) == (1, True)


def test_a_hung_training_is_killed_without_airflow(tmp_path) -> None:
    process = stubborn(tmp_path, seconds=60)
    commands._kill_later(process.pid, 1)  # what is left where Airflow kills the task while it waits
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "checkpoint").exists()
