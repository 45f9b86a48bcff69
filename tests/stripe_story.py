"""A customer's story told in Stripe's own objects, in the shape of API versions before and after 2025-03-31, and what
the pipeline does with it: deliveries to facts, facts to kept states, states to owners, owners to billing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from gdp_core.billing.derive import CATALOGUE, EXPANDED, derive, owner_of, parent_of
from gdp_core.billing.mrr import MrrSettings
from gdp_core.billing.plans import PlanMapping
from gdp_core.billing.rows import Billing, Owner, State
from gdp_core.sources.facts import Delivery, Fact
from gdp_core.sources.stripe import normalise

Shape = Literal["legacy", "basil"]
Json = dict[str, Any]

WORKSPACE, SOURCE = UUID(int=2), UUID(int=3)
RECEIVED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
T0 = 1_760_000_000  # 2025-10-09 08:53:20 UTC
DAY = 86_400
MONTH = 30 * DAY


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(T0 + seconds, UTC)


def delivery(body: Json | bytes, route: str = "webhook", received_at: datetime = RECEIVED) -> Delivery:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Delivery(UUID(int=1), WORKSPACE, SOURCE, "stripe", route, "signed", received_at, raw)


def event(event_id: str, kind: str, seconds: int, thing: Json, previous: Json | None = None) -> Json:
    data = {"object": thing} | ({"previous_attributes": previous} if previous is not None else {})
    return {
        "id": event_id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": T0 + seconds,
        "type": kind,
        "data": data,
    }


def price(
    price_id: str = "price_1",
    amount: int | None = 2000,
    *,
    interval: str = "month",
    count: int = 1,
    currency: str = "usd",
    **more: Any,
) -> Json:
    recurring = {
        "interval": interval,
        "interval_count": count,
        "usage_type": more.pop("usage_type", "licensed"),
        "meter": None,
    }
    return {
        "id": price_id,
        "object": "price",
        "product": more.pop("product", f"prod_{price_id}"),
        "currency": currency,
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
        "billing_scheme": "per_unit",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "recurring": recurring,
    } | more


def item(priced: Json | None = None, quantity: int | None = 1, item_id: str = "si_1", **more: Any) -> Json:
    priced = priced or price()
    plan = {"id": priced["id"], "object": "plan", "amount": priced["unit_amount"], "interval": "month"}
    return {
        "id": item_id,
        "object": "subscription_item",
        "quantity": quantity,
        "price": priced,
        "plan": plan,
        "discounts": [],
    } | more


def subscription(
    status: str = "active",
    *,
    shape: Shape = "basil",
    sub_id: str = "sub_1",
    items: list[Json] | None = None,
    start: int = 0,
    period: tuple[int, int] = (0, MONTH),
    currency: str = "usd",
    **more: Any,
) -> Json:
    lines = [dict(line) for line in (items or [item()])]
    own: Json = {
        "id": sub_id,
        "object": "subscription",
        "customer": "cus_1",
        "status": status,
        "currency": currency,
        "created": T0 + start,
        "start_date": T0 + start,
        "trial_start": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "pause_collection": None,
        "metadata": {},
    }
    begins, ends = T0 + period[0], T0 + period[1]
    if shape == "legacy":
        own |= {"current_period_start": begins, "current_period_end": ends, "discount": None}
    else:
        own |= {"discounts": []}
        for line in lines:
            line |= {"current_period_start": begins, "current_period_end": ends}
    return own | {"items": {"object": "list", "has_more": False, "data": lines}} | more


def invoice(
    status: str = "paid",
    *,
    shape: Shape = "basil",
    invoice_id: str = "in_1",
    amount: int = 2000,
    created: int = 0,
    paid: int | None = 60,
    sub_id: str | None = "sub_1",
    attempts: int = 1,
    pi: str = "pi_1",
    charge_id: str = "ch_1",
    tax: int = 0,
    currency: str = "usd",
    **more: Any,
) -> Json:
    is_paid = status == "paid"
    own: Json = {
        "id": invoice_id,
        "object": "invoice",
        "customer": "cus_1",
        "customer_email": "ada@example.org",
        "status": status,
        "billing_reason": "subscription_cycle",
        "currency": currency,
        "subtotal": amount - tax,
        "total": amount,
        "amount_due": amount,
        "amount_paid": amount if is_paid else 0,
        "amount_remaining": 0 if is_paid else amount,
        "attempt_count": attempts,
        "next_payment_attempt": None if is_paid else T0 + created + 3 * DAY,
        "created": T0 + created,
        "status_transitions": {
            "paid_at": T0 + paid if is_paid and paid is not None else None,
            "finalized_at": T0 + created,
        },
        "metadata": {},
    }
    if shape == "legacy":
        own |= {
            "subscription": sub_id,
            "paid": is_paid,
            "charge": charge_id if is_paid else None,
            "payment_intent": pi,
            "tax": tax,
        }
    else:
        details = {"subscription": sub_id, "metadata": {}}
        parent = {"type": "subscription_details", "quote_details": None, "subscription_details": details}
        intent = {"id": pi, "object": "payment_intent", "latest_charge": charge_id if is_paid else None}
        payment = {"type": "payment_intent", "payment_intent": intent}
        payments = [
            {"id": f"inpay_{invoice_id}", "object": "invoice_payment", "invoice": invoice_id, "payment": payment}
        ]
        own |= {
            "subscription": None,
            "parent": parent if sub_id else None,
            "payments": {"object": "list", "has_more": False, "data": payments},
            "total_taxes": [{"amount": tax}] if tax else [],
        }
    return own | more


def charge(
    *,
    shape: Shape = "basil",
    charge_id: str = "ch_1",
    pi: str | None = "pi_1",
    amount: int = 2000,
    refunded: int = 0,
    **more: Any,
) -> Json:
    own: Json = {
        "id": charge_id,
        "object": "charge",
        "customer": "cus_1",
        "amount": amount,
        "amount_refunded": refunded,
        "refunded": refunded == amount,
        "currency": "usd",
        "payment_intent": pi,
        "status": "succeeded",
        "created": T0 + 30,
    }
    return own | ({"invoice": "in_1"} if shape == "legacy" else {}) | more


def refund(refund_id: str = "re_1", amount: int = 2000, created: int = DAY, **more: Any) -> Json:
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "currency": "usd",
        "created": T0 + created,
        "status": "succeeded",
        "customer": None,
    } | more


def customer(**more: Any) -> Json:
    return {
        "id": "cus_1",
        "object": "customer",
        "email": "ada@example.org",
        "name": "Ada",
        "phone": None,
        "created": T0,
        "metadata": {},
        "discount": None,
    } | more


def session(**more: Any) -> Json:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "customer": None,
        "customer_details": {"email": "guest@example.org", "name": "Gus"},
        "client_reference_id": "u_9",
        "payment_intent": "pi_1",
        "invoice": None,
        "amount_total": 4900,
        "amount_subtotal": 4900,
        "currency": "usd",
        "created": T0,
        "expires_at": T0 + DAY,
        "metadata": {},
    } | more


def facts(events: Iterable[Json]) -> list[Fact]:
    stated = [fact for one in events for fact in normalise(delivery(one))]
    assert all(isinstance(fact, Fact) for fact in stated), stated
    return [fact for fact in stated if isinstance(fact, Fact)]


def fetched(things: list[Json], seconds: int) -> list[Fact]:
    chunk = delivery({"objects": things, "fetched_at": T0 + seconds}, "backfill")
    return [fact for fact in normalise(chunk) if isinstance(fact, Fact)]


def kept(stated: Iterable[Fact]) -> list[State]:
    """The rows of `object_state`."""
    return [
        State(s.kind, s.id, s.owner, s.parent, fact.occurred_at, fact.rank, fact.key, s.data)
        for fact in stated
        for s in fact.states
    ]


def states(events: Iterable[Json]) -> list[State]:
    return kept(facts(events))


@dataclass(frozen=True)
class World:
    """All owners of one source instance and the catalogue they share."""

    owners: Mapping[str | None, list[State]]
    catalogue: Mapping[tuple[str, str], Json]

    def billing(
        self, owner: str = "cus_1", settings: MrrSettings | None = None, plans: PlanMapping | None = None
    ) -> Billing:
        return derive(
            Owner(WORKSPACE, SOURCE, owner),
            self.owners.get(owner, []),
            self.catalogue,
            plans or PlanMapping(),
            settings or MrrSettings(),
        )


def world(rows: Iterable[State]) -> World:
    """The look-ups that `derive` asks of its caller."""
    objects: defaultdict[tuple[str, str], list[State]] = defaultdict(list)
    by_id: defaultdict[str, list[State]] = defaultdict(list)
    for row in rows:
        objects[row.kind, row.id].append(row)
        by_id[row.id].append(row)

    def find(versions: list[State], steps: int = 3) -> str | None:
        owner, parent = owner_of(versions), parent_of(versions)
        return owner or (find(by_id[parent], steps - 1) if parent in by_id and steps else None)

    owners: defaultdict[str | None, list[State]] = defaultdict(list)
    catalogue = {}
    for (kind, object_id), versions in objects.items():
        if kind in CATALOGUE:
            ordered = sorted(versions, key=lambda v: v.order)
            expanded = [v.data for v in ordered if any(name in v.data for name in EXPANDED)][-1:]
            catalogue[kind, object_id] = {**(expanded[0] if expanded else {}), **ordered[-1].data}
        else:
            owners[find(versions)] += versions
    return World(owners, catalogue)


def tell(events: Iterable[Json], **options: Any) -> Billing:
    """Billing of cus_1 after these events."""
    return world(states(events)).billing(**options)


def story(shape: Shape = "basil") -> list[Json]:
    """Created and paid, changed to two seats, one failed payment, ended."""
    two = [item(quantity=2)]
    return [
        event("evt_1", "customer.subscription.created", 0, subscription("incomplete", shape=shape)),
        event("evt_2", "customer.subscription.updated", 120, subscription("active", shape=shape, items=two)),
        event("evt_3", "invoice.paid", 60, invoice(shape=shape)),
        event(
            "evt_4",
            "invoice.payment_failed",
            MONTH,
            invoice("open", shape=shape, invoice_id="in_2", created=MONTH, pi="pi_2", amount=4000),
        ),
        event(
            "evt_5",
            "customer.subscription.deleted",
            MONTH + DAY,
            subscription(
                "canceled",
                shape=shape,
                items=two,
                canceled_at=T0 + MONTH + DAY,
                ended_at=T0 + MONTH + DAY,
                cancellation_details={"reason": "payment_failed", "feedback": None, "comment": None},
            ),
        ),
    ]
