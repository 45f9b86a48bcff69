"""Deliveries become people: the main path, duplicates, conflicts, poison, replay, and the two ledgers."""

import uuid
from datetime import timedelta

import orjson
import psycopg
import pytest
from sqlalchemy import exc

from gdp_core import events, inbox, people, pipeline
from gdp_core.db import one, rows, run
from gdp_core.errors import Unavailable
from gdp_core.sources.facts import Delivery

from .conftest import NOW


def delivery(ws, source_id, body, *, at=NOW, source="segment", route="v1/batch", trust="server", headers=None):
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Delivery(
        id=uuid.uuid4(),
        workspace_id=ws,
        source_id=source_id,
        source=source,
        route=route,
        trust=trust,
        received_at=at,
        body=raw,
        headers=headers or {},
    )


def put(database, *deliveries):
    for item in deliveries:
        with database.worker.transaction(item.workspace_id) as session:
            inbox.store(session, item)
            run(
                session,
                "UPDATE inbox SET headers = CAST(:h AS jsonb) WHERE id = :id",
                h=orjson.dumps(dict(item.headers)).decode(),
                id=item.id,
            )


def drain(database, ws, now=NOW):
    while pipeline.work(database.worker, ws, now):
        pass


def balanced(database, ws):
    with database.web.transaction(ws) as session:
        for balance in inbox.balances(session):
            assert balance.difference == 0, balance
        return {balance.ledger: balance for balance in inbox.balances(session)}


def track(event="letter_sent", user="u1", *, message="m1", at=NOW, anonymous=None, **properties):
    return {
        "type": "track",
        "event": event,
        "userId": user,
        "anonymousId": anonymous,
        "messageId": message,
        "timestamp": at.isoformat(),
        "properties": properties,
    }


def identify(user="u1", *, message="i1", at=NOW, anonymous=None, **traits):
    return {
        "type": "identify",
        "userId": user,
        "anonymousId": anonymous,
        "messageId": message,
        "timestamp": at.isoformat(),
        "traits": traits,
    }


def batch(*messages, at=NOW):
    return {"batch": list(messages), "sentAt": at.isoformat()}


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def test_an_anonymous_visit_becomes_a_known_person(database, ws, segment):
    page = {"type": "page", "anonymousId": "a1", "messageId": "p1", "timestamp": (NOW - timedelta(hours=2)).isoformat()}
    page["context"] = {"page": {"url": "https://acme.example/?utm_source=newsletter&utm_medium=email"}}
    page["context"]["campaign"] = {"source": "newsletter", "medium": "email", "name": "autumn"}
    put(database, delivery(ws, segment, batch(page)))
    drain(database, ws)
    put(
        database,
        delivery(
            ws, segment, batch(identify("u1", anonymous="a1", email="ada@acme.example", firstName="Ada"), track())
        ),
    )
    drain(database, ws)
    with database.web.transaction(ws) as session:
        (person,) = rows(session, "SELECT * FROM person")
        assert (person.email, person.first_name, person.source) == ("ada@acme.example", "Ada", "email_campaign")
        assert person.total_events == 3
        assert person.core_actions == 1
        assert person.is_known
        assert person.identifiers == 3
        names = [row.name for row in rows(session, "SELECT e.name FROM event e ORDER BY occurred_at")]
        assert "page_view" in names
        assert one(session, "SELECT count(DISTINCT person_id) AS n FROM actor").n == 1
        assert one(session, "SELECT 1 FROM person_token WHERE token ^@ 'ada'")
    books = balanced(database, ws)
    assert books["delivery"].received == 2
    assert books["fact"].applied == 3


def test_the_same_message_counts_once(database, ws, segment):
    body = batch(track(), track(message="m2"))
    put(database, *(delivery(ws, segment, body) for _ in range(3)))
    put(database, delivery(ws, segment, batch(track(), track(message="m3"))))
    drain(database, ws)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 3
        assert one(session, "SELECT total_events FROM person").total_events == 3
        states = [row.state for row in rows(session, "SELECT state FROM inbox ORDER BY state")]
    assert states == ["applied", "applied", "duplicate", "duplicate"]
    assert balanced(database, ws)["fact"].duplicate == 5


def test_the_earliest_of_two_contents_stands_in_any_order(database, ws, segment):
    early = delivery(ws, segment, batch(track(colour="red")), at=NOW)
    late = delivery(ws, segment, batch(track(user="u2", colour="blue")), at=NOW + timedelta(seconds=5))
    put(database, late)
    drain(database, ws)
    put(database, early)
    drain(database, ws)
    with database.web.transaction(ws) as session:
        (event,) = rows(session, "SELECT properties FROM event")
        assert event.properties["colour"] == "red"
        assert (
            one(
                session,
                "SELECT p.total_events FROM person p JOIN actor a ON a.person_id = p.id WHERE external_id = 'u1'",
            )[0]
            == 1
        )
        assert one(session, "SELECT sum(total_events) AS n FROM person").n == 1
        assert one(session, "SELECT count(*) AS n FROM fact_conflict").n == 1
    balanced(database, ws)


def test_a_bad_item_is_set_aside_and_its_neighbours_live(database, ws, segment):
    put(database, delivery(ws, segment, batch(track(), track(user=None, message="m2"))))
    put(database, delivery(ws, segment, b"not json"))
    drain(database, ws)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 1
        assert one(session, "SELECT count(*) AS n FROM fact_reject").n == 2
        states = sorted(row.state for row in rows(session, "SELECT state FROM inbox"))
    assert states == ["applied", "quarantined"]
    assert balanced(database, ws)["fact"].quarantined == 2


def test_a_replay_of_everything_changes_nothing(database, ws, segment):
    put(
        database,
        delivery(ws, segment, batch(identify(email="a@acme.example"), track(), track(user=None, message="m9"))),
    )
    put(database, delivery(ws, segment, batch(track())))
    drain(database, ws)
    before = balanced(database, ws)
    with database.worker.transaction(ws) as session:
        people = rows(session, "SELECT to_jsonb(p) - 'tx' FROM person p")
        assert inbox.replay(session, state="applied") + inbox.replay(session, state="duplicate") == 2
    assert balanced(database, ws)["delivery"].pending == 2
    drain(database, ws)
    assert balanced(database, ws) == before
    with database.worker.transaction(ws) as session:
        assert rows(session, "SELECT to_jsonb(p) - 'tx' FROM person p") == people


def test_a_machine_that_slept_is_not_held_against_a_delivery(database, ws, segment, monkeypatch):
    def slept(_):
        raise exc.InternalError("SELECT", {}, psycopg.errors.IdleInTransactionSessionTimeout("terminating connection"))

    put(database, delivery(ws, segment, batch(track())))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "parse", slept)
        with pytest.raises(Unavailable):
            drain(database, ws)
    with database.worker.transaction(ws) as session:
        assert one(session, "SELECT state, attempts FROM inbox")[:] == ("pending", 0)
    drain(database, ws)
    with database.worker.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 1


@pytest.mark.parametrize("position", [0, 7, 19])
def test_poison_is_found_and_the_rest_applied(database, ws, segment, position, monkeypatch):
    good = [delivery(ws, segment, batch(track(message=f"m{n}"))) for n in range(20)]
    poison = good[position]
    original = pipeline.parse

    def parse(deliveries):
        deliveries = list(deliveries)
        if any(item.id == poison.id for item in deliveries):
            raise RuntimeError("poison")
        return original(deliveries)

    monkeypatch.setattr(pipeline, "parse", parse)
    put(database, *good)
    drain(database, ws)
    with database.worker.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 19
        assert one(session, "SELECT count(*) AS n FROM inbox WHERE state = 'pending' AND attempts = 1").n == 1
        for _ in range(10):
            run(session, "UPDATE inbox SET run_at = :now WHERE state = 'pending'", now=NOW)
    for _ in range(10):
        drain(database, ws)
        with database.worker.transaction(ws) as session:
            run(session, "UPDATE inbox SET run_at = :now WHERE state = 'pending'", now=NOW)
    with database.worker.transaction(ws) as session:
        (dead,) = rows(session, "SELECT state, error, attempts FROM inbox WHERE state = 'dead'")
        assert dead.attempts == 8
        assert "RuntimeError" in dead.error
    balanced(database, ws)
    monkeypatch.setattr(pipeline, "parse", original)
    with database.worker.transaction(ws) as session:
        inbox.replay(session, state="dead")
    drain(database, ws)
    with database.worker.transaction(ws) as session:
        assert one(session, "SELECT total_events FROM person").total_events == 20
    balanced(database, ws)


def test_what_takes_too_long_together_is_applied_in_parts(database, monkeypatch):
    ws = database.workspace()
    source_id = database.source(ws, "segment")
    put(database, *(delivery(ws, source_id, {"batch": [track(user=f"u{n}", message=f"m{n}")]}) for n in range(6)))
    refresh, sizes = people.refresh, []

    def slow(session, workspace_id, persons, now):
        persons = set(persons)
        sizes.append(len(persons))
        if len(persons) > 2:
            run(session, "SELECT set_config('statement_timeout', '50', true)")
            run(session, "SELECT pg_sleep(5)")
        return refresh(session, workspace_id, persons, now)

    monkeypatch.setattr(people, "refresh", slow)
    drain(database, ws)
    assert max(sizes) == 6
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) FROM person")[0] == 6
        assert one(session, "SELECT max(attempts) FROM inbox")[0] == 1  # nobody's fault
    assert balanced(database, ws)["fact"].applied == 6


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        (" 203.0.113.77 ", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("::1", "::"),
        ("203.0.113", None),
        ("203.0.113.256", None),
        ("203.0.113.077", None),
        ("2001:db8:::1", None),
        ("example.com", None),
        ("1.2.3.\ud800", None),
        ("1.2.3.4\x00", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_kept_as_its_network(address, kept):
    assert events.truncate_ip(address) == kept
