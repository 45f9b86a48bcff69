"""Each signal that somebody may be woken by is provoked once: it is silent before, and speaks when it should."""

import asyncio
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import psycopg
import pytest

from gdp_core import clock, inbox, vitals
from gdp_core.analytics import health
from gdp_core.appender import PATIENCE
from gdp_core.schema import RUNTIME_ROLES
from gdp_core.sources.facts import Delivery
from jobs.door.metrics import VITALS, Metrics, Pulse
from jobs.pulse import beat, keep_beating
from jobs.timetable import Vitals
from tests.conftest import ROOT, TestDatabase
from tests.door import (
    Live,
    connect,
    encryption_keys,  # noqa: F401 - autouse
    issue_key,
    serving,
    sign_standard,
    until_ready,
)

SVIX = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def live(database: TestDatabase) -> Iterator[Live]:
    with serving(database.dsn) as door:
        yield door


@contextmanager
def locked(database: TestDatabase, table: str) -> Iterator[None]:
    """Nobody else writes to a table."""
    with psycopg.connect(database.admin) as connection:
        connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


def value(live: Live, name: str) -> float | None:
    """What a metric says, labels included in the name; None when it says nothing."""
    return told(live).get(name)


def told(live: Live) -> dict[str, float]:
    """What every metric says at one instant."""
    return {
        name: float(number)
        for name, number in re.findall(r"^([^#\s].*) (\S+)$", live.client.get("/metrics").text, re.MULTILINE)
    }


def administer(database: TestDatabase, statement: str, *values: object) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(statement, values)


def delivered(database: TestDatabase, state: inbox.State) -> uuid.UUID:
    """A delivery that ended so, in the workspace acme; its workspace."""
    workspace = database.workspace()
    now = clock.now()
    delivery = Delivery(
        uuid.uuid4(), workspace, database.source(workspace, "segment"), "segment", "v1/track", "server", now, b"{}"
    )
    with database.worker.transaction(workspace) as session:
        inbox.store(session, delivery)
        inbox.finish(session, [inbox.Outcome(delivery, state)], now)
    return workspace


def kinds(database: TestDatabase, workspace: uuid.UUID) -> set[str]:
    with database.web.transaction(workspace, read_only=True) as session:
        return {item.kind for item in health.read_attention(session, clock.now())}


def test_a_postgres_that_answers_and_cannot_commit(database: TestDatabase, live: Live) -> None:
    assert until_ready(live.client).status_code == 200
    with locked(database, "ops.heartbeat"):
        assert live.client.get("/readyz").status_code == 503
        assert live.client.get("/livez").status_code == 200
    assert until_ready(live.client).status_code == 200


def test_deliveries_that_wait_to_be_stored(database: TestDatabase) -> None:
    key = issue_key(database, "segment")
    event = {"type": "track", "userId": "u1", "event": "x"}
    with serving(database.dsn, patience=PATIENCE) as live:
        assert value(live, "gdp_door_queue_oldest_seconds") == 0

        def send() -> None:
            httpx.post(f"{live.url}/v1/track", json=event, auth=(key, ""), timeout=30, trust_env=False)

        assert live.client.post("/v1/track", json=event, auth=(key, "")).status_code == 200  # the key is known
        with locked(database, "inbox"):  # the first batch is on its way to Postgres and held there; what follows waits
            senders: list[threading.Thread] = []
            while not (found := told(live))["gdp_door_queue_oldest_seconds"] and len(senders) < 50:
                senders.append(threading.Thread(target=send))
                senders[-1].start()
                time.sleep(0.05)
            for sender in senders:
                sender.join()
        assert found["gdp_door_queue_deliveries"] > 0
        assert found["gdp_door_queue_oldest_seconds"] > 0
        assert found["gdp_door_queue_bytes"] > 0
        assert (value(live, 'gdp_door_requests_total{route="v1/track",status="503"}') or 0) >= 1


def test_a_wrong_clock_and_a_wrong_secret(database: TestDatabase, live: Live) -> None:
    hook = connect(database, "generic", secret=SVIX)
    body = b'{"type":"x"}'
    live.client.post(hook.path, content=body, headers=sign_standard(body, SVIX, time.time() + 120, family="webhook"))
    assert 110 < (value(live, 'gdp_door_clock_skew_seconds{source="generic"}') or 0) < 130
    live.client.post(hook.path, content=body, headers=sign_standard(body, SVIX[:-4] + "AAAA", family="webhook"))
    assert value(live, 'gdp_door_requests_total{route="hooks",status="401"}') == 1


def test_what_waits_too_long(database: TestDatabase, live: Live, tmp_path: Path) -> None:
    workspace = delivered(database, "pending")
    assert vitals.read(database.worker, tmp_path)["pending_oldest_seconds"] < 300
    assert "late" not in kinds(database, workspace)
    administer(database, "UPDATE inbox SET run_at = now() - interval '10 minutes'")
    assert 600 <= vitals.read(database.worker, tmp_path)["pending_oldest_seconds"] < 900
    assert "late" in kinds(database, workspace)


def test_what_was_given_up_and_what_was_set_aside(database: TestDatabase, tmp_path: Path) -> None:
    workspace = delivered(database, "applied")
    assert vitals.read(database.worker, tmp_path)["deliveries_dead"] == 0
    assert not {"dead", "rejects"} & kinds(database, workspace)
    administer(
        database,
        "INSERT INTO ledger_entry SELECT gen_random_uuid(), workspace_id, l, source_id, hour, n, 0, 0, q, d, 0"
        " FROM ledger_entry, (VALUES ('delivery', 1, 0, 1), ('fact', 2, 2, 0)) v(l, n, q, d) LIMIT 2",
    )
    assert vitals.read(database.worker, tmp_path)["deliveries_dead"] == 1
    assert vitals.read(database.worker, tmp_path)["books_difference"] == 0
    assert {"dead", "rejects"} <= kinds(database, workspace)


def test_books_that_do_not_balance(database: TestDatabase, tmp_path: Path) -> None:
    delivered(database, "pending")
    assert vitals.read(database.worker, tmp_path)["books_difference"] == 0
    administer(database, "DELETE FROM inbox")
    assert vitals.read(database.worker, tmp_path)["books_difference"] == 1


def test_a_disk_that_fills(database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=110, used=85, free=15))
    assert vitals.read(database.worker, tmp_path / "not" / "made" / "yet")["disk_used_ratio"] == 0.85


def test_a_replication_slot_that_nobody_reads(database: TestDatabase, tmp_path: Path) -> None:
    name = f"gdp_test_{uuid.uuid4().hex[:8]}"
    administer(database, "SELECT pg_create_physical_replication_slot(%s, true)", name)
    try:
        administer(database, "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 100)")
        assert vitals.read(database.worker, tmp_path)["wal_held_bytes"] > 100_000
    finally:
        administer(database, "SELECT pg_drop_replication_slot(%s)", name)


def test_a_process_that_is_silent(database: TestDatabase, live: Live) -> None:
    workspace = database.workspace()
    beat(database.worker, "worker-1", {})
    assert (value(live, 'gdp_process_silent_seconds{process="worker-1"}') or 0) < 60
    assert "no_worker" not in kinds(database, workspace)
    administer(database, "UPDATE ops.heartbeat SET at = at - interval '5 minutes' WHERE process = 'worker-1'")
    assert 300 <= (value(live, 'gdp_process_silent_seconds{process="worker-1"}') or 0) < 600
    assert "no_worker" in kinds(database, workspace)


def test_a_job_that_fails(database: TestDatabase) -> None:
    workspace = database.workspace()
    for state in ("done", "failed"):
        assert "failed_job" not in kinds(database, workspace)
        administer(
            database,
            "INSERT INTO ops.job_run (id, job, started_at, state, detail) VALUES (gen_random_uuid(), 'x', now(), %s, '{}')",
            state,
        )
    assert "failed_job" in kinds(database, workspace)


def test_the_analyst_tells_the_door(database: TestDatabase, live: Live) -> None:
    delivered(database, "pending")
    administer(database, "UPDATE inbox SET run_at = now() - interval '10 minutes'")
    assert value(live, "gdp_pending_oldest_seconds") is None, "nobody measured"
    stopping = threading.Event()
    pulse = keep_beating(database.worker, "analyst", Vitals(database.worker).measured, stopping)
    deadline = time.monotonic() + 60
    while value(live, "gdp_pending_oldest_seconds") is None and time.monotonic() < deadline:
        time.sleep(0.02)
    stopping.set()
    pulse.join(60)
    assert (value(live, "gdp_pending_oldest_seconds") or 0) >= 600
    assert {name for name in VITALS if value(live, f"gdp_{name}") is None} == set()


def test_without_postgres_nothing_old_is_told() -> None:
    with serving("postgresql://nobody:x@127.0.0.1:1/none") as live:
        assert "gdp_process_silent_seconds{" not in live.client.get("/metrics").text
        assert live.client.get("/readyz").status_code == 503
    metrics = Metrics()
    told = metrics.exposition([Pulse("analyst", 1.0, {"deliveries_dead": 3, "anything": "else"})]).decode()
    assert "gdp_deliveries_dead 3.0" in told
    assert "anything" not in told
    assert "gdp_deliveries_dead" not in metrics.exposition([]).decode()
    assert 'process="analyst"' not in metrics.exposition([]).decode()


def test_what_is_measured_is_what_is_told(database: TestDatabase, tmp_path: Path) -> None:
    assert set(vitals.read(database.worker, tmp_path)) == set(VITALS)


def test_every_signal_of_the_handbook_exists(database: TestDatabase, live: Live) -> None:
    beat(database.worker, "analyst", dict.fromkeys(VITALS, 0))
    hook = connect(database, "generic", secret=SVIX)
    live.client.post(hook.path, content=b"{}", headers=sign_standard(b"{}", SVIX, family="webhook"))
    handbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    watched = set(re.findall(r"`(gdp_[a-z_]+?)(?:\{[^`]*)?`", handbook.partition("## Watching")[2])) - set(
        RUNTIME_ROLES
    )
    told = live.client.get("/metrics").text
    assert {f"gdp_{name}" for name in VITALS} | {"gdp_door_queue_oldest_seconds"} <= watched
    assert {name for name in watched if not re.search(rf"^{name}\b", told, re.MULTILINE)} == set()


def test_when_a_key_was_used_is_known(database: TestDatabase, live: Live) -> None:
    key, other = issue_key(database, "segment"), issue_key(database, "segment")
    live.client.post("/v1/track", json={"type": "track", "userId": "u", "event": "x"}, auth=(key, ""))
    live.client.post("/v1/track", json={"type": "track", "userId": "u", "event": "x"}, auth=("guess", ""))
    loop = live.door._beating.get_loop()  # type: ignore[union-attr]
    asyncio.run_coroutine_threadsafe(live.door.note_keys(), loop).result(20)
    with psycopg.connect(database.admin) as connection:
        found = connection.execute("SELECT prefix, last_used_at > now() - interval '1 hour' FROM api_key").fetchall()
    assert dict(found) == {key[:6]: True, other[:6]: None}
