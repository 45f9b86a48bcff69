"""Stripe's deliveries to facts, and reading a whole account through its API."""

import ast
import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gdp_core.errors import NotFound, Unauthorised, Upstream
from gdp_core.sources.facts import Fact, Identifier, Link, Reject, Trait
from gdp_core.sources.stripe import (
    DONE,
    FETCHED,
    OBJECT_TYPES,
    STRIPE,
    Account,
    Chunk,
    backfill,
    normalise,
    refetch,
    who,
)
from tests.doubles.stripe_api import Answer, StripeApi, running
from tests.stripe_story import (
    DAY,
    RECEIVED,
    T0,
    Json,
    at,
    customer,
    delivery,
    event,
    facts,
    fetched,
    invoice,
    item,
    kept,
    refund,
    session,
    states,
    story,
    subscription,
    world,
)
from tests.test_source_golden import delivery as golden_delivery
from tests.test_source_golden import plain

GOLDEN = Path(__file__).parent / "golden" / "stripe"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "stripe"
CUS, EMAIL = Identifier("stripe", "cus_1"), Identifier("email", "ada@example.org")

needs_fixtures = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recorded fixtures are not at {SHARED}")


def one(body: Json | bytes, route: str = "webhook") -> Fact | Reject:
    (stated,) = normalise(delivery(body, route))
    return stated


def fact(body: Json | bytes, route: str = "webhook") -> Fact:
    stated = one(body, route)
    assert isinstance(stated, Fact), stated
    return stated


def refused(body: Json | bytes, route: str = "webhook") -> str:
    stated = one(body, route)
    assert isinstance(stated, Reject), stated
    return stated.code


@pytest.mark.parametrize(
    "path", sorted(p for p in GOLDEN.glob("*.json") if not p.name.endswith(".facts.json")), ids=lambda path: path.stem
)
def test_a_request_states_its_facts(path: Path) -> None:
    stated = [plain(f) for f in normalise(golden_delivery("stripe", orjson.loads(path.read_bytes())))]
    expected = path.with_suffix(".facts.json")
    if os.environ.get("GDP_UPDATE_GOLDEN"):
        expected.write_bytes(orjson.dumps(stated, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    assert stated == orjson.loads(expected.read_bytes())


class TestSignature:
    def verify(self, header: str, body: bytes, secret: str, at_unix: int) -> bool:
        assert STRIPE.verify is not None
        return STRIPE.verify({"stripe-signature": header}, body, [secret], datetime.fromtimestamp(at_unix, UTC))

    def test_the_sdk_s_own_helper_signs_what_is_accepted(self) -> None:
        body = b'{"id":"evt_1","object":"event"}'
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), "whsec_x", 1_700_000_000)
        assert self.verify(header, body, "whsec_x", 1_700_000_100)
        assert not self.verify(header, body + b" ", "whsec_x", 1_700_000_100)
        assert not self.verify(header, body, "whsec_y", 1_700_000_100)
        assert not self.verify(header, body, "whsec_x", 1_700_000_000 + 301)
        assert not self.verify(header, body, "whsec_x", 1_700_000_000 - 301)

    @needs_fixtures
    def test_the_recorded_vectors(self) -> None:
        vectors = orjson.loads((SHARED / "signature_vectors.json").read_bytes())
        for vector in vectors["vectors"]:
            assert self.verify(vector["header"], vector["body"].encode(), vectors["secret"], vector["timestamp"])


class TestWho:
    def test_a_customer_and_its_address_are_one_person(self) -> None:
        stated = fact(
            event("evt_1", "customer.created", 0, customer(phone="+1 415 555 2671", metadata={"userId": "u_1"}))
        )
        assert (stated.key, stated.occurred_at, stated.event) == ("evt_1", at(0), None)
        assert stated.actors == (CUS, Identifier("user", "u_1"), EMAIL)
        assert set(stated.links) == {Link(CUS, EMAIL), Link(CUS, Identifier("user", "u_1"))}
        assert set(stated.traits) == {
            Trait(CUS, "email", "ada@example.org"),
            Trait(CUS, "name", "Ada"),
            Trait(CUS, "phone", "+14155552671"),
        }

    def test_a_checkout_joins_the_ids_it_was_given(self) -> None:
        made_up = "0190a8a0-7b3c-7def-8123-456789abcdef"
        metadata = {"anonymous_id": "anon-1", "posthog_distinct_id": made_up, "user_id": "undefined"}
        stated = fact(event("evt_1", "checkout.session.completed", 0, session(customer="cus_1", metadata=metadata)))
        assert stated.actors == (
            CUS,
            Identifier("user", "u_9"),
            Identifier("anonymous", "anon-1"),
            Identifier("anonymous", made_up),
            Identifier("email", "guest@example.org"),
        )
        assert len(stated.links) == 4
        assert {trait.op for trait in stated.traits} == {"set_once"}

    @pytest.mark.parametrize("shape", ["legacy", "basil"])
    def test_an_invoice_carries_the_ids_of_its_subscription(self, shape: Any) -> None:
        metadata = {"metadata": {"user_id": "u_7"}}
        more = {"subscription_details": metadata} if shape == "legacy" else {}
        paid = invoice(shape=shape, **more)
        if shape == "basil":
            paid["parent"]["subscription_details"] |= metadata
        assert who(paid) == (CUS, Identifier("user", "u_7"), EMAIL)

    def test_an_expanded_customer_is_the_same_customer(self) -> None:
        stated = fact(event("evt_1", "customer.subscription.created", 0, subscription() | {"customer": customer()}))
        assert (stated.actors[0], stated.states[0].owner) == (CUS, "cus_1")

    def test_a_guest_is_who_the_checkout_names(self) -> None:
        assert who(session())[0] == Identifier("user", "u_9")
        assert who(session(client_reference_id=None)) == (Identifier("email", "guest@example.org"),)
        assert who(session(client_reference_id=None, customer_details=None)) == ()

    def test_a_deleted_customer_stays_a_person_and_is_marked(self) -> None:
        stated = fact(event("evt_1", "customer.deleted", 9, customer()))
        assert Trait(CUS, "stripe_customer_deleted", True) in stated.traits
        assert stated.states[0].data["deleted"] is True
        assert EMAIL in stated.actors

    def test_a_field_that_was_emptied_is_unset(self) -> None:
        stated = fact(event("evt_1", "customer.updated", 9, customer(name=None), {"name": "Ada"}))
        assert Trait(CUS, "name", None, "unset") in stated.traits


class TestStates:
    def test_each_object_knows_its_owner_or_where_to_ask(self) -> None:
        things = [
            (subscription(), "cus_1", None),
            (invoice(), "cus_1", None),
            (customer(), "cus_1", None),
            (refund(), None, "ch_1"),
            (refund(charge=None), None, "pi_1"),
            ({"id": "dp_1", "object": "dispute", "charge": "ch_1"}, None, "ch_1"),
            ({"id": "ch_1", "object": "charge", "customer": None, "payment_intent": "pi_1"}, None, "pi_1"),
            ({"id": "inpay_1", "object": "invoice_payment", "invoice": "in_1"}, None, "in_1"),
            ({"id": "di_1", "object": "discount", "customer": "cus_1", "subscription": "sub_1"}, "cus_1", "sub_1"),
            ({"id": "price_1", "object": "price"}, None, None),
        ]
        for thing, owner, parent in things:
            (state,) = fact(event("evt_1", "some.updated", 0, thing)).states
            assert (state.kind, state.id, state.owner, state.parent) == (
                f"stripe.{thing['object']}",
                thing["id"],
                owner,
                parent,
            )
            assert state.data == thing

    def test_a_guest_s_session_owns_itself_and_its_payment_intent(self) -> None:
        found = {
            s.kind: (s.id, s.owner, s.parent)
            for s in fact(event("evt_1", "checkout.session.completed", 0, session())).states
        }
        assert found == {
            "stripe.checkout.session": ("cs_1", "cs_1", None),
            "stripe.payment_intent": ("pi_1", "cs_1", "cs_1"),
        }

    @pytest.mark.parametrize("shape", ["legacy", "basil"])
    def test_a_failed_attempt_is_a_state_of_its_own(self, shape: Any) -> None:
        stated = fact(event("evt_1", "invoice.payment_failed", 0, invoice("open", shape=shape, attempts=2)))
        failure = next(s for s in stated.states if s.kind == "stripe.payment_failure")
        assert (failure.id, failure.owner, failure.data["subscription"]) == ("in_1:2", "cus_1", "sub_1")

    def test_in_one_second_created_comes_first_and_deleted_last(self) -> None:
        ranks = [
            fact(event("e", kind, 0, thing)).rank
            for kind, thing in [
                ("customer.subscription.created", subscription("incomplete")),
                ("customer.subscription.updated", subscription("trialing")),
                ("customer.subscription.updated", subscription("active")),
                ("customer.subscription.deleted", subscription("canceled")),
            ]
        ]
        paid = [
            fact(event("e", k, 0, invoice(s))).rank
            for k, s in [("invoice.payment_failed", "open"), ("invoice.paid", "paid")]
        ]
        assert ranks == sorted(set(ranks))
        assert paid == sorted(set(paid))
        assert min(ranks) > FETCHED

    def test_what_is_not_known_is_kept_and_states_nothing(self) -> None:
        stated = fact(
            event("evt_1", "treasury.flow.created", 0, {"id": "x_1", "object": "treasury.flow", "customer": "cus_1"})
        )
        assert (stated.actors, stated.states, stated.event) == ((CUS,), (), None)
        assert fact(event("evt_2", "invoice.upcoming", 0, invoice() | {"id": None})).states == ()

    def test_a_thin_event_is_parked(self) -> None:
        thin = {
            "id": "evt_test_1",
            "object": "v2.core.event",
            "type": "v1.customer.subscription.active",
            "created": "2026-11-20T08:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
        }
        stated = fact(thin)
        assert (stated.key, stated.states, stated.actors) == ("evt_test_1", (), (CUS,))
        assert stated.occurred_at == datetime(2026, 11, 20, 8, tzinfo=UTC)

    def test_the_count_of_pending_webhooks_is_no_conflict(self) -> None:
        sent = event("evt_1", "customer.updated", 0, customer())
        assert fact(sent | {"pending_webhooks": 2}).hash == fact(sent | {"pending_webhooks": 0}).hash
        assert fact(sent).hash != fact(event("evt_1", "customer.updated", 0, customer(name="Eve"))).hash


class TestBackfillRoute:
    def test_an_object_is_stated_as_it_was_when_fetched(self) -> None:
        stated = fact({"object": subscription(), "fetched_at": T0 + DAY}, "backfill")
        assert re.fullmatch("backfill:sub_1:[0-9a-f]{32}", stated.key)
        assert (stated.occurred_at, stated.original_at, stated.rank) == (at(DAY), at(0), FETCHED)
        assert stated.states[0].owner == "cus_1"

    def test_a_refetch_is_a_fact_of_its_own_even_if_nothing_changed(self) -> None:
        again = {"object": subscription(), "fetched_at": T0 + DAY, "refetch": True}
        assert fact(again, "backfill").key == f"refetch:sub_1:{T0 + DAY}"

    def test_a_listed_event_is_the_webhook_it_was(self) -> None:
        sent = event("evt_1", "customer.updated", 0, customer())
        assert fact({"object": sent, "fetched_at": T0 + DAY}, "backfill") == fact(sent)

    def test_a_chunk_states_one_fact_each_and_refuses_one_alone(self) -> None:
        stated = normalise(delivery({"objects": [customer(), 7, {"object": "customer"}], "fetched_at": T0}, "backfill"))
        assert [type(found) for found in stated] == [Fact, Reject, Reject]
        assert [found.item for found in stated if isinstance(found, Reject)] == [1, 2]


class TestHostileInput:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "unreadable"),
            (b"{", "unreadable"),
            (b"\xff\xfe", "unreadable"),
            (b'{"id": NaN}', "unreadable"),
            (b"[]", "not_an_object"),
            (b"{}", "not_an_event"),
            (b'{"id": "evt_1"}', "not_an_event"),
            (b'{"id": "evt_1", "type": "a.b", "created": "soon"}', "bad_timestamp"),
            (b'{"id": "evt_1", "type": "a.b", "created": 1}', "bad_timestamp"),
            (b'{"id":"e","type":"a.b","data":' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
        ],
    )
    def test_a_body_that_is_no_event_is_refused_with_a_reason(self, body: bytes, code: str) -> None:
        assert refused(body) == code

    def test_a_chunk_that_is_none(self) -> None:
        assert refused(b"[]", "backfill") == "not_an_object"
        assert refused(b"{}", "backfill") == "not_an_object"

    def test_nul_is_replaced_because_postgres_refuses_it(self) -> None:
        stated = fact(
            json.dumps(event("evt_1", "customer.updated", 0, customer(name="A\0da", metadata={"a\0": "b"}))).encode()
        )
        assert "\0" not in str(stated)

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from(["webhook", "backfill"]))
    def test_any_bytes_end_in_a_fact_or_a_reason(self, body: bytes, route: str) -> None:
        assert all(isinstance(found, Fact | Reject) for found in normalise(delivery(body, route)))

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_wrong_types_anywhere_are_survived_up_to_the_rows(self, data: st.DataObject) -> None:
        junk = st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**63), 2**63),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(max_size=8),
            st.sampled_from(
                ["1e999999999", "-0.5", "cus_1", [], {}, [[]], [{}], {"data": {}}, {"data": [1]}, {"id": 3}]
            ),
        )
        di = {
            "id": "di_1",
            "object": "discount",
            "customer": "cus_1",
            "coupon": {"id": "c", "percent_off": 10, "duration": "forever"},
            "start": T0,
        }
        told = [
            *story("legacy" if data.draw(st.booleans()) else "basil"),
            event("evt_c", "customer.updated", 9, customer(discount=di)),
            event("evt_d", "customer.discount.created", 9, di),
            event("evt_s", "checkout.session.completed", 9, session(customer="cus_1")),
            event("evt_r", "refund.created", DAY, refund(amount=100)),
            event("evt_p", "price.updated", 1, item()["price"]),
        ]
        for _ in range(data.draw(st.integers(1, 6))):
            spot: Any = told[data.draw(st.integers(0, len(told) - 1))]["data"]["object"]
            while True:
                key = data.draw(st.sampled_from(sorted(spot))) if isinstance(spot, dict) else 0
                inner = spot[key]
                if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
                    spot = inner
                    continue
                spot[key] = copy.deepcopy(data.draw(junk))  # a drawn list may be changed, and drawn again
                break
        stated = [found for sent in told for found in normalise(delivery(sent))]
        kept_states = kept(found for found in stated if isinstance(found, Fact))
        everything = world(kept_states)
        for owner in filter(None, everything.owners):
            billing = everything.billing(owner)
            money = [
                v for row in (*billing.subscriptions, *billing.invoices, *billing.mrr_changes) for v in _numbers(row)
            ]
            assert all(abs(value) < 2**63 for value in money)


def _numbers(row: Any) -> Iterator[int]:
    for name in row.__slots__:
        if isinstance(value := getattr(row, name), int):
            yield value


@needs_fixtures
@pytest.mark.parametrize("name", ["objects_acacia_pre_basil", "objects_basil", "objects_dahlia"])
def test_every_official_object_is_taken_through_both_routes(name: str) -> None:
    resources: Mapping[str, Json] = orjson.loads((SHARED / f"{name}.json").read_bytes())["resources"]
    told = [event(f"evt_{kind}", f"{thing.get('object', kind)}.updated", 0, thing) for kind, thing in resources.items()]
    by_webhook = states(told)
    listed = [
        found
        for thing in resources.values()
        for found in normalise(delivery({"object": thing, "fetched_at": T0}, "backfill"))
    ]
    kinds = {state.kind for state in by_webhook}
    assert {
        "stripe.customer",
        "stripe.subscription",
        "stripe.invoice",
        "stripe.charge",
        "stripe.refund",
        "stripe.dispute",
    } <= kinds
    assert {"stripe.checkout.session", "stripe.price", "stripe.product", "stripe.coupon", "stripe.discount"} <= kinds
    assert kinds <= {s.kind for found in listed if isinstance(found, Fact) for s in found.states}
    everything = world(by_webhook)
    billings = [everything.billing(owner) for owner in everything.owners if owner]
    assert sum(len(billing.subscriptions) for billing in billings) == 1
    assert sum(len(billing.invoices) for billing in billings) == 1


@needs_fixtures
def test_recorded_objects_of_the_old_shape_give_sane_numbers() -> None:
    objects: Mapping[str, Json] = orjson.loads((SHARED / "djstripe_recorded_legacy_objects.json").read_bytes())[
        "objects"
    ]
    everything = world(kept(fetched(list(objects.values()), 0)))
    two_items = everything.billing("cus_4UbFSo9tl62jqj")
    (sub,) = two_items.subscriptions
    assert (sub.mrr_micros, sub.currency, sub.status, len(two_items.items)) == (60_000_000, "USD", "active", 2)
    one_item = everything.billing("cus_6lsBvm5rJ0zyHc")
    assert [row.mrr_micros for row in one_item.subscriptions] == [20_000_000]
    (paid,) = one_item.invoices
    assert (paid.amount_paid_micros, paid.tax_micros, paid.status) == (40_000_000, 5_220_000, "paid")
    assert [(row.kind, row.status, row.counts) for row in one_item.refunds] == [("dispute", "needs_response", False)]
    assert who(objects["customer_cus_4UbFSo9tl62jqj"])[1] == Identifier("email", "john.snow@thewall.com")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def monotonic(self) -> float:
        return self.time


def account(api: StripeApi, clock: Clock | None = None) -> Account:
    clock = clock or Clock()
    return Account(SecretStr("sk_test_1"), api.url, sleep=clock.sleep, monotonic=clock.monotonic)


def read(
    api: StripeApi, cursors: Mapping[str, str] | None = None, clock: Clock | None = None, **options: Any
) -> list[Chunk]:
    return list(backfill(account(api, clock), cursors or {}, lambda: RECEIVED, **options))


def shop(customers: int = 250) -> StripeApi:
    people = [customer(id=f"cus_{n}", created=T0 + n) for n in range(customers)]
    return StripeApi(
        lists={
            "/v1/customers": people[::-1],
            "/v1/subscriptions": [subscription(sub_id=f"sub_{n}") for n in range(3)],
            "/v1/invoices": [invoice()],
            "/v1/events": [
                event("evt_1", "customer.created", 0, customer()),
                event("evt_2", "payout.paid", 0, {"id": "po_1", "object": "payout"}),
            ],
        }
    )


class TestReadingAnAccount:
    def test_every_page_of_every_list_once(self) -> None:
        with running(shop()) as api:
            chunks = read(api)
        assert [chunk.object_type for chunk in chunks if chunk.cursor == DONE] == list(OBJECT_TYPES)
        listed = [thing["id"] for chunk in chunks for thing in chunk.objects if chunk.object_type == "customers"]
        assert listed == [f"cus_{n}" for n in reversed(range(250))]
        assert [len(c.objects) for c in chunks if c.object_type == "customers"] == [100, 100, 50]
        assert [thing["id"] for c in chunks if c.object_type == "events" for thing in c.objects] == ["evt_1"]
        asked = dict(api.requests)
        assert (asked["/v1/subscriptions"]["status"], asked["/v1/subscriptions"]["limit"]) == (["all"], ["100"])
        assert asked["/v1/prices"]["expand[0]"] == ["data.tiers"]
        assert api.headers[0]["authorization"] == "Bearer sk_test_1"

    def test_a_chunk_is_the_body_of_a_delivery(self) -> None:
        with running(shop(2)) as api:
            chunks = read(api)
        stated = [found for chunk in chunks for found in normalise(delivery(chunk.body(), "backfill"))]
        assert len(stated) == 2 + 3 + 1 + 1
        assert all(isinstance(found, Fact) for found in stated)
        assert world(kept(f for f in stated if isinstance(f, Fact))).billing("cus_1").subscriptions

    @pytest.mark.parametrize("killed_after", range(1, 14, 2))
    def test_it_goes_on_where_it_was_killed(self, killed_after: int) -> None:
        cursors: dict[str, str] = {}
        stored: list[str] = []

        def keep(chunk: Chunk) -> None:
            stored.extend(thing["id"] for thing in chunk.objects)
            cursors[chunk.object_type] = chunk.cursor

        with running(shop()) as api:
            whole = [thing["id"] for chunk in read(api) for thing in chunk.objects]
            reading = backfill(account(api), {}, lambda: RECEIVED)
            for _ in range(killed_after):
                keep(next(reading))
            reading.close()
            for chunk in read(api, dict(cursors)):
                keep(chunk)
            assert stored == whole
            assert read(api, cursors) == []

    def test_429_and_5xx_and_lost_connections_are_waited_out(self) -> None:
        clock = Clock()
        with running(shop()) as api:
            expected = read(api)
            api.script = [
                Answer(429, 7),
                Answer(500),
                None,
                Answer("drop"),
                Answer(503, 2),
                Answer(502, body=b"<html>"),
            ]
            assert read(api, clock=clock) == expected
        assert {7.0, 2.0} <= set(clock.slept)
        assert max(clock.slept) <= 60

    def test_an_account_that_stays_silent_ends_in_one_sentence(self) -> None:
        with running(shop()) as api:
            api.script = [Answer(500)] * 50
            with pytest.raises(Upstream, match="Stripe does not answer /v1/products"):
                read(api)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_that_may_not_read_is_said_so(self, status: int) -> None:
        with running(shop()) as api:
            api.script = [Answer(status)]
            with pytest.raises(Unauthorised, match="STRIPE_API_KEY"):
                read(api)

    def test_a_request_stripe_does_not_accept(self) -> None:
        with running(shop()) as api:
            api.script = [
                Answer(400, body=b'{"error": {"type": "invalid_request_error", "message": "No such customer"}}')
            ]
            with pytest.raises(Upstream, match="No such customer"):
                read(api)

    def test_no_more_than_25_requests_a_second(self) -> None:
        clock = Clock()
        with running(shop(2_000)) as api:
            read(api, clock=clock, object_types=("customers",))
            assert len(api.requests) == 20
        assert clock.time == pytest.approx(19 / 25)

    def test_since_leaves_out_what_is_older(self) -> None:
        with running(shop()) as api:
            chunks = read(api, since=at(245), object_types=("customers",))
        assert [len(chunk.objects) for chunk in chunks] == [5]

    def test_items_and_their_coupons_are_fetched_where_the_list_leaves_them_out(self) -> None:
        full = [item(item_id=f"si_{n}", subscription="sub_1", discounts=["di_1"]) for n in range(130)]
        cut = subscription(items=full[:10])
        cut["items"]["has_more"] = True
        expanded = [
            line
            | {
                "discounts": [
                    {"id": "di_1", "source": {"coupon": {"id": "co", "percent_off": 50, "duration": "forever"}}}
                ]
            }
            for line in full
        ]
        api = StripeApi(lists={"/v1/subscriptions": [cut], "/v1/subscription_items": expanded})
        with running(api):
            (chunk,) = read(api, object_types=("subscriptions",))
        billing = world(
            kept(found for found in normalise(delivery(chunk.body(), "backfill")) if isinstance(found, Fact))
        ).billing()
        assert (len(billing.items), billing.subscriptions[0].mrr_micros) == (130, 130 * 10_000_000)
        assert billing.subscriptions[0].problems == ()

    def test_a_conflict_is_settled_by_asking_again(self) -> None:
        answer = subscription(items=[item(quantity=2)])
        tied = [
            event(f"evt_{n}", "customer.subscription.updated", 5, subscription(items=[item(quantity=n)]))
            for n in (1, 2, 3)
        ]
        with running(StripeApi(script=[Answer(200, body=orjson.dumps(answer))])) as api:
            body = refetch(account(api), "stripe.subscription", "sub_1", lambda: RECEIVED)
        wanted = ["discounts.source.coupon", "items.data.price.tiers", "items.data.price.currency_options"]
        assert [path for path, _ in api.requests] == ["/v1/subscriptions/sub_1"]
        assert sorted(value for values in api.requests[0][1].values() for value in values) == sorted(wanted)
        before = [*states(tied), *kept(fetched([answer], 1))]
        assert world(before).billing().subscriptions[0].needs_refetch
        settled = [found for found in normalise(delivery(body, "backfill")) if isinstance(found, Fact)]
        (row,) = world([*before, *kept(settled)]).billing().subscriptions
        assert (row.quantity, row.needs_refetch) == (2, False)

    def test_a_payment_failure_cannot_be_fetched(self) -> None:
        with pytest.raises(NotFound, match="cannot be fetched"):
            refetch(Account(SecretStr("sk_1")), "stripe.payment_failure", "in_1:1", lambda: RECEIVED)

    def test_the_key_is_not_shown(self) -> None:
        assert "sk_live" not in repr(Account(SecretStr("sk_live_9")))


def test_listed_history_and_webhooks_are_told_once() -> None:
    sent = facts(story())
    listed = [
        found
        for body in story()
        for found in normalise(delivery({"object": body, "fetched_at": T0 + 90 * DAY}, "backfill"))
    ]
    assert listed == sent


def test_the_guide_shows_code_that_parses_once_filled_in() -> None:
    guide = STRIPE.guide
    for name, value in {"door": "https://in.example.org", "key": "k_1", "secret": "whsec_x"}.items():
        guide = guide.replace("{" + name + "}", value)
    assert "https://in.example.org/hooks/stripe/k_1" in guide
    snippets = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert snippets
    for snippet in snippets:
        ast.parse(snippet)
    assert "```js" in guide
