"""Segments: their rules in versions, drafts, members, every entry and exit, and who is to be told of those."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

from migrations.rls import FULL, protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _written_by_people()
    _found_by_cycles()
    protect("segment", web="SELECT, INSERT, UPDATE")
    protect("segment_version", web="SELECT, INSERT", worker="SELECT, DELETE")
    protect("segment_draft", web=FULL)
    protect("segment_transition", worker="SELECT, INSERT, DELETE")
    for table in ("segment_state", "segment_member", "segment_size", "segment_cycle"):
        protect(table)
    protect("webhook_subscription", web=FULL)


def _id(name: str = "id", *, nullable: bool = False) -> sa.Column[sa.Uuid]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _word(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _object(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=Text()), nullable=nullable)


def _written_by_people() -> None:
    op.create_table(
        "segment",
        _id(),
        _id("workspace_id"),
        _word("name"),
        _word("description"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _instant("resumed_at"),
        _word("goal"),
        _object("action", nullable=True),
        _word("starter", nullable=True),
        _instant("created_at"),
        _id("created_by", nullable=True),
        _instant("updated_at"),
        _id("updated_by", nullable=True),
        _instant("archived_at", nullable=True),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index(
        "segment_by_name",
        "segment",
        ["workspace_id", "name"],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "segment_version",
        _id("segment_id"),
        _id("workspace_id"),
        sa.Column("version", sa.Integer(), nullable=False),
        _object("rule"),
        _word("note"),
        _instant("created_at"),
        _id("created_by", nullable=True),
        sa.PrimaryKeyConstraint("segment_id", "workspace_id", "version"),
    )
    op.create_table(
        "segment_draft",
        _id("segment_id"),
        _id("workspace_id"),
        _id("user_id"),
        _object("content"),
        _instant("updated_at"),
        sa.PrimaryKeyConstraint("segment_id", "workspace_id", "user_id"),
    )
    op.create_table(
        "webhook_subscription",
        _id(),
        _id("workspace_id"),
        _word("url"),
        _id("segment_id", nullable=True),
        sa.Column("kinds", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _whole("position"),
        _instant("created_at"),
        _id("created_by", nullable=True),
        _instant("updated_at"),
        _id("updated_by", nullable=True),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )


def _found_by_cycles() -> None:
    op.create_table(
        "segment_state",
        _id("segment_id"),
        _id("workspace_id"),
        _id("mark"),
        sa.Column("version", sa.Integer(), nullable=True),
        _word("definition", nullable=True),
        sa.Column("people", sa.BigInteger(), nullable=True),
        _instant("evaluated_at", nullable=True),
        _word("snapshot", nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        _word("error", nullable=True),
        _instant("failed_at", nullable=True),
        sa.PrimaryKeyConstraint("segment_id", "workspace_id"),
    )
    op.create_table(
        "segment_member",
        _id("segment_id"),
        _id("workspace_id"),
        _id("person_id"),
        _instant("entered_at"),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "workspace_id", "person_id"),
    )
    op.create_index("segment_member_by_person", "segment_member", ["workspace_id", "person_id"])
    op.create_index(
        "segment_member_by_entered", "segment_member", ["workspace_id", "segment_id", "entered_at", "person_id"]
    )
    op.create_table(
        "segment_transition",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _id("workspace_id"),
        _id("segment_id"),
        _id("person_id"),
        _word("kind"),
        _instant("at"),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _word("reason"),
        sa.CheckConstraint("kind IN ('entered', 'exited')", name="kind_is_known"),
        sa.CheckConstraint(
            "reason IN ('first', 'facts', 'time', 'rule', 'merged', 'resumed')", name="reason_is_known"
        ),
        sa.PrimaryKeyConstraint("seq", "workspace_id"),
    )
    op.create_index("segment_transition_by_segment", "segment_transition", ["workspace_id", "segment_id", "seq"])
    op.create_index(
        "segment_transition_by_person", "segment_transition", ["workspace_id", "person_id", "segment_id", "seq"]
    )
    op.create_table(
        "segment_size",
        _id("segment_id"),
        _id("workspace_id"),
        _instant("at"),
        _whole("people"),
        _whole("entered"),
        _whole("exited"),
        sa.PrimaryKeyConstraint("segment_id", "workspace_id", "at"),
    )
    op.create_table(
        "segment_cycle",
        _instant("at"),
        _id("workspace_id"),
        _word("snapshot"),
        _instant("complete_at"),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        _whole("entered"),
        _whole("exited"),
        sa.PrimaryKeyConstraint("at", "workspace_id"),
    )
