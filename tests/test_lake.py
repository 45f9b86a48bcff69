"""The lake holds what Postgres holds: after any sequence of flushes, deaths, writers beside it, rebuilds and erasures."""

import random
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow.parquet as pq
import pytest

from gdp_core import clock, people, retention
from gdp_core.db import one, rows, run
from gdp_core.errors import NotFound, Unavailable
from gdp_core.lake import connection, upkeep, writing
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import schema_of
from gdp_core.lake.upkeep import GRACE, erase, maintain
from gdp_core.lake.writing import compare, ensure, flush, rebuild

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


def test_a_lake_of_an_earlier_release_gets_the_columns_it_lacks(database, lake, ws, segment):
    put(
        database,
        delivery(ws, segment, batch(identify(message="i1", tags=["vip"], phone="+4930901820"), track(message="m1"))),
    )
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    with lake.transaction() as cursor:
        for column in ("tags", "subscription_status", "mrr_micros", "phone"):
            cursor.execute(f"ALTER TABLE {schema_of(ws)}.person DROP COLUMN {column}")
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE person SET tx = pg_current_xact_id()")  # as the migration that adds one does
    assert flush(lake, database.worker, ws, NOW).people == 1
    assert is_equal(lake, ws)["person"] == 1
    with lake.reading() as cursor:
        last = f"SELECT tags, mrr_micros, phone FROM {schema_of(ws)}.person ORDER BY tx DESC LIMIT 1"
        assert cursor.execute(last).fetchone() == ('["vip"]', 0, "+4930901820")


def refreshed(database, ws):
    with database.worker.transaction(ws) as session:
        found = [row.id for row in rows(session, "SELECT id FROM person")]
        people.refresh(session, ws, found, NOW)


def test_a_person_is_sent_again_only_when_something_of_theirs_changed(database, lake, ws, segment):
    put(database, delivery(ws, segment, batch(identify(message="i1", email="ada@acme.example"), track(message="m1"))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    refreshed(database, ws)
    assert flush(lake, database.worker, ws, NOW).is_nothing
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE actor SET tx = pg_current_xact_id()")  # as when the component around it changes
    refreshed(database, ws)
    again = flush(lake, database.worker, ws, NOW)
    assert (again.actors > 0, again.people) == (True, 1)
    assert is_equal(lake, ws)["person"] == 1
    put(database, delivery(ws, segment, batch(track(message="m2"))))
    drain(database, ws)
    assert flush(lake, database.worker, ws, NOW).people == 1


def test_many_may_open_a_new_lake_at_once(database, tmp_path):
    """Whoever is first makes the catalogue; two that both did would leave one without a lake."""
    folder, ready = str(tmp_path / "many"), threading.Barrier(4)

    def opened(_):
        ready.wait()
        Lake(database.dsn, folder, memory="200MB").close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(opened, range(4)))


def test_one_that_stands_still_while_it_opens_holds_the_others_up_only_so_long(database, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_OPENER_WAITS", 1)
    with psycopg.connect(database.dsn, autocommit=True) as standing:
        standing.execute("SELECT pg_advisory_lock(%s)", (connection._OPENING_LOCK,))
        with pytest.raises(Unavailable, match="takes long to open"):
            Lake(database.dsn, str(tmp_path / "lake"), memory="200MB")
    Lake(database.dsn, str(tmp_path / "lake"), memory="200MB").close()


def test_nothing_to_do_on_an_empty_workspace(database, lake, ws):
    assert flush(lake, database.worker, ws, NOW).is_nothing
    assert is_equal(lake, ws) == {"event": 0, "actor": 0, "person": 0}


@pytest.mark.parametrize(
    "seed", [0, 4, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in (1, 2, 3, *range(5, 25)))]
)
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
            may_end.wait(50)

    put(database, delivery(ws, segment, batch(track(message="m1"))))
    drain(database, ws)
    writer = threading.Thread(target=slow)
    writer.start()
    assert began.wait(60)
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


def test_a_transaction_of_another_database_holds_nobody_up(database, databases, server, lake, ws, segment):
    """Numbers of transactions are the server's; one without a lock to its name yet is taken for our own."""
    put(database, delivery(ws, segment, batch(track())))
    drain(database, ws)
    name = databases.take()
    try:
        with psycopg.connect(f"{database.admin.rpartition('/')[0]}/{name}") as elsewhere:
            elsewhere.execute("SELECT pg_current_xact_id()")
            assert flush(lake, database.worker, ws, NOW).events == 1
            assert complete_at(database, ws) == NOW
    finally:
        databases.give_back(name)


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
            barrier.wait(60)
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


def test_a_lake_whose_files_are_gone_is_made_again(database, lake, tmp_path, ws, segment):
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n % 5}") for n in range(20)))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    with database.worker.transaction(ws, read_only=True) as session:
        person = one(session, "SELECT id FROM person LIMIT 1").id
    left = 20 - erase(lake, database.worker, ws, person, clock.now())
    maintain(lake, database.worker, [ws], clock.now())
    rebuild(lake, database.worker, ws, NOW)
    assert is_equal(lake, ws)["event"] == left  # who was erased is not back while the files are there
    maintain(lake, database.worker, [ws], clock.now())
    shutil.rmtree(tmp_path / "lake")
    with pytest.raises(Unavailable, match="lake rebuild"):
        flush(lake, database.worker, ws, NOW)
    rebuild(lake, database.worker, ws, NOW)
    assert is_equal(lake, ws) == {"event": 20, "actor": 5, "person": 5}
    maintain(lake, database.worker, [ws], clock.now() + 2 * GRACE)
    put(database, delivery(ws, segment, batch(track(message="later", user="u1"))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    assert is_equal(lake, ws)["event"] == 21


def test_a_workspace_that_cannot_be_tidied_keeps_no_other_from_it(database, lake, ws, monkeypatch):
    other, packed, pack = database.workspace("other"), [], upkeep._pack

    def broken(lake, workspace_id, share):
        if workspace_id == other:
            raise Unavailable("Its files are gone.")
        pack(lake, workspace_id, share)
        packed.append(workspace_id)

    monkeypatch.setattr(upkeep, "_pack", broken)
    with pytest.raises(Unavailable, match="files are gone"):
        maintain(lake, database.worker, [other, ws], clock.now())
    assert packed == [ws]


def test_rows_with_the_numbers_of_another_server_reach_the_lake(database, lake, ws, segment):
    """A dump was restored on a server that has begun fewer transactions than the one it is of."""
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}") for n in range(3)))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    with database.worker.transaction(ws) as session:
        for table in ("event", "actor", "person"):
            run(session, f"UPDATE {table} SET tx = '99999999999'")
        run(session, "UPDATE ops.lake_state SET next_tx = 99999999999")
    with lake.transaction() as cursor:
        cursor.execute(f"UPDATE {schema_of(ws)}.progress SET tx = 99999999999")
    with pytest.raises(Unavailable, match="lake rebuild"):
        flush(lake, database.worker, ws, NOW)
    rebuild(lake, database.worker, ws, NOW)
    put(database, delivery(ws, segment, batch(track(message="later", user="u1"))))
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    assert is_equal(lake, ws) == {"event": 4, "actor": 3, "person": 3}
    assert count(lake, ws) == 4


def everything_in(folder, database):
    """All bytes of the folder's files, Parquet read out, and of the catalogue as text."""
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    found += [str(pq.read_table(path, partitioning=None).to_pylist()).encode() for path in folder.rglob("*.parquet")]
    with psycopg.connect(database.admin) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'lake'").fetchall()
        for (table,) in tables:
            found.append(str(connection.execute(f'SELECT * FROM lake."{table}"').fetchall()).encode())
            path = connection.execute("SELECT pg_relation_filepath(%s)", (f'lake."{table}"',)).fetchone()[0]
            connection.execute("CHECKPOINT")
            try:
                found.append(connection.execute("SELECT pg_read_binary_file(%s)", (path,)).fetchone()[0])
            except psycopg.errors.UndefinedFile:
                connection.rollback()
    return b"\0".join(found)


@pytest.mark.parametrize("many", [3, 1500])  # inlined in the catalogue, and in files
def test_of_who_was_erased_no_byte_is_left(database, lake, tmp_path, ws, segment, many):
    secret = {"email": "zebra.quagga@acme.example", "name": "Zebra Quagga", "anonymous": "aardvark-77"}
    further = {"phone": "+4930901820", "first_name": "Zebrina", "last_name": "Quaggason"}
    put(
        database,
        delivery(
            ws,
            segment,
            batch(
                identify(
                    "victim-9001",
                    message="i1",
                    anonymous=secret["anonymous"],
                    email=secret["email"],
                    name=secret["name"],
                    **further,
                ),
                *(track(message=f"m{n}", user="victim-9001", colour="xanthic-mauve") for n in range(many)),
                *(track(message=f"o{n}", user=f"u{n % 5}", colour="blue") for n in range(many)),
            ),
        ),
    )
    drain(database, ws)
    flush(lake, database.worker, ws, NOW)
    needles = [b"zebra.quagga", b"Zebra Quagga", b"xanthic-mauve", *(value.encode() for value in further.values())]
    before = everything_in(tmp_path / "lake", database)
    assert all(needle in before for needle in needles)
    with database.worker.transaction(ws, read_only=True) as session:
        person = one(session, "SELECT id FROM person WHERE email = :email", email=secret["email"]).id
    assert erase(lake, database.worker, ws, person, clock.now()) == many + 1
    assert erase(lake, database.worker, ws, person, clock.now()) == 0
    after = everything_in(tmp_path / "lake", database)
    assert [needle for needle in needles if needle in after] == []
    assert is_equal(lake, ws)["event"] == many
    flush(lake, database.worker, ws, NOW)
    rebuild(lake, database.worker, ws, NOW)
    assert [needle for needle in needles if needle in everything_in(tmp_path / "lake", database)] == []
    assert is_equal(lake, ws)["event"] == many


def test_an_erasure_takes_nothing_that_is_just_being_written(database, lake, tmp_path, ws, segment, monkeypatch):
    """A flush has written its file and not yet committed: to whoever removes files of no version it looks like rubbish."""
    other = database.workspace("other")
    put(database, delivery(other, database.source(other, "segment"), batch(track(message="o1", user="victim"))))
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n % 5}") for n in range(1500)))))
    drain(database, ws)
    drain(database, other)
    with database.worker.transaction(other, read_only=True) as session:
        victim = one(session, "SELECT id FROM person").id
    written, writes = threading.Event(), writing._write
    removed, removes = threading.Event(), upkeep._expire

    def remove(*given):
        found = removes(*given)
        removed.set()
        return found

    def forget():
        with Lake(database.dsn, str(tmp_path / "lake"), memory="300MB") as eraser:
            assert written.wait(60)
            erase(eraser, database.worker, other, victim, clock.now())

    def write(*given):
        done = writes(*given)
        written.set()
        with psycopg.connect(database.dsn) as watching:
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not removed.is_set() and not watching.execute(waits).fetchone()[0]:
                assert eraser.is_alive()
        return done

    flush(lake, database.worker, other, NOW)
    monkeypatch.setattr(writing, "_write", write)
    monkeypatch.setattr(upkeep, "_expire", remove)
    eraser = threading.Thread(target=forget)
    eraser.start()
    flush(lake, database.worker, ws, NOW)
    eraser.join()
    assert removed.is_set()
    assert is_equal(lake, ws)["event"] == 1500
    assert is_equal(lake, other)["event"] == 0


def test_nobody_is_erased_who_is_not_there(database, lake, ws):
    with pytest.raises(NotFound):
        erase(lake, database.worker, ws, uuid.uuid4(), NOW)


def test_upkeep_changes_nothing_that_is_read(database, lake, tmp_path, ws, segment):
    for part in range(6):
        many = 1200 if part % 2 else 30
        calls = [track(message=f"{part}-{n}", user=f"u{n % 9}", at=NOW - timedelta(days=n % 90)) for n in range(many)]
        put(database, delivery(ws, segment, batch(*calls)))
        drain(database, ws)
        flush(lake, database.worker, ws, NOW)
    before = is_equal(lake, ws)
    files = len(list((tmp_path / "lake").rglob("*.parquet")))
    done = maintain(lake, database.worker, [ws], clock.now() + 2 * GRACE)
    assert done["expired"] > 5
    assert 0 < len(list((tmp_path / "lake").rglob("*.parquet"))) < files
    assert is_equal(lake, ws) == before
    assert count(lake, ws, "person") == before["person"]


def test_what_a_workspace_keeps_no_longer_leaves_the_lake(database, lake, segment, ws):
    """Of the eight months before this one: the server's own clock says which partitions may go."""
    now = clock.now()
    months = [now.year * 12 + now.month - 1 - n for n in range(1, 9)]
    calls = [track(message=f"m{month}", at=datetime(month // 12, month % 12 + 1, 15, tzinfo=UTC)) for month in months]
    put(database, delivery(ws, segment, batch(*calls, at=now), at=now))
    drain(database, ws, now)
    flush(lake, database.worker, ws, NOW)
    with database.web.transaction(ws) as session:
        run(session, "UPDATE workspace SET event_retention_months = 3 WHERE id = :ws", ws=ws)
    assert maintain(lake, database.worker, [ws], now)["trimmed"] == 5
    retention.enforce(database.worker, now)
    assert is_equal(lake, ws)["event"] == 3
