"""dedup, clean, filter: the paper's basic processing on the rows that go wrong."""

import dataclasses
from datetime import UTC, date, datetime

import polars as pl
import pytest
from conftest import document, judged, qa, rows

from chimed.ledger import check_ledger
from chimed.stages import clean, dedup, filter

LONG = (
    "茯苓为多孔菌科真菌的干燥菌核，多寄生于松树根部，秋季采挖，除去泥沙后反复发汗晾干，切片入药。"
    "味甘淡，性平，归心、肺、脾、肾经，能利水渗湿，健脾宁心，常与白术、泽泻同用。"
)


def reasons(outcome) -> dict[str, str]:
    return dict(outcome.dropped.select("id", "reason").iter_rows())


def test_dedup_keeps_one_of_each_and_names_what_a_copy_copies(work):
    first = document(LONG, url="http://a/1", published=date(2026, 9, 1))
    copy = document(f" {LONG}\n", url="http://a/2", source="zydcd", published=date(2026, 10, 1))
    near = document(LONG.replace("秋季", "冬季"), url="http://a/3")
    other = document("当归补血活血，调经止痛，润肠通便，用于血虚萎黄、眩晕心悸、月经不调、经闭痛经。", url="http://a/4")
    table = rows(first, copy, near, other)
    outcome = judged(dedup, table, work)
    check_ledger("dedup", table, outcome)
    assert other["id"] in set(outcome.kept["id"])
    assert len(outcome.kept) == 2
    assert reasons(outcome)[copy["id"]] == "same text"
    details = dict(outcome.dropped.select("id", "detail").iter_rows())
    assert details[copy["id"]] == first["id"]
    assert sorted(reasons(outcome).values()) == ["nearly the same text", "same text"]


def test_dedup_takes_the_newest_fetch_of_a_page_changed_or_not(work):
    old = document(LONG, fetched=datetime(2026, 11, 9, tzinfo=UTC), page="raw/a#0")
    changed = document("改写之后的正文，" + LONG[::-1], fetched=datetime(2026, 11, 16, tzinfo=UTC), page="raw/b#0")
    unchanged = document("黄芪", url="http://x", page="raw/a#9")
    twice = document("黄芪", url="http://x", page="raw/b#9")
    table = rows(old, changed, unchanged, twice)
    outcome = judged(dedup, table, work)
    check_ledger("dedup", table, outcome)
    assert set(outcome.kept["page"]) == {"raw/b#0", "raw/b#9"}


def test_another_answer_to_a_long_question_is_no_copy(work):
    question = "孩子反复咳嗽两周，夜里加重，没有发烧，吃了止咳糖浆不见好，请问需要拍片检查吗？" * 2
    table = rows(qa(question, "建议先到儿科听诊。"), qa(question, "可以试试雾化治疗。"))
    assert len(judged(dedup, table, work).kept) == 2


@pytest.mark.parametrize(
    ("dirty", "clean_text"),
    [
        ('<p style="color:red">味<b>甘</b></p><script>alert(1)</script>，性平。', "味甘，性平。"),
        ("详见https://www.zhongyoo.com/a?b=1，性平。", "详见，性平。"),
        ("您好，建议少盐。祝您早日康复！", "建议少盐。"),
        ("体温\u200b38℃\ue000，★注意休息😀。", "体温38℃，注意休息。"),
        ("健康咨询描述：头晕。\xa0\u3000 三天", "头晕。 三天"),
        ("多喝水。以上是对“感冒怎么办”这个问题的建议，希望对您有帮助！", "多喝水。"),
        ("血压<140mmHg且>90mmHg为宜", "血压<140mmHg且>90mmHg为宜"),
        ("首段。\n[1] [2] [3] 下一页\n次段。", "首段。\n次段。"),
    ],
)
def test_clean_takes_out_what_is_not_the_text_and_nothing_else(work, dirty, clean_text):
    outcome = clean.run(rows(document(dirty)), work)
    assert outcome.kept["text"].to_list() == [clean_text]


def test_clean_drops_mojibake_and_what_has_nothing_left(work):
    garbled = document("æ\x84\x9få\x86\x92äº\x86æ\x80\x8eä¹\x88å\x8a\x9e", url="http://a/1")
    empty = qa("感冒怎么办？", "您好！")
    table = rows(garbled, empty, document(LONG))
    outcome = clean.run(table, work)
    check_ledger("clean", table, outcome)
    assert reasons(outcome) == {garbled["id"]: "mojibake", empty["id"]: "nothing left after cleaning"}


def scored(perplexities: list[float], tokens: int = 40, **changes: object) -> pl.DataFrame:
    table = rows(*(document(f"{LONG}{n}", url=f"http://a/{n}", **changes) for n in range(len(perplexities))))
    return table.with_columns(perplexity=pl.Series(perplexities), tokens=pl.lit(tokens, pl.Int32))


def test_filter_cuts_the_highest_share_then_the_short_ones(work):
    table = scored([float(n) for n in range(200)])
    table = table.with_columns(tokens=pl.when(pl.col("perplexity") == 7).then(29).otherwise("tokens").cast(pl.Int32))
    outcome = judged(filter, table, work)
    check_ledger("filter", table, outcome)
    gone = outcome.dropped.sort("perplexity").select("perplexity", "reason").rows()
    assert gone == [(7.0, "too short"), (198.0, "perplexity"), (199.0, "perplexity")]


def test_filter_within_source_spares_the_classics(work):
    modern, classics = scored([1.0] * 100), scored([9.0] * 100, language="lzh", source="zydcd")
    table = pl.concat([modern, classics])
    over_corpus = judged(filter, table, work).dropped["language"].to_list()
    options = work.options.model_copy(update={"perplexity_within": "source"})
    within = judged(filter, table, dataclasses.replace(work, options=options)).dropped["language"].to_list()
    assert over_corpus == ["lzh", "lzh"]
    assert sorted(within) == ["lzh", "zh"]


def test_ties_at_the_cut_fall_alike_in_any_order(work):
    table = scored([5.0] * 100)
    one = judged(filter, table, work).dropped["id"].to_list()
    two = judged(filter, table.sample(fraction=1, shuffle=True, seed=7), work).dropped["id"].to_list()
    assert one == two
