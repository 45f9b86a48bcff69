"""Makes the monthly partitions ahead of time and drops those that no workspace wants any more.

Events are kept for ever until a workspace sets a number of months; bodies of deliveries for 90 days. A partition goes
as a whole, and only when every workspace with rows in it agrees; until then rows past a workspace's own limit are
deleted in batches. Summaries (days, totals, money) stay.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from gdp_core.db import Database, one, rows, run
from gdp_core.errors import Unavailable
from gdp_core.events import forget_partitions
from gdp_core.failpoint import failpoint

_AHEAD = 3
_BATCH = 10_000


def make_room(pool: Database, now: datetime) -> dict[str, Any]:
    """Make the partitions of this month and the next three."""
    made = 0
    with pool.transaction(None) as session:
        for parent in ("inbox", "event"):
            for months in range(_AHEAD + 1):
                at = (now.replace(day=1) + timedelta(days=31 * months)).replace(day=1)
                made += bool(one(session, "SELECT partition_ensure(:parent, :at) AS made", parent=parent, at=at).made)
    return {"made": made}


def enforce(pool: Database, now: datetime) -> dict[str, Any]:
    """Delete what workspaces no longer want, then drop the partitions nobody wants.

    One that somebody is reading all the time is postponed to the next run, and keeps no other from going.
    """
    with pool.transaction(None, read_only=True) as session:
        workspaces = [row.workspace_id for row in rows(session, "SELECT workspace_id FROM workspace_ids()")]
    deleted = sum(_trim(pool, workspace_id, now) for workspace_id in workspaces)
    dropped, postponed = [], []
    for parent in ("inbox", "event"):
        with pool.transaction(None) as session:
            months = [row.month for row in rows(session, "SELECT month FROM partition_list(:parent)", parent=parent)]
        for month in months:
            if month >= now - timedelta(days=31):
                continue
            try:
                if _drop(pool, parent, month):
                    dropped.append(f"{parent} {month:%Y-%m}")
            except Unavailable:
                postponed.append(f"{parent} {month:%Y-%m}")
    return {"deleted": deleted, "dropped": dropped, "postponed": postponed}


def _drop(pool: Database, parent: str, month: datetime) -> bool:
    with pool.transaction(None) as session:
        gone = bool(one(session, "SELECT partition_drop(:parent, :at) AS gone", parent=parent, at=month).gone)
    if gone:
        failpoint("partition.dropped")
        forget_partitions()
    return gone


def _trim(pool: Database, workspace_id: UUID, now: datetime) -> int:
    with pool.transaction(workspace_id, read_only=True) as session:
        chosen = one(session, "SELECT inbox_retention_days, event_retention_months FROM workspace WHERE id = app_ws()")
    if chosen is None:
        return 0
    deleted = _delete(pool, workspace_id, "inbox", "received_at", now - timedelta(days=chosen.inbox_retention_days))
    if chosen.event_retention_months is not None:
        month = now.year * 12 + now.month - 1 - chosen.event_retention_months
        oldest = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        deleted += _delete(pool, workspace_id, "event", "occurred_at", oldest)
    return deleted


def _delete(pool: Database, workspace_id: UUID, table: str, column: str, before: datetime) -> int:
    pending = " AND state <> 'pending'" if table == "inbox" else ""
    total = 0
    while True:
        with pool.transaction(workspace_id, timeout=300) as session:
            done = run(
                session,
                f"DELETE FROM {table} t USING (SELECT id, {column} FROM {table} WHERE {column} < :before{pending}"
                f" LIMIT :batch) old WHERE t.id = old.id AND t.{column} = old.{column}",
                before=before,
                batch=_BATCH,
            )
        total += done
        if done < _BATCH:
            return total
