"""Build the pages of the replica of www.zydcd.com: dictionary entries, classics and case records, UTF-8 over plain
http.

The address of an entry (`/zhongyi/zy<5 digits><2 letters>/`), `h1`, `div.info_txt`, the word of kind in `<title>`,
ingredients as inline links and a robots.txt that answers 404 are the real site's. Its lists are unknown, so they are
invented here: `/zhongyi/list_<n>.html` and `/yian/list_<n>.html` with `div.list a` and pager `a.next`; classics as
`/guji/` → `/guji/<book>/` → `/guji/<book>/<n>/`; cases as `/yian/<n>/`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chimed_demo.pages import Page, link_as, render, texts
from chimed_demo.sites import zhongyoo
from chimed_demo.sites.planted import garbage

HOST = "http://www.zydcd.com"
PER_PAGE = 12
SITE = "中医大辞典"

Section = tuple[str, Sequence[str] | Sequence[tuple[str, str, str]]]


def _html(template: str, path: str, plants: tuple[str, ...] = (), **values: object) -> Page:
    return Page(f"{HOST}{path}", render(template, **values).encode("utf-8"), plants=plants)


def _detail(
    path: str,
    name: str,
    kind: str,
    sections: list[dict[str, Any]],
    plants: tuple[str, ...] = (),
    tail: str = "的功效与作用",
) -> Page:
    title = f"{name}_{kind}:{name}{tail}_{SITE}"
    return _html("zydcd_detail", path, plants, title=title, heading=name, sections=sections, kind=kind)


def _herb_places() -> dict[str, str]:
    """Return where an ingredient's link leads: its own entry if there is one, else the site's search."""
    return {entry["name"]: f"/zhongyi/{entry['code']}/" for entry in texts("entries")}


def _sections(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the labelled parts of a dictionary entry; ingredients are links followed by their dose."""
    places = _herb_places()
    sections = []
    for label, field in (
        ("出处", "origin"),
        ("别名", "alias"),
        ("性味归经", "nature"),
        ("组成", "ingredients"),
        ("制法", "making"),
        ("功效", "effects"),
        ("主治", "indications"),
        ("用法用量", "dose"),
        ("按语", "remark"),
    ):
        if field == "ingredients" and field in entry:
            links = [(herb, places.get(herb, f"/so/{herb}/"), dose) for herb, dose in entry[field]]
            sections.append({"label": label, "links": links, "lines": []})
        elif field in entry:
            sections.append({"label": label, "links": [], "lines": [entry[field]]})
    return sections


def _plain(paragraphs: Iterable[str]) -> list[dict[str, Any]]:
    return [{"label": "", "links": [], "lines": list(paragraphs)}]


def _entries() -> Iterator[tuple[str, Page]]:
    """Yield (name in the list, page) of every dictionary entry, including planted ones."""
    plants = texts("plants")
    for entry in texts("entries"):
        found = ("inline-links",) if "ingredients" in entry else ()
        copied = entry["name"] == plants["copied_on_two_urls"]["zydcd_entry"]
        path = f"/zhongyi/{entry['code']}/"
        yield entry["name"], _detail(path, entry["name"], entry["kind"], _sections(entry), found)
        if copied:
            again = _detail("/zhongyi/zy20999bm/", entry["name"], entry["kind"], _sections(entry), ("exact-copy",))
            yield entry["name"], again

    herb_name = plants["copied_across_sites"]["zhongyoo_herb"]
    index, herb = next((i, h) for i, h in enumerate(texts("herbs")) if h["name"] == herb_name)
    lines = [f"【{label}】{text}" for label, text in zhongyoo.herb_fields(index, herb)]
    yield herb_name, _detail("/zhongyi/zy20377tm/", herb_name, "中药", _plain(lines), ("copy-of-other-site",))

    disease_name = plants["copied_across_sites"]["cnkang_disease"]
    disease = next(d for d in texts("diseases") if d["disease"] == disease_name)
    copied = _detail(
        "/zhongyi/zy50012gz/",
        disease["title"],
        "疾病",
        _plain(disease["paragraphs"]),
        ("copy-of-other-site",),
        "_治疗",
    )
    yield disease["title"], copied

    injection = plants["injection"]
    yield (
        injection["title"],
        _detail("/zhongyi/zy20411lz/", "灵芝", "中药", _plain(injection["paragraphs"]), ("prompt-injection",)),
    )
    for number, stub in enumerate(plants["short_pages"]):
        path = f"/zhongyi/zy2090{number}dd/"
        yield stub["title"], _detail(path, stub["title"], "中药", _plain([stub["text"]]), ("too-short",))
    for number in (1, 2):
        path = f"/zhongyi/zy6000{number}lm/"
        yield f"词条{number}", _detail(path, f"词条{number}", "词条", _plain(garbage(number)), ("garbage",))

    yield "龙骨", Page(f"{HOST}/zhongyi/zy20998sy/", _home(), plants=("soft-404", "home-page"))
    headless = _html(
        "zydcd_detail",
        "/zhongyi/zy20997wt/",
        ("soft-404", "no-h1"),
        title=SITE,
        heading="",
        sections=_plain(["您访问的词条已被删除或正在审核之中，请返回首页查看其他内容，或使用站内搜索。"]),
        kind="",
    )
    yield "石决明", headless
    yield "虎骨", Page(f"{HOST}/zhongyi/zy20996wu/", render("zydcd_404").encode(), 404, plants=("hard-404",))


def _passages() -> Iterator[tuple[str, str, Page]]:
    """Yield (book, chapter, page) of every classical passage."""
    data = texts("classics")
    for book in data["books"]:
        chapters = [p for p in data["passages"] if p["book"] == book["slug"]]
        for number, passage in enumerate(chapters, start=1):
            heading = f"{book['name']}·{passage['chapter']}"
            page = _html(
                "zydcd_detail",
                f"/guji/{book['slug']}/{number}/",
                title=f"{heading}_古籍:{book['name']}_{book['era']}·{book['author']}_{SITE}",
                heading=heading,
                sections=_plain([passage["text"]]),
                kind="古籍",
            )
            yield book["slug"], passage["chapter"], page


def _cases() -> Iterator[tuple[str, Page]]:
    """Yield (title, page) of every case record; the last two name a person."""
    for case in texts("cases"):
        labelled = (
            ("主诉", case["complaint"]),
            ("诊察", case["signs"]),
            ("辨证", case["pattern"]),
            ("治法", case["treatment"]),
            ("处方", case["formula"]),
            ("复诊", case["course"]),
            ("按", case["comment"]),
        )
        sections = [{"label": label, "links": [], "lines": [text]} for label, text in labelled]
        yield case["title"], _detail(f"/yian/{case['number']}/", case["title"], "医案", sections, tail="")
    for number, name in ((7, "identity_case"), (8, "identity_case_old")):
        plant = texts("plants")[name]
        page = _detail(
            f"/yian/{number}/",
            plant["title"],
            "医案",
            _plain(plant["paragraphs"]),
            ("id-card", "phone"),
            tail="",
        )
        yield plant["title"], page


def _lists(folder: str, title: str, links: list[tuple[str, str]]) -> Iterator[Page]:
    """Yield list pages `/<folder>/list_<n>.html`, with a `next` link on all but the last."""
    last = (len(links) - 1) // PER_PAGE + 1
    for number in range(1, last + 1):
        shown = links[(number - 1) * PER_PAGE : number * PER_PAGE]
        following = f"/{folder}/list_{number + 1}.html" if number < last else ""
        path = f"/{folder}/list_{number}.html"
        yield _html("zydcd_list", path, title=f"{title}_{SITE}", links=shown, following=following)


def _home() -> bytes:
    links = [("中医词条", "/zhongyi/list_1.html"), ("古籍", "/guji/"), ("医案", "/yian/list_1.html")]
    return render("zydcd_list", title=SITE, links=links, following="").encode("utf-8")


def pages() -> Iterable[Page]:
    """Yield every page of the site."""
    yield Page(f"{HOST}/", _home())
    entries, cases, passages = list(_entries()), list(_cases()), list(_passages())
    yield from (page for _, page in entries)
    yield from (page for _, page in cases)
    yield from (page for _, _, page in passages)

    links = [(name, link_as(page.url, turn)) for turn, (name, page) in enumerate(entries)]
    # The same entry a second time, by its other scheme.
    links.append((entries[0][0], entries[0][1].url.replace("http:", "https:")))
    yield from _lists("zhongyi", "中医词条", links)
    yield from _lists("yian", "医案", [(title, link_as(page.url, n)) for n, (title, page) in enumerate(cases)])

    books = texts("classics")["books"]
    yield _html(
        "zydcd_list",
        "/guji/",
        title=f"中医古籍_{SITE}",
        links=[(f"《{b['name']}》", f"/guji/{b['slug']}/") for b in books],
        following="",
    )
    for book in books:
        chapters = [(chapter, page.url) for slug, chapter, page in passages if slug == book["slug"]]
        title = f"{book['name']}_{book['era']}·{book['author']}_{SITE}"
        yield _html("zydcd_list", f"/guji/{book['slug']}/", title=title, links=chapters, following="")
