"""What docs/ holds that a script makes is what the script makes today: reference, diagrams, sample, notebooks."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from chimed.build import order
from chimed.release import SUBSETS, TABLES
from chimed.release.verify import faults_in, files_left_out
from chimed.storage.lake import open_lake
from support.readme import CHINESE, ENGLISH, PROJECT

DOCS = PROJECT / "docs"
MODELS_PYTHON = PROJECT / ".venv-models" / "bin" / "python"
SAMPLE = DOCS / "sample"
SAME = 0.9  # share of the rows: a stage may learn something without the sample being made anew


def test_the_reference_matches_the_code() -> None:
    written = runpy.run_path(str(DOCS / "write_reference.py"))["reference"]()
    assert written == (DOCS / "reference.md").read_text(encoding="utf-8"), "run: make reference"
    assert written.count("| `CHIMED_") > 40


def test_the_papers_scores_follow_from_counts() -> None:
    page = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS / "write_reference.py"))["evaluation"](page) == page, "run: make reference"
    assert page.count("| Qwen3-14B |") == 4
    assert "The 14B model's columns of CMMLU are swapped in the paper" in page


def test_the_guides_table_of_stages_is_the_codes() -> None:
    guide = (DOCS / "stages.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS / "write_reference.py"))["stages"](guide) == guide, "run: make reference"
    assert all(f"| `{stage.name}` | {stage.does} |" in guide for stage in order.STAGES)


def test_the_diagrams_are_drawn_of_the_sample(tmp_path) -> None:
    runpy.run_path(str(DOCS / "pictures" / "draw.py"))["main"](tmp_path)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert len(drawn) == 8
    for name, svg in drawn.items():
        assert svg == (DOCS / "pictures" / name).read_text(encoding="utf-8"), "run: make pictures"
    assert "更不可与头孢类" in drawn["way.zh.dark.svg"].replace("</text>", "")


def test_pictures_and_sample_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 2_000_000
    assert all(path.stat().st_size < 300_000 for path in (DOCS / "pictures").iterdir())
    rows = json.loads((SAMPLE / "releases" / "2026.11.23" / "statistics.json").read_text(encoding="utf-8"))["instances"]
    assert all(f" {round(rows, -1)} " in guide.read_text(encoding="utf-8") for guide in (ENGLISH, CHINESE)), rows


@pytest.mark.parametrize("version", ["2026.11.16", "2026.11.23"])
def test_what_the_sample_has_is_intact(version: str) -> None:
    lake = open_lake(str(SAMPLE))
    assert faults_in(lake, f"releases/{version}", partial=True) == [], "run make sample"
    assert {name.split("/")[0] for name in files_left_out(lake, f"releases/{version}")} == {
        "jsonl", "figures", "dataset_info.json",
    }  # fmt: skip


@pytest.mark.slow
def test_the_sample_holds_what_the_stages_make_today(tmp_path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHIMED_")}
    script = (
        "import runpy, sys, pathlib; runpy.run_path(sys.argv[1])['main'](pathlib.Path(sys.argv[2]), ('2026.11.16',))"
    )
    command = [sys.executable, "-c", script, str(SAMPLE / "make.py"), str(tmp_path)]
    environment["PYTHONPATH"] = str(PROJECT / "include")
    run = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr[-3000:]
    tables = sorted(
        path for path in (SAMPLE / "releases" / "2026.11.16").rglob("*.parquet") if path.parent.name in SUBSETS
    )
    assert len(tables) == len(TABLES)
    for path in tables:
        kept, again = pl.read_parquet(path), pl.read_parquet(tmp_path / path.relative_to(SAMPLE))
        assert again.schema == kept.schema, f"{path}: run make sample"
        same = len(set(kept["id"]) & set(again["id"]))
        assert same >= SAME * max(len(kept), len(again)), f"{path}: only {same} rows as before; run make sample"


@pytest.mark.slow
@pytest.mark.skipif(not MODELS_PYTHON.exists(), reason="needs `datasets`: make install")
def test_every_notebook_gives_the_outputs_that_it_shows(tmp_path: Path) -> None:
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [str(MODELS_PYTHON), str(DOCS / "notebooks" / "run.py"), "--check"]
    run = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stderr.count("cells") == 3
