"""Limit what a site can make a crawl walk: redirects, list pages, lists that show nothing new (paper §3.1).

A calendar always has a next day, an endless list a next page, and a redirect may lead to another. The limits apply to
one attempt; a list that is cut is reported in the log and in the crawl's report.
"""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chimed.sources.page import Link

if TYPE_CHECKING:
    from chimed.crawl.download import CrawlRun

log = logging.getLogger("chimed")

MAX_BARREN_LISTS = 5  # list pages in a row that show no page which their walk has not shown before
MAX_LINKS = 5_000  # on a list page; the largest known index has about 1,000


@dataclass
class Bounds:
    """What an attempt at a crawl has walked.

    lists: number of list pages, by the first page of their list. shown: hashes of detail pages, likewise. barren: list
    pages in a row, up to and including this one, that showed nothing new. moves: redirects in a row that led to a page.
    cut: why lists were cut, by their first page.
    """

    lists: dict[str, int] = field(default_factory=dict)
    shown: dict[str, set[int]] = field(default_factory=dict)
    barren: dict[str, int] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)


def count_redirects(run: "CrawlRun", url: str, target: str) -> int:
    """Return how many redirects in a row, from page to page, have led to `target`."""
    moves = run.bounds.moves
    moves[target] = max(moves.get(target, 0), moves.get(url, 0) + 1)
    return moves[target]


def apply_bounds(run: "CrawlRun", row: dict[str, Any], links: tuple[Link, ...]) -> list[Link]:
    """Return the links of a list page (`row`) to follow: all, or only those to detail pages if its list has no end."""
    site, bounds, url = run.plan.site, run.bounds, row["url"]
    start = row["start"] or url
    bounds.lists[start] = bounds.lists.get(start, 0) + 1
    shown = bounds.shown.setdefault(start, set())
    found = {hash(link.url) for link in links if link.kind == "detail"}
    is_barren = not found - shown
    shown |= found
    bounds.barren[url] = bounds.barren.get(row["found_on"] or "", 0) + 1 if is_barren else 0
    why = None
    if bounds.lists[start] >= site.most_lists:
        why = f"it has more than {site.most_lists} pages"
    elif bounds.barren[url] >= MAX_BARREN_LISTS:
        why = f"{MAX_BARREN_LISTS} of its pages in a row show nothing new"
    if why and any(link.kind == "list" for link in links):
        if start not in bounds.cut:
            log.warning("%s: the list that begins at %s is cut: %s", site.name, start, why)
        bounds.cut[start] = why
        links = tuple(link for link in links if link.kind == "detail")
    if len(links) > MAX_LINKS:
        log.warning("%s: %s has %d links; only %d are followed", site.name, url, len(links), MAX_LINKS)
        bounds.cut[start] = f"a page of it shows more than {MAX_LINKS} links"
    return list(links[:MAX_LINKS])
