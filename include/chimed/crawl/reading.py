"""Parse a page's text: its records, its links, and the text a person would see (paper §3.1).

Called through `bounded`, in another process. Pure functions of a site's name, an address and a text.
"""

from dataclasses import dataclass, field
from datetime import date

from parsel import Selector

from chimed.crawl.visible import has_refusal_title, visible_text
from chimed.sources.page import Link, Miss, links_of, load, read_page
from chimed.sources.parsed import QA, Document


@dataclass(frozen=True)
class PageContent:
    """What parsing a page gives.

    records: of a detail page. published: the day of a page that is a miss. links: of a list. text: what a person sees
    on a page without records or links. has_refusal_title: its title is a refusal. is_page, has_scripts: of a list
    without links, whether it is a detail page itself, and whether it has scripts.
    """

    records: list[Document | QA] | Miss = field(default_factory=list)
    published: date | None = None
    links: tuple[Link, ...] = ()
    text: str = ""
    has_refusal_title: bool = False
    is_page: bool = False
    has_scripts: bool = False


def read_records(source: str, url: str, text: str) -> list[Document | QA] | Miss:
    """Return the records of a detail page, or its miss."""
    return read_page(load(source), url, Selector(text=text or "<html/>", type="html"))


def read_detail(source: str, url: str, text: str) -> PageContent:
    """Return the content of a detail page."""
    site, page = load(source), Selector(text=text or "<html/>", type="html")
    read = read_page(site, url, page)
    if not isinstance(read, Miss):
        return PageContent(read)
    return PageContent(read, site.published(page), text=visible_text(page), has_refusal_title=has_refusal_title(page))


def read_list(source: str, url: str, text: str) -> PageContent:
    """Return the content of a list page; without links, also whether it is a detail page itself."""
    site, page = load(source), Selector(text=text or "<html/>", type="html")
    found = links_of(site, url, page)
    if found:
        return PageContent(links=tuple(found))
    is_page = not isinstance(read_page(site, url, page), Miss)
    return PageContent(text=visible_text(page), is_page=is_page, has_scripts=bool(page.css("script")))
