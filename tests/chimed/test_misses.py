"""A page that gave no record, beside what its parser makes of it."""

from datetime import UTC, datetime

import pytest

from chimed.crawl.misses import describe_miss
from chimed.errors import UserError
from chimed.storage import warc
from chimed.storage.store import upsert
from chimed.storage.store_tables import PAGES

URL = "http://www.zydcd.com/zhongyi/zy10001aa/"
PAGE = (
    "<title>茯苓_中药</title><body><h2>茯苓</h2><script>var a='x'</script>"
    "<div class=new_txt><p>味甘，性平。</p><p>&lt;b&gt;利水</p></div>"
)


def kept(work, html: str, **columns: object) -> None:
    """A page in the lake and in the store."""
    archive = warc.open_archive(work.lake, "raw/zydcd/c1")
    head = [("Content-Type", "text/html; charset=gb18030")]
    one = warc.Exchange(URL, "GET / HTTP/1.1", [], 200, "OK", head, html.encode("gb18030"))
    place = warc.write_exchange(archive, one, "detail")
    warc.close_archive(archive)
    now = datetime(2026, 11, 2, tzinfo=UTC)
    row = {"url": URL, "source": "zydcd", "kind": "detail", "first_seen": now, "fetched": now, "status": 200}
    upsert(work.store, PAGES, [row | {"page": place, "state": "missed", "miss": "no h1"} | columns])


def test_the_text_stands_beside_the_reason(work):
    kept(work, PAGE)
    found = describe_miss(work.lake, work.store, URL)
    assert found["lines"] == ["茯苓", "味甘，性平。", "<b>利水"]
    assert (found["title"], found["headings"]) == ("茯苓_中药", ["茯苓"])
    assert (found["reason"], found["records"]) == ("no h1", [])


def test_a_mended_parser_shows_its_records(work):
    kept(work, PAGE.replace("h2", "h1").replace("new_txt", "info_txt"))
    found = describe_miss(work.lake, work.store, URL)
    assert found["reason"] is None
    assert found["records"] == [{"title": "茯苓", "text": "味甘，性平。\n<b>利水"}]


@pytest.mark.parametrize(
    ("columns", "said"), [({"page": None}, "no h1"), ({"page": "raw/zydcd/c9/00000.warc.gz#0"}, "not in the lake")]
)
def test_what_is_not_there_is_said(work, columns, said):
    kept(work, PAGE, **columns)
    with pytest.raises(UserError, match=said):
        describe_miss(work.lake, work.store, URL)
    with pytest.raises(UserError, match="is not known"):
        describe_miss(work.lake, work.store, "http://www.zydcd.com/none")
