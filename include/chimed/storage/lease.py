"""Let one process at a time work on one thing, across machines: a lease in the store, kept alive by a heartbeat.

A site's crawl, a shard of a stage and a version of a release each have one. The holder increments `beats` every few
seconds. Clocks of two machines are never compared: who wants the lease watches whether the number changes. If it does,
the holder is alive; if it does not for the length of a lease, the holder is dead. On one machine a file lock tells at
once, so that killed work continues without a wait.
"""

import hashlib
import logging
import math
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
from chimed.processes import FORK_LOCK
from chimed.storage.store import Store
from chimed.storage.store_tables import LEASES

log = logging.getLogger("chimed")

BEAT_SECONDS = 5.0  # seconds between two beats
LEASE_SECONDS = 60.0  # seconds without a beat after which the holder is dead
REPEAT_SECONDS = 60.0  # seconds after which who waits says so again
MAX_NAME_LENGTH = 32  # characters of a name in the store; a longer one is kept as its hash
L = LEASES.c


class LeaseHeld(UserError):
    """Another live process holds the lease."""


@dataclass(frozen=True)
class Holder:
    """The holder of a lease: a machine (`_machine`), a process on it, and since when."""

    machine: str
    process: str
    since: str

    def __str__(self) -> str:
        told = f"process {self.process} on {self.machine.split('.')[0]}"
        return f"{told}, since {self.since}" if self.since else told


def _parse_holder(said: str) -> Holder:
    machine, process, _, since = (*said.split("/"), "", "", "")[:4]
    return Holder(machine, process, since)


@contextmanager
def hold_lease(store: Store, folder: str, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a source during a `with` block.

    folder: where its pages are stored. lost: called with the reason, in another thread, if the lease could not be kept.
    Raises UserError if the source is being crawled elsewhere.
    """
    try:
        with _lock_locally(store, folder, source), _hold_in_store(store, source, lost):
            yield
    except LeaseHeld as error:
        raise UserError(f"{source} is being crawled by {error}; one crawl a site at a time") from None


@contextmanager
def wait_for_lease(
    store: Store,
    folder: str,
    name: str,
    say: Callable[[str], None],
    patience: float = math.inf,
    lost: Callable[[str], None] = log.error,
) -> Iterator[Callable[[], None]]:
    """Hold the lease of a piece of work during a `with` block, after waiting until nobody else has it.

    folder: where the result is stored. say: called with who holds the lease while waiting. patience: seconds to wait
    before WorkStopped is raised. lost: called in another thread, with the reason, when the lease could not be kept.
    Yields a function that raises WorkStopped if the lease was lost meanwhile: another process continues then, and this
    one must not report success.
    """
    gone: list[str] = []

    def report_lost(why: str) -> None:
        gone.append(why)
        lost(why)

    began = time.monotonic()
    with ExitStack() as held:
        told = 0.0
        while True:
            try:
                held.enter_context(_lock_locally(store, folder, name))
                held.enter_context(_hold_in_store(store, name, report_lost))
                break
            except LeaseHeld as error:
                held.close()
                if time.monotonic() - began > patience:
                    raise WorkStopped(
                        f"{name}: {error} is still working on it; run it again when that is done"
                    ) from None
                if not told or time.monotonic() - told >= REPEAT_SECONDS:
                    say(f"{name}: {error} is working on it; waiting for it to finish")
                    told = time.monotonic()
                time.sleep(min(1.0, BEAT_SECONDS / 5))

        def still_ours() -> None:
            if gone:
                raise WorkStopped(f"{name}: {gone[0]}; finished work is kept; run it again")

        yield still_ours


@contextmanager
def _lock_locally(store: Store, folder: str, name: str) -> Iterator[None]:
    """Lock a name on this machine, for the store and for the folder. Raise LeaseHeld if another process has a lock."""
    with ExitStack() as locks:
        for what in (store.engine.url.render_as_string(), folder):
            file = uuid.uuid5(uuid.NAMESPACE_URL, f"{what}#{name}").hex[:12]
            try:
                locks.enter_context(FileLock(private_folder("locks") / f"{file}.lock", timeout=0))
            except Timeout:
                held = _read_lease(store, name)
                raise LeaseHeld(str(_parse_holder(held[0])) if held else "another process") from None
        yield


@contextmanager
def _hold_in_store(store: Store, source: str, lost: Callable[[str], None]) -> Iterator[None]:
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    me = f"{_machine()}/{os.getpid()}/{uuid.uuid4().hex[:8]}/{since}"
    _acquire(store, source, me)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, source, me, done, lost), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join(BEAT_SECONDS)
        with store.engine.begin() as connection:
            connection.execute(delete(LEASES).where(L.source == _key(source), L.holder == me))


def _acquire(store: Store, source: str, me: str) -> None:
    """Take a lease that is free, was held on this machine, or had no heartbeat for the length of a lease.

    A holder on this machine is dead, because this process has its file lock. Raises LeaseHeld if the holder is alive.
    """
    seen = None
    waited = time.monotonic()
    while True:
        held = _read_lease(store, source)
        if held is None:
            if _insert_lease(store, source, me):
                return
        elif held[0].startswith(f"{_machine()}/") or (held == seen and time.monotonic() - waited >= LEASE_SECONDS):
            if _take_over(store, source, held, me):
                return
        elif seen is None:
            log.info(
                "%s: was held by %s; waiting up to %.0f seconds to see whether it is alive",
                source,
                _parse_holder(held[0]),
                LEASE_SECONDS,
            )
            seen, waited = held, time.monotonic()
        elif held != seen:
            raise LeaseHeld(str(_parse_holder(held[0])))
        time.sleep(min(1.0, BEAT_SECONDS / 5))


def _read_lease(store: Store, source: str) -> tuple[str, int] | None:
    with store.engine.connect() as connection:
        row = connection.execute(select(L.holder, L.beats).where(L.source == _key(source))).first()
        return (row.holder, row.beats) if row else None


def _insert_lease(store: Store, source: str, me: str) -> bool:
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
    while not done.wait(BEAT_SECONDS):
        try:
            with FORK_LOCK, store.engine.begin() as connection:
                mine = and_(L.source == _key(source), L.holder == me)
                kept = connection.execute(update(LEASES).where(mine).values(beats=L.beats + 1)).rowcount
        except SQLAlchemyError as error:  # the store is down, or busy: the next beat may come in time
            log.warning("%s: the lease could not be renewed: %s", source, type(error).__name__)
            if time.monotonic() - last < LEASE_SECONDS / 2:
                continue
            return lost(f"the lease of {source} could not be renewed for {LEASE_SECONDS / 2:.0f} seconds")
        if not kept:
            return lost(f"another process took over {source}")
        last = time.monotonic()
    return None


def _key(name: str) -> str:
    """Return a name as the store keeps it."""
    return name if len(name) <= MAX_NAME_LENGTH else hashlib.sha256(name.encode()).hexdigest()[:MAX_NAME_LENGTH]


def _machine() -> str:
    """Return an id for the processes of a machine that share a lock folder; two containers or two users have two."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    kernel = boot.read_text(encoding="utf-8").strip()[:8] if boot.exists() else f"{uuid.getnode():x}"
    folder = os.stat(private_folder("locks"))
    return f"{socket.gethostname()[:100]}.{kernel}.{folder.st_dev:x}.{folder.st_ino:x}"
