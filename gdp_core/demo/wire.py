"""How the demo's beats look on the wire: Segment and PostHog batches, Stripe and Resend webhooks.

Owns the vendors' shapes (Stripe in its 2025-03-31 "basil" version) and nothing of the plot. What it yields goes
through the same sources as real input, so a mistake here is rejected there like anybody's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import orjson

from gdp_core.demo.cast import Dice, Person, Touch
from gdp_core.demo.stage import BRANDS, Brand, BrandKey
from gdp_core.demo.story import Beat, Email, MailBeat, RawBeat, Visit, WebBeat, tell
from gdp_core.demo.subscriptions import (
    BillingBeat,
    Charge,
    Checkout,
    Coupon,
    Customer,
    Discount,
    Dispute,
    Invoice,
    Line,
    Refund,
    Subject,
    Subscription,
)

Json = Any
SourceKey = Literal["segment", "stripe", "resend", "posthog"]

API_VERSION = "2025-08-27.basil"
BATCH = 1_000  # messages in a Segment or PostHog body
_RECENT = 45 * 86_400_000  # the last weeks arrive as a browser sends them; what is older, an hour at a time, for speed
_WAIT, _OLD_WAIT = 10_000, 3_600_000  # how long a message waits for others to go along, in milliseconds
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class DemoDelivery:
    """One request as a sender would have made it: `route` is the door's name of the wire format."""

    brand: BrandKey
    source: SourceKey
    route: str
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes


def stories(until: datetime, seed: int = 1) -> Iterator[DemoDelivery]:
    """Every delivery to both brands in the eighteen months before `until` (rounded down to the hour, aware).

    The same seed and hour give the same bytes. Single webhooks come at their moment; a batch comes with its last
    message, spans an hour (in the last weeks ten seconds) at most, and never two months.
    """
    hour = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for brand in BRANDS:
        recent = int(hour.timestamp()) * 1_000 - _RECENT
        yield from _Writer(brand, Dice(f"{seed}:{brand.key}:wire"), recent).write(tell(brand, hour, seed))


class _Writer:
    """Turns one brand's beats into deliveries; holds the batches that are not full yet."""

    def __init__(self, brand: Brand, dice: Dice, recent: int) -> None:
        self._brand = brand
        self._dice = dice
        self._recent = recent
        self._batches: dict[Literal["segment", "posthog"], list[Json]] = {"segment": [], "posthog": []}
        self._first: dict[Literal["segment", "posthog"], int] = {"segment": 0, "posthog": 0}
        self._last: dict[Literal["segment", "posthog"], int] = {"segment": 0, "posthog": 0}
        self._retry_at = 40  # this webhook's answer was lost, so its sender tries again

    def write(self, beats: Iterable[Beat]) -> Iterator[DemoDelivery]:
        month = ""
        for beat in beats:
            if (current := _day(beat.at // 86_400_000)[:7]) != month:
                yield from self._flush_all()
                month = current
            yield from self._one(beat)
        yield from self._flush_all()

    def _one(self, beat: Beat) -> Iterator[DemoDelivery]:
        if isinstance(beat, WebBeat):
            item = _segment(beat, self._dice) if beat.visit.tracker == "segment" else _posthog(beat, self._dice)
            yield from self._batch(beat.visit.tracker, beat.at, item)
        elif isinstance(beat, RawBeat):
            yield from self._raw(beat)
        else:
            yield from self._webhook(beat)

    def _raw(self, beat: RawBeat) -> Iterator[DemoDelivery]:
        if beat.source in ("segment", "posthog"):
            yield from self._batch(beat.source, beat.at, beat.item)
        else:
            headers = {"svix-id": f"msg_{self._dice.token(26)}"} if beat.source == "resend" else {}
            yield self._delivery(beat.source, "webhook", beat.at + 900, headers, beat.item)

    def _webhook(self, beat: BillingBeat | MailBeat) -> Iterator[DemoDelivery]:
        dice = self._dice
        if isinstance(beat, BillingBeat):
            delivery = self._delivery("stripe", "webhook", beat.at + 1_400, {}, _stripe_event(beat, dice))
        else:
            headers = {"svix-id": f"msg_{dice.token(26)}"}
            delivery = self._delivery("resend", "webhook", beat.at + 700, headers, _resend(beat))
        yield delivery
        self._retry_at -= 1
        if self._retry_at == 0:
            again = delivery.received_at + timedelta(seconds=5)
            yield DemoDelivery(delivery.brand, delivery.source, delivery.route, again, delivery.headers, delivery.body)

    def _batch(self, tracker: Literal["segment", "posthog"], at: int, item: Json) -> Iterator[DemoDelivery]:
        waiting = _WAIT if at >= self._recent else _OLD_WAIT
        if self._batches[tracker] and at - self._first[tracker] > waiting:
            yield self._flush(tracker)
        if not self._batches[tracker]:
            self._first[tracker] = at
        self._batches[tracker].append(item)
        self._last[tracker] = at
        if len(self._batches[tracker]) >= BATCH:
            yield self._flush(tracker)

    def _flush_all(self) -> Iterator[DemoDelivery]:
        for tracker in self._batches:
            if self._batches[tracker]:
                yield self._flush(tracker)

    def _flush(self, tracker: Literal["segment", "posthog"]) -> DemoDelivery:
        sent, items = self._last[tracker] + 400, self._batches[tracker]
        self._batches[tracker] = []
        # Sent and received are one instant, so that no clock is corrected and every timestamp stands.
        if tracker == "segment":
            return self._delivery("segment", "v1/batch", sent, {}, {"batch": items, "sentAt": _iso(sent)})
        body = {"api_key": "phc_demo", "historical_migration": False, "batch": items, "sent_at": _iso(sent)}
        return self._delivery("posthog", "posthog/batch", sent, {}, body)

    def _delivery(self, source: SourceKey, route: str, at: int, headers: Mapping[str, str], body: Json) -> DemoDelivery:
        received_at = datetime.fromtimestamp(at // 1_000, UTC) + timedelta(milliseconds=at % 1_000)
        return DemoDelivery(self._brand.key, source, route, received_at, headers, orjson.dumps(body))


# -- time ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2_048)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_SECONDS, UTC).date().isoformat()


def _iso(at: int) -> str:
    """Unix milliseconds as a browser writes them."""
    seconds, thousandths = divmod(at, 1_000)
    day, second = divmod(seconds, DAY_SECONDS)
    return f"{_day(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{thousandths:03}Z"


# -- Segment -------------------------------------------------------------------------------------------------------


def _url(beat: WebBeat) -> str:
    return f"https://{beat.visit.brand.domain}{beat.page.path}{beat.touch.query}"


def _segment(beat: WebBeat, dice: Dice) -> dict[str, Json]:
    """One message of analytics.js."""
    visit, page = beat.visit, beat.page
    seen = {
        "path": page.path,
        "referrer": beat.touch.referrer,
        "search": beat.touch.query,
        "title": page.title,
        "url": _url(beat),
    }
    message: dict[str, Json] = {
        "type": beat.kind,
        "messageId": f"ajs-next-{beat.at}-{dice.token(16)}",
        "anonymousId": visit.anonymous,
        "userId": visit.person.user if visit.known or beat.kind == "identify" else None,
        "timestamp": _iso(beat.at),
        "context": _context(visit, beat.touch, seen),
        "integrations": {},
    }
    if beat.kind == "identify":
        message["traits"] = beat.properties
    elif beat.kind == "track":
        message |= {"event": beat.name, "properties": beat.properties}
    else:
        message |= {"name": beat.name, "properties": {**seen, "name": beat.name}}
    return message


def _context(visit: Visit, touch: Touch, page: dict[str, str]) -> dict[str, Json]:
    person = visit.person
    context: dict[str, Json] = {
        "library": {"name": "analytics.js", "version": "next-1.84.3"},
        "ip": person.ip,
        "userAgent": visit.device,
        "locale": person.culture.locale,
        "timezone": person.culture.timezone,
        "page": page,
        "sessionId": visit.id,
    }
    if touch.channel.utm_source:
        campaign = {"source": touch.channel.utm_source, "medium": touch.channel.utm_medium, "name": touch.campaign}
        context["campaign"] = campaign | ({"term": touch.term} if touch.term else {})
    return context


# -- PostHog -------------------------------------------------------------------------------------------------------


def _posthog(beat: WebBeat, dice: Dice) -> dict[str, Json]:
    """One event of posthog-js."""
    visit = beat.visit
    known = visit.known or beat.kind == "identify"
    distinct_id = visit.person.user if known else visit.anonymous
    properties: dict[str, Json] = {
        "distinct_id": distinct_id,
        "$device_id": visit.anonymous,
        "$session_id": visit.id,
        "$is_identified": known,
        "$ip": visit.person.ip,
    }
    properties |= _MOBILE if visit.mobile else _in_page(beat)
    event: dict[str, Json] = {
        "uuid": dice.uuid(),
        "event": {"page": "$pageview", "identify": "$identify"}.get(beat.kind, beat.name),
        "distinct_id": distinct_id,
        "timestamp": _iso(beat.at),
        "properties": properties,
    }
    if beat.kind == "identify":
        properties["$anon_distinct_id"] = visit.anonymous
        event["$set"] = beat.properties
    elif beat.kind == "track":
        properties |= beat.properties
    return event


_MOBILE = {"$lib": "posthog-ios", "$lib_version": "3.19.1", "$screen_name": "Letters", "$os_name": "iOS"}


def _in_page(beat: WebBeat) -> dict[str, Json]:
    return {
        "$lib": "web",
        "$lib_version": "1.434.13",
        "$current_url": _url(beat),
        "$raw_user_agent": beat.visit.device,
        "$referrer": beat.touch.referrer or "$direct",
        "title": beat.page.title,
    }


# -- Resend --------------------------------------------------------------------------------------------------------


def _resend(beat: MailBeat) -> dict[str, Json]:
    email = beat.email
    data = _email(email)
    for key, value in beat.detail.items():
        data[key] = value
    if isinstance(click := data.get("click"), dict):
        data["click"] = {**click, "timestamp": _iso(click["timestamp"])}
    return {"type": beat.kind, "created_at": _iso(beat.at), "data": data}


def _email(email: Email) -> dict[str, Json]:
    brand, person, campaign = email.brand, email.person, email.campaign
    return {
        "email_id": email.id,
        "created_at": _iso(email.at),
        "message_id": f"<{email.id}@mail.{brand.domain}>",
        "broadcast_id": None,
        "from": f"{brand.name} <hello@{brand.domain}>",
        "to": [person.email],
        "subject": campaign.subject,
        "tags": {
            "person_id": person.user,
            "user_id": person.user,
            "campaign_id": campaign.id,
            "funnel": campaign.funnel,
        },
    }


# -- Stripe --------------------------------------------------------------------------------------------------------


def _stripe_event(beat: BillingBeat, dice: Dice) -> dict[str, Json]:
    data: dict[str, Json] = {"object": _stripe(beat.subject)}
    if beat.before is not None:
        old, new = _stripe(beat.before), data["object"]
        data["previous_attributes"] = {key: value for key, value in old.items() if value != new[key]}
    return {
        "id": f"evt_1{dice.token(18)}",
        "object": "event",
        "api_version": API_VERSION,
        "created": beat.at // 1_000,
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": beat.kind,
        "data": data,
    }


def _stripe(subject: Subject) -> dict[str, Json]:
    return _STRIPE[type(subject)](subject)


def _ids(person: Person) -> dict[str, str]:
    """How the product's own id travels through the payment provider."""
    return {"user_id": person.user, "person_id": person.user}


def _listed(entries: list[Json], url: str) -> dict[str, Json]:
    return {"object": "list", "has_more": False, "url": url, "data": entries}


def _customer(customer: Customer) -> dict[str, Json]:
    person = customer.person
    return {
        "id": customer.id,
        "object": "customer",
        "created": customer.created,
        "email": person.email,
        "name": person.name,
        "phone": person.phone or None,
        "address": {"city": None, "country": person.culture.country, "line1": None, "postal_code": None, "state": None},
        "balance": 0,
        "currency": customer.currency,
        "delinquent": False,
        "description": person.company.name if person.company else None,
        "discount": None,
        "livemode": True,
        "metadata": _ids(person),
        "preferred_locales": [person.culture.locale],
        "tax_exempt": "none",
    }


def _price(sub: Subscription) -> dict[str, Json]:
    amount = sub.plan.unit_amount(sub.customer.currency, sub.interval)
    return {
        "id": sub.price,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "currency": sub.customer.currency,
        "lookup_key": None,
        "metadata": {},
        "nickname": f"{sub.plan.name}, {sub.interval}ly",
        "product": f"prod_{sub.plan.key}",
        "recurring": {
            "interval": sub.interval,
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def _subscription(sub: Subscription) -> dict[str, Json]:
    item = {
        "id": sub.item,
        "object": "subscription_item",
        "created": sub.created,
        "current_period_start": sub.period_start,
        "current_period_end": sub.period_end,
        "discounts": [],
        "metadata": {},
        "price": _price(sub),
        "quantity": sub.quantity,
        "subscription": sub.id,
    }
    return {
        "id": sub.id,
        "object": "subscription",
        "billing_cycle_anchor": sub.trial_end or sub.created,
        "cancel_at": sub.period_end if sub.cancel_at_period_end else None,
        "cancel_at_period_end": sub.cancel_at_period_end,
        "canceled_at": sub.canceled_at,
        "cancellation_details": {"comment": None, "feedback": sub.feedback, "reason": sub.reason},
        "collection_method": "charge_automatically",
        "created": sub.created,
        "currency": sub.customer.currency,
        "customer": sub.customer.id,
        "discounts": [sub.discount.id] if sub.discount else [],  # webhooks carry ids; see customer.discount.created
        "ended_at": sub.ended_at,
        "items": _listed([item], f"/v1/subscription_items?subscription={sub.id}"),
        "latest_invoice": sub.latest_invoice,
        "livemode": True,
        "metadata": _ids(sub.customer.person),
        "pause_collection": None,
        "start_date": sub.created,
        "status": sub.status,
        "trial_end": sub.trial_end,
        "trial_start": sub.created if sub.trial_end else None,
    }


def _discount(discount: Discount) -> dict[str, Json]:
    return {
        "id": discount.id,
        "object": "discount",
        "checkout_session": None,
        "coupon": _coupon(discount.coupon),
        "customer": discount.customer,
        "end": discount.end,
        "promotion_code": None,
        "start": discount.start,
        "subscription": discount.subscription,
    }


def _coupon(coupon: Coupon) -> dict[str, Json]:
    return {
        "id": coupon.id,
        "object": "coupon",
        "amount_off": None,
        "currency": None,
        "duration": coupon.duration,
        "duration_in_months": coupon.months,
        "name": coupon.name,
        "percent_off": float(coupon.percent),
        "valid": True,
    }


def _line(line: Line, sub: Subscription) -> dict[str, Json]:
    return {
        "id": line.id,
        "object": "line_item",
        "amount": line.amount,
        "currency": sub.customer.currency,
        "description": line.description,
        "discounts": [],
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": line.proration,
                "subscription": sub.id,
                "subscription_item": sub.item,
            },
        },
        "period": {"start": line.start, "end": line.end},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": line.price, "product": f"prod_{sub.plan.key}"},
            "unit_amount_decimal": str(line.unit_amount),
        },
        "quantity": line.quantity,
        "taxes": [],
    }


def _invoice(invoice: Invoice) -> dict[str, Json]:
    sub, paid = invoice.subscription, invoice.paid_at is not None
    person = sub.customer.person
    taken = invoice.total if paid else 0
    discounted = sub.discount is not None and invoice.reduction > 0
    reductions = [{"amount": invoice.reduction, "discount": sub.discount.id}] if sub.discount and discounted else []
    return {
        "id": invoice.id,
        "object": "invoice",
        "amount_due": invoice.total,
        "amount_paid": taken,
        "amount_remaining": invoice.total - taken,
        "attempt_count": invoice.attempts,
        "attempted": True,
        "billing_reason": invoice.billing_reason,
        "collection_method": "charge_automatically",
        "created": invoice.created,
        "currency": sub.customer.currency,
        "customer": sub.customer.id,
        "customer_email": person.email,
        "customer_name": person.name,
        "discounts": [reduction["discount"] for reduction in reductions],
        "due_date": None,
        "lines": _listed([_line(line, sub) for line in invoice.lines], f"/v1/invoices/{invoice.id}/lines"),
        "livemode": True,
        "metadata": {},
        "next_payment_attempt": invoice.next_attempt,
        "number": invoice.number,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": _ids(person), "subscription": sub.id},
        },
        "payments": _listed([_invoice_payment(invoice)] if paid else [], f"/v1/invoices/{invoice.id}/payments"),
        "period_start": min(line.start for line in invoice.lines),
        "period_end": max(line.end for line in invoice.lines),
        "status": "paid" if paid else "open",
        "status_transitions": {
            "finalized_at": invoice.created,
            "marked_uncollectible_at": None,
            "paid_at": invoice.paid_at,
            "voided_at": None,
        },
        "subtotal": invoice.subtotal,
        "total": invoice.total,
        "total_discount_amounts": reductions,
        "total_taxes": [],
    }


def _invoice_payment(invoice: Invoice) -> dict[str, Json]:
    return {
        "id": invoice.payment_intent.replace("pi_", "inpay_"),
        "object": "invoice_payment",
        "amount_paid": invoice.total,
        "amount_requested": invoice.total,
        "currency": invoice.subscription.customer.currency,
        "invoice": invoice.id,
        "is_default": True,
        "payment": {"type": "payment_intent", "charge": invoice.charge, "payment_intent": invoice.payment_intent},
        "status": "paid",
    }


def _charge(charge: Charge) -> dict[str, Json]:
    invoice = charge.invoice
    customer = invoice.subscription.customer
    return {
        "id": invoice.charge,
        "object": "charge",
        "amount": invoice.total,
        "amount_captured": invoice.total,
        "amount_refunded": charge.refunded,
        "billing_details": {"email": customer.person.email, "name": customer.person.name},
        "captured": True,
        "created": invoice.paid_at,
        "currency": customer.currency,
        "customer": customer.id,
        "disputed": charge.disputed,
        "livemode": True,
        "metadata": {},
        "paid": True,
        "payment_intent": invoice.payment_intent,
        "receipt_email": customer.person.email,
        "refunded": charge.refunded == invoice.total,
        "status": "succeeded",
    }


def _refund(refund: Refund) -> dict[str, Json]:
    invoice = refund.charge.invoice
    return {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "charge": invoice.charge,
        "created": refund.created,
        "currency": invoice.subscription.customer.currency,
        "metadata": {},
        "payment_intent": invoice.payment_intent,
        "reason": refund.reason,
        "status": "succeeded",
    }


def _dispute(dispute: Dispute) -> dict[str, Json]:
    invoice = dispute.charge.invoice
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": invoice.total,
        "charge": invoice.charge,
        "created": dispute.created,
        "currency": invoice.subscription.customer.currency,
        "evidence_details": {"due_by": dispute.created + 10 * DAY_SECONDS, "has_evidence": False, "past_due": False},
        "is_charge_refundable": False,
        "livemode": True,
        "metadata": {},
        "payment_intent": invoice.payment_intent,
        "reason": "fraudulent",
        "status": dispute.status,
    }


def _checkout(session: Checkout) -> dict[str, Json]:
    person, complete = session.person, session.status == "complete"
    paid = complete and session.amount is not None
    return {
        "id": session.id,
        "object": "checkout.session",
        "after_expiration": None,
        "amount_subtotal": session.amount,
        "amount_total": session.amount,
        "client_reference_id": person.user,
        "created": session.created,
        "currency": session.currency if session.amount is not None else None,
        "customer": session.customer.id if session.customer else None,
        "customer_details": {"email": person.email, "name": person.name, "phone": person.phone or None},
        "customer_email": None,
        "expires_at": session.created + DAY_SECONDS,
        "invoice": session.invoice.id if session.invoice else None,
        "livemode": True,
        "metadata": _ids(person),
        "mode": session.mode,
        "payment_intent": session.payment_intent,
        "payment_status": "paid" if paid else "unpaid" if session.amount is not None else "no_payment_required",
        "status": session.status,
        # A setup session only keeps a card: the subscription is named by its metadata, not by the session.
        "subscription": session.subscription.id if session.subscription and session.mode == "subscription" else None,
    }


_STRIPE: dict[type, Callable[[Any], dict[str, Json]]] = {
    Customer: _customer,
    Subscription: _subscription,
    Invoice: _invoice,
    Charge: _charge,
    Refund: _refund,
    Dispute: _dispute,
    Discount: _discount,
    Checkout: _checkout,
}
