"""The lake holds what Postgres holds: after any sequence of flushes, deaths, writers beside it, rebuilds and erasures."""

import random
import threading
from datetime import timedelta

import pytest

from gdp_core.db import one, run
from gdp_core.errors import Unavailable
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import schema_of
from gdp_core.lake.writing import compare, ensure, flush, rebuild

from . import history
from .conftest import NOW
from .test_pipeline import batch, delivery, drain, identify, put, track


@pytest.fixture
def lake(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="500MB") as opened:
        yield opened


@pytest.fixture
def ws(database):
    return database.workspace()


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def count(lake, ws, table="event"):
    with lake.reading() as cursor:
        return cursor.execute(f"SELECT count(*) FROM {schema_of(ws)}.{table}").fetchone()[0]


def is_equal(lake, ws):
    found = compare(lake, ws)
    assert all(table.same for table in found), found
    return {table.table: table.here for table in found}


def test_an_event_is_there_once_however_often_it_is_flushed(database, lake, ws, segment):
    put(database, delivery(ws, segment, batch(track(message="m1"), track(message="m2"), identify(message="i1"))))
    drain(database, ws)
    first = flush(lake, database.worker, ws, NOW)
    assert (first.events, first.people) == (3, 1)
    again = flush(lake, database.worker, ws, NOW)
    assert again.is_nothing
    assert is_equal(lake, ws) == {"event": 3, "actor": 1, "person": 1}


def test_nothing_to_do_on_an_empty_workspace(database, lake, ws):
    assert flush(lake, database.worker, ws, NOW).is_nothing
    assert is_equal(lake, ws) == {"event": 0, "actor": 0, "person": 0}


@pytest.mark.parametrize("seed", range(3))
def test_it_follows_merges_replacements_and_machines(database, lake, seed):
    """Histories where everything collides, flushed at any moment; every row equals Postgres's each time."""
    rng = random.Random(seed)
    tenants = history.tenants(database, "acme", "other")
    deliveries = [item for tenant in tenants for item in history.history(tenant, seed)]
    rng.shuffle(deliveries)
    for start in range(0, len(deliveries), max(1, len(deliveries) // 5)):
        history.put(database, deliveries[start : start + max(1, len(deliveries) // 5)])
        history.drain(database, [tenant.id for tenant in tenants])
        for tenant in tenants:
            if rng.random() < 0.7:
                flush(lake, database.worker, tenant.id, NOW)
    for tenant in tenants:
        flush(lake, database.worker, tenant.id, NOW)
        incremental = is_equal(lake, tenant.id)
        assert incremental["event"] > 20
        rebuild(lake, database.worker, tenant.id, NOW)
        assert is_equal(lake, tenant.id) == incremental


def test_a_transaction_that_commits_late_is_not_missed(database, lake, ws, segment):
    """Its number is lower than those that were flushed before it ended."""
    began, may_end = threading.Event(), threading.Event()

    def slow():
        with database.worker.transaction(ws) as session:
            run(
                session,
                "INSERT INTO event SELECT gen_random_uuid(), workspace_id, occurred_at, actor_id, 'late', type, category,"
                " source, source_id, 'late', session_id, device_id, ip, user_agent, referrer, url, utm_source, utm_medium,"
                " utm_campaign, utm_term, utm_content, gclid, fbclid, ttclid, value_micros, currency, is_machine, properties,"
                " metadata, received_at, applied_at FROM event",
            )
            began.set()
            may_end.wait(20)

    put(database, delivery(ws, segment, batch(track(message="m1"))))
    drain(database, ws)
    writer = threading.Thread(target=slow)
    writer.start()
    assert began.wait(20)
    put(database, delivery(ws, segment, batch(track(message="m2", user="u2"), at=NOW + timedelta(seconds=1))))
    drain(database, ws)
    before = flush(lake, database.worker, ws, NOW)
    assert before.events == 1  # the second came after the slow one began
    state = complete_at(database, ws)
    assert state is None
    may_end.set()
    writer.join()
    after = flush(lake, database.worker, ws, NOW + timedelta(minutes=1))
    assert after.events == 2
    assert is_equal(lake, ws)["event"] == 3
    assert complete_at(database, ws) == NOW + timedelta(minutes=1)


def complete_at(database, ws):
    with database.worker.transaction(ws) as session:
        return one(session, "SELECT complete_at FROM ops.lake_state WHERE workspace_id = :ws", ws=ws).complete_at


def test_what_waits_in_the_inbox_keeps_the_present_from_being_complete(database, lake, ws, segment):
    put(database, delivery(ws, segment, batch(track()), at=NOW - timedelta(minutes=5)))
    flush(lake, database.worker, ws, NOW)
    assert complete_at(database, ws) == NOW - timedelta(minutes=5)
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    assert complete_at(database, ws) == NOW


def test_of_two_writers_one_wins_and_nothing_is_there_twice(database, tmp_path, ws, segment):
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n % 7}") for n in range(200)))))
    drain(database, ws)
    with Lake(database.dsn, str(tmp_path / "lake")) as one_lake, Lake(database.dsn, str(tmp_path / "lake")) as other:
        ensure(one_lake, ws)
        barrier, outcomes = threading.Barrier(2), []

        def work(lake):
            barrier.wait(20)
            try:
                outcomes.append(flush(lake, database.worker, ws, NOW).events)
            except Unavailable:
                outcomes.append("lost")

        writers = [threading.Thread(target=work, args=(lake,)) for lake in (one_lake, other)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(map(str, outcomes)) in (["200", "lost"], ["0", "200"])
        assert is_equal(one_lake, ws)["event"] == 200


def test_a_postgres_restored_from_a_backup_is_noticed(database, lake, ws, segment):
    put(database, delivery(ws, segment, batch(track())))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    with lake.transaction() as cursor:
        cursor.execute(f"UPDATE {schema_of(ws)}.progress SET tx = tx + 1000000")
    with pytest.raises(Unavailable, match="lake rebuild"):
        flush(lake, database.worker, ws, NOW)
    rebuild(lake, database.worker, ws, NOW)
    assert is_equal(lake, ws)["event"] == 1
