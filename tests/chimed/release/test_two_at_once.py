"""Two releases of one version at once: no reader ever sees a manifest that names a file which is not there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.release.verify import verify
from chimed.settings import PROJECT
from chimed.storage import lake as lakes
from support.making_one import FIRST

pytestmark = pytest.mark.slow


def started(folder: Path, *argv: str) -> subprocess.Popen:
    environment = {
        **os.environ, "PYTHONPATH": str(PROJECT / "include"), "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
    }  # fmt: skip
    command = [sys.executable, "-m", "chimed", *argv]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_no_manifest_is_seen_with_files_missing(copied, tmp_path):
    folder = Path(copied.lake.at("releases", FIRST))
    before = lakes.read_json(copied.lake, f"releases/{FIRST}/manifest.json")["files"]
    shutil.rmtree(folder)
    shutil.rmtree(copied.lake.at("builds", FIRST, "release"))
    runs = [started(tmp_path, "run", "release", "--build", FIRST) for _ in range(2)]
    seen = 0
    while any(run.poll() is None for run in runs):
        try:
            files = lakes.read_json(copied.lake, f"releases/{FIRST}/manifest.json")["files"]
        except (FileNotFoundError, UserError):
            continue
        there = lakes.sizes(copied.lake, f"releases/{FIRST}")
        assert {name: there.get(name) for name in files} == {name: said["bytes"] for name, said in files.items()}
        seen += 1
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert seen
    assert verify(copied.lake, FIRST) == []
    now = lakes.read_json(copied.lake, f"releases/{FIRST}/manifest.json")["files"]
    assert {name: now[name] for name in now if name.endswith("parquet")} == {
        name: before[name] for name in before if name.endswith("parquet")
    }
