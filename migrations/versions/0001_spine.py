"""The spine: tenancy, inbox, events, people, billing, mail."""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

from migrations.rls import FULL, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA ops AUTHORIZATION gdp_owner")
    op.create_table(
        "actor",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("personless", sa.Boolean(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_touch", postgresql.JSONB(astext_type=Text()), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("actor_by_cluster", "actor", ["workspace_id", "cluster_id"], unique=False)
    op.create_index("actor_by_person", "actor", ["workspace_id", "person_id"], unique=False)
    op.create_table(
        "actor_day",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("human_events", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("actor_id", "workspace_id", "day"),
    )
    op.create_table(
        "actor_role_day",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "role", "workspace_id", "day"),
    )
    op.create_table(
        "actor_value_day",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("paid_micros", sa.BigInteger(), nullable=False),
        sa.Column("refunded_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "currency", "workspace_id", "day"),
    )
    op.create_table(
        "app_user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("active_workspace_id", sa.Uuid(), nullable=True),
        sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_sign_ins", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "consent",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('opted_in', 'opted_out')", name="state_is_known"),
        sa.PrimaryKeyConstraint("actor_id", "channel", "topic", "workspace_id"),
    )
    op.create_table(
        "derived_event",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "workspace_id", "key"),
    )
    op.create_index("derived_event_by_owner", "derived_event", ["workspace_id", "source_id", "owner"], unique=False)
    op.create_table(
        "email_event",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("resend_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clicked_url", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("is_machine", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "source_event_id", "workspace_id"),
    )
    op.create_index("email_event_by_message", "email_event", ["workspace_id", "source_id", "resend_id"], unique=False)
    op.create_table(
        "email_message",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("resend_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("segment_id", sa.Text(), nullable=True),
        sa.Column("funnel", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complained_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "resend_id", "workspace_id"),
    )
    op.create_index("email_message_by_actor", "email_message", ["workspace_id", "actor_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("referrer", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("utm_source", sa.Text(), nullable=True),
        sa.Column("utm_medium", sa.Text(), nullable=True),
        sa.Column("utm_campaign", sa.Text(), nullable=True),
        sa.Column("utm_term", sa.Text(), nullable=True),
        sa.Column("utm_content", sa.Text(), nullable=True),
        sa.Column("gclid", sa.Text(), nullable=True),
        sa.Column("fbclid", sa.Text(), nullable=True),
        sa.Column("ttclid", sa.Text(), nullable=True),
        sa.Column("value_micros", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("is_machine", sa.Boolean(), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("type IN ('PAGE_VIEW', 'CONVERSION', 'CUSTOM')", name="type_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id", "occurred_at"),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index("event_by_actor", "event", ["workspace_id", "actor_id", "occurred_at"], unique=False)
    op.create_index("event_by_name", "event", ["workspace_id", "name", "occurred_at"], unique=False)
    op.create_table(
        "event_key",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("inbox_id", sa.Uuid(), nullable=True),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "workspace_id", "key"),
    )
    op.create_table(
        "event_type",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("required", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "workspace_id"),
    )
    op.create_table(
        "event_type_day",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "source_id", "workspace_id", "day"),
    )
    op.create_table(
        "fact_conflict",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("other_hash", sa.Text(), nullable=False),
        sa.Column("other_inbox_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "workspace_id", "key", "other_hash"),
    )
    op.create_table(
        "fact_reject",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("inbox_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("fact_reject_by_time", "fact_reject", ["workspace_id", "received_at"], unique=False)
    op.create_index(op.f("ix_fact_reject_inbox_id"), "fact_reject", ["inbox_id"], unique=False)
    op.create_table(
        "fx_rate",
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("rate", sa.Numeric(precision=24, scale=12), nullable=False),
        sa.PrimaryKeyConstraint("date", "workspace_id", "currency"),
    )
    op.create_table(
        "identity_edge",
        sa.Column("a", sa.Uuid(), nullable=False),
        sa.Column("b", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("merged", sa.Boolean(), nullable=False),
        sa.Column("cut_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cut_by", sa.Uuid(), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('accepted', 'refused', 'cut')", name="state_is_known"),
        sa.PrimaryKeyConstraint("a", "b", "workspace_id"),
    )
    op.create_index("identity_edge_by_b", "identity_edge", ["workspace_id", "b"], unique=False)
    op.create_table(
        "import_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("cursor", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("rows_total", sa.BigInteger(), nullable=True),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done', 'failed')", name="state_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("trust", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("query", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("facts", sa.Integer(), nullable=False),
        sa.Column("facts_applied", sa.Integer(), nullable=False),
        sa.Column("facts_duplicate", sa.Integer(), nullable=False),
        sa.Column("facts_quarantined", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'applied', 'duplicate', 'quarantined', 'dead')", name="state_is_known"),
        sa.CheckConstraint("trust IN ('signed', 'server', 'browser')", name="trust_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id", "received_at"),
        postgresql_partition_by="RANGE (received_at)",
    )
    op.create_index("inbox_by_time", "inbox", ["workspace_id", "received_at"], unique=False)
    op.create_index("inbox_pending", "inbox", ["workspace_id", "run_at", "id"], unique=False, postgresql_where=sa.text("state = 'pending'"))
    op.create_table(
        "invoice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stripe_invoice_id", sa.Text(), nullable=False),
        sa.Column("stripe_customer_id", sa.Text(), nullable=True),
        sa.Column("stripe_subscription_id", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("billing_reason", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("subtotal_micros", sa.BigInteger(), nullable=False),
        sa.Column("discount_micros", sa.BigInteger(), nullable=False),
        sa.Column("tax_micros", sa.BigInteger(), nullable=False),
        sa.Column("total_micros", sa.BigInteger(), nullable=False),
        sa.Column("amount_due_micros", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid_micros", sa.BigInteger(), nullable=False),
        sa.Column("amount_remaining_micros", sa.BigInteger(), nullable=False),
        sa.Column("returned_micros", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.Column("next_payment_attempt", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("marked_uncollectible_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payments", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("needs_refetch", sa.Boolean(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.CheckConstraint("kind IN ('invoice', 'checkout')", name="kind_is_known"),
        sa.CheckConstraint("status IN ('draft', 'open', 'paid', 'uncollectible', 'void', 'unknown')", name="status_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("invoice_by_actor", "invoice", ["workspace_id", "actor_id"], unique=False)
    op.create_index("invoice_by_customer", "invoice", ["workspace_id", "source_id", "stripe_customer_id"], unique=False)
    op.create_index("invoice_by_paid_at", "invoice", ["workspace_id", "paid_at"], unique=False)
    op.create_index("invoice_by_stripe_id", "invoice", ["workspace_id", "stripe_invoice_id"], unique=False)
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("ledger", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ledger IN ('delivery', 'fact')", name="ledger_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("ledger_entry_by_hour", "ledger_entry", ["workspace_id", "ledger", "hour"], unique=False)
    op.create_table(
        "merge_review",
        sa.Column("a", sa.Uuid(), nullable=False),
        sa.Column("b", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("status IN ('open', 'accepted', 'dismissed')", name="status_is_known"),
        sa.PrimaryKeyConstraint("a", "b", "workspace_id"),
    )
    op.create_table(
        "mrr_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("stripe_customer_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before_micros", sa.BigInteger(), nullable=False),
        sa.Column("after_micros", sa.BigInteger(), nullable=False),
        sa.Column("movement", sa.Text(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("stripe_subscription_ids", postgresql.ARRAY(Text()), nullable=False),
        sa.CheckConstraint("movement IN ('new', 'reactivation', 'expansion', 'contraction', 'churn')", name="movement_is_known"),
        sa.CheckConstraint("reason IN ('voluntary', 'involuntary')", name="reason_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("mrr_change_by_actor", "mrr_change", ["workspace_id", "actor_id"], unique=False)
    op.create_index("mrr_change_by_changed_at", "mrr_change", ["workspace_id", "changed_at"], unique=False)
    op.create_index("mrr_change_by_customer", "mrr_change", ["workspace_id", "source_id", "stripe_customer_id"], unique=False)
    op.create_table(
        "object_state",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "source_event_id", "kind", "object_id", "workspace_id"),
    )
    op.create_index("object_state_by_object", "object_state", ["workspace_id", "source_id", "kind", "object_id"], unique=False)
    op.create_index("object_state_by_owner", "object_state", ["workspace_id", "source_id", "owner"], unique=False)
    op.create_index("object_state_by_parent", "object_state", ["workspace_id", "source_id", "parent"], unique=False)
    op.create_table(
        "heartbeat",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.PrimaryKeyConstraint("process"),
        schema="ops",
    )
    op.create_table(
        "job_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('running', 'done', 'failed')", name="state_is_known"),
        sa.PrimaryKeyConstraint("id"),
        schema="ops",
    )
    op.create_index(op.f("ix_ops_job_run_job"), "job_run", ["job"], unique=False, schema="ops")
    op.create_table(
        "marker",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        schema="ops",
    )
    op.create_table(
        "schedule_tick",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("tick", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job", "tick"),
        schema="ops",
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("industry", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("medium", sa.Text(), nullable=True),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("cohort", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("is_known", sa.Boolean(), nullable=False),
        sa.Column("is_internal", sa.Boolean(), nullable=False),
        sa.Column("identifiers", sa.Integer(), nullable=False),
        sa.Column("active_days", sa.Integer(), nullable=False),
        sa.Column("core_actions", sa.BigInteger(), nullable=False),
        sa.Column("total_events", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("total_spent_micros", sa.BigInteger(), nullable=False),
        sa.Column("lifetime_value_micros", sa.BigInteger(), nullable=False),
        sa.Column("mrr_micros", sa.BigInteger(), nullable=False),
        sa.Column("plan_name", sa.Text(), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_action_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_action_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signup_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("marketing_qualified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("subscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("churned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stage_next_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "source IN ('website', 'sms_campaign', 'email_campaign', 'referral', 'organic', 'paid_ads', 'social', 'other')",
            name="source_is_known",
        ),
        sa.CheckConstraint("stage IN ('lead', 'marketing', 'trial', 'active', 'churned', 'dormant')", name="stage_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("person_by_first_seen", "person", ["workspace_id", "first_seen_at", "id"], unique=False)
    op.create_index("person_by_last_seen", "person", ["workspace_id", "last_seen_at", "id"], unique=False)
    op.create_index("person_by_mrr", "person", ["workspace_id", "mrr_micros", "id"], unique=False)
    op.create_index("person_by_next_stage", "person", ["workspace_id", "stage_next_at"], unique=False)
    op.create_index("person_by_spent", "person", ["workspace_id", "total_spent_micros", "id"], unique=False)
    op.create_index("person_by_stage", "person", ["workspace_id", "stage", "last_seen_at", "id"], unique=False)
    op.create_table(
        "person_token",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "token", "person_id"),
    )
    op.create_index("person_token_by_person", "person_token", ["workspace_id", "person_id"], unique=False)
    op.create_table(
        "plan_mapping",
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_name", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("match IN ('price', 'product', 'lookup_key')", name="match_is_known"),
        sa.PrimaryKeyConstraint("match", "workspace_id", "value"),
    )
    op.create_table(
        "refund",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stripe_refund_id", sa.Text(), nullable=False),
        sa.Column("stripe_charge_id", sa.Text(), nullable=True),
        sa.Column("stripe_payment_intent_id", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("stripe_subscription_id", sa.Text(), nullable=True),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('refund', 'dispute')", name="kind_is_known"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("refund_by_actor", "refund", ["workspace_id", "actor_id"], unique=False)
    op.create_index("refund_by_charge", "refund", ["workspace_id", "stripe_charge_id"], unique=False)
    op.create_index("refund_by_refunded_at", "refund", ["workspace_id", "refunded_at"], unique=False)
    op.create_index("refund_by_stripe_id", "refund", ["workspace_id", "stripe_refund_id"], unique=False)
    op.create_table(
        "stage_change",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("previous IN ('lead', 'marketing', 'trial', 'active', 'churned', 'dormant')", name="previous_is_known"),
        sa.CheckConstraint("stage IN ('lead', 'marketing', 'trial', 'active', 'churned', 'dormant')", name="stage_is_known"),
        sa.PrimaryKeyConstraint("person_id", "workspace_id", "at"),
    )
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("stripe_subscription_id", sa.Text(), nullable=False),
        sa.Column("stripe_customer_id", sa.Text(), nullable=True),
        sa.Column("stripe_price_id", sa.Text(), nullable=True),
        sa.Column("stripe_product_id", sa.Text(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_name", sa.Text(), nullable=False),
        sa.Column("is_plan_mapped", sa.Boolean(), nullable=False),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stripe_status", sa.Text(), nullable=False),
        sa.Column("mrr_micros", sa.BigInteger(), nullable=False),
        sa.Column("arr_micros", sa.BigInteger(), nullable=False),
        sa.Column("committed_mrr_micros", sa.BigInteger(), nullable=False),
        sa.Column("trial_mrr_micros", sa.BigInteger(), nullable=False),
        sa.Column("total_revenue_micros", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renews_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancellation_reason", sa.Text(), nullable=True),
        sa.Column("pause_collection", sa.Text(), nullable=True),
        sa.Column("problems", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("needs_refetch", sa.Boolean(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "billing_cycle IN ('daily', 'weekly', 'monthly', 'quarterly', 'semiannual', 'annual', 'custom')", name="billing_cycle_is_known"
        ),
        sa.CheckConstraint("cancellation_reason IN ('voluntary', 'involuntary')", name="cancellation_reason_is_known"),
        sa.CheckConstraint(
            "status IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'cancelled', 'refunded', 'unknown')",
            name="status_is_known",
        ),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("subscription_by_actor", "subscription", ["workspace_id", "actor_id"], unique=False)
    op.create_index("subscription_by_customer", "subscription", ["workspace_id", "source_id", "stripe_customer_id"], unique=False)
    op.create_index("subscription_by_stripe_id", "subscription", ["workspace_id", "stripe_subscription_id"], unique=False)
    op.create_table(
        "subscription_item",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("stripe_subscription_item_id", sa.Text(), nullable=False),
        sa.Column("stripe_price_id", sa.Text(), nullable=True),
        sa.Column("stripe_product_id", sa.Text(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("unit_amount_micros", sa.BigInteger(), nullable=True),
        sa.Column("billing_scheme", sa.Text(), nullable=False),
        sa.Column("usage_type", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=True),
        sa.Column("interval_count", sa.BigInteger(), nullable=False),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mrr_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )
    op.create_index("subscription_item_by_subscription", "subscription_item", ["workspace_id", "subscription_id"], unique=False)
    op.create_table(
        "suppression",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("source_event_id", sa.Text(), nullable=True),
        sa.CheckConstraint("reason IN ('bounce', 'complaint', 'unsubscribe', 'manual')", name="reason_is_known"),
        sa.PrimaryKeyConstraint("digest", "channel", "workspace_id"),
    )
    op.create_table(
        "trait_assertion",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=Text()), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("op IN ('set', 'set_once', 'unset')", name="op_is_known"),
        sa.PrimaryKeyConstraint("source_id", "workspace_id", "source_event_id", "actor_id", "key"),
    )
    op.create_index("trait_assertion_by_actor", "trait_assertion", ["workspace_id", "actor_id", "key"], unique=False)
    op.create_table(
        "workspace",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("monthly_event_limit", sa.BigInteger(), nullable=True),
        sa.Column("monthly_spend_limit_micros", sa.BigInteger(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("base_currency", sa.Text(), nullable=False),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("dormant_days", sa.Integer(), nullable=False),
        sa.Column("inbox_retention_days", sa.Integer(), nullable=False),
        sa.Column("event_retention_months", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('normal', 'demo')", name="kind_is_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("user_label", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_kind", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("before_hash", sa.Text(), nullable=True),
        sa.Column("after_hash", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", "workspace_id"),
    )
    op.create_index("audit_log_by_time", "audit_log", ["workspace_id", "at"], unique=False)
    op.create_table(
        "event_role",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("event_names", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("role", "workspace_id"),
    )
    op.create_table(
        "internal_rule",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('domain', 'identifier')", name="kind_is_known"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("kind", "value", "workspace_id"),
    )
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')", name="role_is_known"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_table(
        "membership",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')", name="role_is_known"),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "workspace_id"),
    )
    op.create_index("membership_by_workspace", "membership", ["workspace_id"], unique=False)
    op.create_table(
        "oauth_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_account_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "provider_account_id"),
    )
    op.create_table(
        "setting",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "key"),
    )
    op.create_table(
        "sign_in_link",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_table(
        "source_instance",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hook_key", sa.Text(), nullable=False),
        sa.Column("config", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("has_invoices", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
        sa.UniqueConstraint("hook_key"),
    )
    op.create_table(
        "user_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_user_session_user_id"), "user_session", ["user_id"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("allowed_origins", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('browser', 'server')", name="kind_is_known"),
        sa.ForeignKeyConstraint(["source_id", "workspace_id"], ["source_instance.id", "source_instance.workspace_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_table(
        "source_secret",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id", "workspace_id"], ["source_instance.id", "source_instance.workspace_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "workspace_id"),
    )

    # Counters of an actor change with every batch; room in its page lets them change without touching an index.
    op.execute("ALTER TABLE actor SET (fillfactor = 60)")
    _functions()
    _partitions()
    _protection()
    _audit()


def _functions() -> None:
    # SQL, STABLE and one expression, so that it is inlined and the planner sees the value.
    op.execute(
        """
        CREATE FUNCTION app_ws() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
        AS $$ SELECT nullif(current_setting('app.ws', true), '')::uuid $$
        """
    )


def _partitions() -> None:
    # Partitions do not inherit row-level security, so they live where no runtime role may look.
    op.execute("CREATE SCHEMA part AUTHORIZATION gdp_owner")
    op.execute("REVOKE ALL ON SCHEMA part FROM PUBLIC")
    op.execute(
        """
        CREATE FUNCTION partition_ensure(parent text, at timestamptz) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
        DECLARE
            month timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
            name text := parent || '_' || to_char(month, 'YYYY_MM');
        BEGIN
            IF parent NOT IN ('event', 'inbox') THEN RAISE EXCEPTION 'no such partitioned table'; END IF;
            IF to_regclass(format('part.%I', name)) IS NOT NULL THEN RETURN false; END IF;
            -- One maker at a time for all months: attaching locks the parent, so two that make several would deadlock.
            PERFORM pg_advisory_xact_lock(hashtext('partition:' || parent));
            -- Asked of the table, not of to_regclass, which may still remember that it was not there.
            IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'part'::regnamespace) THEN
                RETURN false;
            END IF;
            -- Made aside and attached: creating it in place would lock the parent against readers.
            EXECUTE format('CREATE TABLE part.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name, parent);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION part.%I FOR VALUES FROM (%L) TO (%L)', parent, name,
                to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            RETURN true;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION partition_list(parent text) RETURNS TABLE (name text, month timestamptz, bytes bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT c.relname::text, to_timestamp(right(c.relname, 7) || ' +00', 'YYYY_MM TZH'), pg_total_relation_size(c.oid)
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass(format('public.%I', parent)) ORDER BY 2
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION partition_drop(parent text, at timestamptz) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' AS $$
        DECLARE
            month timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
            month_end timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
            name text := parent || '_' || to_char(month, 'YYYY_MM');
            wanted boolean;
        BEGIN
            IF parent NOT IN ('event', 'inbox') THEN RAISE EXCEPTION 'no such partitioned table'; END IF;
            IF to_regclass(format('part.%I', name)) IS NULL THEN RETURN false; END IF;
            -- It goes only when no workspace that has rows in it wants them still, and nothing in it is pending. Asked
            -- again once nobody can write: a late row may have come in between.
            FOR turn IN 1..2 LOOP
                IF parent = 'event' THEN
                    EXECUTE format('SELECT EXISTS (SELECT FROM workspace w WHERE (w.event_retention_months IS NULL
                        OR $1 > now() - make_interval(months => w.event_retention_months))
                        AND EXISTS (SELECT FROM part.%I p WHERE p.workspace_id = w.id))', name) INTO wanted USING month_end;
                ELSE
                    EXECUTE format('SELECT EXISTS (SELECT FROM workspace w WHERE $1 > now() - make_interval(days => w.inbox_retention_days)
                        AND EXISTS (SELECT FROM part.%I p WHERE p.workspace_id = w.id))
                        OR EXISTS (SELECT FROM part.%I WHERE state = ''pending'')', name, name) INTO wanted USING month_end;
                END IF;
                IF wanted THEN RETURN false; END IF;
                IF turn = 1 THEN EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', parent); END IF;
            END LOOP;
            EXECUTE format('ALTER TABLE public.%I DETACH PARTITION part.%I', parent, name);
            EXECUTE format('DROP TABLE part.%I', name);
            RETURN true;
        END $$
        """
    )
    # What the door and the jobs ask across workspaces: ids and hashes only, each by a function that can do nothing else.
    op.execute(
        """
        CREATE FUNCTION door_key(hash bytea) RETURNS TABLE (workspace_id uuid, source_id uuid, source text, kind text,
            allowed_origins text[], expires_at timestamptz, key_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT k.workspace_id, k.source_id, s.source, k.kind, k.allowed_origins, k.expires_at, k.id
            FROM api_key k JOIN source_instance s ON s.id = k.source_id AND s.workspace_id = k.workspace_id
            JOIN workspace w ON w.id = k.workspace_id
            WHERE k.key_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
              AND s.archived_at IS NULL AND w.archived_at IS NULL
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION door_hook(hook text) RETURNS TABLE (workspace_id uuid, source_id uuid, source text,
            secret_id uuid, ciphertext bytea)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT s.workspace_id, s.id, s.source, x.id, x.ciphertext
            FROM source_instance s JOIN workspace w ON w.id = s.workspace_id
            LEFT JOIN source_secret x ON x.source_id = s.id AND x.workspace_id = s.workspace_id
              AND (x.expires_at IS NULL OR x.expires_at > now())
            WHERE s.hook_key = hook AND s.archived_at IS NULL AND w.archived_at IS NULL
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION pending_workspaces() RETURNS TABLE (workspace_id uuid, oldest timestamptz)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            WITH RECURSIVE walk AS (
                (SELECT i.workspace_id FROM inbox i WHERE i.state = 'pending' ORDER BY i.workspace_id LIMIT 1)
                UNION ALL
                SELECT (SELECT i.workspace_id FROM inbox i WHERE i.state = 'pending' AND i.workspace_id > walk.workspace_id
                        ORDER BY i.workspace_id LIMIT 1) FROM walk WHERE walk.workspace_id IS NOT NULL
            )
            SELECT w.workspace_id, due.run_at FROM walk w, LATERAL (
                SELECT i.run_at FROM inbox i WHERE i.state = 'pending' AND i.workspace_id = w.workspace_id
                ORDER BY i.run_at LIMIT 1) due
            WHERE due.run_at <= clock_timestamp() ORDER BY due.run_at
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION workspace_ids() RETURNS TABLE (workspace_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT id FROM workspace WHERE archived_at IS NULL ORDER BY id
        $$
        """
    )
    for function, roles in (
        ("partition_ensure(text, timestamptz)", "gdp_worker, gdp_ingest"),
        ("partition_list(text)", "gdp_worker, gdp_web"),
        ("partition_drop(text, timestamptz)", "gdp_worker"),
        ("door_key(bytea)", "gdp_ingest"),
        ("door_hook(text)", "gdp_ingest"),
        ("pending_workspaces()", "gdp_worker"),
        ("workspace_ids()", "gdp_worker"),
    ):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {roles}")
    for parent in ("event", "inbox"):
        for months in range(-1, 4):
            op.execute(f"SELECT partition_ensure('{parent}', now() + interval '{months} months')")


def _protection() -> None:
    for schema in ("public", "ops"):
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO gdp_web, gdp_worker, gdp_ingest, gdp_gate")
    # Derived state: the worker writes, everybody of the workspace reads.
    for table in (
        "actor",
        "actor_day",
        "actor_role_day",
        "actor_value_day",
        "consent",
        "derived_event",
        "email_event",
        "email_message",
        "event",
        "event_key",
        "event_type_day",
        "fact_conflict",
        "fact_reject",
        "identity_edge",
        "import_run",
        "invoice",
        "mrr_change",
        "object_state",
        "person",
        "person_token",
        "refund",
        "stage_change",
        "subscription",
        "subscription_item",
        "suppression",
        "trait_assertion",
    ):
        protect(table)
    # Choices people make in the dashboard.
    for table in (
        "api_key",
        "event_role",
        "fx_rate",
        "internal_rule",
        "plan_mapping",
        "setting",
        "source_instance",
        "source_secret",
    ):
        protect(table, web=FULL)
    protect("workspace", column="id", web="SELECT, UPDATE", worker="SELECT, DELETE", gate="SELECT, INSERT")
    protect("event_type", web="SELECT, UPDATE")
    protect("merge_review", web="SELECT, UPDATE")
    protect("membership", web=FULL, worker="SELECT, DELETE", gate=FULL)
    protect("invitation", web=FULL, worker="SELECT, DELETE", gate="SELECT, UPDATE")
    protect("audit_log", web="SELECT, INSERT", worker="SELECT, INSERT", gate="SELECT, INSERT")
    protect("inbox", worker=FULL)
    protect("ledger_entry", worker=FULL)
    # The door appends for any workspace and reads nothing back.
    for table in ("inbox", "ledger_entry"):
        op.execute(f"CREATE POLICY door ON {table} FOR INSERT TO gdp_ingest WITH CHECK (true)")
        op.execute(f"GRANT INSERT ON {table} TO gdp_ingest")
    # Signing in comes before a workspace is chosen.
    for table in ("workspace", "membership", "invitation"):
        op.execute(f"CREATE POLICY gate ON {table} FOR SELECT TO gdp_gate USING (true)")
    for table in ("app_user", "user_session", "sign_in_link", "oauth_account"):
        op.execute(f"GRANT {FULL} ON {table} TO gdp_gate")
    # A user belongs to no workspace, but the dashboard sees only the members of the open one.
    op.execute("GRANT SELECT (id, email, name, last_sign_in_at) ON app_user TO gdp_web")
    op.execute("ALTER TABLE app_user ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE app_user FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY gate ON app_user TO gdp_gate USING (true) WITH CHECK (true)")
    op.execute("CREATE POLICY owner ON app_user TO gdp_owner USING (true) WITH CHECK (true)")
    op.execute(
        "CREATE POLICY colleague ON app_user FOR SELECT TO gdp_web USING"
        " (EXISTS (SELECT FROM membership m WHERE m.workspace_id = app_ws() AND m.user_id = app_user.id))"
    )
    for table in ("job_run", "schedule_tick", "heartbeat", "marker"):
        op.execute(f"GRANT {FULL} ON ops.{table} TO gdp_worker")
        op.execute(f"GRANT SELECT ON ops.{table} TO gdp_web")
    op.execute("GRANT INSERT, UPDATE, SELECT ON ops.heartbeat TO gdp_ingest")
    op.execute("GRANT SELECT ON alembic_version TO gdp_web, gdp_worker, gdp_ingest, gdp_gate")


def _audit() -> None:
    op.execute(
        """
        CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()"
    )
