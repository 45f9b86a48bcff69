"""How many entries and exits of a segment are still to be written: very many are written in parts."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segment_state", sa.Column("pending", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("segment_state", "pending", server_default=None)
