"""Takes old replies and perplexities out of the store, and says what it would cost to ask for them again. Ours.

    python -m chimed store prune --before 2026-01-01          # only says it
    python -m chimed store prune --before 2026-01-01 --yes

A reply is found again by the content of its request, so an old one is as good as a new one: what is taken out and is
still wanted is asked for, and paid, again by the next build. A reply to a prompt whose wording has changed since is
wanted by no build any more. A row's trace then names the keys of such replies without their text.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, func, select

from chimed.storage.store import Store
from chimed.storage.store_tables import PERPLEXITIES, REPLIES

AT_ONCE = 20_000  # rows of one transaction: who writes to an SQLite store meanwhile waits no longer than for these


def prune(store: Store, before: datetime, current: Collection[str], do: bool) -> dict[str, Any]:
    """Return what was stored before a moment: counted, and taken out where `do` says so.

    current: the prompts (`<name>@<hash>`) that this code asks with. Returns replies, by_prompt (for each prompt and
    model requests, prompt_tokens, completion_tokens, seconds as the server took, current), again (the same sums over
    the current prompts: what asking again costs), perplexities and their tokens, not_dated (perplexities that an older
    version computed, which are left alone), and done.
    """
    found = _by_prompt(store, before)
    for one in found:
        one["current"] = one["prompt"] in current
    sums = ("requests", "prompt_tokens", "completion_tokens", "seconds")
    again = {name: sum(one[name] for one in found if one["current"]) for name in sums}
    scores, tokens, undated = _perplexities(store, before)
    if do:
        for table in (REPLIES, PERPLEXITIES):
            _take_out(store, table, before)
    return {
        "before": before.isoformat(),
        "replies": sum(one["requests"] for one in found),
        "by_prompt": found,
        "again": again | {"seconds": round(again["seconds"], 1)},
        "perplexities": scores,
        "tokens": tokens,
        "not_dated": undated,
        "done": do,
    }


def _by_prompt(store: Store, before: datetime) -> list[dict[str, Any]]:
    named = REPLIES.c
    sums = [func.sum(column).label(column.name) for column in (named.prompt_tokens, named.completion_tokens)]
    seconds = func.sum(named.seconds).label("seconds")
    query = select(named.prompt, named.model, func.count().label("requests"), *sums, seconds)
    grouped = query.where(named.created < before).group_by(named.prompt, named.model)
    with store.engine.connect() as connection:
        rows = connection.execute(grouped.order_by(named.prompt, named.model)).mappings()
        return [
            {**row, "seconds": round(row["seconds"], 1), **{sum.name: int(row[sum.name]) for sum in sums}}
            for row in rows
        ]


def _perplexities(store: Store, before: datetime) -> tuple[int, int, int]:
    """Scores computed before a moment, their tokens, and scores without a date."""
    named = PERPLEXITIES.c
    old = select(func.count(), func.coalesce(func.sum(named.tokens), 0)).where(named.created < before)
    with store.engine.connect() as connection:
        scores, tokens = connection.execute(old).one()
        undated = connection.scalar(select(func.count()).select_from(PERPLEXITIES).where(named.created.is_(None)))
    return scores, int(tokens), undated or 0


def _take_out(store: Store, table: Table, before: datetime) -> None:
    """Delete a table's old rows, some at a time; killed in between, it is finished by running it again."""
    (key,) = table.primary_key
    old = select(key).where(table.c.created < before).limit(AT_ONCE)
    while True:
        with store.engine.begin() as connection:
            if not connection.execute(delete(table).where(key.in_(old))).rowcount:
                return
