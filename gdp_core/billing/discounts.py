"""Which discounts lower a subscription's MRR at an instant, and by how much. Owns coupons; refuses prices.

Only `forever` coupons count, unless all discounts are asked for. A subscription names its discounts by id; what they
are worth never changes at Stripe, so the newest version known is right for every instant, and only beginnings and ends
are matters of time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from types import MappingProxyType

from gdp_core.billing import shapes
from gdp_core.billing.rows import Data, Json, State

Catalogue = Mapping[tuple[str, str], Data]


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon in effect. `remaining` is the part still to be paid, `off` minor units per currency."""

    remaining: Fraction | None
    off: Mapping[str, Fraction]
    products: frozenset[str]
    duration: str
    end: datetime | None

    def covers(self, product: str | None) -> bool:
        """Whether it is for this product; most are for all."""
        return not self.products or product in self.products


@dataclass(frozen=True, slots=True)
class CustomerDiscount:
    """A discount on everything a customer buys, from `start` until before `end`."""

    data: Data
    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class DiscountBook:
    """All discounts of one owner and the coupons behind them."""

    catalogue: Catalogue = field(default_factory=dict)
    known: Mapping[str, Data] = field(default_factory=dict)
    removed: Mapping[str, datetime] = field(default_factory=dict)
    of_customer: tuple[CustomerDiscount, ...] = ()

    def read(self, entry: Json) -> Discount | None:
        """The discount behind an id or an object; None when it or its coupon is not known."""
        data = entry if isinstance(entry, dict) else self.known.get(shapes.text(entry) or "")
        if data is None:
            return None
        stated = data.get("coupon") or shapes.mapping(data.get("source")).get("coupon")
        coupon = self.catalogue.get(("stripe.coupon", shapes.ref(stated) or ""), {})
        if isinstance(stated, dict):
            coupon = {**coupon, **{key: value for key, value in stated.items() if value is not None}}
        return _discount(data, coupon)

    def gone(self, entry: Json, at: datetime) -> bool:
        """Whether the discount was taken away by `at`."""
        removed = self.removed.get(shapes.ref(entry) or "")
        return removed is not None and removed <= at

    def customer_level(self, at: datetime) -> list[Data]:
        """Discounts on the whole customer at `at`."""
        return [d.data for d in self.of_customer if d.start <= at and (d.end is None or at < d.end)]

    def instants(self) -> set[datetime]:
        """When a discount begins or ends, other than by a new version of a subscription."""
        edges = {edge for d in self.of_customer for edge in (d.start, d.end) if edge}
        ends = {end for data in self.known.values() if (end := shapes.instant(data.get("end")))}
        return edges | ends | set(self.removed.values())


def _discount(data: Data, coupon: Data) -> Discount | None:
    percent = shapes.decimal(coupon.get("percent_off"))
    off = _amounts_off(coupon)
    if percent is None and not off:
        return None
    products = shapes.mapping(coupon.get("applies_to")).get("products")
    return Discount(
        remaining=None if percent is None else max(1 - percent / 100, Fraction(0)),
        off=off,
        products=frozenset(p for p in products if isinstance(p, str)) if isinstance(products, list) else frozenset(),
        duration=shapes.text(coupon.get("duration")) or "once",
        end=shapes.instant(data.get("end")),
    )


def _amounts_off(coupon: Data) -> dict[str, Fraction]:
    amounts: dict[str, Fraction] = {}
    for code, option in shapes.mapping(coupon.get("currency_options")).items():
        if (amount := shapes.decimal(shapes.mapping(option).get("amount_off"))) is not None:
            amounts[code.upper()] = amount
    if (amount := shapes.decimal(coupon.get("amount_off"))) is not None:
        amounts[shapes.currency(coupon.get("currency"))] = amount
    return amounts


def discount_book(
    discounts: Mapping[str, Sequence[State]],
    customers: Sequence[State],
    catalogue: Catalogue,
    spelled_out: Mapping[str, Data] = MappingProxyType({}),
) -> DiscountBook:
    """The book of an owner from the versions (oldest first) of its discounts and of its customer.

    `spelled_out` are discounts that other objects hold in full, by id; their own versions say more.
    """
    known: dict[str, Data] = {}
    removed: dict[str, datetime] = {}
    for discount_id, versions in discounts.items():
        # A deletion carries the least; the version before it says more.
        whole = [version for version in versions if version.data.get("deleted") is not True] or versions
        known[discount_id] = whole[-1].data
        if versions[-1].data.get("deleted") is True:
            removed[discount_id] = min(v.occurred_at for v in versions if v.data.get("deleted") is True)
    of_customer = _from_customer(customers, removed)
    stated = {shapes.ref(d.data) for d in of_customer}
    for discount_id, data in known.items():
        if discount_id not in stated and _on_customer(data):
            start = shapes.instant(data.get("start")) or discounts[discount_id][0].occurred_at
            end = _earliest(shapes.instant(data.get("end")), removed.get(discount_id))
            of_customer.append(CustomerDiscount(data, start, end))
    return DiscountBook(catalogue, {**spelled_out, **known}, removed, tuple(of_customer))


def _on_customer(data: Data) -> bool:
    narrower = ("subscription", "subscription_item", "invoice", "invoice_item", "checkout_session")
    return bool(data.get("customer")) and not any(data.get(key) for key in narrower)


def _from_customer(customers: Sequence[State], removed: Mapping[str, datetime]) -> list[CustomerDiscount]:
    """A discount is on from its start until the first later version of the customer without it."""
    spans: list[CustomerDiscount] = []
    for index, version in enumerate(customers):
        data = shapes.mapping(version.data.get("discount"))
        if not data or (
            index and shapes.mapping(customers[index - 1].data.get("discount")).get("id") == data.get("id")
        ):
            continue
        start = shapes.instant(data.get("start")) or version.occurred_at
        dropped = (
            later.occurred_at
            for later in customers[index + 1 :]
            if shapes.mapping(later.data.get("discount")).get("id") != data.get("id")
        )
        end = _earliest(next(dropped, None), shapes.instant(data.get("end")), removed.get(shapes.ref(data) or ""))
        spans.append(CustomerDiscount(data, min(start, version.occurred_at), end))
    return spans


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((instant for instant in instants if instant), default=None)


def reduce(
    amounts: Sequence[Fraction],
    products: Sequence[str | None],
    currency: str,
    invoice_off: Fraction,
    found: Iterable[Discount],
) -> list[Fraction]:
    """Item amounts after discounts taken one after the other, never below 0.

    `invoice_off` is what one minor unit off each invoice is worth in the unit of `amounts`. An amount off the whole is
    shared among the items it covers in proportion to what they cost.
    """
    left = list(amounts)
    for discount in found:
        covered = [i for i, product in enumerate(products) if discount.covers(product)]
        if discount.remaining is not None:
            for i in covered:
                left[i] *= discount.remaining
            continue
        total = sum((left[i] for i in covered), Fraction(0))
        if total > 0:
            share = max(1 - discount.off.get(currency, Fraction(0)) * invoice_off / total, Fraction(0))
            for i in covered:
                left[i] *= share
    return left
