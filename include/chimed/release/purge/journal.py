"""What a purge has to do and has done, in the store: a killed one goes on from it, and its receipt is made of it."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.store import PURGED_FILES, PURGES, Store, upsert
from chimed.storage.takedowns import Takedowns, parse_targets


@dataclass
class Journal:
    """One purge. said: its target as it was asked for. names: what goes, as takedowns have it. ids: of its records.

    searched: whether all that has to be found by the words themselves has been found; after that they may go.
    counts: what left the store, by table.
    """

    store: Store
    id: str
    target: str
    begun: datetime
    said: str
    names: list[str]
    ids: list[str]
    searched: bool
    counts: dict[str, int]

    @property
    def gone(self) -> Takedowns:
        """What goes."""
        return parse_targets(self.names)


def unfinished(store: Store, said: str) -> Journal | None:
    """Return the purge of a target that was begun and not finished."""
    with store.engine.connect() as connection:
        query = select(PURGES).where(PURGES.c.finished.is_(None)).order_by(PURGES.c.begun)
        rows = connection.execute(query).mappings().all()
    for row in rows:
        state = json.loads(row["state"])
        if said.strip() in (state["said"], row["target"]):
            return Journal(store, row["id"], row["target"], row["begun"], **state)
    return None


def begin(store: Store, said: str, target: str, names: list[str]) -> Journal:
    """Return a new purge."""
    journal = Journal(store, uuid.uuid4().hex[:16], target, datetime.now(UTC), said.strip(), names, [], False, {})
    save(journal)
    return journal


def save(journal: Journal, finished: datetime | None = None) -> None:
    """Put down how far a purge is."""
    state = {name: getattr(journal, name) for name in ("said", "names", "ids", "searched", "counts")}
    row = {"id": journal.id, "target": journal.target, "begun": journal.begun, "finished": finished}
    upsert(journal.store, PURGES, [row | {"state": json.dumps(state, ensure_ascii=False)}])


def put_down(journal: Journal, path: str, told: dict) -> None:
    """Return what the receipt says of a file, before it is rewritten; a second time it adds to what was said."""
    before = files(journal).get(path)
    if before:
        told = told | {"before": before["before"], "rows": max(before["rows"], told["rows"])}
    row = {"purge": journal.id, "path": path, "told": json.dumps(told, ensure_ascii=False)}
    upsert(journal.store, PURGED_FILES, [row])


def files(journal: Journal) -> dict[str, dict]:
    """Return what was put down of each file."""
    named = PURGED_FILES.c
    with journal.store.engine.connect() as connection:
        query = select(named.path, named.told).where(named.purge == journal.id).order_by(named.path)
        return {row.path: json.loads(row.told) for row in connection.execute(query)}


def rewrite(journal: Journal, lake: Lake, path: str, data: bytes, what: str, rows: int) -> None:
    """Put other bytes in the place of a file's, whole or not at all, once they are put down."""
    before = hashlib.sha256(lakes.read_bytes(lake, path)).hexdigest()
    after = hashlib.sha256(data).hexdigest()
    put_down(journal, path, {"what": what, "rows": rows, "before": before, "after": after, "bytes": len(data)})
    lakes.write_bytes(lake, path, data)


def take_away(journal: Journal, lake: Lake, path: str, what: str, rows: int = 0) -> None:
    """Take a file away, once that is put down."""
    before = hashlib.sha256(lakes.read_bytes(lake, path)).hexdigest()
    put_down(journal, path, {"what": what, "rows": rows, "before": before, "after": None, "bytes": 0})
    lakes.remove(lake, path)
