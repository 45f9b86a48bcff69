"""The Sources page: what each connected source sends, when it last did, and how much of it could not be used."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.accounts.connections import Connection
from gdp_core.analytics import health
from gdp_core.db import one, rows

State = Literal["never", "live", "quiet", "rejecting", "by_hand"]
_LIVE = timedelta(hours=1)
_DAY = timedelta(hours=24)
_TOO_MANY = 0.05  # of what came in a day: from here on a source counts as rejecting


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One connected source and the last 24 hours of it.

    `deliveries` and `rejects` (items set aside, and deliveries given up on) are of 24 hours, in whole hours of the
    books. `events`: all that were ever applied.
    """

    id: UUID
    source: str
    name: str
    created_at: datetime
    archived_at: datetime | None
    state: State
    received_at: datetime | None
    deliveries: int
    facts: int
    rejects: int
    events: int
    last_event: str | None


def read_sources(session: Session, connections: list[Connection], now: datetime) -> list[SourceRow]:
    """What these connections do, those that need somebody first."""
    known = {item.id: item for item in health.read_sources(session, now)}
    day = {
        row.source_id: row
        for row in rows(
            session,
            "SELECT source_id, coalesce(sum(received) FILTER (WHERE ledger = 'delivery'), 0)::bigint AS deliveries,"
            " coalesce(sum(received) FILTER (WHERE ledger = 'fact'), 0)::bigint AS facts,"
            " coalesce(sum(quarantined) FILTER (WHERE ledger = 'fact'), 0)::bigint AS aside,"
            " coalesce(sum(dead) FILTER (WHERE ledger = 'delivery'), 0)::bigint AS dead"
            " FROM ledger_entry WHERE hour >= :since GROUP BY source_id",
            since=now - _DAY,
        )
    }
    totals = {
        row.source_id: row
        for row in rows(
            session,
            "SELECT source_id, sum(events)::bigint AS events,"
            " (array_agg(name ORDER BY day DESC, events DESC, name) FILTER (WHERE events > 0))[1] AS last"
            " FROM event_type_day GROUP BY source_id",
        )
    }
    found = []
    for item in connections:
        books, total, seen = day.get(item.id), totals.get(item.id), known.get(item.id)
        received_at = seen.received_at if seen else None
        deliveries, facts = (books.deliveries, books.facts) if books else (0, 0)
        rejects = max(0, books.aside) + max(0, books.dead) if books else 0
        found.append(
            SourceRow(
                id=item.id,
                source=item.source,
                name=item.name,
                created_at=item.created_at,
                archived_at=item.archived_at,
                state=_state(item.source, received_at, rejects, max(facts, deliveries), now),
                received_at=received_at,
                deliveries=deliveries,
                facts=facts,
                rejects=rejects,
                events=total.events if total else 0,
                last_event=total.last if total else None,
            )
        )
    order: dict[State, int] = {"rejecting": 0, "never": 1, "quiet": 2, "live": 3, "by_hand": 4}
    return sorted(found, key=lambda row: (row.archived_at is not None, order[row.state], row.name.casefold(), row.id))


def _state(source: str, received_at: datetime | None, rejects: int, items: int, now: datetime) -> State:
    if received_at is None:
        return "by_hand" if source in health.BY_HAND else "never"
    if rejects > items * _TOO_MANY:
        return "rejecting"
    if source in health.BY_HAND:
        return "by_hand"
    return "live" if now - received_at <= _LIVE else "quiet"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The newest delivery of a source and what became of it; `problem` is the reason when something was refused.

    `events` are the names the source sent last.
    """

    received_at: datetime
    state: str
    events: tuple[str, ...]
    applied: int
    code: str | None
    problem: str | None


def read_arrival(session: Session, source_id: UUID, since: datetime) -> Arrival | None:
    """The newest delivery of a source after `since`; None while nothing came."""
    row = one(
        session,
        "SELECT id, received_at, state, facts_applied, error FROM inbox WHERE source_id = :source AND received_at >= :since"
        " ORDER BY received_at DESC, id DESC LIMIT 1",
        source=source_id,
        since=since,
    )
    if row is None:
        return None
    reject = one(session, "SELECT code, reason FROM fact_reject WHERE inbox_id = :id ORDER BY item LIMIT 1", id=row.id)
    names = rows(
        session,
        "SELECT name FROM event_type_day WHERE source_id = :source AND events > 0 GROUP BY name"
        " ORDER BY max(day) DESC, sum(events) DESC, name LIMIT 5",
        source=source_id,
    )
    return Arrival(
        received_at=row.received_at,
        state=row.state,
        events=tuple(item.name for item in names),
        applied=row.facts_applied,
        code=reject.code if reject else None,
        problem=reject.reason if reject else row.error,
    )


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One file import or backfill."""

    id: UUID
    kind: str
    label: str
    source: str | None
    state: str
    rows_total: int | None
    rows_done: int
    rows_rejected: int
    applied: int | None
    duplicate: int | None
    error: str | None
    started_at: datetime
    updated_at: datetime

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.rows_done / self.rows_total) if self.rows_total else 0.0


def read_imports(session: Session, limit: int = 20) -> list[ImportRow]:
    """The newest imports and backfills."""
    found = rows(
        session,
        "SELECT id, kind, label, cursor ->> 'source' AS source, state, rows_total, rows_done, rows_rejected,"
        " (cursor ->> 'applied')::bigint AS applied, (cursor ->> 'duplicate')::bigint AS duplicate, error, started_at,"
        " updated_at FROM import_run ORDER BY started_at DESC, id LIMIT :limit",
        limit=limit,
    )
    return [ImportRow(**row._mapping) for row in found]
