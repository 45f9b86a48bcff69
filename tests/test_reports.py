"""Saved reports and static lists: names, versions, the record of who changed them, and who is in a list now."""

import uuid
from datetime import timedelta

import pytest

from gdp_core import reports
from gdp_core.accounts.audit import verify
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import insert, one, rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.reports import Question
from gdp_core.tables.people import Actor

from .conftest import NOW

FUNNEL = Question("funnel", {"steps": [["signup"], ["paid"]], "window": "30d"}, version=2, period="90d", compare="year")
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def people(database, ws):
    """Twenty persons of one identifier each, in order of their ids."""
    return make_people(database, ws, 20)


def make_people(database, ws, count):
    ids = sorted((uuid.uuid5(ws, f"person {n}") for n in range(count)), key=lambda identifier: identifier.int)
    base = {"workspace_id": ws, "namespace": "user", "is_primary": True, "personless": False, "event_count": 0}
    with database.worker.transaction(ws) as session:
        insert(
            session,
            Actor,
            [
                base | {"id": i, "external_id": i.hex, "cluster_id": i, "person_id": i, "applied_at": NOW.isoformat()}
                for i in ids
            ],
        )
    return ids


def merge(database, ws, into, *others):
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE actor SET person_id = :into WHERE id = ANY(:ids)", into=into, ids=list(others))


def do(database, ws, function, *args, role="MEMBER", now=NOW, **named):
    with database.web.transaction(ws) as session:
        return function(session, Principal(None, "ada@acme.example", ws, Role(role)), *args, now=now, **named)


def read(database, ws, function, *args):
    with database.web.transaction(ws, read_only=True) as session:
        return function(session, *args)


def test_a_question_comes_back_as_it_was_saved(database, ws):
    saved = do(database, ws, reports.save_report, "  Signup  to paid ", FUNNEL)
    assert (saved.name, saved.question) == ("Signup to paid", FUNNEL)
    assert (saved.created_at, saved.updated_at) == (NOW, NOW)
    assert read(database, ws, reports.read_report, saved.id) == saved


def test_reports_are_listed_by_name_and_kind(database, ws):
    for name, kind in (("b", "funnel"), ("a", "revenue"), ("c", "funnel")):
        do(database, ws, reports.save_report, name, Question(kind, {}))
    assert [item.name for item in read(database, ws, reports.list_reports)] == ["a", "b", "c"]
    assert [item.name for item in read(database, ws, reports.list_reports, "funnel")] == ["b", "c"]
    other = database.workspace("other")
    assert read(database, other, reports.list_reports) == []


def test_a_name_is_taken_once_in_a_workspace(database, ws):
    first = do(database, ws, reports.save_report, "Signup", FUNNEL)
    second = do(database, ws, reports.save_report, "Other", FUNNEL)
    with pytest.raises(InvalidInput, match="“Signup” already"):
        do(database, ws, reports.save_report, "Signup", FUNNEL)
    with pytest.raises(InvalidInput, match="“Signup” already"):
        do(database, ws, reports.rename_report, second.id, "Signup")
    do(database, database.workspace("other"), reports.save_report, "Signup", FUNNEL)
    do(database, ws, reports.delete_report, first.id)
    do(database, ws, reports.rename_report, second.id, "Signup")
    with pytest.raises(InvalidInput, match="“Signup” already"):
        do(database, ws, reports.restore_report, first.id)


def test_a_report_is_changed_renamed_deleted_and_restored(database, ws):
    saved = do(database, ws, reports.save_report, "Signup", FUNNEL)
    changed = Question("funnel", {"steps": [["a"], ["b"]]}, version=3)
    assert do(database, ws, reports.change_report, saved.id, changed, now=LATER).question == changed
    do(database, ws, reports.rename_report, saved.id, "Better", now=LATER)
    kept = read(database, ws, reports.read_report, saved.id)
    assert (kept.name, kept.question, kept.created_at, kept.updated_at) == ("Better", changed, NOW, LATER)
    do(database, ws, reports.delete_report, saved.id)
    assert read(database, ws, reports.list_reports) == []
    for act in (reports.delete_report, lambda *a, **n: reports.rename_report(*a, "x", **n)):
        with pytest.raises(NotFound, match="deleted"):
            do(database, ws, act, saved.id)
    do(database, ws, reports.restore_report, saved.id)
    assert read(database, ws, reports.read_report, saved.id).name == "Better"
    with pytest.raises(NotFound):
        do(database, ws, reports.restore_report, saved.id)


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        (" \x00 ", FUNNEL, "Give it a name"),
        ("x", Question("Funnel!", {}), "kind"),
        ("x", Question("funnel", {"a": "x" * 70_000}), "too long"),
        ("x", Question("funnel", {"a": object()}), "JSON"),
        ("x", Question("funnel", {1: 2}), "JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused_in_a_sentence(database, ws, name, question, words):
    with pytest.raises(InvalidInput, match=words):
        do(database, ws, reports.save_report, name, question)
    assert read(database, ws, reports.list_reports) == []


def test_every_change_is_in_the_audit_log(database, ws, people):
    saved = do(database, ws, reports.save_report, "Signup", FUNNEL)
    do(database, ws, reports.rename_report, saved.id, "Better")
    do(database, ws, reports.delete_report, saved.id)
    kept = do(database, ws, reports.save_list, "Two", people[:2])
    do(database, ws, reports.delete_list, kept.id)
    with database.web.transaction(ws) as session:
        found = rows(session, "SELECT action, object_kind, object_id, detail FROM audit_log ORDER BY seq")
        assert verify(session) is None
    assert {row.action for row in found} == {"reports.write"}
    assert [(row.object_kind, row.object_id) for row in found] == [("saved_report", str(saved.id))] * 3 + [
        ("static_list", str(kept.id))
    ] * 2
    assert [row.detail for row in found[2:]] == [
        {"name": "Better", "deleted": True},
        {"name": "Two", "people": 2},
        {"name": "Two", "people": 2, "deleted": True},
    ]


def test_a_viewer_saves_nothing(database, ws, people):
    for function, *args in ((reports.save_report, "x", FUNNEL), (reports.save_list, "x", people)):
        with pytest.raises(Forbidden, match="may not save reports and lists of people"):
            do(database, ws, function, *args, role="VIEWER")


def test_a_list_holds_exactly_these_people(database, ws, people):
    kept = do(
        database,
        ws,
        reports.save_list,
        "Dropped",
        [people[3], people[1], people[3]],
        description="after step 2",
        report="Funnel: signup to paid, dropped at step 2",
        snapshot="17",
    )
    assert (kept.people, kept.description, kept.snapshot) == (2, "after step 2", "17")
    assert read(database, ws, reports.read_members, kept.id) == [people[1], people[3]]
    assert read(database, ws, reports.list_lists) == [kept]
    numbers = read(database, ws, reports.read_numbers, kept.id)
    assert len(numbers) == 2
    assert read(database, ws, reports.persons_of, numbers) == [people[1], people[3]]


def test_merges_are_resolved_when_a_list_is_read_and_undone_with_them(database, ws, people):
    kept = do(database, ws, reports.save_list, "Three", people[1:4])
    merge(database, ws, people[0], people[1], people[2])
    assert read(database, ws, reports.read_members, kept.id) == [people[0], people[3]]
    assert len(read(database, ws, reports.read_numbers, kept.id)) == 2
    assert read(database, ws, reports.read_list, kept.id).people == 3
    merge(database, ws, people[1], people[1])
    merge(database, ws, people[2], people[2])
    assert read(database, ws, reports.read_members, kept.id) == people[1:4]


def test_people_merged_before_saving_are_one(database, ws, people):
    merge(database, ws, people[0], people[5])
    kept = do(database, ws, reports.save_list, "One", [people[0], people[5]])
    assert kept.people == 1
    assert read(database, ws, reports.read_members, kept.id) == [people[0]]


def test_strangers_and_nobody_make_no_list(database, ws, people):
    other = database.workspace("other")
    theirs = make_people(database, other, 1)
    for wanted in ([], [uuid.uuid4()], theirs):
        with pytest.raises(InvalidInput, match="nobody"):
            do(database, ws, reports.save_list, "Empty", wanted)
    kept = do(database, ws, reports.save_list, "One", [people[0], *theirs])
    assert read(database, ws, reports.read_members, kept.id) == [people[0]]
    assert read(database, other, reports.read_members, kept.id) == []
    with pytest.raises(InvalidInput, match="“One” already"):
        do(database, ws, reports.save_list, "One", people)


def test_a_list_is_renamed_and_deleted_with_its_members(database, ws, people):
    kept = do(database, ws, reports.save_list, "One", people[:1])
    do(database, ws, reports.rename_list, kept.id, "Uno", description="in Italian", now=LATER)
    found = read(database, ws, reports.read_list, kept.id)
    assert (found.name, found.description, found.updated_at) == ("Uno", "in Italian", LATER)
    do(database, ws, reports.save_list, "Two", people[:2])
    with pytest.raises(InvalidInput, match="“Two” already"):
        do(database, ws, reports.rename_list, kept.id, "Two")
    do(database, ws, reports.delete_list, kept.id)
    with pytest.raises(NotFound):
        read(database, ws, reports.read_list, kept.id)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM static_list_member").n == 2


def test_a_hundred_thousand_people_are_one_statement(database, ws):
    with database.worker.transaction(ws) as session:
        run(
            session,
            "INSERT INTO actor (id, workspace_id, namespace, external_id, cluster_id, person_id, is_primary,"
            " personless, event_count, applied_at) SELECT i, app_ws(), 'user', i::text, i, i, true, false, 0, :now"
            " FROM (SELECT md5(n::text)::uuid AS i FROM generate_series(1, 100000) n) x",
            now=NOW,
        )
        everybody = [row.id for row in rows(session, "SELECT id FROM actor ORDER BY id")]
    kept = do(database, ws, reports.save_list, "Everybody", everybody)
    assert kept.people == 100_000
    assert read(database, ws, reports.read_members, kept.id) == everybody
