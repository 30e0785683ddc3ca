"""How many rows a second the store takes and gives, on SQLite and on PostgreSQL, and how large it grows.

    PYTHONPATH=include python tests/benchmarks/store_rates.py                      # 200,000 replies, 1 M perplexities
    PYTHONPATH=include python tests/benchmarks/store_rates.py --only postgresql --stored 10_000_000 --replies 100_000

A reply has a request of 900 characters, a perplexity none. Written are batches of 64 (as the client writes what comes)
and of 2,000; looked up are 20,000 keys at once, half of them unknown, as a stage of one part does. The last line of
each is `rates` as JSON: `scale.py` reads it. With `--stored` PostgreSQL first makes itself so many replies to requests
of 270 bytes: what is measured then is what indexes of that size cost, not the disk.

Measured on two cores that six others worked on, PostgreSQL on the same machine: see docs/scale.md.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Table, text

sys.path.insert(0, str(Path(__file__).parents[1]))

from chimed.storage.pruning import prune
from chimed.storage.store import Store, find, open_store, upgrade, upsert
from chimed.storage.store_tables import PERPLEXITIES, REPLIES
from support import postgres

OLD, NEW = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
FILLED = 500_000  # rows that PostgreSQL makes in one statement
SIGNS = "".join(chr(0x4E00 + n) for n in random.Random(1).choices(range(3_500), k=200_000))


def key(number: int) -> str:
    """Return a key as a request has one: a hash."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def reply(number: int) -> dict:
    """Return a reply to a request of 900 characters; every tenth is old."""
    start = number * 37 % (len(SIGNS) - 900)
    message = json.dumps([{"role": "user", "content": SIGNS[start : start + 900]}], ensure_ascii=False)
    return {
        "key": key(number), "model": "m", "prompt": "screen@1", "messages": message, "text": "否", "reasoning": None,
        "fault": None, "finish_reason": "stop", "prompt_tokens": 700, "completion_tokens": 1, "seconds": 0.1,
        "created": OLD if number % 10 == 0 else NEW,
    }  # fmt: skip


def perplexity(number: int) -> dict:
    """Return a score; every tenth is old."""
    created = OLD if number % 10 == 0 else NEW
    return {"key": key(number), "nll": 1.5 * number, "tokens": 120, "unknown": 1, "created": created}


def written(store: Store, table: Table, made: Callable[[int], dict], numbers: range, batch: int) -> float:
    """Rows a second written in batches; making them is not counted."""
    spent = 0.0
    for start in range(numbers.start, numbers.stop, batch):
        rows = [made(number) for number in range(start, min(start + batch, numbers.stop))]
        began = time.monotonic()
        upsert(store, table, rows)
        spent += time.monotonic() - began
    return len(numbers) / spent


def fill(store: Store, stored: int) -> None:
    """Put so many replies into PostgreSQL, made there, and index them; every tenth is old."""
    made = (
        "insert into replies (key, model, prompt, messages, text, finish_reason, prompt_tokens, completion_tokens, "
        "seconds, created) select made, 'm', 'screen@1', left(repeat(made, 5), 270), '否', 'stop', 90, 1, 0.1, "
        f"case when n % 10 = 0 then timestamptz '{OLD}' else timestamptz '{NEW}' end from (select n, "
        "encode(sha256(n::text::bytea), 'hex') as made from generate_series(cast(:start as bigint), :end) as n) as rows"
    )

    def insert(start: int) -> None:
        with store.engine.begin() as connection:
            connection.execute(text(made), {"start": start, "end": min(start + FILLED, stored) - 1})
        print(f"{'stored':12}{start + FILLED:60,}", flush=True)

    with store.engine.begin() as connection:  # indexed row by row it would take ten times as long
        connection.execute(text("alter table replies drop constraint replies_pkey"))
        connection.execute(text("drop index ix_replies_created"))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(insert, range(0, stored, FILLED)))
    with store.engine.begin() as connection:
        connection.execute(text("alter table replies add constraint replies_pkey primary key (key)"))
        connection.execute(text("create index ix_replies_created on replies (created)"))
        connection.execute(text("analyze replies"))


def found(store: Store, table: Table, there: int, columns: tuple[str, ...] = ()) -> float:
    """Keys a second looked up, half of them unknown, 20,000 at a time."""
    chance, rounds, began = random.Random(2), 5, time.monotonic()
    for _ in range(rounds):
        find(store, table, [key(n) for n in chance.sample(range(2 * there), 20_000)], columns)
    return rounds * 20_000 / (time.monotonic() - began)


def size(store: Store, table: Table, file: Path | None) -> int:
    """Bytes of a table with its indexes; of SQLite the whole file's, to be compared with what it was before."""
    if file is not None:
        with store.engine.connect() as connection:
            connection.execute(text("pragma wal_checkpoint(truncate)"))
        return file.stat().st_size
    with store.engine.connect() as connection:
        return connection.scalar(text(f"select pg_total_relation_size('{table.name}')")) or 0


def rates(store: Store, stored: int, replies: int, scores: int, file: Path | None) -> Iterator[tuple[str, float]]:
    """Return what is measured, each with its number. stored: replies that lie there before."""
    wanted = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "seconds", "reasoning", "fault")
    for table, made, many, columns in ((REPLIES, reply, replies, wanted), (PERPLEXITIES, perplexity, scores, ())):
        name, before, few = table.name, size(store, table, file), min(many // 20, 20_000)
        there = stored if table is REPLIES else 0
        numbers = range(there + few, there + many), range(there, there + few)
        yield f"{name} written a second, 2,000 at a time", written(store, table, made, numbers[0], 2_000)
        yield f"{name} written a second, 64 at a time", written(store, table, made, numbers[1], 64)
        yield f"{name} looked up a second", found(store, table, there + many, columns)
        yield f"bytes of a row of {name}", (size(store, table, file) - before) / many
    began = time.monotonic()
    told = prune(store, datetime(2025, 6, 1, tzinfo=UTC), {"screen@1"}, do=True)
    yield "rows pruned a second", (told["replies"] + told["perplexities"]) / (time.monotonic() - began)


def main() -> None:
    """Print the rates of both databases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", type=int, default=200_000)
    parser.add_argument("--perplexities", type=int, default=1_000_000)
    parser.add_argument("--stored", type=int, default=0, help="replies that PostgreSQL holds before")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    chosen = parser.parse_args()
    every: dict[str, dict[str, float]] = {}
    for kind in ("sqlite", "postgresql") if chosen.only is None else (chosen.only,):
        with tempfile.TemporaryDirectory() as folder:
            if kind == "sqlite":
                file = Path(folder) / "store.db"
                every[kind] = measured(f"sqlite:///{file}", 0, chosen.replies, chosen.perplexities, file)
            else:
                with postgres.running() as server:
                    every[kind] = measured(server.get_uri(), chosen.stored, chosen.replies, chosen.perplexities, None)
    print(json.dumps({"rates": every}))


def measured(url: str, stored: int, replies: int, scores: int, file: Path | None) -> dict[str, float]:
    """Return the rates of one store, printed as they come."""
    upgrade(url)
    store, said = open_store(url), {}
    if stored:
        fill(store, stored)
        print(f"{url.split(':')[0]:12}{'bytes of the stored replies':48}{size(store, REPLIES, file):12,}", flush=True)
    for what, number in rates(store, stored, replies, scores, file):
        said[what] = round(number)
        print(f"{url.split(':')[0]:12}{what:48}{number:12,.0f}", flush=True)
    store.engine.dispose()
    return said


if __name__ == "__main__":
    main()
