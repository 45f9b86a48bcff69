"""Where a value is found in Stripe's JSON, whatever the API version; wrong types read as absent.

Owns every difference between objects before and after 2025-03-31 (basil). "The key exists" is no version test: newer
objects still carry old keys as null, so the new place is preferred and the old one is used when it holds something.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from gdp_core.clock import from_unix
from gdp_core.money import from_minor

Json = Any
Data = Mapping[str, Json]

# Stripe's largest amounts have 12 digits; beyond that micros would not fit into 63 bits.
_LARGEST = 10**12
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800


def mapping(value: Json) -> Data:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: Json) -> list[Data]:
    """The objects of a Stripe list ({"data": [...]}) or of a plain array."""
    entries = value.get("data") if isinstance(value, dict) else value
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def text(value: Json) -> str | None:
    """A non-empty string, else None."""
    return value if isinstance(value, str) and value else None


def ref(value: Json) -> str | None:
    """The id of an object given by id or expanded."""
    return text(value) or text(mapping(value).get("id"))


def number(value: Json) -> int | None:
    """A whole number of a size that Stripe can mean, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST else None


def decimal(value: Json) -> Fraction | None:
    """An exact number from Stripe's decimal strings, integers or short floats."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        return None
    # A huge exponent is a short string and an endless Fraction.
    if not exact.is_finite() or abs(exact.adjusted()) > 30 or abs(exact) > _LARGEST:
        return None
    return Fraction(exact)


def instant(value: Json) -> datetime | None:
    """Unix seconds to aware UTC; 0, null and what lies outside the years 1990-2099 are None."""
    seconds = number(value)
    return from_unix(seconds) if seconds is not None and _EARLIEST <= seconds < _LATEST else None


def currency(value: Json) -> str:
    """An ISO code in upper case; XXX (no currency) where none is given."""
    return (text(value) or "xxx").upper()


def micros(value: Json, code: str) -> int:
    """Minor units to micros; absent is 0."""
    return from_minor(number(value) or 0, code)


def items(subscription: Data) -> list[Data]:
    """A subscription's items; one from before there were items is its own single item."""
    found = listed(subscription.get("items"))
    if found or not mapping(subscription.get("plan")):
        return found
    return [
        {"id": subscription.get("id"), "plan": subscription.get("plan"), "quantity": subscription.get("quantity")},
    ]


def period(subscription: Data) -> tuple[datetime | None, datetime | None]:
    """The current period: earliest start and latest end over the items (basil), else the subscription's own."""
    parts = listed(subscription.get("items"))
    starts = [start for part in parts if (start := instant(part.get("current_period_start")))]
    ends = [end for part in parts if (end := instant(part.get("current_period_end")))]
    return (
        min(starts, default=instant(subscription.get("current_period_start"))),
        max(ends, default=instant(subscription.get("current_period_end"))),
    )


def discounts(thing: Data) -> list[Json]:
    """Discounts of a subscription, item or customer: ids or objects, or the single legacy `discount`."""
    many = thing.get("discounts")
    if isinstance(many, list) and many:
        return many
    one = thing.get("discount")
    return [one] if one else []


def subscription_details(invoice: Data) -> Data:
    """{subscription, metadata} of an invoice, from `parent` or the legacy keys."""
    parent = mapping(invoice.get("parent"))
    if parent.get("type") == "subscription_details":
        return mapping(parent.get("subscription_details"))
    return {**mapping(invoice.get("subscription_details")), "subscription": invoice.get("subscription")}


def invoice_subscription(invoice: Data) -> str | None:
    """The subscription an invoice is for, if it is for one."""
    return ref(subscription_details(invoice).get("subscription"))


def invoice_status(invoice: Data) -> str:
    """draft, open, paid, uncollectible or void; very old objects only say `paid`."""
    return text(invoice.get("status")) or ("paid" if invoice.get("paid") is True else "open")


def invoice_payments(invoice: Data) -> Iterator[str]:
    """Ids of charges and payment intents that paid an invoice, as far as it says."""
    for entry in listed(invoice.get("payments")):
        yield from payment_ids(entry)
    for legacy in ("charge", "payment_intent"):
        if found := ref(invoice.get(legacy)):
            yield found


def payment_ids(invoice_payment: Data) -> Iterator[str]:
    """Ids in an InvoicePayment."""
    payment = mapping(invoice_payment.get("payment"))
    for key in ("charge", "payment_intent"):
        if found := ref(payment.get(key)):
            yield found
        if nested := ref(mapping(payment.get(key)).get("latest_charge")):
            yield nested


def invoice_paid(invoice: Data) -> int:
    """Minor units paid, through Stripe or outside of it."""
    paid = max(number(invoice.get("amount_paid")) or 0, number(invoice.get("amount_paid_off_stripe")) or 0)
    if paid == 0 and invoice.get("paid_out_of_band") is True:
        return number(invoice.get("amount_due")) or 0
    return paid


def invoice_tax(invoice: Data) -> int:
    """Minor units of tax: `total_taxes` (basil), else `total_tax_amounts`, else `tax`."""
    for key in ("total_taxes", "total_tax_amounts"):
        if parts := listed(invoice.get(key)):
            return sum(number(part.get("amount")) or 0 for part in parts)
    return number(invoice.get("tax")) or 0


def invoice_discount(invoice: Data) -> int:
    """Minor units taken off by discounts."""
    return sum(number(part.get("amount")) or 0 for part in listed(invoice.get("total_discount_amounts")))
