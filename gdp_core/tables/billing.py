"""What people pay: subscriptions, invoices, refunds, the MRR ledger, and the two tables a user edits to read them.

All but `plan_mapping` and `fx_rate` are derived from `object_state` and replaced per owner; money is in micros.
"""

from datetime import date as day
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Numeric
from sqlmodel import Field, SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, whole, word, word_key, words

SUBSCRIPTION_STATUSES = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "paused",
    "cancelled",
    "refunded",
    "unknown",  # a word Stripe did not use when this was written; `stripe_status` has it
)
BILLING_CYCLES = ("daily", "weekly", "monthly", "quarterly", "semiannual", "annual", "custom")
INVOICE_STATUSES = ("draft", "open", "paid", "uncollectible", "void", "unknown")
MOVEMENTS = ("new", "reactivation", "expansion", "contraction", "churn")


class Subscription(SQLModel, table=True):
    """A subscription as it stands now."""

    __tablename__ = "subscription"
    __table_args__ = (
        one_of("status", *SUBSCRIPTION_STATUSES),
        one_of("billing_cycle", *BILLING_CYCLES),
        one_of("cancellation_reason", "voluntary", "involuntary"),
        Index("subscription_by_actor", "workspace_id", "actor_id"),
        Index("subscription_by_customer", "workspace_id", "source_id", "stripe_customer_id"),
        Index("subscription_by_stripe_id", "workspace_id", "stripe_subscription_id"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    actor_id: UUID | None = None
    stripe_subscription_id: str = word()
    stripe_customer_id: str | None = word(default=None)
    stripe_price_id: str | None = word(default=None)  # of the first item; the others are in subscription_item
    stripe_product_id: str | None = word(default=None)
    plan_id: str = word()
    plan_name: str = word()
    is_plan_mapped: bool = False  # plan_id comes from plan_mapping, not from Stripe's own names
    billing_cycle: str = word()
    quantity: int | None = whole(default=None)
    price_micros: int = whole()  # list price of all licensed items per billing cycle
    currency: str = word()
    status: str = word()
    stripe_status: str = word()
    mrr_micros: int = whole()
    arr_micros: int = whole()
    committed_mrr_micros: int = whole()  # mrr without what is scheduled to end
    trial_mrr_micros: int = whole()  # what a trial would be worth
    total_revenue_micros: int = whole()  # paid - refunds - lost disputes
    created_at: datetime | None = instant(default=None)
    started_at: datetime | None = instant(default=None)
    current_period_start: datetime | None = instant(default=None)
    current_period_end: datetime | None = instant(default=None)
    renews_at: datetime | None = instant(default=None)  # null when it will not renew
    trial_start: datetime | None = instant(default=None)
    trial_end: datetime | None = instant(default=None)
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = instant(default=None)
    cancel_requested_at: datetime | None = instant(default=None)
    cancelled_at: datetime | None = instant(default=None)  # when access ended
    ended_at: datetime | None = instant(default=None)
    refunded_at: datetime | None = instant(default=None)  # last refund or lost dispute of its payments
    cancellation_reason: str | None = word(default=None)
    pause_collection: str | None = word(default=None)  # its behaviour; the MRR counts nevertheless
    problems: list[str] = words(default_factory=list)  # why mrr, now or in the past, may be wrong: tiers_missing, ...
    needs_refetch: bool = False
    metadata_: dict[str, Any] = jsonb(default_factory=dict, sa_column_kwargs={"name": "metadata"})
    updated_at: datetime = instant()


class SubscriptionItem(SQLModel, table=True):
    """One line of a subscription's newest version."""

    __tablename__ = "subscription_item"
    __table_args__ = (Index("subscription_item_by_subscription", "workspace_id", "subscription_id"),)

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    subscription_id: UUID
    stripe_subscription_item_id: str = word()
    stripe_price_id: str | None = word(default=None)
    stripe_product_id: str | None = word(default=None)
    plan_id: str = word()
    plan_name: str = word()
    currency: str = word()
    quantity: int | None = whole(default=None)
    unit_amount_micros: int | None = whole(default=None)  # null when priced in tiers
    billing_scheme: str = word()
    usage_type: str = word()
    interval: str | None = word(default=None)
    interval_count: int = whole(default=1)
    current_period_start: datetime | None = instant(default=None)
    current_period_end: datetime | None = instant(default=None)
    mrr_micros: int = whole()


class Invoice(SQLModel, table=True):
    """An invoice, or a paid one-off checkout that made none. Revenue is amount_paid of the paid ones."""

    __tablename__ = "invoice"
    __table_args__ = (
        one_of("kind", "invoice", "checkout"),
        one_of("status", *INVOICE_STATUSES),
        Index("invoice_by_actor", "workspace_id", "actor_id"),
        Index("invoice_by_paid_at", "workspace_id", "paid_at"),
        Index("invoice_by_stripe_id", "workspace_id", "stripe_invoice_id"),
        Index("invoice_by_customer", "workspace_id", "source_id", "stripe_customer_id"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    actor_id: UUID | None = None
    kind: str = word()
    stripe_invoice_id: str = word()  # in_... or cs_...
    stripe_customer_id: str | None = word(default=None)
    stripe_subscription_id: str | None = word(default=None)
    number: str | None = word(default=None)
    status: str = word()
    billing_reason: str | None = word(default=None)
    currency: str = word()
    subtotal_micros: int = whole()
    discount_micros: int = whole()
    tax_micros: int = whole()
    total_micros: int = whole()
    amount_due_micros: int = whole()
    amount_paid_micros: int = whole()
    amount_remaining_micros: int = whole()
    returned_micros: int = whole()  # its refunds and lost disputes
    attempt_count: int = whole()
    next_payment_attempt: datetime | None = instant(default=None)
    created_at: datetime | None = instant(default=None)
    finalized_at: datetime | None = instant(default=None)
    due_at: datetime | None = instant(default=None)
    paid_at: datetime | None = instant(default=None)
    voided_at: datetime | None = instant(default=None)
    marked_uncollectible_at: datetime | None = instant(default=None)
    payments: list[str] = words(default_factory=list)  # pi_... and ch_... it was paid with
    needs_refetch: bool = False
    metadata_: dict[str, Any] = jsonb(default_factory=dict, sa_column_kwargs={"name": "metadata"})


class Refund(SQLModel, table=True):
    """Money given back or disputed. Revenue is lowered by the rows that count, at refunded_at."""

    __tablename__ = "refund"
    __table_args__ = (
        one_of("kind", "refund", "dispute"),
        Index("refund_by_actor", "workspace_id", "actor_id"),
        Index("refund_by_stripe_id", "workspace_id", "stripe_refund_id"),
        Index("refund_by_charge", "workspace_id", "stripe_charge_id"),
        Index("refund_by_refunded_at", "workspace_id", "refunded_at"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    actor_id: UUID | None = None
    kind: str = word()
    stripe_refund_id: str = word()  # re_..., dp_..., or ch_...:<cumulative> when only the charge told of it
    stripe_charge_id: str | None = word(default=None)
    stripe_payment_intent_id: str | None = word(default=None)
    invoice_id: UUID | None = None
    stripe_subscription_id: str | None = word(default=None)
    amount_micros: int = whole()
    currency: str = word()
    status: str = word()
    reason: str | None = word(default=None)
    counts: bool
    refunded_at: datetime = instant()


class MrrChange(SQLModel, table=True):
    """The MRR ledger: per customer and currency, what it was and what it became, at an instant."""

    __tablename__ = "mrr_change"
    __table_args__ = (
        one_of("movement", *MOVEMENTS),
        one_of("reason", "voluntary", "involuntary"),
        Index("mrr_change_by_changed_at", "workspace_id", "changed_at"),
        Index("mrr_change_by_actor", "workspace_id", "actor_id"),
        Index("mrr_change_by_customer", "workspace_id", "source_id", "stripe_customer_id"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    actor_id: UUID | None = None
    stripe_customer_id: str = word()
    currency: str = word()
    changed_at: datetime = instant()
    before_micros: int = whole()
    after_micros: int = whole()
    movement: str = word()
    amount_micros: int = whole()  # never below 0; the movement says which way
    reason: str | None = word(default=None)  # of churn
    stripe_subscription_ids: list[str] = words(default_factory=list)  # what changed


class PlanMapping(SQLModel, table=True):
    """What a Stripe price or product is called here. Edited by users; a price wins over its product."""

    __tablename__ = "plan_mapping"
    __table_args__ = (one_of("match", "price", "product", "lookup_key"),)

    match: str = word_key()
    workspace_id: UUID = key()
    value: str = word_key()
    plan_id: str = word()
    plan_name: str = word()
    updated_at: datetime = instant()


class FxRate(SQLModel, table=True):
    """What one unit of `currency` was worth in the workspace's currency on a day. Edited by users."""

    __tablename__ = "fx_rate"

    date: day = Field(primary_key=True)
    workspace_id: UUID = key()
    currency: str = word_key()
    rate: Decimal = Field(sa_type=Numeric(24, 12))
