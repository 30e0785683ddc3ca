"""The question sites of the replica and the exam: structure, plants, identifiers, dates."""

import csv
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from urllib.parse import urljoin

import pytest
from parsel import Selector

from chimed_demo import pages as demo_pages
from chimed_demo.pages import Page
from chimed_demo.sites import ask39, ask120
from chimed_demo.sites.question_pages import day, questions

EXAM = Path(demo_pages.__file__).parent / "exam"
BOTH = "follow_up soft_404 hard_404 unanswered exact_copy near_copy pii insult too_short greeting injection exam"
WANTED = {
    "ask120": "stray_br double_escaped nbsp advert pure_advert old_layout template_tail audio_only both_schemes "
    "nested_box open_box",
    "ask39": "repeated_supplement generated inserted_lines doctor_group old_follow_up mojibake",
}


@pytest.fixture(scope="module")
def sites() -> dict[str, list[Page]]:
    return {"ask39": ask39.pages(), "ask120": ask120.pages()}


def read(page: Page) -> Selector:
    return Selector(page.body.decode("utf-8"))


def details(pages: list[Page]) -> list[Page]:
    return [page for page in pages if "/question/" in page.url and not {"soft_404", "hard_404"} & {*page.plants}]


def text(found: Selector) -> str:
    return "".join(found.css("::text").getall()).strip()


def test_enough_pages_over_enough_weeks_and_every_plant(sites: dict[str, list[Page]]) -> None:
    assert sum(len(details(pages)) for pages in sites.values()) >= 80
    for site, pages in sites.items():
        urls = [page.url for page in pages]
        assert len(urls) == len(set(urls))
        weeks = Counter(page.published.isocalendar()[:2] for page in details(pages))
        assert len(weeks) >= 10
        assert min(weeks.values()) >= 2
        found = {plant for page in pages for plant in page.plants}
        assert found == {*WANTED[site].split(), *BOTH.split()}
        assert all(date(2026, 8, 31) <= page.published <= date(2026, 11, 22) for page in details(pages))


@pytest.mark.parametrize("question", questions("ask120"), ids=lambda question: question["id"])
def test_ask120_question(question: dict) -> None:
    page, plants = ask120.detail(question), question["plants"]
    html = read(page)
    assert 15_000 < len(page.body) < 70_000
    assert html.css("title::text").get() == f"{question['title']}_有问必答_快速问医生"
    assert html.css("h1::text").get() == question["title"]
    assert bool(html.css(".b_askti h1#d_askH1")) != ("old_layout" in plants)
    assert [text(found) for found in html.css("div.b_route").css("a, span")][1:] == question["department"]
    spans = html.css("div.b_askab1 > span::text").getall()
    assert f"{question['sex']} | {question['age']}岁" in spans
    assert question["published"] in spans
    parts = html.css("div#d_msCon.b_askcont p.crazy_new")
    assert parts[0].css("span::text").get() == "健康咨询描述："
    assert len(parts) == sum(key in question for key in ("question", "treated", "wish"))
    first = text(parts[0]).removeprefix("健康咨询描述：")
    assert first.startswith("BR>") == ("stray_br" in plants)
    assert ("&#8226;" in first) == ("double_escaped" in plants)
    assert ("\xa0" in first) == ("nbsp" in plants)
    if not {"stray_br", "double_escaped", "nbsp"} & {*plants}:
        assert first == question["question"]
    found = html.css("div.b_answerli:not(.zhenshiAD)")
    real = [answer for answer in question["answers"] if not answer.get("advert")]
    assert len(found) == len(real)
    assert bool(html.css("div.b_answerli.zhenshiAD")) == ("advert" in plants)
    for node, answer in zip(found, real, strict=True):
        assert bool(node.css(".b_acceptcont.clears")) == answer["adopted"]
        way = ".b_anscont_cont > p" if "old_layout" in plants else "div.crazy_new p"
        said = "".join(text(p) for p in node.css(".b_anscontc .b_anscont_cont").css(way))
        assert answer["text"] in said
        assert answer.get("advice", "") in said
        assert ("您的浏览器不支持 audio 元素" in said) == answer.get("audio", False)
        assert ("以上是对“" in said) == ("template_tail" in plants and answer["adopted"])
        assert node.css("span.b_anscont_time::text").get() == answer["time"]
        assert answer["doctor"] in node.css(".b_answertl span.b_sp1 a::text, .b_sp1 var::text").get()
        assert len(node.css(".b_ansaddbox .b_ansaddli")) == len(answer.get("followups", []))


@pytest.mark.parametrize("question", questions("ask39"), ids=lambda question: question["id"])
def test_ask39_question(question: dict) -> None:
    page, plants = ask39.detail(question), question["plants"]
    html = read(page).css("div.cont_l")
    assert 15_000 < len(page.body) < 70_000
    assert re.fullmatch(r"https://ask\.39\.net/question/(\d+|_[a-z0-9]{6})\.html", page.url)
    assert read(page).css("title::text").get() == f"{question['title'][:20]}_39问医生_39健康网"
    assert html.css("h1::text, p.ask_tit::text").get() == question["title"]
    assert html.css("#sub span a::text, #sub span.sub_here::text").getall() == question["department"]
    spans = html.css("p.mation > span::text").getall()
    assert spans == ["发病时间：不清楚"] if "generated" in plants else len(spans) == 3
    asked = text(html.css("p.txt_ms"))
    assert (asked == question["question"]) != ("mojibake" in plants)
    assert text(html.css("p.txt_bc")) == ("补充说明：" + asked if "repeated_supplement" in plants else "")
    assert question["published"][:16] in html.css("p.txt_nametime > span::text").getall()
    assert html.css("p.txt_label > span:not([style]) a::text").getall() == question["department"]
    said = [text(node) for node in html.css("div.selected > div[class*=sele_all] p.sele_txt")]
    assert len(said) == len(question["answers"])
    assert all(any(answer["text"] in one for one in said) for answer in question["answers"])
    assert any("我要咨询" in one for one in said) == ("inserted_lines" in plants)
    heads = html.css("div.selected > p.sele_img::text").getall()
    assert all(re.fullmatch(r"(精选|医生|网友)回答\(\d+\)", head) for head in heads)
    assert len(html.css("span.doc_yshi")) == len(said)
    assert bool(heads) == bool(said)
    follow = html.css("div.zwenall div.doczw span, .doc_zwenall .doc_zw span")
    assert len(follow) == sum(len(answer.get("followups", [])) for answer in question["answers"])


ASK120_LINK, ASK120_PAGER = "ul.clears.h-ul3 > li div.fl.h-left-p a.q-quename", "div.clears.h-page span a"
ASK39_LINK = "ul.list_ask.list_ask2 > li span.a_l p a, ul.list_ask.list_ask2 > li p.p1 a"


@pytest.mark.parametrize(
    ("site", "start", "link", "following"),
    [
        ("ask120", ask120.list_url, ASK120_LINK, ASK120_PAGER),
        ("ask39", ask39.list_url, ASK39_LINK, "span.pages a.next"),
    ],
    ids=["ask120", "ask39"],
)
def test_lists_lead_to_every_question(
    sites: dict[str, list[Page]], site: str, start: Callable, link: str, following: str
) -> None:
    by_place = {demo_pages.key_of(page.url): page for page in sites[site]}
    names = ask120.lists() if site == "ask120" else ask39.lists()
    seen, todo, reached = set(), [start(name) for name in names], set()
    assert all(len(some) > 0 for some in names.values())
    while todo:
        url = todo.pop()
        if url in seen:
            continue
        seen.add(url)
        html = read(by_place[demo_pages.key_of(url)])
        hrefs = html.css(link).xpath("@href").getall()
        dates = html.css("ul > li .q-quetime::text, ul.list_ask2 em::text").getall()
        assert dates == sorted(dates, reverse=True)
        assert len(dates) == len(hrefs)
        reached |= {demo_pages.key_of(urljoin(url, href)) for href in hrefs}
        todo += [urljoin(url, href) for href in html.css(following).xpath("@href").getall()]
    assert len(seen) > len(names)
    wanted = {place for place, page in by_place.items() if "/question/" in page.url}
    assert reached == wanted


def test_gone_questions_and_robots(sites: dict[str, list[Page]]) -> None:
    for pages in sites.values():
        home = next(page for page in pages if re.fullmatch(r"https://[^/]+/", page.url))
        soft = [page for page in pages if "soft_404" in page.plants]
        hard = [page for page in pages if "hard_404" in page.plants]
        assert soft
        assert all(page.status == 200 and page.body == home.body for page in soft)
        assert hard
        assert all(page.status == 404 for page in hard)
    robots = {site: next(p for p in pages if p.url.endswith("/robots.txt")) for site, pages in sites.items()}
    assert robots["ask120"].status == 200
    assert robots["ask39"].status == 404


def test_copies_are_copies() -> None:
    everything = questions("ask39") + questions("ask120")
    asked = Counter(question["question"] for question in everything)
    exact = [question for question in everything if "exact_copy" in question["plants"]]
    near = [question for question in everything if "near_copy" in question["plants"]]
    assert len(exact) >= 3
    assert all(asked[question["question"]] >= 2 for question in exact)
    assert len(near) >= 3
    assert all(asked[question["question"]] == 1 for question in near)
    plain = [question for question in everything if question not in exact]
    assert all(asked[question["question"]] <= 2 for question in plain)
    assert all(day(question) <= date(2026, 11, 22) for question in everything)


def test_identifiers_are_valid() -> None:
    planted = [q for site in ("ask39", "ask120") for q in questions(site) if "pii" in q["plants"]]
    said = [q["question"] + "".join(a["text"] for a in q["answers"]) for q in planted]
    assert len(planted) >= 6
    together = "\n".join(said)
    cards = re.findall(r"(?<!\d)\d{17}[\dX](?!\d)", together)
    assert len(cards) >= 3
    assert all(card[-1] == id_card_digit(card[:17]) for card in cards)
    banks = re.findall(r"(?<!\d)62\d{17}(?!\d)", together)
    assert len(banks) >= 2
    assert all(luhn(card) for card in banks)
    assert len(re.findall(r"(?<!\d)1[3-9]\d{9}(?!\d)", together)) >= 3
    assert "@example.com" in together
    assert "QQ" in together
    assert "微信" in together


def id_card_digit(first: str) -> str:
    """ISO 7064 MOD 11-2: the check digit is 12 - sum of digits weighted by powers of two, modulo 11."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(first))
    return "0123456789X"[(12 - total % 11) % 11]


def luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def exam(split: str, subject: str) -> list[dict[str, str]]:
    with (EXAM / split / f"{subject}.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        assert rows.fieldnames == ["", "Question", "A", "B", "C", "D", "Answer"]
        return list(rows)


@pytest.mark.parametrize("subject", ["genetics", "college_medicine", "physician"])
def test_exam(subject: str) -> None:
    dev, test = exam("dev", subject), exam("test", subject)
    assert len(dev) == 5
    assert len(test) >= 24
    for rows in (dev, test):
        assert [row[""] for row in rows] == [str(index) for index in range(len(rows))]
        letters = Counter(row["Answer"] for row in rows)
        assert set(letters) == set("ABCD")
        assert max(letters.values()) - min(letters.values()) <= 1
        assert all(len({row[letter] for letter in "ABCD"} - {""}) == 4 for row in rows)
    stems = [row["Question"] for row in dev + test]
    assert len(stems) == len(set(stems))


def test_exam_questions_are_in_the_planted_pages() -> None:
    stems = {row["Question"] for name in ("genetics", "physician") for row in exam("test", name)}
    for site in ("ask39", "ask120"):
        planted = [question for question in questions(site) if "exam" in question["plants"]]
        assert planted
        assert all(any(stem in q["question"] for stem in stems) for q in planted)
