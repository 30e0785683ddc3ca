"""One process at a time on one thing, whichever machine it runs on: a lease in the store, kept by its beats.

A site's crawl, a shard of a stage and a version of a release each have one. Who holds it adds one to `beats` every few
seconds. Nobody's clock is compared with another's: who wants the lease watches whether the number moves. If it does,
someone is at work; if it stands still for the length of a lease, its holder is dead. On one machine a lock of a file
says so at once, so that killed work goes on without a wait.
"""

import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from chimed.errors import UserError, WorkStopped
from chimed.private import private_folder
from chimed.processes import FORKING
from chimed.storage.store import LEASES, Store

log = logging.getLogger("chimed")

BEAT = 5.0  # seconds between two beats
LENGTH = 60.0  # seconds without a beat after which the holder is dead
TOLD_EVERY = 60.0  # seconds after which who waits says so again
LONGEST = 32  # characters of a name in the store; a longer one is kept as its hash
L = LEASES.c


class AtWork(UserError):
    """Someone else holds the lease, and lives."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: a machine (`_machine`), a process of it, and since when."""

    machine: str
    process: str
    since: str

    def __str__(self) -> str:
        told = f"process {self.process} on {self.machine.split('.')[0]}"
        return f"{told}, since {self.since}" if self.since else told


def _holder(said: str) -> Holder:
    machine, process, _, since = (*said.split("/"), "", "", "")[:4]
    return Holder(machine, process, since)


@contextmanager
def lease(store: Store, folder: str, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    """Holds the lease of a source for the length of a `with`.

    folder: where its pages go. lost: called, in another thread, with the reason when the lease could not be kept.
    Raises UserError where the source is being crawled elsewhere.
    """
    try:
        with _locked(store, folder, source), _held_in_store(store, source, lost):
            yield
    except AtWork as error:
        raise UserError(f"{source} is being crawled by {error}; one crawl a site at a time") from None


@contextmanager
def turn(store: Store, folder: str, name: str, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Holds the lease of a piece of work for the length of a `with`, once nobody else has it.

    folder: where what is made goes. say: told who is at work, while that is waited for. Gives a function that raises
    WorkStopped where the lease was lost since: another process goes on then, and this one must not say that it is done.
    """
    gone: list[str] = []
    with ExitStack() as held:
        told = 0.0
        while True:
            try:
                held.enter_context(_locked(store, folder, name))
                held.enter_context(_held_in_store(store, name, gone.append))
                break
            except AtWork as error:
                held.close()
                if not told or time.monotonic() - told >= TOLD_EVERY:
                    say(f"{name}: {error} is at work on it; waiting until that is done")
                    told = time.monotonic()
                time.sleep(min(1.0, BEAT / 5))

        def still_ours() -> None:
            if gone:
                raise WorkStopped(f"{name}: {gone[0]}; what is done is kept, run it again")

        yield still_ours


@contextmanager
def _locked(store: Store, folder: str, name: str) -> Iterator[None]:
    """Locks of this machine for a name, of the store and of the folder. Raises AtWork where another process has one."""
    with ExitStack() as locks:
        for what in (store.engine.url.render_as_string(), folder):
            file = uuid.uuid5(uuid.NAMESPACE_URL, f"{what}#{name}").hex[:12]
            try:
                locks.enter_context(FileLock(private_folder("locks") / f"{file}.lock", timeout=0))
            except Timeout:
                held = _held(store, name)
                raise AtWork(str(_holder(held[0])) if held else "another process") from None
        yield


@contextmanager
def _held_in_store(store: Store, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    me = f"{_machine()}/{os.getpid()}/{uuid.uuid4().hex[:8]}/{since}"
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
            connection.execute(delete(LEASES).where(L.source == _key(source), L.holder == me))


def _take(store: Store, source: str, me: str) -> None:
    """Takes the lease where it is free, where its holder was on this machine (which is dead: we have its lock), or
    where it has not beaten for the length of a lease. Raises AtWork where its holder is alive."""
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
            log.info("%s: was held by %s; whether it lives shows within %.0f seconds", source, _holder(held[0]), LENGTH)
            seen, waited = held, time.monotonic()
        elif held != seen:
            raise AtWork(str(_holder(held[0])))
        time.sleep(min(1.0, BEAT / 5))


def _held(store: Store, source: str) -> tuple[str, int] | None:
    with store.engine.connect() as connection:
        row = connection.execute(select(L.holder, L.beats).where(L.source == _key(source))).first()
        return (row.holder, row.beats) if row else None


def _insert(store: Store, source: str, me: str) -> bool:
    try:
        with store.engine.begin() as connection:
            connection.execute(insert(LEASES).values(source=_key(source), holder=me, beats=0))
    except IntegrityError:  # another was faster
        return False
    return True


def _take_over(store: Store, source: str, held: tuple[str, int], me: str) -> bool:
    as_seen = and_(L.source == _key(source), L.holder == held[0], L.beats == held[1])
    with store.engine.begin() as connection:
        return connection.execute(update(LEASES).where(as_seen).values(holder=me, beats=0)).rowcount == 1


def _beat(store: Store, source: str, me: str, done: threading.Event, lost: Callable[[str], None]) -> None:
    last = time.monotonic()
    while not done.wait(BEAT):
        try:
            with FORKING, store.engine.begin() as connection:
                mine = and_(L.source == _key(source), L.holder == me)
                kept = connection.execute(update(LEASES).where(mine).values(beats=L.beats + 1)).rowcount
        except SQLAlchemyError as error:  # the store is down, or busy: the next beat may come in time
            log.warning("%s: the lease could not be renewed: %s", source, type(error).__name__)
            if time.monotonic() - last < LENGTH / 2:
                continue
            return lost(f"the lease of {source} could not be renewed for {LENGTH / 2:.0f} seconds")
        if not kept:
            return lost(f"another process took over {source}")
        last = time.monotonic()
    return None


def _key(name: str) -> str:
    """A name as the store keeps it."""
    return name if len(name) <= LONGEST else hashlib.sha256(name.encode()).hexdigest()[:LONGEST]


def _machine() -> str:
    """A machine's processes that share a folder for their locks; two containers are two, and so are two users."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    kernel = boot.read_text(encoding="utf-8").strip()[:8] if boot.exists() else f"{uuid.getnode():x}"
    folder = os.stat(private_folder("locks"))
    return f"{socket.gethostname()[:100]}.{kernel}.{folder.st_dev:x}.{folder.st_ino:x}"
