"""What a subscription is worth a month: exact rational micros, from every licensed item, rounded by nobody in here.

The definition is Stripe's: list price x quantity (or tiers), normalised to a month, less discounts that last for ever.
Whether the subscription counts at all is a question of status and answered by `counts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import ceil, floor

from gdp_core.billing import shapes
from gdp_core.billing.discounts import Catalogue, Discount, DiscountBook, reduce
from gdp_core.billing.rows import Data, Json
from gdp_core.money import micros_per_minor

COUNTING = frozenset({"active", "past_due"})
_MAX_MICROS = 2**62


@dataclass(frozen=True, slots=True)
class MrrSettings:
    """How MRR is counted. Stripe does not publish its week and day factors; check them against one export."""

    net_of_all_discounts: bool = False  # once and repeating coupons lower MRR while they last
    weeks_per_year: int = 52
    days_per_year: int = 365

    def months_in(self, interval: str | None, count: int) -> Fraction | None:
        """How many months a billing interval is; None for an interval nobody knows."""
        per_year = {"month": 12, "year": 1, "week": self.weeks_per_year, "day": self.days_per_year}.get(interval or "")
        return Fraction(12 * count, per_year) if per_year and count > 0 else None


@dataclass(frozen=True, slots=True)
class Price:
    """A recurring price, from `price` or the legacy `plan`. Amounts in minor units of `currency`."""

    id: str | None
    product: str | None
    nickname: str | None
    lookup_key: str | None
    currency: str
    scheme: str
    unit: Fraction | None
    tiers: Sequence[Data]
    tiers_mode: str | None
    divide_by: int | None
    round_up: bool
    interval: str | None
    interval_count: int
    usage_type: str

    @property
    def is_metered(self) -> bool:
        """Usage is no recurring revenue."""
        return self.usage_type == "metered"


@dataclass(frozen=True, slots=True)
class ItemValue:
    """One item's worth a month in micros: `gross` at list price, `monthly` after discounts; both 0 when metered."""

    data: Data
    price: Price
    quantity: int
    gross: Fraction
    monthly: Fraction


@dataclass(frozen=True, slots=True)
class Value:
    """A subscription's worth a month if it counts. `problems` says why a number may be wrong."""

    currency: str
    items: tuple[ItemValue, ...]
    months: Fraction  # in one billing cycle of the first item
    problems: tuple[str, ...]

    @property
    def monthly(self) -> Fraction:
        """Micros a month, exact."""
        return sum((item.monthly for item in self.items), Fraction(0))

    @property
    def per_cycle(self) -> Fraction:
        """Micros per billing cycle at list price."""
        return sum((item.gross for item in self.items), Fraction(0)) * self.months


def counts(status: str | None) -> bool:
    """Whether a subscription of this status is part of MRR."""
    return status in COUNTING


def value_of(subscription: Data, book: DiscountBook, settings: MrrSettings, at: datetime) -> Value:
    """The worth of one version of a subscription with the discounts that were on at `at`."""
    problems: set[str] = set()
    items = shapes.items(subscription)
    if shapes.mapping(subscription.get("items")).get("has_more") is True:
        problems.add("items_missing")
    code = _currency(subscription, items)
    prices = [read_price(item, code, book.catalogue) for item in items]
    months = [settings.months_in(price.interval, price.interval_count) for price in prices]
    quantities = [1 if (q := shapes.number(item.get("quantity"))) is None else q for item in items]
    gross = [
        Fraction(0) if price.is_metered else _monthly(price, quantity, month, code, problems)
        for price, quantity, month in zip(prices, quantities, months, strict=True)
    ]
    cycle = next((month for month in months if month), Fraction(1))
    # Item level first, then the subscription's own discounts, or the customer's where it has none.
    effective = _effective(subscription, book, settings, at, problems)
    per_minor = Fraction(micros_per_minor(code))
    products = [price.product for price in prices]
    monthly = list(gross)
    for i, item in enumerate(items):
        own = effective(shapes.discounts(item))
        monthly[i] = reduce([gross[i]], [products[i]], code, per_minor / (months[i] or cycle), own)[0]
    on_the_whole = effective(shapes.discounts(subscription)) or effective(book.customer_level(at))
    monthly = reduce(monthly, products, code, per_minor / cycle, on_the_whole)
    if sum(abs(amount) for amount in gross) >= _MAX_MICROS:
        problems.add("amount_out_of_range")
        gross = monthly = [Fraction(0)] * len(items)
    values = (ItemValue(*parts) for parts in zip(items, prices, quantities, gross, monthly, strict=True))
    return Value(code, tuple(values), cycle, tuple(sorted(problems)))


def read_price(item: Data, currency: str, catalogue: Catalogue) -> Price:
    """An item's price, completed from the catalogue with what webhooks leave out (tiers, other currencies)."""
    stated = item.get("price")
    known = catalogue.get(("stripe.price", shapes.ref(stated) or ""), {})
    price = {**known, **{k: v for k, v in shapes.mapping(stated).items() if v is not None}}
    plan = shapes.mapping(item.get("plan"))
    if not price:
        price = {**plan, "unit_amount": plan.get("amount"), "unit_amount_decimal": plan.get("amount_decimal")}
    recurring = shapes.mapping(price.get("recurring")) or plan
    transform = shapes.mapping(price.get("transform_quantity") or price.get("transform_usage"))
    own = shapes.currency(price.get("currency"))
    amounts: Data = price
    if own != currency and currency != "XXX":
        amounts = shapes.mapping(shapes.mapping(price.get("currency_options")).get(currency.lower()))
    metered = recurring.get("usage_type") == "metered" or bool(recurring.get("meter"))
    return Price(
        id=shapes.ref(price),
        product=shapes.ref(price.get("product")),
        nickname=shapes.text(price.get("nickname")),
        lookup_key=shapes.text(price.get("lookup_key")),
        currency=own,
        scheme=shapes.text(price.get("billing_scheme")) or "per_unit",
        unit=_amount(amounts, "unit_amount"),
        tiers=shapes.listed(amounts.get("tiers")),
        tiers_mode=shapes.text(price.get("tiers_mode")),
        divide_by=shapes.number(transform.get("divide_by")),
        round_up=transform.get("round") == "up",
        interval=shapes.text(recurring.get("interval")),
        interval_count=_one_if_none(shapes.number(recurring.get("interval_count"))),
        usage_type="metered" if metered else "licensed",
    )


def _one_if_none(value: int | None) -> int:
    return 1 if value is None else value


def _amount(thing: Data, key: str) -> Fraction | None:
    exact = shapes.decimal(thing.get(f"{key}_decimal"))
    return shapes.decimal(thing.get(key)) if exact is None else exact


def _currency(subscription: Data, items: Sequence[Data]) -> str:
    stated = subscription.get("currency")
    for item in items:
        stated = stated or shapes.mapping(item.get("price")).get("currency")
        stated = stated or shapes.mapping(item.get("plan")).get("currency")
    return shapes.currency(stated)


def _monthly(price: Price, quantity: int, months: Fraction | None, code: str, problems: set[str]) -> Fraction:
    """Micros a month at list price; 0 and a problem where it cannot be told."""
    if months is None:
        problems.add("interval_unknown")
        return Fraction(0)
    if price.divide_by and price.divide_by > 0:
        parts = Fraction(quantity, price.divide_by)
        quantity = ceil(parts) if price.round_up else floor(parts)
    if price.scheme == "tiered":
        if not price.tiers:
            problems.add("tiers_missing")
            return Fraction(0)
        minor = tiered(price.tiers, price.tiers_mode, quantity)
    elif price.unit is None:
        problems.add("amount_missing")
        return Fraction(0)
    else:
        minor = price.unit * quantity
    return minor * micros_per_minor(code) / months


def tiered(tiers: Sequence[Data], mode: str | None, quantity: int) -> Fraction:
    """Minor units for a quantity. Volume: all units at the tier it falls in. Graduated: each tier's units at its own.

    The flat amount of every tier touched is added; the first one is touched even by a quantity of 0.
    """
    total = Fraction(0)
    below = 0
    for tier in tiers:
        up_to = shapes.number(tier.get("up_to"))
        unit = _amount(tier, "unit_amount") or Fraction(0)
        flat = _amount(tier, "flat_amount") or Fraction(0)
        is_last = up_to is None or quantity <= up_to
        if mode == "volume":
            if is_last:
                return unit * quantity + flat
            continue
        total += unit * ((quantity if is_last or up_to is None else up_to) - below) + flat
        if is_last or up_to is None:
            break
        below = up_to
    return total


def _effective(
    subscription: Data, book: DiscountBook, settings: MrrSettings, at: datetime, problems: set[str]
) -> Callable[[Sequence[Json]], list[Discount]]:
    """A reader of discount entries that keeps those that lower MRR at `at` and notes the unknown ones."""

    def read(entries: Sequence[Json]) -> list[Discount]:
        found = []
        for entry in entries:
            if book.gone(entry, at):
                continue
            discount = book.read(entry)
            if discount is None:
                problems.add("discount_unknown")
            elif _lowers(discount, subscription, settings, at):
                found.append(discount)
        return found

    return read


def _lowers(discount: Discount, subscription: Data, settings: MrrSettings, at: datetime) -> bool:
    if discount.end is not None and discount.end <= at:
        return False
    if discount.duration == "forever":
        return True
    if not settings.net_of_all_discounts:
        return False
    if discount.duration == "once":
        end = shapes.period(subscription)[1]
        return end is None or at < end
    return True


def rounded(exact: Fraction) -> int:
    """Micros, half-even: the one rounding."""
    return round(exact)
