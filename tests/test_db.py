"""Transactions: a workspace sees its own rows, no workspace sees none, and a pool never hands on a tenant."""

import threading
import uuid

import psycopg
import pytest
from sqlalchemy import event, exc

from gdp_core.db import Database, later, one, rows, run, written_behind
from gdp_core.errors import BadSetting, Unavailable


def test_a_workspace_sees_only_itself(database):
    a, b = database.workspace("a"), database.workspace("b")
    with database.web.transaction(a) as session:
        assert [row.slug for row in rows(session, "SELECT slug FROM workspace")] == ["a"]
        assert run(session, "UPDATE workspace SET name = 'x' WHERE id = :b", b=b) == 0
    with database.web.transaction(None) as session:
        assert rows(session, "SELECT slug FROM workspace") == []


def test_a_pool_never_hands_on_a_tenant(database):
    ids = [database.workspace("a"), database.workspace("b")]
    pool = Database(database.dsn, "gdp_web", size=1)
    wrong: list[object] = []

    def alternate(offset: int) -> None:
        for turn in range(200):
            ws = ids[(turn + offset) % 2]
            try:
                with pool.transaction(ws) as session:
                    seen = [row.id for row in rows(session, "SELECT id FROM workspace")]
                    if seen != [ws]:
                        wrong.append(seen)
                    if turn % 7 == 0:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    threads = [threading.Thread(target=alternate, args=(n,)) for n in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    pool.close()
    assert wrong == []


def test_a_killed_connection_is_replaced(database):
    ws = database.workspace("a")
    with database.web.transaction(ws) as session:
        pid = one(session, "SELECT pg_backend_pid()")[0]
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT slug FROM workspace").slug == "a"


def test_a_dirty_connection_is_not_reused(database):
    ws = database.workspace("a")
    raw = database.web.engine.raw_connection()
    raw.cursor().execute("SELECT set_config('app.ws', %s, false)", (str(ws),))
    raw.commit()
    raw.close()
    with database.web.transaction(None) as session:
        assert rows(session, "SELECT 1 FROM workspace") == []


def test_an_unreachable_server_is_one_sentence():
    pool = Database("postgresql://u:secret@127.0.0.1:1/x", "gdp_web")
    with pytest.raises(Unavailable) as caught, pool.transaction(uuid.uuid4()):
        pass
    assert "secret" not in str(caught.value)
    with pytest.raises(BadSetting, match="DATABASE_URL"):
        Database("not a url", "gdp_web")


def test_a_transaction_that_stood_still_too_long_is_one_sentence(database):
    ws = database.workspace("a")

    def stand_still():
        with database.web.transaction(ws) as session:
            pid = one(session, "SELECT pg_backend_pid()")[0]
            with psycopg.connect(database.admin, autocommit=True) as admin:
                run(session, "SELECT set_config('idle_in_transaction_session_timeout', '1ms', true)")
                while admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
                    pass
            one(session, "SELECT 1")

    with pytest.raises(Unavailable, match="Postgres"):
        stand_still()
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT slug FROM workspace").slug == "a"


def test_connections_that_die_as_soon_as_they_are_opened_are_one_sentence(database):
    pool = Database(database.dsn, "gdp_web", size=1)

    def dead(*_):
        raise exc.DisconnectionError

    event.listen(pool.engine, "checkout", dead)
    with pytest.raises(Unavailable, match="tried again"), pool.transaction(None):
        pass
    event.remove(pool.engine, "checkout", dead)
    with pool.transaction(None) as session:
        assert rows(session, "SELECT 1")
    pool.close()


def test_too_much_at_once_is_one_sentence(database):
    pool = Database(database.dsn, "gdp_web", size=1)
    pool.engine.pool._timeout = 0.05
    with pool.transaction(None), pool.transaction(None):  # the one and its overflow
        third = pool.transaction(None)
        with pytest.raises(Unavailable, match="try again"):
            third.__enter__()
    with pool.transaction(None) as session:
        assert rows(session, "SELECT 1")
    pool.close()


def test_the_runtime_login_owns_nothing(database):
    with database.worker.transaction(None) as session, pytest.raises(exc.ProgrammingError):
        run(session, "CREATE TABLE public.mine (x int)")


# ------------------------------------------------------------------------------------------------- written behind

MARK = "INSERT INTO ops.marker (key, value, at) VALUES (:key, '{}', now())"


def marks(database):
    with database.worker.transaction(None) as session:
        return [row.key for row in rows(session, "SELECT key FROM ops.marker WHERE key LIKE 'm%' ORDER BY key")]


def test_what_is_written_behind_is_there_for_whatever_is_waited_for(database):
    with database.worker.transaction(None) as session, written_behind(session):
        for number in range(9):
            later(session, MARK, key=f"m{number}")
            later(session, "UPDATE ops.marker SET key = key || 'x' WHERE key = :key", key=f"m{number}")  # in order
        assert one(session, "SELECT count(*) FROM ops.marker WHERE key LIKE 'm_x'")[0] == 9
        later(session, MARK, key="m9")
    assert len(marks(database)) == 10


def test_it_returns_before_its_statement_has_run(database):
    with database.worker.transaction(None) as session, written_behind(session):
        later(session, "SELECT pg_sleep(2)")
        behind = session.info["behind"]
        assert not behind.pending[-1].done()
        run(session, "SELECT 1")
        assert behind.pending == []


@pytest.mark.parametrize("then", ["waits", "ends"])
def test_an_error_behind_is_raised_and_nothing_stays(database, then):
    def write():
        with database.worker.transaction(None) as session, written_behind(session):
            later(session, MARK, key="m1")
            later(session, MARK, key="m1")
            later(session, MARK, key="m2")
            if then == "waits":
                run(session, MARK, key="m3")
                raise AssertionError("the statement before had failed")

    with pytest.raises(exc.IntegrityError):
        write()
    assert marks(database) == []


def test_an_error_of_the_caller_waits_for_what_is_behind(database):
    def write():
        with database.worker.transaction(None) as session, written_behind(session):
            later(session, "SELECT pg_sleep(0.3)")
            later(session, MARK, key="m1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert marks(database) == []


def test_outside_the_block_it_is_written_at_once(database):
    with database.worker.transaction(None) as session:
        later(session, MARK, key="m1")
        assert "behind" not in session.info
    assert marks(database) == ["m1"]
