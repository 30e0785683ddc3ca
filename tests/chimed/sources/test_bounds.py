"""Bounds of a walk over lists: how many pages of one list, how many that show nothing new, how many links of a page."""

from types import SimpleNamespace

from chimed.crawl import traps
from chimed.crawl.traps import Bounds, apply_bounds
from chimed.sources import ask39
from chimed.sources.page import Link, load

START = "https://ask.39.net/news/44-1.html"


def walk(bounds: Bounds, pages: int, shown) -> int:
    """Walks a list whose every page has a next one; how many pages of it were walked."""
    run = SimpleNamespace(plan=SimpleNamespace(site=ask39.SITE), bounds=bounds)
    url, before = START, None
    for number in range(1, pages + 1):
        following = f"https://ask.39.net/news/44-{number + 1}.html"
        links = (*(Link(one, "detail") for one in shown(number)), Link(following, "list"))
        if not any(
            link.kind == "list" for link in apply_bounds(run, {"url": url, "start": START, "found_on": before}, links)
        ):
            return number
        url, before = following, url
    return pages


def test_an_endless_list_is_cut_at_its_bound():
    bounds = Bounds()
    assert walk(bounds, 5_000, lambda number: [f"new {number}"]) == ask39.SITE.most_lists == 1_000
    assert bounds.cut == {START: "it has more than 1000 pages"}


def test_an_endless_repeating_list_is_cut_soon():
    assert walk(Bounds(), 5_000, lambda number: ["the same"]) == traps.MAX_BARREN_LISTS + 1
    assert walk(Bounds(), 5_000, lambda number: []) == traps.MAX_BARREN_LISTS


def test_a_list_with_old_pages_is_finished():
    assert walk(Bounds(), 200, lambda number: [f"new {number // 4}"]) == 200


def test_a_page_of_too_many_links_is_cut():
    run = SimpleNamespace(plan=SimpleNamespace(site=ask39.SITE), bounds=Bounds())
    links = tuple(Link(f"https://ask.39.net/question/{n}.html", "detail") for n in range(20_000))
    assert len(apply_bounds(run, {"url": START, "start": START, "found_on": None}, links)) == traps.MAX_LINKS
    assert START in run.bounds.cut


def test_every_site_bounds_its_lists():
    known = {"zydcd": 10_000, "zhongyoo": 500, "cnkang": 50_000, "ask39": 1_000, "ask120": 200}
    assert {name: load(name).most_lists for name in known} == known
