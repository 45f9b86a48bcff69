"""The audit log is append-only, linear under concurrency, and shows any tampering."""

import threading
import uuid
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import exc

from gdp_core.accounts.audit import audit, verify
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import Database, rows, run
from gdp_core.errors import NoTenant
from tests.conftest import NOW, TestDatabase


def _write(pool: Database, workspace_id: uuid.UUID, count: int = 1, principal: Principal | None = None) -> None:
    for number in range(count):
        with pool.transaction(workspace_id) as session:
            audit(
                session,
                principal,
                action="keys.write",
                object_kind="api_key",
                object_id=number,
                before={"name": "old"},
                after={"name": "new", "at": NOW},
                detail={"name": "Sähkö \x00 key", "n": number},
                now=NOW + timedelta(microseconds=number),
            )


def test_a_row_says_who_what_when_and_from_where(database: TestDatabase) -> None:
    acme = database.workspace()
    ann = Principal(user_id=uuid.UUID(int=7), label="ann@acme.test", workspace_id=acme, role=Role.ADMIN, ip="10.0.0.1")
    _write(database.web, acme, principal=ann)
    _write(database.gate, acme)
    with database.web.transaction(acme) as session:
        first, second = rows(session, "SELECT * FROM audit_log ORDER BY seq")
    assert (first.user_id, first.user_label, first.ip, first.action) == (ann.user_id, ann.label, ann.ip, "keys.write")
    assert first.at == NOW
    assert first.detail == {"name": "Sähkö � key", "n": 0}
    assert len(first.before_hash) == len(first.after_hash) == 64
    assert first.before_hash != first.after_hash
    assert (second.user_id, second.user_label, second.previous_hash) == (None, "system", first.hash)


def test_values_before_and_after_are_not_stored(database: TestDatabase) -> None:
    acme = database.workspace()
    with database.web.transaction(acme) as session:
        audit(session, None, action="a", object_kind="k", object_id=1, before="canary-1", after=["canary-2"], now=NOW)
    with psycopg.connect(database.admin) as connection:
        stored = connection.execute("SELECT audit_log::text FROM audit_log").fetchone()
    assert stored is not None
    assert "canary" not in stored[0]


def test_writers_at_once_make_one_chain_per_workspace(database: TestDatabase) -> None:
    acme, other = database.workspace(), database.workspace("other")
    pools = (database.web, database.gate, database.worker)
    threads = [threading.Thread(target=_write, args=(pool, ws, 6)) for pool in pools for ws in (acme, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for workspace_id in (acme, other):
        with database.web.transaction(workspace_id) as session:
            assert verify(session) is None
            assert len(rows(session, "SELECT FROM audit_log")) == 18


@pytest.mark.parametrize(
    ("tamper", "first_broken"),
    [
        ("UPDATE audit_log SET user_label = 'nobody' WHERE seq = 3", 3),
        ("UPDATE audit_log SET detail = '{}' WHERE seq = 1", 1),
        ("UPDATE audit_log SET ip = '1.1.1.1', hash = repeat('a', 64) WHERE seq = 2", 2),
        ("DELETE FROM audit_log WHERE seq = 2", 3),
        ("DELETE FROM audit_log WHERE seq = 1", 2),
    ],
)
def test_tampering_shows(database: TestDatabase, tamper: str, first_broken: int) -> None:
    acme = database.workspace()
    _write(database.web, acme, 5)
    with psycopg.connect(database.admin) as connection:
        connection.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL")
        connection.execute(tamper)
    with database.web.transaction(acme) as session:
        assert verify(session) == first_broken


def test_a_long_log_is_verified_page_by_page(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdp_core.accounts.audit._PAGE", 2)
    acme = database.workspace()
    _write(database.web, acme, 4)
    with database.web.transaction(acme) as session:
        assert verify(session) is None


@pytest.mark.parametrize("role", ["web", "gate", "worker"])
@pytest.mark.parametrize("statement", ["UPDATE audit_log SET ip = NULL", "DELETE FROM audit_log", "TRUNCATE audit_log"])
def test_no_runtime_role_changes_what_is_written(database: TestDatabase, role: str, statement: str) -> None:
    acme = database.workspace()
    _write(database.web, acme)
    with pytest.raises(exc.ProgrammingError, match="denied"), getattr(database, role).transaction(acme) as session:
        run(session, statement)


def test_even_the_owner_cannot_update(database: TestDatabase) -> None:
    acme = database.workspace()
    _write(database.web, acme)
    with psycopg.connect(database.admin) as connection:
        for statement in ("UPDATE audit_log SET ip = NULL", "TRUNCATE audit_log"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"), connection.transaction():
                connection.execute(statement)


def test_a_change_that_fails_leaves_no_row(database: TestDatabase) -> None:
    acme = database.workspace()

    def change_and_fail() -> None:
        with database.web.transaction(acme) as session:
            audit(session, None, action="a", object_kind="k", object_id=1, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    with database.web.transaction(acme) as session:
        assert rows(session, "SELECT FROM audit_log") == []


def test_nothing_is_recorded_outside_a_workspace(database: TestDatabase) -> None:
    with pytest.raises(NoTenant), database.web.transaction(None) as session:
        audit(session, None, action="a", object_kind="k", object_id=1, now=NOW)
