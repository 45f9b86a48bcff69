"""A small workspace of known people, filled through the pipeline and with billing rows, for reads and pages."""

import uuid
from datetime import timedelta

from gdp_core.db import insert, rows, run
from gdp_core.events import ensure_partitions
from gdp_core.people import refresh
from gdp_core.tables.billing import FxRate, Invoice, MrrChange, Refund, Subscription
from gdp_core.tables.people import StageChange

from . import test_pipeline
from .conftest import NOW
from .test_pipeline import batch, delivery, drain, put

DAY = timedelta(days=1)
BEFORE = NOW - timedelta(hours=1)


def track(*args, at=BEFORE, **kwargs):
    """A Segment track call, an hour ago."""
    return test_pipeline.track(*args, at=at, **kwargs)


def identify(*args, at=BEFORE, **kwargs):
    """A Segment identify call, an hour ago."""
    return test_pipeline.identify(*args, at=at, **kwargs)


def fill(database, ws, source_id, *messages, at=NOW, now=NOW):
    """Send Segment messages and apply them."""
    with database.worker.transaction(ws) as session:
        ensure_partitions(session, "inbox", [at])
    put(database, delivery(ws, source_id, batch(*messages, at=at), at=at))
    drain(database, ws, now)


def page_view(anonymous, *, message, at=BEFORE, **campaign):
    """A page view of a visitor."""
    context = {"page": {"url": "https://acme.example/"}}
    if campaign:
        context["campaign"] = campaign
    return {
        "type": "page",
        "anonymousId": anonymous,
        "messageId": message,
        "timestamp": at.isoformat(),
        "context": context,
    }


def person_id(database, ws, external_id):
    """The person an identifier belongs to."""
    with database.web.transaction(ws) as session:
        return rows(session, "SELECT person_id FROM actor WHERE external_id = :id", id=external_id)[0].person_id


def actor_id(database, ws, external_id):
    """An identifier's actor."""
    with database.web.transaction(ws) as session:
        return rows(session, "SELECT id FROM actor WHERE external_id = :id", id=external_id)[0].id


def subscription(
    database, ws, source_id, actor, *, mrr=29_000_000, currency="USD", at=NOW - 10 * DAY, status="active", now=NOW
):
    """A subscription with its ledger entry and one paid invoice."""
    subscription_id, customer = uuid.uuid4(), f"cus_{actor.hex[:8]}"
    base = {"workspace_id": ws, "source_id": source_id, "actor_id": actor, "currency": currency}
    with database.worker.transaction(ws) as session:
        insert(
            session,
            Subscription,
            [
                base
                | {
                    "id": subscription_id,
                    "stripe_subscription_id": f"sub_{subscription_id.hex[:8]}",
                    "stripe_customer_id": customer,
                    "plan_id": "pro",
                    "plan_name": "Pro",
                    "is_plan_mapped": False,
                    "billing_cycle": "monthly",
                    "quantity": 1,
                    "price_micros": mrr,
                    "status": status,
                    "stripe_status": status,
                    "mrr_micros": mrr,
                    "arr_micros": 12 * mrr,
                    "committed_mrr_micros": mrr,
                    "trial_mrr_micros": 0,
                    "total_revenue_micros": mrr,
                    "started_at": at,
                    "cancel_at_period_end": False,
                    "problems": [],
                    "needs_refetch": False,
                    "metadata": {},
                    "updated_at": at,
                }
            ],
        )
        insert(
            session,
            MrrChange,
            [
                base
                | {
                    "id": uuid.uuid4(),
                    "stripe_customer_id": customer,
                    "changed_at": at,
                    "before_micros": 0,
                    "after_micros": mrr,
                    "movement": "new",
                    "amount_micros": mrr,
                    "stripe_subscription_ids": [],
                }
            ],
        )
        insert(session, Invoice, [_invoice(base, customer, mrr, at)])
        refresh(session, ws, [row.person_id for row in _persons(session, actor)], now)
    return subscription_id


def _persons(session, actor):
    return rows(session, "SELECT person_id FROM actor WHERE id = :id", id=actor)


def _invoice(base, customer, micros, at):
    return base | {
        "id": uuid.uuid4(),
        "kind": "invoice",
        "stripe_invoice_id": f"in_{uuid.uuid4().hex[:8]}",
        "stripe_customer_id": customer,
        "status": "paid",
        "number": "A-1",
        "subtotal_micros": micros,
        "discount_micros": 0,
        "tax_micros": 0,
        "total_micros": micros,
        "amount_due_micros": micros,
        "amount_paid_micros": micros,
        "amount_remaining_micros": 0,
        "returned_micros": 0,
        "attempt_count": 1,
        "created_at": at,
        "paid_at": at,
        "payments": [],
        "needs_refetch": False,
        "metadata": {},
    }


def give_back(database, ws, source_id, actor, micros, *, currency="USD", at=BEFORE):
    """A refund that counts."""
    row = {"id": uuid.uuid4(), "workspace_id": ws, "source_id": source_id, "actor_id": actor, "kind": "refund"}
    row |= {"stripe_refund_id": f"re_{uuid.uuid4().hex[:8]}", "amount_micros": micros, "currency": currency}
    row |= {"status": "succeeded", "counts": True, "refunded_at": at}
    with database.worker.transaction(ws) as session:
        insert(session, Refund, [row])


def rate(database, ws, currency, value, day):
    """An exchange rate."""
    with database.web.transaction(ws) as session:
        insert(session, FxRate, [{"workspace_id": ws, "currency": currency, "date": day, "rate": str(value)}])


def stage(database, ws, person, at, name, previous):
    """A stage change."""
    row = {"person_id": person, "workspace_id": ws, "at": at, "stage": name, "previous": previous, "applied_at": NOW}
    with database.worker.transaction(ws) as session:
        insert(session, StageChange, [row], "ON CONFLICT DO NOTHING")


def internal(database, ws, person):
    """Make a person one of the company's own."""
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE person SET is_internal = true WHERE id = :id", id=person)
