"""Where a person came from: the first visit that tells, however its event arrived, was replaced or counted again."""

import random
from datetime import timedelta

import pytest

from gdp_core import events
from gdp_core.db import one, rows
from gdp_core.event_roles import read_roles

from .conftest import NOW
from .test_pipeline import batch, delivery, drain, put

START = NOW - timedelta(days=2)


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def visit(minutes, url, referrer="", *, who="a1", kind="page", **campaign):
    at = START + timedelta(minutes=minutes)
    context = {"page": {"url": url, "referrer": referrer}, "campaign": campaign}
    message = {"type": kind, "anonymousId": who, "messageId": f"{who}-{minutes}-{url}", "timestamp": at.isoformat()}
    return message | {"context": context} | ({"event": "clicked"} if kind == "track" else {})


def send(database, ws, segment, *messages):
    put(database, *(delivery(ws, segment, batch(message)) for message in messages))
    drain(database, ws)


def source_of(database, ws):
    with database.web.transaction(ws) as session:
        return one(session, "SELECT source FROM person").source


SITE = "https://www.acme.example"
CASES = [
    ([visit(0, f"{SITE}/"), visit(1, f"{SITE}/pricing", f"{SITE}/")], "website"),
    ([visit(0, f"{SITE}/"), visit(1, "https://app.acme.example/x", "https://acme.example:443/?q=1")], "website"),
    ([visit(0, f"{SITE}/"), visit(1, "https://acme.example/x", "https://app.acme.example/")], "website"),
    ([visit(0, f"{SITE}/"), visit(1, f"{SITE}/b", "about:blank")], "website"),
    ([visit(0, f"{SITE}/", "https://www.google.com/"), visit(1, f"{SITE}/b", f"{SITE}/")], "organic"),
    ([visit(0, f"{SITE}/"), visit(1, f"{SITE}/b", "https://notacme.example/")], "referral"),
    ([visit(0, f"{SITE}/"), visit(1, f"{SITE}/b", f"{SITE}/", source="x", medium="cpc")], "paid_ads"),
]


@pytest.mark.parametrize(("visits", "source"), CASES)
def test_going_from_page_to_page_is_no_referral(database, ws, segment, visits, source):
    send(database, ws, segment, *visits)
    assert source_of(database, ws) == source


def test_counting_again_finds_the_same_first_touch(database, ws, segment):
    """The rule is written twice, for a new event and for those that are there: they must not differ."""
    dice = random.Random(3)
    sites = [
        "",
        "about:blank",
        SITE,
        "https://acme.example",
        "https://ACME.example:8080/x?y#z",
        "http://app.acme.example",
    ]
    sites += [
        "https://google.com/",
        "https://u:p@acme.example/",
        "android-app://com.google.android.gm/",
        "acme.example",
    ]
    sites += ["https://t.co/x", "https://xacme.example/", "https://example/"]
    messages = [
        visit(n, dice.choice(sites), dice.choice(sites), who=f"a{n % 40}", kind=dice.choice(("page", "track")))
        for n in range(160)
    ]
    dice.shuffle(messages)
    send(database, ws, segment, *messages)
    with database.worker.transaction(ws) as session:
        before = rows(session, "SELECT id, first_touch FROM actor ORDER BY id")
        pairs = [(row.actor_id, row.day) for row in rows(session, "SELECT actor_id, day FROM actor_day")]
        events._forget_touches(
            session, [row.id for row in rows(session, "SELECT id FROM event")], [a for a, _ in pairs]
        )
        assert {row.first_touch for row in rows(session, "SELECT first_touch::text FROM actor")} == {None}
        events.recount(session, ws, pairs, read_roles(session), frozenset())
        assert rows(session, "SELECT id, first_touch FROM actor ORDER BY id") == before
    assert len({str(row.first_touch) for row in before}) > 20


@pytest.mark.parametrize(("zone", "cohort"), [("UTC", "2026-11"), ("America/New_York", "2026-10")])
def test_the_cohort_is_the_month_of_the_workspace(database, zone, cohort):
    ws = database.workspace("zoned", timezone=zone)
    signup = {"type": "track", "event": "signup_completed", "userId": "u1", "messageId": "m"}
    send(database, ws, database.source(ws, "segment"), signup | {"timestamp": "2026-11-01T02:30:00Z"})
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT cohort FROM person").cohort == cohort
