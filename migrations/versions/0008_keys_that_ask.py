"""Server keys that may ask: the role a key has in its workspace. Those that are there were made to send only."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("role", sa.Text(), nullable=True))
    op.create_check_constraint("role_is_known", "api_key", "role IN ('MEMBER', 'VIEWER')")
