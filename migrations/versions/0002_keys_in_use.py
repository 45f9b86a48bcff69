"""The door notes when a key was last used."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION keys_used(keys uuid[], at timestamptz) RETURNS void
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            UPDATE api_key SET last_used_at = at
            WHERE id = ANY(keys) AND (last_used_at IS NULL OR last_used_at < at - interval '1 minute')
        $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION keys_used(uuid[], timestamptz) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION keys_used(uuid[], timestamptz) TO gdp_ingest")
