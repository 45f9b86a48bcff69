"""The Jobs page: which processes are alive, what ran and failed, when it runs next, and how far applying is behind."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one, rows

RUNS = 50
_ALIVE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that said it is alive at `at`; `is_alive`: not longer than a minute ago."""

    name: str
    pid: int
    at: datetime
    is_alive: bool
    detail: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job of the timetable. `every` is told from its ticks, None until there are two."""

    name: str
    every: timedelta | None
    last_tick: datetime | None
    next_tick: datetime | None
    last_run: datetime | None
    last_state: str | None
    last_took: timedelta | None
    failures: int  # in 24 hours
    error: str | None  # of the last failure of these


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    id: UUID
    job: str
    state: Literal["running", "done", "failed"]
    started_at: datetime
    took: timedelta | None
    detail: tuple[tuple[str, str], ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be applied in the workspace. `oldest_at`: since when the oldest is due; `retrying` failed before."""

    waiting: int
    oldest_at: datetime | None
    retrying: int
    dead: int

    def lag(self, now: datetime) -> timedelta:
        """How long the oldest has been due."""
        return max(timedelta(), now - self.oldest_at) if self.oldest_at else timedelta()


def read_processes(session: Session, now: datetime) -> list[Process]:
    """Every process that was heard of in a week."""
    found = rows(
        session,
        "SELECT process, pid, at, detail FROM ops.heartbeat WHERE at > :since ORDER BY process",
        since=now - timedelta(days=7),
    )
    return [Process(row.process, row.pid, row.at, now - row.at <= _ALIVE, _pairs(row.detail)) for row in found]


def read_jobs(session: Session, now: datetime) -> list[JobRow]:
    """Every job that ever ticked, the ones that fail first."""
    found = rows(
        session,
        """
        WITH tick AS (
            SELECT job, max(tick) AS last, min(gap) AS every FROM (
                SELECT job, tick, tick - lag(tick) OVER (PARTITION BY job ORDER BY tick) AS gap FROM ops.schedule_tick
            ) t GROUP BY job
        ), recent AS (
            SELECT DISTINCT ON (job) job, started_at, finished_at, state FROM ops.job_run
            WHERE state <> 'running' ORDER BY job, started_at DESC
        ), failure AS (
            SELECT job, count(*) AS failures, (array_agg(error ORDER BY started_at DESC))[1] AS error FROM ops.job_run
            WHERE state = 'failed' AND started_at > :day GROUP BY job
        )
        SELECT coalesce(t.job, r.job) AS job, t.last, t.every, r.started_at, r.finished_at, r.state,
            coalesce(f.failures, 0) AS failures, f.error
        FROM tick t FULL JOIN recent r ON r.job = t.job LEFT JOIN failure f ON f.job = coalesce(t.job, r.job)
        ORDER BY coalesce(f.failures, 0) > 0 DESC, 1
        """,
        day=now - timedelta(days=1),
    )
    return [
        JobRow(
            name=row.job,
            every=row.every,
            last_tick=row.last,
            next_tick=row.last + row.every if row.last and row.every else None,
            last_run=row.started_at,
            last_state=row.state,
            last_took=_took(row.started_at, row.finished_at),
            failures=row.failures,
            error=row.error,
        )
        for row in found
    ]


def read_runs(session: Session, job: str | None = None, state: str | None = None, limit: int = RUNS) -> list[RunRow]:
    """The newest runs."""
    found = rows(
        session,
        "SELECT id, job, state, started_at, finished_at, detail, error FROM ops.job_run"
        " WHERE (:job = '' OR job = :job) AND (:state = '' OR state = :state)"
        " ORDER BY started_at DESC, id LIMIT :limit",
        job=job or "",
        state=state or "",
        limit=limit,
    )
    return [
        RunRow(
            row.id,
            row.job,
            row.state,
            row.started_at,
            _took(row.started_at, row.finished_at),
            _pairs(row.detail),
            row.error,
        )
        for row in found
    ]


def read_backlog(session: Session) -> Backlog:
    """What waits in the workspace."""
    row = one(
        session,
        "SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS retrying,"
        " min(run_at) FILTER (WHERE run_at <= clock_timestamp()) AS oldest FROM inbox WHERE state = 'pending'",
    )
    dead = one(session, "SELECT coalesce(sum(dead), 0)::bigint AS n FROM ledger_entry WHERE ledger = 'delivery'").n
    return Backlog(row.waiting, row.oldest, row.retrying, dead)


def _took(started: datetime | None, finished: datetime | None) -> timedelta | None:
    return finished - started if started and finished else None


def _pairs(detail: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)) for name, value in detail.items()
    )
