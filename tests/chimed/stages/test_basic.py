"""dedup, filter: the paper's basic processing on the rows that go wrong."""

import dataclasses
import re
import unicodedata
from datetime import UTC, date, datetime

import polars as pl
import pytest

from chimed.build.ledger import check_ledger
from chimed.crawl import canonical
from chimed.stages import dedup, filter, filter_threshold
from chimed.storage import lake as lakes
from chimed.text.duplicates.shingles import letters
from support.samples import document, judged, qa, rows

LONG = (
    "茯苓为多孔菌科真菌的干燥菌核，多寄生于松树根部，秋季采挖，除去泥沙后反复发汗晾干，切片入药。"
    "味甘淡，性平，归心、肺、脾、肾经，能利水渗湿，健脾宁心，常与白术、泽泻同用。"
)


def reasons(outcome) -> dict[str, str]:
    return dict(outcome.dropped.select("id", "reason").iter_rows())


def test_dedup_keeps_one_and_names_it(work):
    first = document(LONG, url="http://a/1", published=date(2026, 9, 1))
    copy = document(f" {LONG}\n", url="http://a/2", source="zydcd", published=date(2026, 10, 1))
    near = document(LONG.replace("反复", "反覆"), url="http://a/3")
    other = document("当归补血活血，调经止痛，润肠通便，用于血虚萎黄、眩晕心悸、月经不调、经闭痛经。", url="http://a/4")
    table = rows(first, copy, near, other)
    outcome = judged(dedup, table, work)
    assert set(outcome.kept["id"]) == {first["id"], other["id"]}
    check_ledger("dedup", table, outcome)
    assert other["id"] in set(outcome.kept["id"])
    assert len(outcome.kept) == 2
    assert reasons(outcome)[copy["id"]] == "same text"
    details = dict(outcome.dropped.select("id", "detail").iter_rows())
    assert details[copy["id"]] == first["id"]
    assert sorted(reasons(outcome).values()) == ["nearly the same text", "same text"]


def test_dedup_takes_the_newest_fetch(work):
    old = document(LONG, fetched=datetime(2026, 11, 9, tzinfo=UTC), page="raw/a#0")
    changed = document("改写之后的正文，" + LONG[::-1], fetched=datetime(2026, 11, 16, tzinfo=UTC), page="raw/b#0")
    unchanged = document("黄芪", url="http://x", page="raw/a#9")
    twice = document("黄芪", url="http://x", page="raw/b#9")
    table = rows(old, changed, unchanged, twice)
    outcome = judged(dedup, table, work)
    check_ledger("dedup", table, outcome)
    assert set(outcome.kept["page"]) == {"raw/b#0", "raw/b#9"}


def test_adopted_longest_then_oldest_stays(work):
    old, new = (qa("感冒发热怎么办？", LONG, url=f"http://a/{day}", published=date(2026, day, 1)) for day in (5, 9))
    adopted = qa("感冒发热怎么办？", LONG, url="http://b/1", published=date(2026, 10, 1), adopted=True)
    longer = qa("感冒发热怎么办？", LONG + "另外，要注意休息。", url="http://b/2", published=date(2026, 11, 1))
    assert judged(dedup, rows(new, old), work).kept["id"].to_list() == [old["id"]]
    assert judged(dedup, rows(old, longer), work).kept["id"].to_list() == [longer["id"]]
    outcome = judged(dedup, rows(old, longer, adopted), work)
    assert outcome.kept["id"].to_list() == [adopted["id"]]
    assert {detail.split(" ")[0] for detail in outcome.dropped["detail"]} == {adopted["id"]}


@pytest.mark.parametrize(
    "other",
    ["https://www.zhongyoo.com/name/a_1.html", "http://zhongyoo.com/name/a_1.html/", "HTTP://WWW.Zhongyoo.com:80/name//a_1.html",
     "http://www.zhongyoo.com/name/a_1.html?utm_source=x#top", "http://m.zhongyoo.com/name/a_1.html?from=wx"],
)  # fmt: skip
def test_one_page_has_one_address(other):
    hosts = canonical.host_forms(["zhongyoo"]) | {"m.zhongyoo.com": "www.zhongyoo.com"}
    urls = pl.DataFrame({"url": ["http://www.zhongyoo.com/name/a_1.html", other]})
    assert urls.select(canonical.canonical(pl.col("url"), hosts)).to_series().n_unique() == 1


def test_addresses_of_different_pages_differ():
    urls = ["http://a.cn/x?id=1", "http://a.cn/x?id=2", "http://a.cn/X?id=1", "http://b.cn/x?id=1", "http://a.cn/x",
            "http://a.cn/x?b=1&a=2", "corpus:mine/1", "corpus:mine/2"]  # fmt: skip
    forms = (
        pl.DataFrame({"url": [*urls, "http://a.cn/x?a=2&b=1"]})
        .select(canonical.canonical(pl.col("url"), {}))
        .to_series()
    )
    assert forms.n_unique() == len(urls)


def test_signatures_are_computed_once_for_all_builds(work, capsys):
    table = rows(*(document(LONG[n:] + LONG[:n], url=f"http://a/{n}") for n in (0, 7, 23)))
    later = dataclasses.replace(work, build="2026.11.29")
    more = pl.concat([table, rows(document("黄芪" + LONG[::-1], url="http://b/1"))])
    said = []
    for one, build in ((table, work), (table, later), (more, later)):
        said.append(judged(dedup, one, build).kept)
    assert said[1].equals(said[0])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("dedup sign")]
    assert [line.split(", ", 2)[2] for line in lines] == [
        "signatures computed 3, signatures known 0",
        "signatures computed 0, signatures known 3",
        "signatures computed 1, signatures known 3",
    ]


def test_another_answer_is_no_copy(work):
    question = "孩子反复咳嗽两周，夜里加重，没有发烧，吃了止咳糖浆不见好，请问需要拍片检查吗？" * 2
    table = rows(qa(question, "建议先到儿科听诊。"), qa(question, "可以试试雾化治疗。"))
    assert len(judged(dedup, table, work).kept) == 2


def test_letters_are_folded():
    texts = ["茯苓，10ｇ＜ＡＢ", "℃ is °C", "cafe\u0301。\u0301", "㎎~①½", "𠀀豈，İß", "ﾊﾟ<p>b&nbsp;", ""]
    folded = [re.sub(r"<p>|&nbsp;", "", text) for text in texts]
    folded = [unicodedata.normalize("NFKC", text).lower() for text in folded]
    wanted = ["".join(one for one in text if unicodedata.category(one)[0] in "LN") for text in folded]
    assert letters(pl.Series(texts)).to_list() == wanted


def scored(perplexities: list[float], tokens: int = 40, **changes: object) -> pl.DataFrame:
    table = rows(*(document(f"{LONG}{n}", url=f"http://a/{n}", **changes) for n in range(len(perplexities))))
    return table.with_columns(perplexity=pl.Series(perplexities), tokens=pl.lit(tokens, pl.Int32))


def test_filter_cuts_perplexity_then_length(work):
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


def test_filter_tells_what_each_cut_took(work):
    table = scored([float(n) for n in range(200)])
    figures = judged(filter, table, work).figures
    assert figures["taken"] == {"zhongyoo": {"read": 200, "perplexity": 2, "too short": 0}}
    assert figures["cuts"] == {"corpus": {"rows": 200, "cut": 2, "at": 198.0}}
    assert [row["perplexity"] for row in figures["highest"]] == [199.0, 198.0]
    assert figures["highest"][0]["text"] == f"{LONG}199"[:80]


def test_filter_refuses_a_rough_cut(work):
    report = {"figures": {"exact_above": {"corpus": 198.5}}}
    lakes.write_json(work.lake, f"builds/{work.build}/perplexity/report-00000.json", report)
    with pytest.raises(filter_threshold.RoughCut, match="cut of corpus is at 198"):
        judged(filter, scored([float(n) for n in range(200)]), work)


def test_ties_at_the_cut_ignore_order(work):
    table = scored([5.0] * 100)
    one = judged(filter, table, work).dropped["id"].to_list()
    two = judged(filter, table.sample(fraction=1, shuffle=True, seed=7), work).dropped["id"].to_list()
    assert one == two
