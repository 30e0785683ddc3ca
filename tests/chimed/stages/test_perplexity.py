"""The perplexity stage (paper §3.2), on a tiny random GPT-2 made here; runs where torch is installed."""

import math
import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from chimed.__main__ import app
from chimed.build.ledger import check_ledger
from chimed.build.options import Options
from chimed.build.order import previous_stage, stages_for_build_json
from chimed.errors import UserError
from chimed.schema import RECORD
from chimed.settings import settings
from chimed.stages import perplexity
from chimed.stages.filter import cut
from chimed.stages.filter_threshold import thresholds
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake
from chimed.text import perplexity_model as scorers
from support import killed_stage
from support.samples import document, qa, rows

torch = pytest.importorskip("torch")

HERB = "茯苓味甘淡，性平，归心、肺、脾、肾经，能利水渗湿，健脾宁心。"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A GPT-2 of 64 positions that reads characters, laid out as the paper's."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from chimed_demo.tokens import write_characters

    folder = tmp_path_factory.mktemp("gpt2")
    size = write_characters(folder)
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=size, n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def scorer(model) -> scorers.Scorer:
    return scorers.load(str(model))


@pytest.fixture
def here(work, model):
    return replace(work, settings=work.settings.model_copy(update={"perplexity_model": str(model)}))


def one_by_one(text: str, scorer: scorers.Scorer) -> float:
    """Mean negative log-likelihood of a text that fits, the plain way."""
    ids = [scorer.start, *scorer.tokenizer.encode(text, add_special_tokens=False)]
    row = torch.tensor([ids])
    with torch.inference_mode():
        logits = scorer.model(row).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, row[0, 1:]).item()


def test_a_batch_scores_as_one_by_one(scorer):
    texts = [HERB[:n] for n in range(1, len(HERB))]
    scores = dict(scorers.score(texts, scorer, batch_tokens=200))
    for place, text in enumerate(texts):
        assert scores[place]["nll"] / scores[place]["tokens"] == pytest.approx(one_by_one(text, scorer), abs=1e-5)


@pytest.mark.parametrize("length", [1, 63, 64, 95, 96, 200])
def test_windows_score_every_token_once(length):
    windows = list(scorers.split_windows(0, list(range(length)), 64))
    scored = [id for window in windows for id in window.ids[window.first :]]
    assert scored == list(range(length))
    assert all(len(window.ids) <= 63 for window in windows)
    assert all(window.first >= 31 for window in windows[1:])


def test_a_text_is_the_sum_of_windows(scorer):
    ids = scorer.tokenizer.encode(HERB * 4, add_special_tokens=False)
    expected = 0.0
    for window in scorers.split_windows(0, ids, 64):
        row = torch.tensor([[scorer.start, *window.ids]])
        with torch.inference_mode():
            losses = torch.nn.functional.cross_entropy(scorer.model(row).logits[0, :-1], row[0, 1:], reduction="none")
        expected += losses[window.first :].sum().item()
    ((_, found),) = scorers.score([HERB * 4], scorer)
    assert found["tokens"] == len(ids)
    assert found["nll"] == pytest.approx(expected, rel=1e-5)


def test_batches_keep_to_their_budget_and_lose_nothing():
    windows = [scorers.Window(n, tuple(range(n)), 0) for n in (5, 40, 7, 300, 12)]
    made = list(scorers.make_batches(windows, 100))
    assert sorted(one.text for batch in made for one in batch) == [5, 7, 12, 40, 300]
    assert all(len(batch) == 1 or len(batch) * (len(batch[0].ids) + 1) <= 100 for batch in made)


def test_a_killed_scoring_resumes_with_equal_scores(model):
    fast = scorers.load(str(model), "fast")
    chance = random.Random(4)
    texts = ["".join(chance.choices(HERB, k=chance.randint(1, 200))) for _ in range(60)]
    groups = list(scorers.score_groups(texts, fast, batch_tokens=200))
    whole = dict(one for group in groups for one in group)
    assert len(groups) > 10
    for done in (1, len(groups) // 2):
        left = sorted(place for group in groups[done:] for place, _ in group)
        again = scorers.score([texts[place] for place in left], fast, batch_tokens=200)
        assert {left[place]: score for place, score in again} == {place: whole[place] for place in left}


def test_every_row_is_scored_or_fails(here):
    records = rows(document(HERB), qa("头痛怎么办？", "多休息。"), document("", url="http://x/1"))
    outcome = perplexity.run(records, here)
    check_ledger("perplexity", records, outcome)
    assert outcome.kept["perplexity"].is_finite().all()
    assert outcome.kept["tokens"].to_list() == [len(HERB), len("头痛怎么办？多休息。")]
    assert outcome.dropped.select("fate", "reason").rows() == [("failed", "no token to score")]
    assert outcome.figures["unknown_share"] == {"zhongyoo": 0.0, "ask120": 0.0}


def test_known_scores_need_no_model(here, monkeypatch):
    records = rows(document(HERB), qa("头痛怎么办？", "多休息。"))
    first = perplexity.run(records, here)

    def refuse(name: str, kind: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(perplexity, "_loaded", refuse)
    again = perplexity.run(records, here)
    assert again.kept.equals(first.kept)
    assert again.figures["scored"] == 0
    with pytest.raises(AssertionError):
        perplexity.run(rows(document(HERB + "新")), here)


@pytest.fixture
def three_parts(tmp_path, model, monkeypatch):
    """A build of three parts that are done as far as perplexity; the lake it lies in."""
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("CHIMED_PERPLEXITY_MODEL", str(model))
    settings.cache_clear()
    lake, before = open_lake(), previous_stage("perplexity").name
    made = {"version": "2026.11.22", "options": Options().model_dump(mode="json"), "stages": stages_for_build_json()}
    made["shards"] = [[f"ask39/{n}"] for n in range(3)]
    lakes.write_json(lake, "builds/2026.11.22/build.json", made)
    for part in range(3):
        lakes.write_json(lake, f"builds/2026.11.22/{before}/report-{part:05d}.json", {"parts": 1})
        table = rows(document(f"{HERB}{part}", url=f"http://x/{part}"))
        lakes.write_table(lake, f"builds/2026.11.22/{before}/kept-{part:05d}.parquet", table, RECORD)
    perplexity._loaded.cache_clear()
    yield lake
    settings.cache_clear()


def test_several_shards_load_the_model_once(three_parts, monkeypatch):
    loaded: list[str] = []
    usual, full = perplexity.load, lakes.write_json

    def load(name: str, kind: str):
        loaded.append(kind)
        return usual(name, kind)

    def written(lake, path: str, value: object) -> None:
        if path.endswith("perplexity/report-00002.json") and len(failing) < 1:
            failing.append(path)
            raise OSError("the disk is full")
        full(lake, path, value)

    failing: list[str] = []
    monkeypatch.setattr(perplexity, "load", load)
    monkeypatch.setattr(lakes, "write_json", written)
    command = ["run", "perplexity", "--build", "2026.11.22", "--shard", "1", "--shards", "8"]
    assert isinstance(CliRunner().invoke(app, command).exception, OSError)
    assert loaded == ["exact"]  # for both shards; the first one stays done
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    reports = [n for n in range(3) if lakes.exists(three_parts, f"builds/2026.11.22/perplexity/report-{n:05d}.json")]
    assert (reports, loaded) == ([1, 2], ["exact"])


@pytest.mark.slow
def test_a_killed_stage_rerun_gives_the_same_files(model, tmp_path):
    killed_stage.leaves_the_same_files(tmp_path, "perplexity", str(model))


def test_other_weights_are_another_model(model, tmp_path):
    import shutil

    copy = tmp_path / model.name
    shutil.copytree(model, copy)
    assert scorers.model_identity(str(copy)) == scorers.model_identity(str(model))
    changed = tmp_path / "trained" / model.name
    shutil.copytree(model, changed)
    weights = bytearray((changed / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "model.safetensors").write_bytes(weights)
    assert scorers.model_identity(str(changed)) != scorers.model_identity(str(model))
    assert scorers.model_identity("uer/gpt2-chinese-cluecorpussmall") == "uer/gpt2-chinese-cluecorpussmall"


def test_characters_outside_the_vocabulary_are_counted(here):
    outcome = perplexity.run(rows(document("茯苓鬱鬱")), here)
    assert outcome.figures["unknown_share"] == {"zhongyoo": 0.5}


def test_a_missing_model_is_the_users_mistake(work, tmp_path):
    lost = replace(work, settings=work.settings.model_copy(update={"perplexity_model": str(tmp_path / "none")}))
    with pytest.raises(UserError, match="CHIMED_PERPLEXITY_MODEL"):
        perplexity.run(rows(document(HERB)), lost)


def test_perplexity_is_exp_of_the_mean(here, scorer):
    (row,) = perplexity.run(rows(document(HERB)), here).kept.select(pl.col("perplexity")).rows()
    assert row[0] == pytest.approx(math.exp(one_by_one(HERB, scorer)), rel=1e-5)


def test_rough_scores_give_the_exact_cut(here, monkeypatch):
    monkeypatch.setattr(perplexity, "FEW_TEXTS", 20)
    chance = random.Random(5)
    texts = ["".join(chance.choices(HERB, k=chance.randint(5, 40))) for _ in range(400)]
    records = rows(*(document(text, url=f"http://a/{n}") for n, text in enumerate(texts)))
    two = perplexity.run(records, here)
    assert 4 < two.figures["scored_exactly"] < 400
    assert 0 < two.figures["largest_error"] < 0.1
    options = here.options.model_copy(update={"perplexity_exact": True})
    exact = perplexity.run(records, replace(here, options=options))
    assert exact.figures["scored_exactly"] == 400 - two.figures["scored_exactly"]
    dropped = [
        cut(kept, thresholds(lambda kept=kept: [kept], 0.01, "corpus"), "corpus").dropped
        for kept in (two.kept, exact.kept)
    ]
    assert dropped[0]["id"].to_list() == dropped[1]["id"].to_list()
    assert two.figures["exact_above"]["corpus"] < exact.kept["perplexity"].sort(descending=True)[3]
