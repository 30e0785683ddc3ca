"""lm-eval for real on a tiny Qwen3 and small local exams: counts, samples, and a base that is scored only once."""

import sys
from pathlib import Path

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.evaluate import harness
from chimed.evaluate.backend import flags
from chimed.settings import settings
from chimed.storage import lake as lakes

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
import tiny


def test_unknown_names_are_answered_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match="base, cpt, sft, dpo"):
        harness.evaluate_phase("rlhf", "demo", "latest")


def test_letters_of_one_likelihood_are_ties() -> None:
    assert harness.ties(pl.Series([[-1.0, -2.0, -3.0, -4.0], [-2.0, -1.0, -1.0, -3.0], [-5.0] * 4])) == 2


def test_a_servers_flags_are_in_the_protocol(monkeypatch) -> None:
    monkeypatch.setenv("CHIMED_VLLM_FLAGS", "--quantization  fp8")
    settings.cache_clear()
    assert flags("vllm") == "--quantization fp8"
    assert flags("hf") == ""  # which starts no server
    settings.cache_clear()


@pytest.fixture
def lake(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("lm_eval")
    tiny.model(tmp_path / "model")
    tiny.exam(tmp_path / "exams", {"genetics": 12, "physician": 6, "odd": 4})
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_BASE_CHECKPOINT", str(tmp_path / "model"))
    monkeypatch.setenv("CHIMED_EXAMS", str(tmp_path / "exams"))
    settings.cache_clear()
    tiny.release(tmp_path / "lake", "2026.11.15")
    yield lakes.open_lake()
    settings.cache_clear()


@pytest.mark.slow
def test_a_base_is_scored_once(lake, tmp_path, monkeypatch) -> None:
    score = harness.evaluate_phase("base", "demo", "latest")
    assert list(score["tasks"]) == ["cmmlu_genetics", "ceval-valid_physician", "exam_odd"]
    assert [count["questions"] for count in score["tasks"].values()] == [12, 6, 4]
    assert score["protocol"]["shots"] == 0
    assert "vllm_flags" not in score["protocol"]
    assert score["base_model"] == score["model"]
    assert score["protocol"]["versions"]["lm_eval"]
    assert all(count["tied"] == 0 for count in score["tasks"].values())
    samples = lakes.read_table(lake, "scores/2026.11.15/demo/base.samples.parquet")
    assert samples.height == 22
    assert samples.filter(pl.col("correct")).height == sum(count["correct"] for count in score["tasks"].values())
    assert samples["scores"].list.len().unique().to_list() == [4]

    def again(*_: object) -> None:
        raise AssertionError("scored twice")

    monkeypatch.setattr(harness, "_score", again)
    tiny.release(tmp_path / "lake", "2026.11.22")
    second = harness.evaluate_phase("base", "demo", "2026.11.22")
    assert (second["tasks"], second["release"]) == (score["tasks"], "2026.11.22")
    assert harness.evaluate_phase("base", "demo", "2026.11.22") == lakes.read_json(
        lake, "scores/2026.11.22/demo/base.json"
    )
    with pytest.raises(UserError, match="run: python -m chimed train sft"):
        harness.evaluate_phase("sft", "demo", "latest")
    tiny.exam(tmp_path / "exams", {"genetics": 13})  # another exam is another score
    with pytest.raises(AssertionError, match="scored twice"):
        harness.evaluate_phase("base", "demo", "2026.11.22")
