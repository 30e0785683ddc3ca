"""What a site's answer means: a page that is read, a list that leads on, a redirect, a captcha, a request to wait.

Works on the frontier, the WARC files and the run's counts, never on the network (paper §3.1). A page is in its WARC
file before the frontier says so; what a killed attempt left between the two is read back by `take_over`. What an
answer says of the site as a whole is weighed in `blocks`.
"""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from chimed.crawl import blocks, bounded, frontier, listed, traps
from chimed.crawl.blocks import DAY, stop
from chimed.crawl.bounded import TOO_LONG, TooLong
from chimed.crawl.challenge import wants_a_person
from chimed.crawl.download import SCHEMES, Run, is_on_site
from chimed.crawl.reading import Shown, read_detail, read_list
from chimed.crawl.seen import Seen, write_down
from chimed.crawl.visible import refuses
from chimed.retry_after import retry_after
from chimed.sources.page import Link, Miss
from chimed.sources.text import decode
from chimed.storage import warc
from chimed.storage.lake import Lake
from chimed.storage.states import (
    ANSWERED,
    ELSEWHERE,
    ENDLESS,
    FAILED,
    GONE,
    HOME,
    IN_WORDS,
    MISSED,
    MOVED,
    OFF_SITE,
    REFUSED,
    UNANSWERED,
    state_of,
)

log = logging.getLogger("chimed")

REDIRECTS = 5
LONGEST_WAIT = 600.0  # seconds of a Retry-After that a crawl waits; a site that wants more is left alone
WAITS = 3  # in a crawl
NO_LINK = "no link on the list"
SCRIPTS = "nothing but scripts"


@dataclass(frozen=True)
class Answer:
    """What came back for a page of the frontier.

    body: content encoding taken off; text: it decoded; headers: names in small letters; hops: redirects before it;
    led_on: a list, and what it shows is queued; unreadable: why the body could not be unpacked, None where it could.
    """

    url: str
    status: int
    body: bytes
    text: str
    headers: dict[str, str]
    exchange: warc.Exchange | None  # None: it lies in a WARC file already
    hops: int = 0
    led_on: bool = False
    unreadable: str | None = None

    @property
    def target(self) -> str:
        """Where a redirect leads; empty where the answer is none, and where what it names is no address."""
        if not 300 <= self.status < 400:
            return ""
        try:
            target = urljoin(self.url, self.headers.get("location", ""))
            return target if urlsplit(target).port != 0 else ""
        except ValueError:  # `http://[`, `http://host:port/`
            return ""


@dataclass(frozen=True)
class Again:
    """The same page, to be asked for at this address."""

    url: str
    hops: int


def heed(run: Run, answer: Answer) -> None:
    """What an answer asks of us at once, before another request may leave: to stop, or to wait.

    A captcha, login or challenge page stops the crawl; nothing tries to pass it. 429 and 503 with Retry-After: the
    crawl waits as long as they say, within bounds, and goes on at half the pace; else it stops.
    """
    site = run.plan.site
    if wants_a_person(site, answer.target, answer.text):
        stop(run, f"{site.name} wants a person (captcha or login) at {answer.url}; its frontier keeps its place", DAY)
    elif _is_busy(answer):
        seconds = retry_after(answer.headers.get("retry-after"))
        run.waits += 1
        if seconds is None or seconds > LONGEST_WAIT or run.waits > WAITS:
            asked = f"{answer.status}, {'no time said' if seconds is None else f'for {seconds:.0f} seconds'}"
            why = f"{site.name} asks to slow down ({asked}) at {answer.url}; its frontier keeps its place"
            stop(run, why, DAY if seconds is None else max(seconds, LONGEST_WAIT))
        else:
            log.warning("%s: HTTP %d, waiting %.0f seconds as it asks", site.name, answer.status, seconds)
            run.pause(seconds)


def settle_surely(run: Run, row: dict, answer: Answer, proof: bool = False) -> Again | None:
    """`settle`; a page that the site's parser fails on is a miss with that reason, a store that fails is the end."""
    try:
        return settle(run, row, answer, proof)
    except (SQLAlchemyError, OSError) as error:
        log.exception("%s: %s", run.plan.site.name, row["url"])
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        stop(run, f"what comes cannot be kept ({why}); the frontier keeps its place")
    except Exception as error:  # a parser of a hostile page: any mistake is possible, and told whole in the log
        log.exception("%s: %s", run.plan.site.name, row["url"])
        write_down(run, Seen(row, MISSED, f"reader error: {type(error).__name__}", status=answer.status))
    return None


def settle(run: Run, row: dict, answer: Answer, proof: bool = False) -> Again | None:
    """Does with an answer what is to be done with the page; returns what to ask next for the same page.

    proof: the page was asked for to tell a block from pages that are gone.
    """
    if run.stopped:
        return None
    if _is_busy(answer):
        return Again(answer.url, answer.hops)
    seen = see(run, row, answer)
    if isinstance(seen, Again):
        return seen
    if proof:
        blocks.prove(run, seen)
    else:
        blocks.weigh(run, seen)
    return None


def see(run: Run, row: dict, answer: Answer) -> Seen | Again:
    """What an answer says of its page. A list's links are queued here: whatever else it is, it showed them."""
    if answer.status == 304:
        seen = Seen(row, row["state"] or ANSWERED, row["miss"], status=304)
        return _with_validators(seen, answer)
    if answer.target:
        return follow(run, row, answer)
    if answer.status != 200:
        reason = f"HTTP {answer.status}"
        state = state_of(answer.status, reason)
        kept = None if state == FAILED else answer.exchange
        digest = hashlib.sha256(answer.body).hexdigest()
        return Seen(row, state, reason, reason, answer.status, kept, row["kind"], digest)
    if answer.unreadable:
        digest = hashlib.sha256(answer.exchange.body if answer.exchange else b"").hexdigest()
        reason = answer.unreadable
        return Seen(row, MISSED, reason, reason, answer.status, answer.exchange, row["kind"], digest)
    return see_list(run, row, answer) if row["kind"] == "list" else see_detail(run, row, answer)


def _is_busy(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)


def follow(run: Run, row: dict, answer: Answer) -> Seen | Again:
    """A redirect to the same page's other form is followed; to another page of the site, that page is queued."""
    site, target, hops = run.plan.site, answer.target, answer.hops + 1
    other = site.canonical(target)
    links: tuple[Link, ...] = ()
    state, reason = MISSED, OFF_SITE
    if urlsplit(target).scheme not in SCHEMES:  # a file, data:, FTP: nothing that a site's page may send us to
        run.off_site += 1
        reason = "redirected to what is no web page"
    elif not is_on_site(site, target) and not is_on_site(site, other):
        run.off_site += 1
    elif urlsplit(other).path in ("", "/"):
        state, reason = GONE, HOME
    elif hops > REDIRECTS:
        reason = ENDLESS
    elif other == row["url"]:
        return Again(target, hops)
    elif traps.moved_on(run, row["url"], other) > REDIRECTS:
        reason = ENDLESS
    else:
        state, reason, links = MOVED, ELSEWHERE, (Link(other, row["kind"], row["published"]),)
    digest = hashlib.sha256(f"{answer.status} {answer.target}".encode()).hexdigest()
    like = f"{reason} {other if links else ''}"
    return Seen(row, state, reason, like, answer.status, answer.exchange, "redirect", digest, links=links)


def lead_on(run: Run, row: dict, text: str) -> tuple[bool, Shown]:
    """Queues what a list shows; whether it shows anything, and what its reading gave."""
    shown = bounded.read(read_list, run.plan.site.name, row["url"], text)
    listed.lead_on(run.store, run.plan, row, traps.within_bounds(run, row, shown.links))
    return bool(shown.links), shown


def see_list(run: Run, row: dict, answer: Answer) -> Seen | Again:
    """A list that leads on; one that is a page itself, as some addresses do not tell, is read as one."""
    url = row["url"]
    digest = hashlib.sha256(answer.body).hexdigest()
    seen = Seen(row, ANSWERED, status=200, exchange=answer.exchange, kind="list", digest=digest)
    if answer.led_on:
        return seen
    try:
        led_on, shown = lead_on(run, row, answer.text)
    except TooLong:
        return replace(seen, state=MISSED, reason=TOO_LONG)
    if led_on:
        return seen
    text = shown.text
    if refuses(text) or (not text and shown.has_scripts):
        return replace(seen, state=REFUSED, reason=IN_WORDS if text else SCRIPTS, like=IN_WORDS)
    if shown.is_page:
        frontier.write_as(run.store, url, "detail")
        return see_detail(run, {**row, "kind": "detail"}, answer)
    return replace(seen, state=MISSED, reason=NO_LINK, like=f"{NO_LINK}: {blocks.likeness(text)}")


def see_detail(run: Run, row: dict, answer: Answer) -> Seen:
    """A page as records, as an open question, or as a miss with its reason."""
    try:
        shown = bounded.read(read_detail, run.plan.site.name, row["url"], answer.text)
    except TooLong:
        shown = Shown(records=Miss(TOO_LONG))
    read = shown.records
    seen = Seen(
        row,
        ANSWERED,
        status=200,
        exchange=answer.exchange,
        digest=hashlib.sha256(answer.body).hexdigest(),
        published=shown.published if isinstance(read, Miss) else read[0].published,
    )
    seen = _with_validators(seen, answer)
    if not isinstance(read, Miss):
        return seen
    state, text = state_of(200, read.reason), shown.text
    if state == UNANSWERED and not shown.is_titled_so:
        return replace(seen, state=state, reason=read.reason)
    if refuses(text) and state in (MISSED, UNANSWERED):
        return replace(seen, state=REFUSED, reason=IN_WORDS, like=IN_WORDS)
    return replace(seen, state=state, reason=read.reason, like=f"{state}: {blocks.likeness(text)}")


def _with_validators(seen: Seen, answer: Answer) -> Seen:
    """With what a conditional request sends back; what the store has no room for is left out."""
    etag, changed = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    return replace(
        seen, etag=etag if 0 < len(etag) <= 512 else None, last_modified=changed if 0 < len(changed) <= 64 else None
    )


def fail(run: Run, row: dict, reason: str, proof: bool = False) -> None:
    """A page that could not be had now; the next crawl asks again."""
    (blocks.prove if proof else blocks.weigh)(run, Seen(row, FAILED, reason, FAILED))


def take_over(run: Run, lake: Lake) -> None:
    """Reads what attempts before this one kept of pages that the frontier still wants, or holds for misses: a kill
    between keeping a page and saying so costs no second request, and a mended parser none either."""
    paths = warc.files(lake, run.archive.folder)
    rows = frontier.unread(run.store, run.plan) if paths else {}
    for path in paths if rows else ():
        for stored in warc.responses(lake, path):
            row = rows.get(run.plan.site.canonical(stored.url)) if stored.kind == "detail" else None
            if row is None:
                continue
            text = decode(stored.body, stored.content_type, run.plan.site.encoding)
            answer = Answer(
                stored.url, stored.status, stored.body, text, stored.headers, None, unreadable=stored.unreadable
            )
            if stored.page == row["page"] or not row["fetched"] or stored.fetched > _utc(row["fetched"]):
                seen = see(run, row, answer)
                if isinstance(seen, Seen):  # else it is a redirect, which is followed anew
                    write_down(run, replace(seen, place=stored.page, moment=stored.fetched))
    run.write()


def _utc(moment: datetime) -> datetime:
    """SQLite gives times back without their zone; they are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
