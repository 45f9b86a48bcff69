"""E-mails and who must not be written to: from all states in any order, by scanners and by people."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from gdp_core import mail
from gdp_core.db import one, rows

from . import history
from .conftest import NOW
from .door import encryption_keys  # noqa: F401
from .test_pipeline import delivery

SENT = NOW - timedelta(days=3)
BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15"


@pytest.fixture
def resend(database, ws):
    return database.source(ws, "resend")


class Mailer:
    """Deliveries about e-mails, each under its own message id unless told otherwise."""

    def __init__(self, ws, source_id):
        self.ws, self.source_id, self.number = ws, source_id, 0

    def __call__(self, kind, seconds, *, message=None, received=None, **data):
        self.number += 1
        body = {"type": kind, "created_at": (SENT + timedelta(seconds=seconds)).isoformat(), "data": data}
        return delivery(
            self.ws,
            self.source_id,
            body,
            at=received or NOW - timedelta(hours=1),
            source="resend",
            route="webhook",
            trust="signed",
            headers={"svix-id": message or f"msg_{self.number}"},
        )

    def email(self, what, seconds, *, email_id="em_1", to=("ada@acme.example",), **more):
        tags = more.pop("tags", {"user_id": "u1", "campaign_id": "welcome"})
        common = {"email_id": email_id, "to": list(to), "from": "hi@acme.example", "subject": "Hello", "tags": tags}
        return self(f"email.{what}", seconds, created_at=SENT.isoformat(), **common, **more)

    def clicked(self, seconds, agent=BROWSER, **more):
        click = {"link": "https://acme.example/x", "userAgent": agent, "ipAddress": "203.0.113.77"}
        return self.email("clicked", seconds, click=click, **more)

    def bounced(self, seconds, kind="Permanent", **more):
        return self.email("bounced", seconds, bounce={"type": kind, "subType": "General", "message": "gone"}, **more)


@pytest.fixture
def mailer(ws, resend):
    return Mailer(ws, resend)


def tell(database, *deliveries):
    history.put(database, deliveries)
    history.drain(database, sorted({item.workspace_id for item in deliveries}))


def is_suppressed(database, ws, address="ada@acme.example"):
    with database.web.transaction(ws) as session:
        return mail.is_suppressed(session, ws, address)


def test_an_email_is_the_same_in_any_order(database, ws, mailer):
    told = [
        mailer.email("sent", 0),
        mailer.email("delivered", 5),
        mailer.email("opened", 60),
        mailer.clicked(90),
        mailer.email("complained", 500),
    ]
    orders = list(permutations(told))
    random.Random(1).shuffle(orders)
    seen = set()
    for order in orders[:8]:
        history.clear(database)
        for item in order:
            tell(database, item)
        history.books(database, [ws])
        seen.add(history.digest(history.contents(database, [ws])))
    assert len(seen) == 1
    with database.web.transaction(ws) as session:
        message = one(session, "SELECT * FROM email_message")
        assert (message.status, message.subject, message.campaign) == ("complained", "Hello", "welcome")
        assert message.recipient == "ada@acme.example"
        assert message.delivered_at == SENT + timedelta(seconds=5)
        assert (message.opened_at, message.clicked_at) == (SENT + timedelta(seconds=60), SENT + timedelta(seconds=90))
        assert (message.complained_at, message.bounced_at) == (SENT + timedelta(seconds=500), None)
        person = one(session, "SELECT * FROM person")
        assert (person.total_events, person.marketing_qualified_at) == (2, SENT + timedelta(seconds=90))
        assert one(session, "SELECT count(*) AS n FROM actor WHERE person_id = :id", id=person.id).n == 2
    assert is_suppressed(database, ws)


def test_a_click_of_a_scanner_is_kept_and_counts_for_nobody(database, ws, mailer):
    tell(database, mailer.email("delivered", 5), mailer.clicked(90, "Barracuda Sentinel (EE) link scanner"))
    with database.web.transaction(ws) as session:
        message = one(session, "SELECT clicked_at, status FROM email_message")
        assert tuple(message) == (None, "delivered")
        assert one(session, "SELECT is_machine FROM email_event WHERE event_type = 'clicked'").is_machine
        assert one(session, "SELECT is_machine FROM event").is_machine
        person = one(session, "SELECT * FROM person")
        assert (person.total_events, person.active_days, person.marketing_qualified_at) == (1, 0, None)


def test_who_opens_before_it_is_delivered_is_the_gateway(database, ws, mailer):
    tell(database, mailer.clicked(4), mailer.email("delivered", 5))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT is_machine FROM event").is_machine
        assert tuple(one(session, "SELECT clicked_at, status FROM email_message")) == (None, "delivered")


def test_an_open_makes_nobody_active_and_a_click_does(database, ws, mailer):
    """A mail program may have loaded the picture by itself."""
    tell(database, mailer.email("delivered", 5), mailer.email("opened", 60))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT active_days, total_events FROM person")[:] == (0, 1)
        assert one(session, "SELECT opened_at FROM email_message").opened_at == SENT + timedelta(seconds=60)
    tell(database, mailer.clicked(90))
    with database.web.transaction(ws) as session:
        person = one(session, "SELECT active_days, total_events, last_seen_at FROM person")
        assert person[:] == (1, 2, SENT + timedelta(seconds=90))


@pytest.mark.parametrize("first", ["click", "delivery"])
def test_what_comes_within_two_seconds_of_the_delivery_was_no_person(database, ws, mailer, first):
    """Whether the delivery is known before or after the click."""
    told = [mailer.clicked(6.5), mailer.email("opened", 7), mailer.email("delivered", 5)]
    for item in told if first == "click" else told[::-1]:
        tell(database, item)
    with database.web.transaction(ws) as session:
        machine = dict(rows(session, "SELECT event_type, is_machine FROM email_event"))
        assert machine == {"clicked": True, "opened": False, "delivered": False}
        assert dict(rows(session, "SELECT name, is_machine FROM event")) == {
            "email_clicked": True,
            "email_opened": False,
        }
        assert one(session, "SELECT human_events FROM actor_day").human_events == 0
        assert one(session, "SELECT marketing_qualified_at FROM person")[0] is None
    tell(database, mailer.email("delivered", 2))  # it was there earlier than that: a person after all
    with database.web.transaction(ws) as session:
        assert dict(rows(session, "SELECT name, is_machine FROM event")) == {
            "email_clicked": False,
            "email_opened": False,
        }
        assert one(session, "SELECT human_events FROM actor_day").human_events == 1
        assert one(session, "SELECT marketing_qualified_at FROM person")[0] == SENT + timedelta(seconds=6.5)
        assert one(session, "SELECT clicked_at FROM email_message").clicked_at == SENT + timedelta(seconds=6.5)


@pytest.mark.parametrize(
    ("what", "stops"),
    [
        (lambda m: m.bounced(9), True),
        (lambda m: m.bounced(9, "Transient"), False),
        (lambda m: m.bounced(9, "Undetermined"), False),
        (lambda m: m.email("complained", 9), True),
        (lambda m: m.bounced(9, to=("ada@acme.example", "bob@acme.example")), False),
        (lambda m: m.bounced(9, to=("Ada <ADA@acme.example>",)), True),
        (lambda m: m.email("delivered", 9), False),
        (lambda m: m("suppression.added", 9, id="s1", email="ada@acme.example", origin="bounce"), True),
    ],
)
def test_who_must_not_be_written_to(database, ws, mailer, what, stops):
    tell(database, what(mailer))
    assert is_suppressed(database, ws) is stops
    assert is_suppressed(database, ws, " Ada@ACME.example ") is stops
    assert not is_suppressed(database, ws, "bob@acme.example")
    other = database.workspace("globex")
    assert not is_suppressed(database, other)


def test_the_suppression_register_needs_no_order(database, ws, mailer):
    """The newest word counts: stop, go, stop again, however they come."""
    told = [
        mailer.bounced(10),
        mailer("suppression.removed", 20, id="s1", email="ada@acme.example"),
        mailer.email("complained", 30, email_id="em_2"),
        mailer("suppression.removed", 40, id="s2", email="Ada@acme.example"),
    ]
    for count, expected in ((2, False), (3, True), (4, False)):
        for order in list(permutations(told[:count]))[:: count * (count - 1) // 2]:
            history.clear(database)
            for item in order:
                tell(database, item)
            assert is_suppressed(database, ws) is expected
    with database.web.transaction(ws) as session:
        (row,) = rows(session, "SELECT * FROM suppression")
        assert (row.reason, row.since) == ("complaint", SENT + timedelta(seconds=30))
        assert row.lifted_at == SENT + timedelta(seconds=40)


def test_whose_addresses_are_suppressed(database, ws, mailer):
    tell(database, mailer.bounced(10, to=("Ada <ADA@acme.example>",)))
    tell(database, mailer.email("delivered", 11, email_id="em_2", to=("bob@acme.example",), tags={"user_id": "u2"}))
    with database.web.transaction(ws) as session:
        (stopped,) = mail.read_stopped(session)
        mine = one(
            session, "SELECT p.number FROM actor a JOIN actor p ON p.id = a.person_id WHERE a.external_id = 'u1'"
        )
    assert (stopped.number, stopped.reason, stopped.lifted_at) == (mine.number, "bounce", None)
    tell(database, mailer("suppression.removed", 20, id="s1", email="ada@acme.example"))
    with database.web.transaction(ws) as session:
        assert [stop.lifted_at for stop in mail.read_stopped(session)] == [SENT + timedelta(seconds=20)]


def test_an_address_that_was_only_ever_lifted_can_be_read(database, ws, mailer):
    tell(database, mailer("suppression.removed", 20, id="s1", email="ada@acme.example"))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT since < lifted_at AS lifted, since FROM suppression").lifted
    assert not is_suppressed(database, ws)


def test_a_message_id_used_twice_leaves_only_what_came_first(database, ws, mailer):
    """Whatever the later delivery had said, of another e-mail, address or contact, is undone when the earlier arrives."""
    early, late = NOW - timedelta(hours=9), NOW - timedelta(hours=1)
    pairs = [
        (mailer.email("delivered", 5, email_id="em_1"), mailer.bounced(9, email_id="em_2", to=("bob@acme.example",))),
        (
            mailer.email("opened", 60),
            mailer("suppression.added", 9, id="s1", email="eve@acme.example", origin="manual"),
        ),
        (mailer.email("sent", 1), mailer("contact.updated", 9, id="c1", email="eve@acme.example", unsubscribed=True)),
        (mailer.email("clicked", 70), mailer("suppression.removed", 9, id="s2", email="ada@acme.example")),
    ]
    told = []
    for number, pair in enumerate(pairs):
        for item, received in zip(pair, (early, late), strict=True):
            body = {"headers": {"svix-id": f"same_{number}"}, "received_at": received}
            told.append(_altered(item, body))
    told.append(mailer.bounced(4, email_id="em_3"))
    seen = set()
    for order in (told, told[::-1], told[1::2] + told[::2], told[::2] + told[1::2]):
        history.clear(database)
        for item in order:
            tell(database, item)
        history.books(database, [ws])
        seen.add(history.digest(history.contents(database, [ws])))
    assert len(seen) == 1
    with database.web.transaction(ws) as session:
        assert {row.resend_id for row in rows(session, "SELECT resend_id FROM email_message")} == {"em_1", "em_3"}
        assert rows(session, "SELECT * FROM consent") == []
    assert is_suppressed(database, ws)
    assert not is_suppressed(database, ws, "bob@acme.example")
    assert not is_suppressed(database, ws, "eve@acme.example")


def _altered(item, changes):

    return replace(item, **changes)


def test_consent_is_the_last_word_per_topic(database, ws, mailer):
    def contact(seconds, **data):
        return mailer("contact.updated", seconds, id="c1", email="ada@acme.example", **data)

    told = [
        contact(1, unsubscribed=False, topics=[{"id": "news", "subscription": "opt_in"}]),
        contact(2, unsubscribed=True),
        contact(3, unsubscribed=False),
        contact(4, topics=[{"id": "news", "subscription": "opt_out"}, {"id": "offers", "subscription": "opt_in"}]),
    ]
    for order in (told, told[::-1], [told[2], told[0], told[3], told[1]]):
        history.clear(database)
        for item in order:
            tell(database, item)
        with database.web.transaction(ws) as session:
            states = dict(rows(session, "SELECT topic, state FROM consent"))
        assert states == {"all": "opted_in", "news": "opted_out", "offers": "opted_in"}
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event WHERE name = 'email_unsubscribed'").n == 1


def test_an_unsubscription_is_told_once_however_often_the_contact_is_updated(database, ws, mailer):
    def contact(seconds, kind="updated", **data):
        return mailer(f"contact.{kind}", seconds, id="c1", email="ada@acme.example", **data)

    told = [
        contact(1, "created", unsubscribed=False),
        contact(2, unsubscribed=True, first_name="Ada"),
        contact(3, unsubscribed=True, first_name="Adele"),
        contact(4, topics=[]),
        contact(5, unsubscribed=True, first_name="Grace"),
        contact(6, unsubscribed=False),
        contact(7, unsubscribed=True),
    ]
    left = [SENT + timedelta(seconds=seconds) for seconds in (2, 7)]
    seen = set()
    for seed in range(12):
        history.clear(database)
        for item in random.Random(seed).sample(told, len(told)):
            tell(database, item)
        with database.web.transaction(ws) as session:
            found = rows(
                session, "SELECT occurred_at, actor_id FROM event WHERE name = 'email_unsubscribed' ORDER BY 1"
            )
            assert [row.occurred_at for row in found] == left
            assert one(session, "SELECT active_days, total_events FROM person")[:] == (1, 2)
            assert one(session, "SELECT events FROM event_type_day WHERE name = 'email_unsubscribed'").events == 2
            assert one(session, "SELECT count(*) AS n FROM event_type").n == 1
        seen.add(history.digest(history.contents(database, [ws])))
    assert len(seen) == 1


def test_a_contact_that_comes_unsubscribed_did_not_leave(database, ws, mailer):
    tell(database, mailer("contact.created", 1, id="c1", email="ada@acme.example", unsubscribed=True))
    tell(database, mailer("contact.updated", 9, id="c1", email="ada@acme.example", unsubscribed=True, last_name="L"))
    with database.web.transaction(ws) as session:
        assert rows(session, "SELECT 1 FROM event") == []
        assert one(session, "SELECT state FROM consent").state == "opted_out"


def test_no_address_is_stored_beside_an_open_or_click(database, ws, mailer):
    tell(database, mailer.clicked(90), mailer.email("opened", 60))
    with database.web.transaction(ws) as session:
        assert {row.ip for row in rows(session, "SELECT ip FROM email_event")} == {None, "203.0.113.0"}
        assert one(session, "SELECT ip FROM event WHERE name = 'email_clicked'").ip == "203.0.113.0"
        kept = [str(row.data) for row in rows(session, "SELECT data FROM object_state")]
    assert not any("203.0.113.77" in text for text in kept)


def test_an_email_tells_the_same_person_by_tag_and_address(database, ws, mailer):
    segment = database.source(ws, "segment")
    known = {
        "batch": [{"type": "identify", "userId": "u1", "messageId": "i1", "traits": {"email": "ada@acme.example"}}]
    }
    tell(database, delivery(ws, segment, known), mailer.email("delivered", 5), mailer.clicked(60, tags={}))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(DISTINCT person_id) AS n FROM actor").n == 1
        assert one(session, "SELECT identifiers FROM person").identifiers == 2
