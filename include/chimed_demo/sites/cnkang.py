"""Build the pages of the replica of www.cnkang.com: disease articles, old-channel articles and the herb section.

New pages (`/dise`, `/cm`) are UTF-8 and say so in the header. Old channels (`/<channel>/<yyyymm>/<id>.html`) are
gb2312, declared only in `<meta>`, with paragraphs in `div#jbkN` blocks in reverse order. How the real site lists old
articles is unknown: here the channel's own list (`/<channel>/list_1.html`) and disease lists link them.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from chimed_demo.pages import Page, link_as, render, texts
from chimed_demo.sites.planted import garbage, mojibake

HOST = "https://www.cnkang.com"
SITE = "中华康网"
FIRST_DISEASE, FIRST_ARTICLE = 10021, 880101
UTF8 = "text/html; charset=utf-8"
ROBOTS = "User-agent: *\nDisallow: /jkpl/\nDisallow: /search/\nCrawl-delay: 0.5\n"
REMINDER = "温馨提示：以上资料仅供参考，具体情况请到医院咨询医生。"
# The disease whose lists also lead to an old-channel article (by its title's place in articles.yaml).
RELATED = {"gaoxueya": 0, "yaozhuijianpan": 1, "tangniaobing": 2, "weiyan": 3, "pinxue": 4, "guzhishusong": 5}
# Old articles come in three layouts of the body.
LAYOUTS = ("endText", "endText", "style3", "endText", "conmain", "endText")


def _utf8(path: str, template: str, plants: tuple[str, ...] = (), **values: object) -> Page:
    return Page(f"{HOST}{path}", render(template, **values).encode("utf-8"), content_type=UTF8, plants=plants)


def _article(
    slug: str, number: int, title: str, paragraphs: list[str], disease: str, plants: tuple[str, ...] = ()
) -> Page:
    """Return a page of the new layout; odd numbers open with a cut summary, multiples of three end in a pager line."""
    summary = paragraphs[0][:46] + "…" if number % 2 and paragraphs else ""
    found = (*plants, "truncated-summary") if summary else plants
    return _utf8(
        f"/dise/{slug}/{number}.html",
        "cnkang_article",
        (*found, "boilerplate"),
        title=f"{title}_{disease}_{SITE}" if number % 2 else f"{title}_{SITE}",
        heading=title,
        disease=disease,
        slug=slug,
        paragraphs=paragraphs,
        summary=summary,
        pager=number % 3 == 0,
        reminder=REMINDER,
        number=number,
    )


def _diseases() -> Iterator[tuple[str, str, str, Page]]:
    """Yield (slug, disease, title, page) of the disease articles and the pages planted among them."""
    plants = texts("plants")
    for number, item in enumerate(texts("diseases"), start=FIRST_DISEASE):
        slug, disease, title, paragraphs = item["slug"], item["disease"], item["title"], item["paragraphs"]
        yield slug, disease, title, _article(slug, number, title, paragraphs, disease)
        if disease == plants["copied_on_two_urls"]["cnkang_disease"]:
            yield slug, disease, title, _article(slug, 20021, title, paragraphs, disease, ("exact-copy",))
        near = plants["near_copy_article"]
        if disease == near["disease"]:
            changed = [text.replace(near["replace"], near["by"]) for text in paragraphs]
            yield slug, disease, title, _article(slug, 20022, title, changed, disease, ("near-copy",))

    insult = plants["insult"]
    slug, disease = "zhichuang", "痔疮"
    yield (
        slug,
        disease,
        insult["title"],
        _article(slug, 20031, insult["title"], insult["paragraphs"], disease, ("insult",)),
    )
    for number in (20032, 20033):
        title = f"资料存档{number}"
        yield slug, disease, title, _article(slug, number, title, garbage(number), disease, ("garbage",))
    broken = [mojibake(f"{herb['name']}：{herb['indications']}") for herb in texts("cnkang_herbs")[:3]]
    yield slug, disease, "痔疮用药", _article(slug, 20034, "痔疮用药参考", broken, disease, ("mojibake",))
    yield slug, disease, "痔疮图解", _article(slug, 20035, "痔疮图解", [], disease, ("picture-only",))


def _broken() -> Iterator[tuple[str, str, Page]]:
    """Yield (slug, title, page) of links that end elsewhere: moved, gone, or the home page instead."""
    moved = f"{HOST}/dise/gaoxueya/{FIRST_DISEASE}.html"
    at = f"http://www.cnkang.com/dise/gaoxueya/{FIRST_DISEASE - 1000}.html"
    yield "gaoxueya", "高血压日常管理", Page(at, b"", 301, location=moved, plants=("redirect-to-https",))
    gone = "<html><head><title>404</title></head><body>您访问的页面不存在</body></html>".encode()
    yield (
        "tangniaobing",
        "糖尿病新药",
        Page(f"{HOST}/dise/tangniaobing/9901.html", gone, 404, plants=("hard-404",)),
    )
    home = Page(f"{HOST}/dise/ganmao/9902.html", _home().body, content_type=UTF8, plants=("soft-404", "home-page"))
    yield "ganmao", "感冒偏方", home


def _old() -> Iterator[tuple[dict[str, Any], Page]]:
    for index, item in enumerate(texts("articles")):
        year, month = int(item["month"][:4]), int(item["month"][4:])
        layout = LAYOUTS[index]
        body = render(
            "cnkang_old",
            title=f"{item['title']}_{item['channel_name']}_{SITE}",
            heading=item["title"],
            paragraphs=list(enumerate(item["paragraphs"])),
            summary=item["paragraphs"][0][:30] + "…",
            layout=layout,
            reminder=REMINDER,
        )
        url = f"{HOST}/{item['channel']}/{item['month']}/{FIRST_ARTICLE + index}.html"
        plants: tuple[str, ...] = ("gb2312-only-in-meta", "truncated-summary", "pager-line", "boilerplate")
        plants += ("reversed-blocks",) if layout == "endText" else (f"layout-{layout}",)
        yield item, Page(url, body.encode("gb2312"), plants=plants, published=date(year, month, 1))


def _herbs() -> Iterator[tuple[dict[str, Any], Page]]:
    for herb in texts("cnkang_herbs"):
        yield (
            herb,
            _utf8(
                f"/cm/zcy/{herb['group']}/{herb['pinyin']}.html",
                "cnkang_herb",
                title=f"{herb['name']}_{herb['group_name']}_{SITE}",
                heading=herb["name"],
                lines=[
                    ("简介", herb["intro"]),
                    ("药性", herb["nature"]),
                    ("功效", herb["effects"]),
                    ("适应症", herb["indications"]),
                ],
            ),
        )


def _index(path: str, title: str, layout: str, links: list[tuple[str, str]], more: list[tuple[str, str]]) -> Page:
    return _utf8(path, "cnkang_index", title=f"{title}_{SITE}", layout=layout, links=links, more=more)


def _home() -> Page:
    links = [("疾病大全", "/dise/keshi/list_1.html"), ("中药材", "/cm/zcy/")]
    links += [(name, f"/{channel}/list_1.html") for channel, name in _channels().items()]
    return _utf8("/", "cnkang_index", title=SITE, layout="home", links=links, more=[])


def _channels() -> dict[str, str]:
    return {item["channel"]: item["channel_name"] for item in texts("articles")}


def pages() -> Iterable[Page]:
    """Yield every page of the site."""
    yield _home()
    yield Page(f"{HOST}/robots.txt", ROBOTS.encode(), content_type="text/plain")
    diseases, broken, old, herbs = list(_diseases()), list(_broken()), list(_old()), list(_herbs())
    yield from (page for _, _, _, page in diseases)
    yield from (page for _, _, page in broken)
    yield from (page for _, page in old)
    yield from (page for _, page in herbs)

    names = {slug: disease for slug, disease, _, _ in diseases}
    links = [(disease, link_as(f"{HOST}/dise/{slug}/", n)) for n, (slug, disease) in enumerate(names.items())]
    yield _index("/dise/keshi/list_1.html", "疾病大全", "diseases", links, [])
    for slug, disease in names.items():
        more = [("预防保健", f"/dise/{slug}/baojian_1.html")] if slug in RELATED else []
        menu = [("相关文章", f"/dise/{slug}/wenzhang_1.html")]
        yield _index(f"/dise/{slug}/", disease, "disease", menu, more)
        listed = [(title, page.url) for s, _, title, page in diseases if s == slug]
        listed += [(title, page.url) for s, title, page in broken if s == slug]
        shown = [(title, link_as(url, turn)) for turn, (title, url) in enumerate(listed)]
        # The first article once more, by another form of its address.
        shown.append((listed[0][0], link_as(listed[0][1], 4 if len(slug) % 2 else 1)))
        yield _index(f"/dise/{slug}/wenzhang_1.html", disease, "articles", shown, [])
        if slug in RELATED:
            item, page = old[RELATED[slug]]
            yield _index(f"/dise/{slug}/baojian_1.html", disease, "articles", [(item["title"], page.url)], [])

    for channel, name in _channels().items():
        listed = [(item["title"], link_as(page.url, 3)) for item, page in old if item["channel"] == channel]
        body = render("cnkang_channel", title=f"{name}_{SITE}", links=listed)
        yield Page(f"{HOST}/{channel}/list_1.html", body.encode("gb2312"), plants=("gb2312-only-in-meta",))

    groups = {herb["group"]: herb["group_name"] for herb, _ in herbs}
    yield _index("/cm/zcy/", "中药材", "herbs", [(name, f"/cm/zcy/{group}/") for group, name in groups.items()], [])
    for group, name in groups.items():
        members = [
            (herb["name"], link_as(page.url, n)) for n, (herb, page) in enumerate(herbs) if herb["group"] == group
        ]
        yield _index(f"/cm/zcy/{group}/", name, "herbs", members, [])
