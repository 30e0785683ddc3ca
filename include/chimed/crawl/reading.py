"""What a page's text gives: its records, its links, what a person would see (paper §3.1).

Called by `bounded`, in another process. Pure functions of a site's name, an address and a text.
"""

from dataclasses import dataclass, field
from datetime import date

from parsel import Selector

from chimed.crawl.visible import is_titled_so, visible
from chimed.sources.page import Link, Miss, links_of, load, read_page
from chimed.sources.parsed import QA, Document


@dataclass(frozen=True)
class Shown:
    """records: of a detail page. published: its day, where it is a miss. links: of a list. text: what a person sees,
    of a page without records or links. is_titled_so: its title is a refusal. is_page, has_scripts: a
    list that is a page itself, or has scripts."""

    records: list[Document | QA] | Miss = field(default_factory=list)
    published: date | None = None
    links: tuple[Link, ...] = ()
    text: str = ""
    is_titled_so: bool = False
    is_page: bool = False
    has_scripts: bool = False


def read_records(source: str, url: str, text: str) -> list[Document | QA] | Miss:
    """The records of a detail page."""
    return read_page(load(source), url, Selector(text=text or "<html/>", type="html"))


def read_detail(source: str, url: str, text: str) -> Shown:
    """A detail page."""
    site, page = load(source), Selector(text=text or "<html/>", type="html")
    read = read_page(site, url, page)
    if not isinstance(read, Miss):
        return Shown(read)
    return Shown(read, site.published(page), text=visible(page), is_titled_so=is_titled_so(page))


def read_list(source: str, url: str, text: str) -> Shown:
    """A list page; where it shows no link, whether it is a page itself."""
    site, page = load(source), Selector(text=text or "<html/>", type="html")
    found = links_of(site, url, page)
    if found:
        return Shown(links=tuple(found))
    is_page = not isinstance(read_page(site, url, page), Miss)
    return Shown(text=visible(page), is_page=is_page, has_scripts=bool(page.css("script")))
