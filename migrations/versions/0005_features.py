"""Features of people, those that workspaces define, and the early-warning model. Persons are found by their number."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

from migrations.rls import FULL, protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_feature",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("word", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parts", postgresql.JSONB(astext_type=Text()), nullable=True),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("num_nonnulls(number, word, at) > 0", name="has_a_value"),
        sa.PrimaryKeyConstraint("person_id", "workspace_id", "feature"),
    )
    for column in ("number", "word", "at"):
        op.create_index(
            f"person_feature_by_{column}",
            "person_feature",
            ["workspace_id", "feature", column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_table(
        "feature_definition",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("event_names", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("conditions", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("aggregate", sa.Text(), nullable=False),
        sa.Column("lookback", sa.Text(), nullable=True),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "aggregate IN ('count', 'sum', 'distinct', 'days', 'since', 'first', 'last')", name="aggregate_is_known"
        ),
        sa.PrimaryKeyConstraint("slug", "workspace_id"),
    )
    op.create_table(
        "churn_model",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", "workspace_id"),
    )
    protect("person_feature")
    protect("feature_definition", web=FULL)
    protect("churn_model")
    op.create_index("actor_by_number", "actor", ["workspace_id", "number"], unique=True)
