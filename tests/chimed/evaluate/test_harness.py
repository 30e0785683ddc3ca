"""lm-eval for real on a tiny Qwen3 and small local exams: counts, samples, and a base that is scored only once."""

from pathlib import Path

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.evaluate import harness
from chimed.evaluate.answers import tied
from chimed.evaluate.backend import flags
from chimed.evaluate.compare import compare_phases
from chimed.evaluate.protocol import CHAT, differences
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.train import train_phase
from support import tiny


def test_unknown_names_are_answered_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match="base, cpt, sft, dpo"):
        harness.evaluate_phase("rlhf", "demo", "latest")


def test_a_slip_is_refused_before_anything_is_read(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "none"))  # neither lake nor hub is looked at
    monkeypatch.setattr("chimed.evaluate.backend.find_spec", lambda name: None)
    settings.cache_clear()
    with pytest.raises(UserError, match="unknown template 'jinja'; choose from: none, chat"):
        harness.evaluate_phase("base", "demo", "latest", template="jinja")
    with pytest.raises(UserError, match="needs the package vllm"):
        harness.evaluate_phase("base", "demo", "latest", backend="vllm")
    with pytest.raises(UserError, match="unknown backend 'llama'"):
        harness.evaluate_phase("base", "demo", "latest", backend="llama")
    settings.cache_clear()


def test_letters_of_one_likelihood_are_ties() -> None:
    assert tied(pl.Series([[-1.0, -2.0, -3.0, -4.0], [-2.0, -1.0, -1.0, -3.0], [-5.0] * 4])) == 2


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


@pytest.mark.slow
def test_the_protocol_is_in_the_key(lake, tmp_path, monkeypatch) -> None:
    exam = tmp_path / "exams" / "{}" / "several.csv"
    for split in ("dev", "test"):
        Path(str(exam).format(split)).write_text(
            ",Question,A,B,C,D,E,Answer\n"
            + "".join(f"{n},第{n}问,甲,乙,丙,丁,戊,{'AB' if n else 'E'}\n" for n in range(3)),
            encoding="utf-8",
        )
    plain = harness.evaluate_phase("base", "demo", "latest")
    assert plain["protocol"]["chat_template"] is None
    assert set(plain["protocol"]["exam_revisions"]) == set(plain["tasks"])
    assert plain["protocol"]["several"].startswith("where an exam has several right letters, answers are generated")
    several = lakes.read_table(lake, "scores/2026.11.15/demo/base.samples.parquet").filter(task="exam_several")
    assert several["answer"].to_list() == ["E", "AB", "AB"]
    assert several["scores"].list.len().to_list() == [0, 0, 0]
    assert plain["tasks"]["exam_several"]["fair"] == plain["tasks"]["exam_several"]["correct"]
    monkeypatch.setenv("CHIMED_EVALUATE_SHOTS", "2")
    settings.cache_clear()
    chat = harness.evaluate_phase("base", "demo", "latest", template="chat")
    assert (chat["protocol"]["shots"], chat["protocol"]["chat_template"]) == (2, CHAT)
    assert chat["key"] != plain["key"]
    # the same exams, asked in another way: nothing compares them unseen
    assert differences(plain["protocol"], chat["protocol"]) == ["chat_template", "shots"]
    with pytest.raises(UserError, match="5 shots need as many examples for each exam, and one has 3 in dev/"):
        harness.evaluate_phase("base", "demo", "latest", shots=5)
    with pytest.raises(UserError, match="none, chat"):
        harness.evaluate_phase("base", "demo", "latest", template="qwen")


@pytest.mark.slow
def test_a_phase_is_scored_beside_its_base(lake, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CHIMED_SCRATCH", str(tmp_path / "scratch"))
    settings.cache_clear()
    train_phase("cpt", "demo", "latest")
    base, cpt = (harness.evaluate_phase(phase, "demo", "latest") for phase in ("base", "cpt"))
    assert cpt["base_model"] == base["model"] != cpt["model"]
    assert cpt["training"]["seed"] == "42"
    text = compare_phases("demo", "latest")
    assert "| the paper's exams, pooled | cpt |" in text
    assert "## Seeds" not in text
    # another seed of the same recipe, as another name of it is scored
    place = "scores/2026.11.15/demo,seed=43"
    other = cpt | {"training": cpt["training"] | {"seed": "43"}, "recipe": "demo,seed=43"}
    lakes.write_json(lake, f"{place}/cpt.json", other)
    assert "| cpt | base | seed 42 | seed 43 | mean | standard deviation |" in compare_phases("demo", "latest")


def test_a_servers_tokenizer_thinks_not(tmp_path) -> None:
    pytest.importorskip("torch")
    from transformers import AutoTokenizer

    from chimed.evaluate import backend

    tiny.model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    thinking = "{%- if enable_thinking is not defined or enable_thinking %}<think>{%- endif %}"
    tokenizer.chat_template = tiny.CHAT + thinking
    tokenizer.save_pretrained(tmp_path / "model")
    asked = [{"role": "user", "content": "问"}]
    assert tokenizer.apply_chat_template(asked, tokenize=False).endswith("<think>")
    changed = AutoTokenizer.from_pretrained(
        backend._without_thinking(str(tmp_path / "model"), str(tmp_path / "beside"))
    )
    assert changed.apply_chat_template(asked, tokenize=False).endswith("问<|im_end|>")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "none")
    with (
        pytest.raises(UserError, match="has no chat template; evaluate it with --template none"),
        backend.answering("hf", str(tmp_path / "none"), None, "float32", 1, tmp_path / "log", chat=True),
    ):
        pass


def test_protocols_of_earlier_versions_are_understood() -> None:
    older = {"shots": 0, "exams": "aa"}
    newer = older | {"exam_revisions": {"cmexam": "1", "medqa_zh": "2"}}
    assert differences(older, newer) == []
    assert differences(older, newer | {"exams": "bb"}) == ["exams"]
    other = {"shots": 0, "exams": "bb", "exam_revisions": {"cmexam": "1", "medqa_zh": "3"}}
    assert differences(newer, other) == ["exams (medqa_zh)"]
