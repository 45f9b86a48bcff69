"""What a subscription is worth a month, to the last digit."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdp_core.billing.discounts import DiscountBook, discount_book
from gdp_core.billing.mrr import MrrSettings, Value, counts, rounded, tiered, value_of
from gdp_core.billing.rows import State
from tests.stripe_story import T0, Json, at, item, price, subscription

NOW = at(0)
FOREVER_25 = {
    "id": "co_1",
    "object": "coupon",
    "duration": "forever",
    "percent_off": 25.0,
    "amount_off": None,
    "currency": None,
}


def worth(
    sub: Json, catalogue: dict[tuple[str, str], Json] | None = None, settings: MrrSettings | None = None
) -> Value:
    return value_of(sub, DiscountBook(catalogue or {}), settings or MrrSettings(), NOW)


def micros(*items: Json, catalogue: dict[tuple[str, str], Json] | None = None, **sub: Any) -> int:
    return rounded(worth(subscription(items=list(items), **sub), catalogue).monthly)


def discount(coupon: Json, discount_id: str = "di_1", **more: Any) -> Json:
    return {"id": discount_id, "object": "discount", "coupon": coupon, "start": T0, "end": None} | more


def test_three_seats_less_a_quarter_for_ever() -> None:
    assert micros(item(quantity=3), discounts=[discount(FOREVER_25)]) == 45_000_000


def test_a_year_is_twelve_months() -> None:
    assert micros(item(price(amount=120_000, interval="year"))) == 100_000_000


def test_weeks_are_rounded_once_at_the_end() -> None:
    value = worth(subscription(items=[item(price(amount=700, interval="week"), 2)]))
    assert value.monthly == Fraction(2 * 7_000_000 * 52, 12)
    assert rounded(value.monthly) == 60_666_667


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [
        ("month", 1, 12_000_000),
        ("month", 3, 4_000_000),
        ("month", 12, 1_000_000),
        ("year", 1, 1_000_000),
        ("year", 2, 500_000),
        ("week", 1, 52_000_000),
        ("week", 4, 13_000_000),
        ("day", 1, 365_000_000),
    ],
)
def test_every_interval_is_normalised_to_a_month(interval: str, count: int, expected: int) -> None:
    assert micros(item(price(amount=1200, interval=interval, count=count))) == expected


def test_week_and_day_factors_are_settings() -> None:
    sub = subscription(items=[item(price(amount=1200, interval="day"))])
    assert rounded(worth(sub, settings=MrrSettings(days_per_year=360)).monthly) == 360_000_000


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [("jpy", 500, 500_000_000), ("kwd", 1500, 1_500_000), ("isk", 50_000, 500_000_000), ("ugx", 50_000, 500_000_000)],
)
def test_minor_units_of_each_currency(currency: str, amount: int, expected: int) -> None:
    assert micros(item(price(amount=amount, currency=currency)), currency=currency) == expected


def test_all_items_count_but_metered_ones_do_not() -> None:
    metered = item(price("price_2", 9_999, usage_type="metered"), None, "si_2")
    by_meter = price("price_3", 9_999)
    by_meter["recurring"] |= {"meter": "mtr_1"}
    assert (
        micros(item(quantity=2), item(price("price_4", 500), 3, "si_4"), metered, item(by_meter, None, "si_3"))
        == 55_000_000
    )


def test_fractions_of_a_cent_are_exact() -> None:
    assert micros(item(price(amount=None, unit_amount_decimal="0.000000000125"), 8_000_000)) == 10


def test_a_quantity_of_none_is_one_and_of_zero_is_nothing() -> None:
    assert micros(item(quantity=None)) == 20_000_000
    assert micros(item(quantity=0)) == 0


@pytest.mark.parametrize(("round_", "expected"), [("up", 60_000_000), ("down", 40_000_000)])
def test_quantities_are_transformed_before_they_are_priced(round_: str, expected: int) -> None:
    assert micros(item(price(transform_quantity={"divide_by": 10, "round": round_}), 25)) == expected


TIERS = [
    {"up_to": 5, "unit_amount": 700, "unit_amount_decimal": "700", "flat_amount": 100, "flat_amount_decimal": "100"},
    {"up_to": 10, "unit_amount": 650, "unit_amount_decimal": "650", "flat_amount": 200},
    {"up_to": None, "unit_amount": None, "unit_amount_decimal": "600.5", "flat_amount": None},
]


@pytest.mark.parametrize(
    ("mode", "quantity", "expected"),
    [
        ("volume", 0, 100),
        ("volume", 5, 3600),
        ("volume", 6, 4100),
        ("volume", 20, 12010),
        ("graduated", 0, 100),
        ("graduated", 1, 800),
        ("graduated", 5, 3600),
        ("graduated", 6, 4450),
        ("graduated", 12, 3600 + 3450 + 1201),
    ],
)
def test_tiers(mode: str, quantity: int, expected: int) -> None:
    assert tiered(TIERS, mode, quantity) == expected


def test_tiers_come_from_the_catalogue_because_webhooks_leave_them_out() -> None:
    bare = price(amount=None, billing_scheme="tiered", tiers_mode="graduated")
    assert worth(subscription(items=[item(bare, 6)])).problems == ("tiers_missing",)
    catalogue = {("stripe.price", "price_1"): bare | {"tiers": TIERS}}
    value = worth(subscription(items=[item(bare, 6)]), catalogue)
    assert (rounded(value.monthly), value.problems) == (44_500_000, ())


def test_another_currency_of_a_price() -> None:
    both = price(amount=2000, currency_options={"eur": {"unit_amount": 1800, "unit_amount_decimal": "1800"}})
    sub = subscription(items=[item(price(amount=2000))], currency="eur")
    assert worth(sub).problems == ("amount_missing",)
    value = worth(sub, {("stripe.price", "price_1"): both})
    assert (value.currency, rounded(value.monthly), value.problems) == ("EUR", 18_000_000, ())


def test_a_subscription_from_before_there_were_items_or_prices() -> None:
    plan = {
        "id": "gold",
        "amount": 2000,
        "currency": "usd",
        "interval": "month",
        "interval_count": 1,
        "usage_type": "licensed",
    }
    assert rounded(worth({"id": "sub_1", "plan": plan, "quantity": 2}).monthly) == 40_000_000
    assert (
        rounded(worth({"id": "sub_1", "items": {"data": [{"id": "si_1", "plan": plan, "quantity": 3}]}}).monthly)
        == 60_000_000
    )


def test_items_beyond_the_first_page_are_a_known_gap() -> None:
    sub = subscription()
    sub["items"]["has_more"] = True
    assert worth(sub).problems == ("items_missing",)


class TestDiscounts:
    def test_a_coupon_is_found_wherever_a_version_puts_it(self) -> None:
        catalogue = {("stripe.coupon", "co_1"): FOREVER_25}
        by_source = {"id": "di_1", "source": {"type": "coupon", "coupon": "co_1"}}
        expanded = {"id": "di_1", "source": {"type": "coupon", "coupon": FOREVER_25}}
        legacy = subscription(shape="legacy") | {"discount": discount(FOREVER_25)}
        for sub in (subscription(discounts=[by_source]), subscription(discounts=[expanded]), legacy):
            assert rounded(worth(sub, catalogue).monthly) == 15_000_000

    def test_a_discount_named_by_id_alone_is_looked_up_and_missed_aloud(self) -> None:
        sub = subscription(discounts=["di_1"])
        assert worth(sub).problems == ("discount_unknown",)
        book = DiscountBook({}, {"di_1": discount(FOREVER_25)})
        assert rounded(value_of(sub, book, MrrSettings(), NOW).monthly) == 15_000_000

    @pytest.mark.parametrize("duration", ["once", "repeating"])
    def test_passing_discounts_lower_nothing_unless_asked(self, duration: str) -> None:
        passing = FOREVER_25 | {"duration": duration}
        sub = subscription(discounts=[discount(passing, end=T0 + 100)])
        assert rounded(worth(sub).monthly) == 20_000_000
        net = MrrSettings(net_of_all_discounts=True)
        assert rounded(value_of(sub, DiscountBook(), net, at(99)).monthly) == 15_000_000
        assert rounded(value_of(sub, DiscountBook(), net, at(100)).monthly) == 20_000_000

    def test_an_amount_off_is_per_invoice_and_never_below_nothing(self) -> None:
        off = {"id": "co_2", "duration": "forever", "amount_off": 12_000, "currency": "usd"}
        yearly = item(price(amount=120_000, interval="year"))
        assert micros(yearly, discounts=[discount(off)]) == 90_000_000
        assert micros(item(), discounts=[discount(off)]) == 0

    def test_an_amount_off_in_another_currency(self) -> None:
        off = {
            "id": "co_2",
            "duration": "forever",
            "amount_off": 500,
            "currency": "usd",
            "currency_options": {"eur": {"amount_off": 400}},
        }
        euro = item(price(amount=2000, currency="eur"))
        assert micros(euro, currency="eur", discounts=[discount(off)]) == 16_000_000

    def test_an_item_s_discount_comes_before_the_subscription_s(self) -> None:
        half = {"id": "co_3", "duration": "forever", "percent_off": 50}
        five = {"id": "co_4", "duration": "forever", "amount_off": 500, "currency": "usd"}
        assert micros(item(discounts=[discount(half)]), discounts=[discount(five, "di_2")]) == 5_000_000

    def test_a_discount_for_one_product(self) -> None:
        only = FOREVER_25 | {"applies_to": {"products": ["prod_price_2"]}}
        assert micros(item(), item(price("price_2"), 1, "si_2"), discounts=[discount(only)]) == 35_000_000

    def test_stacked_discounts_are_taken_one_after_the_other(self) -> None:
        five = {"id": "co_4", "duration": "forever", "amount_off": 400, "currency": "usd"}
        assert micros(item(), discounts=[discount(five), discount(FOREVER_25, "di_2")]) == 12_000_000
        assert micros(item(), discounts=[discount(FOREVER_25, "di_2"), discount(five)]) == 11_000_000

    def test_the_customer_s_discount_is_for_subscriptions_that_have_none(self) -> None:
        of_customer = {"id": "cus_1", "object": "customer", "discount": discount(FOREVER_25, customer="cus_1")}
        half = {"id": "co_3", "duration": "forever", "percent_off": 50}
        book = discount_book({}, [State("stripe.customer", "cus_1", "cus_1", None, NOW, 0, "evt_1", of_customer)], {})
        assert rounded(value_of(subscription(), book, MrrSettings(), NOW).monthly) == 15_000_000
        own = subscription(discounts=[discount(half, "di_2")])
        assert rounded(value_of(own, book, MrrSettings(), NOW).monthly) == 10_000_000


def test_only_active_and_past_due_count() -> None:
    words = ["incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused", None]
    assert [word for word in words if counts(word)] == ["active", "past_due"]


def test_amounts_that_do_not_fit_are_refused_not_wrapped() -> None:
    value = worth(subscription(items=[item(price(amount=10**12), 10**9)]))
    assert (value.monthly, value.problems) == (0, ("amount_out_of_range",))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**7),
            st.integers(0, 1000),
            st.sampled_from(["day", "week", "month", "year"]),
            st.integers(1, 12),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 100),
)
def test_a_percentage_off_the_whole_is_a_percentage_off_the_sum(
    lines: list[tuple[int, int, str, int]], percent: int
) -> None:
    items = [item(price(f"p{i}", a, interval=n, count=c), q, f"si_{i}") for i, (a, q, n, c) in enumerate(lines)]
    coupon = {"id": "co", "duration": "forever", "percent_off": percent}
    full, less = worth(subscription(items=items)), worth(subscription(items=items, discounts=[discount(coupon)]))
    per_year = {"day": 365, "week": 52, "month": 12, "year": 1}
    assert full.monthly == sum((Fraction(a * q * 10_000 * per_year[n], 12 * c) for a, q, n, c in lines), Fraction(0))
    assert less.monthly == full.monthly * (100 - percent) / 100
