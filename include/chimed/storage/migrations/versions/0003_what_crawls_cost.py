"""what crawls cost"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "crawls",
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("crawl", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("off_site", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", "crawl"),
    )


def downgrade() -> None:
    op.drop_table("crawls")
