"""When and by which rules a segment was last tried, well or not; and logs of segments by workspace first, so that nobody
reads through what others left."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segment_state", sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("segment_state", sa.Column("tried", sa.Text(), nullable=True))
    op.execute("UPDATE segment_state SET tried_at = greatest(evaluated_at, failed_at), tried = definition")
    for table, column in (("segment_cycle", "at"), ("segment_transition", "seq")):
        op.drop_constraint(f"{table}_pkey", table)
        op.create_primary_key(f"{table}_pkey", table, ["workspace_id", column])
    op.create_index(
        "segment_cycle_quiet",
        "segment_cycle",
        ["workspace_id", "at"],
        postgresql_where=sa.text("entered = 0 AND exited = 0"),
    )
