"""The store: what must outlive a build. Known pages, LLM replies, perplexities, reviews, takedowns, pushes.

SQLite by default, PostgreSQL in production (`CHIMED_STORE`), through SQLAlchemy; the schema is moved by Alembic
(`migrations/`). An SQLite store is brought up to date when opened; a server's by `python -m chimed store upgrade`.
"""

import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError

from chimed.characters import short
from chimed.errors import UserError
from chimed.settings import settings
from chimed.storage.store_tables import HASHED, REPLIES, REVIEW_QUEUE, SECRETS

KEYS_AT_ONCE = (
    5_000  # that are looked up by one statement: SQLite takes 32,766 bound values in a statement, PostgreSQL 65,535
)
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Store:
    """An open store."""

    engine: Engine


def open_store(url: str | None = None) -> Store:
    """Return the store at `url` (default `CHIMED_STORE`).

    Raises UserError where no server answers or its schema is not this code's.
    """
    engine = _engine(url or settings().store)
    have, want = _revisions(engine)
    if have != want:
        if engine.dialect.name != "sqlite":
            raise UserError(
                f"the store's schema is {have or 'empty'}, this code's is {want}; run: python -m chimed store upgrade"
            )
        upgrade(url)
    return Store(engine)


def find_store() -> Store:
    """Return the store of `CHIMED_STORE` for work that needs what is in it. Raises UserError where there is none."""
    if (found := find_existing_store()) is None:
        where = _parsed(settings().store).database
        raise UserError(f"there is no store at {where}; set CHIMED_STORE to the store of this lake")
    return found


def find_existing_store() -> Store | None:
    """Return the store of `CHIMED_STORE`; None where it is an SQLite file that is not there, which is not made."""
    parsed = _parsed(settings().store)
    on_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return None if on_file and not os.path.exists(str(parsed.database)) else open_store()


def upgrade(url: str | None = None) -> None:
    """Brings the store's schema to this code's (Alembic, to head). Safe to call from several processes at once."""
    from alembic import command
    from filelock import FileLock

    engine = _engine(url or settings().store)
    _revisions(engine)  # before anything is written beside a file that is no store
    database = engine.url.database
    on_file = engine.dialect.name == "sqlite" and database not in (None, "", ":memory:")
    with FileLock(f"{database}.lock") if on_file else nullcontext():
        config = _alembic_config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _engine(url: str) -> Engine:
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    if parsed.get_backend_name() != "sqlite":
        raise UserError(f"CHIMED_STORE is {parsed.get_backend_name()}; it may be sqlite:///<file> or postgresql://…")
    if parsed.database in (None, "", ":memory:"):
        raise UserError("CHIMED_STORE names no file, so nothing would be kept; write sqlite:///<file>")
    if parsed.database:
        _make_folder(Path(parsed.database))
    engine = create_engine(parsed, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _wal(connection, _record) -> None:  # readers and one writer at the same time
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        connection.execute("pragma secure_delete=on")  # what is deleted is overwritten, not only unlinked

    return engine


def _parsed(url: str) -> URL:
    """Return a store's address. Raises UserError for one that is none."""
    try:
        found, password = make_url(url), settings().store_password
        return found.set(password=password.get_secret_value()) if password and found.username else found
    except (ArgumentError, ValueError):  # their words hold the address, and with it the password
        raise UserError(
            "CHIMED_STORE is not the address of a store; write sqlite:///<file> or "
            "postgresql://<user>:<password>@<host>/<name>, a sign of the password that is no letter or digit as %2F"
        ) from None


def _make_folder(file: Path) -> None:
    """Create the folder of an SQLite store. Raises UserError if it cannot be created, or if the file is a folder."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_folder = file.is_dir()
    except OSError as error:
        raise UserError(f"the store cannot be at {file}: {error.strerror}; CHIMED_STORE says where it is") from None
    if is_folder:
        raise UserError(f"the store cannot be at {file}: it is a folder; CHIMED_STORE says where it is")


def _alembic_config():
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _revisions(engine: Engine) -> tuple[str | None, str]:
    """Return the store's schema revision, and this code's.

    The code's is read from the name of its last migration, since Alembic takes long to load. Raises UserError where no
    server answers, or where a file is not a database.
    """
    have = None
    try:
        with engine.connect() as connection:
            if inspect(connection).has_table("alembic_version"):
                have = connection.scalar(text("select version_num from alembic_version"))
    except DBAPIError as error:  # of SQLite also: the file is no database
        raise UserError(
            f"no store at {engine.url.render_as_string()}: {short(str(error.orig).strip(), 300)}; "
            "CHIMED_STORE says where it is"
        ) from None
    return have, max(file.name.split("_")[0] for file in MIGRATIONS.glob("versions/*.py"))


def upsert(store: Store, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows, each whole; a row whose primary key is there replaces the columns it names. One transaction.

    Of rows with one key the last counts. All rows name the same columns.
    """
    if rows and store.engine.dialect.name == "postgresql":
        _upsert_columns(store, table, rows)
    elif rows:
        keys, insert = list(table.primary_key), sqlite.insert(table)
        changed = {name: insert.excluded[name] for name in rows[0] if table.c[name] not in keys}
        statement = (
            insert.on_conflict_do_update(index_elements=keys, set_=changed)
            if changed
            else insert.on_conflict_do_nothing()
        )
        with store.engine.begin() as connection:
            connection.execute(statement, rows)


def _upsert_columns(store: Store, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows to PostgreSQL in one statement that takes each column as an array: a row's own would cost a round
    trip."""
    dialect, names = store.engine.dialect, list(rows[0])
    kept = {}
    for name in names:
        process = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        kept[name] = [process(row[name]) if process else row[name] for row in rows]
    keys = [column.name for column in table.primary_key]
    last = {key: place for place, key in enumerate(zip(*(kept[name] for name in keys), strict=True))}
    arrays = {name: [kept[name][place] for place in last.values()] for name in names}  # no row twice in a statement
    kinds = {name: table.c[name].type.compile(dialect) for name in names}
    unique = ", ".join(f'md5("{name}")' if table.c[name] in HASHED else f'"{name}"' for name in keys)
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
    listed = ", ".join(f'"{name}"' for name in names)
    given = ", ".join(f"cast(:{name} as {kinds[name]}[])" for name in names)
    statement = (
        f'insert into "{table.name}" ({listed}) select * from unnest({given}) '
        f"on conflict ({unique}) do {f'update set {changed}' if changed else 'nothing'}"
    )
    with store.engine.begin() as connection:
        connection.execute(text(statement), arrays)


def queue_for_review(store: Store, rows: list[dict[str, Any]], most: int) -> None:
    """Add rows of `REVIEW_QUEUE` and keeps, of each stage, build and kind, the `most` with the smallest record ids.

    Ids are hashes, so this is a random sample, and the same one in whatever order the shards of a build come.
    """
    upsert(store, REVIEW_QUEUE, rows)
    named = REVIEW_QUEUE.c
    with store.engine.begin() as connection:
        for stage, build, kind in sorted({(row["stage"], row["build"], row["kind"]) for row in rows}):
            same = (named.stage == stage) & (named.build == build) & (named.kind == kind)
            first_over = connection.scalar(
                select(named.record).where(same).order_by(named.record).offset(most).limit(1)
            )
            if first_over:
                connection.execute(delete(REVIEW_QUEUE).where(same, named.record >= first_over))


def find(store: Store, table: Table, keys: Iterable[str], columns: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Rows of a table with a single-column primary key, by key; keys that are not there are left out.

    columns: those that are wanted besides the key; all by default. `KEYS_AT_ONCE` are looked up at a time.
    """
    (key,) = table.primary_key
    wanted, found = list(dict.fromkeys(keys)), {}
    chosen = select(key, *(table.c[name] for name in columns if name != key.name)) if columns else select(table)
    with store.engine.connect() as connection:
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            chunk = wanted[start : start + KEYS_AT_ONCE]
            for row in connection.execute(chosen.where(key.in_(chunk))).mappings():
                found[row[key.name]] = dict(row)
    return found


def forget_faults(store: Store) -> int:
    """Take out every reply that is of no use to anyone (`fault`), so that it is asked for again; returns how many."""
    with store.engine.begin() as connection:
        return connection.execute(delete(REPLIES).where(REPLIES.c.fault.is_not(None))).rowcount


def secret(store: Store) -> bytes:
    """Return the key of this store's hashes, 32 bytes; made by whoever asks first."""
    for _ in range(2):
        with store.engine.connect() as connection:
            value = connection.scalar(select(SECRETS.c.value).where(SECRETS.c.name == "hashes"))
        if value:
            return bytes.fromhex(value)
        insert = (postgresql if store.engine.dialect.name == "postgresql" else sqlite).insert(SECRETS)
        with store.engine.begin() as connection:
            made = insert.values(name="hashes", value=secrets.token_hex(32))
            connection.execute(made.on_conflict_do_nothing())
    raise UserError("the store keeps no secret: is it writable?")
