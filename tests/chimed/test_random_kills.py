"""A build that is killed with -9 again and again, at any moment, leaves in the end what an undisturbed one does.

`CHIMED_KILLS=500` kills more often. Training has kills of its own (`train/test_phases.py`).
"""

import dataclasses
import json
import os
import random
import shutil
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.operations.audit import run_audit
from chimed.pipeline.runner import run_stage
from chimed.settings import Settings
from chimed.storage import drafts
from chimed.storage import lake as lakes
from chimed.storage.store import open_store, secret
from support import forks

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CHIMED_KILLS", "8"))
STAGES = ("extract", "clean", "dedup")
NOT_COMPARED = ("seconds", "seal")  # a report's: how long it took


def run(folder: str, version: str) -> None:
    """What the killed process does: every stage of the build, in turn."""
    options = Options(second_opinion=False)
    found = Settings(data=f"{folder}/lake", store=f"sqlite:///{folder}/store.db")
    work = StageContext(version, options, lakes.open_lake(found.data), open_store(found.store), found, lambda _: None)
    for stage in STAGES:
        run_stage(work, stage)


def contents(root: Path) -> dict[str, object]:
    """Every file of a lake; of a report all but the time it took."""
    found: dict[str, object] = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        name = file.relative_to(root).as_posix()
        if name.startswith("signatures/"):  # a killed build may have written some, and others after it
            continue
        if name.startswith("extracts/") and drafts.is_draft(name) and not file.stat().st_size:
            continue  # begun by another worker just now, for all we know: a later run takes it away
        found[name] = file.read_bytes()
        if file.suffix == ".json":
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key not in NOT_COMPARED}
    return found


def test_random_kills_leave_the_same_bytes(once, tmp_path):
    prepared, chance = tmp_path / "prepared", random.Random(7)
    shutil.copytree(once.lake.root, prepared / "lake")
    for made in ("extracts", "signatures", *(f"builds/{once.build}/{stage}" for stage in STAGES)):
        shutil.rmtree(prepared / "lake" / made)
    store = open_store(f"sqlite:///{prepared}/store.db")
    secret(store)  # made when first needed; ids of a corpus's rows are keyed with it
    store.engine.dispose()

    def process(folder: Path) -> BaseProcess:
        return forks.started(run, str(folder), once.build)

    shutil.copytree(prepared, tmp_path / "whole")
    for attempt in range(2):  # the first one loads what the forks then share
        shutil.rmtree(tmp_path / "whole")
        shutil.copytree(prepared, tmp_path / "whole")
        began = time.monotonic()
        first = process(tmp_path / "whole")
        first.join()
        assert first.exitcode == 0, attempt
    lasts, want = time.monotonic() - began, contents(tmp_path / "whole" / "lake")

    kills = rounds = 0
    while kills < KILLS:
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepared, folder)
        while kills < KILLS:
            one = process(folder)
            one.join(chance.uniform(0, 1.2 * lasts) if chance.random() < 0.8 else lasts)
            if one.exitcode is not None:
                assert one.exitcode == 0
                break
            one.kill()
            one.join()
            kills += 1
        last = process(folder)
        last.join()
        assert last.exitcode == 0
        assert contents(folder / "lake") == want
        work = dataclasses.replace(once, lake=lakes.open_lake(str(folder / "lake")))
        assert run_audit(work.lake, work.build).faults == []
        rounds += 1
    assert kills == KILLS
    assert rounds
