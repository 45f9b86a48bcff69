"""Segments as people keep them: names, versions, drafts, what uses what, and the record of who changed what."""

import uuid
from datetime import timedelta
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest

from gdp_core import mail, reports
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import rows, run
from gdp_core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gdp_core.features.definitions import Wanted, define
from gdp_core.features.definitions import remove as remove_feature
from gdp_core.segments import keeping
from gdp_core.segments.rules import BadRule, check, read
from gdp_core.segments.surroundings import read_surroundings

from .conftest import NOW
from .test_reports import make_people

LATER = NOW + timedelta(hours=1)


def rule_of(*conditions, kind="all"):
    return read({"version": 1, "match": {"kind": kind, "of": list(conditions)}})


def performed(name, **more):
    return {"kind": "performed", "event": {"names": [name]}, **more}


def within(segment_id, *, member=True):
    return {"kind": "segment", "segment": str(segment_id), "member": member}


ORDERS, VISITS = rule_of(performed("order")), rule_of(performed("visit", how="exactly", times=0))


class Kept:
    """Acts on the segments of a workspace."""

    def __init__(self, database, ws):
        self.database, self.ws = database, ws

    def __getattr__(self, name):
        return lambda *args, role="MEMBER", now=NOW, **more: self.does(
            getattr(keeping, name), role, *args, now=now, **more
        )

    def does(self, act, role, *args, **more):
        with self.database.web.transaction(self.ws) as session:
            return act(session, Principal(None, "ada@acme.example", self.ws, Role(role)), *args, **more)

    def reads(self, ask, *args, **more):
        with self.database.web.transaction(self.ws, read_only=True) as session:
            return ask(session, *args, **more)

    def names(self):
        return [one.name for one in self.reads(keeping.list_segments)]


@pytest.fixture
def kept(database, ws):
    return Kept(database, ws)


def test_a_segment_comes_back_as_it_was_made(kept):
    made = kept.create(
        "  Buyers \x00 of all ",
        ORDERS,
        description="a\nb",
        goal="order again",
        action={"kind": "mail"},
        starter="buyers",
    )
    assert (made.name, made.rule, made.version, made.enabled) == ("Buyers of all", ORDERS, 1, True)
    assert (made.description, made.goal, made.action, made.starter) == (
        "a b",
        "order again",
        {"kind": "mail"},
        "buyers",
    )
    assert (made.people, made.evaluated_at, made.error) == (None, None, None)
    assert kept.reads(keeping.read_segment, made.id) == made
    assert kept.reads(keeping.find_segment, "Buyers of all") == made
    other = Kept(kept.database, kept.database.workspace("other"))
    assert other.names() == []
    with pytest.raises(NotFound):
        other.reads(keeping.read_segment, made.id)


def test_every_kind_of_value_of_a_rule_is_kept_as_it_was_written(kept):
    values = ["yes", "1", 1, 1.5, True, "007", 10**17, 0.1, "\U0001f600 ' \\ \"", ""]
    given = rule_of({"kind": "person", "field": "plan", "op": "is", "values": values})
    assert [(type(value), value) for value in given.match.of[0].values] == [(type(value), value) for value in values]
    assert kept.create("All", given).rule == given


def test_versions_follow_each_other_and_come_back(kept):
    made = kept.create("Buyers", ORDERS)
    changed = kept.change(made.id, VISITS, note="by visits", expected_version=1, now=LATER)
    assert (changed.version, changed.rule, changed.created_at, changed.updated_at) == (2, VISITS, NOW, LATER)
    assert kept.change(made.id, VISITS, expected_version=2) == changed
    assert (
        kept.change(made.id, VISITS, note="by visits", expected_version=1) == changed
    )  # it was not sure it came through
    with pytest.raises(Conflict, match=r"saved version 2 .* edited version 1"):
        kept.change(made.id, ORDERS, expected_version=1)
    again = kept.restore_version(made.id, 1, expected_version=2)
    assert (again.version, again.rule) == (3, ORDERS)
    found = kept.reads(keeping.read_versions, made.id)
    assert [(one.version, one.rule, one.note) for one in found] == [
        (3, ORDERS, "As version 1"),
        (2, VISITS, "by visits"),
        (1, ORDERS, ""),
    ]
    with pytest.raises(NotFound, match="no version 9"):
        kept.restore_version(made.id, 9, expected_version=3)


def test_a_name_is_taken_once_and_free_after_deleting(kept):
    first = kept.create("A", ORDERS)
    second = kept.create("B", ORDERS)
    for act in (lambda: kept.create("A", VISITS), lambda: kept.rename(second.id, " A ")):
        with pytest.raises(InvalidInput, match="“A” already"):
            act()
    kept.delete(first.id)
    assert kept.names() == ["B"]
    assert kept.rename(second.id, "A", goal="g").goal == "g"
    with pytest.raises(InvalidInput, match="“A” already"):
        kept.restore(first.id)
    kept.rename(second.id, "B", description="d")
    assert kept.restore(first.id).rule == ORDERS
    assert kept.names() == ["A", "B"]
    for act in (lambda: kept.restore(first.id), lambda: kept.restore(uuid.uuid4())):
        with pytest.raises(NotFound):
            act()


def test_a_deleted_segment_takes_no_changes(kept):
    gone = kept.create("A", ORDERS)
    kept.delete(gone.id)
    for act in (
        lambda: kept.change(gone.id, VISITS, expected_version=1),
        lambda: kept.rename(gone.id, "B"),
        lambda: kept.set_enabled(gone.id, False),
        lambda: kept.delete(gone.id),
        lambda: kept.reads(keeping.find_segment, "A"),
    ):
        with pytest.raises(NotFound):
            act()


def test_what_is_made_of_a_segment_keeps_it_from_being_deleted(kept):
    inner = kept.create("Inner", ORDERS)
    outer = kept.create("Outer", rule_of(within(inner.id)))
    assert [one.name for one in kept.reads(keeping.used_by, inner.id)] == ["Outer"]
    with pytest.raises(InvalidInput, match="“Outer” names this segment"):
        kept.delete(inner.id)
    kept.delete(outer.id)
    kept.delete(inner.id)


def test_a_segment_is_not_made_of_itself(kept):
    a = kept.create("A", ORDERS)
    b = kept.create("B", rule_of(within(a.id)))
    c = kept.create("C", rule_of({"kind": "any", "of": [performed("x"), within(b.id, member=False)]}))
    for inner in (a, b, c):
        with pytest.raises(BadRule, match="cannot be made of itself") as caught:
            kept.change(a.id, rule_of(performed("x"), within(inner.id)), expected_version=1)
        assert caught.value.problems[0].path == (1,)
    assert kept.reads(keeping.read_segment, a.id).rule == ORDERS


def test_what_a_rule_names_must_be_there(kept):
    nowhere = str(uuid.uuid4())
    for condition, said in (
        ({"kind": "feature", "feature": "gone"}, "no feature 'gone'"),
        ({"kind": "list", "people": nowhere}, "list was deleted"),
        ({"kind": "segment", "segment": nowhere}, "segment was deleted"),
    ):
        with pytest.raises(BadRule, match=said):
            kept.create("A", rule_of(condition))
    assert kept.names() == []


def test_one_that_is_disabled_says_so(kept):
    made = kept.create("A", ORDERS, enabled=False)
    assert not made.enabled
    assert kept.set_enabled(made.id, True, now=LATER).enabled
    assert not kept.set_enabled(made.id, False).enabled


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        (" \x00\n", {}, "Give the segment a name"),
        ("\u202e\u200b", {}, "Give the segment a name"),
        ("\u200d\u00ad\ufeff \x07", {}, "Give the segment a name"),
        ("A\ud800", {}, "half a character"),
        ("A", {"description": "\udfff"}, "half a character"),
        ("A", {"goal": "b\ud83d"}, "half a character"),
        ("A", {"action": {"a": object()}}, "not a JSON object"),
        ("A", {"action": {"a": "x" * 70_000}}, "at most 64 kB"),
    ],
)
def test_nonsense_is_refused(kept, name, more, said):
    with pytest.raises(InvalidInput, match=said):
        kept.create(name, ORDERS, **more)
    assert kept.names() == []


def test_no_half_of_a_character_is_kept_and_nothing_that_reverses_a_line(kept):
    made = kept.create("Buy\u202eers \U0001f600", ORDERS, description="\u2066all\u2069 of them")
    assert (made.name, made.description) == ("Buyers \U0001f600", "all of them")
    for act in (
        lambda: kept.rename(made.id, "\ud83d"),
        lambda: kept.rename(made.id, "B", description="\ud83d"),
        lambda: kept.change(made.id, VISITS, note="\ud83d", expected_version=1),
        lambda: kept.reads(keeping.find_segment, "\udcff"),
    ):
        with pytest.raises(InvalidInput, match="half a character: type it again"):
            act()
    with pytest.raises(InvalidInput, match="Give the segment a name"):
        kept.rename(made.id, "\u200b")
    assert kept.reads(keeping.read_segment, made.id) == made


def test_nothing_too_long_is_cut_in_silence(kept):
    longest = kept.create("n" * 120, ORDERS, description="d" * 1000, goal=" g" * 500)
    assert (len(longest.name), len(longest.description), len(longest.goal)) == (120, 1000, 999)
    made = kept.create("A", ORDERS)
    for act, said in (
        (lambda: kept.create("n" * 121, ORDERS), "name is 121 characters long: make it 120"),
        (lambda: kept.create("B", ORDERS, description="d" * 1001), "description is 1,001"),
        (lambda: kept.create("B", ORDERS, goal="d" * 1001), "goal is 1,001"),
        (lambda: kept.rename(made.id, "n" * 121), "name is 121"),
        (lambda: kept.rename(made.id, "B", goal="g" * 2000), "goal is 2,000"),
        (lambda: kept.change(made.id, VISITS, note="n" * 1001, expected_version=1), "note is 1,001"),
    ):
        with pytest.raises(InvalidInput, match=said):
            act()
    assert kept.reads(keeping.read_segment, made.id) == made
    with pytest.raises(NotFound):
        kept.reads(keeping.find_segment, "n" * 121)


def test_a_draft_is_each_users_own_and_may_be_unfinished(kept, database, ws):
    made = kept.create("A", ORDERS)
    ada, bob = (Principal(uuid.UUID(int=n), "x", ws, Role.MEMBER) for n in (1, 2))
    with database.gate.transaction(ws) as session:
        for who in (ada, bob):
            _join(session, who)

    def does(who, act, *args, **more):
        with database.web.transaction(ws) as session:
            return act(session, who, *args, **more)

    does(ada, keeping.write_draft, None, {"match": {"kind": "all", "of": []}}, now=NOW)
    does(ada, keeping.write_draft, made.id, {"text": "half a th\x00"}, now=NOW)
    does(ada, keeping.write_draft, made.id, {"text": "half a thought"}, now=LATER)
    does(bob, keeping.write_draft, made.id, {"of": None}, now=NOW)
    assert does(ada, keeping.read_draft, made.id) == keeping.Draft(made.id, {"text": "half a thought"}, LATER)
    assert does(ada, keeping.read_draft, None).content == {"match": {"kind": "all", "of": []}}
    assert does(bob, keeping.read_draft, None) is None
    does(ada, keeping.discard_draft, made.id)
    assert does(ada, keeping.read_draft, made.id) is None
    assert does(bob, keeping.read_draft, made.id).content == {"of": None}
    for content, said in (({"a": "x" * 600_000}, "512 kB"), ({"a": 2**70}, "JSON")):
        with pytest.raises(InvalidInput, match=said):
            does(ada, keeping.write_draft, None, content, now=NOW)
    kept.delete(made.id)
    assert does(bob, keeping.read_draft, made.id).content == {"of": None}, "it is theirs, whoever deleted the segment"
    assert kept.reads(keeping.list_segments) == []


def test_of_two_tabs_none_overwrites_the_other(kept, database, ws):
    ada = Principal(uuid.UUID(int=1), "x", ws, Role.MEMBER)
    with database.gate.transaction(ws) as session:
        _join(session, ada)

    def does(act, *args, **more):
        with database.web.transaction(ws) as session:
            return act(session, ada, None, *args, **more)

    does(keeping.write_draft, {"tab": 1}, expected=None, now=NOW)
    does(keeping.write_draft, {"tab": 2}, expected=NOW, now=LATER)
    for expected in (None, NOW):
        with pytest.raises(Conflict, match="another tab"):
            does(keeping.write_draft, {"tab": 1}, expected=expected, now=LATER)
        does(keeping.discard_draft, expected=expected)
    assert does(keeping.read_draft).content == {"tab": 2}
    does(keeping.discard_draft, expected=LATER)
    assert does(keeping.read_draft) is None
    does(keeping.write_draft, {"tab": 1}, expected=NOW, now=LATER)
    assert does(keeping.read_draft).content == {"tab": 1}


def _join(session, who):
    run(
        session,
        "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (:id, :id, '', 0, :now)",
        id=who.user_id,
        now=NOW,
    )
    run(
        session,
        "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:id, :ws, 'MEMBER', :now)",
        id=who.user_id,
        ws=who.workspace_id,
        now=NOW,
    )


def test_every_change_is_in_the_audit_log_and_no_draft_is(kept, database, ws):
    made = kept.create("A", ORDERS)
    kept.write_draft(made.id, {})
    kept.change(made.id, VISITS, expected_version=1)
    kept.change(made.id, VISITS, expected_version=2)
    kept.rename(made.id, "B")
    kept.set_enabled(made.id, False)
    kept.set_enabled(made.id, False)
    kept.delete(made.id)
    kept.restore(made.id)
    with database.web.transaction(ws) as session:
        found = rows(session, "SELECT action, object_kind, object_id, detail FROM audit_log ORDER BY seq")
    assert {(row.action, row.object_kind, row.object_id) for row in found} == {
        ("segments.write", "segment", str(made.id))
    }
    assert [row.detail for row in found] == [
        {"name": "A", "version": 1},
        {"name": "A", "version": 2},
        {"name": "B"},
        {"name": "B", "enabled": False},
        {"name": "B", "deleted": True},
        {"name": "B", "deleted": False},
    ]


def test_a_viewer_changes_nothing(kept):
    made = kept.create("A", ORDERS)
    for act in (
        lambda: kept.create("B", ORDERS, role="VIEWER"),
        lambda: kept.change(made.id, VISITS, expected_version=1, role="VIEWER"),
        lambda: kept.write_draft(None, {}, role="VIEWER"),
        lambda: kept.delete(made.id, role="VIEWER"),
    ):
        with pytest.raises(Forbidden, match="may not make and change segments"):
            act()


def test_surroundings_hold_what_rules_may_name(kept, database, ws, monkeypatch):
    people = make_people(database, ws, 3)
    with database.web.transaction(ws) as session:
        who = Principal.system(ws)
        named = reports.save_list(session, who, "Named", people[:2], now=NOW)
        other = reports.save_list(session, who, "Other", people, now=NOW)
        define(session, who, Wanted("Logins", "count", ("login",)), now=NOW)
    on_it = {"kind": "list", "people": str(named.id)}
    made = kept.create("A", rule_of(on_it, {"kind": "feature", "feature": "logins"}))
    found = kept.reads(read_surroundings, timezone="Europe/Berlin")
    assert found.zone == ZoneInfo("Europe/Berlin")
    assert found.rules == {str(made.id): made.rule}
    assert found.names.segments == {str(made.id): "A"}
    assert found.names.lists == {str(named.id): "Named", str(other.id): "Other"}
    assert found.names.features["logins"] == "Logins"
    assert {key: len(numbers) for key, numbers in found.lists.items()} == {str(named.id): 2, str(other.id): 0}
    unsaved = rule_of({"kind": "list", "people": str(other.id)})
    found = kept.reads(read_surroundings, timezone="UTC", rule=unsaved)
    assert len(found.lists[str(other.id)]) == 3
    assert check(unsaved, found) == ()
    read = Mock(return_value=[])
    monkeypatch.setattr(mail, "read_stopped", read)
    suppressed = {"kind": "suppression"}
    kept.reads(read_surroundings, timezone="UTC", rule=unsaved)
    assert not read.called
    kept.reads(read_surroundings, timezone="UTC", rule=rule_of({"kind": "not", "of": [suppressed]}))
    kept.create("Stopped", rule_of(suppressed))
    kept.reads(read_surroundings, timezone="UTC", rule=unsaved)
    kept.reads(read_surroundings, timezone="UTC", people=False)
    assert read.call_count == 2
    for act, said in (
        (lambda session: remove_feature(session, who, "logins", now=NOW), "“A” names this feature: take it out"),
        (lambda session: reports.delete_list(session, who, named.id, now=NOW), "“A” names this list"),
    ):
        with pytest.raises(Conflict, match=said), database.web.transaction(ws) as session:
            act(session)
    with database.web.transaction(ws) as session:
        reports.delete_list(session, who, other.id, now=NOW)
        run(session, "DELETE FROM feature_definition")
        run(session, "DELETE FROM static_list")
    problems = check(made.rule, kept.reads(read_surroundings, timezone="UTC"))
    assert [(one.path, one.field) for one in problems] == [((0,), "people"), ((1,), "feature")]
    assert len(kept.reads(keeping.list_segments)) == 2
