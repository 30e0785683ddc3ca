"""One model, two ways to ask it: lm-eval in this process and through vLLM's server.

After sft (merged) on the project's own exam; and, base too, on CMMLU's own files where the variable `CMMLU` names a
folder with them.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from chimed.evaluate.harness import evaluate_phase
from chimed.settings import PROJECT, settings
from chimed.train import train_phase
from support import tiny

pytest.importorskip("torch")
pytest.importorskip("lm_eval")
pytest.importorskip("vllm")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

EXAMS = {"own": str(PROJECT / "include" / "chimed_demo" / "exam"), "cmmlu": os.environ.get("CMMLU", "")}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Iterator[Path]:
    """The lake of the settings, with a release and a model trained on it as far as sft."""
    folder = tmp_path_factory.mktemp("backends")
    tiny.model(folder / "model", head=64)
    tiny.release(folder / "lake")
    found = {
        "PYTHONPATH": str(PROJECT / "include"),
        "OMP_NUM_THREADS": "1",
        "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_SCRATCH": str(folder / "scratch"),
        "CHIMED_BASE_CHECKPOINT": str(folder / "model"),
        "CHIMED_MODELS_PYTHON": sys.executable,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        settings.cache_clear()
        for phase in ("cpt", "sft"):
            train_phase(phase, "demo", "latest")
        yield folder / "lake"
    settings.cache_clear()


@pytest.mark.parametrize(("exams", "phase"), [("own", "sft"), ("cmmlu", "base"), ("cmmlu", "sft")])
def test_both_backends_give_the_same_accuracy(lake, monkeypatch, exams: str, phase: str) -> None:
    if not EXAMS[exams]:
        pytest.skip("CMMLU names no folder with CMMLU's files")
    monkeypatch.setenv("CHIMED_EXAMS", EXAMS[exams])
    settings.cache_clear()
    scores, letters = {}, {}
    for backend in ("hf", "vllm"):
        scores[backend] = evaluate_phase(phase, "demo", "latest", backend)
        samples = pl.read_parquet(lake / "scores" / "2026.11.22" / "demo" / f"{phase}.samples.parquet")
        letters[backend] = samples["scores"].to_list()
    assert scores["vllm"]["protocol"]["backend"] == "vllm"
    assert scores["vllm"]["protocol"]["versions"]["vllm"]
    for task, count in scores["hf"]["tasks"].items():
        assert abs(count["correct"] - scores["vllm"]["tasks"][task]["correct"]) <= 1, task
    # the same numbers, not only the same letters: both are fp32 here
    furthest = max(
        abs(one - other)
        for mine, theirs in zip(letters["hf"], letters["vllm"], strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )
    assert furthest < 1e-2
