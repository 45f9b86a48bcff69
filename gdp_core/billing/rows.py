"""The values that go into and come out of billing: versions of Stripe's objects in, rows and events out.

A row has exactly the columns of its table in `tables/billing.py`, except that `actor` (an identifier) stands where the
table has `actor_id`. Nothing here computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

from gdp_core.sources.facts import EventFact, Identifier

Json = Any
Data = Mapping[str, Json]
Movement = Literal["new", "reactivation", "expansion", "contraction", "churn"]
Reason = Literal["voluntary", "involuntary"]


@dataclass(frozen=True, slots=True)
class Owner:
    """What is derived together: a Stripe customer, or a guest's checkout session, of one source instance."""

    workspace_id: UUID
    source_id: UUID
    id: str

    def row_id(self, name: str) -> UUID:
        """The id of the row called `name`: the same whoever computes it, whenever."""
        return uuid5(self.source_id, name)


@dataclass(frozen=True, slots=True)
class State:
    """One version of an object as kept in `object_state`."""

    kind: str
    id: str
    owner: str | None
    parent: str | None
    occurred_at: datetime
    rank: int
    source_event_id: str
    data: Data

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Last writer wins by this."""
        return self.occurred_at, self.rank, self.source_event_id


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription as it stands. Amounts in micros; monthly ones are 0 where they do not apply."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    actor: Identifier | None
    stripe_subscription_id: str
    stripe_customer_id: str | None
    stripe_price_id: str | None
    stripe_product_id: str | None
    plan_id: str
    plan_name: str
    is_plan_mapped: bool
    billing_cycle: str
    quantity: int | None
    price_micros: int
    currency: str
    status: str
    stripe_status: str
    mrr_micros: int
    arr_micros: int
    committed_mrr_micros: int
    trial_mrr_micros: int
    total_revenue_micros: int
    created_at: datetime | None
    started_at: datetime | None
    current_period_start: datetime | None
    current_period_end: datetime | None
    renews_at: datetime | None
    trial_start: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    cancel_requested_at: datetime | None
    cancelled_at: datetime | None
    ended_at: datetime | None
    refunded_at: datetime | None
    cancellation_reason: Reason | None
    pause_collection: str | None
    problems: tuple[str, ...]
    needs_refetch: bool
    metadata: Data
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionItemRow:
    """One line of a subscription's newest version. `mrr_micros` is its share after discounts, 0 if the whole is out."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    subscription_id: UUID
    stripe_subscription_item_id: str
    stripe_price_id: str | None
    stripe_product_id: str | None
    plan_id: str
    plan_name: str
    currency: str
    quantity: int | None
    unit_amount_micros: int | None
    billing_scheme: str
    usage_type: str
    interval: str | None
    interval_count: int
    current_period_start: datetime | None
    current_period_end: datetime | None
    mrr_micros: int


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """What was asked for and paid: an invoice, or a paid one-off checkout that made none."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    actor: Identifier | None
    kind: Literal["invoice", "checkout"]
    stripe_invoice_id: str
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    number: str | None
    status: str
    billing_reason: str | None
    currency: str
    subtotal_micros: int
    discount_micros: int
    tax_micros: int
    total_micros: int
    amount_due_micros: int
    amount_paid_micros: int
    amount_remaining_micros: int
    returned_micros: int
    attempt_count: int
    next_payment_attempt: datetime | None
    created_at: datetime | None
    finalized_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    marked_uncollectible_at: datetime | None
    payments: tuple[str, ...]
    needs_refetch: bool
    metadata: Data


@dataclass(frozen=True, slots=True)
class RefundRow:
    """Money given back or disputed. `counts` when it lowers revenue: settled, and of a payment that was revenue."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    actor: Identifier | None
    kind: Literal["refund", "dispute"]
    stripe_refund_id: str
    stripe_charge_id: str | None
    stripe_payment_intent_id: str | None
    invoice_id: UUID | None
    stripe_subscription_id: str | None
    amount_micros: int
    currency: str
    status: str
    reason: str | None
    counts: bool
    refunded_at: datetime


@dataclass(frozen=True, slots=True)
class MrrChangeRow:
    """A customer's MRR in one currency went from `before` to `after` at an instant. `amount` is the size, never < 0."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    actor: Identifier | None
    stripe_customer_id: str
    currency: str
    changed_at: datetime
    before_micros: int
    after_micros: int
    movement: Movement
    amount_micros: int
    reason: Reason | None
    stripe_subscription_ids: tuple[str, ...]


class DerivedEvent(NamedTuple):
    """An event that follows from states. `key` is its source_event_id: one event per key, for ever."""

    key: str
    occurred_at: datetime
    event: EventFact
    actor: Identifier | None


@dataclass(frozen=True, slots=True)
class Billing:
    """Everything that one owner's states say; it replaces what was derived for the owner before. Sorted by id or key."""

    owner: Owner
    actor: Identifier | None = None
    subscriptions: tuple[SubscriptionRow, ...] = ()
    items: tuple[SubscriptionItemRow, ...] = ()
    invoices: tuple[InvoiceRow, ...] = ()
    refunds: tuple[RefundRow, ...] = ()
    mrr_changes: tuple[MrrChangeRow, ...] = ()
    events: tuple[DerivedEvent, ...] = ()
