"""thinking and faults of replies"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("replies", sa.Column("reasoning", sa.Text(), nullable=True))
    op.add_column("replies", sa.Column("fault", sa.String(length=200), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("replies", schema=None) as batch_op:
        batch_op.drop_column("fault")
        batch_op.drop_column("reasoning")
