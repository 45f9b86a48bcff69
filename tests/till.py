"""A workspace whose customers are told in Stripe's own objects and applied by the pipeline, for reports about money."""

import uuid
from datetime import UTC, datetime

import orjson

from gdp_core.sources.facts import Delivery

from . import history
from . import stripe_story as stripe
from .conftest import NOW

RECEIVED = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)


def seconds(at):
    """An instant in the clock of the stories."""
    return int(at.timestamp()) - stripe.T0


class Till:
    """Tells what happens to subscriptions; `ring` applies it. Ids of events count up, so that a test tells the same
    every time."""

    def __init__(self, database, ws):
        self.database, self.ws = database, ws
        self.source = database.source(ws, "stripe")
        self._told = []
        self._rung = 0

    def event(self, kind, at, thing):
        number = len(self._told)
        self._told.append(stripe.event(f"evt_{number}", kind, seconds(at), thing))

    def customer(self, name, at, *, user=None):
        self.event(
            "customer.created",
            at,
            stripe.customer(
                id=f"cus_{name}", email=None, name=name, created=int(at.timestamp()), metadata={"user_id": user or name}
            ),
        )

    def subscription(self, name, at, status="active", *, sub="1", priced=None, quantity=1, currency="usd", **more):
        """The subscription as it is from `at` on."""
        started = more.pop("started", at)
        verb = {"canceled": "deleted"}.get(status, "updated")
        lines = more.pop("items", None) or [
            stripe.item(priced or stripe.price(currency=currency), quantity, item_id=f"si_{name}_{sub}")
        ]
        if status == "canceled":
            more = {"ended_at": int(at.timestamp()), "canceled_at": int(at.timestamp())} | more
        self.event(
            f"customer.subscription.{verb}",
            at,
            stripe.subscription(
                status,
                sub_id=f"sub_{name}_{sub}",
                items=lines,
                start=seconds(started),
                currency=currency,
                customer=f"cus_{name}",
                **more,
            ),
        )

    def invoice(self, name, at, amount, *, number="1", currency="usd", sub="1"):
        """A paid invoice, in minor units."""
        self.event(
            "invoice.paid",
            at,
            stripe.invoice(
                invoice_id=f"in_{name}_{number}",
                amount=amount,
                created=seconds(at),
                paid=seconds(at),
                sub_id=f"sub_{name}_{sub}",
                pi=f"pi_{name}_{number}",
                charge_id=f"ch_{name}_{number}",
                currency=currency,
                customer=f"cus_{name}",
                customer_email=None,
            ),
        )

        self.event(
            "charge.succeeded",
            at,
            stripe.charge(
                charge_id=f"ch_{name}_{number}",
                pi=f"pi_{name}_{number}",
                amount=amount,
                currency=currency,
                customer=f"cus_{name}",
                created=seconds(at) + stripe.T0,
            ),
        )

    def failed(self, name, at, *, number="f", sub="1"):
        """An invoice whose payment failed."""
        self.event(
            "invoice.payment_failed",
            at,
            stripe.invoice(
                "open",
                invoice_id=f"in_{name}_{number}",
                created=seconds(at),
                sub_id=f"sub_{name}_{sub}",
                pi=f"pi_{name}_{number}",
                charge_id=f"ch_{name}_{number}",
                customer=f"cus_{name}",
                customer_email=None,
            ),
        )

    def refund(self, name, at, amount, *, number="1", currency="usd"):
        """Some of a paid invoice given back."""
        self.event(
            "refund.created",
            at,
            stripe.refund(
                f"re_{name}_{number}",
                amount,
                seconds(at),
                charge=f"ch_{name}_{number}",
                payment_intent=f"pi_{name}_{number}",
                currency=currency,
            ),
        )

    def ring(self, now=NOW):
        """Deliver and apply everything that was told since."""
        deliveries = [
            Delivery(
                id=uuid.uuid5(self.ws, told["id"]),
                workspace_id=self.ws,
                source_id=self.source,
                source="stripe",
                route="webhook",
                trust="signed",
                received_at=RECEIVED,
                body=orjson.dumps(told),
                headers={},
            )
            for told in self._told[self._rung :]
        ]
        self._rung = len(self._told)
        history.put(self.database, deliveries)
        history.drain(self.database, [self.ws], now=now)
        history.books(self.database, [self.ws])
