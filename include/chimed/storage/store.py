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
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Engine,
    Float,
    Integer,
    MetaData,
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
from chimed.storage.columns import String, Text

KEYS_AT_ONCE = (
    5_000  # that are looked up by one statement: SQLite takes 32,766 bound values in a statement, PostgreSQL 65,535
)
MIGRATIONS = Path(__file__).parent / "migrations"
METADATA = MetaData()

# The frontier: every known URL of every site.
PAGES = Table(
    "pages",
    METADATA,
    Column("url", String(2048), primary_key=True, doc="canonical"),
    Column("source", String(32), nullable=False, index=True),
    Column("kind", String(8), nullable=False, doc="list or detail"),
    Column("first_seen", DateTime(timezone=True), nullable=False),
    Column("fetched", DateTime(timezone=True), doc="last time bytes or a 304 were received"),
    Column("status", Integer, doc="HTTP status of the last fetch"),
    Column("etag", String(512)),
    Column("last_modified", String(64)),
    Column("content", String(64), doc="sha-256 of the last body"),
    Column("miss", String(200), doc="why the last fetch gave no record"),
    Column("published", Date, doc="as a list page or the page itself says"),
    Column("crawl", String(64), doc="the crawl that fetched it last"),
    Column("page", String(512), doc="its place in the lake: <WARC path>#<offset>"),
    Column("queued", String(64), index=True, doc="the crawl that wants it and has not got it yet"),
    Column("found_on", String(2048), doc="the list page that showed it first"),
    Column("start", String(2048), doc="the first page of the list that showed it first; of a list's page: of its list"),
    Column("state", String(12), doc="what its last answer said of it (sources/states.py); null: it was never asked"),
    Column("since", Date, doc="the day since which it is in this state, by the sites' clock"),
    Column("due", Date, index=True, doc="the day from which on it is asked again"),
)

# What walks over dated lists have shown: of the list that begins at `start` all pages of [since, until) are known.
WALKS = Table(
    "walks",
    METADATA,
    Column("source", String(32), primary_key=True),
    Column("start", String(2048), primary_key=True, doc="the first page of the list"),
    Column("begun", DateTime(timezone=True), primary_key=True),
    Column("crawl", String(64), nullable=False, doc="the crawl that walks or walked"),
    Column("since", Date, nullable=False),
    Column("until", Date, nullable=False),
    Column("last", String(2048), doc="the list page it saw last"),
    Column("next", String(2048), doc="the list page after that one; null: there is none"),
    Column("shown", Text, doc="pages that the last list page showed without a day, JSON"),
)

# What each crawl cost, over all its attempts.
CRAWLS = Table(
    "crawls",
    METADATA,
    Column("source", String(32), primary_key=True),
    Column("crawl", String(64), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("requests", Integer, nullable=False, doc="what left for the site, robots.txt and repeats included"),
    Column("bytes", BigInteger, nullable=False, doc="of bodies, as on the wire"),
    Column("seconds", Float, nullable=False),
    Column("unchanged", Integer, nullable=False, doc="fetched whole, and what was kept before"),
    Column("off_site", Integer, nullable=False, doc="requests and redirects to other hosts, refused"),
    Column("since", Date, doc="its interval, [since, until); null: open"),
    Column("until", Date),
    Column("begun", Date, doc="the day of its first attempt, by the sites' clock"),
    Column("finished", DateTime(timezone=True), doc="when it was done last"),
    Column("part", Boolean, doc="whether it was for some lists or so many pages only"),
    Column("stopped", String(400), doc="why its last attempt ended before it was done"),
    Column("not_before", DateTime(timezone=True), doc="until when the site is left alone, as it asked or refused"),
    Column("blocked", Integer, nullable=False, server_default="0", doc="attempts in a row that the site refused"),
)

# Which process crawls a site, works on a shard or writes a release: one at a time (lease.py).
LEASES = Table(
    "leases",
    METADATA,
    Column("source", String(32), primary_key=True, doc="a site's name, or the hash of what else is held"),
    Column("holder", String(255), nullable=False, doc="its machine, its process, a number of its own, since when"),
    Column("beats", Integer, nullable=False, doc="goes up while the holder lives"),
)

# Every LLM reply ever paid for, by content of the request (llm.request_key).
REPLIES = Table(
    "replies",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column(
        "model", String(200), nullable=False, doc="who answered (identity.py); of old replies the name served under"
    ),
    Column("prompt", String(100), nullable=False, doc="<name>@<hash> of its wording"),
    Column("messages", Text, nullable=False, doc="the request's messages, JSON"),
    Column("text", Text, nullable=False, doc="the answer, without thinking"),
    Column("reasoning", Text, doc="the thinking"),
    Column("fault", String(200), doc="why the text is of no use to anyone; empty: it is"),
    Column("finish_reason", String(32), nullable=False),
    Column("prompt_tokens", Integer, nullable=False, doc="0 where the server did not say"),
    Column("completion_tokens", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False, index=True),
)

# Every perplexity ever computed, by content of the text and the model.
PERPLEXITIES = Table(
    "perplexities",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("nll", Float, nullable=False, doc="summed negative log-likelihood, nats"),
    Column("tokens", Integer, nullable=False),
    Column("unknown", Integer, nullable=False, doc="tokens outside the model's vocabulary"),
    Column("created", DateTime(timezone=True), doc="null in rows that an older version computed"),
)

# Records that people are asked to look at: a bounded sample of what a stage of a build flagged and let pass.
REVIEW_QUEUE = Table(
    "review_queue",
    METADATA,
    Column("record", String(16), primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("build", String(64), primary_key=True),
    Column("kind", String(8), nullable=False, doc="flagged or passed"),
    Column("reason", String(200), nullable=False, doc="the stage's, empty where it passed"),
    Column("text", Text, nullable=False, doc="what the reviewer sees"),
    Column("sampled", DateTime(timezone=True), nullable=False),
    Column("url", String(2048), doc="the record's; null in rows that an older version put up"),
)

# What people said of them.
REVIEWS = Table(
    "reviews",
    METADATA,
    Column("record", String(16), primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("reviewer", String(200), primary_key=True),
    Column("verdict", String(32), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
)

# What was asked to be removed. `reason` is private: it never leaves the store.
TAKEDOWNS = Table(
    "takedowns",
    METADATA,
    Column("target", String(2048), primary_key=True, doc="a URL, a page's place, or a source"),
    Column("reason", Text, nullable=False, doc="who asked, and why; private"),
    Column("code", String(32), nullable=False, server_default="unspecified", doc="what may be told (release/codes.py)"),
    Column("by", String(200), doc="who ran the takedown; null in rows of an older version"),
    Column("created", DateTime(timezone=True), nullable=False),
)

# The words of what was taken down, as keyed hashes: the same words at another address stay out too (same_words.py).
TAKEN_WORDS = Table(
    "taken_words",
    METADATA,
    Column("key", String(64), primary_key=True, doc="HMAC-SHA-256 of the words, keyed with the store's secret"),
    Column(
        "letters", Integer, nullable=False, index=True, doc="how many were hashed: others need not be hashed at all"
    ),
    Column("created", DateTime(timezone=True), nullable=False),
)

# Where releases were pushed to: nothing else remembers the copies that a takedown must name.
PUSHES = Table(
    "pushes",
    METADATA,
    Column("key", String(64), primary_key=True, doc="hash of version and address"),
    Column("version", String(64), nullable=False, doc="the release; on the hub its tag"),
    Column("address", Text, nullable=False, doc="a folder, s3://… or hf://<owner>/<name>"),
    Column("checksum", String(64), nullable=False),
    Column("pushed", DateTime(timezone=True), nullable=False, doc="the last time"),
)

# What purges have rewritten: what a killed one goes on from, and the receipt of one that is done.
PURGES = Table(
    "purges",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("target", String(2048), nullable=False),
    Column("begun", DateTime(timezone=True), nullable=False),
    Column("finished", DateTime(timezone=True)),
    Column("state", Text, nullable=False, doc="what is to go, by names and hashes, and what was rewritten; JSON"),
)

# Every file that a purge rewrites, put down before it is: killed, nothing is missing in the receipt.
PURGED_FILES = Table(
    "purged_files",
    METADATA,
    Column("purge", String(32), primary_key=True),
    Column("path", String(1024), primary_key=True, doc="in the lake"),
    Column("told", Text, nullable=False, doc="what the receipt says of it, JSON"),
)

# Keys of this store's hashes: made when first needed, never printed, never in the lake.
SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)

# What people decided, for whoever asks later: only ever added to (audit_log.py).
DECISIONS = Table(
    "decisions",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
    Column("who", String(200), nullable=False, doc="the name at Airflow's login, or of the machine's user"),
    Column("what", String(32), nullable=False, doc="verdict, takedown, accepted drift"),
    Column("about", String(400), nullable=False, doc="the record, the release; of a takedown only what may be told"),
    Column("said", String(400), nullable=False, doc="what was decided, never a private reason"),
)

# Columns of keys that may hold an address, which is too long for PostgreSQL's indexes: there their MD5 is unique.
HASHED = {PAGES.c.url, WALKS.c.start, TAKEDOWNS.c.target}


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
