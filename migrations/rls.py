"""Row-level security and grants, as migrations apply them. A table with `workspace_id` calls `protect` when it is made.

The owner gets a policy of its own instead of BYPASSRLS, which a managed Postgres does not let one grant: only the
migrator and the SECURITY DEFINER functions run as gdp_owner, and nobody can log in as it.
"""

from alembic import op

FULL = "SELECT, INSERT, UPDATE, DELETE"


def protect(
    table: str, *, web: str = "SELECT", worker: str = FULL, gate: str = "", column: str = "workspace_id"
) -> None:
    """Enable and force RLS on a table of tenants and grant each runtime role what it may do there."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({column} = app_ws()) WITH CHECK ({column} = app_ws())")
    op.execute(f"CREATE POLICY owner ON {table} TO gdp_owner USING (true) WITH CHECK (true)")
    for role, privileges in (("gdp_web", web), ("gdp_worker", worker), ("gdp_gate", gate)):
        if privileges:
            op.execute(f"GRANT {privileges} ON {table} TO {role}")
