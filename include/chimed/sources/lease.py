"""One crawl of a site at a time, whichever machine it runs on: a lease in the store, kept by its beats.

Who holds it adds one to `beats` every few seconds. Nobody's clock is compared with another's: who wants the lease
watches whether the number moves. If it does, someone is crawling; if it stands still for the length of a lease, its
holder is dead. On one machine a lock of a file says so at once, so that a killed crawl goes on without a wait.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.processes import FORKING
from chimed.store import LEASES, Store

log = logging.getLogger("chimed")

BEAT = 5.0  # seconds between two beats
LENGTH = 60.0  # seconds without a beat after which the holder is dead
L = LEASES.c


@contextmanager
def lease(store: Store, folder: str, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    """Holds the lease of a source for the length of a `with`.

    folder: where its pages go. lost: called, in another thread, with the reason when the lease could not be kept.
    Raises UserError where the source is being crawled elsewhere.
    """
    with ExitStack() as locks:
        for what in (store.engine.url.render_as_string(), folder):
            name = uuid.uuid5(uuid.NAMESPACE_URL, f"{what}#{source}").hex[:12]
            try:
                locks.enter_context(FileLock(private_folder("locks") / f"crawl-{name}.lock", timeout=0))
            except Timeout:
                raise UserError(f"{source} is being crawled by another process; one crawl a site at a time") from None
        with _held_in_store(store, source, lost):
            yield


@contextmanager
def _held_in_store(store: Store, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    me = f"{_machine()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    _take(store, source, me)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, source, me, done, lost), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join(BEAT)
        with store.engine.begin() as connection:
            connection.execute(delete(LEASES).where(L.source == source, L.holder == me))


def _take(store: Store, source: str, me: str) -> None:
    """Takes the lease where it is free, where its holder was on this machine (which is dead: we have its lock), or
    where it has not beaten for the length of a lease. Raises UserError where its holder is alive."""
    seen = None
    waited = time.monotonic()
    while True:
        held = _held(store, source)
        if held is None:
            if _insert(store, source, me):
                return
        elif held[0].startswith(f"{_machine()}/") or (held == seen and time.monotonic() - waited >= LENGTH):
            if _take_over(store, source, held, me):
                return
        elif seen is None:
            log.info("%s: was crawled by %s; whether it still is shows within %.0f seconds", source, held[0], LENGTH)
            seen, waited = held, time.monotonic()
        elif held != seen:
            raise UserError(f"{source} is being crawled on {held[0].split('/')[0]}; one crawl a site at a time")
        time.sleep(min(1.0, BEAT / 5))


def _held(store: Store, source: str) -> tuple[str, int] | None:
    with store.engine.connect() as connection:
        row = connection.execute(select(L.holder, L.beats).where(L.source == source)).first()
        return (row.holder, row.beats) if row else None


def _insert(store: Store, source: str, me: str) -> bool:
    try:
        with store.engine.begin() as connection:
            connection.execute(insert(LEASES).values(source=source, holder=me, beats=0))
    except IntegrityError:  # another was faster
        return False
    return True


def _take_over(store: Store, source: str, held: tuple[str, int], me: str) -> bool:
    as_seen = and_(L.source == source, L.holder == held[0], L.beats == held[1])
    with store.engine.begin() as connection:
        return connection.execute(update(LEASES).where(as_seen).values(holder=me, beats=0)).rowcount == 1


def _beat(store: Store, source: str, me: str, done: threading.Event, lost: Callable[[str], None]) -> None:
    last = time.monotonic()
    while not done.wait(BEAT):
        try:
            with FORKING, store.engine.begin() as connection:
                mine = and_(L.source == source, L.holder == me)
                kept = connection.execute(update(LEASES).where(mine).values(beats=L.beats + 1)).rowcount
        except SQLAlchemyError as error:  # the store is down, or busy: the next beat may come in time
            log.warning("%s: the lease could not be renewed: %s", source, type(error).__name__)
            if time.monotonic() - last < LENGTH / 2:
                continue
            return lost(f"the lease of {source} could not be renewed for {LENGTH / 2:.0f} seconds")
        if not kept:
            return lost(f"another machine took over the crawl of {source}")
        last = time.monotonic()
    return None


def _machine() -> str:
    """A machine's processes that share a folder for their locks; two containers are two, and so are two users."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    kernel = boot.read_text(encoding="utf-8").strip()[:8] if boot.exists() else f"{uuid.getnode():x}"
    folder = os.stat(private_folder("locks"))
    return f"{socket.gethostname()[:100]}.{kernel}.{folder.st_dev:x}.{folder.st_ino:x}"
