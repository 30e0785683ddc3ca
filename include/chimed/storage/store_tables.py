"""The store's tables: what each row is, and what it outlives. Alembic's migrations make them (`migrations/`)."""

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Float, Integer, MetaData, Table

from chimed.storage.columns import String, Text

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
