"""Phones, first and last names go to the lake, where conditions of segments and reports look for them."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever has one is written to the lake again.
    op.execute(
        "UPDATE person SET tx = pg_current_xact_id() WHERE phone IS NOT NULL OR first_name IS NOT NULL OR last_name IS NOT NULL"
    )
