"""Runs one job once: takes its tick so that no other process runs it too, records the run, and never lets it raise.

`schedule` starves its other jobs when one raises and never catches up; so a job says only what it does, and ticks are
taken from a table by the database's clock.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from gdp_core import clock
from gdp_core.db import Database, one, records, run
from gdp_core.errors import GrowthError

log = structlog.get_logger()

Task = Callable[[datetime], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """A named task and how often it is due. The task takes `now` and returns what to show of its run."""

    name: str
    every: timedelta
    task: Task
    quiet: bool = False  # runs that found nothing to do are not recorded
    prompt: bool = False  # runs beside the others, so that it never waits for a long one


def tick_of(now: datetime, every: timedelta) -> datetime:
    """The tick that `now` belongs to: a multiple of `every` since 1970, so that missed ticks fall together."""
    seconds = int(every.total_seconds())
    return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, now.tzinfo)


def take(pool: Database, job: Job) -> datetime | None:
    """Take the current tick of a job; None when some process already has."""
    with pool.transaction(None) as session:
        now: datetime = one(session, "SELECT clock_timestamp() AS now").now
        tick = tick_of(now, job.every)
        taken = run(
            session,
            "INSERT INTO ops.schedule_tick (job, tick, taken_at) SELECT :job, :tick, :now"
            " WHERE NOT EXISTS (SELECT FROM ops.schedule_tick WHERE job = :job AND tick > :tick) ON CONFLICT DO NOTHING",
            job=job.name,
            tick=tick,
            now=now,
        )
        run(
            session,
            "DELETE FROM ops.schedule_tick WHERE job = :job AND tick < :old",
            job=job.name,
            old=tick - 3 * job.every,
        )
    return now if taken else None


def _reason(caught: Exception) -> str:
    """Why a job failed. Every workspace sees it, so it quotes only what is written to be read: our own sentences."""
    name = type(caught).__name__
    if isinstance(caught, GrowthError):
        return f"{name}: {caught}"[:300]
    state = getattr(getattr(caught, "orig", caught), "sqlstate", None)
    frame = traceback.extract_tb(caught.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    return f"{name} {state}" if state else f"{name} at {place}"


def run_job(pool: Database, job: Job) -> bool:
    """Run a job if its tick is free. Returns whether it ran well."""
    now = take(pool, job)
    if now is None:
        return False
    identifier = uuid4()
    error, detail = None, {}
    try:
        detail = job.task(now)
    except Exception as caught:
        error = _reason(caught)
        log.exception("job failed", action="job.failed", job=job.name)
    if error is None and job.quiet and not any(detail.values()):
        return True
    with pool.transaction(None) as session:
        run(
            session,
            "INSERT INTO ops.job_run (id, job, started_at, finished_at, state, detail, error)"
            " VALUES (:id, :job, :started, :finished, :state, CAST(:detail AS jsonb), :error)",
            id=identifier,
            job=job.name,
            started=now,
            finished=clock.now(),
            state="failed" if error else "done",
            detail=records([detail])[1:-1],
            error=error,
        )
        run(session, "DELETE FROM ops.job_run WHERE started_at < :old", old=now - timedelta(days=14))
    return error is None
