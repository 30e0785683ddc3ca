"""Record who decided what, and when: verdicts, takedowns, accepted drifts. Ours; the paper does not cover it.

A verdict can be changed and a release rewritten; the earlier decision stays here. Rows are only added. Private
information, such as the reason for a takedown, is not recorded.
"""

import getpass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from chimed.storage.store import Store
from chimed.storage.store_tables import DECISIONS

KINDS = ("verdict", "takedown", "accepted drift")


def record_decision(store: Store, what: str, about: str, said: str, who: str | None = None) -> None:
    """Record a decision. what: one of `KINDS`. who: a login name; None for the user of this machine."""
    row = {"at": datetime.now(UTC), "who": who or current_user(), "what": what, "about": about, "said": said}
    with store.engine.begin() as connection:
        connection.execute(insert(DECISIONS), row)


def list_decisions(store: Store, most: int = 200, what: str | None = None) -> list[dict[str, Any]]:
    """Return the latest decisions, newest first: at, who, what, about, said."""
    named = DECISIONS.c
    query = select(named.at, named.who, named.what, named.about, named.said).order_by(named.id.desc()).limit(most)
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(named.what == what) if what else query).mappings()
        return [dict(row) for row in rows]


def current_user() -> str:
    """Return the machine's user, or "unknown" if it has no name, as in a pod."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
