"""The events that billing adds to a person's timeline. Each exists once, under a key that says what it is about.

Values: purchase_completed is money in, refund_issued and dispute_lost are negative, nothing else has a value, so the
sum of the values is the revenue.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from gdp_core.billing import shapes
from gdp_core.billing.ledger import status_of
from gdp_core.billing.rows import Data, DerivedEvent, InvoiceRow, Json, RefundRow, State, SubscriptionRow
from gdp_core.billing.versions import Objects, first_showing, happened_at
from gdp_core.sources.facts import Category, EventFact, Identifier


class Told(NamedTuple):
    """An event without its actor, who is the same for all."""

    key: str
    occurred_at: datetime
    event: EventFact


_NEVER_BEGAN = frozenset({None, "incomplete", "incomplete_expired"})


def _began(versions: Sequence[State]) -> bool:
    """Whether it was ever more than an attempt. Of one that is only known to be over, we take it that it was."""
    statuses = {status_of(version.data) for version in versions}
    return bool(statuses - _NEVER_BEGAN - {"canceled"}) or statuses == {"canceled"}


def story(
    objects: Objects,
    actor: Identifier | None,
    subscriptions: Sequence[SubscriptionRow],
    invoices: Sequence[InvoiceRow],
    refunds: Sequence[RefundRow],
    horizon: datetime,
) -> Iterator[DerivedEvent]:
    """All events of one owner, in no particular order; none is later than the newest state (`horizon`)."""
    for told in _told(objects, subscriptions, invoices, refunds):
        yield DerivedEvent(told.key, min(told.occurred_at, horizon), told.event, actor)


def _told(
    objects: Objects,
    subscriptions: Sequence[SubscriptionRow],
    invoices: Sequence[InvoiceRow],
    refunds: Sequence[RefundRow],
) -> Iterator[Told]:
    for row in subscriptions:
        yield from _subscription(row, objects["stripe.subscription"][row.stripe_subscription_id])
    for invoice in invoices:
        yield from _purchase(invoice)
    for versions in objects["stripe.payment_failure"].values():
        yield _payment_failed(versions[0])
    yield from _refunds(refunds)
    for session_id, versions in objects["stripe.checkout.session"].items():
        yield from _checkout(session_id, versions)


def _event(
    key: str,
    at: datetime,
    properties: Mapping[str, Json],
    *,
    value: int | None = None,
    currency: str | None = None,
    conversion: bool = False,
    category: Category = "monetization",
) -> Told:
    return Told(
        key,
        at,
        EventFact(
            name=key.partition(":")[0],
            type="CONVERSION" if conversion else "CUSTOM",
            category=category,
            channel="stripe",
            properties={name: stated for name, stated in properties.items() if stated is not None},
            value_micros=value,
            currency=currency,
        ),
    )


def _subscription(row: SubscriptionRow, versions: Sequence[State]) -> Iterator[Told]:
    about = {
        "subscription_id": row.stripe_subscription_id,
        "plan_id": row.plan_id,
        "plan_name": row.plan_name,
        "billing_cycle": row.billing_cycle,
        "price_micros": row.price_micros,
        "currency": row.currency,
    }
    subscription_id = row.stripe_subscription_id
    began = row.started_at or versions[0].occurred_at
    if _began(versions):
        yield _event(f"subscription_started:{subscription_id}", began, about, conversion=True)
    if row.trial_start:
        ends = {"trial_end": row.trial_end.isoformat() if row.trial_end else None}
        yield _event(f"trial_started:{subscription_id}", row.trial_start, about | ends, conversion=True)
    for before, after in pairwise(versions):
        if status_of(after.data) != "canceled" and (changes := _changes(before.data, after.data)):
            key = f"subscription_updated:{subscription_id}:{after.source_event_id}"
            yield _event(key, after.occurred_at, {"subscription_id": subscription_id, "changes": changes})
    if row.cancelled_at:
        details = shapes.mapping(versions[-1].data.get("cancellation_details"))
        why = {
            "reason": row.cancellation_reason,
            "feedback": shapes.text(details.get("feedback")),
            "comment": shapes.text(details.get("comment")),
        }
        key = f"subscription_cancelled:{subscription_id}"
        yield _event(key, row.cancelled_at, about | why, category="retention")


def _changes(before: Data, after: Data) -> dict[str, Json]:
    """What a customer or a growth person would call a change, as [old, new]; a mere renewal is none."""
    was, now = _terms(before), _terms(after)
    return {name: [was[name], now[name]] for name in now if was[name] != now[name]}


def _terms(data: Data) -> dict[str, Json]:
    cancel_at = shapes.instant(data.get("cancel_at"))
    return {
        "status": status_of(data),
        "items": [
            {
                "price": shapes.ref(item.get("price")) or shapes.ref(item.get("plan")),
                "quantity": shapes.number(item.get("quantity")),
            }
            for item in shapes.items(data)
        ],
        "cancel_at_period_end": data.get("cancel_at_period_end") is True,
        "cancel_at": cancel_at.isoformat() if cancel_at else None,
        "pause_collection": shapes.text(shapes.mapping(data.get("pause_collection")).get("behavior")),
        "discounts": sorted(filter(None, (shapes.ref(entry) for entry in shapes.discounts(data)))),
    }


def _purchase(invoice: InvoiceRow) -> Iterator[Told]:
    """A paid invoice over nothing (a trial's first, a full discount) is no purchase."""
    if invoice.status == "paid" and invoice.amount_paid_micros > 0 and invoice.paid_at:
        about = {
            "invoice_id": invoice.stripe_invoice_id,
            "kind": invoice.kind,
            "subscription_id": invoice.stripe_subscription_id,
            "billing_reason": invoice.billing_reason,
            "number": invoice.number,
            "tax_micros": invoice.tax_micros,
            "discount_micros": invoice.discount_micros,
        }
        yield _event(
            f"purchase_completed:{invoice.stripe_invoice_id}",
            invoice.paid_at,
            about,
            value=invoice.amount_paid_micros,
            currency=invoice.currency,
            conversion=True,
        )


def _payment_failed(version: State) -> Told:
    data = version.data
    code = shapes.currency(data.get("currency"))
    retry = shapes.instant(data.get("next_payment_attempt"))
    about = {
        "invoice_id": shapes.text(data.get("invoice")),
        "checkout_session_id": shapes.text(data.get("checkout_session")),
        "subscription_id": shapes.text(data.get("subscription")),
        "attempt_count": shapes.number(data.get("attempt_count")),
        "next_payment_attempt": retry.isoformat() if retry else None,
        "amount_micros": shapes.micros(data.get("amount"), code),
        "currency": code,
    }
    return _event(f"payment_failed:{version.id}", version.occurred_at, about)


def _refunds(refunds: Sequence[RefundRow]) -> Iterator[Told]:
    """Keyed by how much of the payment was given back in all, so that a refund keeps its key whoever told of it first."""
    given_back: dict[str, int] = {}
    for row in sorted(refunds, key=lambda row: (row.refunded_at, row.stripe_refund_id)):
        about = {
            "refund_id": row.stripe_refund_id,
            "charge_id": row.stripe_charge_id,
            "subscription_id": row.stripe_subscription_id,
            "reason": row.reason,
            "amount_micros": row.amount_micros,
        }
        value = -row.amount_micros if row.counts else None
        if row.kind == "dispute":
            if row.status == "lost":
                key = f"dispute_lost:{row.stripe_refund_id}"
                yield _event(key, row.refunded_at, about, value=value, currency=row.currency)
        elif row.status in {"succeeded", "pending"}:
            payment = row.stripe_charge_id or row.stripe_payment_intent_id or row.stripe_refund_id
            given_back[payment] = given_back.get(payment, 0) + row.amount_micros
            key = f"refund_issued:{payment}:{given_back[payment]}"
            yield _event(key, row.refunded_at, about, value=value, currency=row.currency)


def _checkout(session_id: str, versions: Sequence[State]) -> Iterator[Told]:
    data = versions[-1].data
    if data.get("mode") == "setup":
        return
    code = shapes.currency(data.get("currency"))
    about = {
        "checkout_session_id": session_id,
        "mode": shapes.text(data.get("mode")),
        "amount_micros": shapes.micros(data.get("amount_total"), code),
        "currency": code,
    }
    created = shapes.instant(data.get("created"))
    yield _event(f"checkout_started:{session_id}", created or versions[0].occurred_at, about)
    expired = first_showing(versions, "status", "expired")
    if expired is not None:
        recovery = shapes.mapping(shapes.mapping(data.get("after_expiration")).get("recovery"))
        at = happened_at(expired, shapes.instant(data.get("expires_at")))
        yield _event(f"checkout_expired:{session_id}", at, about | {"recovery_url": shapes.text(recovery.get("url"))})
