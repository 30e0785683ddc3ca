"""What a list page shows: its pages are written into the frontier, and the walk goes on, leaps or ends (`walks`)."""

import json
from datetime import date

from chimed.crawl import walks
from chimed.crawl.frontier import add, let_go, queue_list
from chimed.crawl.plan import Plan
from chimed.sources.page import Link
from chimed.storage.store import PAGES, Store, find


def lead_on(store: Store, plan: Plan, row: dict, links: list[Link]) -> None:
    """What a list page (`row`) shows: its pages are written, and further lists only where the walk goes on."""
    start = row["start"] or row["url"]
    details = [link for link in links if link.kind == "detail"]
    further = list(dict.fromkeys(link.url for link in links if link.kind == "list"))
    if not plan.site.newest_first:
        add(store, plan, links, row["url"], start)
        return
    known = add(store, plan, details, row["url"], start)
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
        walks.showed(store, plan.site.name, plan.crawl, row["url"], start, urls)
        after: str | None = following
    else:
        new = not all(before)
        after = _walk_on(store, plan, row["url"], start, max(days, default=None), following, new, ground)
    for url in dict.fromkeys([after, *further[1:]] if after else []):
        queue_list(store, plan, str(url), start, row["url"])


def _walk_on(
    store: Store,
    plan: Plan,
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
    return walks.on(store, source, plan.crawl, seen, start, newest, following, since, new, ground, everything)


def is_near(store: Store, plan: Plan, row: dict) -> bool:
    """Whether a list page is still worth walking to, where the one before it showed no days: its pages, which are had
    by now, say theirs. Not, where all of them are too early or known ground; the walk may go on elsewhere."""
    start = row["start"]
    walk = plan.dated and start and walks.without_days(store, plan.site.name, plan.crawl, start)
    if not walk:
        return True
    shown = find(store, PAGES, json.loads(walk["shown"]))
    days = [one["published"] for one in shown.values() if one["published"]]
    new = any(one["crawl"] == plan.crawl for one in shown.values())
    after = _walk_on(store, plan, walk["next"], start, max(days, default=None), row["url"], new)
    if after == row["url"]:
        return True
    let_go(store, row["url"])
    if after:
        queue_list(store, plan, after, start)
    return False
