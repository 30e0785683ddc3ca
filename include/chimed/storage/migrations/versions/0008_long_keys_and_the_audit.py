"""keys of any length in PostgreSQL, what people decided"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

# PostgreSQL takes no key of more than 2,704 bytes, and an address of 2,048 Chinese characters has 6,144: its MD5 is
# what has to be unique there, and an index by hash finds it.
KEYS = {"pages": ("url",), "walks": ("source", "start", "begun"), "takedowns": ("target",)}
LONG = {"pages": "url", "walks": "start", "takedowns": "target"}


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("about", sa.String(length=400), nullable=False),
        sa.Column("said", sa.String(length=400), nullable=False),
    )
    op.create_index("ix_decisions_at", "decisions", ["at"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in KEYS.items():
        long = LONG[table]
        unique = ", ".join(f'md5("{name}")' if name == long else f'"{name}"' for name in columns)
        op.execute(f"alter table {table} drop constraint {table}_pkey")
        op.execute(f"create unique index {table}_key on {table} ({unique})")
        op.execute(f'create index {table}_{long} on {table} using hash ("{long}")')


def downgrade() -> None:
    op.drop_index("ix_decisions_at", "decisions")
    op.drop_table("decisions")
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in KEYS.items():
        op.execute(f"drop index {table}_key")
        op.execute(f"drop index {table}_{LONG[table]}")
        names = ", ".join(f'"{name}"' for name in columns)
        op.execute(f"alter table {table} add primary key ({names})")
