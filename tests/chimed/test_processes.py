"""Processes known by their note: ours, alive, ended with their children, never a stranger's."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from chimed import processes
from chimed.settings import PROJECT

SLEEP = "import time; time.sleep(60)"
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
print("up", flush=True)
{SLEEP}
"""


def test_a_process_ends_with_its_group(tmp_path: Path) -> None:
    note, log = tmp_path / "server.json", tmp_path / "server.log"
    pid = processes.start([sys.executable, "-c", PARENT], note, log)
    while "up" not in log.read_text():
        time.sleep(0.02)
    assert processes.running_pid(note) == pid
    assert processes.end([note]) == ["server"]
    assert processes.running_pid(note) is None
    assert not note.exists()
    assert not processes._group_lives(pid)


def test_a_dead_process_is_not_alive(tmp_path: Path) -> None:
    note = tmp_path / "server.json"
    processes.start([sys.executable, "-c", "print('bad checkpoint')"], note, tmp_path / "log")
    deadline = time.monotonic() + 10
    while processes.running_pid(note) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes.running_pid(note) is None
    assert processes.last_lines(tmp_path / "log", 5) == "bad checkpoint"
    assert processes.end([note]) == []


def test_a_reused_process_id_is_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "server.json"
    note.write_text(json.dumps({"pid": os.getpid(), "born": "long ago"}))
    assert processes.running_pid(note) is None
    assert processes.end([note]) == []  # and this test goes on


def test_a_missing_or_broken_note_is_dead(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert processes.running_pid(tmp_path / "broken.json") is None
    assert processes.running_pid(tmp_path / "none.json") is None


BESIDE = f"""
import sys, time
from pathlib import Path
from chimed import processes
with processes.child_process([sys.executable, "-c", {SLEEP!r}], Path(sys.argv[1])) as child:
    print(child.pid, flush=True)
    {SLEEP}
"""


def test_a_process_beside_ends_with_its_parent(tmp_path: Path) -> None:
    with processes.child_process([sys.executable, "-c", SLEEP], tmp_path / "log") as child:
        assert processes.start_time(child.pid)
    assert child.poll() is not None
    if sys.platform == "linux":  # elsewhere nobody tells a child that its parent was killed
        command = [sys.executable, "-c", BESIDE, str(tmp_path / "log")]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "include")}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
            pid = int(parent.stdout.readline())
            parent.kill()
        deadline = time.monotonic() + 10
        while processes.start_time(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert processes.start_time(pid) is None
