"""Bounds on what a site can make a crawl walk: redirects, list pages, lists that show nothing new (paper §3.1).

A calendar has a next day for ever, an endless list a next page, and a redirect may lead to one after another. What a
walk has seen is remembered for one attempt; a list that is cut is told in the log and in the crawl's report.
"""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chimed.sources.page import Link

if TYPE_CHECKING:
    from chimed.crawl.download import Run

log = logging.getLogger("chimed")

BARREN = 5  # list pages in a row, each led to by the one before, that show no page which their walk has not shown
MOST_LINKS = 5_000  # of a list page; the largest index known has some 1,000


@dataclass
class Bounds:
    """What an attempt at a crawl has walked.

    lists: list pages by the start of their list. shown: hashes of pages by it. barren: list pages in a row before a
    list page, itself included, that showed nothing new. moves: redirects that led to a page. cut: why lists were cut,
    by their start.
    """

    lists: dict[str, int] = field(default_factory=dict)
    shown: dict[str, set[int]] = field(default_factory=dict)
    barren: dict[str, int] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)


def moved_on(run: "Run", url: str, target: str) -> int:
    """How many redirects in a row, from page to page, have led to `target`."""
    moves = run.bounds.moves
    moves[target] = max(moves.get(target, 0), moves.get(url, 0) + 1)
    return moves[target]


def within_bounds(run: "Run", row: dict, links: tuple[Link, ...]) -> list[Link]:
    """The links of a list page (`row`) that are walked: all, or where its list has no end only those to pages."""
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
    elif bounds.barren[url] >= BARREN:
        why = f"{BARREN} of its pages in a row show nothing new"
    if why and any(link.kind == "list" for link in links):
        if start not in bounds.cut:
            log.warning("%s: the list that begins at %s is cut: %s", site.name, start, why)
        bounds.cut[start] = why
        links = tuple(link for link in links if link.kind == "detail")
    if len(links) > MOST_LINKS:
        log.warning("%s: %s has %d links; only %d are followed", site.name, url, len(links), MOST_LINKS)
        bounds.cut[start] = f"a page of it shows more than {MOST_LINKS} links"
    return list(links[:MOST_LINKS])
