"""The list of people: search by any word, filters, and pages of every order in both directions."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdp_core.accounts.roles import Principal, Role
from gdp_core.analytics import people_list
from gdp_core.analytics.people_list import Filter, Place
from gdp_core.db import insert, rows, run
from gdp_core.tables.people import Person, PersonToken
from gdp_core.words import tokens_of

from .conftest import NOW

DAY = timedelta(days=1)


def person(ws, number, *, texts=(), **columns):
    identifier = uuid.uuid5(ws, f"person {number}")
    row = {
        "id": identifier,
        "workspace_id": ws,
        "name": f"Person {number}",
        "email": None,
        "stage": "lead",
        "status": "active",
        "source": "website",
        "plan_name": None,
        "tags": [],
        "metadata": {},
        "is_known": True,
        "is_internal": False,
        "identifiers": 1,
        "active_days": 0,
        "core_actions": 0,
        "total_events": 0,
        "currency": None,
        "total_spent_micros": 0,
        "lifetime_value_micros": 0,
        "mrr_micros": 0,
        "first_seen_at": NOW - 100 * DAY,
        "last_seen_at": NOW - number * DAY,
    } | columns
    tokens = tokens_of([row["name"], row["email"], *texts])
    return row, [{"workspace_id": ws, "token": token, "person_id": identifier} for token in sorted(tokens)]


def store(database, ws, *people):
    with database.worker.transaction(ws) as session:
        insert(session, Person, [row for row, _ in people])
        insert(session, PersonToken, [token for _, tokens in people for token in tokens])


def names(database, ws, wanted, **options):
    with database.web.transaction(ws, read_only=True) as session:
        return [row.name for row in people_list.read_page(session, wanted, NOW, **options).rows]


def walk(database, ws, wanted, size):
    """Every page forwards, then every page backwards from the last."""
    forwards, place = [], None
    with database.web.transaction(ws, read_only=True) as session:
        while True:
            page = people_list.read_page(session, wanted, NOW, place=place, size=size)
            forwards.append([row.id for row in page.rows])
            if page.next is None:
                break
            place = Place.parse(page.next.text, wanted.sort)
            assert place == page.next
        backwards = [forwards[-1]]
        while page.previous is not None:
            page = people_list.read_page(session, wanted, NOW, place=page.previous, size=size)
            backwards.append([row.id for row in page.rows])
    return forwards, backwards[::-1]


@pytest.fixture
def crowd(database, ws):
    store(
        database,
        ws,
        person(ws, 1, name="Ada Lovelace", email="ada@acme.example", texts=["user_1815", "+491701234567"]),
        person(ws, 2, name="Adam Smith", email="adam.smith@acme.example", stage="active", plan_name="Pro"),
        person(ws, 3, name="Zoë O'Neil-Ström", email="zoe@other.example", source="paid_ads"),
        person(ws, 40, name="Silent Sam", stage="churned"),
        person(ws, 5, name=None, is_known=False, stage=None, source=None, texts=["anon-77"]),
        person(ws, 6, name="Ina House", email="ina@company.example", is_internal=True),
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ada", ["Ada Lovelace", "Adam Smith"]),
        ("ADA LOVE", ["Ada Lovelace"]),
        ("lovelace ada", ["Ada Lovelace"]),
        ("ada@acme.example", ["Ada Lovelace"]),
        ("ada@ac", ["Ada Lovelace"]),
        ("acme", ["Ada Lovelace", "Adam Smith"]),
        ("ada smith", ["Adam Smith"]),
        ("user_1815", ["Ada Lovelace"]),
        ("+49 170 123-45", ["Ada Lovelace"]),
        ("zoe", ["Zoë O'Neil-Ström"]),
        ("ZOË  strom", ["Zoë O'Neil-Ström"]),
        ("o'neil", ["Zoë O'Neil-Ström"]),
        ("oneil", []),
        ("anon-77", [None]),
        ("lace", []),
        ("ada nobody", []),
        ("ada%", []),
        ("_", []),
        ("\x00", []),
        ("'; DROP TABLE person; --", []),
        ("\U0010ffff", []),
    ],
)
def test_search_by_the_start_of_any_word(database, ws, crowd, words, found):
    assert names(database, ws, Filter(words=words)) == found
    with database.web.transaction(ws, read_only=True) as session:
        assert people_list.count(session, Filter(words=words), NOW) == people_list.Count(len(found), exact=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["Ada Lovelace", "Adam Smith", "Zoë O'Neil-Ström", None, "Silent Sam"]),
        (Filter(stages=("active", "churned")), ["Adam Smith", "Silent Sam"]),
        (Filter(sources=("paid_ads",)), ["Zoë O'Neil-Ström"]),
        (Filter(plans=("Pro",)), ["Adam Smith"]),
        (Filter(activity="active_30"), ["Ada Lovelace", "Adam Smith", "Zoë O'Neil-Ström", None]),
        (Filter(activity="silent_30"), ["Silent Sam"]),
        (Filter(known="anonymous"), [None]),
        (Filter(known="known", activity="silent_30"), ["Silent Sam"]),
        (Filter(internal="only"), ["Ina House"]),
        (Filter(internal="with", words="ina"), ["Ina House"]),
        (Filter(words="ina"), []),
        (Filter(words="ada", stages=("active",)), ["Adam Smith"]),
    ],
)
def test_filters(database, ws, crowd, wanted, found):
    assert names(database, ws, wanted) == found


def test_internal_people_stay_out_unless_asked_for(database, ws, crowd):
    assert "Ina House" in names(database, ws, Filter(internal="with"))
    assert "Ina House" not in names(database, ws, Filter())


def test_nobody_of_another_workspace_is_found(database, ws, crowd):
    other = database.workspace("other")
    assert names(database, other, Filter(internal="with")) == []
    assert names(database, other, Filter(words="ada")) == []


@pytest.mark.parametrize("sort", list(people_list.SORTS))
@pytest.mark.parametrize("descending", [True, False])
def test_pages_hold_everybody_once_in_both_directions(database, ws, sort, descending):
    people = []
    for number in range(23):
        people.append(
            person(
                ws,
                number,
                last_seen_at=None if number % 7 == 0 else NOW - (number % 4) * DAY,
                first_seen_at=None if number % 9 == 0 else NOW - (number % 3) * DAY,
                total_spent_micros=(number % 3) * 1_000_000,
                mrr_micros=(number % 2) * 1_000_000,
            )
        )
    store(database, ws, *people)
    for size in (1, 4, 22, 23, 24):
        forwards, backwards = walk(database, ws, Filter(sort=sort, descending=descending), size)
        assert forwards == backwards
        ids = [identifier for page in forwards for identifier in page]
        assert len(ids) == len(set(ids)) == 23
    column = people_list.SORTS[sort]
    values = {row["id"]: row[column] for row, _ in people}
    order = [_rank(values[identifier], identifier) for identifier in ids]
    assert order == sorted(order, reverse=descending)


def _rank(value, identifier):
    number = value.timestamp() if hasattr(value, "timestamp") else value
    return (value is None, number or 0, identifier)


@given(text=st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_place_from_a_url_is_a_place_or_nothing(text):
    for sort in people_list.SORTS:
        found = Place.parse(text, sort)
        assert found is None or Place.parse(found.text, sort) == found


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(words=st.text(max_size=60))
def test_no_search_text_breaks_anything(database, ws, words):
    names(database, ws, Filter(words=words))


def test_common_words_are_intersected_or_asked(database, ws, crowd, monkeypatch):
    """The three ways of finding the same people agree."""
    expected = names(database, ws, Filter(words="ada acme"))
    assert expected == ["Ada Lovelace", "Adam Smith"]
    for few, many in ((0, 1000), (0, 0), (1000, 0), (1000, 1000)):
        monkeypatch.setattr(people_list, "_FEW", few)
        monkeypatch.setattr(people_list, "_MANY", many)
        assert names(database, ws, Filter(words="ada acme")) == expected
        assert names(database, ws, Filter(words="ada smith")) == ["Adam Smith"]
        assert names(database, ws, Filter(words="ada"), size=1) == ["Ada Lovelace"]
        assert names(database, ws, Filter(words="ada", sort="first_seen", descending=False), size=9) != []


def test_a_count_says_when_it_stopped(database, ws, monkeypatch):
    store(database, ws, *(person(ws, number, name=f"Same {number}") for number in range(12)))
    monkeypatch.setattr(people_list, "MOST_COUNTED", 10)
    with database.web.transaction(ws, read_only=True) as session:
        assert people_list.count(session, Filter(), NOW) == people_list.Count(10, exact=False)
        assert people_list.count(session, Filter(words="same"), NOW) == people_list.Count(10, exact=False)
        assert people_list.count(session, Filter(words="same 11"), NOW) == people_list.Count(1, exact=True)


def test_the_stream_has_everybody_once(database, ws, monkeypatch):
    monkeypatch.setattr(people_list, "_EXPORT_PAGE", 5)
    store(database, ws, *(person(ws, number) for number in range(17)))
    found = [row.name for row in people_list.stream(database.web, ws, Filter(), NOW)]
    assert len(found) == len(set(found)) == 17


def test_a_word_search_uses_its_index_under_row_level_security(database, ws):
    """At 60,000 tokens the plan of a prefix is an index range of the workspace, never a scan of the table."""
    with database.worker.transaction(ws, timeout=120) as session:
        run(
            session,
            "INSERT INTO person_token (workspace_id, token, person_id)"
            " SELECT app_ws(), md5(i::text), gen_random_uuid() FROM generate_series(1, 60000) i",
        )
    import psycopg

    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("ANALYZE person_token")
    with database.web.transaction(ws, read_only=True) as session:
        plan = "\n".join(
            row[0]
            for row in rows(
                session,
                "EXPLAIN SELECT t.person_id FROM person_token t WHERE t.token >= :w AND t.token < :e",
                w="c4ca",
                e="c4ca\U0010ffff",
            )
        )
    assert "person_token_pkey" in plan
    assert "Index Cond" in plan
    assert "token >=" in plan.split("Index Cond", 1)[1]
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ada@acme.example", ["Ada Lovelace"]),
        ("ADA lovelace", ["Ada Lovelace"]),
        ("user_1815", ["Ada Lovelace"]),
        ("ada smith", []),  # he is Adam
        ("ad", []),
        ("ada@ac", []),
        ("user_181", []),
        ("", ["Ada Lovelace", "Adam Smith", "Zoë O'Neil-Ström", None, "Silent Sam"]),
    ],
)
@pytest.mark.parametrize("many", [people_list._MANY, -1], ids=["few", "more than can be collected"])
def test_who_sees_people_masked_cannot_spell_an_address_out(database, ws, crowd, words, found, many, monkeypatch):
    monkeypatch.setattr(people_list, "_MANY", many)
    monkeypatch.setattr(people_list, "_FEW", many)
    viewer = Principal(uuid.uuid4(), "v@x.test", ws, Role.VIEWER)
    wanted = people_list.asked_by(viewer, Filter(words=words))
    assert names(database, ws, wanted) == found
    assert wanted.is_plain is not bool(words)
    for role in (Role.MEMBER, Role.ADMIN, Role.OWNER):
        member = Principal(uuid.uuid4(), "m@x.test", ws, role)
        assert people_list.asked_by(member, Filter(words=words)) == Filter(words=words)
