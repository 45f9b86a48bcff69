"""An upgrade while the door is at work, and twenty-six months of keeping and forgetting."""

import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from gdp_core import events, retention, schema
from gdp_core.db import one, rows, run
from gdp_core.errors import GrowthError
from tests import history
from tests.conftest import NOW, TestDatabase
from tests.door import (
    encryption_keys,  # noqa: F401 - autouse
    inbox,
    issue_key,
    serving,
)
from tests.test_pipeline import batch, delivery, track

# ------------------------------------------------------------------------------------------------------ upgrading

_NEXT = '''"""A release later."""

from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade() -> None:
    op.execute("ALTER TABLE inbox ADD COLUMN note text")
    op.execute("ALTER TABLE ledger_entry ADD COLUMN note text")
    op.execute("CREATE INDEX inbox_by_note ON inbox (workspace_id, note)")
'''


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migrations of the next release, which alters what the door writes to."""
    newest = schema.ScriptDirectory.from_config(schema._alembic()).get_current_head()
    folder = shutil.copytree(schema._MIGRATIONS, tmp_path / "migrations")
    (folder / "versions" / "9999_later.py").write_text(_NEXT.format(newest=newest))
    monkeypatch.setattr(schema, "_MIGRATIONS", folder)


class Senders:
    """Vendors: each message is sent until it is answered with 2xx."""

    def __init__(self, url: str, key: str, number: int) -> None:
        self.stored: set[str] = set()
        self.statuses: set[int] = set()
        self._url, self._key = url, key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(number)]

    @contextmanager
    def at_work(self) -> Iterator["Senders"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20, trust_env=False, auth=(self._key, "")) as client:
            while not self._stop.is_set():
                message = str(uuid.uuid4())
                event = {"type": "track", "userId": "u1", "event": "x", "messageId": message}
                while (status := client.post("/v1/track", json=event).status_code) == 503:
                    self.statuses.add(status)
                self.statuses.add(status)
                self.stored.add(message)

    def wait_for(self, more: int) -> bool:
        """Whether so many more are stored before patience ends."""
        wanted, deadline = len(self.stored) + more, time.monotonic() + 60
        while len(self.stored) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(self.stored) >= wanted


def migrator_waits(database: TestDatabase, failures: list[GrowthError]) -> None:
    """Return once somebody stands in the queue for all of the inbox."""
    with psycopg.connect(database.admin, autocommit=True) as connection:
        waiting = (
            "SELECT 1 FROM pg_locks WHERE relation = 'inbox'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"
        )
        deadline = time.monotonic() + 60
        while not connection.execute(waiting).fetchone():
            assert not failures
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.mark.usefixtures("later")
def test_an_upgrade_among_writers_loses_nothing_and_steps_back_for_them(database: TestDatabase) -> None:
    """Behind a long reader the migration stands in the writers' way; it must let them pass before the reader is done."""
    key = issue_key(database, "segment")
    failures: list[GrowthError] = []

    def upgrade() -> None:
        try:
            schema.prepare(database.admin)
        except GrowthError as error:
            failures.append(error)

    upgrading = threading.Thread(target=upgrade)
    with serving(database.dsn) as live, Senders(live.url, key, 4).at_work() as senders:
        assert senders.wait_for(20)
        with psycopg.connect(database.admin) as reader:
            reader.execute("SELECT count(*) FROM inbox")  # and its lock stays, as a report's or a backup's would
            upgrading.start()
            migrator_waits(database, failures)
            assert senders.wait_for(20), "writers wait for the reader, behind the migration"
            assert schema.version(database.admin)[0] != "9999"
        upgrading.join(120)
        assert not failures
        assert schema.version(database.admin) == ("9999", "9999")
        assert senders.wait_for(20), "the release before goes on writing"
    assert senders.statuses <= {200, 503}
    kept = {row["body"].tobytes() if isinstance(row["body"], memoryview) else row["body"] for row in inbox(database)}
    found = b"".join(kept)
    assert [message for message in senders.stored if message.encode() not in found] == []


# ------------------------------------------------------------------------------------------------------ forgetting


class Clock:
    """The server's clock, as the function that drops partitions reads it. It alone decides what may go."""

    def __init__(self, database: TestDatabase) -> None:
        self._admin = database.admin
        self._run(
            "CREATE SCHEMA virtual; CREATE TABLE virtual.clock (at timestamptz); INSERT INTO virtual.clock VALUES (now());"
            " CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';"
            " GRANT USAGE ON SCHEMA virtual TO gdp_owner; GRANT SELECT ON virtual.clock TO gdp_owner;"
            " ALTER FUNCTION partition_drop SET search_path = virtual, pg_catalog, public, pg_temp"
        )

    def set(self, at: datetime) -> None:
        self._run(f"UPDATE virtual.clock SET at = '{at.isoformat()}'")

    def _run(self, sql: str) -> None:
        with psycopg.connect(self._admin) as connection:
            connection.execute(sql)


def month(number: int) -> datetime:
    """The twentieth of the n-th month after September 2024."""
    return datetime(2024 + (8 + number) // 12, (8 + number) % 12 + 1, 20, 12, tzinfo=UTC)


def test_twenty_six_months_of_retention(database: TestDatabase) -> None:
    """Each workspace finds what it wants to keep, and no month stays that nobody wants."""
    server = Clock(database)
    wanted: dict[str, int | None] = {"short": 3, "year": 12, "keeper": None}
    since = {"short": 0, "year": 0, "keeper": 10}
    workspaces = {name: database.workspace(name, event_retention_months=kept) for name, kept in wanted.items()}
    sources = {name: database.source(workspace, "segment") for name, workspace in workspaces.items()}

    def kept_months(name: str, current: int) -> set[int]:
        limit = wanted[name]
        oldest = since[name] if limit is None else max(since[name], current - limit)
        return set(range(oldest, current + 1))

    for current in range(26):
        now = month(current)
        server.set(now)
        retention.make_room(database.worker, now)
        present = [name for name in workspaces if since[name] <= current]
        at = now - timedelta(days=5)
        told = [
            delivery(workspaces[name], sources[name], batch(track(message=f"m{current}", at=at), at=at), at=at)
            for name in present
        ]
        history.put(database, told)
        history.drain(database, [workspaces[name] for name in present], now=now)
        retention.enforce(database.worker, now)
        events.forget_partitions()
        with database.worker.transaction(None) as session:
            there = {
                (parent, row.month.year * 12 + row.month.month - 1)
                for parent in ("event", "inbox")
                for row in rows(session, "SELECT month FROM partition_list(:parent)", parent=parent)
            }
        first = 2024 * 12 + 8
        for parent, months in (
            ("event", set().union(*(kept_months(name, current) for name in present))),
            ("inbox", {n for n in range(current + 1) if month(n) - timedelta(days=5) >= now - timedelta(days=90)}),
        ):
            ahead = set(range(current + 1, current + 4))
            found = {number - first for name, number in there if name == parent and number - first <= current + 3}
            assert found == months | ahead, (current, parent)
        for name in present:
            with database.web.transaction(workspaces[name]) as session:
                dates = rows(session, "SELECT occurred_at FROM event ORDER BY 1")
                assert len(dates) == len(kept_months(name, current)), (current, name)
                person = one(session, "SELECT total_events, active_days FROM person")
            assert person == (current - since[name] + 1,) * 2, "what was counted stays counted"
    history.books(database, list(workspaces.values()))
    with database.web.transaction(workspaces["keeper"]) as session:
        run(session, "UPDATE workspace SET event_retention_months = 1 WHERE id = app_ws()")
    done = retention.enforce(database.worker, month(25))
    assert "event 2025-07" in done["dropped"], "until nobody wants it any more"
    history.books(database, list(workspaces.values()))


def test_a_month_that_is_being_read_goes_at_the_next_run_and_holds_up_no_other(database: TestDatabase) -> None:
    old = {"inbox": datetime(2010, 1, 1, tzinfo=UTC), "event": datetime(2010, 1, 1, tzinfo=UTC)}
    with database.worker.transaction(None) as session:
        for parent, at in old.items():
            run(session, "SELECT partition_ensure(:parent, :at)", parent=parent, at=at)
    now = NOW
    with psycopg.connect(database.admin) as reader:
        reader.execute("SELECT count(*) FROM inbox")
        done = retention.enforce(database.worker, now)
        assert "inbox 2010-01" in done["postponed"]
        assert "event 2010-01" in done["dropped"]
    assert "inbox 2010-01" in retention.enforce(database.worker, now)["dropped"]
