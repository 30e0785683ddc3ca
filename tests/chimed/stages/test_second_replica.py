"""A replica that the parsers were not written to: every field of every record, and every page once over real HTTP."""

import re

import polars as pl
import pytest
from parsel import Selector

from chimed.sources import PAPER
from chimed.sources.page import Miss, load, read_page
from chimed.sources.parsed import QA
from chimed.sources.text import decode
from support.second_replica import NEVER, PAGES, TRUTH, Truth
from support.websites import crawl, run, served

_LABELS = re.compile("健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助|病情分析|指导意见|处理意见|补充说明")
CASES = [(source, url) for source in PAPER for url in TRUTH[source]]


def bare(text: str) -> str:
    """A text as it is compared: what labels, spaces and brackets do to it is a parser's own affair."""
    return re.sub(r"[\s：:【】]", "", _LABELS.sub("", text))


def matches(truth: Truth, record: dict) -> None:
    """Fails where a field of the record is not what the page says."""
    words = record["question"] if record["kind"] == "qa" else record["text"]
    assert bare(words) == bare("".join(truth.said))
    assert (record["title"], record["domain"]) == (truth.title, truth.domain)
    if truth.answer:
        assert bare(record["answer"]) == bare("".join(truth.answer))
        assert (record["adopted"], record["department"]) == (truth.adopted, truth.department)
        assert str(record["published"]) == truth.published
    for word in NEVER:
        assert word not in f"{words}{record['answer'] or ''}{record['title']}", word


@pytest.mark.parametrize(("source", "url"), CASES, ids=[url for _, url in CASES])
def test_every_page_gives_what_it_says(source, url):
    site, (_, headers, body) = load(source), PAGES["/" + url.split("://")[1]]
    raw = body.encode() if isinstance(body, str) else body
    read = read_page(site, url, Selector(text=decode(raw, headers.get("Content-Type"), site.encoding)))
    truths = TRUTH[source][url]
    if truths is None:
        assert isinstance(read, Miss), read
        return
    assert not isinstance(read, Miss), read
    assert len(read) == len(truths)
    for truth, one in zip(truths, read, strict=True):
        is_qa = isinstance(one, QA)
        fields = {"kind": "qa" if is_qa else "document", "answer": None, **vars(one)}
        matches(truth, fields)


@pytest.mark.slow
@pytest.mark.parametrize("source", PAPER)
def test_it_is_crawled_and_read_completely(tmp_path, source):
    with served() as site:
        site.pages.update(PAGES)
        assert crawl(tmp_path, site, source, "--crawl", "c1", miss_share="1")["pages"] == len(TRUTH[source])
        hosts = {path.split("/")[1] for path in site.count()}
        assert hosts == set(load(source).hosts)
        served_pages = {path: n for path, n in site.count().items() if path in PAGES}
        assert served_pages == dict.fromkeys((path for path in PAGES if path.split("/")[1] in hosts), 1)
        run(tmp_path, site.url, "extract", source, "--crawl", "c1", miss_share="1")
    rows = pl.read_parquet(tmp_path / f"lake/extracts/{source}/c1/00000.warc.gz/kept-00000.parquet").to_dicts()
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row["url"], []).append(row)
    assert set(found) == {url for url, truths in TRUTH[source].items() if truths}
    for url, records in found.items():
        truths = {bare("".join(truth.answer or truth.said)): truth for truth in TRUTH[source][url] or ()}
        assert len(records) == len(truths)
        for record in records:
            truth = truths[bare(record["answer"] or record["text"])]
            matches(truth, {**record, "department": truth.department})  # a column of one label, made by a later stage
