"""Objects in doubt are asked for at Stripe: once for each version, and the answer holds."""

import orjson
import pytest
from pydantic import SecretStr

from gdp_core import clock
from gdp_core.backfill import settle
from gdp_core.db import one, rows
from gdp_core.sources.stripe import Account

from .doubles.stripe_api import Answer, StripeApi, running
from .stripe_story import DAY, T0, at, event, item, price, subscription
from .test_pipeline import delivery, drain, put


@pytest.fixture(autouse=True)
def asked_a_day_later(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: at(DAY))


@pytest.fixture
def source_id(database, ws):
    return database.source(ws, "stripe")


def tell(database, ws, source_id, *events):
    put(database, *(delivery(ws, source_id, told, source="stripe", route="webhook", trust="signed") for told in events))
    drain(database, ws)


def ask(database, ws, answer):
    """How many were asked for, and the paths Stripe saw."""
    body = answer if isinstance(answer, Answer) else Answer(200, body=orjson.dumps(answer))
    with running(StripeApi(script=[body] * 20)) as api:
        account = Account(SecretStr("sk_test"), base_url=api.url, per_second=1000, sleep=lambda _: None)
        asked = settle(database.worker, ws, account)
    return asked, [path for path, _ in api.requests]


def standing(database, ws):
    with database.web.transaction(ws) as session:
        return one(session, "SELECT mrr_micros, quantity, needs_refetch, problems FROM subscription")


def test_a_tie_is_settled_by_one_answer(database, ws, source_id):
    tied = [
        event(f"evt_{n}", "customer.subscription.updated", 5, subscription(items=[item(quantity=n)])) for n in (1, 2, 3)
    ]
    tell(database, ws, source_id, *tied)
    assert standing(database, ws).needs_refetch
    assert ask(database, ws, subscription(items=[item(quantity=2)])) == (1, ["/v1/subscriptions/sub_1"])
    row = standing(database, ws)
    assert (row.quantity, row.needs_refetch, row.mrr_micros) == (2, False, 40_000_000)
    assert ask(database, ws, subscription()) == (0, [])


def test_tiers_are_asked_for_and_kept_when_webhooks_leave_them_out_again(database, ws, source_id):
    bare = price(amount=None, billing_scheme="tiered", tiers_mode="volume")
    tiers = [{"up_to": None, "unit_amount": 700, "flat_amount": None}]
    tell(database, ws, source_id, event("evt_1", "customer.subscription.created", 0, subscription(items=[item(bare)])))
    assert standing(database, ws).problems == ["tiers_missing"]
    assert ask(database, ws, subscription(items=[item(bare | {"tiers": tiers})]))[0] == 1
    assert standing(database, ws).mrr_micros == 7_000_000
    tell(
        database,
        ws,
        source_id,
        event("evt_2", "customer.subscription.updated", 2 * DAY, subscription(items=[item(bare, 2)])),
    )
    assert (standing(database, ws).mrr_micros, standing(database, ws).problems) == (14_000_000, [])
    with database.web.transaction(ws) as session:
        assert [row.movement for row in rows(session, "SELECT movement FROM mrr_change ORDER BY changed_at")] == [
            "new",
            "expansion",
        ]


def test_tiers_of_the_catalogue_outlive_a_newer_webhook_about_the_price(database, ws, source_id):
    bare = price(amount=None, billing_scheme="tiered", tiers_mode="volume")
    tiers = [{"up_to": None, "unit_amount": 700, "flat_amount": None}]
    tell(
        database,
        ws,
        source_id,
        event("evt_1", "customer.subscription.created", 0, subscription(items=[item(bare)])),
        event("evt_2", "price.created", 10, bare | {"tiers": tiers}),
        event("evt_3", "price.updated", 20, bare | {"nickname": "Seats"}),
    )
    row = standing(database, ws)
    assert (row.mrr_micros, row.problems) == (7_000_000, [])


def test_what_an_answer_does_not_settle_is_not_asked_for_again(database, ws, source_id):
    bare = subscription(items=[item(price(amount=None, billing_scheme="tiered", tiers_mode="volume"))])
    tell(database, ws, source_id, event("evt_1", "customer.subscription.created", 0, bare))
    assert ask(database, ws, bare)[0] == 1
    assert standing(database, ws).problems == ["tiers_missing"]
    assert ask(database, ws, bare) == (0, [])


def test_what_is_gone_at_stripe_stands_as_it_is_known(database, ws, source_id):
    bare = subscription(items=[item(price(amount=None, billing_scheme="tiered", tiers_mode="volume"))])
    tell(database, ws, source_id, event("evt_1", "customer.subscription.created", 0, bare))
    gone = Answer(404, body=b'{"error": {"type": "invalid_request_error", "message": "No such subscription"}}')
    assert ask(database, ws, gone)[0] == 1
    assert standing(database, ws).problems == ["tiers_missing"]


@pytest.mark.parametrize("last", ["price", "subscription"])
def test_what_an_older_version_was_worth_needs_no_order_either(database, ws, source_id, last):
    """The plan was changed since; what the old one cost becomes known before or after that."""
    tiered = price("price_t", amount=None, billing_scheme="tiered", tiers_mode="volume")
    tiers = [{"up_to": None, "unit_amount": 700, "flat_amount": None}]
    coupon = {"id": "co", "object": "coupon", "duration": "forever", "percent_off": 50}
    cut = {"id": "di_1", "object": "discount", "customer": "cus_1", "subscription": "sub_2", "start": T0, "end": None}
    cut |= {"source": {"type": "coupon", "coupon": "co"}}
    sold = [
        event("evt_1", "customer.subscription.created", 0, subscription(items=[item(tiered)])),
        event("evt_2", "customer.subscription.updated", DAY, subscription(items=[item(price("price_f"))])),
        event("evt_3", "customer.subscription.created", 0, subscription(sub_id="sub_2", discounts=["di_1"])),
        event("evt_4", "customer.subscription.updated", 2 * DAY, subscription(sub_id="sub_2")),
        event("evt_5", "customer.discount.created", 0, cut),
    ]
    known = [
        event("evt_6", "price.created", 10, tiered | {"tiers": tiers}),
        event("evt_7", "coupon.created", 10, coupon),
    ]
    for part in (sold, known) if last == "price" else (known, sold):
        tell(database, ws, source_id, *part)
    with database.web.transaction(ws) as session:
        told = rows(session, "SELECT movement, after_micros FROM mrr_change ORDER BY changed_at")
        doubts = rows(session, "SELECT DISTINCT problems, needs_refetch FROM subscription")
    assert [tuple(row) for row in told] == [
        ("new", 17_000_000),
        ("expansion", 30_000_000),
        ("expansion", 40_000_000),
    ]
    assert [tuple(row) for row in doubts] == [([], False)]
