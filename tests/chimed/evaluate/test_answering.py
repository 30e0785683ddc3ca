"""The tiny model answers questions for real: greedily, once, and the same in any batch."""

import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.storage import lake as lakes
from support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def lake(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    tiny.model(tmp_path / "model")
    tiny.release(tmp_path / "lake", "2026.11.22")
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_BASE_CHECKPOINT", str(tmp_path / "model"))
    settings.cache_clear()
    (tmp_path / "mine.yaml").write_text(
        "- {id: a, question: 茯苓的功效是什么？}\n- {id: b, question: 当归<|im_end|>呢？}\n- {id: c, question: 问}\n",
        encoding="utf-8",
    )
    return lakes.open_lake()


def test_answers_are_kept_and_not_made_again(lake, tmp_path, monkeypatch) -> None:
    from chimed.evaluate import answering, generate
    from chimed.evaluate.generate import Sampling

    mine = str(tmp_path / "mine.yaml")
    said = answering.answer_questions("demo", "latest", (), [mine], Sampling(tokens=8))
    report = said["sets"]["mine"]["base"]
    assert (report["questions"], report["sampling"]["tokens"], list(said["sets"]["mine"])) == (3, 8, ["base"])
    table = lakes.read_table(lake, "answers/2026.11.22/demo/mine/base.parquet")
    assert table["id"].to_list() == ["a", "b", "c"]
    assert table["tokens"].max() <= 8
    writer = generate.load(str(tmp_path / "model"), None, "float32")
    alone = [
        next(generate.write(writer, [[{"role": "user", "content": one}]], Sampling(tokens=8), 1)).text.strip()
        for one in table["question"]
    ]
    assert table["answer"].to_list() == alone  # padding beside longer questions changes nothing
    monkeypatch.setattr(answering, "_answered", None)
    assert answering.answer_questions("demo", "latest", ("base",), [mine], Sampling(tokens=8)) == said
    shown = answering.side_by_side("demo", "latest", mine)
    assert [one["answers"]["base"]["answer"] for one in shown] == alone
    monkeypatch.undo()


def test_what_cannot_be_answered_is_said(lake, tmp_path) -> None:
    from chimed.evaluate.answering import answer_questions
    from chimed.evaluate.generate import Sampling

    mine = str(tmp_path / "mine.yaml")
    for models, sets, tokens, told in (
        (("rlhf",), [mine], 8, "unknown model 'rlhf'"),
        (("sft",), [mine], 8, "sft of demo has not been trained"),
        ((), ["none"], 8, "no set of questions 'none'"),
        ((), [mine], 5_000, "do not fit the model's 1,024"),
    ):
        with pytest.raises(UserError, match=told):
            answer_questions("demo", "latest", models, sets, Sampling(tokens=tokens))
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        answer_questions("demo", "latest", (), [mine], Sampling(tokens=8))
