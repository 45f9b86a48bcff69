"""The inbox after the door: what waits, claiming it, what became of it, and putting it back to be done again.

A claim lasts as long as its transaction: a worker that dies leaves its rows as they were, and two workers never hold
the same row. Both ledgers are posted in the transaction that caused the posting.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.db import insert, records, recordset, rows, run
from gdp_core.failpoint import failpoint
from gdp_core.sources.facts import Delivery, Reject
from gdp_core.tables.ingest import FactReject, Inbox, LedgerEntry

MOST_ATTEMPTS = 8
_FIRST_RETRY = timedelta(seconds=2)
_LONGEST_RETRY = timedelta(minutes=30)
_CLAIM_BYTES = 8 << 20

State = Literal["applied", "duplicate", "quarantined", "dead", "pending"]


@dataclass(slots=True)
class Outcome:
    """What became of one delivery."""

    delivery: Delivery
    state: State = "applied"
    facts: int = 0
    applied: int = 0
    duplicate: int = 0
    rejects: list[Reject] = field(default_factory=list)
    error: str | None = None
    retry_after: timedelta = timedelta()

    def settle(self) -> None:
        """The delivery's own state follows from its facts."""
        if self.applied or not self.facts:
            self.state = "applied"
        else:
            self.state = "quarantined" if self.rejects else "duplicate"


class Balance(NamedTuple):
    """The sums of a ledger. At rest `received` equals all the others together."""

    ledger: str
    received: int
    applied: int
    duplicate: int
    quarantined: int
    dead: int
    erased: int
    pending: int

    @property
    def difference(self) -> int:
        """What the books cannot explain: 0."""
        return self.received - self.applied - self.duplicate - self.quarantined - self.dead - self.erased - self.pending


def pending_workspaces(session: Session) -> list[UUID]:
    """Workspaces with something due, the one that waits longest first. Needs no workspace."""
    return [row.workspace_id for row in rows(session, "SELECT workspace_id FROM pending_workspaces()")]


def claim(session: Session, limit: int) -> list[Delivery]:
    """Lock up to `limit` due deliveries (and about 8 MiB of bodies) that no other worker holds."""
    due = rows(
        session,
        "SELECT id, received_at, octet_length(body) AS size FROM inbox WHERE state = 'pending'"
        " AND run_at <= clock_timestamp() ORDER BY run_at, id LIMIT :limit FOR UPDATE SKIP LOCKED",
        limit=limit,
    )
    taken: list[Any] = []
    size = 0
    for row in due:
        if taken and size + row.size > _CLAIM_BYTES:
            break
        taken.append(row)
        size += row.size
    failpoint("worker.claimed")
    return read(session, [(row.id, row.received_at) for row in taken])


def read(session: Session, places: Sequence[tuple[UUID, datetime]]) -> list[Delivery]:
    """Deliveries by (id, received at), in the order of arrival."""
    found = rows(
        session,
        "SELECT i.id, i.workspace_id, i.source_id, i.source, i.route, i.trust, i.received_at, i.body, i.headers, i.query"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[])) AS w(id, at)"
        " JOIN inbox i ON i.id = w.id AND i.received_at = w.at ORDER BY i.received_at, i.id",
        ids=[place[0] for place in places],
        ats=[place[1] for place in places],
    )
    return [
        Delivery(
            id=row.id,
            workspace_id=row.workspace_id,
            source_id=row.source_id,
            source=row.source,
            route=row.route,
            trust=row.trust,
            received_at=row.received_at,
            body=bytes(row.body),
            headers=row.headers,
            query=row.query,
        )
        for row in found
    ]


def store(session: Session, delivery: Delivery) -> None:
    """Append a delivery that comes from a file, a backfill or the demo rather than through the door."""
    run(
        session,
        "INSERT INTO inbox (id, workspace_id, received_at, source_id, source, route, trust, headers, query, body,"
        " state, attempts, run_at, facts, facts_applied, facts_duplicate, facts_quarantined)"
        " VALUES (:id, :ws, :at, :source_id, :source, :route, :trust, '{}', '{}', :body, 'pending', 0, :at, 0, 0, 0, 0)",
        id=delivery.id,
        ws=delivery.workspace_id,
        at=delivery.received_at,
        source_id=delivery.source_id,
        source=delivery.source,
        route=delivery.route,
        trust=delivery.trust,
        body=delivery.body,
    )
    _post(session, [_entry(delivery, "delivery", received=1)])


def finish(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write what became of claimed deliveries and post it to both ledgers."""
    values = [
        {
            "id": item.delivery.id,
            "received_at": item.delivery.received_at,
            "state": item.state,
            "attempts": 1,
            "applied_at": now if item.state != "pending" else None,
            "error": item.error,
            "facts": item.facts,
            "facts_applied": item.applied,
            "facts_duplicate": item.duplicate,
            "facts_quarantined": len(item.rejects),
        }
        for item in outcomes
    ]
    if not values:
        return
    updates = ", ".join(
        f"{name} = incoming.{name}" for name in values[0] if name not in {"id", "received_at", "attempts"}
    )
    run(
        session,
        # A retry is due by the server's clock, the only one that claims look at.
        f"UPDATE inbox SET attempts = inbox.attempts + incoming.attempts, run_at = clock_timestamp() + w.wait, {updates}"
        f" FROM {recordset(Inbox, values[0])}"
        " JOIN unnest(CAST(:waiting AS uuid[]), CAST(:waits AS interval[])) AS w(id, wait) ON w.id = incoming.id"
        " WHERE inbox.id = incoming.id AND inbox.received_at = incoming.received_at",
        rows=records(values),
        waiting=[item.delivery.id for item in outcomes],
        waits=[item.retry_after for item in outcomes],
    )
    insert(session, FactReject, [_reject(item.delivery, reject) for item in outcomes for reject in item.rejects])
    entries = []
    for item in outcomes:
        if item.state == "pending":
            continue
        entries.append(_entry(item.delivery, "delivery", **{item.state: 1}))
        facts = {"received": item.facts, "applied": item.applied, "duplicate": item.duplicate}
        entries.append(_entry(item.delivery, "fact", **facts, quarantined=len(item.rejects)))
    _post(session, entries)
    failpoint("apply.ledger")


def failed(delivery: Delivery, attempts: int, error: str) -> Outcome:
    """The outcome of a delivery that could not be applied: tried again with full jitter, then dead."""
    if attempts + 1 >= MOST_ATTEMPTS:
        return Outcome(delivery, "dead", error=error)
    longest = min(_FIRST_RETRY * 2**attempts, _LONGEST_RETRY)
    return Outcome(delivery, "pending", error=error, retry_after=longest * random.random())  # noqa: S311 - jitter


def attempts_of(session: Session, delivery: Delivery) -> int:
    """How often a delivery was tried before."""
    found = rows(
        session,
        "SELECT attempts FROM inbox WHERE id = :id AND received_at = :at",
        id=delivery.id,
        at=delivery.received_at,
    )
    return found[0].attempts if found else 0


class Loss(NamedTuple):
    """A fact that a delivery had stated first lost to a delivery received before it."""

    inbox_id: UUID
    source_id: UUID
    received_at: datetime


def moved(session: Session, workspace_id: UUID, losses: Iterable[Loss]) -> None:
    """Facts of earlier-applied deliveries lost to others: applied becomes duplicate.

    A delivery that waits to be applied again has no postings to move; one whose body is gone has, in its hour.
    """
    counts: dict[UUID, list[Loss]] = defaultdict(list)
    for loss in losses:
        counts[loss.inbox_id].append(loss)
    for inbox_id, lost in sorted(counts.items()):
        found = rows(
            session,
            "UPDATE inbox SET facts_applied = facts_applied - :n, facts_duplicate = facts_duplicate + :n WHERE id = :id"
            " AND state <> 'pending' RETURNING received_at",
            n=len(lost),
            id=inbox_id,
        )
        if not found and rows(session, "SELECT 1 FROM inbox WHERE id = :id", id=inbox_id):
            continue
        received_at = found[0].received_at if found else lost[0].received_at
        entry = {"id": uuid4(), "ledger": "fact", "workspace_id": workspace_id, "source_id": lost[0].source_id}
        entry |= {"hour": _hour(received_at), "applied": -len(lost), "duplicate": len(lost)}
        _post(session, [_blank() | entry])


def replay(
    session: Session, *, ids: Sequence[UUID] = (), state: str | None = None, source_id: UUID | None = None
) -> int:
    """Put deliveries back to be applied again, taking their postings back. Returns how many.

    Chosen by ids, or by state (quarantined, dead, applied, duplicate) and source. Facts that were applied stay applied:
    the second time they are recognised as the same delivery's.
    """
    chosen = rows(
        session,
        "SELECT id, workspace_id, source_id, received_at, state, facts, facts_applied, facts_duplicate,"
        " facts_quarantined FROM inbox WHERE state <> 'pending' AND (id = ANY(:ids) OR (:state <> '' AND state = :state"
        " AND (CAST(:source AS uuid) IS NULL OR source_id = :source))) FOR UPDATE",
        ids=list(ids),
        state=state or "",
        source=source_id,
    )
    entries = []
    for row in chosen:
        place = {"workspace_id": row.workspace_id, "source_id": row.source_id, "hour": _hour(row.received_at)}
        entries.append(_blank() | place | {"id": uuid4(), "ledger": "delivery", row.state: -1})
        facts = {"received": -row.facts, "applied": -row.facts_applied, "duplicate": -row.facts_duplicate}
        entries.append(
            _blank() | place | {"id": uuid4(), "ledger": "fact", **facts, "quarantined": -row.facts_quarantined}
        )
    _post(session, entries)
    failpoint("replay.reset")
    run(session, "DELETE FROM fact_reject WHERE inbox_id = ANY(:ids)", ids=[row.id for row in chosen])
    run(
        session,
        "UPDATE inbox i SET state = 'pending', attempts = 0, run_at = clock_timestamp(), applied_at = NULL, error = NULL,"
        " facts = 0, facts_applied = 0, facts_duplicate = 0, facts_quarantined = 0"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[])) AS w(id, at)"
        " WHERE i.id = w.id AND i.received_at = w.at",
        ids=[row.id for row in chosen],
        ats=[row.received_at for row in chosen],
    )
    return len(chosen)


def balances(session: Session) -> list[Balance]:
    """Both ledgers of the workspace: deliveries, then facts. Read at one instant, or they would not add up."""
    found = {
        row.ledger: row
        for row in rows(
            session,
            "SELECT ledger, sum(received)::bigint AS received, sum(applied)::bigint AS applied,"
            " sum(duplicate)::bigint AS duplicate, sum(quarantined)::bigint AS quarantined, sum(dead)::bigint AS dead,"
            " sum(erased)::bigint AS erased,"
            " (SELECT count(*) FROM inbox WHERE state = 'pending') AS pending FROM ledger_entry GROUP BY ledger",
        )
    }
    result = []
    for ledger in ("delivery", "fact"):
        row = found.get(ledger)
        parts = {name: getattr(row, name) if row else 0 for name in Balance._fields[1:]}
        result.append(Balance(ledger, **parts | ({"pending": 0} if ledger == "fact" else {})))
    return result


def fold_ledger(session: Session, before: datetime) -> int:
    """Sum the postings of every finished hour into one row each. Returns how many rows that saved."""
    folded = rows(
        session,
        """
        WITH old AS (DELETE FROM ledger_entry WHERE hour < :before RETURNING *)
        INSERT INTO ledger_entry (id, workspace_id, ledger, source_id, hour, received, applied, duplicate, quarantined,
            dead, erased)
        SELECT gen_random_uuid(), workspace_id, ledger, source_id, hour, sum(received), sum(applied), sum(duplicate),
            sum(quarantined), sum(dead), sum(erased) FROM old GROUP BY workspace_id, ledger, source_id, hour
        RETURNING 1
        """,
        before=before,
    )
    return len(folded)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _blank() -> dict[str, Any]:
    return {"received": 0, "applied": 0, "duplicate": 0, "quarantined": 0, "dead": 0, "erased": 0}


def _entry(delivery: Delivery, ledger: str, **amounts: int) -> dict[str, Any]:
    place = {
        "workspace_id": delivery.workspace_id,
        "source_id": delivery.source_id,
        "hour": _hour(delivery.received_at),
    }
    return {**_blank(), "id": uuid4(), "ledger": ledger, **place, **amounts}


def _post(session: Session, entries: Sequence[dict[str, Any]]) -> None:
    """Insert postings, one row for each (ledger, source, hour)."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        into = merged.setdefault((entry["ledger"], entry["source_id"], entry["hour"]), {**entry, **_blank()})
        for name in _blank():
            into[name] += entry[name]
    insert(session, LedgerEntry, [entry for entry in merged.values() if any(entry[name] for name in _blank())])


def _reject(delivery: Delivery, reject: Reject) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "workspace_id": delivery.workspace_id,
        "inbox_id": delivery.id,
        "source_id": delivery.source_id,
        "received_at": delivery.received_at,
        "item": reject.item,
        "code": reject.code,
        "reason": reject.reason[:500],
    }
