"""The journal of a purge, in the store: what it has to do and has done. A killed purge continues from it."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.store import Store, upsert
from chimed.storage.store_tables import PURGED_FILES, PURGES
from chimed.storage.takedowns import Takedowns, parse_targets


@dataclass
class Journal:
    """A purge. said: the target as the user gave it. names: what to remove, as takedowns name it. ids: of its records.

    searched: whether everything that must be found by the words has been found; after that the words may go. counts:
    what was removed from the store, by table.
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
        """Return what the purge removes."""
        return parse_targets(self.names)


def unfinished(store: Store, said: str) -> Journal | None:
    """Return the unfinished purge of a target, or None."""
    with store.engine.connect() as connection:
        query = select(PURGES).where(PURGES.c.finished.is_(None)).order_by(PURGES.c.begun)
        rows = connection.execute(query).mappings().all()
    for row in rows:
        state = json.loads(row["state"])
        if said.strip() in (state["said"], row["target"]):
            return Journal(store, row["id"], row["target"], row["begun"], **state)
    return None


def begin(store: Store, said: str, target: str, names: list[str]) -> Journal:
    """Begin a new purge."""
    journal = Journal(store, uuid.uuid4().hex[:16], target, datetime.now(UTC), said.strip(), names, [], False, {})
    save(journal)
    return journal


def save(journal: Journal, finished: datetime | None = None) -> None:
    """Save how far a purge is."""
    state = {name: getattr(journal, name) for name in ("said", "names", "ids", "searched", "counts")}
    row = {"id": journal.id, "target": journal.target, "begun": journal.begun, "finished": finished}
    upsert(journal.store, PURGES, [row | {"state": json.dumps(state, ensure_ascii=False)}])


def put_down(journal: Journal, path: str, told: dict[str, Any]) -> None:
    """Record what the receipt will say of a file, before it is rewritten; a second rewrite adds to the record."""
    before = files(journal).get(path)
    if before:
        told = told | {"before": before["before"], "rows": max(before["rows"], told["rows"])}
    row = {"purge": journal.id, "path": path, "told": json.dumps(told, ensure_ascii=False)}
    upsert(journal.store, PURGED_FILES, [row])


def files(journal: Journal) -> dict[str, dict[str, Any]]:
    """Return the record of each file."""
    named = PURGED_FILES.c
    with journal.store.engine.connect() as connection:
        query = select(named.path, named.told).where(named.purge == journal.id).order_by(named.path)
        return {row.path: json.loads(row.told) for row in connection.execute(query)}


def rewrite(journal: Journal, lake: Lake, path: str, data: bytes, what: str, rows: int) -> None:
    """Replace a file's content atomically, after recording it."""
    before = hashlib.sha256(lakes.read_bytes(lake, path)).hexdigest()
    after = hashlib.sha256(data).hexdigest()
    put_down(journal, path, {"what": what, "rows": rows, "before": before, "after": after, "bytes": len(data)})
    lakes.write_bytes(lake, path, data)


def take_away(journal: Journal, lake: Lake, path: str, what: str, rows: int = 0) -> None:
    """Remove a file, after recording it."""
    before = hashlib.sha256(lakes.read_bytes(lake, path)).hexdigest()
    put_down(journal, path, {"what": what, "rows": rows, "before": before, "after": None, "bytes": 0})
    lakes.remove(lake, path)
