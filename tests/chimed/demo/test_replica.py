"""The replica over a real socket: its contract, encodings, conditional GET, captcha, and what is planted."""

import re
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from chimed_demo import replica
from chimed_demo.pages import Page, all_pages, key_of, texts

MINE = ("www.zydcd.com", "www.zhongyoo.com", "www.cnkang.com")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    listening = replica.listen("127.0.0.1", 0)
    serving = replica.server(captcha_rate=15)
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not serving.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert serving.started
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def pages() -> dict[tuple[str, str], Page]:
    return all_pages()


def planted(pages: dict[tuple[str, str], Page], plant: str) -> list[Page]:
    return [page for page in pages.values() if plant in page.plants]


def test_every_page_is_served_as_it_is(address: str, pages: dict[tuple[str, str], Page]) -> None:
    with httpx.Client() as client:
        for (host, path), page in pages.items():
            if host not in MINE:
                continue
            got = client.get(f"{address}/{host}{path}")
            assert (got.status_code, got.content) == (page.status, page.body), page.url
            assert got.headers["content-type"] == page.content_type
            assert got.headers.get("location") == page.location


def test_robots_and_unknown_places(address: str) -> None:
    assert httpx.get(f"{address}/www.zydcd.com/robots.txt").status_code == 404
    assert "Crawl-delay" in httpx.get(f"{address}/www.cnkang.com/robots.txt").text
    assert httpx.get(f"{address}/www.example.org/").status_code == 404
    assert httpx.get(f"{address}/www.zydcd.com").status_code == 200


def test_tracking_queries_lead_to_one_page(address: str) -> None:
    entry = f"{address}/www.zydcd.com/zhongyi/zy10231yp/"
    assert httpx.get(f"{entry}?from=list").content == httpx.get(entry).content
    assert httpx.get(f"{entry}index.html").content == httpx.get(entry).content


def test_encodings(address: str, pages: dict[tuple[str, str], Page]) -> None:
    herb = httpx.get(f"{address}/www.zhongyoo.com/name/huangqi_3001.html")
    assert "charset" not in herb.headers["content-type"]
    assert "【功效与作用】" in herb.content.decode("gb18030")
    with pytest.raises(UnicodeDecodeError):
        planted(pages, "beyond-gbk")[0].body.decode("gbk")

    old = next(page for page in planted(pages, "reversed-blocks"))
    html = old.body.decode("gb2312")
    assert "charset=gb2312" in html
    numbers = [int(found) for found in re.findall(r'id="jbk(\d+)"', html)]
    assert len(numbers) > 2
    assert numbers == sorted(numbers, reverse=True)


def test_conditional_get_of_details_only(address: str, pages: dict[tuple[str, str], Page]) -> None:
    dated = planted(pages, "reversed-blocks")[0]
    url = f"{address}/{''.join(key_of(dated.url))}"
    first = httpx.get(url)
    again = httpx.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(url, headers={"if-modified-since": first.headers["last-modified"]}).status_code == 304
    assert httpx.get(url, headers={"if-none-match": '"other"'}).status_code == 200
    assert "etag" not in httpx.get(f"{address}/www.zhongyoo.com/name/page_1.html").headers


def test_asking_too_fast_leads_to_the_slider(address: str) -> None:
    with httpx.Client() as client:
        answers = [client.get(f"{address}/ask.39.net/robots.txt") for _ in range(30)]
    sent = [answer for answer in answers if answer.status_code == 302]
    assert answers[0].status_code != 302
    assert sent
    assert sent[0].headers["location"].startswith("http://image.39.net/verify.html?referer=http%3A%2F%2Fask.39.net")
    slider = httpx.get(f"{address}/image.39.net/verify.html?referer=x")
    assert slider.status_code == 200
    assert "滑动拼图验证" in slider.text
    assert "AJ-Captcha" in slider.text


def test_planted_identifiers_have_right_checksums(pages: dict[tuple[str, str], Page]) -> None:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    found = [n for page in planted(pages, "id-card") for n in re.findall(r"\d{17}[\dX]", page.body.decode())]
    assert len(found) >= 2
    for number in found:
        total = sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
        assert number[-1] == "10X98765432"[total % 11]


def test_there_is_enough_of_everything(pages: dict[tuple[str, str], Page]) -> None:
    details = [page for (host, path), page in pages.items() if host in MINE and replica.DETAIL.fullmatch(path)]
    assert len(details) >= 100
    assert len(pages) >= 150
    bodies = [page.body for page in details if page.status == 200]
    assert all(len(body) < 20_000 for body in bodies)
    damage = ("garbage", "mojibake", "insult", "prompt-injection", "too-short", "hard-404", "soft-404")
    for plant in (*damage, "exact-copy", "near-copy"):
        assert planted(pages, plant), plant
    assert all(passage["modern"] != passage["text"] for passage in texts("classics")["passages"])


def test_links_of_lists_lead_to_pages(pages: dict[tuple[str, str], Page]) -> None:
    for folder in ("zhongyi/list_1.html", "yian/list_1.html"):
        html = pages["www.zydcd.com", f"/{folder}"].body.decode()
        for href in re.findall(r'<li><a href="([^"]+)"', html):
            host, path = key_of(href if "//" in href else f"http://www.zydcd.com{href}")
            bare, _, query = path.partition("?")
            assert replica.find(pages, host, bare, query), href
