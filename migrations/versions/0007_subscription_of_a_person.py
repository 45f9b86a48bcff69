"""The subscription that speaks for a person, among their fields: reports and segments ask for it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("person", sa.Column("subscription_status", sa.Text(), nullable=True))
    op.add_column("person", sa.Column("subscription_started_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("person", sa.Column("subscription_ends_at", sa.DateTime(timezone=True), nullable=True))
    # People who are there already get theirs when they are derived again; the lake gets tags for the first time.
    op.execute("UPDATE person SET tx = pg_current_xact_id() WHERE tags <> '{}'")
    op.execute(
        "INSERT INTO setting (workspace_id, key, value, updated_at) SELECT id, 'recompute.wanted', jsonb_build_object("
        "'token', gen_random_uuid(), 'at', now(), 'steps', jsonb_build_object('people', true)), now() FROM workspace"
        " ON CONFLICT (workspace_id, key) DO UPDATE SET updated_at = excluded.updated_at, value = excluded.value"
        " || jsonb_build_object('steps', (setting.value -> 'steps') || (excluded.value -> 'steps'))"
    )
