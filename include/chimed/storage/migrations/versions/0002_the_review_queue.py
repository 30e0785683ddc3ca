"""the review queue"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "review_queue",
        sa.Column("record", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("build", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sampled", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("record", "stage", "build"),
    )


def downgrade() -> None:
    op.drop_table("review_queue")
