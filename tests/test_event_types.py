"""The registry of event names: what people chose stays, and what arrived first decides nothing."""

from datetime import timedelta
from itertools import permutations

import pytest

from gdp_core import choices, events
from gdp_core.accounts.roles import Principal, Role
from gdp_core.choices import EventMeaning
from gdp_core.db import rows
from gdp_core.event_roles import category_of, read_roles
from gdp_core.events import NewEvent
from gdp_core.sources.facts import EventFact

from .conftest import NOW
from .stripe_story import DAY, T0, charge, event, invoice, refund, session, subscription, tell
from .test_pipeline import batch, delivery, drain, put, track


@pytest.fixture
def source_id(database, ws):
    return database.source(ws, "segment")


def categories(database, ws):
    with database.web.transaction(ws) as session:
        return dict(rows(session, "SELECT name, category FROM event_type"))


def write(database, ws, source_id, key, name, category):
    fact = EventFact(name=name, category=category)
    new = NewEvent(events.event_id(source_id, key), fact, key, source_id, None, NOW, NOW, counts_money=False)
    with database.worker.transaction(ws) as session:
        events.write(session, ws, [new], read_roles(session), NOW)


@pytest.mark.parametrize("name", ["letter_sent", "something_of_ours"])
def test_senders_that_disagree_settle_nothing_by_coming_first(database, source_id, name):
    stated = ("monetization", None, "referral")
    seen = set()
    for number, order in enumerate(permutations(stated)):
        ws = database.workspace(f"ws{number}")
        for key, category in enumerate(order):
            write(database, ws, source_id, f"{key}", name, category)
        seen.add(categories(database, ws)[name])
    assert seen == {category_of(name)}


@pytest.mark.parametrize("chosen", ["referral", None])
def test_what_people_chose_outlives_new_events_and_their_undoing(database, ws, source_id, chosen):
    first = delivery(ws, source_id, batch(track(message="m1")))
    put(database, first)
    drain(database, ws)
    assert categories(database, ws) == {"letter_sent": "core_value"}
    with database.web.transaction(ws) as session:
        admin = Principal(None, "ada@acme.example", ws, Role.ADMIN)
        choices.describe_event(session, admin, "letter_sent", EventMeaning(chosen), now=NOW)
    put(database, delivery(ws, source_id, batch(track(message="m2"))))
    drain(database, ws)
    assert categories(database, ws) == {"letter_sent": chosen}
    # Both messages turn out to have been something else before: no event of the name is left.
    earlier = [track("opened", message=message, at=NOW - timedelta(hours=2)) for message in ("m1", "m2")]
    put(database, delivery(ws, source_id, batch(*earlier), at=NOW - timedelta(hours=1)))
    drain(database, ws)
    assert categories(database, ws) == {"letter_sent": chosen, "opened": None}


def test_a_name_that_nothing_is_left_of_goes(database, ws, source_id):
    put(database, delivery(ws, source_id, batch(track(message="m1"))))
    drain(database, ws)
    put(database, delivery(ws, source_id, batch(track("opened", message="m1")), at=NOW - timedelta(hours=1)))
    drain(database, ws)
    assert categories(database, ws) == {"opened": None}


def test_the_registry_says_of_billing_what_billing_says_of_itself():
    trial = {"trial_start": T0, "trial_end": T0 + DAY}
    told = tell(
        [
            event("evt_1", "customer.subscription.created", 0, subscription("trialing", **trial)),
            event("evt_2", "customer.subscription.updated", DAY, subscription("active", **trial)),
            event("evt_3", "invoice.paid", 60, invoice()),
            event("evt_4", "invoice.payment_failed", 90, invoice("open", invoice_id="in_2")),
            event("evt_5", "charge.succeeded", 60, charge()),
            event("evt_6", "refund.created", DAY, refund(amount=5)),
            event("evt_7", "charge.dispute.closed", DAY, refund("dp_1", 5) | {"object": "dispute", "status": "lost"}),
            event("evt_8", "checkout.session.expired", 5, session(customer="cus_1", status="expired")),
            event("evt_9", "customer.subscription.deleted", 9 * DAY, subscription("canceled", **trial)),
        ]
    ).events
    assert len({item.event.name for item in told}) == 9, {item.event.name for item in told}
    for item in told:
        assert category_of(item.event.name) == item.event.category, item.event.name
