"""Who was erased stays out of segments, whatever an older timeline still says of them."""

import sqlalchemy as sa
from alembic import op

from migrations.rls import protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_forgotten",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "number"),
    )
    protect("segment_forgotten", web="", worker="SELECT, INSERT, DELETE")
