"""One person: ids that lead to them, evidence, where traits come from, and a timeline of any length."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics import profile, timeline
from gdp_core.analytics.timeline import STAGE_SOURCE, After, Cut
from gdp_core.db import insert, run
from gdp_core.errors import NotFound
from gdp_core.tables.mail import EmailEvent, EmailMessage

from .crowd import (
    BEFORE,
    DAY,
    NOW,
    actor_id,
    fill,
    give_back,
    identify,
    page_view,
    person_id,
    subscription,
    track,
)

WHOLE = Cut()


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment", name="Website")


def read(database, ws, reader, *args, **options):
    with database.web.transaction(ws, read_only=True) as session:
        return reader(session, *args, **options)


@pytest.fixture
def ada(database, ws, segment):
    fill(
        database,
        ws,
        segment,
        page_view("a1", message="p1", at=BEFORE - DAY, source="google", medium="cpc"),
        identify(
            "u1", anonymous="a1", message="i1", at=BEFORE - timedelta(hours=5), email="ada@acme.example", plan="free"
        ),
        identify("u1", message="i2", at=BEFORE - timedelta(hours=2), plan="pro"),
        track(user="u1", message="t1"),
    )
    return person_id(database, ws, "u1")


def test_every_id_ever_issued_leads_to_the_person(database, ws, ada):
    for external in ("a1", "u1"):
        assert read(database, ws, profile.person_of, actor_id(database, ws, external)) == ada
    with pytest.raises(NotFound):
        read(database, ws, profile.person_of, uuid.uuid4())
    other = database.workspace("other")
    with pytest.raises(NotFound):
        read(database, other, profile.person_of, ada)


def test_the_head_has_stages_in_order(database, ws, ada):
    found = read(database, ws, profile.read_profile, ada)
    assert found.person.email == "ada@acme.example"
    assert found.traits["plan"] == "pro"
    assert [step.stage for step in found.stages] == ["marketing"]
    with pytest.raises(NotFound):
        read(database, ws, profile.read_profile, uuid.uuid4())


def test_evidence_says_who_joined_what(database, ws, ada):
    identifiers = read(database, ws, profile.read_identifiers, ada)
    assert {item.namespace for item in identifiers} >= {"anonymous", "user"}
    (edge,) = [
        item
        for item in read(database, ws, profile.read_evidence, [item.actor_id for item in identifiers])
        if "anonymous a1" in (item.a_label, item.b_label)
    ]
    assert (edge.source, edge.state, edge.merged, edge.verified) == ("Website", "accepted", True, True)
    assert edge.occurred_at == BEFORE - timedelta(hours=5)


def test_each_trait_with_what_was_said_before(database, ws, ada):
    actors = [item.actor_id for item in read(database, ws, profile.read_identifiers, ada)]
    plans = [item for item in read(database, ws, profile.read_assertions, actors) if item.key == "plan"]
    assert [(item.value, item.current) for item in plans] == [("pro", True), ("free", False)]
    assert {item.source for item in plans} == {"Website"}
    assert plans[0].identifier == "user u1"


def test_billing_has_subscriptions_payments_and_changes(database, ws, segment, ada):
    stripe = database.source(ws, "stripe")
    actor = actor_id(database, ws, "u1")
    subscription(database, ws, stripe, actor, mrr=29_000_000)
    give_back(database, ws, stripe, actor, 9_000_000)
    found = read(database, ws, profile.read_billing, [actor])
    assert [(item.plan_name, item.mrr_micros) for item in found.subscriptions] == [("Pro", 29_000_000)]
    assert [item.amount_micros for item in found.payments] == [-9_000_000, 29_000_000]
    assert [(item.movement, item.after_micros) for item in found.changes] == [("new", 29_000_000)]


def mail(database, ws, source_id, actor, resend_id, *events, subject="Hello"):
    message = {
        "source_id": source_id,
        "resend_id": resend_id,
        "workspace_id": ws,
        "actor_id": actor,
        "subject": subject,
    }
    message |= {"recipient": "ada@acme.example", "status": events[-1][0], "tags": {}, "sent_at": events[0][1]}
    happened = [
        {
            "source_id": source_id,
            "source_event_id": f"{resend_id}-{number}",
            "workspace_id": ws,
            "resend_id": resend_id,
            "event_type": kind,
            "occurred_at": at,
            "is_machine": kind == "opened",
        }
        for number, (kind, at) in enumerate(events)
    ]
    with database.worker.transaction(ws) as session:
        insert(session, EmailMessage, [message])
        insert(session, EmailEvent, happened)


def test_the_mailbox_tells_what_happened_and_who_is_suppressed(database, ws, segment, ada, monkeypatch):
    resend = database.source(ws, "resend")
    actor = actor_id(database, ws, "u1")
    mail(database, ws, resend, actor, "m1", ("sent", BEFORE - DAY), ("delivered", BEFORE), ("opened", BEFORE))
    monkeypatch.setattr(profile.mail, "is_suppressed", lambda session, ws, address: address.startswith("ada"))
    found = read(database, ws, profile.read_mailbox, ws, [actor], ["ada@acme.example", "x@acme.example"])
    (only,) = found.mails
    assert [item.kind for item in only.happened] == ["sent", "delivered", "opened"]
    assert only.happened[-1].is_machine
    assert found.suppressed == ("ada@acme.example",)


def timeline_of(database, ws, person, cut=WHOLE, *, size=50, after=None):
    actors = [item.actor_id for item in read(database, ws, profile.read_identifiers, person)]
    return read(database, ws, timeline.read_page, person, actors, cut, size=size, after=after)


def whole(database, ws, person, cut=WHOLE, *, size):
    items, after = [], None
    while True:
        page, after = timeline_of(database, ws, person, cut, size=size, after=after)
        items += page
        if after is None:
            return items
        assert After.parse(after.text) == after


def test_one_timeline_of_every_kind_newest_first(database, ws, segment, ada):
    resend = database.source(ws, "resend")
    mail(
        database,
        ws,
        resend,
        actor_id(database, ws, "u1"),
        "m1",
        ("sent", BEFORE),
        ("delivered", BEFORE),
        ("opened", NOW),
    )
    items, after = timeline_of(database, ws, ada)
    assert after is None
    assert [item.at for item in items] == sorted((item.at for item in items), reverse=True)
    kinds = {(item.kind, item.name) for item in items}
    assert {
        ("event", "page_view"),
        ("event", "letter_sent"),
        ("mail", "email_sent"),
        ("mail", "email_delivered"),
    } <= kinds
    assert ("stage", "marketing") in kinds
    assert ("mail", "email_opened") not in kinds


@pytest.mark.parametrize("size", [1, 2, 7, 500])
def test_pages_are_the_whole_without_gap_or_repeat_even_at_one_instant(database, ws, segment, size):
    same = [track(user="u1", message=f"s{n}", at=BEFORE - DAY) for n in range(20)]
    spread = [track(user="u1", message=f"d{n}", at=BEFORE - n * 40 * DAY) for n in range(10)]
    fill(
        database,
        ws,
        segment,
        *same,
        *spread,
        page_view("a1", message="p", at=BEFORE - DAY),
        identify("u1", anonymous="a1", message="i", at=BEFORE - DAY),
    )
    person = person_id(database, ws, "u1")
    resend = database.source(ws, "resend")
    mail(database, ws, resend, actor_id(database, ws, "u1"), "m1", ("sent", BEFORE - DAY), ("delivered", BEFORE - DAY))
    everything = whole(database, ws, person, size=500)
    assert len(everything) == 32 + 2 + len([item for item in everything if item.kind == "stage"])
    assert whole(database, ws, person, size=size) == everything
    assert len({(item.kind, item.id, item.at) for item in everything}) == len(everything)


@pytest.mark.parametrize(
    ("cut", "found"),
    [
        (Cut(names=("letter_sent",)), {"letter_sent"}),
        (Cut(sources=(STAGE_SOURCE,)), {"marketing"}),
        (Cut(sources=("email",)), {"email_opened", "email_sent"}),
        (Cut(sources=("web",), human_only=True, names=("page_view",)), {"page_view"}),
        (Cut(since=BEFORE - timedelta(hours=3), sources=("web",)), {"letter_sent", "identify"}),
        (Cut(until=BEFORE - timedelta(hours=12), sources=("web",)), {"page_view"}),
        (Cut(categories=("core_value",)), {"letter_sent"}),
        (Cut(categories=("referral",)), set()),
    ],
)
def test_a_timeline_is_narrowed(database, ws, segment, ada, cut, found):
    resend = database.source(ws, "resend")
    mail(database, ws, resend, actor_id(database, ws, "u1"), "m1", ("sent", BEFORE))
    fill(database, ws, segment, track("email_opened", user="u1", message="o1"))
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE event_type SET category = 'core_value' WHERE name = 'letter_sent'")
        run(session, "UPDATE event SET source = 'email', is_machine = true WHERE name = 'email_opened'")
        run(session, "UPDATE event SET source = 'web' WHERE name <> 'email_opened'")
    assert {item.name for item in timeline_of(database, ws, ada, cut)[0]} == found


def test_a_rare_event_is_found_behind_many_others(database, ws, segment):
    """The first look covers one page's worth of days; it widens until the filter is met or nothing is left."""
    many = [track(user="u1", message=f"m{n}", at=BEFORE - n * timedelta(hours=2)) for n in range(300)]
    fill(database, ws, segment, *many, track("rare", user="u1", message="r", at=BEFORE - 100 * DAY))
    person = person_id(database, ws, "u1")
    items, after = timeline_of(database, ws, person, Cut(names=("rare",)), size=2)
    assert ([item.name for item in items], after) == (["rare"], None)


def test_the_detail_of_an_event_and_of_one_that_is_gone(database, ws, segment, ada):
    item = next(item for item in timeline_of(database, ws, ada)[0] if item.name == "letter_sent")
    found = read(database, ws, timeline.read_detail, uuid.UUID(item.id), item.at)
    assert (found.name, found.source_name, found.identifier) == ("letter_sent", "Website", "user u1")
    assert found.source_event_id == "t1"
    assert read(database, ws, timeline.read_detail, uuid.uuid4(), item.at) is None
    other = database.workspace("other")
    assert read(database, other, timeline.read_detail, uuid.UUID(item.id), item.at) is None


@given(text=st.text(max_size=100))
@settings(max_examples=200, deadline=None)
def test_a_cursor_from_a_url_is_one_or_nothing(text):
    found = After.parse(text)
    assert found is None or After.parse(found.text) == found
