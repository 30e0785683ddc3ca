"""codes of takedowns, hashes of their words, where releases were pushed, purges"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    code = sa.Column("code", sa.String(length=32), nullable=False, server_default="unspecified")
    op.add_column("takedowns", code)  # old reasons stay where they are: in the store
    op.add_column("takedowns", sa.Column("by", sa.String(length=200)))
    op.add_column("review_queue", sa.Column("url", sa.String(length=2048)))
    op.create_table(
        "taken_words",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_taken_words_letters", "taken_words", ["letters"])
    op.create_table(
        "pushes",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("pushed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "purges",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=2048), nullable=False),
        sa.Column("begun", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "purged_files",
        sa.Column("purge", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("purge", "path"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    for name in ("secrets", "purged_files", "purges", "pushes"):
        op.drop_table(name)
    op.drop_index("ix_taken_words_letters", "taken_words")
    op.drop_table("taken_words")
    op.drop_column("review_queue", "url")
    op.drop_column("takedowns", "by")
    op.drop_column("takedowns", "code")
