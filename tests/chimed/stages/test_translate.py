"""A refused passage costs that passage: what stands around it stays, each stretch with its place in the source."""

import dataclasses

import pytest

from chimed.build.ledger import check_ledger
from chimed.stages import translate
from support.samples import document, model_outcome, rows

SENTENCES = "论气血之行，昼夜循环，周而复始，与天地相应，四时相合，此之谓常道也。" * 7


def paragraph(number: int) -> str:
    """One of a chapter's; two of them are more than a passage."""
    return f"第{number}章{SENTENCES}"


CHAPTER = "\n".join(paragraph(n) for n in range(5))


@pytest.fixture(autouse=True)
def gate(monkeypatch):
    """A gate that asks for length alone: what becomes of the pieces matters here, and not why."""
    monkeypatch.setattr(translate.fidelity, "find_fault", lambda _, said: "长度不合：太短" if len(said) < 20 else None)


@pytest.fixture
def asked(work, served):
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    return dataclasses.replace(work, settings=where)


def modern(source: str) -> str:
    """A translation that passes the gate: other words, as long as they should be."""
    number = source[source.index("第") + 1]
    return f"第{number}篇说的是人体的气和血怎样运行：白天黑夜往复不停，与自然和季节的变化一致，这就是通常的规律。" * 6


def said(body: dict) -> str:
    return body["messages"][-1]["content"].split("：", 1)[1]


def translated(asked, served, bad: dict[int, object], text: str = CHAPTER):
    """What comes of a chapter where the server answers some passages by number with something else."""

    def answer(body):
        source = said(body)
        return bad.get(int(source[source.index("第") + 1]), modern(source))

    served.answer = answer
    table = rows(document(text, language="lzh", source="zydcd"), *filler())
    outcome = model_outcome(translate, table, asked)
    check_ledger("translate", table, outcome)
    return table.row(0, named=True), outcome


def filler() -> list[dict]:
    """More classics, so that one bad passage is not the whole shard."""
    texts = (paragraph(9) + str(n) for n in range(30))
    return [document(text, language="lzh", source="zydcd", url=f"http://f/{n}") for n, text in enumerate(texts)]


def test_passages_lose_nothing_and_know_their_place():
    text = f"\n\n  {CHAPTER}\n{'长' * 700}。短。\n　\n{'一二三。' * 200}\n末"
    passages = translate.split(text)
    assert all(text[a:b] == words for a, b, words in passages)
    assert "".join(words for *_, words in passages).replace("\n", "") == "".join(text.split())
    assert all(len(words) <= translate.MAX_PASSAGE for *_, words in passages if "长" not in words)
    assert [a for a, *_ in passages] == sorted(a for a, *_ in passages)


def test_a_chapter_is_one_record(asked, served):
    parent, outcome = translated(asked, served, {})
    (row,) = outcome.derived.filter(outcome.derived["parent"] == parent["id"]).to_dicts()
    assert row["text"].split("\n") == [modern(f"第{n}") for n in range(5)]
    assert row["evidence"] == [{"start": 0, "end": len(CHAPTER)}]
    assert (row["model"], len(row["replies"])) == ("test/generator", 5)


@pytest.mark.parametrize(
    ("bad", "kept", "reason"),
    [
        ({2: "太短。"}, [(0, 1), (3, 4)], "长度不合"),
        ({0: "太短。"}, [(1, 4)], "长度不合"),
        ({4: ""}, [(0, 3)], "empty reply"),
        ({2: (400, {}, b"no")}, [(0, 1), (3, 4)], "request refused"),
        ({1: "抱歉，我无法翻译这段文字。", 3: ""}, [(0, 0), (2, 2), (4, 4)], "model's refusal"),
        ({1: "", 2: "", 3: ""}, [(0, 0), (4, 4)], "empty reply"),
    ],
)
def test_a_refused_passage_costs_that_passage(asked, served, bad, kept, reason):
    parent, outcome = translated(asked, served, bad)
    mine = [row for row in outcome.derived.to_dicts() if row["parent"] == parent["id"]]
    found = [(row["evidence"][0]["start"], row["evidence"][0]["end"], row["text"]) for row in mine]
    size = len(paragraph(0)) + 1
    assert found == [
        (a * size, (b + 1) * size - 1, "\n".join(modern(f"第{n}") for n in range(a, b + 1))) for a, b in kept
    ]
    lost = outcome.derived_dropped.to_dicts()
    assert len(lost) == len(bad)
    assert lost[0]["reason"] == reason
    refused = {CHAPTER[one["evidence"][0]["start"] : one["evidence"][0]["end"]] for one in lost}
    assert refused == {paragraph(n) for n in bad}


def test_a_sliver_leaves_with_its_gap(asked, served, monkeypatch):
    monkeypatch.setattr(translate, "MIN_STRETCH", 5_000)
    parent, outcome = translated(asked, served, {2: ""})
    assert parent["id"] not in outcome.derived["parent"].to_list()
    assert sorted(outcome.derived_dropped["reason"]) == ["empty reply", *["too short to stand beside a gap"] * 2]


def test_equal_passages_are_one_record(asked, served):
    same = paragraph(1)
    parent, outcome = translated(asked, served, {2: ""}, "\n".join([same, paragraph(2), same]))
    assert outcome.derived["parent"].to_list().count(parent["id"]) == 1
    assert "the same text twice" in outcome.derived_dropped["reason"].to_list()


def test_an_empty_reply_is_asked_for_once_more(asked, served):
    def answer(body):
        if "上一次的译文有误" in body["messages"][-1]["content"]:
            assert "没有译文" in body["messages"][-1]["content"]
            return modern("第2")
        return "" if "第2" in said(body) else modern(said(body))

    served.answer = answer
    outcome = model_outcome(translate, rows(document(CHAPTER, language="lzh"), *filler()), asked)
    assert len(outcome.derived_dropped) == 0
    assert outcome.figures["tried_again"] == 1
    assert outcome.figures["llm"]["failures"] == {"empty reply": 1}
