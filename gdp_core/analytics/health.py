"""How fresh each source is, and what needs somebody: rejects, dead letters, reviews, unmapped plans, failed jobs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one, rows

State = Literal["fresh", "quiet", "stale", "waiting"]
Severity = Literal["bad", "warn", "info"]
_SILENT = timedelta(hours=24)
_REGULAR_DAYS = 10  # of the fortnight before a source fell silent: one that sends daily
_WORKER_SILENT = timedelta(minutes=2)
BY_HAND = frozenset({"import", "backfill", "demo"})
"""Sources that send when somebody asks them to, and so are never late."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """One connected source. stale: it used to send daily and has not for a day; waiting: it never sent anything."""

    id: UUID
    source: str
    name: str
    received_at: datetime | None
    day_deliveries: int  # in the last 24 hours
    quarantined: int  # items set aside and not replayed since
    dead: int  # deliveries given up on and not replayed since
    state: State


@dataclass(frozen=True, slots=True)
class Attention:
    """Something to look at: what, how many, and the page and parameters that show it."""

    kind: str
    severity: Severity
    count: int
    page: str
    query: tuple[tuple[str, str], ...] = ()
    name: str = ""  # of the source or job it is about
    at: datetime | None = None


def read_sources(session: Session, now: datetime) -> tuple[SourceHealth, ...]:
    """Every connected source, the ones with problems first."""
    found = rows(session, _SOURCES, day=now - _SILENT, fortnight=timedelta(days=14))
    health = [
        SourceHealth(
            row.id,
            row.source,
            row.name,
            row.received_at,
            row.day_deliveries,
            max(0, row.quarantined),
            max(0, row.dead),
            _state(row.source, row.received_at, row.days, now),
        )
        for row in found
    ]
    order = {"stale": 0, "waiting": 1, "quiet": 2, "fresh": 3}
    return tuple(sorted(health, key=lambda item: (order[item.state], item.name.casefold(), item.id)))


_SOURCES = """
    WITH books AS (
        SELECT source_id, max(hour) FILTER (WHERE ledger = 'delivery' AND received > 0) AS newest,
            coalesce(sum(received) FILTER (WHERE ledger = 'delivery' AND hour >= :day), 0)::bigint AS day_deliveries,
            coalesce(sum(quarantined) FILTER (WHERE ledger = 'fact'), 0)::bigint AS quarantined,
            coalesce(sum(dead) FILTER (WHERE ledger = 'delivery'), 0)::bigint AS dead
        FROM ledger_entry GROUP BY source_id
    )
    SELECT s.id, s.source, s.name, coalesce(b.day_deliveries, 0) AS day_deliveries,
        coalesce(b.quarantined, 0) AS quarantined, coalesce(b.dead, 0) AS dead,
        coalesce((SELECT max(i.received_at) FROM inbox i WHERE i.source_id = s.id AND i.received_at >= b.newest
            AND i.received_at < b.newest + interval '1 hour'), b.newest) AS received_at,
        (SELECT count(DISTINCT date_trunc('day', l.hour)) FROM ledger_entry l WHERE l.source_id = s.id
            AND l.ledger = 'delivery' AND l.received > 0 AND l.hour > b.newest - :fortnight) AS days
    FROM source_instance s LEFT JOIN books b ON b.source_id = s.id
    WHERE s.archived_at IS NULL
"""


def _state(source: str, received_at: datetime | None, days: int, now: datetime) -> State:
    if received_at is None:
        return "waiting"
    if now - received_at <= _SILENT:
        return "fresh"
    return "stale" if days >= _REGULAR_DAYS and source not in BY_HAND else "quiet"


def read_attention(session: Session, now: datetime) -> tuple[Attention, ...]:
    """What needs attention, the worst first. Empty: nothing does."""
    sources = read_sources(session, now)
    found = [*_of_sources(sources), *_of_tables(session), *_of_jobs(session, now)]
    order = {"bad": 0, "warn": 1, "info": 2}
    return tuple(sorted(found, key=lambda item: (order[item.severity], item.kind, item.name)))


def _of_sources(sources: tuple[SourceHealth, ...]) -> list[Attention]:
    found = []
    dead = sum(item.dead for item in sources)
    if dead:
        found.append(Attention("dead", "bad", dead, "inbox", (("state", "dead"),)))
    set_aside = sum(item.quarantined for item in sources)
    if set_aside:
        found.append(Attention("rejects", "warn", set_aside, "inbox", (("state", "quarantined"),)))
    for item in sources:
        where = (("id", str(item.id)),)
        if item.state == "stale":
            found.append(Attention("stale_source", "bad", 1, "sources", where, name=item.name, at=item.received_at))
        if item.state == "waiting":
            found.append(Attention("waiting_source", "info", 1, "sources", where, name=item.name))
    return found


def _of_tables(session: Session) -> list[Attention]:
    row = one(
        session,
        "SELECT (SELECT count(*) FROM merge_review WHERE status = 'open') AS reviews,"
        " (SELECT count(*) FROM subscription WHERE NOT is_plan_mapped AND status IN ('active', 'past_due', 'trialing'))"
        " AS unmapped,"
        " (SELECT count(*) FROM inbox WHERE state = 'pending' AND run_at < clock_timestamp() - interval '5 minutes') AS late",
    )
    found = []
    if row.reviews:
        found.append(Attention("reviews", "warn", row.reviews, "reviews"))
    if row.unmapped:
        found.append(Attention("unmapped", "info", row.unmapped, "settings", (("tab", "plans"),)))
    if row.late:
        found.append(Attention("late", "bad", row.late, "jobs"))
    return found


def _of_jobs(session: Session, now: datetime) -> list[Attention]:
    failed = rows(
        session,
        "SELECT DISTINCT ON (job) job, state, started_at FROM ops.job_run WHERE started_at >= :since AND state <> 'running'"
        " ORDER BY job, started_at DESC",
        since=now - timedelta(days=7),
    )
    found = [
        Attention("failed_job", "bad", 1, "jobs", name=row.job, at=row.started_at)
        for row in failed
        if row.state == "failed"
    ]
    worker = one(session, "SELECT max(at) AS at FROM ops.heartbeat WHERE process LIKE 'worker%'")
    if worker.at is not None and now - worker.at > _WORKER_SILENT:
        found.append(Attention("no_worker", "bad", 1, "jobs", at=worker.at))
    return found
