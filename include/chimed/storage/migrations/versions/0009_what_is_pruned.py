"""when a perplexity was computed; replies by the day they were given: what `store prune` goes by"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("perplexities", sa.Column("created", sa.DateTime(timezone=True)))
    op.create_index("ix_replies_created", "replies", ["created"])


def downgrade() -> None:
    op.drop_index("ix_replies_created", "replies")
    op.drop_column("perplexities", "created")
