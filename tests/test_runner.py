"""Jobs by the clock: however many schedulers, each tick runs once, and what fails says so without quoting anybody."""

import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import exc

from gdp_core.db import Database, one, rows, run
from gdp_core.errors import InvalidInput
from jobs import runner
from jobs.runner import Job, run_job, take, tick_of
from tests.conftest import NOW, TestDatabase

SECOND = timedelta(seconds=1)


def test_four_schedulers_run_each_job_once_for_each_tick(database: TestDatabase) -> None:
    ran: Counter[tuple[str, Any]] = Counter()
    pools = [Database(database.dsn, "gdp_worker", size=1) for _ in range(4)]
    stop = threading.Event()

    def jobs(pool: Database) -> list[Job]:
        return [
            Job(name, every, lambda now, name=name, every=every: ran.update([(name, tick_of(now, every))]) or {})  # type: ignore[misc]
            for name, every in (("often", SECOND), ("seldom", 2 * SECOND))
        ]

    def schedule(pool: Database) -> None:
        mine = jobs(pool)
        while not stop.is_set():
            for job in mine:
                run_job(pool, job)

    threads = [threading.Thread(target=schedule, args=(pool,)) for pool in pools]
    for thread in threads:
        thread.start()
    while len({tick for name, tick in list(ran) if name == "often"}) < 4 and any(
        thread.is_alive() for thread in threads
    ):
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    for pool in pools:
        pool.close()
    assert set(ran.values()) == {1}
    assert {name for name, _ in ran} == {"often", "seldom"}
    with database.worker.transaction(None) as session:
        recorded = rows(
            session, "SELECT job, count(*) AS n, bool_and(state = 'done') AS well FROM ops.job_run GROUP BY job"
        )
    assert {row.job: row.n for row in recorded} == Counter(name for name, _ in ran)
    assert all(row.well for row in recorded)


def test_a_clock_that_jumps_runs_no_tick_twice(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    offset = timedelta()
    ran: list[Any] = []
    monkeypatch.setattr(runner, "tick_of", lambda now, every: tick_of(NOW + offset, every))
    job = Job("hourly", timedelta(hours=1), lambda now: ran.append(now) or {})  # type: ignore[func-returns-value]
    for hours, runs in ((0, 1), (0, 1), (2, 2), (2, 2), (0, 2), (1, 2), (-2, 2), (3, 3)):
        offset = timedelta(hours=hours)
        run_job(database.worker, job)
        assert len(ran) == runs, hours


@pytest.fixture
def one_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test ends in another hour than it began in."""
    monkeypatch.setattr(runner, "tick_of", lambda _, every: tick_of(NOW, every))


@pytest.mark.usefixtures("one_hour")
def test_missed_ticks_fall_together(database: TestDatabase) -> None:
    job = Job("hourly", timedelta(hours=1), lambda _: {})
    assert take(database.worker, job)
    with database.worker.transaction(None) as session:
        run(session, "UPDATE ops.schedule_tick SET tick = tick - interval '1 day'")
    assert take(database.worker, job)
    assert take(database.worker, job) is None
    with database.worker.transaction(None) as session:
        assert one(session, "SELECT count(*) AS n FROM ops.schedule_tick").n == 1, "old ticks are not kept"


@pytest.mark.usefixtures("one_hour")
def test_a_scheduler_that_dies_in_a_job_leaves_the_next_tick_to_the_others(database: TestDatabase) -> None:
    def die(_: Any) -> dict[str, Any]:
        raise SystemExit

    with pytest.raises(SystemExit):
        run_job(database.worker, Job("hourly", timedelta(hours=1), die))
    healthy = Job("hourly", timedelta(hours=1), lambda _: {})
    assert not run_job(database.worker, healthy), "its tick is taken"
    with database.worker.transaction(None) as session:
        run(session, "UPDATE ops.schedule_tick SET tick = tick - interval '1 hour'")
    assert run_job(database.worker, healthy)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidInput("Say what to do."), "InvalidInput: Say what to do."),
        (ValueError("canary@acme.test is not a number"), "ValueError at test_runner.py:"),
        (exc.DataError("SELECT", {}, Exception("canary@acme.test")), "DataError at test_runner.py:"),
    ],
)
def test_why_a_job_failed_is_said_and_nobody_quoted(database: TestDatabase, error: Exception, said: str) -> None:
    def fail(_: Any) -> dict[str, Any]:
        raise error

    assert not run_job(database.worker, Job("bad", SECOND, fail))
    with database.worker.transaction(None) as session:
        found = one(session, "SELECT state, error FROM ops.job_run")
    assert found.state == "failed"
    assert found.error.startswith(said)
    assert "canary" not in found.error


def test_a_database_error_is_named_by_its_code(database: TestDatabase) -> None:
    def divide(_: Any) -> dict[str, Any]:
        with database.worker.transaction(None) as session:
            run(session, "SELECT CAST('canary' AS int)")
        return {}

    assert not run_job(database.worker, Job("bad", SECOND, divide))
    with database.worker.transaction(None) as session:
        assert one(session, "SELECT error FROM ops.job_run").error == "DataError 22P02"
