"""Billing of a customer from all its states: the order in which they arrive means nothing."""

import itertools
import random
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from gdp_core.billing.derive import derive
from gdp_core.billing.discounts import DiscountBook
from gdp_core.billing.ledger import steps
from gdp_core.billing.mrr import MrrSettings, rounded, value_of
from gdp_core.billing.plans import PlanMapping
from gdp_core.billing.rows import (
    Billing,
    InvoiceRow,
    MrrChangeRow,
    Owner,
    RefundRow,
    State,
    SubscriptionItemRow,
    SubscriptionRow,
)
from gdp_core.sources.facts import Identifier
from gdp_core.tables import billing as tables
from tests.stripe_story import (
    DAY,
    MONTH,
    SOURCE,
    T0,
    WORKSPACE,
    Json,
    Shape,
    at,
    charge,
    customer,
    event,
    facts,
    fetched,
    invoice,
    item,
    kept,
    price,
    refund,
    session,
    states,
    story,
    subscription,
    tell,
    world,
)

SHAPES: tuple[Shape, ...] = ("legacy", "basil")


def names(billing: Billing) -> list[str]:
    return sorted(one.event.name for one in billing.events)


def ledger(billing: Billing) -> list[tuple[str, int, int]]:
    return [
        (row.movement, int((row.changed_at - at(0)).total_seconds()), row.after_micros) for row in billing.mrr_changes
    ]


def revenue(billing: Billing) -> int:
    paid = sum(row.amount_paid_micros for row in billing.invoices if row.status == "paid")
    return paid - sum(row.amount_micros for row in billing.refunds if row.counts)


def updated(seconds: int, sub: Json, event_id: str | None = None, verb: str = "updated") -> Json:
    return event(event_id or f"evt_{verb}_{seconds}_{sub['id']}", f"customer.subscription.{verb}", seconds, sub)


class TestAnyOrder:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_all_orders_of_created_updated_paid_failed_deleted_end_the_same(self, shape: Shape) -> None:
        expected = tell(story(shape))
        assert names(expected) == [
            "payment_failed",
            "purchase_completed",
            "subscription_cancelled",
            "subscription_started",
            "subscription_updated",
        ]
        assert ledger(expected) == [("new", 120, 40_000_000), ("churn", MONTH + DAY, 0)]
        assert expected.mrr_changes[-1].reason == "involuntary"
        for order in itertools.permutations(story(shape)):
            assert tell(order) == expected
            assert tell([*order, *order[::2]]) == expected

    @pytest.mark.parametrize("shape", SHAPES)
    def test_so_they_do_when_all_happen_in_one_second(self, shape: Shape) -> None:
        tied = [one | {"created": T0} for one in story(shape)]
        expected = tell(tied)
        (sub,) = expected.subscriptions
        assert (sub.status, sub.needs_refetch) == ("cancelled", False)
        for order in itertools.permutations(tied):
            assert tell([*order, order[0]]) == expected

    def test_both_shapes_of_a_story_are_one_story(self) -> None:
        extra = [event("evt_6", "charge.refunded", 2 * DAY, charge(shape=shape, refunded=500)) for shape in SHAPES]
        legacy, basil = (tell([*story(shape), one]) for shape, one in zip(SHAPES, extra, strict=True))
        assert legacy == basil
        mixed = [a if i % 2 else b for i, (a, b) in enumerate(zip(story("legacy"), story("basil"), strict=True))]
        assert tell([*mixed, extra[0]]) == legacy

    def test_two_snapshots_of_one_second_that_disagree_want_a_new_get(self) -> None:
        one, two = subscription(items=[item(quantity=1)]), subscription(items=[item(quantity=2)])
        tied = [updated(5, one, "evt_a"), updated(5, two, "evt_b")]
        billing = tell(tied)
        assert billing == tell(tied[::-1])
        assert (billing.subscriptions[0].needs_refetch, billing.subscriptions[0].problems) == (True, ("same_second",))
        settled = world([*states(tied), *kept(fetched([one], 9))]).billing().subscriptions[0]
        assert (settled.needs_refetch, settled.quantity) == (False, 1)

    def test_the_same_snapshot_twice_in_a_second_is_no_conflict(self) -> None:
        paid = invoice()
        billing = tell(
            [event("evt_1", "invoice.paid", 60, paid), event("evt_2", "invoice.payment_succeeded", 60, paid)]
        )
        assert [row.needs_refetch for row in billing.invoices] == [False]
        assert names(billing) == ["purchase_completed"]

    def test_nothing_known_is_nothing(self) -> None:
        owner = Owner(WORKSPACE, SOURCE, "cus_1")
        assert derive(owner, [], {}, PlanMapping(), MrrSettings()) == Billing(owner)


class TestMrrLedger:
    def test_a_trial_counts_from_its_end_and_only_once_stripe_says_so(self) -> None:
        trial = {"trial_start": T0, "trial_end": T0 + 14 * DAY}
        begun = updated(0, subscription("trialing", period=(0, 14 * DAY), **trial), verb="created")
        billing = tell([begun])
        assert (ledger(billing), billing.subscriptions[0].trial_mrr_micros) == ([], 20_000_000)
        assert names(billing) == ["subscription_started", "trial_started"]
        won = updated(14 * DAY + 30, subscription("active", period=(14 * DAY, 44 * DAY), **trial))
        assert ledger(tell([begun, won])) == [("new", 14 * DAY, 20_000_000)]
        assert ledger(tell([won])) == ledger(tell([begun, won]))
        lost = updated(
            14 * DAY + 30,
            subscription("canceled", period=(0, 14 * DAY), ended_at=T0 + 14 * DAY + 30, **trial),
            verb="deleted",
        )
        assert ledger(tell([begun, lost])) == ledger(tell([lost])) == []

    @pytest.mark.parametrize("status", ["unpaid", "paused"])
    def test_losing_access_without_an_end_is_churn_and_coming_back_a_reactivation(self, status: str) -> None:
        told = [
            updated(0, subscription(), verb="created"),
            updated(10, subscription(status)),
            updated(20, subscription()),
        ]
        assert ledger(tell(told)) == [("new", 0, 20_000_000), ("churn", 10, 0), ("reactivation", 20, 20_000_000)]

    def test_past_due_and_paused_collection_still_count(self) -> None:
        paused = subscription(pause_collection={"behavior": "void", "resumes_at": None})
        billing = tell(
            [updated(0, subscription(), verb="created"), updated(5, subscription("past_due")), updated(9, paused)]
        )
        assert ledger(billing) == [("new", 0, 20_000_000)]
        assert billing.subscriptions[0].pause_collection == "void"

    def test_one_of_two_subscriptions_cancelled_is_contraction(self) -> None:
        two = subscription(sub_id="sub_2", items=[item(price("price_2", 500))])
        over = two | {
            "status": "canceled",
            "ended_at": T0 + 50,
            "cancellation_details": {"reason": "cancellation_requested"},
        }
        billing = tell(
            [
                updated(0, subscription(), verb="created"),
                updated(0, two, verb="created"),
                updated(50, over, verb="deleted"),
            ]
        )
        assert ledger(billing) == [("new", 0, 25_000_000), ("contraction", 50, 20_000_000)]
        assert [(row.reason, row.stripe_subscription_ids) for row in billing.mrr_changes] == [
            (None, ("sub_1", "sub_2")),
            ("voluntary", ("sub_2",)),
        ]

    def test_a_switch_within_one_instant_is_one_change(self) -> None:
        bigger = subscription(sub_id="sub_2", items=[item(price("price_2", 5000))], start=50)
        over = subscription("canceled", ended_at=T0 + 50)
        billing = tell(
            [
                updated(0, subscription(), verb="created"),
                updated(50, over, verb="deleted"),
                updated(50, bigger, verb="created"),
            ]
        )
        assert ledger(billing) == [("new", 0, 20_000_000), ("expansion", 50, 50_000_000)]

    def test_currencies_are_never_added(self) -> None:
        euro = subscription(
            sub_id="sub_2", items=[item(price("price_2", 900, currency="eur"))], currency="eur", start=10
        )
        changes = tell([updated(0, subscription(), verb="created"), updated(10, euro, verb="created")]).mrr_changes
        assert [(row.currency, row.before_micros, row.after_micros) for row in changes] == [
            ("USD", 0, 20_000_000),
            ("EUR", 0, 9_000_000),
        ]

    def test_a_backfilled_cancelled_subscription_gives_its_start_and_its_churn(self) -> None:
        over = subscription("canceled", start=5, ended_at=T0 + MONTH, canceled_at=T0 + 10, period=(0, MONTH))
        billing = world(kept(fetched([over], 9 * MONTH))).billing()
        assert ledger(billing) == [("new", 5, 20_000_000), ("churn", MONTH, 0)]
        assert names(billing) == ["subscription_cancelled", "subscription_started"]

    def test_a_backdated_start_counts_from_the_date_it_names(self) -> None:
        early = subscription(created=T0 + MONTH)
        assert ledger(tell([updated(MONTH, early, verb="created")])) == [("new", 0, 20_000_000)]

    def test_a_customer_s_discount_moves_mrr_when_it_begins_and_ends(self) -> None:
        coupon = {"id": "co_1", "duration": "forever", "percent_off": 50}
        di = {"id": "di_1", "object": "discount", "customer": "cus_1", "coupon": coupon, "start": T0 + 100, "end": None}
        told = [
            updated(0, subscription(), verb="created"),
            event("evt_c1", "customer.updated", 101, customer(discount=di)),
            event("evt_c2", "customer.updated", 200, customer()),
        ]
        expected = [("new", 0, 20_000_000), ("contraction", 100, 10_000_000), ("expansion", 200, 20_000_000)]
        assert ledger(tell(told)) == expected
        by_events = [
            told[0],
            event("evt_d1", "customer.discount.created", 101, di),
            event("evt_d2", "customer.discount.deleted", 200, di),
        ]
        assert ledger(tell(by_events)) == ledger(tell([*told, *by_events])) == expected

    def test_a_discount_known_by_id_is_never_missing_for_a_moment(self) -> None:
        di = {
            "id": "di_1",
            "object": "discount",
            "customer": "cus_1",
            "subscription": "sub_1",
            "start": T0,
            "end": None,
        }
        di |= {"source": {"type": "coupon", "coupon": "co_1"}}
        coupon = {"id": "co_1", "object": "coupon", "duration": "forever", "percent_off": 25.0}
        told = [
            updated(0, subscription(discounts=["di_1"]), verb="created"),
            event("evt_d", "customer.discount.created", 3, di),
            event("evt_k", "coupon.created", 1, coupon),
        ]
        billing = tell(told)
        assert ledger(billing) == [("new", 0, 15_000_000)]
        assert billing.subscriptions[0].problems == ()
        assert tell(told[:2]).subscriptions[0].problems == ("discount_unknown",)

    def test_net_of_all_discounts_an_expiry_is_expansion(self) -> None:
        coupon = {"id": "co_1", "duration": "repeating", "duration_in_months": 3, "percent_off": 50}
        di = {"id": "di_1", "coupon": coupon, "start": T0, "end": T0 + 3 * MONTH}
        told = [updated(0, subscription(discounts=[di]), verb="created"), updated(4 * MONTH, subscription())]
        net = MrrSettings(net_of_all_discounts=True)
        assert ledger(tell(told)) == [("new", 0, 20_000_000)]
        assert ledger(tell(told, settings=net)) == [("new", 0, 10_000_000), ("expansion", 3 * MONTH, 20_000_000)]

    def test_what_was_cancelled_before_its_first_payment_never_counted(self) -> None:
        over = subscription("canceled", ended_at=T0 + DAY, period=(0, MONTH))
        told = [updated(0, subscription("incomplete"), verb="created"), updated(DAY, over, verb="deleted")]
        billing = tell(told)
        assert (ledger(billing), names(billing)) == ([], ["subscription_cancelled"])
        assert ledger(tell(told[1:])) != []  # of which only the end is known may have counted

    @pytest.mark.parametrize("expanded_at", [0, 5, 20])
    def test_a_coupon_that_one_version_spells_out_is_known_to_all(self, expanded_at: int) -> None:
        """A GET expands discounts, a webhook names them by id: MRR must not move from one to the other."""
        coupon = {"id": "co", "object": "coupon", "duration": "forever", "percent_off": 50}
        whole = subscription(discounts=[{"id": "di_1", "source": {"type": "coupon", "coupon": coupon}, "start": T0}])
        bare = [updated(day * DAY, subscription(discounts=["di_1"])) for day in (0, 10)]
        told = world([*states(bare), *kept(fetched([whole], expanded_at * DAY))]).billing()
        assert ledger(told) == [("new", 0, 10_000_000)]
        assert told.subscriptions[0].problems == ()

    @pytest.mark.parametrize("expanded_at", [0, 5, 20])
    def test_tiers_that_one_version_spells_out_are_known_to_all(self, expanded_at: int) -> None:
        bare = price(unit_amount=None, unit_amount_decimal=None, billing_scheme="tiered", tiers_mode="volume")
        tiers = [{"up_to": None, "unit_amount": 700, "flat_amount": None}]
        sent = [updated(day * DAY, subscription(items=[item(bare)])) for day in (0, 10)]
        answer = subscription(items=[item(bare | {"tiers": tiers})])
        told = world([*states(sent), *kept(fetched([answer], expanded_at * DAY))]).billing()
        assert ledger(told) == [("new", 0, 7_000_000)]
        assert told.subscriptions[0].problems == ()

    def test_why_it_ended_on_objects_that_do_not_say(self) -> None:
        over = updated(90, subscription("canceled", ended_at=T0 + 90), verb="deleted")
        dunned = tell([updated(0, subscription(), verb="created"), updated(50, subscription("past_due")), over])
        asked = tell(
            [updated(0, subscription(), verb="created"), updated(50, subscription(cancel_at_period_end=True)), over]
        )
        assert [b.mrr_changes[-1].reason for b in (dunned, asked)] == ["involuntary", "voluntary"]
        assert [b.subscriptions[0].cancellation_reason for b in (dunned, asked)] == ["involuntary", "voluntary"]


class TestSubscriptions:
    def test_every_field_of_a_running_one(self) -> None:
        yearly = item(price("price_9", 120_000, interval="year", product="prod_9", nickname="Pro, yearly"), 2)
        mapping = PlanMapping({("product", "prod_9"): ("pro", "Pro")})
        told = [updated(0, subscription(items=[yearly], period=(0, 365 * DAY), metadata={"team": "a"}), verb="created")]
        row = tell(told, plans=mapping).subscriptions[0]
        assert (row.plan_id, row.plan_name, row.is_plan_mapped, row.billing_cycle) == ("pro", "Pro", True, "annual")
        assert (row.price_micros, row.mrr_micros, row.arr_micros) == (2_400_000_000, 200_000_000, 2_400_000_000)
        assert (row.started_at, row.current_period_end, row.renews_at) == (at(0), at(365 * DAY), at(365 * DAY))
        assert (row.stripe_price_id, row.stripe_customer_id, row.currency) == ("price_9", "cus_1", "USD")
        assert (row.status, row.metadata, row.updated_at) == ("active", {"team": "a"}, at(0))
        unmapped = tell(
            [*told, event("evt_p", "product.created", 0, {"id": "prod_9", "object": "product", "name": "Professional"})]
        )
        assert (unmapped.subscriptions[0].plan_name, unmapped.subscriptions[0].is_plan_mapped) == (
            "Professional",
            False,
        )

    def test_a_scheduled_end_is_a_request_and_leaves_committed_mrr(self) -> None:
        asked = subscription(cancel_at_period_end=True, canceled_at=T0 + 40)
        row = tell([updated(0, subscription(), verb="created"), updated(40, asked)]).subscriptions[0]
        assert (row.mrr_micros, row.committed_mrr_micros, row.status) == (20_000_000, 0, "active")
        assert (row.cancel_requested_at, row.cancelled_at, row.renews_at) == (at(40), None, None)
        again = tell(
            [updated(0, subscription(), verb="created"), updated(40, asked), updated(50, subscription())]
        ).subscriptions[0]
        assert (again.cancel_requested_at, again.committed_mrr_micros, again.renews_at) == (None, 20_000_000, at(MONTH))

    def test_changes_are_told_and_a_renewal_is_none(self) -> None:
        renewed = subscription(period=(MONTH, 2 * MONTH))
        more = subscription(period=(MONTH, 2 * MONTH), items=[item(quantity=4)])
        billing = tell([updated(0, subscription(), verb="created"), updated(MONTH, renewed), updated(MONTH + 5, more)])
        (change,) = [
            one.event.properties["changes"] for one in billing.events if one.event.name == "subscription_updated"
        ]
        assert change == {"items": [[{"price": "price_1", "quantity": 1}], [{"price": "price_1", "quantity": 4}]]}

    def test_never_begun_is_never_started(self) -> None:
        billing = tell(
            [updated(0, subscription("incomplete"), verb="created"), updated(DAY, subscription("incomplete_expired"))]
        )
        assert (names(billing), ledger(billing)) == (["subscription_updated"], [])

    def test_items_have_rows_of_their_own(self) -> None:
        metered = item(price("price_2", 3, usage_type="metered"), None, "si_2")
        billing = tell([updated(0, subscription(items=[item(quantity=3), metered]), verb="created")])
        found = {
            row.stripe_subscription_item_id: (row.quantity, row.mrr_micros, row.usage_type) for row in billing.items
        }
        assert found == {"si_1": (3, 60_000_000, "licensed"), "si_2": (None, 0, "metered")}
        assert {row.subscription_id for row in billing.items} == {billing.subscriptions[0].id}

    def test_a_status_nobody_knew_is_kept_as_a_word(self) -> None:
        row = tell([updated(0, subscription("hibernating"), verb="created")]).subscriptions[0]
        assert (row.status, row.stripe_status, row.mrr_micros) == ("unknown", "hibernating", 0)


class TestMoney:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_paid_invoice_is_one_purchase_whatever_else_is_sent(self, shape: Shape) -> None:
        paid = invoice(shape=shape, tax=320, total_discount_amounts=[{"amount": 100}])
        billing = tell([event("evt_1", "invoice.paid", 60, paid), event("evt_2", "invoice.updated", 61, paid)])
        (row,) = billing.invoices
        assert (row.amount_paid_micros, row.tax_micros, row.discount_micros, row.paid_at) == (
            20_000_000,
            3_200_000,
            1_000_000,
            at(60),
        )
        (purchase,) = billing.events
        assert (purchase.key, purchase.occurred_at, purchase.event.value_micros) == (
            "purchase_completed:in_1",
            at(60),
            20_000_000,
        )
        assert (purchase.event.type, purchase.event.category, purchase.event.channel) == (
            "CONVERSION",
            "monetization",
            "stripe",
        )
        assert purchase.actor == Identifier("stripe", "cus_1")

    def test_an_invoice_over_nothing_is_no_purchase(self) -> None:
        assert tell([event("evt_1", "invoice.paid", 60, invoice(amount=0))]).events == ()

    def test_money_from_outside_of_stripe_is_money(self) -> None:
        old = invoice(shape="legacy", paid_out_of_band=True) | {"amount_paid": 0}
        new = invoice(amount_paid_off_stripe=2000) | {"amount_paid": 0}
        assert [revenue(tell([event("evt_1", "invoice.paid", 60, one)])) for one in (old, new)] == [20_000_000] * 2

    def test_each_failed_attempt_is_one_event(self) -> None:
        first, second = invoice("open", attempts=1), invoice("open", attempts=2)
        told = [
            event("evt_1", "invoice.payment_failed", 60, first),
            event("evt_2", "invoice.payment_failed", 90, second),
            event("evt_3", "invoice.updated", 91, second),
            event("evt_4", "invoice.payment_action_required", 91, second),
        ]
        failed = [one for one in tell(told).events if one.event.name == "payment_failed"]
        assert [(one.key, one.occurred_at) for one in failed] == [
            ("payment_failed:in_1:1", at(60)),
            ("payment_failed:in_1:2", at(90)),
        ]

    def test_a_refund_counts_once_whoever_tells_of_it(self) -> None:
        paid = event("evt_1", "invoice.paid", 60, invoice())
        by_charge = event("evt_2", "charge.refunded", DAY, charge(refunded=500))
        by_object = event("evt_3", "refund.created", DAY, refund(amount=500))
        again = event("evt_4", "charge.refund.updated", DAY + 9, refund(amount=500))
        only_charge = event("evt_5", "charge.updated", 61, charge())
        tellings = [[paid, by_charge], [paid, only_charge, by_object], [paid, by_charge, by_object, again]]
        for told in tellings:
            billing = tell(told)
            assert (revenue(billing), names(billing)) == (15_000_000, ["purchase_completed", "refund_issued"])
            issued = next(one for one in billing.events if one.event.name == "refund_issued")
            assert (issued.key, issued.occurred_at) == ("refund_issued:ch_1:5000000", at(DAY))
            assert (issued.event.value_micros, issued.event.currency) == (-5_000_000, "USD")
            assert billing.invoices[0].returned_micros == 5_000_000
            assert billing.refunds[0].stripe_subscription_id == "sub_1"

    def test_the_charge_s_growing_total_is_taken_apart(self) -> None:
        told = [
            event("evt_1", "invoice.paid", 60, invoice()),
            event("evt_2", "charge.refunded", DAY, charge(refunded=500)),
            event("evt_3", "charge.refunded", 2 * DAY, charge(refunded=1200)),
            event("evt_4", "refund.created", 2 * DAY, refund("re_2", 700, 2 * DAY)),
        ]
        for order in itertools.permutations(told):
            found = sorted((row.refunded_at, row.amount_micros, row.stripe_refund_id) for row in tell(order).refunds)
            assert found == [(at(DAY), 5_000_000, "ch_1:500"), (at(2 * DAY), 7_000_000, "re_2")]

    def test_a_refund_that_failed_gives_nothing_back(self) -> None:
        told = [
            event("evt_1", "invoice.paid", 60, invoice()),
            event("evt_2", "charge.refunded", DAY, charge(refunded=500)),
            event("evt_3", "refund.created", DAY, refund(amount=500)),
            event("evt_4", "refund.failed", 2 * DAY, refund(amount=500, status="failed")),
        ]
        billing = tell(told)
        assert (revenue(billing), [row.counts for row in billing.refunds]) == (20_000_000, [False])
        later = event("evt_5", "charge.updated", 2 * DAY, charge(refunded=0))
        assert revenue(tell([*told, later])) == 20_000_000

    def test_what_was_never_revenue_is_not_taken_from_it(self) -> None:
        direct = charge(shape="legacy", refunded=2000) | {"invoice": None, "amount": 777}
        billing = tell(
            [
                event("evt_1", "invoice.paid", 60, invoice()),
                event("evt_2", "charge.refunded", DAY, direct | {"id": "ch_7", "payment_intent": "pi_7"}),
            ]
        )
        assert (revenue(billing), [row.counts for row in billing.refunds]) == (20_000_000, [False])
        assert next(one for one in billing.events if one.event.name == "refund_issued").event.value_micros is None

    def test_a_charge_that_names_no_invoice_is_matched_by_amount_and_time(self) -> None:
        silent = invoice() | {"payments": None}
        other = invoice(invoice_id="in_2", created=3 * DAY, paid=3 * DAY) | {"payments": None}
        told = [
            event("evt_1", "invoice.paid", 60, silent),
            event("evt_2", "invoice.paid", 3 * DAY, other),
            event(
                "evt_3",
                "charge.refunded",
                4 * DAY,
                charge(charge_id="ch_2", pi="pi_2", refunded=2000, created=T0 + 3 * DAY),
            ),
        ]
        back = {row.stripe_invoice_id: row.returned_micros for row in tell(told).invoices}
        assert back == {"in_1": 0, "in_2": 20_000_000}

    def test_an_invoice_payment_links_a_charge_to_its_invoice(self) -> None:
        link = {
            "id": "inpay_1",
            "object": "invoice_payment",
            "invoice": "in_1",
            "payment": {"type": "payment_intent", "payment_intent": "pi_5"},
        }
        odd = charge(pi="pi_5", amount=999, refunded=999)
        told = [
            event("evt_1", "invoice.paid", 60, invoice() | {"payments": None}),
            event("evt_2", "invoice_payment.paid", 60, link),
            event("evt_3", "charge.refunded", DAY, odd),
        ]
        assert revenue(tell(told)) == 20_000_000 - 9_990_000

    def test_only_a_lost_dispute_costs(self) -> None:
        def dispute(status: str) -> Json:
            return {
                "id": "dp_1",
                "object": "dispute",
                "charge": "ch_1",
                "payment_intent": "pi_1",
                "amount": 2000,
                "currency": "usd",
                "created": T0 + DAY,
                "status": status,
                "reason": "fraudulent",
            }

        paid = [event("evt_1", "invoice.paid", 60, invoice()), event("evt_c", "charge.succeeded", 60, charge())]
        opened = event("evt_2", "charge.dispute.created", DAY, dispute("needs_response"))
        assert revenue(tell([*paid, opened])) == 20_000_000
        lost = tell([*paid, opened, event("evt_3", "charge.dispute.closed", 9 * DAY, dispute("lost"))])
        assert (revenue(lost), lost.refunds[0].refunded_at) == (0, at(9 * DAY))
        assert names(lost) == ["dispute_lost", "purchase_completed"]
        assert (
            revenue(tell([*paid, opened, event("evt_3", "charge.dispute.closed", 9 * DAY, dispute("won"))]))
            == 20_000_000
        )

    def test_a_lost_dispute_found_by_a_backfill_cost_when_it_was_opened(self) -> None:
        dispute = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "amount": 2000, "currency": "usd"}
        dispute |= {"created": T0 + DAY, "status": "lost", "reason": "fraudulent"}
        told = facts([event("evt_1", "invoice.paid", 60, invoice()), event("evt_c", "charge.succeeded", 60, charge())])
        listed = fetched([dispute], 300 * DAY)
        assert world(kept([*told, *listed])).billing().refunds[0].refunded_at == at(DAY)
        closed = facts([event("evt_3", "charge.dispute.closed", 9 * DAY, dispute)])
        assert world(kept([*told, *listed, *closed])).billing().refunds[0].refunded_at == at(9 * DAY)

    def test_a_subscription_that_is_over_and_got_everything_back_is_refunded(self) -> None:
        paid = [updated(0, subscription(), verb="created"), event("evt_1", "invoice.paid", 60, invoice())]
        back = event("evt_2", "charge.refunded", DAY, charge(refunded=2000))
        running = tell([*paid, back]).subscriptions[0]
        assert (running.status, running.refunded_at, running.total_revenue_micros) == ("active", at(DAY), 0)
        over = updated(2 * DAY, subscription("canceled", ended_at=T0 + 2 * DAY), verb="deleted")
        assert tell([*paid, back, over]).subscriptions[0].status == "refunded"
        assert tell([*paid, over]).subscriptions[0].status == "cancelled"

    def test_the_values_of_events_sum_to_the_revenue(self) -> None:
        told = [*story(), event("evt_6", "charge.refunded", DAY, charge(refunded=700))]
        billing = tell(told)
        assert sum(one.event.value_micros or 0 for one in billing.events) == revenue(billing) == 13_000_000


class TestCheckout:
    def test_a_guest_s_purchase_belongs_to_the_session_until_there_is_a_customer(self) -> None:
        told = [
            event("evt_1", "checkout.session.completed", 30, session()),
            event("evt_2", "charge.refunded", DAY, charge(amount=4900, refunded=900, customer=None)),
            event("evt_3", "refund.created", DAY, refund(amount=900)),
        ]
        for order in itertools.permutations(told):
            billing = world(states(order)).billing("cs_1")
            assert billing.actor == Identifier("user", "u_9")
            assert names(billing) == ["checkout_started", "purchase_completed", "refund_issued"]
            assert revenue(billing) == 40_000_000
        moved = world(
            states([*told, event("evt_4", "checkout.session.async_payment_succeeded", DAY, session(customer="cus_1"))])
        )
        assert revenue(moved.billing("cus_1")) == 40_000_000
        assert moved.billing("cs_1") == Billing(moved.billing("cs_1").owner)

    def test_an_unpaid_session_waits_for_its_money(self) -> None:
        waiting = event("evt_1", "checkout.session.completed", 30, session(customer="cus_1", payment_status="unpaid"))
        assert (names(tell([waiting])), tell([waiting]).invoices) == (["checkout_started"], ())
        got = event("evt_2", "checkout.session.async_payment_succeeded", DAY, session(customer="cus_1"))
        paid = next(one for one in tell([got, waiting]).events if one.event.name == "purchase_completed")
        assert (paid.key, paid.occurred_at) == ("purchase_completed:cs_1", at(DAY))
        lost = event(
            "evt_2", "checkout.session.async_payment_failed", DAY, session(customer="cus_1", payment_status="unpaid")
        )
        assert names(tell([waiting, lost])) == ["checkout_started", "payment_failed"]

    def test_a_session_with_an_invoice_or_a_subscription_is_not_paid_twice(self) -> None:
        told = [
            event("evt_1", "checkout.session.completed", 30, session(customer="cus_1", invoice="in_1")),
            event("evt_2", "checkout.session.completed", 30, session(id="cs_2", customer="cus_1", mode="subscription")),
            event("evt_3", "invoice.paid", 60, invoice(sub_id=None)),
        ]
        assert (revenue(tell(told)), names(tell(told))) == (
            20_000_000,
            ["checkout_started", "checkout_started", "purchase_completed"],
        )

    def test_an_abandoned_one_expires(self) -> None:
        recovery = {"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/x"}}
        gone = session(customer="cus_1", status="expired", payment_status="unpaid", after_expiration=recovery)
        for told in (states([event("evt_1", "checkout.session.expired", DAY, gone)]), kept(fetched([gone], 9 * DAY))):
            billing = world(told).billing()
            assert [(one.key, one.occurred_at) for one in billing.events] == [
                ("checkout_expired:cs_1", at(DAY)),
                ("checkout_started:cs_1", at(0)),
            ]
            assert billing.events[0].event.properties["recovery_url"] == "https://buy.stripe.com/r/x"

    def test_setting_up_a_card_is_no_checkout(self) -> None:
        assert (
            tell([event("evt_1", "checkout.session.completed", 30, session(customer="cus_1", mode="setup"))]).events
            == ()
        )


class TestBackfill:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_history_and_webhooks_meet_in_any_order(self, shape: Shape) -> None:
        told = facts(story(shape))
        listed = fetched([one["data"]["object"] for one in story(shape)[2:]] + [charge(shape=shape)], 2 * MONTH)
        expected = world(kept([*told, *listed])).billing()
        dice = random.Random(7)
        for _ in range(60):
            shuffled = [*told, *listed, *dice.sample(told + listed, 4)]
            dice.shuffle(shuffled)
            assert world(kept(shuffled)).billing() == expected
        without = world(kept(told)).billing()
        assert expected.mrr_changes == without.mrr_changes
        assert expected.events == without.events

    def test_what_changed_in_the_second_of_a_get_but_after_it_is_newer(self) -> None:
        listed = fetched([subscription(items=[item(quantity=1)])], 100)
        sent = [event("evt_1", "customer.subscription.updated", 100, subscription(items=[item(quantity=3)]))]
        (row,) = world([*kept(listed), *states(sent)]).billing().subscriptions
        assert (row.quantity, row.needs_refetch) == (3, False)

    def test_a_customer_s_id_may_be_of_the_company_s_own_making(self) -> None:
        """Customers brought over from another provider keep the ids they had there."""
        told = [event("evt_1", "customer.subscription.created", 0, subscription(customer="acme-7"))]
        told.append(event("evt_2", "checkout.session.completed", 5, session(customer="acme-7")))
        billing = world(states(told)).billing("acme-7")
        assert billing.actor == Identifier("stripe", "acme-7")
        assert [row.kind for row in billing.invoices] == ["checkout"]
        late = [event("evt_0", "checkout.session.completed", 1, session())]
        assert [row.kind for row in world(states([*told, *late])).billing("acme-7").invoices] == ["checkout"]

    def test_listing_twice_states_the_same(self) -> None:
        once, again = fetched([subscription()], 100), fetched([subscription()], 200)
        assert [(fact.key, fact.hash) for fact in once] == [(fact.key, fact.hash) for fact in again]


def _histories() -> st.SearchStrategy[list[Json]]:
    statuses = st.sampled_from(
        ["active", "active", "past_due", "trialing", "unpaid", "paused", "canceled", "incomplete"]
    )
    version = st.tuples(
        st.integers(0, 40),
        st.sampled_from(["sub_1", "sub_2", "sub_3"]),
        statuses,
        st.integers(0, 5),
        st.sampled_from(["usd", "jpy"]),
        st.sampled_from(SHAPES),
        st.booleans(),
    )

    def tell_of(versions: list[tuple[Any, ...]]) -> list[Json]:
        told = []
        for number, (hours, sub_id, status, quantity, currency, shape, discounted) in enumerate(versions):
            code = currency if sub_id == "sub_3" else "usd"
            coupon = {"id": "co", "duration": "forever", "percent_off": 30}
            cut = {"id": f"di_{sub_id}", "coupon": coupon, "start": T0, "end": None} if discounted else None
            sub = subscription(
                status,
                shape=shape,
                sub_id=sub_id,
                items=[
                    item(price(amount=333, currency=code, interval="week"), quantity),
                    item(price("p2", 1001, currency=code), 1, "si_2"),
                ],
                currency=code,
                ended_at=T0 + hours * 3600 if status == "canceled" else None,
                trial_end=T0 + 5 * 3600 if status == "trialing" else None,
            )
            sub |= {"discount": cut} if shape == "legacy" else {"discounts": [cut] if cut else []}
            told.append(event(f"evt_{number}", "customer.subscription.updated", hours * 3600, sub))
        return told

    return st.lists(version, min_size=1, max_size=14).map(tell_of)


@settings(max_examples=150, deadline=None)
@given(_histories(), st.randoms(use_true_random=False))
def test_the_ledger_balances_and_equals_a_recount_at_every_instant(told: list[Json], dice: random.Random) -> None:
    billing = tell(told)
    shuffled = [*told, *dice.choices(told, k=3)]
    dice.shuffle(shuffled)
    assert tell(shuffled) == billing
    sign = {"new": 1, "reactivation": 1, "expansion": 1, "contraction": -1, "churn": -1}
    for currency in {row.currency for row in billing.mrr_changes}:
        of_currency = [row for row in billing.mrr_changes if row.currency == currency]
        assert sum(sign[row.movement] * row.amount_micros for row in of_currency) == of_currency[-1].after_micros
        assert all(a.after_micros == b.before_micros for a, b in itertools.pairwise(of_currency))
        assert all(row.amount_micros > 0 for row in of_currency)
    by_subscription: dict[str, list[State]] = {}
    for state in sorted(states(told), key=lambda one: one.order):
        by_subscription.setdefault(state.id, []).append(state)
    plans = [steps(versions) for versions in by_subscription.values()]
    for instant in sorted({step.at for plan in plans for step in plan}):
        for currency in ("USD", "JPY"):
            current = [[step for step in plan if step.at <= instant][-1:] for plan in plans]
            values = [
                value_of(s.data, DiscountBook(), MrrSettings(), instant) for found in current for s in found if s.counts
            ]
            recount = rounded(sum(v.monthly for v in values if v.currency == currency) + 0)
            rows_until = [row for row in billing.mrr_changes if row.currency == currency and row.changed_at <= instant]
            assert (rows_until[-1].after_micros if rows_until else 0) == recount


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (SubscriptionRow, tables.Subscription),
        (SubscriptionItemRow, tables.SubscriptionItem),
        (InvoiceRow, tables.Invoice),
        (RefundRow, tables.Refund),
        (MrrChangeRow, tables.MrrChange),
    ],
)
def test_a_row_has_the_columns_of_its_table(row: type, table: type[SQLModel]) -> None:
    columns = {column.name for column in SQLModel.metadata.tables[str(table.__tablename__)].columns}
    assert {"actor_id" if field.name == "actor" else field.name for field in fields(row)} == columns


def test_every_word_that_is_written_passes_its_check() -> None:
    statuses = [
        "incomplete",
        "incomplete_expired",
        "trialing",
        "active",
        "past_due",
        "canceled",
        "unpaid",
        "paused",
        "new_word",
    ]
    for status in statuses:
        for shape in SHAPES:
            billing = tell(
                [
                    updated(0, subscription(status, shape=shape), verb="created"),
                    event("evt_i", "invoice.updated", 5, invoice("draft", shape=shape) | {"status": status}),
                ]
            )
            assert billing.subscriptions[0].status in tables.SUBSCRIPTION_STATUSES
            assert billing.subscriptions[0].billing_cycle in tables.BILLING_CYCLES
            assert billing.invoices[0].status in tables.INVOICE_STATUSES


def test_another_workspace_or_source_has_other_row_ids() -> None:
    one = tell(story())
    other = derive(
        replace(one.owner, source_id=WORKSPACE),
        world(states(story())).owners["cus_1"],
        {},
        PlanMapping(),
        MrrSettings(),
    )
    assert not {row.id for row in one.subscriptions + one.items} & {row.id for row in other.subscriptions + other.items}
