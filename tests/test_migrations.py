"""The schema: what the tables say is what the migrations make, whoever runs them, however often, and if they die.

And the partitions, which are made when they are needed and go when nobody wants them.
"""

import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, exc, text
from sqlmodel import SQLModel

from gdp_core import events, people, pipeline, retention
from gdp_core.db import one, rows, run, sqlalchemy_url
from gdp_core.schema import _alembic, prepare, version
from gdp_core.tables import METADATA_IS_COMPLETE

from . import history
from .conftest import NOW, ROOT, _admin, _database
from .door import encryption_keys  # noqa: F401
from .test_pipeline import batch, delivery, track


@contextmanager
def scratch(server):
    """The administrator's address of an empty database."""
    name = f"gdp_scratch_{uuid.uuid4().hex[:8]}"
    _admin(server, f"CREATE DATABASE {name}")
    yield _database(server, name)
    _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


_STRUCTURE = {
    "columns": """SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation::text
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relkind IN ('r', 'p')""",
    "partitioning": "SELECT c.oid::regclass::text, pg_get_partkeydef(c.oid) FROM pg_class c WHERE c.relkind IN ('r', 'p')",
    "indexes": """SELECT c.oid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid WHERE true""",
    "constraints": """SELECT c.oid::regclass::text, k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype <> 'n'""",
}
_RIGHTS = {
    "grants": "SELECT c.oid::regclass::text, c.relacl::text FROM pg_class c WHERE c.relkind IN ('r', 'p')",
    "row security": """SELECT c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
        WHERE c.relkind IN ('r', 'p')""",
    "policies": """SELECT c.oid::regclass::text, p.polname, p.polcmd, p.polroles::regrole[]::text,
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p
        JOIN pg_class c ON c.oid = p.polrelid WHERE true""",
    "triggers": """SELECT c.oid::regclass::text, pg_get_triggerdef(t.oid) FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal""",
}


def dump(address, queries=None):
    """What a database's schema is, by catalogue; partitions and Alembic's own table left out."""
    found = {}
    with psycopg.connect(address) as connection:
        for name, query in (queries or _STRUCTURE | _RIGHTS).items():
            mine = " AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'ops'))"
            order = " AND c.relname <> 'alembic_version' ORDER BY 1, 2"
            found[name] = connection.execute(query + mine + order).fetchall()
        if queries is None:
            functions = "SELECT pg_get_functiondef(oid), proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
            found["functions"] = connection.execute(functions).fetchall()
            found["schemas"] = connection.execute(
                "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname IN ('part', 'ops') ORDER BY 1"
            ).fetchall()
    return found


# ------------------------------------------------------------------------------------------------------ the schema


def test_alembic_sees_no_difference_between_tables_and_schema(database):
    assert METADATA_IS_COMPLETE
    engine = create_engine(sqlalchemy_url(database.admin))
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "schema" or name in (None, "ops"),
            "include_object": lambda thing, name, kind, reflected, other: name != "alembic_version",
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=options), SQLModel.metadata) == []
    engine.dispose()


def test_the_catalogue_is_what_the_tables_would_make(server, template):
    """Stricter than Alembic: every column, check, key, index and partitioning, as the server prints it."""
    with scratch(server) as address:
        engine = create_engine(sqlalchemy_url(address))
        with engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA ops"))
            SQLModel.metadata.create_all(connection)
        engine.dispose()
        expected = dump(address, _STRUCTURE)
        assert all(expected.values())
        assert dump(_database(server, template), _STRUCTURE) == expected


def test_one_revision_after_another_ends_where_a_fresh_database_does(server, template):
    scripts = ScriptDirectory.from_config(_alembic())
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert scripts.get_heads() == [revisions[-1]], "two heads: merge the migrations"
    with scratch(server) as address:
        _admin(address, "GRANT USAGE, CREATE ON SCHEMA public TO gdp_owner")
        _admin(address, f"GRANT CREATE ON DATABASE {address.rpartition('/')[2]} TO gdp_owner")
        engine = create_engine(sqlalchemy_url(address))
        for revision in revisions:
            with engine.connect() as connection:
                connection.execute(text("SET ROLE gdp_owner"))
                connection.commit()
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                connection.commit()
        engine.dispose()
        assert dump(address) == dump(_database(server, template))
        assert version(address) == (revisions[-1], revisions[-1])


def test_many_migrators_at_once_make_it_once(server, template):
    with scratch(server) as address:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(prepare, address) for _ in range(4)]:
                done.result()
        assert dump(address) == dump(_database(server, template))
        before = dump(address)
        prepare(address)
        assert dump(address) == before


_DIES = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from gdp_core.schema import prepare

left = [int(n) for n in sys.argv[2:]]
executed = 0

@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global executed
    executed += 1
    if executed == left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

prepare(sys.argv[1])
"""


def test_a_migration_that_died_midway_runs_again(server, template):
    with scratch(server) as address:
        for statement in (6, 150):
            died = subprocess.run([sys.executable, "-c", _DIES, address, str(statement)], cwd=ROOT, check=False)
            assert died.returncode == -signal.SIGKILL
            with psycopg.connect(address) as connection:
                found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert found[0] <= 1, "a migration is made whole or not at all"
        prepare(address)
        assert dump(address) == dump(_database(server, template))


# ------------------------------------------------------------------------------------------------------ partitions


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def tell(database, *deliveries):
    history.put(database, deliveries)
    history.drain(database, sorted({item.workspace_id for item in deliveries}))


def months(database, parent="event"):
    with database.web.transaction(None) as session:
        return {
            row.name.removeprefix(f"{parent}_")
            for row in rows(session, "SELECT name FROM partition_list(:p)", p=parent)
        }


def drop(database, at, parent="event"):
    with database.worker.transaction(None) as session:
        gone = one(session, "SELECT partition_drop(:parent, :at) AS gone", parent=parent, at=at).gone
    if gone:
        events.forget_partitions()
    return gone


def keep(database, ws, months):
    with database.web.transaction(ws) as session:
        run(session, "UPDATE workspace SET event_retention_months = :months WHERE id = :ws", months=months, ws=ws)


def old(n, user="u1", year=2010):
    return track("letter_sent", user, message=f"old{n}", at=datetime(year, 1 + n % 12, 15, tzinfo=UTC))


def test_what_happened_long_ago_has_a_place(database, ws, segment):
    long_ago = [
        track("page", message=f"m{year}", at=datetime(year, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC))
        for year in range(1990, 2026, 5)
    ]
    edges = [
        track("page", message="first", at=datetime(2012, 3, 1, tzinfo=UTC)),
        track("page", message="last", at=datetime(2012, 3, 1, tzinfo=UTC) - timedelta(microseconds=1)),
    ]
    tell(database, delivery(ws, segment, batch(*long_ago, *edges), at=NOW))
    history.books(database, [ws])
    assert {f"{year}_02" for year in range(1990, 2026, 5)} | {"2012_03", "2012_02"} <= months(database)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT total_events, first_seen_at FROM person") == (
            10,
            datetime(1990, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        )


def test_what_lies_ahead_or_before_time_is_clamped_or_refused(database, ws, segment):
    received = NOW - timedelta(hours=2)
    told = [
        {**track(message="soon"), "timestamp": (received + timedelta(hours=20)).isoformat()},
        {**track(message="far"), "timestamp": "2099-01-01T00:00:00Z"},
        {**track(message="zero"), "timestamp": "1970-01-01T00:00:00Z"},
        {**track(message="skewed"), "timestamp": (received + timedelta(days=30)).isoformat()},
    ]
    tell(database, delivery(ws, segment, {"batch": told}, at=received))
    with database.web.transaction(ws) as session:
        found = {row.source_event_id: row for row in rows(session, "SELECT * FROM event")}
        assert {key: row.occurred_at - received for key, row in found.items()} == {
            "soon": timedelta(minutes=5),
            "far": timedelta(),
            "skewed": timedelta(),
        }
        assert found["far"].metadata["original_at"] == "2099-01-01T00:00:00+00:00"
        assert one(session, "SELECT code FROM fact_reject").code == "bad_timestamp"
    assert not {name for name in months(database) if name.startswith(("1970", "2099"))}
    corrected = {"batch": [told[3]], "sentAt": (received + timedelta(days=30, seconds=7)).isoformat()}
    tell(database, delivery(ws, segment, {**corrected, "batch": [{**told[3], "messageId": "clock"}]}, at=received))
    with database.web.transaction(ws) as session:
        row = one(session, "SELECT occurred_at FROM event WHERE source_event_id = 'clock'")
        assert row.occurred_at == received - timedelta(seconds=7)


def test_a_month_goes_when_nobody_with_rows_in_it_wants_it(database, ws, segment):
    other = database.workspace("globex")
    theirs = database.source(other, "segment")
    database.workspace("empty")  # keeps everything for ever, but has nothing there
    tell(database, delivery(ws, segment, batch(old(0), old(1), track()), at=NOW))
    tell(database, delivery(other, theirs, batch(old(0)), at=NOW))
    january, february = (datetime(2010, month, 20, tzinfo=UTC) for month in (1, 2))
    assert not drop(database, january)
    keep(database, ws, 24)
    assert not drop(database, january), "the other workspace keeps its events for ever"
    assert drop(database, february)
    keep(database, other, 12 * 500)
    assert not drop(database, january)
    keep(database, other, 1)
    assert drop(database, january)
    assert not drop(database, january), "it is gone already"
    assert not {"2010_01", "2010_02"} & months(database)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 1
    assert not drop(database, NOW)


def test_totals_outlive_what_they_count(database, ws, segment):
    visit = {
        **old(3),
        "type": "page",
        "context": {"page": {"url": "https://x.example/?utm_source=news&utm_medium=email"}},
    }
    tell(database, delivery(ws, segment, batch(visit, *(old(n) for n in range(3)), track()), at=NOW))
    before = history.contents(database, [ws])
    keep(database, ws, 24)
    for month in range(1, 5):
        assert drop(database, datetime(2010, month, 1, tzinfo=UTC))
    with database.worker.transaction(ws) as session:
        people.refresh(session, ws, [row.id for row in rows(session, "SELECT id FROM person")], NOW)
    after = history.contents(database, [ws])
    assert len(after.pop("event")) == 1
    assert len(before.pop("event")) == 5
    assert history.difference(before, after) == ""
    # Something of the person is replaced now: what is counted again must not forget what was dropped.
    tell(database, delivery(ws, segment, batch(track(colour="red")), at=NOW - timedelta(days=1)))
    with database.web.transaction(ws) as session:
        person = one(session, "SELECT total_events, active_days, core_actions, source FROM person")
    assert person == (5, 5, 4, "email_campaign")
    history.books(database, [ws])


def test_a_late_row_finds_its_month_again(database, ws, segment):
    keep(database, ws, 24)
    tell(database, delivery(ws, segment, batch(old(0)), at=NOW))
    assert drop(database, datetime(2010, 1, 1, tzinfo=UTC))
    tell(database, delivery(ws, segment, batch(old(12)), at=NOW))
    history.books(database, [ws])
    assert "2010_01" in months(database)


def test_a_worker_that_did_not_hear_of_a_drop_tries_again(database, ws, segment):
    """Another process dropped a month that this one believes to be there."""
    keep(database, ws, 24)
    tell(database, delivery(ws, segment, batch(old(0)), at=NOW))
    tell(database, delivery(ws, segment, batch(old(12)), at=NOW))
    with database.worker.transaction(None) as session:
        assert one(session, "SELECT partition_drop('event', '2010-01-01') AS gone").gone
    history.put(database, [delivery(ws, segment, batch(old(24), track(message=f"m{n}")), at=NOW) for n in range(2)])
    pipeline.work(database.worker, ws, NOW)
    with psycopg.connect(database.admin) as connection:
        connection.execute("UPDATE inbox SET run_at = now() WHERE state = 'pending'")
    history.drain(database, [ws])
    history.books(database, [ws])


def test_a_drop_looks_again_once_nobody_can_write(database, ws, segment):
    """A row that is being written while the month is about to go is not lost with it."""
    at = datetime(2010, 1, 15, tzinfo=UTC)
    with database.worker.transaction(ws) as session:
        events.ensure_partitions(session, "event", [at])
    waiting = "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE NOT l.granted AND d.datname = current_database()"
    with ThreadPoolExecutor(1) as pool:
        with database.worker.transaction(ws) as session:
            columns = "id, workspace_id, occurred_at, name, type, source, source_id, source_event_id, is_machine, properties, metadata, received_at, applied_at"
            run(
                session,
                f"INSERT INTO event ({columns}) VALUES (:id, :ws, :at, 'x', 'CUSTOM', 'web', :id, 'x', false, '{{}}', '{{}}', :at, :at)",
                id=uuid.uuid4(),
                ws=ws,
                at=at,
            )
            dropping = pool.submit(drop, database, at)
            with database.web.transaction(None) as watch:
                while not rows(watch, waiting) and not dropping.done():
                    time.sleep(0.01)
        assert dropping.result() is False
    with database.worker.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 1


def test_only_the_two_tables_have_partitions(database):
    for call in ("partition_ensure", "partition_drop"):
        with pytest.raises(exc.DBAPIError), database.worker.transaction(None) as session:
            run(session, f"SELECT {call}('person', now())")


def test_deliveries_are_kept_while_they_wait_and_as_long_as_wanted(database, ws, segment):
    received = datetime(2020, 5, 5, tzinfo=UTC)
    history.put(database, [delivery(ws, segment, batch(track(at=received), at=received), at=received)])
    assert not drop(database, received, "inbox"), "it waits"
    history.drain(database, [ws])
    with database.web.transaction(ws) as session:
        run(session, "UPDATE workspace SET inbox_retention_days = 36500 WHERE id = :ws", ws=ws)
    assert not drop(database, received, "inbox"), "it is wanted"
    with database.web.transaction(ws) as session:
        run(session, "UPDATE workspace SET inbox_retention_days = 90 WHERE id = :ws", ws=ws)
    assert drop(database, received, "inbox")
    history.books(database, [ws])


def test_retention_deletes_what_a_workspace_no_longer_wants_and_keeps_the_rest(database, ws, segment):
    other = database.workspace("globex")
    theirs = database.source(other, "segment")
    for workspace, source in ((ws, segment), (other, theirs)):
        told = batch(old(0), old(1), track("page", message="new", at=NOW - timedelta(days=40)), at=NOW)
        tell(database, delivery(workspace, source, told, at=NOW - timedelta(days=1)))
    assert retention.enforce(database.worker, NOW)["deleted"] == 0, "off until it is set"
    keep(database, ws, 24)
    assert retention.enforce(database.worker, NOW)["deleted"] == 2
    for workspace, count in ((ws, 1), (other, 3)):
        with database.web.transaction(workspace) as session:
            assert one(session, "SELECT count(*) AS n FROM event").n == count
            assert one(session, "SELECT total_events FROM person").total_events == 3
    keep(database, other, 24)
    done = retention.enforce(database.worker, NOW)
    assert {"event 2010-01", "event 2010-02"} <= set(done["dropped"])
    history.books(database, [ws, other])


def test_there_is_always_room_ahead(database):
    year_later = NOW.replace(year=NOW.year + 1)
    assert retention.make_room(database.worker, year_later)["made"] > 0
    assert retention.make_room(database.worker, year_later)["made"] == 0
    wanted = {f"{year_later:%Y_%m}"} | {
        f"{(year_later.replace(day=1) + timedelta(days=31 * n)):%Y_%m}" for n in range(4)
    }
    assert wanted <= months(database) & months(database, "inbox")
