"""The demo's wire payloads: the same every time, believable in number, true to the vendors' formats, consistent."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import islice, pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pytest

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.movements import Changes, build, stretches
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.revenue import count
from gdp_core.analytics.scope import Scope
from gdp_core.billing.derive import derive, owner_of, parent_of
from gdp_core.billing.mrr import MrrSettings
from gdp_core.billing.plans import PlanMapping
from gdp_core.billing.rows import Billing, Owner, State
from gdp_core.demo.cast import CHANNELS, CULTURES
from gdp_core.demo.stage import BRANDS, INTERNAL_DOMAINS, MAIN, PLAN_NAMES, fx_rates
from gdp_core.demo.subscriptions import add_months
from gdp_core.demo.wire import BATCH, DemoDelivery, stories
from gdp_core.sources import posthog, resend, segment, stripe
from gdp_core.sources.facts import Delivery, Fact, Reject
from gdp_core.sources.web import is_machine

UNTIL = datetime(2026, 11, 20, 14, 37, 12, tzinfo=UTC)
HOUR = datetime(2026, 11, 20, 14, tzinfo=UTC)
WS, SOURCE_ID = UUID(int=1), UUID(int=2)
NORMALISE = {
    "segment": segment.normalise,
    "posthog": posthog.normalise,
    "resend": resend.normalise,
    "stripe": stripe.normalise,
}


@dataclass(frozen=True)
class Told:
    """All deliveries of one run, and views of them."""

    deliveries: list[DemoDelivery]

    @cached_property
    def parsed(self) -> list[tuple[DemoDelivery, Any]]:
        return [(delivery, orjson.loads(delivery.body)) for delivery in self.deliveries]

    @cached_property
    def stripe(self) -> list[tuple[str, Any]]:
        """(brand, event) in order, without the one that is broken on purpose."""
        return [(d.brand, body) for d, body in self.parsed if d.source == "stripe" and "id" in body]

    @cached_property
    def resend(self) -> list[Any]:
        return [body for d, body in self.parsed if d.source == "resend" and body["data"]]

    @cached_property
    def tracked(self) -> list[tuple[DemoDelivery, Any]]:
        """Every message of a Segment or PostHog batch."""
        return [(d, item) for d, body in self.parsed if d.source in ("segment", "posthog") for item in body["batch"]]

    @cached_property
    def facts(self) -> list[tuple[DemoDelivery, Fact | Reject]]:
        """What the sources make of every webhook, of the last month's batches and of each fourth one before."""
        chosen = (
            delivery
            for number, delivery in enumerate(self.deliveries)
            if delivery.route == "webhook" or delivery.received_at > HOUR - timedelta(days=30) or number % 4 == 0
        )
        return [
            (delivery, outcome) for delivery in chosen for outcome in NORMALISE[delivery.source](delivery_of(delivery))
        ]


def delivery_of(demo: DemoDelivery) -> Delivery:
    return Delivery(
        id=UUID(int=3),
        workspace_id=WS,
        source_id=SOURCE_ID,
        source=demo.source,
        route=demo.route,
        trust="server" if demo.source in ("segment", "posthog") else "signed",
        received_at=demo.received_at,
        body=demo.body,
        headers=demo.headers,
    )


def digest(deliveries: Iterator[DemoDelivery]) -> str:
    hashed = hashlib.sha256()
    for delivery in deliveries:
        hashed.update(repr((delivery.brand, delivery.source, delivery.route, delivery.received_at)).encode())
        hashed.update(repr(sorted(delivery.headers.items())).encode() + delivery.body)
    return hashed.hexdigest()


@pytest.fixture(scope="module")
def told() -> Told:
    return Told(list(stories(UNTIL, seed=1)))


# -- the whole -----------------------------------------------------------------------------------------------------


def test_same_seed_and_hour_give_the_same_bytes(told: Told) -> None:
    assert digest(iter(told.deliveries)) == digest(stories(UNTIL + timedelta(minutes=20), seed=1))
    assert digest(islice(stories(UNTIL, seed=2), 1000)) != digest(islice(told.deliveries, 1000))


def test_the_last_day_is_a_day_like_others(told: Told) -> None:
    first: dict[str, datetime] = {}
    for delivery, item in told.tracked:
        who = item.get("anonymousId")
        if delivery.brand == MAIN.key and who and item["timestamp"][:2] == "20":
            at = datetime.fromisoformat(item["timestamp"])
            first[who] = min(at, first.get(who, at))
    days = Counter((HOUR - at) // timedelta(days=1) for at in first.values())
    minutes = Counter(at.replace(second=0, microsecond=0) for at in first.values() if at > HOUR - timedelta(days=30))
    usual = sum(days[number] for number in range(1, 15)) / 14
    assert usual > 10
    assert days[0] < 2 * usual
    assert minutes.most_common(1)[0][1] <= 5, minutes.most_common(3)


def test_messages_arrive_when_a_browser_would_have_sent_them(told: Told) -> None:
    """Or the data quality page would call a healthy sender late."""
    delays: dict[bool, list[timedelta]] = {True: [], False: []}
    for delivery, item in told.tracked:
        if item["timestamp"][:2] == "20" and item.get("event") != "":
            at = datetime.fromisoformat(item["timestamp"])
            delays[at > HOUR - timedelta(days=30)].append(delivery.received_at - at)
    broken = 3 * len(BRANDS)  # messages that are broken on purpose
    assert sum(delay > timedelta(seconds=11) for delay in delays[True]) <= broken
    assert sum(delay > timedelta(seconds=3_601) for delay in delays[False]) <= broken
    assert min(map(len, delays.values())) > 5_000


def test_batches_stay_within_a_month(told: Told) -> None:
    for delivery, body in told.parsed:
        if delivery.source not in ("segment", "posthog"):
            assert delivery.route == "webhook"
            continue
        assert delivery.route == {"segment": "v1/batch", "posthog": "posthog/batch"}[delivery.source]
        assert 0 < len(body["batch"]) <= BATCH
        months = {item["timestamp"][:7] for item in body["batch"] if item["timestamp"][:2] == "20"}
        assert len(months) <= 1  # none where all it holds is a broken date


def test_nothing_is_received_after_the_hour_and_the_last_hour_is_busy(told: Told) -> None:
    start = HOUR - timedelta(days=548)
    assert all(start <= delivery.received_at <= HOUR for delivery in told.deliveries)
    recent = [item for _, item in told.tracked if item["timestamp"] >= "2026-11-20T13:"]
    assert len(recent) >= 10
    days = {item["timestamp"][:10] for _, item in told.tracked if item["timestamp"] >= "2026-11-01"}
    assert days >= {f"2026-11-{day:02}" for day in range(1, 21)}


# -- numbers -------------------------------------------------------------------------------------------------------


def people_of(told: Told, brand: str) -> tuple[int, int]:
    """(everybody, those with a user id) after anonymous visits are joined to their user."""
    users: dict[str, str] = {}
    seen: set[str] = set()
    for delivery, item in told.tracked:
        if delivery.brand != brand:
            continue
        properties = item.get("properties", {})
        device = item.get("anonymousId") or properties.get("$device_id")
        user = item.get("userId") or (item.get("distinct_id") if properties.get("$is_identified") else None)
        if device:
            seen.add(device)
            if user:
                users[device] = user
    return len({users.get(device, device) for device in seen}), len(set(users.values()))


def test_people_and_events_are_about_as_many_as_promised(told: Told) -> None:
    everybody, known = people_of(told, "main")
    assert 4_500 <= everybody <= 4_700
    assert 1_900 <= known <= 2_500
    assert 370 <= people_of(told, "second")[0] <= 430
    visible = sum(item.get("type") != "identify" and item.get("event") != "$identify" for _, item in told.tracked)
    visible += sum(body["type"] in ("email.opened", "email.clicked") for body in told.resend)
    visible += sum(
        event["type"] in ("invoice.paid", "invoice.payment_failed", "customer.subscription.created")
        for _, event in told.stripe
    )
    assert 135_000 <= visible <= 170_000


def monthly(subscription: Any, coupons: dict[str, Any]) -> float:
    """A subscription's MRR in cents of its currency, reckoned apart from the product."""
    if subscription["status"] not in ("active", "past_due"):
        return 0.0
    item = subscription["items"]["data"][0]
    months = {"month": 1, "year": 12}[item["price"]["recurring"]["interval"]]
    amount = item["price"]["unit_amount"] * item["quantity"] / months
    for discount in subscription["discounts"]:
        if coupons[discount]["duration"] == "forever":
            amount *= 1 - coupons[discount]["percent_off"] / 100
    return amount


def test_business_of_the_main_brand_is_believable(told: Told) -> None:
    coupons, current, trials, paid = {}, {}, set(), set()
    by_month: dict[str, dict[str, float]] = {}
    for brand, event in told.stripe:
        thing, kind = event["data"]["object"], event["type"]
        if brand != "main":
            continue
        if kind == "customer.discount.created":
            coupons[thing["id"]] = thing["coupon"]
        elif kind == "invoice.paid":
            paid.add(thing["customer"])
        elif kind.startswith("customer.subscription."):
            rate = {"usd": 1.0, "eur": 1.09, "gbp": 1.27}[thing["currency"]]
            current[thing["id"]] = monthly(thing, coupons) * rate / 100
            if thing["trial_end"] and thing["trial_end"] < HOUR.timestamp():
                trials.add(thing["customer"])
            month = datetime.fromtimestamp(event["created"], UTC).strftime("%Y-%m")
            by_month[month] = {key: value for key, value in current.items() if value}
    assert 400 <= len(by_month["2026-11"]) <= 560
    assert 23_000 <= sum(by_month["2026-11"].values()) <= 34_000
    assert 0.25 <= len(trials & paid) / len(trials) <= 0.35
    months = sorted(by_month)[-6:]
    mrr = [sum(by_month[month].values()) for month in months]
    assert mrr == sorted(mrr)
    churn = [1 - len(by_month[a].keys() & by_month[b].keys()) / len(by_month[a]) for a, b in pairwise(months)]
    assert 0.025 <= sum(churn) / len(churn) <= 0.06


def test_every_kind_of_billing_story_happens(told: Told) -> None:
    kinds = Counter(event["type"] for _, event in told.stripe)
    for kind in ("charge.refunded", "refund.created", "charge.dispute.created", "checkout.session.expired"):
        assert kinds[kind] > 0, kind
    ends = Counter(
        event["data"]["object"]["cancellation_details"]["reason"]
        for _, event in told.stripe
        if event["type"] == "customer.subscription.deleted"
    )
    assert ends["payment_failed"] > 5
    assert ends["cancellation_requested"] > 100
    subscriptions: dict[str, list[Any]] = defaultdict(list)
    for _, event in told.stripe:
        if event["type"].startswith("customer.subscription."):
            subscriptions[event["data"]["object"]["id"]].append(event["data"]["object"])
    changes = Counter(change for story in subscriptions.values() for change in _changes(story))
    assert min(changes[kind] for kind in ("plan", "more", "fewer", "yearly", "stayed", "recovered")) > 0
    customers = Counter(story[0]["customer"] for story in subscriptions.values())
    assert sum(count > 1 for count in customers.values()) > 5  # reactivations
    assert {story[0]["currency"] for story in subscriptions.values()} == {"usd", "eur", "gbp"}


def _changes(story: list[Any]) -> Iterator[str]:
    for before, after in pairwise(story):
        old, new = before["items"]["data"][0], after["items"]["data"][0]
        if old["price"]["product"] != new["price"]["product"]:
            yield "plan"
        elif old["price"]["recurring"]["interval"] != new["price"]["recurring"]["interval"]:
            yield "yearly"
        elif old["quantity"] != new["quantity"]:
            yield "more" if new["quantity"] > old["quantity"] else "fewer"
        if before["cancel_at_period_end"] and not after["cancel_at_period_end"]:
            yield "stayed"
        if before["status"] == "past_due" and after["status"] == "active":
            yield "recovered"


def test_acquisition_and_the_calendar_show(told: Told) -> None:
    queries = Counter(
        channel.key
        for _, item in told.tracked
        for channel in CHANNELS
        if item.get("event") == "landing_view"
        and channel.utm_source
        and f"utm_source={channel.utm_source}&" in str(item.get("context", {}).get("page", {}).get("search"))
    )
    assert set(queries) == {channel.key for channel in CHANNELS if channel.utm_source}
    text = b"".join(d.body for d in told.deliveries if d.source == "segment")
    assert b"gclid=" in text
    assert b"fbclid=" in text
    weekdays = Counter(
        datetime.fromisoformat(item["timestamp"]).weekday() for _, item in told.tracked if "Z" in item["timestamp"]
    )
    assert weekdays[6] < 0.6 * weekdays[1]
    months = Counter(item["timestamp"][:7] for _, item in told.tracked)
    assert months["2026-10"] > 2 * months["2025-10"]


# -- shapes --------------------------------------------------------------------------------------------------------

SHAPES = {
    "customer": "id created email name phone metadata currency delinquent discount livemode",
    "subscription": "id customer status currency cancel_at_period_end cancel_at canceled_at ended_at start_date trial_start"
    " trial_end discounts pause_collection collection_method latest_invoice metadata items cancellation_details",
    "invoice": "id customer customer_email status billing_reason currency amount_due amount_paid amount_remaining subtotal"
    " total total_taxes attempt_count next_payment_attempt status_transitions parent lines payments number",
    "charge": "id amount amount_captured amount_refunded refunded currency customer payment_intent status billing_details",
    "refund": "id amount charge payment_intent currency status created",
    "dispute": "id amount charge payment_intent currency status created reason",
    "discount": "id coupon customer subscription start end",
    "checkout.session": "id mode status payment_status customer client_reference_id customer_details subscription"
    " amount_total currency expires_at metadata payment_intent invoice created",
}
KINDS = {
    "customer.created": "customer",
    "customer.subscription.created": "subscription",
    "customer.subscription.updated": "subscription",
    "customer.subscription.deleted": "subscription",
    "customer.discount.created": "discount",
    "invoice.paid": "invoice",
    "invoice.payment_failed": "invoice",
    "charge.refunded": "charge",
    "charge.updated": "charge",
    "refund.created": "refund",
    "charge.dispute.created": "dispute",
    "charge.dispute.closed": "dispute",
    "checkout.session.completed": "checkout.session",
    "checkout.session.expired": "checkout.session",
}


def test_stripe_events_have_the_shape_of_their_version(told: Told) -> None:
    for _, event in told.stripe:
        thing = event["data"]["object"]
        assert event["object"] == "event"
        assert event["id"].startswith("evt_")
        assert event["api_version"].endswith(".basil")
        assert thing["object"] == KINDS[event["type"]]
        assert not set(SHAPES[thing["object"]].split()) - thing.keys(), event["type"]
        assert ("previous_attributes" in event["data"]) == (event["type"] == "customer.subscription.updated")
        if thing["object"] == "subscription":
            (item,) = thing["items"]["data"]
            assert item["current_period_start"] < item["current_period_end"]
            assert item["price"]["id"] in PLAN_NAMES
            assert item["quantity"] >= 1
            assert thing["metadata"]["user_id"].startswith("usr_")
        if event["type"] == "customer.subscription.updated":
            before = event["data"]["previous_attributes"]
            assert before
            assert all(thing[key] != value for key, value in before.items())
    assert {event["type"] for _, event in told.stripe} == set(KINDS)


def test_invoices_add_up_and_only_paid_money_goes_back(told: Told) -> None:
    paid: dict[str, int] = {}
    for _, event in told.stripe:
        thing = event["data"]["object"]
        if thing["object"] == "invoice":
            lines = thing["lines"]["data"]
            reductions = sum(part["amount"] for part in thing["total_discount_amounts"])
            assert thing["subtotal"] == sum(line["amount"] for line in lines)
            assert thing["total"] == thing["subtotal"] - reductions > 0
            assert thing["amount_due"] == thing["total"] == thing["amount_paid"] + thing["amount_remaining"]
            for line in lines:
                if (
                    not line["pricing"]["unit_amount_decimal"]
                    or line["parent"]["subscription_item_details"]["proration"]
                ):
                    continue
                assert line["amount"] == int(line["pricing"]["unit_amount_decimal"]) * line["quantity"]
            if event["type"] == "invoice.paid":
                (payment,) = thing["payments"]["data"]
                assert payment["payment"]["charge"] not in paid
                paid[payment["payment"]["charge"]] = thing["total"]
            else:
                assert thing["amount_paid"] == 0
        elif thing["object"] in ("refund", "dispute"):
            assert 0 < thing["amount"] <= paid[thing["charge"]]
        elif thing["object"] == "charge":
            assert thing["amount"] == paid[thing["id"]]


def test_a_subscription_moves_only_as_stripe_lets_it(told: Told) -> None:
    moves = {
        ("trialing", "trialing"),
        ("trialing", "active"),
        ("trialing", "canceled"),
        ("active", "active"),
        ("active", "past_due"),
        ("active", "canceled"),
        ("past_due", "active"),
        ("past_due", "canceled"),
    }
    customers: set[str] = set()
    latest: dict[str, Any] = {}
    instants: dict[str, int] = {}
    retried: set[str] = set()
    for _, event in told.stripe:
        thing = event["data"]["object"]
        if event["id"] in retried:
            continue
        retried.add(event["id"])
        if event["type"] == "customer.created":
            customers.add(thing["id"])
        if thing["object"] != "subscription":
            continue
        assert thing["customer"] in customers
        if event["type"] == "customer.subscription.created":
            assert thing["id"] not in latest
            assert thing["status"] in ("trialing", "active")
        else:
            before = latest[thing["id"]]
            assert (before["status"], thing["status"]) in moves
            assert event["created"] > instants[thing["id"]]  # no two versions within one second
            old, new = before["items"]["data"][0], thing["items"]["data"][0]
            assert new["current_period_end"] >= old["current_period_end"]
        if event["type"] == "customer.subscription.deleted":
            assert thing["status"] == "canceled"
            assert thing["ended_at"] == event["created"]
        latest[thing["id"]], instants[thing["id"]] = thing, event["created"]
    assert all(
        story["status"] == "canceled" or story["items"]["data"][0]["current_period_end"] > HOUR.timestamp() - 1
        for story in latest.values()
    )


def test_checkouts_name_their_person(told: Told) -> None:
    modes = Counter()
    for _, event in told.stripe:
        session = event["data"]["object"]
        if session["object"] != "checkout.session":
            continue
        modes[session["mode"], session["status"]] += 1
        assert session["client_reference_id"] == session["metadata"]["user_id"]
        assert session["expires_at"] - session["created"] == 86_400
        paid = session["status"] == "complete" and session["mode"] != "setup"
        assert (session["payment_status"] == "paid") == paid
    assert {("setup", "complete"), ("subscription", "complete"), ("payment", "complete")} <= set(modes)
    assert modes["subscription", "expired"] > 100


# -- people --------------------------------------------------------------------------------------------------------


def test_letters_are_written_before_they_are_sent(told: Told) -> None:
    created: dict[str, str] = {}
    for _, item in told.tracked:
        letter = item.get("properties", {}).get("letter_id")
        if item.get("event") == "letter_created" and letter:
            created[letter] = item["timestamp"]
        elif item.get("event") == "letter_sent" and letter != "ltr_orphan":
            assert created[letter] < item["timestamp"]


def test_who_signs_in_was_a_visitor_before(told: Told) -> None:
    """Everything in the app follows the sign-up; what came before it came from the same browser."""
    signed_up: dict[str, str] = {}
    visited: dict[str, str] = {}
    for delivery, item in told.tracked:
        if delivery.source != "segment" or "anonymousId" not in item:
            continue
        user, anonymous, at = item["userId"], item["anonymousId"], item["timestamp"]
        visited.setdefault(anonymous, at)
        if item.get("event") == "signup_completed":
            assert user not in signed_up
            assert visited[anonymous] < at
            signed_up[user] = at
        elif item.get("event") in ("letter_created", "letter_sent", "recipient_added", "template_created"):
            assert signed_up[user] < at
    assert len(signed_up) > 1_800


def test_e_mails_are_opened_after_they_arrive_and_never_follow_a_bounce(told: Told) -> None:
    delivered: dict[str, str] = {}
    gone: dict[str, str] = {}
    machine = Counter()
    for body in told.resend:
        data, at = body["data"], body["created_at"]
        assert set(data["tags"]) == {"person_id", "user_id", "campaign_id", "funnel"}
        (address,) = data["to"]
        if body["type"] == "email.delivered":
            assert address not in gone
            delivered[data["email_id"]] = at
        elif body["type"] in ("email.opened", "email.clicked", "email.complained"):
            assert delivered[data["email_id"]] <= at
        if body["type"] == "email.clicked":
            machine[is_machine(data["click"]["userAgent"])] += 1
        if body["type"] == "email.complained" or data.get("bounce", {}).get("type") == "Permanent":
            gone[address] = at
    assert len(gone) > 50
    assert machine[True] > 100
    assert machine[False] > 100


def test_names_come_from_many_places(told: Told) -> None:
    names = {
        item["traits"]["name"]
        for _, item in told.tracked
        if item.get("type") == "identify" and "name" in item["traits"]
    }
    for sign in ("é", "ł", "ü", "山田", "김", "محمد", "Ελένη", "Олена", "Þ", "Nguyễn"):
        assert any(sign in name for name in names), sign
    assert max(map(len, names)) > 30
    countries = {item["traits"].get("country") for _, item in told.tracked if item.get("type") == "identify"}
    assert {culture.country for culture in CULTURES} <= countries
    phones = [item["traits"]["phone"] for _, item in told.tracked if "phone" in item.get("traits", {})]
    emails = [item["traits"]["email"] for _, item in told.tracked if "firstName" in item.get("traits", {})]
    assert len(phones) == len(set(phones)) > 100
    assert len(emails) == len(set(emails)) > 1_800
    assert sum(email.endswith(f"@{MAIN.domain}") for email in emails) == 6


REFERRERS = {urlsplit(url).hostname for channel in CHANNELS for url in channel.referrers}


def test_no_real_domain_appears(told: Told) -> None:
    addresses: set[str] = set()
    hosts: set[str] = set()
    for delivery in told.deliveries:
        addresses.update(found.decode() for found in re.findall(rb"@([\w.-]+)", delivery.body))
        hosts.update(found.decode() for found in re.findall(rb"https?://([^/\"?\s:]+)", delivery.body))
    assert addresses
    assert all(domain.endswith(".example") for domain in addresses), addresses
    assert {host for host in hosts if not host.endswith(".example")} <= REFERRERS
    assert all(domain.endswith(".example") for domain in INTERNAL_DOMAINS)


# -- through the product's own sources -----------------------------------------------------------------------------


def test_the_sources_take_everything_but_what_is_broken_on_purpose(told: Told) -> None:
    rejected = Counter(
        (delivery.brand, outcome.code) for delivery, outcome in told.facts if isinstance(outcome, Reject)
    )
    for brand in ("main", "second"):
        assert {code: count for (of, code), count in rejected.items() if of == brand}.items() >= {
            "no_identifier": 1,
            "blank_name": 1,
            "bad_timestamp": 1,
        }.items()
    assert sum(rejected.values()) <= 10


def test_facts_keep_their_own_time_and_are_told_once(told: Told) -> None:
    keys = Counter()
    for delivery, fact in told.facts:
        if isinstance(fact, Reject):
            continue
        keys[delivery.brand, delivery.source, fact.key] += 1
        assert fact.occurred_at <= delivery.received_at
        assert fact.original_at is None or fact.original_at == fact.occurred_at
    repeated = [key for key, count in keys.items() if count > 1]
    assert len(repeated) == len(BRANDS)  # one webhook per brand was sent again
    assert sum(keys.values()) > 50_000


def test_event_names_are_those_that_have_a_role(told: Told) -> None:
    names = Counter(fact.event.name for _, fact in told.facts if isinstance(fact, Fact) and fact.event)
    for name in (
        "page_view landing_view pricing_view signup_completed letter_created letter_sent template_created recipient_added"
        " checkout_started email_opened email_clicked"
    ).split():
        assert names[name] > 100, name
    assert not names["purchase_completed"]  # follows from invoices
    assert not names["subscription_started"]


def test_billing_follows_from_the_webhooks(told: Told) -> None:
    """What the product derives is what the last versions say, with nothing left unclear."""
    versions: dict[str, list[State]] = defaultdict(list)
    for delivery, fact in told.facts:
        if delivery.brand == "main" and delivery.source == "stripe" and isinstance(fact, Fact):
            for kept in fact.states:
                versions[kept.id].append(
                    State(kept.kind, kept.id, kept.owner, kept.parent, fact.occurred_at, fact.rank, fact.key, kept.data)
                )
    by_owner: dict[str, list[State]] = defaultdict(list)
    for found in versions.values():
        owner = owner_of(found) or owner_of(versions[parent_of(found) or ""])
        assert owner, found[0].kind
        by_owner[owner] += found
    plans = PlanMapping({("price", price): (price, name) for price, name in PLAN_NAMES.items()})
    derived = [
        derive(Owner(WS, SOURCE_ID, owner), states, {}, plans, MrrSettings()) for owner, states in by_owner.items()
    ]
    subscriptions = [row for billing in derived for row in billing.subscriptions]
    assert not [row.problems for row in subscriptions if row.problems or row.needs_refetch or not row.is_plan_mapped]
    coupons = {}
    latest = {}
    for brand, event in told.stripe:
        thing = event["data"]["object"]
        if thing["object"] == "discount":
            coupons[thing["id"]] = thing["coupon"]
        elif thing["object"] == "subscription" and brand == "main":
            latest[thing["id"]] = thing
    for row in subscriptions:
        assert row.mrr_micros / 10_000 == pytest.approx(monthly(latest[row.stripe_subscription_id], coupons), abs=1e-3)
    refunds = Counter((row.kind, row.counts) for billing in derived for row in billing.refunds)
    assert refunds["refund", True] > 5
    assert not refunds["refund", False]
    assert refunds["dispute", True] + refunds["dispute", False] == 3
    movements = Counter(change.movement for billing in derived for change in billing.mrr_changes)
    assert min(movements[kind] for kind in ("new", "reactivation", "expansion", "contraction", "churn")) > 5
    recurring_revenue_closes(derived)


def recurring_revenue_closes(derived: list[Billing]) -> None:
    """On every day, to the micro; it ends with what the subscriptions come to, and rates did something on the way."""
    moved: dict[tuple[int, datetime, str], int] = defaultdict(int)
    for customer, billing in enumerate(derived):
        for change in billing.mrr_changes:
            moved[customer, change.changed_at, change.currency] += change.after_micros - change.before_micros
    steps = sorted((step, delta) for step, delta in moved.items() if delta)
    customers = sorted({customer for (customer, _, _), _ in steps})
    currencies = tuple(sorted({currency for (_, _, currency), _ in steps}))
    changes = Changes(
        customer=np.array([customers.index(customer) for (customer, _, _), _ in steps], np.int64),
        currency=np.array([currencies.index(currency) for (_, _, currency), _ in steps], np.int64),
        at=np.array([micros(at) for (_, at, _), _ in steps], np.int64),
        delta=np.array([delta for _, delta in steps], np.int64),
        involuntary=np.zeros(len(steps), np.bool_),
    )
    by_day: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for rate in fx_rates(UNTIL):
        by_day[rate.currency].append((rate.on, rate.rate))
    rates = Rates("USD", {code: tuple(zip(*found, strict=True)) for code, found in by_day.items()})  # type: ignore[misc]
    zone = ZoneInfo("America/New_York")
    ledger = build(np.array(customers, object), currencies, changes, zone, rates)
    scope = Scope(WS, zone.key, "USD", date(2025, 1, 1), date(2026, 11, 21), UNTIL)
    days, total = count(ledger, stretches(scope, "day"), "ledger", rates, {})
    assert total.closed_days == total.days == len(days) == 689
    assert all(day.flow.closes for day in (*days, total))
    assert total.flow.fx
    worth: Counter[str] = Counter()
    for billing in derived:
        for row in billing.subscriptions:
            worth[row.currency] += row.mrr_micros
    assert total.flow.end == sum(rates.in_base(amount, code, total.end) or 0 for code, amount in worth.items())


def test_one_device_was_used_by_two_people(told: Told) -> None:
    users = defaultdict(set)
    for delivery, item in told.tracked:
        if item.get("type") == "identify" and delivery.brand == "main":
            users[item["anonymousId"]].add(item["userId"])
    assert sorted(len(found) for found in users.values())[-2:] == [1, 2]


# -- settings ------------------------------------------------------------------------------------------------------


def test_settings_for_the_workspaces() -> None:
    assert {brand.key for brand in BRANDS} == {"main", "second"}
    assert len({brand.slug for brand in BRANDS}) == len(BRANDS)
    assert set(PLAN_NAMES.values()) == {"Starter", "Growth", "Scale", "Notes", "Studio"}
    rates = fx_rates(UNTIL)
    assert rates[-1].on.isoformat() == "2026-11-01"
    assert rates[0].on <= (HOUR - timedelta(days=548)).date()
    assert {rate.currency for rate in rates} == {"EUR", "GBP"}
    assert all(1 < rate.rate < 1.5 for rate in rates)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-03-31", 12, "2027-03-31"),
    ],
)
def test_add_months_keeps_to_the_month(start: str, months: int, end: str) -> None:
    instant = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(add_months(instant, months), UTC).date().isoformat() == end
