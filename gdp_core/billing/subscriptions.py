"""Rows of subscriptions and their items, from the newest version and the money that moved for them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction

from gdp_core.billing import shapes
from gdp_core.billing.discounts import DiscountBook
from gdp_core.billing.ledger import end_reason, ended_at, started_at, status_of
from gdp_core.billing.mrr import MrrSettings, Price, Value, counts, rounded, value_of
from gdp_core.billing.plans import Plan, PlanMapping
from gdp_core.billing.rows import Data, InvoiceRow, Owner, RefundRow, State, SubscriptionItemRow, SubscriptionRow
from gdp_core.billing.versions import is_ambiguous
from gdp_core.money import from_minor
from gdp_core.sources.facts import Identifier

_KEPT = frozenset({"incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "paused"})
_PAST = "past_unsure"
_CYCLES = {
    ("day", 1): "daily",
    ("week", 1): "weekly",
    ("month", 1): "monthly",
    ("month", 3): "quarterly",
    ("month", 6): "semiannual",
    ("month", 12): "annual",
    ("year", 1): "annual",
}


def subscription_row(
    owner: Owner,
    actor: Identifier | None,
    versions: Sequence[State],
    *,
    book: DiscountBook,
    plans: PlanMapping,
    settings: MrrSettings,
    at: datetime,
    invoices: Sequence[InvoiceRow],
    refunds: Sequence[RefundRow],
) -> SubscriptionRow:
    """A subscription as it stands at `at`; `invoices` and `refunds` are the owner's."""
    last = versions[-1]
    data = last.data
    worth = value_of(data, book, settings, at)
    first = worth.items[0] if worth.items else None
    plan = plan_of(first.price if first else None, book, plans)
    stripe_status = status_of(data) or "unknown"
    monthly = worth.monthly if counts(stripe_status) else Fraction(0)
    ending = data.get("cancel_at_period_end") is True or bool(data.get("cancel_at"))
    paid = sum(i.amount_paid_micros for i in invoices if i.stripe_subscription_id == last.id and i.status == "paid")
    back = [r for r in refunds if r.stripe_subscription_id == last.id and r.counts]
    revenue = paid - sum(r.amount_micros for r in back)
    cancelled_at = ended_at(data)
    start, end = shapes.period(data)
    is_over = stripe_status in {"canceled", "incomplete_expired"}
    problems = {*worth.problems, *(("same_second",) if is_ambiguous(versions) else ())}
    earlier = {p for v in versions[:-1] for p in value_of(v.data, book, settings, v.occurred_at).problems}
    return SubscriptionRow(
        id=owner.row_id(f"subscription:{last.id}"),
        workspace_id=owner.workspace_id,
        source_id=owner.source_id,
        actor=actor,
        stripe_subscription_id=last.id,
        stripe_customer_id=shapes.ref(data.get("customer")),
        stripe_price_id=first.price.id if first else None,
        stripe_product_id=first.price.product if first else None,
        plan_id=plan.id,
        plan_name=plan.name,
        is_plan_mapped=plan.is_mapped,
        billing_cycle=_cycle(first.price if first else None),
        quantity=first.quantity if first else None,
        price_micros=rounded(worth.per_cycle),
        currency=worth.currency,
        status=_status(stripe_status, is_refunded=bool(back) and revenue <= 0),
        stripe_status=stripe_status,
        mrr_micros=rounded(monthly),
        arr_micros=rounded(monthly * 12),
        committed_mrr_micros=0 if ending else rounded(monthly),
        trial_mrr_micros=rounded(worth.monthly) if stripe_status == "trialing" else 0,
        total_revenue_micros=revenue,
        created_at=shapes.instant(data.get("created")),
        started_at=started_at(data),
        current_period_start=start,
        current_period_end=end,
        renews_at=None if is_over or ending else end,
        trial_start=shapes.instant(data.get("trial_start")),
        trial_end=shapes.instant(data.get("trial_end")),
        cancel_at_period_end=data.get("cancel_at_period_end") is True,
        cancel_at=shapes.instant(data.get("cancel_at")),
        cancel_requested_at=shapes.instant(data.get("canceled_at")),
        cancelled_at=cancelled_at,
        ended_at=shapes.instant(data.get("ended_at")) or cancelled_at,
        refunded_at=max((r.refunded_at for r in back), default=None),
        cancellation_reason=end_reason(versions),
        pause_collection=shapes.text(shapes.mapping(data.get("pause_collection")).get("behavior")),
        # What an older version was worth may be known later; a GET tells of the newest one only.
        problems=tuple(sorted(problems or ({_PAST} if earlier else set()))),
        needs_refetch=bool(problems),
        metadata=dict(shapes.mapping(data.get("metadata"))),
        updated_at=last.occurred_at,
    )


def item_rows(
    owner: Owner, version: State, book: DiscountBook, plans: PlanMapping, settings: MrrSettings, at: datetime
) -> Iterator[SubscriptionItemRow]:
    """The items of a subscription's newest version."""
    worth: Value = value_of(version.data, book, settings, at)
    counting = counts(status_of(version.data))
    start, end = shapes.period(version.data)
    seen = set()
    for position, item in enumerate(worth.items):
        item_id = shapes.ref(item.data) or f"{version.id}:{position}"
        if item_id in seen:
            continue
        seen.add(item_id)
        plan = plan_of(item.price, book, plans)
        yield SubscriptionItemRow(
            id=owner.row_id(f"subscription_item:{version.id}:{item_id}"),
            workspace_id=owner.workspace_id,
            source_id=owner.source_id,
            subscription_id=owner.row_id(f"subscription:{version.id}"),
            stripe_subscription_item_id=item_id,
            stripe_price_id=item.price.id,
            stripe_product_id=item.price.product,
            plan_id=plan.id,
            plan_name=plan.name,
            currency=worth.currency,
            quantity=None if item.price.is_metered else item.quantity,
            unit_amount_micros=_unit(item.price, worth.currency),
            billing_scheme=item.price.scheme,
            usage_type=item.price.usage_type,
            interval=item.price.interval,
            interval_count=item.price.interval_count,
            current_period_start=shapes.instant(item.data.get("current_period_start")) or start,
            current_period_end=shapes.instant(item.data.get("current_period_end")) or end,
            mrr_micros=rounded(item.monthly) if counting else 0,
        )


def plan_of(price: Price | None, book: DiscountBook, plans: PlanMapping) -> Plan:
    """The plan of a price; its product's name comes from the catalogue."""
    if price is None:
        return plans.plan_of(price_id=None, product_id=None)
    product: Data = book.catalogue.get(("stripe.product", price.product or ""), {})
    return plans.plan_of(
        price_id=price.id,
        product_id=price.product,
        lookup_key=price.lookup_key,
        nickname=price.nickname,
        product_name=shapes.text(product.get("name")),
    )


def _unit(price: Price, currency: str) -> int | None:
    return None if price.scheme == "tiered" or price.unit is None else from_minor(price.unit, currency)


def _cycle(price: Price | None) -> str:
    return _CYCLES.get((price.interval or "", price.interval_count), "custom") if price else "custom"


def _status(stripe_status: str, *, is_refunded: bool) -> str:
    """Refunded is a subscription that is over and got back all it ever paid; a running one stays what it is."""
    if stripe_status == "canceled":
        return "refunded" if is_refunded else "cancelled"
    return stripe_status if stripe_status in _KEPT else "unknown"
