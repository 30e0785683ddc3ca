"""Who decided what, and when: verdicts on records, takedowns, drifts that were accepted. Ours; the paper is silent.

A verdict can be given anew and a release rewritten; what was decided before stays here. The log is only added to. What
is private, as the reason of a takedown, does not go into it.
"""

import getpass
from datetime import UTC, datetime

from sqlalchemy import insert, select

from chimed.storage.store import DECISIONS, Store

KINDS = ("verdict", "takedown", "accepted drift")


def note(store: Store, what: str, about: str, said: str, who: str | None = None) -> None:
    """Puts down a decision. what: one of `KINDS`. who: a login's name; None: the user of this machine."""
    row = {"at": datetime.now(UTC), "who": who or user(), "what": what, "about": about, "said": said}
    with store.engine.begin() as connection:
        connection.execute(insert(DECISIONS), row)


def decisions(store: Store, most: int = 200, what: str | None = None) -> list[dict]:
    """The latest decisions, newest first: at, who, what, about, said."""
    named = DECISIONS.c
    query = select(named.at, named.who, named.what, named.about, named.said).order_by(named.id.desc()).limit(most)
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(named.what == what) if what else query).mappings()
        return [dict(row) for row in rows]


def user() -> str:
    """The machine's user, or its number where it has no name, as in a pod."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
