"""What people decide about identities: split, take back, merge, dismiss; each in one transaction, each audited."""

import uuid

import pytest

from gdp_core import identity_admin
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound

from .crowd import BEFORE, DAY, NOW, actor_id, fill, identify, page_view, person_id, track
from .test_pipeline import batch, delivery, drain, put


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


@pytest.fixture
def owner(ws):
    return Principal.system(ws)


def decide(database, ws, function, *args):
    with database.worker.transaction(ws) as session:
        return function(session, *args, now=NOW)


def people(database, ws):
    with database.web.transaction(ws) as session:
        return {
            row.id: (row.total_events, row.email, row.identifiers)
            for row in rows(session, "SELECT id, total_events, email, identifiers FROM person")
        }


def audited(database, ws):
    with database.web.transaction(ws) as session:
        return [row.action for row in rows(session, "SELECT action FROM audit_log ORDER BY seq")]


@pytest.fixture
def shared(database, ws, segment):
    """Two visitors who became one by a shared device."""
    fill(
        database,
        ws,
        segment,
        page_view("a1", message="p1"),
        page_view("a2", message="p2"),
        identify("u1", anonymous="a1", message="i1", email="ada@acme.example"),
        identify("u1", anonymous="a2", message="i2"),
        track(user="u1", message="t1"),
    )
    return person_id(database, ws, "u1")


def test_a_split_makes_two_people_and_is_taken_back(database, ws, owner, shared):
    before = people(database, ws)
    assert len(before) == 1
    off = actor_id(database, ws, "a2")
    decide(database, ws, identity_admin.split, owner, shared, {off})
    apart = people(database, ws)
    assert len(apart) == 2
    assert sum(events for events, _, _ in apart.values()) == before[shared][0]
    assert person_id(database, ws, "a2") != person_id(database, ws, "u1")
    left = person_id(database, ws, "u1")
    with database.web.transaction(ws) as session:
        (done,) = identity_admin.read_splits(session, left)
        assert identity_admin.read_splits(session, person_id(database, ws, "a2")) == (done,)
    assert (done.at, done.by) == (NOW, "system")
    decide(database, ws, identity_admin.undo_split, owner, left, NOW)
    assert people(database, ws) == before
    assert audited(database, ws) == ["identity.split", "identity.rejoin"]


def test_a_split_answers_with_whoever_stays(database, ws, owner, shared):
    """Also when the identifier that named the person goes: the id goes with it."""
    with database.web.transaction(ws) as session:
        named = {row.id: row.external_id for row in rows(session, "SELECT id, external_id FROM actor")}
    stays = decide(database, ws, identity_admin.split, owner, shared, {shared})
    assert stays != shared
    others = [name for actor, name in named.items() if actor != shared]
    assert {person_id(database, ws, name) for name in others} >= {stays}
    assert person_id(database, ws, named[shared]) == shared


def test_a_split_outlasts_the_same_statement_said_again(database, ws, segment, owner, shared):
    decide(database, ws, identity_admin.split, owner, shared, {actor_id(database, ws, "a2")})
    fill(database, ws, segment, identify("u1", anonymous="a2", message="i3"))
    assert person_id(database, ws, "a2") != person_id(database, ws, "u1")


def test_a_split_names_some_and_leaves_some(database, ws, owner, shared):
    with database.web.transaction(ws) as session:
        everybody = {row.id for row in rows(session, "SELECT id FROM actor WHERE person_id = :id", id=shared)}
    for wrong in (set(), everybody, {shared, uuid.uuid4()}):
        with pytest.raises(InvalidInput, match="at least one"):
            decide(database, ws, identity_admin.split, owner, shared, wrong)
    with pytest.raises(NotFound):
        decide(database, ws, identity_admin.split, owner, uuid.uuid4(), everybody)
    assert audited(database, ws) == []


def test_nothing_to_take_back(database, ws, owner, shared):
    with pytest.raises(NotFound):
        decide(database, ws, identity_admin.undo_split, owner, shared, NOW)


def test_a_viewer_decides_nothing(database, ws, shared):
    viewer = Principal(None, "viewer", ws, Role.VIEWER)
    for function, args in (
        (identity_admin.split, (shared, {shared})),
        (identity_admin.undo_split, (shared, NOW)),
        (identity_admin.accept_review, (shared, shared)),
        (identity_admin.dismiss_review, (shared, shared)),
        (identity_admin.reopen_review, (shared, shared)),
    ):
        with pytest.raises(Forbidden):
            decide(database, ws, function, viewer, *args)


@pytest.fixture
def refused(database, ws, segment):
    """Two people on one tablet, by the word of a browser: refused, to be reviewed."""
    said = [
        identify(user, anonymous="tablet", message=user, at=BEFORE + n * DAY / 24)
        for n, user in enumerate(("u1", "u2"))
    ]
    put(database, delivery(ws, segment, batch(*said), trust="browser"))
    drain(database, ws)
    with database.web.transaction(ws) as session:
        (review,) = identity_admin.read_reviews(session)
    return review


def test_a_review_shows_both_sides_and_why(database, ws, refused):
    assert refused.reason == "two_known_people"
    assert {refused.a.identifier, refused.b.identifier} == {"anonymous tablet", "user u2"}
    assert {refused.a.total_events, refused.b.total_events} == {1}
    assert {refused.a.identifiers, refused.b.identifiers} == {1, 2}
    with database.web.transaction(ws) as session:
        assert identity_admin.count_reviews(session) == 1


def test_an_accepted_review_merges_and_can_be_split_again(database, ws, owner, refused):
    pair = (refused.a.actor_id, refused.b.actor_id)
    person = decide(database, ws, identity_admin.accept_review, owner, *pair)
    assert list(people(database, ws)) == [person]
    assert people(database, ws)[person][0] == 2
    with database.web.transaction(ws) as session:
        assert identity_admin.count_reviews(session) == 0
        assert len(identity_admin.read_reviews(session, "accepted")) == 1
    with pytest.raises(NotFound):
        decide(database, ws, identity_admin.accept_review, owner, *pair)
    decide(database, ws, identity_admin.split, owner, person, {actor_id(database, ws, "u2")})
    assert len(people(database, ws)) == 2
    assert audited(database, ws) == ["identity.merge", "identity.split"]


def test_a_dismissed_review_stays_away_and_opens_again(database, ws, segment, owner, refused):
    pair = (refused.a.actor_id, refused.b.actor_id)
    decide(database, ws, identity_admin.dismiss_review, owner, *pair)
    fill(database, ws, segment, track(user="u1", message="t9"))
    with database.web.transaction(ws) as session:
        assert identity_admin.count_reviews(session) == 0
    assert len(people(database, ws)) == 2
    decide(database, ws, identity_admin.reopen_review, owner, *pair)
    with database.web.transaction(ws) as session:
        assert identity_admin.count_reviews(session) == 1
    with pytest.raises(NotFound):
        decide(database, ws, identity_admin.reopen_review, owner, *pair)
    assert audited(database, ws) == ["identity.dismiss", "identity.reopen"]


def test_a_merge_beyond_the_limit_changes_nothing(database, ws, owner, refused):
    with database.web.transaction(ws) as session:
        run(
            session,
            "INSERT INTO setting (workspace_id, key, value, updated_at) VALUES (app_ws(), 'identity.limits', '{\"total\": 1}', :now)",
            now=NOW,
        )
    with pytest.raises(InvalidInput, match="more identifiers"):
        decide(database, ws, identity_admin.accept_review, owner, refused.a.actor_id, refused.b.actor_id)
    assert len(people(database, ws)) == 2
    assert audited(database, ws) == []
    with database.web.transaction(ws) as session:
        assert identity_admin.count_reviews(session) == 1
