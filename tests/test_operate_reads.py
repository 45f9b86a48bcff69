"""What the operate pages read: numbers that agree with the tables, and nothing for who may not see it."""

import gzip
import uuid
from datetime import timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core import choices, inbox, pipeline, replay
from gdp_core.accounts import audit, connections
from gdp_core.accounts.roles import Principal, Role
from gdp_core.analytics import audit_view, catalogue, inbox_view, jobs_view, quality, sources_view
from gdp_core.analytics.audit_view import AuditFilter
from gdp_core.analytics.inbox_view import InboxFilter, Place, shown
from gdp_core.choices import EventMeaning
from gdp_core.db import one, rows, run
from gdp_core.errors import Forbidden, NotFound

from .conftest import NOW
from .test_pipeline import batch, delivery, drain, identify, put, track


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def principal(ws, role="OWNER"):
    return Principal(None, f"{role.lower()}@acme.example", ws, Role(role))


def read(database, ws, reader, *args, **named):
    with database.web.transaction(ws, read_only=True) as session:
        return reader(session, *args, **named)


def bad(message="x1"):
    return track(user=None, message=message)


# ---------------------------------------------------------------------------------------------------------- sources


def states(database, ws, now=NOW, role="OWNER"):
    with database.web.transaction(ws, read_only=True) as session:
        known = connections.list_connections(session, principal(ws, role), archived=True)
        return {row.name: row for row in sources_view.read_sources(session, known, now)}


def test_a_source_is_told_by_what_it_sends(database, ws):
    ids = {name: database.source(ws, "segment", name=name) for name in ("never", "live", "quiet", "rejecting")}
    database.source(ws, "import", name="file")
    put(database, delivery(ws, ids["live"], batch(track()), at=NOW - timedelta(minutes=5)))
    put(database, delivery(ws, ids["quiet"], batch(track(message="m2")), at=NOW - timedelta(hours=5)))
    put(database, delivery(ws, ids["rejecting"], batch(track(message="m3"), bad()), at=NOW - timedelta(hours=2)))
    drain(database, ws)
    found = states(database, ws)
    assert {name: row.state for name, row in found.items()} == {
        "never": "never",
        "live": "live",
        "quiet": "quiet",
        "rejecting": "rejecting",
        "file": "by_hand",
    }
    assert next(iter(found)) == "rejecting", "the ones that need somebody come first"
    assert (found["rejecting"].deliveries, found["rejecting"].facts, found["rejecting"].rejects) == (1, 2, 1)
    assert (found["live"].events, found["live"].last_event) == (1, "letter_sent")
    assert found["never"].received_at is None
    assert states(database, ws, NOW + timedelta(days=3))["rejecting"].state == "quiet"


def test_a_disconnected_source_comes_last(database, ws, segment):
    with database.web.transaction(ws) as session:
        connections.archive(session, principal(ws), segment, now=NOW)
    database.source(ws, "stripe")
    assert list(states(database, ws)) == ["stripe", "segment"]


def test_the_first_event_is_noticed(database, ws, segment):
    since = NOW - timedelta(hours=1)
    assert read(database, ws, sources_view.read_arrival, segment, since) is None
    put(database, delivery(ws, segment, batch(track())))
    assert read(database, ws, sources_view.read_arrival, segment, since).state == "pending"
    drain(database, ws)
    arrived = read(database, ws, sources_view.read_arrival, segment, since)
    assert (arrived.state, arrived.applied, arrived.events, arrived.problem) == ("applied", 1, ("letter_sent",), None)
    put(database, delivery(ws, segment, batch(bad()), at=NOW + timedelta(seconds=1)))
    drain(database, ws)
    arrived = read(database, ws, sources_view.read_arrival, segment, since)
    assert (arrived.state, arrived.applied, arrived.code) == ("quarantined", 0, "no_identifier")
    assert arrived.problem
    assert read(database, ws, sources_view.read_arrival, segment, NOW + timedelta(hours=1)) is None


# ------------------------------------------------------------------------------------------------------------ inbox


def dirty(database, ws, segment):
    """Twelve deliveries: nine fine, one repeated, one in part and one wholly set aside."""
    for n in range(9):
        put(database, delivery(ws, segment, batch(track(message=f"m{n}")), at=NOW - timedelta(hours=n)))
    put(database, delivery(ws, segment, batch(track(message="m1")), at=NOW + timedelta(seconds=1)))
    put(database, delivery(ws, segment, batch(track(message="p"), bad()), at=NOW + timedelta(seconds=2)))
    put(database, delivery(ws, segment, batch(bad("x2")), at=NOW + timedelta(seconds=3)))
    drain(database, ws)


def test_filters_find_what_they_say(database, ws, segment):
    dirty(database, ws, segment)
    other = database.source(ws, "stripe")
    assert read(database, ws, inbox_view.count, InboxFilter()) == 12
    assert read(database, ws, inbox_view.count, InboxFilter("quarantined")) == 2, "partly set aside ones too"
    assert read(database, ws, inbox_view.count, InboxFilter("duplicate")) == 1
    assert read(database, ws, inbox_view.count, InboxFilter("applied")) == 10
    assert read(database, ws, inbox_view.count, InboxFilter("dead")) == 0
    assert read(database, ws, inbox_view.count, InboxFilter(source_id=segment)) == 12
    assert read(database, ws, inbox_view.count, InboxFilter(source_id=other)) == 0
    assert read(database, ws, inbox_view.count, InboxFilter(since=NOW - timedelta(hours=2), until=NOW)) == 2
    assert read(database, ws, inbox_view.count, InboxFilter(), 5) == 5, "counted no further than asked"


def test_pages_hold_every_delivery_once(database, ws, segment):
    dirty(database, ws, segment)
    seen, after = [], None
    while page := read(database, ws, inbox_view.read_page, InboxFilter(), after, 5):
        seen += [row.id for row in page]
        after = page[-1].place
    assert len(seen) == len(set(seen)) == 12
    times = [row.received_at for row in read(database, ws, inbox_view.read_page, InboxFilter(), None, 50)]
    assert times == sorted(times, reverse=True)


def test_a_delivery_in_full(database, ws, segment):
    body = gzip.compress(orjson.dumps(batch(track(), bad())))
    put(database, delivery(ws, segment, body, headers={"content-encoding": "gzip", "user-agent": "x"}))
    drain(database, ws)
    (row,) = read(database, ws, inbox_view.read_page, InboxFilter())
    found = read(database, ws, inbox_view.read_delivery, principal(ws, "MEMBER"), row.place)
    assert found.headers["user-agent"] == "x"
    assert found.body.language == "json"
    assert '"event": "letter_sent"' in found.body.text
    assert (found.body.size, found.body.is_cut) == (len(body), False)
    assert [(item.item, item.code) for item in found.rejects] == [(1, "no_identifier")]
    assert found.rejects[0].reason
    assert read(database, ws, inbox_view.find, row.id) == row.place


def test_a_viewer_gets_neither_body_nor_reason(database, ws, segment):
    put(database, delivery(ws, segment, batch(bad()), headers={"user-agent": "secret-agent"}))
    drain(database, ws)
    (row,) = read(database, ws, inbox_view.read_page, InboxFilter())
    found = read(database, ws, inbox_view.read_delivery, principal(ws, "VIEWER"), row.place)
    assert (found.headers, found.query, found.body) == (None, None, None)
    assert [(item.code, item.reason) for item in found.rejects] == [("no_identifier", None)]


def test_another_workspaces_delivery_is_not_there(database, ws, segment):
    put(database, delivery(ws, segment, batch(track())))
    (row,) = read(database, ws, inbox_view.read_page, InboxFilter())
    theirs = database.workspace("other")
    with pytest.raises(NotFound):
        read(database, theirs, inbox_view.read_delivery, principal(theirs), row.place)
    with pytest.raises(NotFound):
        read(database, theirs, inbox_view.find, row.id)
    with pytest.raises(NotFound):
        read(database, ws, inbox_view.read_delivery, principal(ws), Place(NOW, uuid.uuid4()))


def test_a_bomb_is_shown_by_its_beginning():
    bomb = gzip.compress(b"a" * 50_000_000)
    found = shown(bomb, len(bomb))
    assert (len(found.text), found.is_cut, found.language) == (100_000, True, "text")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_any_bytes_can_be_shown(body, zipped):
    packed = gzip.compress(body) if zipped else body
    found = shown(packed, len(packed))
    assert "\x00" not in found.text or found.language == "json"
    assert len(found.text) <= 100_000
    found.text.encode()


def test_replaying_what_a_filter_finds(database, ws, segment):
    dirty(database, ws, segment)
    before = read(database, ws, inbox.balances)
    with database.worker.transaction(ws) as session:
        assert replay.replay_found(session, principal(ws, "ADMIN"), InboxFilter("quarantined"), now=NOW) == 2
    assert read(database, ws, inbox_view.count, InboxFilter("pending")) == 2
    drain(database, ws)
    assert read(database, ws, inbox.balances) == before
    with database.web.transaction(ws) as session:
        (entry,) = rows(session, "SELECT action, detail FROM audit_log")
    assert (entry.action, entry.detail) == ("inbox.replay", {"count": 2, "state": "quarantined"})


def test_replaying_one_needs_the_role_and_something_to_replay(database, ws, segment):
    dirty(database, ws, segment)
    place = read(database, ws, inbox_view.read_page, InboxFilter())[0]
    for role in ("MEMBER", "VIEWER"):
        with database.worker.transaction(ws) as session, pytest.raises(Forbidden):
            replay.replay(session, principal(ws, role), [place.id], now=NOW)
        with database.worker.transaction(ws) as session, pytest.raises(Forbidden):
            replay.replay_found(session, principal(ws, role), InboxFilter(), now=NOW)
    with database.worker.transaction(ws) as session:
        assert replay.replay(session, principal(ws), [place.id], now=NOW) == 1
    with database.worker.transaction(ws) as session, pytest.raises(NotFound):
        replay.replay(session, principal(ws), [place.id], now=NOW)
    with database.worker.transaction(ws) as session, pytest.raises(NotFound):
        replay.replay_found(session, principal(ws), InboxFilter("dead"), now=NOW)


# -------------------------------------------------------------------------------------------------------- catalogue


def test_the_catalogue_knows_volume_roles_sources_and_shape(database, ws, segment):
    old, recent = NOW - timedelta(days=20), NOW - timedelta(days=2)
    messages = [track(message="a", at=old, colour="red", gone=1), track(message="b", at=recent, colour=7, fresh=True)]
    messages.append(track("viewed", message="c", at=recent))
    put(database, delivery(ws, segment, batch(*messages)))
    drain(database, ws)
    found = {row.name: row for row in read(database, ws, catalogue.read_types, NOW)}
    sent = found["letter_sent"]
    assert (sent.total, sent.recent, sum(sent.daily), len(sent.daily)) == (2, 2, 2, 30)
    assert (sent.daily[-3], sent.daily[-21]) == (1, 1)
    assert (sent.roles, sent.sources) == (("core",), ("segment",))
    assert sent.drift == ("several_types", "new", "vanished")
    assert found["viewed"].drift == ()
    detail = read(database, ws, catalogue.read_type, "letter_sent", NOW)
    shapes = {item.name: item for item in detail.properties}
    assert shapes["colour"].types == (("number", 1), ("string", 1))
    assert shapes["colour"].drift == ("several_types",)
    assert shapes["fresh"].drift == ("new",)
    assert shapes["gone"].drift == ("vanished",)
    assert detail.by_source == ((segment, "segment", 2, recent.date()),)
    assert read(database, ws, catalogue.read_names) == ["letter_sent", "viewed"]
    with pytest.raises(NotFound):
        read(database, ws, catalogue.read_type, "never", NOW)


# ---------------------------------------------------------------------------------------------------------- quality


def checks(database, ws, now=NOW):
    return {item.kind: item for item in read(database, ws, quality.read_quality, now).checks}


def test_an_empty_workspace_has_nothing_wrong(database, ws):
    found = checks(database, ws)
    assert {item.severity for item in found.values()} == {"good"}
    assert {item.count for item in found.values()} == {0}


def test_each_check_counts_what_it_says(database, ws, segment):
    put(database, delivery(ws, segment, batch(track(message="a", colour="red"), track(message="b", colour=1))))
    put(database, delivery(ws, segment, batch(track(message="a", user="u2"), bad()), at=NOW + timedelta(seconds=1)))
    put(database, delivery(ws, segment, batch(track(message="c", at=NOW - timedelta(days=3)))))
    put(database, delivery(ws, segment, batch(track("mystery", message="d"))))
    anonymous = {"type": "page", "anonymousId": "a1", "messageId": "p1", "timestamp": NOW.isoformat()}
    put(database, delivery(ws, segment, batch(anonymous)))
    drain(database, ws)
    with database.web.transaction(ws) as session:
        wanted = EventMeaning("core_value", required=("colour",))
        choices.describe_event(session, principal(ws), "letter_sent", wanted, now=NOW)
    found = checks(database, ws)
    assert (found["rejects"].count, found["rejects"].severity) == (1, "warn")
    assert found["duplicates"].count == 1
    assert found["conflicts"].count == 1
    assert (found["types"].count, found["types"].severity) == (1, "warn")
    assert (found["required"].count, found["required"].severity) == (1, "warn")
    assert (found["late"].count, found["late"].total) == (1, 5)
    assert found["unknown"].count == 1
    assert found["uncategorised"].count == 1
    assert found["conservation"].count == 0
    result = read(database, ws, quality.read_quality, NOW)
    assert [(item.event, item.property, item.count, item.total) for item in result.missing] == [
        ("letter_sent", "colour", 1, 3)
    ]
    assert [(item.property, dict(item.types)) for item in result.conflicts] == [("colour", {"string": 1, "number": 1})]


def test_books_that_do_not_add_up_are_seen(database, ws, segment):
    put(database, delivery(ws, segment, batch(track())))
    drain(database, ws)
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE ledger_entry SET applied = applied + 3 WHERE ledger = 'fact' AND applied > 0")
    found = checks(database, ws)
    assert (found["conservation"].count, found["conservation"].severity) == (3, "bad")


def test_completeness_is_of_known_people_who_are_not_ours(database, ws, segment):
    people = [identify(f"u{n}", message=f"i{n}", email=f"u{n}@acme.example" if n else None) for n in range(4)]
    put(database, delivery(ws, segment, batch(*people)))
    drain(database, ws)
    found = {item.field: item for item in read(database, ws, quality.read_quality, NOW).completeness}
    assert (found["email"].count, found["email"].total) == (3, 4)
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE person SET is_internal = true WHERE email = 'u1@acme.example'")
    found = {item.field: item for item in read(database, ws, quality.read_quality, NOW).completeness}
    assert (found["email"].count, found["email"].total) == (2, 3)


def test_a_wrong_clock_is_told_from_a_slow_sender(database, ws):
    fast, slow = database.source(ws, "segment", name="fast"), database.source(ws, "segment", name="slow")
    ahead = NOW + timedelta(minutes=10)
    wrong = {"batch": [track(message="a", at=ahead)], "sentAt": ahead.isoformat()}
    put(database, delivery(ws, fast, wrong))
    put(database, delivery(ws, slow, batch(track(message="b", at=NOW - timedelta(minutes=10)))))
    drain(database, ws)
    timing = {item.source: item for item in read(database, ws, quality.read_quality, NOW).timing}
    assert (timing["fast"].corrected, timing["fast"].is_skewed) == (1, True)
    assert timing["fast"].skew == timedelta(minutes=10)
    assert timing["fast"].delay == timedelta()
    assert (timing["slow"].corrected, timing["slow"].is_skewed) == (0, False)
    assert timing["slow"].delay == timedelta(minutes=10)
    assert checks(database, ws)["skew"].count == 1


def test_the_months_subscriptions_are_checked(database, ws):
    source_id = database.source(ws, "stripe")
    from . import stripe_story as stripe

    (first, second, *_) = stripe.story()
    for n, event in enumerate((first, second)):
        put(
            database,
            delivery(
                ws, source_id, event, source="stripe", route="webhook", trust="signed", at=NOW + timedelta(seconds=n)
            ),
        )
    drain(database, ws)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT status FROM subscription").status == "active"
        (price,) = choices.read_unmapped(session)
    found = checks(database, ws)
    assert (found["unmapped"].count, found["unmapped"].total, found["unmapped"].severity) == (1, 1, "info")
    assert (price.price_id, price.subscriptions) == ("price_1", 1)
    assert price.mrr == (("USD", 40_000_000),)


# ------------------------------------------------------------------------------------------------------ jobs, audit


def test_jobs_tell_who_is_alive_what_failed_and_what_comes_next(database, ws, segment):
    with database.worker.transaction(None) as session:
        for name, ago in (("worker-1", 10), ("analyst", 600)):
            at = NOW - timedelta(seconds=ago)
            run(session, "INSERT INTO ops.heartbeat VALUES (:name, 1, :at, '{\"applied\": 3}')", name=name, at=at)
        for n in range(3):
            at = NOW - timedelta(minutes=n)
            run(session, "INSERT INTO ops.schedule_tick VALUES ('stages', :at, :at)", at=at)
        for state, error in (("done", None), ("failed", "ValueError: no")):
            run(
                session,
                "INSERT INTO ops.job_run (id, job, started_at, finished_at, state, detail, error)"
                " VALUES (:id, 'stages', :at, :end, :state, '{\"done\": 7}', :error)",
                id=uuid.uuid4(),
                at=NOW - timedelta(minutes=5 if error else 1),
                end=NOW - timedelta(seconds=59),
                state=state,
                error=error,
            )
    processes = {item.name: item for item in read(database, ws, jobs_view.read_processes, NOW)}
    assert (processes["worker-1"].is_alive, processes["analyst"].is_alive) == (True, False)
    assert processes["worker-1"].detail == (("applied", "3"),)
    (job,) = read(database, ws, jobs_view.read_jobs, NOW)
    assert (job.every, job.next_tick) == (timedelta(minutes=1), NOW + timedelta(minutes=1))
    assert (job.last_state, job.last_took) == ("done", timedelta(seconds=1))
    assert (job.failures, job.error) == (1, "ValueError: no")
    runs = read(database, ws, jobs_view.read_runs, "stages", "failed")
    assert [(item.state, item.error, item.detail) for item in runs] == [("failed", "ValueError: no", (("done", "7"),))]
    assert not read(database, ws, jobs_view.read_runs, "ledger")


def test_the_backlog_is_what_waits(database, ws, segment):
    put(database, delivery(ws, segment, batch(track())), delivery(ws, segment, batch(track(message="m2"))))
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE inbox SET run_at = :at, attempts = 1", at=NOW - timedelta(minutes=3))
    waiting = read(database, ws, jobs_view.read_backlog)
    assert (waiting.waiting, waiting.retrying, waiting.dead) == (2, 2, 0)
    assert waiting.lag(NOW) == timedelta(minutes=3)
    drain(database, ws)
    assert read(database, ws, jobs_view.read_backlog).lag(NOW) == timedelta()


def test_the_audit_log_is_filtered_paged_and_for_admins(database, ws):
    with database.web.transaction(ws) as session:
        for n in range(7):
            who = principal(ws, "OWNER" if n % 2 else "ADMIN")
            detail = {"names": ["a", "b"], "n": n}
            action = "settings.write" if n < 5 else "keys.create"
            audit.audit(session, who, action=action, object_kind="thing", object_id=n, detail=detail, now=NOW)
    asks = principal(ws, "ADMIN")
    first = read(database, ws, audit_view.read_audit, asks, AuditFilter(), None, 4)
    rest = read(database, ws, audit_view.read_audit, asks, AuditFilter(), first[-1].seq, 4)
    assert [row.object_id for row in (*first, *rest)] == list("6543210")
    assert first[0].detail == (("n", "6"), ("names", "a, b"))
    assert len(read(database, ws, audit_view.read_audit, asks, AuditFilter("settings"))) == 5
    assert len(read(database, ws, audit_view.read_audit, asks, AuditFilter("keys.create", "owner@acme.example"))) == 1
    assert read(database, ws, audit_view.read_choices, asks)[0] == ["keys.create", "settings.write"]
    for role in ("MEMBER", "VIEWER"):
        with pytest.raises(Forbidden):
            read(database, ws, audit_view.read_audit, principal(ws, role), AuditFilter())


def test_everything_is_of_one_workspace(database, ws, segment):
    dirty(database, ws, segment)
    theirs = database.workspace("other")
    assert read(database, theirs, inbox_view.count, InboxFilter()) == 0
    assert not read(database, theirs, catalogue.read_types, NOW)
    assert not states(database, theirs)
    assert {item.count for item in checks(database, theirs).values()} == {0}
    assert pipeline.work(database.worker, theirs, NOW) == 0
