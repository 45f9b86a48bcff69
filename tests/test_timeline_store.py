"""A timeline is the lake in person order: after any changes, opened by anybody, with any column, made again when damaged."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import product
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest

from gdp_core import clock
from gdp_core.analytics.calendar import micros
from gdp_core.db import rows, run
from gdp_core.errors import InvalidInput, Unavailable
from gdp_core.lake.connection import Lake
from gdp_core.lake.upkeep import GRACE, maintain
from gdp_core.lake.writing import flush, watermark
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import read
from gdp_core.timeline import files, following, matching
from gdp_core.timeline import store as storing
from gdp_core.timeline.arrays import MISSING, NOTHING
from gdp_core.timeline.files import Damaged
from gdp_core.timeline.matching import Condition, Match
from gdp_core.timeline.some import some
from gdp_core.timeline.store import Store
from gdp_core.timeline.values import Block, Values

from . import history
from .conftest import NOW
from .test_pipeline import batch, delivery, drain, identify, put, track


@pytest.fixture
def lake(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="500MB") as opened:
        yield opened


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def brought_up(database, lake, store, ws, now=NOW):
    flush(lake, database.worker, ws, now)
    store.refresh(lake, since=watermark(lake, ws), complete_at=micros(now))
    return store.open(lake)


def in_postgres(database, ws):
    """{person's number: [(at, name, utm_source, a property)]} of who is not internal, in the order of ties."""
    with database.worker.transaction(ws, read_only=True) as session:
        found = rows(
            session,
            "SELECT pa.number, e.occurred_at, e.name, e.utm_source, e.properties ->> 'plan' AS plan FROM event e"
            " JOIN actor a ON a.id = e.actor_id JOIN person p ON p.id = a.person_id JOIN actor pa ON pa.id = p.id"
            " JOIN source_instance s ON s.id = e.source_id WHERE NOT p.is_internal ORDER BY pa.number, e.occurred_at,"
            " CASE s.source WHEN 'segment' THEN 20 WHEN 'posthog' THEN 10 WHEN 'import' THEN 5 WHEN 'resend' THEN 30 ELSE 40 END,"
            " e.id",
        )
    told = {}
    for row in found:
        told.setdefault(row.number, []).append((micros(row.occurred_at), row.name, row.utm_source, row.plan))
    return told


def in_timeline(timeline):
    source, plan = timeline.columns.event("utm_source"), timeline.columns.event("plan")

    def value(column, shard, row):
        code = column.codes[shard][row]
        return None if code == MISSING else column.values[code]

    told = {}
    for number, shard in enumerate(timeline.shards):
        for index, person in enumerate(shard.people):
            for row in range(shard.offsets[index], shard.offsets[index + 1]) if shard.live[index] else ():
                told.setdefault(int(timeline.numbers[person]), []).append(
                    (
                        int(shard.at[row]),
                        timeline.names[shard.code[row]],
                        value(source, number, row),
                        None if (found := value(plan, number, row)) is None else str(found),
                    )
                )
    return told


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 6))])
def test_it_is_what_postgres_says_after_any_changes(database, lake, tmp_path, seed):
    rng = random.Random(seed)
    (tenant,) = history.tenants(database, "acme")
    deliveries = history.history(tenant, seed)
    rng.shuffle(deliveries)
    store = Store(tmp_path / "timeline", tenant.id)
    step = max(1, len(deliveries) // 4)
    for start in range(0, len(deliveries), step):
        history.put(database, deliveries[start : start + step])
        history.drain(database, [tenant.id])
        timeline = brought_up(database, lake, store, tenant.id)
        everything = in_timeline(timeline)
        assert everything == in_postgres(database, tenant.id)
        for places in (np.arange(0, timeline.people, 3), *np.arange(timeline.people)[-5:, None]):
            chosen = some(timeline, places)
            wanted = set(timeline.numbers[places].tolist())
            assert in_timeline(chosen) == {number: told for number, told in everything.items() if number in wanted}
            assert set(chosen.numbers.tolist()) == wanted
    assert len(timeline.shards[1].at) > 0  # a base of the first quarter, and a layer of what followed
    store.refresh(lake, since=watermark(lake, tenant.id), complete_at=micros(NOW), afresh=True)
    afresh = store.open(lake)
    assert len(afresh.shards[1].at) == 0
    assert in_timeline(afresh) == in_postgres(database, tenant.id)


def told_of_people(timeline, field):
    column = timeline.columns.person(field)
    return [None if code == MISSING else column.values[code] for code in column.codes]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.heavy)])
def test_fields_of_people_are_those_of_now_whatever_the_base_knew(database, lake, tmp_path, seed):
    rng = random.Random(seed)
    (tenant,) = history.tenants(database, "acme")
    deliveries = history.history(tenant, seed)
    rng.shuffle(deliveries)
    store, fields = Store(tmp_path / "timeline", tenant.id), ("stage", "email", "total_events", "signup_at", "plan")
    for part in (deliveries[: len(deliveries) // 2], deliveries[len(deliveries) // 2 :]):
        history.put(database, part)
        history.drain(database, [tenant.id])
        timeline = brought_up(database, lake, store, tenant.id)
        for field in fields:  # kept beside the base when it is asked for the first time
            told_of_people(timeline, field)
    store.refresh(lake, since=watermark(lake, tenant.id), complete_at=micros(NOW), afresh=True)
    afresh = store.open(lake)
    assert afresh.numbers.tolist() == timeline.numbers.tolist()
    for field in fields:
        assert told_of_people(timeline, field) == told_of_people(afresh, field), field
        whole = timeline.columns.whole(field)
        if whole is not None:
            assert whole.tolist() == afresh.columns.whole(field).tolist()
            assert whole.tolist() == [NOTHING if value is None else value for value in told_of_people(afresh, field)]
    assert [timeline.columns.whole(field) is None for field in fields] == [True, True, False, False, True]


def test_internal_people_do_not_count_and_are_back_when_the_rule_goes(database, lake, tmp_path, ws, segment):
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(track(message="m1", user="u1"), track(message="m2", user="u2"))))
    drain(database, ws)
    assert len(in_timeline(brought_up(database, lake, store, ws))) == 2
    with database.worker.transaction(ws) as session:
        run(
            session,
            "UPDATE person SET is_internal = true, tx = pg_current_xact_id() FROM actor a"
            " WHERE a.id = person.id AND a.external_id = 'u1'",
        )
    timeline = brought_up(database, lake, store, ws)
    assert in_timeline(timeline) == in_postgres(database, ws)
    assert len(in_timeline(timeline)) == 1


def test_without_news_it_is_complete_until_later(database, lake, tmp_path, ws, segment):
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(track(message="m1", user="u1"))))
    drain(database, ws)
    first = brought_up(database, lake, store, ws)
    later = brought_up(database, lake, store, ws, NOW + timedelta(minutes=2))
    assert later.watermark - first.watermark == 120_000_000
    assert in_timeline(later) == in_timeline(first) == in_postgres(database, ws)


def test_a_large_layer_becomes_a_new_base(database, lake, tmp_path, ws, segment, monkeypatch):
    monkeypatch.setattr(storing, "_LARGE", 3)
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}") for n in range(20)))))
    drain(database, ws)
    brought_up(database, lake, store, ws)
    first = store.latest().base
    put(database, delivery(ws, segment, batch(*(track(message=f"n{n}", user=f"u{n}") for n in range(10)))))
    drain(database, ws)
    timeline = brought_up(database, lake, store, ws)
    assert store.latest().base != first
    assert in_timeline(timeline) == in_postgres(database, ws)


def test_who_opened_it_reads_on_while_it_is_replaced(database, lake, tmp_path, ws, segment, monkeypatch):
    monkeypatch.setattr(storing, "_LARGE", 1)
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}") for n in range(20)))))
    drain(database, ws)
    opened = brought_up(database, lake, store, ws)
    before = in_timeline(opened)
    for round_ in range(6):
        put(database, delivery(ws, segment, batch(*(track(message=f"{round_}n{n}", user=f"u{n}") for n in range(20)))))
        drain(database, ws)
        brought_up(database, lake, store, ws)
    assert in_timeline(opened) == before


def opened_while_replaced(database, lake, store, ws, segment, monkeypatch):
    """What a reader finds that is overtaken by four new timelines after each file it has opened; None: nothing whole."""
    read, turns = storing.files.read, iter(range(2))

    def overtaken(folder):
        found = read(folder)
        if (turn := next(turns, None)) is not None:
            monkeypatch.setattr(storing.files, "read", read)
            for again in range(4):
                calls = (track(message=f"{turn}{again}{n}", user=f"new-{turn}-{again}-{n}") for n in range(3))
                put(database, delivery(ws, segment, batch(*calls)))
                drain(database, ws)
                flush(lake, database.worker, ws, NOW)
                store.refresh(lake, since=watermark(lake, ws), complete_at=micros(NOW), afresh=True)
            monkeypatch.setattr(storing.files, "read", overtaken)
        return found

    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}") for n in range(5)))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    store.refresh(lake, since=watermark(lake, ws), complete_at=micros(NOW), afresh=True)
    monkeypatch.setattr(storing.files, "read", overtaken)
    try:
        return in_timeline(store.open(lake))
    except (Damaged, IndexError, ValueError):
        return None


def test_a_reader_who_is_overtaken_sees_one_timeline(database, lake, tmp_path, ws, segment, monkeypatch):
    store = Store(tmp_path / "timeline", ws)
    assert opened_while_replaced(database, lake, store, ws, segment, monkeypatch) == in_postgres(database, ws)


def test_a_timeline_replaced_in_its_place_is_caught(database, lake, tmp_path, ws, segment, monkeypatch):
    """The mutant: folders that keep their names, and the reader has people of one with the places of the next."""
    monkeypatch.setattr(storing, "_named", lambda kind, _version: kind)
    store = Store(tmp_path / "timeline", ws)
    assert opened_while_replaced(database, lake, store, ws, segment, monkeypatch) != in_postgres(database, ws)


def test_of_two_who_want_a_column_one_makes_it(database, lake, tmp_path, ws, segment, monkeypatch):
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}", plan=f"p{n}") for n in range(9)))))
    drain(database, ws)
    brought_up(database, lake, store, ws)
    asked = []
    scanned = storing.scan.event_column
    monkeypatch.setattr(storing.scan, "event_column", lambda *given: asked.append(given) or scanned(*given))
    with ThreadPoolExecutor(4) as readers:
        columns = list(readers.map(lambda _: store.open(lake).columns.event("plan"), range(4)))
    assert len(asked) == 2  # of the base and of the layer
    assert all(column.values == columns[0].values and len(column.values) == 9 for column in columns)


def test_a_property_is_promoted_by_its_use(database, lake, tmp_path, ws, segment, monkeypatch):
    """Once coded it is read from files; what has changed since is coded by itself; a new base starts again."""
    store, asked = Store(tmp_path / "timeline", ws), []
    scanned = storing.scan.event_column
    monkeypatch.setattr(storing.scan, "event_column", lambda *given: asked.append(len(given) > 5) or scanned(*given))
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}", plan="pro") for n in range(9)))))
    drain(database, ws)
    brought_up(database, lake, store, ws)
    assert store.open(lake).columns.event("plan").values == ("pro",)
    assert sorted(asked) == [False, True]  # everybody of the base, and the people of an empty layer
    assert in_timeline(store.open(lake)) == in_postgres(database, ws)
    asked.clear()
    assert store.open(lake).columns.event("plan").values == ("pro",)
    assert asked == []
    put(database, delivery(ws, segment, batch(track(message="n1", user="u1", plan="team"))))
    drain(database, ws)
    timeline = brought_up(database, lake, store, ws)
    assert timeline.columns.event("plan").values == ("pro", "team")
    assert asked == [True]
    chosen = matching.mark(timeline, [Match((), (Condition("plan", "is", ("team",)),))])
    assert sum(int((chosen.bits[codes] & 1).sum()) for codes in chosen.codes) == 1
    assert in_timeline(timeline) == in_postgres(database, ws)


def test_what_is_damaged_is_noticed_and_made_again(database, lake, tmp_path, ws, segment):
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n % 3}") for n in range(20)))))
    drain(database, ws)
    following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)
    there = in_postgres(database, ws)
    for harm, of in product(("gone", "cut", "changed", "no manifest"), ("base", "layer")):
        file = "manifest.json" if harm == "no manifest" else "at.npy" if of == "base" else "numbers.npy"
        path = store.folder / getattr(store.latest(), of) / file
        content = bytearray(path.read_bytes())
        path.unlink()
        if harm == "cut":
            path.write_bytes(content[:-8])
        elif harm == "changed":
            content[-1] ^= 1
            path.write_bytes(content)
        with pytest.raises(Damaged):
            store.open(lake)
        assert not store.is_whole()
        following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)  # with no news at all
        assert in_timeline(store.open(lake)) == there, (harm, of)


def test_a_turn_that_died_between_the_lake_and_the_timeline_is_made_good_by_the_next(
    database, lake, tmp_path, ws, segment
):
    for message in ("m1", "m2"):
        put(database, delivery(ws, segment, batch(track(message=message, user="u1"))))
        drain(database, ws)
        flush(lake, database.worker, ws, NOW)  # and here it died
        following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)  # without further news
        assert in_timeline(Store(tmp_path / "timeline", ws).open(lake)) == in_postgres(database, ws)


def test_renewed_wholly_nothing_older_is_left(database, lake, tmp_path, ws, segment):
    store = Store(tmp_path / "timeline", ws)
    for message in ("m1", "m2"):
        put(database, delivery(ws, segment, batch(track(message=message, user="u1", plan="aardvark"))))
        drain(database, ws)
        following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)
        store.open(lake).columns.event("plan")
    assert b"aardvark" in b"".join(path.read_bytes() for path in store.folder.rglob("*.*"))
    with ThreadPoolExecutor(1) as beside, files.alone(store.folder):  # another process is at it, and is waited for
        renewed = beside.submit(following.renew, lake, database.worker, tmp_path / "timeline", ws, wholly=True)
        with pytest.raises(TimeoutError):
            renewed.result(0.2)
    latest = store.latest()
    assert {path.name for path in store.folder.iterdir()} == {latest.base, latest.layer, "latest.json", ".lock"}
    assert b"aardvark" not in b"".join(path.read_bytes() for path in store.folder.rglob("*.*"))
    assert in_timeline(store.open(lake)) == in_postgres(database, ws)


def test_columns_are_read_where_none_can_be_kept(database, lake, tmp_path, ws, segment):
    """The folder is read only, or the disk is full."""
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(track(message="m1", user="u1", plan="pro"))))
    drain(database, ws)
    timeline = brought_up(database, lake, store, ws)
    for part in (store.latest().base, store.latest().layer):
        (store.folder / f"column-{part}").write_bytes(b"in the way")
    assert timeline.columns.event("plan").values == ("pro",)


def test_of_a_version_that_is_gone_one_is_told_so(database, lake, tmp_path, ws, segment):
    store = Store(tmp_path / "timeline", ws)
    put(database, delivery(ws, segment, batch(track(message="m1", user="u1", plan="pro"))))
    drain(database, ws)
    following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)
    timeline = store.open(lake)
    put(database, delivery(ws, segment, batch(track(message="m2", user="u1", plan="pro"))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    maintain(lake, database.worker, [ws], clock.now() + 2 * GRACE)
    with pytest.raises(Unavailable):
        timeline.columns.event("plan")
    following.follow(lake, database.worker, tmp_path / "timeline", ws, NOW)
    assert store.open(lake).columns.event("plan").values == ("pro",)


def test_a_property_of_any_name_is_read(database, lake, tmp_path, ws, segment):
    names = ["*", "", "a.b", 'a"b', "a\\b", "a/b", "~1", "$", "#", "[0]"]
    put(
        database, delivery(ws, segment, batch(track(message="m1", user="u1", **{name: f"of {name}" for name in names})))
    )
    drain(database, ws)
    timeline = brought_up(database, lake, Store(tmp_path / "timeline", ws), ws)
    assert [timeline.columns.event(name).values for name in names] == [(f"of {name}",) for name in names]
    assert timeline.columns.person("*").values == ()


def test_rules_and_reports_ask_for_the_names_and_phones_of_people(database, lake, tmp_path, ws, segment):
    """Postgres has a column for each, so they are no traits."""
    store = Store(tmp_path / "timeline", ws)
    ada = identify("ada", message="i1", phone="+4930901820", first_name="Ada", last_name="Lovelace")
    put(
        database,
        delivery(ws, segment, batch(ada, identify("bob", message="i2", first_name="Bob", email="b@b.example"))),
    )
    drain(database, ws)
    timeline = brought_up(database, lake, store, ws)
    is_ada = timeline.columns.person("first_name").codes == 0
    if timeline.columns.person("first_name").values[0] != "Ada":
        is_ada = ~is_ada
    facts = Facts(timeline, micros(NOW), Surroundings(ZoneInfo("UTC")))

    def held(**asked):
        rule = read({"match": {"kind": "all", "of": [{"kind": "person", **asked}]}})
        return rule.holds(facts).tolist()

    assert held(field="first_name", op="is", values=["ada"]) == is_ada.tolist()
    assert held(field="last_name", op="set") == is_ada.tolist()
    assert held(field="phone", op="not_set") == (~is_ada).tolist()
    assert held(field="phone", op="starts_with", values=["+49"]) == is_ada.tolist()
    assert (
        matching.people(timeline, (Condition("person.last_name", "contains", ("love",)),)).tolist() == is_ada.tolist()
    )


def test_what_comes_again_and_again_takes_the_room_of_one(monkeypatch):
    monkeypatch.setattr(storing.scan, "_BATCH", 2048)
    monkeypatch.setattr(storing.scan, "MOST_BYTES", 1500)  # three batches' dictionaries
    query = (
        "SELECT i AS key, CASE WHEN i % 12 < 2 THEN 'null' ELSE '\"' || repeat('x', 30) || i % 12 || '\"' END AS value"
    )
    coded = storing.scan._coded(duckdb.connect(), f"{query} FROM range(20000) t(i) ORDER BY i", [], "plan")
    values = Values(Block.read(coded.texts))
    assert coded.key.tolist() == list(range(20000))
    assert [values[code] if code >= 0 else None for code in coded.codes.tolist()] == [
        None if i % 12 < 2 else f"{'x' * 30}{i % 12}" for i in range(20000)
    ]
    assert len(values) == 10


def test_lists_and_null_are_read_and_too_much_is_refused(database, lake, tmp_path, ws, segment, monkeypatch):
    store = Store(tmp_path / "timeline", ws)
    plans = ["pro", None, "free", 10, "10", "pro", "pro", ["a"], {"b": None}]
    tracks = (track(message=f"m{n}", user=f"u{n}", plan=plan) for n, plan in enumerate(plans))
    put(database, delivery(ws, segment, batch(*tracks)))
    drain(database, ws)
    brought_up(database, lake, store, ws)
    timeline = store.open(lake)
    column = timeline.columns.event("plan")
    told = [column.values[code] if code >= 0 else None for code in column.codes[0].tolist()]
    assert sorted(map(str, told)) == sorted(["pro", "None", "free", "10", "10", "pro", "pro", '["a"]', '{"b":null}'])
    assert len(column.values) == 6
    monkeypatch.setattr(storing.scan, "MOST_VALUES", 5)
    version = storing.scan.version(lake)
    with pytest.raises(InvalidInput, match="plan has too many different values, 6"):
        storing.scan.event_column(lake, ws, version, "plan", storing.scan.who(lake, ws, version))


def test_there_is_none_before_the_first_refresh(lake, tmp_path, ws):
    with pytest.raises(Damaged):
        Store(tmp_path / "timeline", ws).open(lake)


def test_an_empty_workspace(database, lake, tmp_path, ws):
    timeline = brought_up(database, lake, Store(tmp_path / "timeline", ws), ws)
    assert (timeline.people, timeline.names) == (0, ())
    assert np.array_equal(timeline.columns.event("plan").codes[0], [])
    assert len(timeline.columns.person("stage").codes) == 0


def test_one_process_at_a_time_brings_it_up(database, lake, tmp_path, ws):
    store = Store(tmp_path / "timeline", ws)
    flush(lake, database.worker, ws, NOW)
    with files.alone(store.folder):
        assert not store.refresh(lake, since=0, complete_at=1)
    assert store.refresh(lake, since=0, complete_at=1)
    shutil.rmtree(store.folder)
