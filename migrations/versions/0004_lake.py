"""What the lake needs to follow Postgres: which transaction wrote a row, which events went, and how far it has come."""

import sqlalchemy as sa
from alembic import op

from gdp_core.tables.base import TransactionNumber
from migrations.rls import FULL, protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("event", "actor", "person"):
        # Rows that are there already count as written by the first transaction: adding a constant rewrites nothing.
        op.execute(f"ALTER TABLE {table} ADD COLUMN tx xid8 NOT NULL DEFAULT '3'")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN tx SET DEFAULT pg_current_xact_id()")
        op.create_index(f"{table}_by_tx", table, ["workspace_id", "tx"])
    op.create_table(
        "event_gone",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("tx", TransactionNumber(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "workspace_id", "tx"),
    )
    op.create_index("event_gone_by_tx", "event_gone", ["workspace_id", "tx"])
    protect("event_gone")
    op.create_table(
        "lake_state",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("complete_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_tx", sa.BigInteger(), nullable=False),
        sa.Column("flushed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
        schema="ops",
    )
    op.execute(f"GRANT {FULL} ON ops.lake_state TO gdp_worker")
    op.execute("GRANT SELECT ON ops.lake_state TO gdp_web")
    # The catalogue of the lake: DuckLake makes its own tables there. No tenants, and nobody else looks in.
    op.execute("CREATE SCHEMA lake AUTHORIZATION gdp_owner")
    op.execute("REVOKE ALL ON SCHEMA lake FROM PUBLIC")
    op.execute("GRANT USAGE, CREATE ON SCHEMA lake TO gdp_lake")
