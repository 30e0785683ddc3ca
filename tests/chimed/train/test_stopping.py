"""SIGTERM gives a checkpoint: to a process, to several that share the batch, to a container's first process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chimed.settings import PROJECT
from chimed.train.checkpoint import last_checkpoint
from support import tiny

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

STEPS = 400
# a namespace of its own for process ids, in which the command is number 1, as in a container
FIRST = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.model(folder)
    return folder


def namespaces() -> bool:
    try:
        return subprocess.run([*FIRST, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["one process", "two that share the batch"])
def test_sigterm_leaves_a_checkpoint(base, tmp_path, how: str) -> None:
    """One process is the first of a container, which ignores signals that it does not handle, where that can be had."""
    tiny.release(tmp_path / "lake")
    recipes = tmp_path / "sitecustomize.py"  # every process of the run reads the same longer recipe
    recipes.write_text(
        "from chimed.train import recipe\n"
        "load = recipe.load\n"
        f"recipe.load = lambda *of: load(*of) | {{'max_steps': {STEPS}, 'save_steps': 1000, 'eval_steps': 1000}}\n"
    )
    environment = os.environ | {
        "CHIMED_DATA": str(tmp_path / "lake"),
        "CHIMED_BASE_CHECKPOINT": str(base),
        "PYTHONPATH": f"{tmp_path}:{PROJECT / 'include'}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "chimed", "train", "cpt", "--recipe", "demo"]
    command += ["--processes", "2"] if how.startswith("two") else []
    first = [*FIRST, *command] if how == "one process" and namespaces() else command
    phase = tmp_path / "lake" / "models" / "2026.11.22" / "demo" / "cpt"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(first, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 240
        while not (phase / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(child_of(process.pid) if first is not command else process.pid, signal.SIGTERM)
        code = process.wait(60)
    said = (tmp_path / "log").read_text()
    assert code == 1, said[-3000:]
    assert "told to stop (SIGTERM) and left a checkpoint" in said
    left = last_checkpoint(phase / "checkpoints")
    assert left is not None, said[-3000:]
    assert 0 < int(left.name.rsplit("-")[1]) < STEPS
    assert not (phase / "report.json").exists()


def child_of(pid: int) -> int:
    """The only child of a process: what `unshare` forked, number 1 of its own namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
