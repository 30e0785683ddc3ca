"""What an answer says of its page, and how that is written down: into the WARC files first, then into the frontier.

An answer that says nothing of its page, for the site refused or failed, leaves what is known of it as it was.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from chimed.crawl import listed, walks
from chimed.crawl.download import Run
from chimed.sources.page import Link
from chimed.storage import states, warc
from chimed.storage.states import FORBIDDEN, GONE, UNTOLD


@dataclass(frozen=True)
class Seen:
    """What an answer says.

    row: of the frontier. state, reason: of the page now, and of the miss if it is one. like: the same for answers that
    are alike, None for what is a page of the site. exchange: what is kept (None: nothing came, or it is kept already).
    kind: under which it is kept. digest: of what came. place: where it is kept already. moment: when it came.
    """

    row: dict
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


def write_down(run: Run, seen: Seen) -> None:
    """Keeps what came, unless it is what was kept before, and settles the page."""
    row, now = seen.row, seen.moment or datetime.now(UTC)
    published = seen.published or row["published"]
    values: dict[str, Any] = {"status": seen.status, "miss": seen.reason, **dated(run, row, seen.state, published, now)}
    if seen.state in (*UNTOLD, FORBIDDEN):
        if seen.exchange:
            warc.keep(run.archive, seen.exchange, "refusal")
        run.settle(seen.url, **values)
        return
    if seen.status == 304:
        unsaid = {"etag": row["etag"], "last_modified": row["last_modified"]}
        said = {"etag": seen.etag, "last_modified": seen.last_modified}
        run.settle(seen.url, **values, fetched=now, **{name: said[name] or unsaid[name] for name in said})
        return
    if seen.links:  # the page's new address
        listed.add(run.store, run.plan, seen.links, row["found_on"], row["start"])
        if row["kind"] == "list":
            walks.moved(run.store, run.plan.site.name, run.plan.crawl, seen.url, seen.links[0].url)
    if row["kind"] == "list" and seen.state == GONE:
        walks.ended(run.store, run.plan.site.name, run.plan.crawl, seen.url, row["start"] or seen.url)
    place = seen.place
    if place is None and seen.digest == row["content"] and run.plan.mode == "refresh" and row["page"]:
        run.unchanged += seen.kind == "detail"
        place = row["page"]
        if seen.exchange:
            warc.keep_again(run.archive, seen.exchange, place)
    if place is None and seen.exchange:
        place = warc.keep(run.archive, seen.exchange, seen.kind)
    values |= {"fetched": now, "content": seen.digest, "page": place, "published": published}
    run.settle(seen.url, **values, etag=seen.etag, last_modified=seen.last_modified)


def dated(run: Run, row: dict, state: str, published: date | None, now: datetime) -> dict[str, Any]:
    """The columns `state`, `since` and `due` of a page that is in this state now."""
    asked = states.day_of(now)
    since = row["since"] if row["state"] == state and row["since"] else asked
    first_seen = row["first_seen"]
    born = published or states.day_of(first_seen if first_seen.tzinfo else first_seen.replace(tzinfo=UTC))
    own = {**states.STEPS, states.ANSWERED: (run.plan.site.recheck, states.LAST)}
    return {"state": state, "since": since, "due": states.due(state, asked, born, since, own)}
