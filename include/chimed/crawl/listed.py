"""Write the links of a list page into the frontier, and continue, jump or end the walk over its list (`walks`)."""

import json
from datetime import date
from typing import Any

from chimed.crawl import walks
from chimed.crawl.frontier import add_links, queue_list, unqueue
from chimed.crawl.plan import CrawlPlan
from chimed.sources.page import Link
from chimed.storage.store import Store, find
from chimed.storage.store_tables import PAGES


def follow_list(store: Store, plan: CrawlPlan, row: dict[str, Any], links: list[Link]) -> None:
    """Write the pages that a list page (`row`) shows, and queue further lists only if the walk continues."""
    start = row["start"] or row["url"]
    details = [link for link in links if link.kind == "detail"]
    further = list(dict.fromkeys(link.url for link in links if link.kind == "list"))
    if not plan.site.newest_first:
        add_links(store, plan, links, row["url"], start)
        return
    known = add_links(store, plan, details, row["url"], start)
    if not links:
        return
    days = [link.published for link in details if link.published]
    before = [known.get(link.url) for link in details]
    ground = bool(details) and all(one and one["fetched"] and one["crawl"] != plan.crawl for one in before)
    if not days and ground:  # no day beside them, but they were had
        days = [one["published"] for one in before if one and one["published"]]
    following = further[0] if further else None
    if details and not days and plan.dated and following:
        urls = json.dumps([link.url for link in details])
        walks.mark_undated(store, plan.site.name, plan.crawl, row["url"], start, urls)
        after: str | None = following
    else:
        new = not all(before)
        after = _advance_walk(store, plan, row["url"], start, max(days, default=None), following, new, ground)
    for url in dict.fromkeys([after, *further[1:]] if after else []):
        queue_list(store, plan, str(url), start, row["url"])


def _advance_walk(
    store: Store,
    plan: CrawlPlan,
    seen: str,
    start: str,
    newest: date | None,
    following: str | None,
    new: bool,
    ground: bool = False,
) -> str | None:
    since, everything = plan.since if plan.dated else None, plan.mode == "full" and not plan.dated
    ground = ground and not plan.dated
    source = plan.site.name
    return walks.advance_walk(store, source, plan.crawl, seen, start, newest, following, since, new, ground, everything)


def is_worth_reading(store: Store, plan: CrawlPlan, row: dict[str, Any]) -> bool:
    """Return whether a queued list page is still worth requesting.

    The list page before it showed no days. Its pages were fetched meanwhile and have their days: if all are too early
    or were known, the walk ends or continues elsewhere.
    """
    start = row["start"]
    walk = plan.dated and start and walks.find_undated_walk(store, plan.site.name, plan.crawl, start)
    if not walk:
        return True
    shown = find(store, PAGES, json.loads(walk["shown"]))
    days = [one["published"] for one in shown.values() if one["published"]]
    new = any(one["crawl"] == plan.crawl for one in shown.values())
    after = _advance_walk(store, plan, walk["next"], start, max(days, default=None), row["url"], new)
    if after == row["url"]:
        return True
    unqueue(store, row["url"])
    if after:
        queue_list(store, plan, after, start)
    return False
