"""Hold the result of a response for its page, and record it: in the WARC files first, then in the frontier.

A response that says nothing of its page, because the site refused or failed, leaves what is known of the page
unchanged.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from chimed.crawl import frontier, walks
from chimed.crawl.download import CrawlRun
from chimed.sources.page import Link
from chimed.storage import states, warc
from chimed.storage.states import FORBIDDEN, GONE, UNKNOWN_STATES


@dataclass(frozen=True)
class PageResult:
    """What a response says of its page.

    row: of the frontier. state, reason: of the page now, and of its miss. like: equal for results that are alike; None
    for a real page of the site. exchange: to be stored (None: nothing arrived, or it is stored already). kind: under
    which it is stored. digest: of the body. place: where it is stored already. moment: when it arrived.
    """

    row: dict[str, Any]
    state: str
    reason: str | None = None
    like: str | None = None
    status: int | None = None
    exchange: warc.Exchange | None = None
    kind: str = "detail"
    digest: str | None = None
    published: date | None = None
    etag: str | None = None
    last_modified: str | None = None
    links: tuple[Link, ...] = ()
    place: str | None = None
    moment: datetime | None = None

    @property
    def url(self) -> str:
        """The page's canonical address."""
        return self.row["url"]


def record_page(run: CrawlRun, seen: PageResult) -> None:
    """Store a response unless it is unchanged, and record the page's result."""
    row, now = seen.row, seen.moment or datetime.now(UTC)
    published = seen.published or row["published"]
    values: dict[str, Any] = {
        "status": seen.status,
        "miss": seen.reason,
        **recheck_columns(run, row, seen.state, published, now),
    }
    if seen.state in (*UNKNOWN_STATES, FORBIDDEN):
        if seen.exchange:
            warc.write_exchange(run.archive, seen.exchange, "refusal")
        run.record_result(seen.url, **values)
        return
    if seen.status == 304:
        unsaid = {"etag": row["etag"], "last_modified": row["last_modified"]}
        said = {"etag": seen.etag, "last_modified": seen.last_modified}
        run.record_result(seen.url, **values, fetched=now, **{name: said[name] or unsaid[name] for name in said})
        return
    if seen.links:  # the page's new address
        frontier.add_links(run.store, run.plan, seen.links, row["found_on"], row["start"])
        if row["kind"] == "list":
            walks.mark_moved(run.store, run.plan.site.name, run.plan.crawl, seen.url, seen.links[0].url)
    if row["kind"] == "list" and seen.state == GONE:
        walks.mark_end(run.store, run.plan.site.name, run.plan.crawl, seen.url, row["start"] or seen.url)
    place = seen.place
    if place is None and seen.digest == row["content"] and run.plan.mode == "refresh" and row["page"]:
        run.unchanged += seen.kind == "detail"
        place = row["page"]
        if seen.exchange:
            warc.write_revisit(run.archive, seen.exchange, place)
    if place is None and seen.exchange:
        place = warc.write_exchange(run.archive, seen.exchange, seen.kind)
    values |= {"fetched": now, "content": seen.digest, "page": place, "published": published}
    run.record_result(seen.url, **values, etag=seen.etag, last_modified=seen.last_modified)


def recheck_columns(
    run: CrawlRun, row: dict[str, Any], state: str, published: date | None, now: datetime
) -> dict[str, Any]:
    """Return the columns `state`, `since` and `due` of a page that is in this state now."""
    asked = states.day_of(now)
    since = row["since"] if row["state"] == state and row["since"] else asked
    first_seen = row["first_seen"]
    born = published or states.day_of(first_seen if first_seen.tzinfo else first_seen.replace(tzinfo=UTC))
    own = {**states.RECHECK_AGES, states.ANSWERED: (run.plan.site.recheck, states.RECHECK_DAYS)}
    return {"state": state, "since": since, "due": states.next_due(state, asked, born, since, own)}
