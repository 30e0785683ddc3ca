"""states of pages, walks over lists, what became of a crawl"""

from datetime import date

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

DEPTH = 2_000  # list pages of one list; none of the sites shows so many


def upgrade() -> None:
    for column in (
        sa.Column("state", sa.String(length=12)),
        sa.Column("since", sa.Date()),
        sa.Column("due", sa.Date()),
        sa.Column("start", sa.String(length=2048)),
    ):
        op.add_column("pages", column)
    op.create_index("ix_pages_due", "pages", ["due"])
    for column in (
        sa.Column("since", sa.Date()),
        sa.Column("until", sa.Date()),
        sa.Column("begun", sa.Date()),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("part", sa.Boolean()),
        sa.Column("stopped", sa.String(length=400)),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("blocked", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("crawls", column)
    op.create_table(
        "walks",
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("start", sa.String(length=2048), nullable=False),
        sa.Column("begun", sa.DateTime(timezone=True), nullable=False),
        sa.Column("crawl", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("last", sa.String(length=2048)),
        sa.Column("next", sa.String(length=2048)),
        sa.Column("shown", sa.Text()),
        sa.PrimaryKeyConstraint("source", "start", "begun"),
    )
    pages = sa.table(
        "pages",
        *map(sa.column, ("url", "kind", "found_on", "start", "status", "miss", "state", "since", "due")),
        sa.column("fetched", sa.DateTime(timezone=True)),
    )
    _states(pages)
    _starts(pages)


def _states(pages: sa.TableClause) -> None:
    """What the last answers said, by their misses; due as the old promise was, what failed or is open at once."""
    c, connection = pages.c, op.get_bind()
    state = sa.case(
        (c.miss.is_(None), "answered"),
        (c.miss == "no answer", "unanswered"),
        (c.miss.in_(("home page instead of the page", "says that it is gone", "HTTP 404", "HTTP 410")), "gone"),
        (c.miss == "moved to another address", "moved"),
        (c.miss == "forbidden by robots.txt", "forbidden"),
        (sa.or_(c.miss.like("failed:%"), c.miss.like("HTTP 5%"), c.miss == "HTTP 408"), "failed"),
        (c.miss.like("HTTP 4%"), "refused"),
        else_="missed",
    )
    known = sa.or_(c.fetched.is_not(None), c.miss.is_not(None))
    connection.execute(sa.update(pages).where(known, c.kind == "detail").values(state=state))
    again = {"answered": 28, "missed": 28, "moved": 28, "gone": 10, "unanswered": 1}
    later = [(c.state == name, _day(c.fetched, days)) for name, days in again.items()]
    values = {"since": _day(c.fetched, 0), "due": sa.case(*later, else_=_day(c.fetched, 0))}
    connection.execute(sa.update(pages).where(c.state.is_not(None), c.fetched.is_not(None)).values(values))
    never = sa.and_(c.fetched.is_(None), c.state.is_not(None))
    first = sa.literal(date(2026, 1, 1), sa.Date())  # any day that is past
    connection.execute(sa.update(pages).where(never).values(since=first, due=first))


def _day(moment: sa.ColumnElement, later: int) -> sa.ColumnElement:
    """The day of a moment, or so many days later."""
    if op.get_bind().dialect.name == "sqlite":
        return sa.func.date(moment, f"+{later} days")
    return sa.cast(moment, sa.Date) + sa.literal_column(str(later))


def _starts(pages: sa.TableClause) -> None:
    """The list that each list's first page is, from page to page; then the list that showed each detail page first."""
    c, other, connection = pages.c, pages.alias("other"), op.get_bind()
    connection.execute(sa.update(pages).where(c.kind == "list", c.found_on.is_(None)).values(start=c.url))
    before = sa.select(other.c.start).where(other.c.url == c.found_on).scalar_subquery()
    led_to = sa.and_(c.kind == "list", c.start.is_(None), c.found_on.is_not(None), before.is_not(None))
    for _ in range(DEPTH):
        if not connection.execute(sa.update(pages).where(led_to).values(start=before)).rowcount:
            break
    connection.execute(sa.update(pages).where(c.kind == "detail", c.found_on.is_not(None)).values(start=before))


def downgrade() -> None:
    op.drop_table("walks")
    op.drop_index("ix_pages_due", "pages")
    for column in ("state", "since", "due", "start"):
        op.drop_column("pages", column)
    for column in ("since", "until", "begun", "finished", "part", "stopped", "not_before", "blocked"):
        op.drop_column("crawls", column)
