"""What the analyst process does, and when. The stages stand in the order in which data flows.

Each is idempotent and takes `now`; a missed tick is made good by the next.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import schedule
import structlog
from sqlmodel import Session

from gdp_core import backfill, early_warning, inbox, people, recompute, retention, vitals
from gdp_core.db import Database, lock_key, rows, run
from gdp_core.errors import Unavailable
from gdp_core.lake.process import lake, reopen
from gdp_core.runtime import database
from gdp_core.segments.cycle import run_cycle
from gdp_core.settings import settings
from gdp_core.timeline import following
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.files import Damaged
from gdp_core.timeline.store import Store
from jobs.child import spawn
from jobs.logs import log_json
from jobs.pulse import keep_beating
from jobs.runner import Job, run_job

_MEASURE_EVERY = 60.0


log = structlog.get_logger()


def timetable(pool: Database, is_warm: Callable[[], bool] = lambda: True) -> tuple[Job, ...]:
    """Every job, in the order of the data flow. Those that need compiled kernels do nothing until `is_warm`."""
    return (
        Job("partitions", timedelta(hours=1), lambda now: retention.make_room(pool, now)),
        Job("recompute", timedelta(seconds=5), _each(pool, recompute.recompute), quiet=True),
        Job("stages", timedelta(minutes=1), _each_locked(pool, people.refresh_due), quiet=True),
        Job("stripe", timedelta(minutes=5), lambda _: _settle(pool), quiet=True),
        Job("lake", timedelta(seconds=10), lambda now: _follow(pool, now), quiet=True, prompt=True),
        Job("segments", timedelta(seconds=10), _of_timelines(pool, _divide, is_warm), quiet=True, prompt=True),
        Job("features", timedelta(minutes=1), _of_timelines(pool, _tell, is_warm), quiet=True),
        Job("warning", timedelta(hours=1), _of_timelines(pool, _learn, is_warm), quiet=True),
        Job("upkeep", timedelta(days=1), lambda now: _keep_up(pool, now)),
        Job("ledger", timedelta(hours=1), _each_locked(pool, _fold)),
        Job("retention", timedelta(hours=6), lambda now: retention.enforce(pool, now)),
    )


def _workspaces(pool: Database) -> list[UUID]:
    with pool.transaction(None, read_only=True) as session:
        return [row.workspace_id for row in rows(session, "SELECT workspace_id FROM workspace_ids()")]


def _each(pool: Database, task: Callable[[Database, UUID, datetime], int]) -> Callable[[datetime], dict[str, Any]]:
    """A task for every workspace. One that fails holds none of the others up; the job has failed after them."""

    def job(now: datetime) -> dict[str, Any]:
        done, failed = 0, list[Exception]()
        for workspace_id in _workspaces(pool):
            try:
                done += task(pool, workspace_id, now)
            except Exception as caught:
                log.exception("a workspace's turn failed", action="job.turn_failed", workspace=str(workspace_id))
                failed.append(caught)
        if failed:
            raise failed[0]
        return {"done": done}

    return job


def _each_locked(
    pool: Database, task: Callable[[Session, UUID, datetime], int]
) -> Callable[[datetime], dict[str, Any]]:
    def one_workspace(pool: Database, workspace_id: UUID, now: datetime) -> int:
        with pool.transaction(workspace_id, timeout=300) as session:
            run(session, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(workspace_id))
            return task(session, workspace_id, now)

    return _each(pool, one_workspace)


def _follow(pool: Database, now: datetime) -> dict[str, Any]:
    """Everything that was applied reaches the lake and the timelines."""
    folder = settings().timeline_folder

    def one_workspace(pool: Database, workspace_id: UUID, now: datetime) -> int:
        try:
            return following.follow(lake(), pool, folder, workspace_id, now)
        except Unavailable:
            reopen()
            raise

    return _each(pool, one_workspace)(now)


def _keep_up(pool: Database, now: datetime) -> dict[str, Any]:
    return following.keep_up(lake(), pool, settings().timeline_folder, _workspaces(pool), now)


def _of_timelines(
    pool: Database, task: Callable[[Database, UUID, Timeline, datetime], int], is_warm: Callable[[], bool]
) -> Callable[[datetime], dict[str, Any]]:
    """A task for the newest timeline of every workspace that has one."""

    def one_workspace(pool: Database, workspace_id: UUID, now: datetime) -> int:
        try:
            try:
                timeline = Store(settings().timeline_folder, workspace_id).open(lake())
            except Damaged:  # there is none yet, or it is about to be made again
                return 0
            return task(pool, workspace_id, timeline, now)
        except Unavailable:
            reopen()
            raise

    each = _each(pool, one_workspace)
    return lambda now: each(now) if is_warm() else {}


def _tell(pool: Database, workspace_id: UUID, timeline: Timeline, now: datetime) -> int:
    """What people's features became by what was applied and by the passing of time."""
    found = early_warning.refresh(pool, workspace_id, timeline, settings().timeline_folder, now)
    return found.written + found.removed


def _divide(pool: Database, workspace_id: UUID, timeline: Timeline, now: datetime) -> int:
    """Who entered and who exited which segment, by what was applied and by the passing of time."""
    done = run_cycle(pool, workspace_id, timeline, settings().timeline_folder, now)
    return done.entered + done.exited


def _learn(pool: Database, workspace_id: UUID, timeline: Timeline, now: datetime) -> int:
    """An early-warning model, where the last one is a week old."""
    if not early_warning.is_due(pool, workspace_id, now):
        return 0
    return int(early_warning.learn(pool, workspace_id, timeline, now).is_new)


def _settle(pool: Database) -> dict[str, Any]:
    """Ask Stripe what is right where two versions of an object carry the same second, if a key to ask with is set."""
    if settings().stripe_api_key is None:
        return {}
    account = backfill.account_of(settings())
    return {"asked": sum(backfill.settle(pool, workspace_id, account) for workspace_id in _workspaces(pool))}


def _fold(session: Session, _workspace_id: UUID, now: datetime) -> int:
    return inbox.fold_ledger(session, now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1))


def main() -> int:
    """Run the timetable until SIGTERM. Returns the exit code."""
    log_json(settings().verbosity)
    compiling = spawn([sys.executable, "-m", "gdp_core.segments.warming"], on_parent_death=signal.SIGKILL)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pool = database("gdp_worker")
    pulse = keep_beating(pool, "analyst", Vitals(pool).measured, stopping)
    work(pool, timetable(pool, lambda: compiling.poll() is not None), stopping)
    pulse.join(1.0)
    return 0


def work(pool: Database, jobs: Sequence[Job], stopping: threading.Event) -> None:
    """Run jobs when they are due until all stops, each prompt one beside the others; when one dies, everything does."""
    prompt = [job for job in jobs if job.prompt]
    with ThreadPoolExecutor(max(1, len(prompt)), "prompt") as beside:
        turns = [beside.submit(_turn, pool, [job], stopping) for job in prompt]
        for turn in turns:
            turn.add_done_callback(lambda _: stopping.set())
        _turn(pool, [job for job in jobs if not job.prompt], stopping)
    for turn in turns:
        turn.result()


def _turn(pool: Database, jobs: Sequence[Job], stopping: threading.Event) -> None:
    clockwork = schedule.Scheduler()
    for job in jobs:
        clockwork.every(max(1, int(job.every.total_seconds()) // 5)).seconds.do(_run_safely, pool, job)
    clockwork.run_all(delay_seconds=0)
    while not stopping.wait(0.5):
        clockwork.run_pending()


class Vitals:
    """The installation's vitals, measured once a minute and told with every heartbeat of the analyst."""

    def __init__(self, pool: Database) -> None:
        self._pool = pool
        self._due = 0.0
        self._known: dict[str, float] = {}

    def measured(self) -> dict[str, float]:
        """The latest of them. Raises Unavailable."""
        if time.monotonic() >= self._due:
            self._known = vitals.read(self._pool, settings().data_dir)
            self._due = time.monotonic() + _MEASURE_EVERY
        return self._known


def _run_safely(pool: Database, job: Job) -> None:
    try:
        run_job(pool, job)
    except Unavailable:
        return  # asked again at the next turn
