"""Build the pages of the replica of www.zhongyoo.com: herbs, formulas and a few articles, in GBK over plain http.

Herb lists by page, by effect group and by pinyin; formula lists with relative links on one page and absolute links on
another. One herb's alias has a character outside GBK, so a reader must decode as gb18030. The real layout of
`/jianding/` is unknown and follows that of formulas here.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from chimed_demo.pages import Page, link_as, render, texts
from chimed_demo.sites.planted import garbage

HOST = "http://www.zhongyoo.com"
PER_PAGE = 10
FIRST_HERB, FIRST_FORMULA = 3001, 5001
SLUGS = {
    "补气药": "buqiyao",
    "补血药": "buxueyao",
    "活血化瘀药": "huoxuehuayuyao",
    "解表药": "jiebiaoyao",
    "清热药": "qingreyao",
    "利水渗湿药": "lishuishenshiyao",
    "化痰药": "huatanyao",
    "理气药": "liqiyao",
    "补阴药": "buyinyao",
    "安神药": "anshenyao",
    "平肝息风药": "pingganxifengyao",
    "补阳药": "buyangyao",
}
ROBOTS = "User-agent: *\nDisallow: /plus/\nDisallow: /member/\n"


def _gbk(path: str, template: str, plants: tuple[str, ...] = (), **values: object) -> Page:
    return Page(f"{HOST}{path}", render(template, **values).encode("gb18030"), plants=plants)


def herb_fields(index: int, herb: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (label, text) in page order; labels vary between pages as on the site."""
    old = index % 2 == 0
    return [
        ("药名" if old else "中药名", herb["name"]),
        ("别名", herb["alias"]),
        ("来源" if old else "药用部位", herb["source"]),
        ("产地分布" if old else "生境分布", herb["habitat"]),
        ("药材性状", herb["traits"]),
        ("性味归经", herb["nature"]),
        ("功效与作用", f"{herb['effects']}。"),
        ("临床应用", herb["use"]),
        ("用法用量", herb["dose"]),
        ("使用禁忌", herb["caution"]),
        ("配伍药方" if old else "相关药方", herb["pairing"]),
    ]


def _herb_lines(index: int, herb: dict[str, Any]) -> list[tuple[str, str]]:
    """Return fields as paragraphs; on every third page 临床应用 continues in a paragraph without a label."""
    lines = []
    for label, text in herb_fields(index, herb):
        head, stop, rest = text.partition("。")
        if label == "临床应用" and index % 3 == 0 and rest:
            lines += [(label, head + stop), ("", rest)]
        else:
            lines.append((label, text))
    return lines


def _herbs() -> Iterator[tuple[dict[str, Any], Page]]:
    for index, herb in enumerate(texts("herbs")):
        page = _gbk(
            f"/name/{herb['pinyin']}_{FIRST_HERB + index}.html",
            "zhongyoo_herb",
            ("gbk", "beyond-gbk") if "䓖" in herb["alias"] else ("gbk",),
            name=herb["name"],
            lines=_herb_lines(index, herb),
            related=[("常用补益中药有哪些", "/gx/"), ("中药煎煮方法", "/jianding/page_1.html")],
        )
        yield herb, page


def _formula_lines(index: int, formula: dict[str, Any]) -> list[tuple[str, str]]:
    old = index % 2 == 0
    ingredients = "、".join(f"{herb}{dose}" for herb, dose in formula["ingredients"])
    name = f"{formula['name']}，出自《{formula['origin']}》。" if old else formula["name"]
    return [
        ("方剂名" if old else "方名", name),
        ("组成" if old else "配方组成", f"{ingredients}。"),
        ("用法" if old else "用法用量", formula["usage"]),
        ("功效" if old else "功效作用", f"{formula['effects']}。"),
        ("主治" if old else "功效主治", formula["indications"]),
        ("方解", formula["explanation"]),
        ("注意事项", formula["caution"]),
    ]


def _article(path: str, title: str, lines: list[tuple[str, str]], plants: tuple[str, ...]) -> Page:
    return _gbk(path, "zhongyoo_formula", ("gbk", *plants), title=title, lines=lines)


def _formulas() -> Iterator[tuple[str, Page]]:
    plants = texts("plants")
    near = plants["near_copy"]
    for index, formula in enumerate(texts("formulas")):
        lines = _formula_lines(index, formula)
        path = f"/fangji/{formula['pinyin']}_{FIRST_FORMULA + index}.html"
        yield formula["name"], _article(path, formula["name"], lines, ())
        if formula["name"] == near["formula"]:
            changed = [(label, text.replace(near["replace"], near["by"])) for label, text in lines]
            path = f"/fangji/{formula['pinyin']}_{FIRST_FORMULA + 90}.html"
            yield formula["name"], _article(path, formula["name"], changed, ("near-copy",))
    remedy = plants["phones_remedy"]
    path = f"/fangji/shengjianghongtangcha_{FIRST_FORMULA + 100}.html"
    yield remedy["title"], _article(path, remedy["title"], _unlabelled(remedy), ("phone", "email", "address"))
    lines = [("", text) for text in garbage(3)]
    yield "秘方一则", _article(f"/fangji/mifang_{FIRST_FORMULA + 101}.html", "秘方一则", lines, ("garbage",))


def _unlabelled(plant: dict[str, Any]) -> list[tuple[str, str]]:
    return [("", text) for text in plant["paragraphs"]]


def _identification() -> Iterator[tuple[str, Page]]:
    for number, (name, found) in enumerate({"greeting": "greeting", "marked_up": "markup"}.items(), start=7001):
        plant = texts("plants")[name]
        path = f"/jianding/{name.replace('_', '')}_{number}.html"
        yield plant["title"], _article(path, plant["title"], _unlabelled(plant), (found,))


def _kinds() -> Iterator[Page]:
    """Yield a list and a page of each of the site's other kinds."""
    for number, kind in enumerate(texts("kinds"), start=8001):
        page = _article(f"/{kind['folder']}/{kind['pinyin']}_{number}.html", kind["title"], _unlabelled(kind), ())
        yield page
        links = [(kind["title"], page.url)]
        yield _gbk(
            f"/{kind['folder']}/",
            "zhongyoo_list",
            title=kind["list"],
            layout="listbox",
            links=links,
            number=1,
            last=1,
            total=1,
        )


def _broken() -> Iterator[tuple[str, Page]]:
    """Yield pages in the herb list that have no herb."""
    short = "<html><body>页面不存在</body></html>".encode("gb18030")
    yield "朱砂根", Page(f"{HOST}/name/zhushagen_3990.html", short, plants=("soft-404", "very-short"))
    gone = "<html><body><h2>404 Not Found</h2></body></html>".encode("gb18030")
    yield "穿山甲", Page(f"{HOST}/name/chuanshanjia_3991.html", gone, 404, plants=("hard-404",))
    home = _home()
    yield "犀角", Page(f"{HOST}/name/xijiao_3992.html", home.body, plants=("soft-404", "home-page"))


def _home() -> Page:
    links = [
        ("中药大全", "/name/page_1.html"),
        ("中药方剂", "/fangji/page_1.html"),
        ("中药鉴定", "/jianding/page_1.html"),
        ("功效分类", "/gx/"),
        ("拼音检索", "/pinyin/"),
        *((kind["list"], f"/{kind['folder']}/") for kind in texts("kinds")),
    ]
    return _gbk("/", "zhongyoo_index", title="中药查询", layout="home", links=links)


def _parted(links: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    return [links[i : i + PER_PAGE] for i in range(0, len(links), PER_PAGE)]


def _lists(folder: str, title: str, layout: str, links: list[tuple[str, str]]) -> Iterator[Page]:
    parts = _parted(links)
    for number, shown in enumerate(parts, start=1):
        # Formula links are relative to the list's folder on odd pages, absolute on even ones.
        if layout == "listbox" and number % 2:
            shown = [(name, href.removeprefix(f"{HOST}/{folder}/")) for name, href in shown]
        yield _gbk(
            f"/{folder}/page_{number}.html",
            "zhongyoo_list",
            title=title,
            layout=layout,
            links=shown,
            number=number,
            last=len(parts),
            total=len(links),
        )


def pages() -> Iterable[Page]:
    """Yield every page of the site."""
    herbs, formulas = list(_herbs()), list(_formulas())
    broken, articles = list(_broken()), list(_identification())
    yield _home()
    yield Page(f"{HOST}/robots.txt", ROBOTS.encode(), content_type="text/plain")
    yield from (page for _, page in herbs)
    for named_pages in (formulas, broken, articles):
        yield from (page for _, page in named_pages)

    named = [(herb["name"], page) for herb, page in herbs] + broken
    links = [(name, link_as(page.url, turn)) for turn, (name, page) in enumerate(named)]
    yield from _lists("name", "中药大全", "herbs", links)
    yield from _lists("fangji", "中药方剂", "listbox", [(name, page.url) for name, page in formulas])
    yield from _lists("jianding", "中药鉴定", "listbox", [(name, page.url) for name, page in articles])

    yield from _kinds()

    groups = [(group, f"/gx/{slug}/") for group, slug in SLUGS.items()]
    yield _gbk("/gx/", "zhongyoo_index", title="中药功效分类", layout="groups", links=groups)
    for group, slug in SLUGS.items():
        members = [(herb["name"], page.url) for herb, page in herbs if herb["group"] == group]
        yield _gbk(f"/gx/{slug}/", "zhongyoo_index", title=group, layout="group", links=members)
    letters = sorted({herb["pinyin"][0].upper() for herb, _ in herbs})
    letter_links = [(letter, f"/pinyin/{letter}") for letter in letters]
    yield _gbk("/pinyin/", "zhongyoo_index", title="拼音检索", layout="pinyin", links=letter_links)
    for letter in letters:
        members = [(h["name"], link_as(p.url, 3)) for h, p in herbs if h["pinyin"][0].upper() == letter]
        yield _gbk(f"/pinyin/{letter}", "zhongyoo_index", title=f"{letter} 字头中药", layout="pinyin", links=members)
